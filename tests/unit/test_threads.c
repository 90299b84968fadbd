// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "support.h"

#include "threads.h"

#include "alloc.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct counts {
    int n;
    atomic_int ran[1000];
    atomic_int other_thread;
    pthread_t caller;
    struct dlq_pool *pool;
};

static void
count(void *arg, int32_t task)
{
    struct counts *const c = arg;
    atomic_fetch_add(&c->ran[task], 1);
    if (!pthread_equal(pthread_self(), c->caller)) {
        atomic_fetch_add(&c->other_thread, 1);
    }
}

static struct dlq_pool *
make_pool(int32_t n_threads)
{
    struct dlq_error err = DLQ_ERROR_INIT;
    struct dlq_pool *pool = NULL;
    test_assert_ok(dlq_pool_create(&dlq_system_allocator, n_threads, &pool, &err), &err);
    return pool;
}

static void
assert_each_ran_once(struct counts *c, int n)
{
    for (int i = 0; i < n; i++) {
        assert_int_equal(c->ran[i], 1);
    }
    memset(c->ran, 0, sizeof(c->ran));
}

static void
each_task_runs_exactly_once(void **state)
{
    static const int32_t sizes[] = {1, 2, 3, 8};
    (void)state;
    for (size_t s = 0; s < TEST_COUNT(sizes); s++) {
        struct dlq_pool *const pool = make_pool(sizes[s]);
        struct counts c = {.caller = pthread_self()};
        for (int n = 0; n < 200; n++) {
            dlq_pool_run(pool, n, count, &c);
            assert_each_ran_once(&c, n);
        }
        assert_int_equal(c.ran[0], 0);
        dlq_pool_destroy(pool);
    }
}

static void
no_or_negative_tasks_do_nothing(void **state)
{
    (void)state;
    struct dlq_pool *const pool = make_pool(2);
    struct counts c = {.caller = pthread_self()};
    dlq_pool_run(pool, 0, count, &c);
    dlq_pool_run(pool, -5, count, &c);
    assert_int_equal(c.ran[0], 0);
    dlq_pool_destroy(pool);
}

static void
one_thread_is_the_callers(void **state)
{
    (void)state;
    struct dlq_pool *const pool = make_pool(1);
    struct counts c = {.caller = pthread_self()};
    dlq_pool_run(pool, 1000, count, &c);
    assert_each_ran_once(&c, 1000);
    assert_int_equal(c.other_thread, 0);
    dlq_pool_destroy(pool);
}

static void
wait_for_the_other(void *arg, int32_t task)
{
    atomic_int *const seen = arg;
    (void)task;
    atomic_fetch_add(seen, 1);
    while (atomic_load(seen) < 2) {
        sched_yield();
    }
}

static void
tasks_run_at_the_same_time(void **state)
{
    (void)state;
    struct dlq_pool *const pool = make_pool(2);
    // Each task waits for the other: both must be running. The second time workers sleep.
    for (int i = 0; i < 3; i++) {
        atomic_int seen = 0;
        dlq_pool_run(pool, 2, wait_for_the_other, &seen);
        usleep(2000);
    }
    dlq_pool_destroy(pool);
}

struct nested {
    struct dlq_pool *pool;
    atomic_int inner;
    atomic_int wrong_thread;
};

struct inner {
    struct nested *nested;
    pthread_t outer;
};

static void
inner_task(void *arg, int32_t task)
{
    struct inner *const i = arg;
    (void)task;
    atomic_fetch_add(&i->nested->inner, 1);
    if (!pthread_equal(i->outer, pthread_self())) {
        atomic_fetch_add(&i->nested->wrong_thread, 1);
    }
}

static void
outer_task(void *arg, int32_t task)
{
    struct nested *const n = arg;
    (void)task;
    struct inner inner = {n, pthread_self()};
    dlq_pool_run(n->pool, 10, inner_task, &inner);
}

static void
a_call_from_inside_a_task_runs_on_the_spot(void **state)
{
    (void)state;
    struct nested n = {.pool = make_pool(4)};
    dlq_pool_run(n.pool, 50, outer_task, &n);
    assert_int_equal(n.inner, 500);
    assert_int_equal(n.wrong_thread, 0);
    // And afterwards the caller's own calls are parallel again.
    atomic_int seen = 0;
    dlq_pool_run(n.pool, 2, wait_for_the_other, &seen);
    dlq_pool_destroy(n.pool);
}

struct caller {
    struct dlq_pool *pool;
    int rounds;
    int wrong;
};

static void *
call_many_times(void *arg)
{
    struct caller *const self = arg;
    struct counts *const c = calloc(1, sizeof(*c));
    c->caller = pthread_self();
    for (int i = 0; i < self->rounds; i++) {
        const int n = 1 + i % 37;
        dlq_pool_run(self->pool, n, count, c);
        for (int k = 0; k < n; k++) {
            self->wrong += c->ran[k] != 1;
            c->ran[k] = 0;
        }
    }
    free(c);
    return NULL;
}

static void
several_threads_may_call_at_once(void **state)
{
    (void)state;
    struct dlq_pool *const pool = make_pool(3);
    struct caller callers[4];
    pthread_t threads[4];
    for (size_t i = 0; i < TEST_COUNT(callers); i++) {
        callers[i] = (struct caller){.pool = pool, .rounds = 2000};
        assert_int_equal(pthread_create(&threads[i], NULL, call_many_times, &callers[i]), 0);
    }
    for (size_t i = 0; i < TEST_COUNT(callers); i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(callers[i].wrong, 0);
    }
    dlq_pool_destroy(pool);
}

static void
sum_plain(void *arg, int32_t task)
{
    // No atomics: the pool itself must order a task before the return of the call.
    long *const cells = arg;
    cells[task] += task;
}

static void
results_are_visible_when_the_call_returns(void **state)
{
    (void)state;
    struct dlq_pool *const pool = make_pool(4);
    long cells[64] = {0};
    for (int i = 0; i < 2000; i++) {
        dlq_pool_run(pool, 64, sum_plain, cells);
    }
    for (int i = 0; i < 64; i++) {
        assert_int_equal(cells[i], 2000L * i);
    }
    dlq_pool_destroy(pool);
}

static void
pools_that_were_never_used_stop_at_once(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++) {
        dlq_pool_destroy(make_pool(4));
    }
    dlq_pool_destroy(NULL);
}

static int32_t
create_pool(void *ctx, struct test_allocator *t, struct dlq_error *err)
{
    (void)ctx;
    struct dlq_pool *pool = NULL;
    const int32_t rc = dlq_pool_create(&t->a, 3, &pool, err);
    if (rc == DLQ_OK) {
        dlq_pool_destroy(pool);
    }
    return rc;
}

static void
a_pool_without_memory_is_an_error(void **state)
{
    (void)state;
    assert_int_equal(test_each_allocation_fails(create_pool, NULL), 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_task_runs_exactly_once),
        cmocka_unit_test(no_or_negative_tasks_do_nothing),
        cmocka_unit_test(one_thread_is_the_callers),
        cmocka_unit_test(tasks_run_at_the_same_time),
        cmocka_unit_test(a_call_from_inside_a_task_runs_on_the_spot),
        cmocka_unit_test(several_threads_may_call_at_once),
        cmocka_unit_test(results_are_visible_when_the_call_returns),
        cmocka_unit_test(pools_that_were_never_used_stop_at_once),
        cmocka_unit_test(a_pool_without_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
