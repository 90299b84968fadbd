// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "cudart.h"
#include "support.h"

#include "alloc.h"
#include "device.h"
#include "threads.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/// The module dlquant-cuda.so over a runtime that does nothing before somebody waits.

const struct dlq_device_ops *
dlq_device_module(void);

static const struct dlq_device_ops *ops;
static struct dlq_pool *pool;
static struct dlq_threads threads;

enum { POISON = 0x55, MANY = 150 };

struct shape {
    size_t width, rows, dst_pitch, src_pitch;
};

static const struct shape shapes[] = {
    {1, 1, 1, 1},
    {100, 300, 100, 100},
    {3, 1000, 8, 5},
    {1, 400000, 2, 3},
    {(256 << 10) + 1, 5, 300000, 270000},
    {(1 << 20) + 1, 3, 2 << 20, (1 << 20) + 5},
    {9 << 20, 1, 9 << 20, 9 << 20},
    {28672, 700, 57344, 28672},
};

struct upload {
    struct shape s;
    char *src, *dst;
};

static struct upload
make(const struct shape *s, unsigned seed)
{
    const struct upload u = {*s, malloc(s->src_pitch * s->rows), malloc(s->dst_pitch * s->rows)};
    assert_non_null(u.src);
    assert_non_null(u.dst);
    for (size_t i = 0; i < s->src_pitch * s->rows; i++) {
        u.src[i] = (char)((i * 2654435761u + seed) >> 11);
    }
    memset(u.dst, POISON, s->dst_pitch * s->rows);
    return u;
}

static int32_t
start(const struct upload *u, bool post, struct dlq_error *err)
{
    return (post ? ops->post : ops->upload)(0, &threads, u->dst, u->s.dst_pitch, u->src,
                                            u->s.src_pitch, u->s.width, u->s.rows, err);
}

// Whether all arrived, and nothing beside.
static bool
arrived(const struct upload *u)
{
    bool ok = true;
    for (size_t r = 0; r < u->s.rows; r++) {
        const char *const row = u->dst + r * u->s.dst_pitch;
        ok = ok && memcmp(row, u->src + r * u->s.src_pitch, u->s.width) == 0;
        for (size_t c = u->s.width; c < u->s.dst_pitch; c++) {
            ok = ok && row[c] == POISON;
        }
    }
    return ok;
}

static void
discard(const struct upload *u)
{
    free(u->src);
    free(u->dst);
}

static void
uploads_of_every_shape_arrive_when_they_are_flushed(void **state)
{
    (void)state;
    struct dlq_error err = DLQ_ERROR_INIT;
    for (int post = 0; post < 2; post++) {
        struct upload u[TEST_COUNT(shapes)];
        for (size_t i = 0; i < TEST_COUNT(shapes); i++) {
            u[i] = make(&shapes[i], (unsigned)i);
            test_assert_ok(start(&u[i], post, &err), &err);
        }
        test_assert_ok(ops->flush(0, &threads, &err), &err);
        for (size_t i = 0; i < TEST_COUNT(shapes); i++) {
            assert_true(arrived(&u[i]));
            discard(&u[i]);
        }
    }
    assert_int_equal(cudart.pushed, 0);
}

static void
uploaded_memory_may_be_reused_on_return(void **state)
{
    (void)state;
    struct dlq_error err = DLQ_ERROR_INIT;
    for (size_t i = 0; i < TEST_COUNT(shapes); i++) {
        struct upload u = make(&shapes[i], 1);
        const size_t size = u.s.src_pitch * u.s.rows;
        char *const kept = malloc(size);
        assert_non_null(kept);
        memcpy(kept, u.src, size);
        test_assert_ok(start(&u, false, &err), &err);
        memset(u.src, 0, size);
        test_assert_ok(ops->flush(0, &threads, &err), &err);
        memcpy(u.src, kept, size);
        assert_true(arrived(&u));
        discard(&u);
        free(kept);
    }
}

static void
the_last_upload_to_a_place_stays(void **state)
{
    (void)state;
    static const struct shape large = {400000, 1, 400000, 400000};
    static const struct shape small = {1000, 1, 1000, 1000};
    struct dlq_error err = DLQ_ERROR_INIT;
    struct upload first = make(&large, 1);
    struct upload second = make(&large, 2);
    struct upload third = make(&small, 3);
    struct upload other = {small, third.src, first.dst};
    test_assert_ok(start(&first, true, &err), &err);
    char *const own = second.dst;
    second.dst = first.dst;
    test_assert_ok(start(&second, true, &err), &err);
    test_assert_ok(start(&other, true, &err), &err);
    test_assert_ok(ops->flush(0, &threads, &err), &err);
    assert_memory_equal(first.dst, third.src, 1000);
    assert_memory_equal(first.dst + 1000, second.src + 1000, large.width - 1000);
    second.dst = own;
    discard(&first);
    discard(&second);
    discard(&third);
}

static void
more_posts_than_wait_at_once_arrive(void **state)
{
    (void)state;
    static const struct shape s = {300000, 1, 300000, 300000};
    struct dlq_error err = DLQ_ERROR_INIT;
    struct upload u[MANY];
    for (size_t i = 0; i < MANY; i++) {
        u[i] = make(&s, (unsigned)i);
        test_assert_ok(start(&u[i], true, &err), &err);
    }
    test_assert_ok(ops->flush(0, &threads, &err), &err);
    for (size_t i = 0; i < MANY; i++) {
        assert_true(arrived(&u[i]));
        discard(&u[i]);
    }
}

static void
posts_to_several_devices_arrive(void **state)
{
    (void)state;
    struct dlq_error err = DLQ_ERROR_INIT;
    struct upload u[4];
    for (size_t i = 0; i < 4; i++) {
        const struct shape *const s = &shapes[4 + i / 2];
        u[i] = make(s, (unsigned)i);
        test_assert_ok(ops->post((int32_t)(i % 2), &threads, u[i].dst, s->dst_pitch, u[i].src,
                                 s->src_pitch, s->width, s->rows, &err),
                       &err);
    }
    test_assert_ok(ops->flush(0, &threads, &err), &err);
    test_assert_ok(ops->flush(1, &threads, &err), &err);
    for (size_t i = 0; i < 4; i++) {
        assert_true(arrived(&u[i]));
        discard(&u[i]);
    }
}

static void *
upload_often(void *arg)
{
    struct dlq_error err = DLQ_ERROR_INIT;
    long *const wrong = arg;
    for (unsigned i = 0; i < 6; i++) {
        const struct shape s = {200000 + 1000 * i, 7, 210000, 220000};
        struct upload u = make(&s, i);
        *wrong += start(&u, i % 2, &err) != DLQ_OK;
        *wrong += ops->flush(0, &threads, &err) != DLQ_OK;
        *wrong += !arrived(&u);
        discard(&u);
    }
    return NULL;
}

static void
ranks_upload_to_one_device(void **state)
{
    (void)state;
    pthread_t ranks[3];
    long wrong[3] = {0};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&ranks[i], NULL, upload_often, &wrong[i]), 0);
    }
    for (int i = 0; i < 3; i++) {
        pthread_join(ranks[i], NULL);
        assert_int_equal(wrong[i], 0);
    }
}

// Call by call one fails. An upload that failed may be lost, and never hangs or is called a
// success.
static void
every_call_of_the_runtime_may_fail(void **state)
{
    (void)state;
    static const struct shape few[] = {
        {100, 30, 100, 100}, {(256 << 10) + 1, 2, 300000, 270000}, {28672, 40, 57344, 28672}};
    long failures = 0;
    for (long n = 1; n < 100000; n++) {
        struct dlq_error err = DLQ_ERROR_INIT;
        struct upload u[TEST_COUNT(few)];
        int32_t rc = DLQ_OK;
        cudart.fail_at = n;
        for (size_t i = 0; i < TEST_COUNT(few); i++) {
            u[i] = make(&few[i], (unsigned)i);
            rc = rc == DLQ_OK ? start(&u[i], i % 2, &err) : rc;
        }
        const int32_t flushed = ops->flush(0, &threads, rc == DLQ_OK ? &err : NULL);
        rc = rc == DLQ_OK ? flushed : rc;
        const bool done = cudart.fail_at > 0;
        cudart.fail_at = 0;
        // What a flush that failed has left.
        test_assert_ok(ops->flush(0, &threads, NULL), &err);
        bool all = true;
        for (size_t i = 0; i < TEST_COUNT(few); i++) {
            all = all && arrived(&u[i]);
            discard(&u[i]);
        }
        assert_int_equal(cudart.pushed, 0);
        if (rc != DLQ_OK) {
            test_assert_error(rc, &err, DLQ_EDEVICE, "CUDA device 0: uploading: unknown error");
            failures++;
        } else {
            assert_true(all);
        }
        if (done) {
            assert_true(failures > 10);
            return;
        }
    }
    fail_msg("the calls never end");
}

static void
memory_that_is_given_back_is_kept_within_a_bound(void **state)
{
    (void)state;
    const size_t mib = (size_t)1 << 20;
    void *p[8];
    cudart.waits_for_all = 0;
    for (size_t i = 0; i < 8; i++) {
        p[i] = ops->alloc(0, (100 + 10 * i) * mib, 256);
        assert_non_null(p[i]);
        assert_int_equal((uintptr_t)p[i] % 256, 0);
    }
    for (size_t i = 0; i < 8; i++) {
        ops->free(0, p[i]);
    }
    assert_true(cudart.bytes <= 512 * mib);
    // The same block, also for a little less, once all work that may use it is done.
    assert_int_equal(cudart.waits_for_all, 0);
    assert_ptr_equal(ops->alloc(0, 169 * mib, 256), p[7]);
    assert_int_equal(cudart.waits_for_all, 1);
    assert_ptr_equal(ops->alloc(0, 160 * mib, 256), p[6]);
    assert_int_equal(cudart.waits_for_all, 1);
    ops->free(0, p[6]);
    assert_ptr_equal(ops->alloc(0, 160 * mib, 256), p[6]);
    assert_int_equal(cudart.waits_for_all, 2);
    // Nothing fits half as much.
    void *const half = ops->alloc(0, 75 * mib, 256);
    assert_non_null(half);
    ops->free(0, half);
    ops->free(0, p[6]);
    ops->free(0, p[7]);
    // A small one goes back at once.
    const size_t before = cudart.bytes;
    ops->free(0, ops->alloc(0, 1000, 256));
    assert_int_equal(cudart.bytes, before);
    assert_null(ops->alloc(0, 1000, 512));
}

static void *
use_memory(void *arg)
{
    void *const p = ops->alloc(0, (size_t)3 << 20, 256);
    *(bool *)arg = p != NULL;
    ops->free(0, p);
    return NULL;
}

// Threads that do a call's tasks once another thread has had memory.
static void
run_after_another(void *ctx, int32_t n_tasks, void (*fn)(void *arg, int32_t task), void *arg)
{
    pthread_t other;
    assert_int_equal(pthread_create(&other, NULL, use_memory, ctx), 0);
    pthread_join(other, NULL);
    for (int32_t i = 0; i < n_tasks; i++) {
        fn(arg, i);
    }
}

static void
memory_is_had_while_another_thread_uploads(void **state)
{
    (void)state;
    bool had = false;
    struct dlq_error err = DLQ_ERROR_INIT;
    const struct dlq_threads after = {
        .struct_size = sizeof(after), .n_threads = 6, .ctx = &had, .run = run_after_another};
    const struct shape *const s = &shapes[6];
    struct upload u = make(s, 1);
    test_assert_ok(
        ops->post(0, &after, u.dst, s->dst_pitch, u.src, s->src_pitch, s->width, s->rows, &err),
        &err);
    test_assert_ok(ops->flush(0, &after, &err), &err);
    assert_true(had);
    assert_true(arrived(&u));
    discard(&u);
}

static void
kept_memory_is_given_up_before_an_allocation_fails(void **state)
{
    (void)state;
    const size_t mib = (size_t)1 << 20;
    assert_true(cudart.bytes > 0);
    cudart.room = 600 * mib;
    void *const p = ops->alloc(0, 599 * mib, 256);
    assert_non_null(p);
    assert_null(ops->alloc(0, 2 * mib, 256));
    ops->free(0, p);
    assert_int_equal(cudart.bytes, 0);
    cudart.room = 0;
}

static void
a_device_that_is_not_there_is_an_error(void **state)
{
    (void)state;
    struct dlq_error err = DLQ_ERROR_INIT;
    struct dlq_device_info info = {.struct_size = sizeof(info)};
    test_assert_ok(ops->info(1, &info, &err), &err);
    assert_string_equal(info.name, "Second");
    assert_int_equal(info.capability, 90);
    assert_int_equal(info.multiprocessors, 7);
    test_assert_error(ops->info(2, &info, &err), &err, DLQ_EDEVICE,
                      "no CUDA device 2: expected 0 to 1, found 2 devices");
    test_assert_error(ops->use(2, &err), &err, DLQ_EDEVICE, "CUDA device 2: making it current");
    test_assert_error(ops->flush(2, &threads, &err), &err, DLQ_EDEVICE, "CUDA device 2");
    test_assert_error(ops->flush(-1, &threads, &err), &err, DLQ_EDEVICE, "CUDA device -1");
    // A post may fail at once or when it is flushed, and is forgotten then.
    struct upload u = make(&shapes[0], 1);
    int32_t rc = ops->post(2, &threads, u.dst, 1, u.src, 1, 1, 1, &err);
    rc = rc == DLQ_OK ? ops->flush(2, &threads, &err) : rc;
    test_assert_error(rc, &err, DLQ_EDEVICE, "CUDA device 2: uploading");
    test_assert_ok(ops->flush(0, &threads, &err), &err);
    discard(&u);
    assert_null(ops->alloc(2, 8, 8));
}

static void
without_a_usable_driver_the_reason_is_said(void **state)
{
    (void)state;
    struct dlq_error err = DLQ_ERROR_INIT;
    int32_t n = -1;
    const struct cudart_log before = cudart;
    cudart.devices = 0;
    cudart.reason = cudaErrorInsufficientDriver;
    test_assert_error(ops->count(&n, &err), &err, DLQ_EDEVICE,
                      "no CUDA device: the driver is of CUDA 13.0, expected ");
    cudart.driver = 0;
    test_assert_error(ops->count(&n, &err), &err, DLQ_EDEVICE,
                      "no CUDA device: no NVIDIA driver is installed");
    assert_int_equal(n, 0);
    cudart.driver = 13000;
    cudart.reason = cudaErrorUnknown;
    test_assert_error(ops->count(&n, &err), &err, DLQ_EDEVICE, "no CUDA device: unknown error");
    cudart.reason = cudaSuccess;
    test_assert_error(ops->count(&n, &err), &err, DLQ_EDEVICE,
                      "no CUDA device: the driver sees none");
    cudart = before;
}

static void
errors_of_streams_graphs_and_events_are_passed_on(void **state)
{
    (void)state;
    struct dlq_error err = DLQ_ERROR_INIT;
    void *stream = NULL;
    void *event = NULL;
    void *graph = NULL;
    double ms = 0.0;
    char to[4] = "";
    test_assert_ok(ops->stream_create(0, &stream, &err), &err);
    test_assert_ok(ops->event_create(0, &event, &err), &err);
    test_assert_ok(ops->event_record(0, event, stream, &err), &err);
    test_assert_ok(ops->event_elapsed(0, event, event, &ms, &err), &err);
    test_assert_ok(ops->transfer(0, to, "abc", 4, stream, &err), &err);
    assert_string_equal(to, "abc");
    test_assert_ok(ops->capture_begin(0, stream, &err), &err);
    test_assert_ok(ops->capture_end(0, stream, &graph, &err), &err);
    test_assert_ok(ops->graph_launch(0, graph, stream, &err), &err);
#define FAILS(n, call, text)                                                                       \
    cudart.fail_at = (n);                                                                          \
    test_assert_error(call, &err, DLQ_EDEVICE, "CUDA device 0: " text ": unknown error")
    FAILS(1, ops->event_record(0, event, stream, &err), "recording an event");
    FAILS(2, ops->event_elapsed(0, event, event, &ms, &err), "taking the time");
    FAILS(2, ops->transfer(0, to, "abc", 4, stream, &err), "copying between host and device");
    FAILS(1, ops->copy(0, to, 1, to + 2, 1, 1, 1, stream, &err), "copying");
    FAILS(2, ops->stream_synchronize(0, stream, &err), "waiting for a stream");
    FAILS(1, ops->capture_begin(0, stream, &err), "beginning to capture a stream");
    FAILS(1, ops->capture_end(0, stream, &graph, &err), "capturing a stream");
    FAILS(3, ops->capture_end(0, stream, &graph, &err), "making a graph");
    FAILS(1, ops->graph_launch(0, graph, stream, &err), "launching a graph");
    ops->graph_destroy(0, graph);
    ops->event_destroy(0, event);
    FAILS(2, ops->event_create(0, &event, &err), "making an event");
    ops->stream_destroy(0, stream);
    FAILS(2, ops->stream_create(0, &stream, &err), "making a stream");
    assert_int_equal(cudart.pushed, 0);
}

static int
begin(void **state)
{
    (void)state;
    ops = dlq_device_module();
    if (dlq_pool_create(&dlq_system_allocator, 6, &pool, NULL) != DLQ_OK) {
        return -1;
    }
    threads = (struct dlq_threads){
        .struct_size = sizeof(threads), .n_threads = 6, .ctx = pool, .run = dlq_pool_run};
    return 0;
}

static int
end(void **state)
{
    (void)state;
    dlq_pool_destroy(pool);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        // First, while there is still everything to make.
        cmocka_unit_test(every_call_of_the_runtime_may_fail),
        cmocka_unit_test(uploads_of_every_shape_arrive_when_they_are_flushed),
        cmocka_unit_test(uploaded_memory_may_be_reused_on_return),
        cmocka_unit_test(the_last_upload_to_a_place_stays),
        cmocka_unit_test(more_posts_than_wait_at_once_arrive),
        cmocka_unit_test(posts_to_several_devices_arrive),
        cmocka_unit_test(ranks_upload_to_one_device),
        cmocka_unit_test(memory_that_is_given_back_is_kept_within_a_bound),
        cmocka_unit_test(memory_is_had_while_another_thread_uploads),
        cmocka_unit_test(kept_memory_is_given_up_before_an_allocation_fails),
        cmocka_unit_test(a_device_that_is_not_there_is_an_error),
        cmocka_unit_test(without_a_usable_driver_the_reason_is_said),
        cmocka_unit_test(errors_of_streams_graphs_and_events_are_passed_on),
    };
    return cmocka_run_group_tests_name("cuda", tests, begin, end);
}
