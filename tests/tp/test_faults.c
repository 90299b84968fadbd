// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "model.h"
#include "support.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// Ranks that are threads, one of which stops or gives up at a random moment: what the others
// report. tests/tp/faults.py does the same to processes.

enum { RANKS = 3, TIMES = 20, TIMEOUT_MS = 100 };

struct rank {
    pthread_t thread;
    dlq_linear *layer;
    const struct model *m;
    atomic_bool *stop; ///< Of the one that stops; NULL: goes on until it fails
    int32_t rc;
    double seconds; ///< Of the call that failed
    struct dlq_error err;
};

static double
now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

// Seconds beyond the time limit: what a loaded machine needs to wake a thread.
static double
slack(void)
{
    const char *const factor = getenv("DLQ_TEST_TIME_FACTOR");
    return 2 * (factor ? atof(factor) : 1);
}

static void *
apply_until_failure(void *arg)
{
    struct rank *const r = arg;
    const size_t size = dlq_linear_workspace_size(r->layer, r->m->rows);
    float *const y = malloc((size_t)(r->m->rows * r->m->n) * sizeof(*y));
    void *const workspace = aligned_alloc(256, (size + 255) / 256 * 256);
    const struct dlq_linear_io io = {
        .struct_size = sizeof(io),
        .m = r->m->rows,
        .x = r->m->x, // long enough for any share
        .y = y,
        .workspace = workspace,
        .workspace_size = size,
    };
    while (r->rc == DLQ_OK && !(r->stop && atomic_load(r->stop))) {
        const double begin = now();
        r->rc = dlq_linear_apply(r->layer, &io, &r->err);
        r->seconds = now() - begin;
    }
    free(workspace);
    free(y);
    return NULL;
}

// All apply the layer; after a while `victim` stops, or gives up with a reason.
static void
hurt(const struct model *m, int32_t victim, long delay_us, const char *reason)
{
    struct fake_world w;
    fake_world_begin(&w);
    atomic_bool stop = false;
    dlq_collective_threads *group = NULL;
    struct rank ranks[RANKS] = {0};
    test_assert_ok(dlq_collective_threads_create(w.rt, RANKS, TIMEOUT_MS, &group, &w.err), &w.err);
    for (int32_t r = 0; r < RANKS; ++r) {
        ranks[r] = (struct rank){.m = m, .err = DLQ_ERROR_INIT};
        ranks[r].stop = r == victim ? &stop : NULL;
        ranks[r].layer = model_make(m, &w, NULL, dlq_collective_threads_get(group, r));
    }
    for (int32_t r = 0; r < RANKS; ++r) {
        assert_int_equal(pthread_create(&ranks[r].thread, NULL, apply_until_failure, &ranks[r]), 0);
    }
    nanosleep(&(struct timespec){.tv_nsec = delay_us * 1000}, NULL);
    atomic_store(&stop, true);
    if (reason) {
        dlq_collective_threads_abort(group, victim, reason);
    }
    char text[96];
    snprintf(text, sizeof(text), reason ? "rank %d gave up: %s" : "time limit: rank %d (limit %s",
             (int)victim, reason ? reason : "100 ms)");
    for (int32_t r = 0; r < RANKS; ++r) {
        pthread_join(ranks[r].thread, NULL);
        if (r != victim && (ranks[r].rc != (reason ? DLQ_ECOMM : DLQ_ETIMEOUT) ||
                            !strstr(ranks[r].err.msg, text))) {
            fail_msg("rank %d: %d '%s', expected '%s'", r, ranks[r].rc, ranks[r].err.msg, text);
        }
        if (r != victim && ranks[r].seconds > TIMEOUT_MS * 1e-3 + slack()) {
            fail_msg("rank %d waited for %.1f s", r, ranks[r].seconds);
        }
    }
    for (int32_t r = 0; r < RANKS; ++r) {
        dlq_linear_destroy(ranks[r].layer);
    }
    dlq_collective_threads_destroy(group);
    fake_world_end(&w);
}

static void
check(const char *reason)
{
    static const struct model_desc kinds[] = {
        {DLQ_ROW, NULL, 1, 840, {8}, .flags = 0},
        {DLQ_COLUMN, NULL, 1, 16, {840}, .flags = DLQ_LINEAR_GATHER_OUTPUT},
    };
    unsigned seed = (unsigned)time(NULL);
    for (int i = 0; i < TIMES; ++i) {
        struct model m;
        model_init(&m, &kinds[i % 2], 2, 3);
        hurt(&m, (int32_t)((unsigned)rand_r(&seed) % RANKS),
             (long)((unsigned)rand_r(&seed) % 20000), reason);
        model_free(&m);
    }
}

static void
a_rank_that_stops_at_any_moment_is_named(void **state)
{
    (void)state;
    check(NULL);
}

static void
a_rank_that_gives_up_at_any_moment_is_named(void **state)
{
    (void)state;
    check("a damaged file");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rank_that_stops_at_any_moment_is_named),
        cmocka_unit_test(a_rank_that_gives_up_at_any_moment_is_named),
    };
    return cmocka_run_group_tests_name("faults", tests, NULL, NULL);
}
