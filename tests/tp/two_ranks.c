// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "two_ranks.h"

#include "support.h"

#include <pthread.h>

enum { TIMEOUT_MS = 20000 };

struct one {
    struct two_ranks *t;
    int r;
};

void
two_ranks_begin(struct two_ranks *t, dlq_runtime *rt)
{
    struct dlq_error err = DLQ_ERROR_INIT;
    *t = (struct two_ranks){.err = {DLQ_ERROR_INIT, DLQ_ERROR_INIT}};
    test_assert_ok(dlq_collective_threads_create(rt, 2, TIMEOUT_MS, &t->group, &err), &err);
}

void
two_ranks_end(struct two_ranks *t)
{
    dlq_linear_destroy(t->layers[0]);
    dlq_linear_destroy(t->layers[1]);
    dlq_collective_threads_destroy(t->group);
}

static void *
apply_one(void *arg)
{
    const struct one *const o = arg;
    struct two_ranks *const t = o->t;
    t->rc[o->r] = dlq_linear_apply(t->layers[o->r], &t->io[o->r], &t->err[o->r]);
    return NULL;
}

void
two_ranks_apply(struct two_ranks *t)
{
    struct one ones[2];
    pthread_t threads[2];
    for (int r = 0; r < 2; ++r) {
        ones[r] = (struct one){t, r};
        assert_int_equal(pthread_create(&threads[r], NULL, apply_one, &ones[r]), 0);
    }
    for (int r = 0; r < 2; ++r) {
        pthread_join(threads[r], NULL);
    }
}
