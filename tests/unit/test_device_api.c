// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "emulator.h"
#include "support.h"

#include <dlquant/device.h>

#include <string.h>

/// The engine's side of devices, on the CPU and on emulated GPUs.

static const struct dlq_device cpu = {DLQ_DEVICE_CPU, 0};
static const struct dlq_device gpu = {DLQ_DEVICE_CUDA, 1};

struct world {
    dlq_runtime *rt;
    struct dlq_error err;
};

static void
begin(struct world *w)
{
    static const char *const dirs[] = {TEST_DEVICE_DIR, NULL};
    const struct dlq_runtime_options options = {
        .struct_size = sizeof(options), .plugin_dirs = dirs, .n_threads = 1};
    *w = (struct world){.err = DLQ_ERROR_INIT};
    emulator = (struct emulator_log){0};
    test_assert_ok(dlq_runtime_create(&options, &w->rt, &w->err), &w->err);
}

static void
end(struct world *w)
{
    dlq_runtime_destroy(w->rt);
    assert_int_equal(emulator.live, 0);
    assert_int_equal(emulator.objects, 0);
}

static void
devices_are_counted(void **state)
{
    (void)state;
    struct world w;
    int32_t n = -1;
    begin(&w);
    test_assert_ok(dlq_device_count(w.rt, DLQ_DEVICE_CPU, &n, &w.err), &w.err);
    assert_int_equal(n, 1);
    test_assert_ok(dlq_device_count(w.rt, DLQ_DEVICE_CUDA, &n, &w.err), &w.err);
    assert_int_equal(n, EMULATOR_DEVICES);
    test_assert_error(dlq_device_count(w.rt, 7, &n, &w.err), &w.err, DLQ_EDEVICE,
                      "no kind 7 device");
    assert_int_equal(n, 0);
    end(&w);
}

static void
a_device_that_is_not_there_is_an_error(void **state)
{
    (void)state;
    static const struct dlq_device second_cpu = {DLQ_DEVICE_CPU, 1};
    static const struct dlq_device unknown = {7, 0};
    struct world w;
    void *ptr = NULL;
    dlq_stream *stream = NULL;
    dlq_event *event = NULL;
    begin(&w);
    test_assert_error(dlq_device_use(w.rt, second_cpu, &w.err), &w.err, DLQ_EDEVICE,
                      "no CPU device 1");
    test_assert_error(dlq_device_use(w.rt, (struct dlq_device){DLQ_DEVICE_CUDA, 9}, &w.err), &w.err,
                      DLQ_EDEVICE, "no such CUDA device");
    test_assert_error(dlq_device_alloc(w.rt, second_cpu, 8, &ptr, &w.err), &w.err, DLQ_EDEVICE,
                      "no CPU device 1");
    test_assert_error(dlq_stream_create(w.rt, unknown, &stream, &w.err), &w.err, DLQ_EDEVICE,
                      "no kind 7 device");
    test_assert_error(dlq_event_create(w.rt, unknown, &event, &w.err), &w.err, DLQ_EDEVICE,
                      "no kind 7 device");
    end(&w);
}

static void
the_current_device_is_passed_on(void **state)
{
    (void)state;
    struct world w;
    begin(&w);
    test_assert_ok(dlq_device_use(w.rt, cpu, &w.err), &w.err);
    test_assert_ok(dlq_device_use(w.rt, gpu, &w.err), &w.err);
    assert_int_equal(emulator.current, 1);
    end(&w);
}

static void
memory_that_is_not_there_is_an_error(void **state)
{
    (void)state;
    struct world w;
    void *ptr = NULL;
    begin(&w);
    emulator.room = 100;
    test_assert_error(dlq_device_alloc(w.rt, gpu, 101, &ptr, &w.err), &w.err, DLQ_ENOMEM,
                      "101 bytes of memory of device 1 could not be had");
    test_assert_ok(dlq_device_alloc(w.rt, gpu, 100, &ptr, &w.err), &w.err);
    assert_int_equal((uintptr_t)ptr % 256, 0);
    dlq_device_free(w.rt, gpu, ptr);
    dlq_device_free(w.rt, gpu, NULL);
    end(&w);
}

// Bytes go there, move there, and come back.
static void
move_bytes(struct dlq_device device)
{
    struct world w;
    void *a = NULL;
    void *b = NULL;
    char back[8] = "";
    dlq_stream *stream = NULL;
    begin(&w);
    test_assert_ok(dlq_stream_create(w.rt, device, &stream, &w.err), &w.err);
    assert_true((dlq_stream_handle(stream) == NULL) == (device.kind == DLQ_DEVICE_CPU));
    test_assert_ok(dlq_device_alloc(w.rt, device, 8, &a, &w.err), &w.err);
    test_assert_ok(dlq_device_alloc(w.rt, device, 8, &b, &w.err), &w.err);
    test_assert_ok(dlq_stream_upload(stream, a, "abcdefg", 8, &w.err), &w.err);
    test_assert_ok(dlq_stream_copy(stream, b, a, 8, &w.err), &w.err);
    test_assert_ok(dlq_stream_copy(stream, NULL, NULL, 0, &w.err), &w.err);
    test_assert_ok(dlq_stream_upload(stream, NULL, NULL, 0, &w.err), &w.err);
    test_assert_ok(dlq_stream_synchronize(stream, &w.err), &w.err);
    test_assert_ok(dlq_stream_download(stream, back, b, 8, &w.err), &w.err);
    assert_string_equal(back, "abcdefg");
    dlq_device_free(w.rt, device, a);
    dlq_device_free(w.rt, device, b);
    dlq_stream_destroy(stream);
    dlq_stream_destroy(NULL);
    end(&w);
}

static void
bytes_move_on_the_cpu(void **state)
{
    (void)state;
    move_bytes(cpu);
}

static void
bytes_move_on_a_gpu(void **state)
{
    (void)state;
    move_bytes(gpu);
    assert_int_equal(emulator.copies, 1);
}

static void
the_cpu_has_no_graphs(void **state)
{
    (void)state;
    struct world w;
    dlq_stream *stream = NULL;
    dlq_graph *graph = NULL;
    begin(&w);
    test_assert_ok(dlq_stream_create(w.rt, cpu, &stream, &w.err), &w.err);
    test_assert_error(dlq_stream_capture_begin(stream, &w.err), &w.err, DLQ_EUNSUPPORTED,
                      "the CPU has no graphs");
    test_assert_error(dlq_stream_capture_end(stream, &graph, &w.err), &w.err, DLQ_EUNSUPPORTED,
                      "the CPU has no graphs");
    assert_null(graph);
    dlq_graph_destroy(NULL);
    dlq_stream_destroy(stream);
    end(&w);
}

static void
a_graph_does_its_work_when_it_is_launched(void **state)
{
    (void)state;
    struct world w;
    void *a = NULL;
    char back[4] = "";
    dlq_stream *stream = NULL;
    dlq_graph *graph = NULL;
    begin(&w);
    test_assert_ok(dlq_stream_create(w.rt, gpu, &stream, &w.err), &w.err);
    test_assert_ok(dlq_device_alloc(w.rt, gpu, 8, &a, &w.err), &w.err);
    test_assert_ok(dlq_stream_upload(stream, a, "newold.", 8, &w.err), &w.err);
    test_assert_ok(dlq_stream_capture_begin(stream, &w.err), &w.err);
    test_assert_ok(dlq_stream_copy(stream, (char *)a + 3, a, 3, &w.err), &w.err);
    test_assert_ok(dlq_stream_capture_end(stream, &graph, &w.err), &w.err);
    test_assert_ok(dlq_stream_download(stream, back, (char *)a + 3, 3, &w.err), &w.err);
    assert_string_equal(back, "old");
    for (int i = 0; i < 2; i++) {
        test_assert_ok(dlq_graph_launch(graph, stream, &w.err), &w.err);
        test_assert_ok(dlq_stream_download(stream, back, (char *)a + 3, 3, &w.err), &w.err);
        assert_string_equal(back, "new");
        test_assert_ok(dlq_stream_upload(stream, (char *)a + 3, "old", 3, &w.err), &w.err);
    }
    dlq_graph_destroy(graph);
    dlq_device_free(w.rt, gpu, a);
    dlq_stream_destroy(stream);
    end(&w);
}

static void
take_time(struct dlq_device device)
{
    struct world w;
    double forth = -1.0;
    double back = 1.0;
    dlq_stream *stream = NULL;
    dlq_event *from = NULL;
    dlq_event *to = NULL;
    begin(&w);
    test_assert_ok(dlq_stream_create(w.rt, device, &stream, &w.err), &w.err);
    test_assert_ok(dlq_event_create(w.rt, device, &from, &w.err), &w.err);
    test_assert_ok(dlq_event_create(w.rt, device, &to, &w.err), &w.err);
    test_assert_ok(dlq_event_record(from, stream, &w.err), &w.err);
    test_assert_ok(dlq_event_record(to, stream, &w.err), &w.err);
    test_assert_ok(dlq_event_elapsed(from, to, &forth, &w.err), &w.err);
    test_assert_ok(dlq_event_elapsed(to, from, &back, &w.err), &w.err);
    assert_true(forth >= 0.0 && forth < 60000.0);
    assert_true(forth == -back);
    dlq_event_destroy(from);
    dlq_event_destroy(to);
    dlq_event_destroy(NULL);
    dlq_stream_destroy(stream);
    end(&w);
}

static void
events_take_the_time_on_the_cpu(void **state)
{
    (void)state;
    take_time(cpu);
}

static void
events_take_the_time_on_a_gpu(void **state)
{
    (void)state;
    take_time(gpu);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(devices_are_counted),
        cmocka_unit_test(a_device_that_is_not_there_is_an_error),
        cmocka_unit_test(the_current_device_is_passed_on),
        cmocka_unit_test(memory_that_is_not_there_is_an_error),
        cmocka_unit_test(bytes_move_on_the_cpu),
        cmocka_unit_test(bytes_move_on_a_gpu),
        cmocka_unit_test(the_cpu_has_no_graphs),
        cmocka_unit_test(a_graph_does_its_work_when_it_is_launched),
        cmocka_unit_test(events_take_the_time_on_the_cpu),
        cmocka_unit_test(events_take_the_time_on_a_gpu),
    };
    return cmocka_run_group_tests_name("device_api", tests, NULL, NULL);
}
