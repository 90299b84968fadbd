// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "support.h"

#include "threads.h"

#include "alloc.h"

#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

/// core/threads.c and core/futex.c, compiled with the pauses of pauses.h: a wake-up that can be
/// lost is lost here.

static struct dlq_pool *
make_pool(int32_t n_threads)
{
    struct dlq_error err = DLQ_ERROR_INIT;
    struct dlq_pool *pool = NULL;
    test_assert_ok(dlq_pool_create(&dlq_system_allocator, n_threads, &pool, &err), &err);
    return pool;
}

static void
count(void *arg, int32_t task)
{
    atomic_int *const ran = arg;
    atomic_fetch_add(&ran[task], 1);
}

static void
run_once(struct dlq_pool *pool, int32_t n_tasks)
{
    atomic_int ran[16] = {0};
    dlq_pool_run(pool, n_tasks, count, ran);
    for (int32_t i = 0; i < n_tasks; i++) {
        assert_int_equal(ran[i], 1);
    }
}

static void
a_pool_stops_whatever_its_workers_are_doing(void **state)
{
    (void)state;
    for (int i = 0; i < 1500; i++) {
        struct dlq_pool *const pool = make_pool(2 + i % 3);
        if (i % 2 == 1) {
            run_once(pool, 1 + i % 16);
        }
        usleep((useconds_t)(i % 7) * 20);
        dlq_pool_destroy(pool);
    }
}

static void
a_call_returns_however_late_its_helpers_are(void **state)
{
    (void)state;
    struct dlq_pool *const pool = make_pool(4);
    for (int i = 0; i < 3000; i++) {
        run_once(pool, 1 + i % 16);
    }
    dlq_pool_destroy(pool);
}

int
main(void)
{
    // A thread that nobody wakes ends the test by a signal.
    alarm(25);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pool_stops_whatever_its_workers_are_doing),
        cmocka_unit_test(a_call_returns_however_late_its_helpers_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
