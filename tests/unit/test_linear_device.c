// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

// For memfd_create().
#define _GNU_SOURCE

#include "fake_plugin.h"
#include "support.h"

#include "device.h"
#include "float16.h"

#include <dlquant/linear.h>

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/// Layers on a device whose memory the host cannot touch: one file, mapped without any right where
/// the layer sees it, and a second time where the device's own functions and the method work. A
/// layer that reads or writes such memory itself dies.

enum { ARENA = 1 << 20 };

static char *device_view;
static char *host_view;
static size_t used;
static long live;
static long uploads;
static long copies;
static void *last_stream;

static int stream; // Its address is a stream

static void *
device_alloc(int32_t index, size_t size, size_t align)
{
    (void)index;
    used = (used + align - 1) / align * align;
    void *const ptr = used + size <= ARENA ? device_view + used : NULL;
    used += size;
    ++live;
    return ptr;
}

static void
device_free(int32_t index, void *ptr)
{
    (void)index;
    (void)ptr;
    --live;
}

static int32_t
device_info(int32_t index, struct dlq_device_info *out, struct dlq_error *err)
{
    (void)index;
    (void)err;
    out->capability = 90;
    return DLQ_OK;
}

static void *
touch(const void *device)
{
    return (char *)(uintptr_t)device + (host_view - device_view);
}

static void
copy_rows(void *dst, size_t dst_pitch, const void *src, size_t src_pitch, size_t width, size_t rows)
{
    for (size_t i = 0; i < rows; ++i) {
        memcpy((char *)dst + i * dst_pitch, (const char *)src + i * src_pitch, width);
    }
}

static int32_t
device_upload(int32_t index, void *dst, size_t dst_pitch, const void *src, size_t src_pitch,
              size_t width, size_t rows, struct dlq_error *err)
{
    (void)index;
    (void)err;
    ++uploads;
    copy_rows(touch(dst), dst_pitch, src, src_pitch, width, rows);
    return DLQ_OK;
}

static int32_t
device_copy(int32_t index, void *dst, size_t dst_pitch, const void *src, size_t src_pitch,
            size_t width, size_t rows, void *on, struct dlq_error *err)
{
    (void)index;
    (void)err;
    ++copies;
    last_stream = on;
    copy_rows(touch(dst), dst_pitch, touch(src), src_pitch, width, rows);
    return DLQ_OK;
}

struct dlq_device_ops test_device_ops = {
    .struct_size = sizeof(test_device_ops),
    .kind = DLQ_DEVICE_CUDA,
    .alloc = device_alloc,
    .free = device_free,
    .info = device_info,
    .upload = device_upload,
    .copy = device_copy,
};

// --- A group of two, of which the other rank has the same as this one, times ten ---

static int32_t
twin_reduce(void *ctx, void *data, int64_t count, uint32_t dtype, uint32_t flags, void *on,
            struct dlq_error *err)
{
    (void)ctx;
    (void)dtype;
    (void)flags;
    (void)err;
    last_stream = on;
    float *const v = touch(data);
    for (int64_t i = 0; i < count; ++i) {
        v[i] *= 11;
    }
    return DLQ_OK;
}

static int32_t
twin_gather(void *ctx, const void *send, void *recv, const int64_t *counts, uint32_t dtype,
            void *on, struct dlq_error *err)
{
    (void)ctx;
    (void)dtype;
    (void)err;
    last_stream = on;
    const float *const from = touch(send);
    float *const to = touch(recv);
    assert_int_equal(counts[0], counts[1]);
    for (int64_t i = 0; i < counts[0]; ++i) {
        to[i] = from[i];
        to[counts[0] + i] = 10 * from[i];
    }
    return DLQ_OK;
}

static const struct dlq_collective twins = {
    .struct_size = sizeof(twins),
    .size = 2,
    .all_reduce = twin_reduce,
    .all_gather = twin_gather,
};

static struct dlq_linear_desc
on_device(struct fake_world *w, int64_t k, int64_t n)
{
    static const char text[] = "{\"scheme\":\"plain\"}";
    fake_world_begin(w);
    fake.device_offset = host_view - device_view;
    uploads = 0;
    copies = 0;
    last_stream = NULL;
    struct dlq_linear_desc d = fake_desc("l", k, n);
    d.device.kind = DLQ_DEVICE_CUDA;
    d.collective = &twins;
    d.flags = DLQ_LINEAR_BIAS;
    test_assert_ok(
        dlq_quant_config_create(w->rt, "fake_cuda", text, sizeof(text) - 1, &d.config, &w->err),
        &w->err);
    return d;
}

static void
load(struct fake_world *w, dlq_linear *layer, int64_t n, int64_t k, const float *weight)
{
    const struct dlq_tensor t = fake_tensor(DLQ_F32, n, k, weight);
    test_assert_ok(dlq_linear_load_tensor(layer, "weight", dlq_part_fused(), &t, &w->err), &w->err);
    uint16_t bias[8];
    for (int i = 0; i < 8; ++i) {
        bias[i] = dlq_f32_to_f16((float)i);
    }
    const struct dlq_tensor b = fake_tensor(DLQ_F16, n, 0, bias);
    test_assert_ok(dlq_linear_load_tensor(layer, "bias", dlq_part_fused(), &b, &w->err), &w->err);
    test_assert_ok(dlq_linear_process(layer, &w->err), &w->err);
}

// x is ones; y has rows of `stride`.
static const float *
run(struct fake_world *w, dlq_linear *layer, int64_t m, int64_t stride)
{
    float *const x = device_alloc(0, 1024, 256);
    float *const y = device_alloc(0, 1024, 256);
    live -= 2;
    for (int i = 0; i < 256; ++i) {
        ((float *)touch(x))[i] = 1;
        ((float *)touch(y))[i] = -1;
    }
    const size_t size = dlq_linear_workspace_size(layer, m);
    const struct dlq_linear_io io = {
        .struct_size = sizeof(io),
        .m = m,
        .x = x,
        .y = y,
        .y_stride = stride,
        .stream = &stream,
        .workspace = device_alloc(0, size, 256),
        .workspace_size = size,
    };
    --live;
    test_assert_ok(dlq_linear_apply(layer, &io, &w->err), &w->err);
    return touch(y);
}

static void
row_sums_on_its_stream_without_touching_the_device(void **state)
{
    (void)state;
    struct fake_world w;
    const struct dlq_linear_desc d = on_device(&w, 4, 2);
    dlq_linear *layer = NULL;
    test_assert_ok(dlq_linear_row_create(w.rt, &d, &layer, &w.err), &w.err);
    load(&w, layer, 2, 4, (const float[]){1, 2, 0, 0, 3, 4, 0, 0});
    assert_true(uploads >= 2);
    const float *const y = run(&w, layer, 2, 3);
    assert_memory_equal(y, ((const float[]){33, 88, -1, 33, 88, -1}), 24);
    assert_int_equal(copies, 1);
    assert_ptr_equal(last_stream, &stream);
    dlq_linear_destroy(layer);
    dlq_quant_config_destroy(d.config);
    fake_world_end(&w);
    assert_int_equal(live, 0);
}

static void
column_gathers_its_parts_on_the_device(void **state)
{
    (void)state;
    static const int64_t sizes[] = {4, 2};
    struct fake_world w;
    struct dlq_linear_desc d = on_device(&w, 1, 0);
    d.output_sizes = sizes;
    d.n_output_sizes = 2;
    d.flags |= DLQ_LINEAR_GATHER_OUTPUT;
    dlq_linear *layer = NULL;
    test_assert_ok(dlq_linear_merged_create(w.rt, &d, &layer, &w.err), &w.err);
    load(&w, layer, 6, 1, (const float[]){1, 2, 0, 0, 3, 0});
    const float *const y = run(&w, layer, 2, 0);
    // Bias 0, 1 of the first part and 4 of the second are this rank's.
    static const float expected[] = {1, 3, 10, 30, 7, 70, 1, 3, 10, 30, 7, 70};
    assert_memory_equal(y, expected, sizeof(expected));
    assert_int_equal(copies, 4);
    dlq_linear_destroy(layer);
    dlq_quant_config_destroy(d.config);
    fake_world_end(&w);
    assert_int_equal(live, 0);
}

static int
begin_device(void **state)
{
    (void)state;
    const int fd = memfd_create("device", 0);
    if (fd < 0 || ftruncate(fd, ARENA) != 0) {
        return -1;
    }
    device_view = mmap(NULL, ARENA, PROT_NONE, MAP_SHARED, fd, 0);
    host_view = mmap(NULL, ARENA, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    test_device_ops.version = dlq_version();
    fake.module_dir = TEST_DEVICE_DIR;
    return device_view == MAP_FAILED || host_view == MAP_FAILED ? -1 : 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(row_sums_on_its_stream_without_touching_the_device),
        cmocka_unit_test(column_gathers_its_parts_on_the_device),
    };
    return cmocka_run_group_tests_name("linear_device", tests, begin_device, NULL);
}
