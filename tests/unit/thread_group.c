// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "thread_group.h"

#include "support.h"

#include <pthread.h>

int
thread_group_set_up(void **state)
{
    const struct dlq_runtime_options options = {
        .struct_size = sizeof(options), .load_policy = DLQ_LOAD_NONE, .n_threads = 1};
    struct dlq_error err = DLQ_ERROR_INIT;
    dlq_runtime *rt = NULL;
    test_assert_ok(dlq_runtime_create(&options, &rt, &err), &err);
    *state = rt;
    return 0;
}

int
thread_group_tear_down(void **state)
{
    dlq_runtime_destroy(*state);
    return 0;
}

static void *
run_rank(void *arg)
{
    struct thread_rank *const self = arg;
    self->body(self);
    return NULL;
}

dlq_collective_threads *
thread_group_make(dlq_runtime *rt, int32_t size, int32_t timeout_ms)
{
    struct dlq_error err = DLQ_ERROR_INIT;
    dlq_collective_threads *group = NULL;
    test_assert_ok(dlq_collective_threads_create(rt, size, timeout_ms, &group, &err), &err);
    return group;
}

void
thread_group_run(dlq_collective_threads *group, struct thread_rank *ranks, int32_t n)
{
    pthread_t threads[THREAD_GROUP_RANKS];
    for (int32_t r = 0; r < n; r++) {
        ranks[r].group = group;
        ranks[r].c = dlq_collective_threads_get(group, r);
        ranks[r].err = (struct dlq_error)DLQ_ERROR_INIT;
        assert_int_equal(pthread_create(&threads[r], NULL, run_rank, &ranks[r]), 0);
    }
    for (int32_t r = 0; r < n; r++) {
        pthread_join(threads[r], NULL);
    }
}

void
thread_rank_sum(struct thread_rank *self)
{
    self->rc = self->c->all_reduce(self->c->ctx, self->data, self->count, self->dtype, self->flags,
                                   NULL, &self->err);
}
