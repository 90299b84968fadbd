// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "emulator.h"
#include "fake_plugin.h"
#include "support.h"

#include "float16.h"

#include <dlquant/device.h>
#include <dlquant/linear.h>

#include <string.h>

/// Layers on a device whose memory the host cannot touch.

static const struct dlq_device gpu = {DLQ_DEVICE_CUDA, 0};

static int stream; // Its address is a stream
static void *last_stream;

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
    float *const v = emulator_touch(data);
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
    const float *const from = emulator_touch(send);
    float *const to = emulator_touch(recv);
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
    fake.device_offset = EMULATOR_OFFSET;
    const long live = emulator.live;
    emulator = (struct emulator_log){.live = live};
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
    void *x = NULL;
    void *y = NULL;
    void *workspace = NULL;
    static float result[256];
    const size_t size = dlq_linear_workspace_size(layer, m);
    test_assert_ok(dlq_device_alloc(w->rt, gpu, 1024, &x, &w->err), &w->err);
    test_assert_ok(dlq_device_alloc(w->rt, gpu, 1024, &y, &w->err), &w->err);
    test_assert_ok(dlq_device_alloc(w->rt, gpu, size, &workspace, &w->err), &w->err);
    for (int i = 0; i < 256; ++i) {
        ((float *)emulator_touch(x))[i] = 1;
        ((float *)emulator_touch(y))[i] = -1;
    }
    const struct dlq_linear_io io = {
        .struct_size = sizeof(io),
        .m = m,
        .x = x,
        .y = y,
        .y_stride = stride,
        .stream = &stream,
        .workspace = workspace,
        .workspace_size = size,
    };
    test_assert_ok(dlq_linear_apply(layer, &io, &w->err), &w->err);
    memcpy(result, emulator_touch(y), sizeof(result));
    dlq_device_free(w->rt, gpu, x);
    dlq_device_free(w->rt, gpu, y);
    dlq_device_free(w->rt, gpu, workspace);
    return result;
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
    assert_true(emulator.uploads >= 2);
    const float *const y = run(&w, layer, 2, 3);
    assert_memory_equal(y, ((const float[]){33, 88, -1, 33, 88, -1}), 24);
    assert_int_equal(emulator.copies, 1);
    assert_ptr_equal(last_stream, &stream);
    assert_ptr_equal(emulator.last_stream, &stream);
    dlq_linear_destroy(layer);
    dlq_quant_config_destroy(d.config);
    fake_world_end(&w);
    assert_int_equal(emulator.live, 0);
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
    assert_int_equal(emulator.copies, 4);
    dlq_linear_destroy(layer);
    dlq_quant_config_destroy(d.config);
    fake_world_end(&w);
    assert_int_equal(emulator.live, 0);
}

static void
begin_plain(struct fake_world *w, struct dlq_linear_desc *d, dlq_linear **layer)
{
    *d = on_device(w, 4, 2);
    d->collective = NULL;
    test_assert_ok(dlq_linear_replicated_create(w->rt, d, layer, &w->err), &w->err);
}

static void
end_plain(struct fake_world *w, const struct dlq_linear_desc *d, dlq_linear *layer)
{
    dlq_linear_destroy(layer);
    dlq_quant_config_destroy(d->config);
    fake_world_end(w);
    assert_int_equal(emulator.live, 0);
}

static void
uploads_arrive_before_the_method_repacks(void **state)
{
    (void)state;
    struct fake_world w;
    struct dlq_linear_desc d;
    dlq_linear *layer = NULL;
    begin_plain(&w, &d, &layer);
    fake.repacks = true;
    load(&w, layer, 2, 4, (const float[]){1, 2, 3, 4, 5, 6, 7, 8});
    const float *const y = run(&w, layer, 1, 0);
    assert_memory_equal(y, ((const float[]){10, 27}), 8);
    end_plain(&w, &d, layer);
}

// Load what a checkpoint of these tensors holds. When it is closed its pages are gone.
static int32_t
load_file(struct fake_world *w, dlq_linear *layer, const struct test_tensor *tensors, size_t n)
{
    char *const dir = test_tmpdir();
    test_safetensors(dir, "model.safetensors", tensors, n);
    dlq_checkpoint *ckpt = NULL;
    test_assert_ok(dlq_checkpoint_open(w->rt, dir, DLQ_CHECKPOINT_NO_CONFIG, &ckpt, &w->err),
                   &w->err);
    const int32_t rc = dlq_linear_load_checkpoint(layer, ckpt, &w->err);
    dlq_checkpoint_close(ckpt);
    test_tmpdir_remove(dir);
    return rc;
}

static void
a_checkpoint_is_posted_and_read_before_load_returns(void **state)
{
    (void)state;
    static const float weight[] = {1, 2, 3, 4, 5, 6, 7, 8};
    static const float bias[] = {0, 1};
    const struct test_tensor tensors[] = {
        {"l.weight", "F32", 2, {2, 4}, weight, sizeof(weight)},
        {"l.bias", "F32", 1, {2}, bias, sizeof(bias)},
    };
    struct fake_world w;
    struct dlq_linear_desc d;
    dlq_linear *layer = NULL;
    begin_plain(&w, &d, &layer);
    test_assert_ok(load_file(&w, layer, tensors, 2), &w.err);
    assert_int_equal(emulator.posts, 2);
    assert_int_equal(emulator.uploads, 0);
    test_assert_ok(dlq_linear_process(layer, &w.err), &w.err);
    const float *const y = run(&w, layer, 1, 0);
    assert_memory_equal(y, ((const float[]){10, 27}), 8);
    end_plain(&w, &d, layer);
}

static void
a_load_that_fails_leaves_nothing_that_reads_the_checkpoint(void **state)
{
    (void)state;
    static const float weight[] = {1, 2, 3, 4, 5, 6, 7, 8};
    static const float bias[] = {0, 1, 2};
    const struct test_tensor tensors[] = {
        {"l.weight", "F32", 2, {2, 4}, weight, sizeof(weight)},
        {"l.weight2", "F32", 1, {3}, bias, sizeof(bias)},
    };
    struct fake_world w;
    struct dlq_linear_desc d;
    dlq_linear *layer = NULL;
    begin_plain(&w, &d, &layer);
    test_assert_ok(load_file(&w, layer, tensors, 2), &w.err);
    assert_int_equal(emulator.posts, 1);
    // The second time the weight is there already; what was posted is gone all the same.
    test_assert_error(load_file(&w, layer, tensors, 2), &w.err, DLQ_EEXIST, "is loaded already");
    assert_int_equal(emulator.flushes, 2);
    emulator.fail_flush = true;
    const struct test_tensor late = {"l.bias", "F32", 1, {2}, bias, 8};
    test_assert_error(load_file(&w, layer, &late, 1), &w.err, DLQ_EDEVICE,
                      "layer 'l': an upload failed");
    emulator.fail_flush = false;
    end_plain(&w, &d, layer);
}

static void
a_parameter_that_is_replaced_is_freed_at_once(void **state)
{
    (void)state;
    struct fake_world w;
    struct dlq_linear_desc d;
    dlq_linear *layer = NULL;
    begin_plain(&w, &d, &layer);
    const size_t own = emulator.bytes;
    assert_int_equal(own, 4 * 2 * sizeof(float) + 2 * sizeof(float));
    fake.repacks = true;
    load(&w, layer, 2, 4, (const float[]){1, 2, 3, 4, 5, 6, 7, 8});
    assert_int_equal(emulator.bytes, own);
    assert_int_equal(emulator.peak, own + 4 * 2 * sizeof(float));
    end_plain(&w, &d, layer);
}

static void
an_upload_that_failed_late_is_reported_by_process(void **state)
{
    (void)state;
    struct fake_world w;
    struct dlq_linear_desc d;
    dlq_linear *layer = NULL;
    begin_plain(&w, &d, &layer);
    const struct dlq_tensor t = fake_tensor(DLQ_F32, 2, 4, (const float[8]){0});
    const struct dlq_tensor b = fake_tensor(DLQ_F32, 2, 0, (const float[2]){0});
    test_assert_ok(dlq_linear_load_tensor(layer, "weight", dlq_part_fused(), &t, &w.err), &w.err);
    test_assert_ok(dlq_linear_load_tensor(layer, "bias", dlq_part_fused(), &b, &w.err), &w.err);
    emulator.fail_flush = true;
    test_assert_error(dlq_linear_process(layer, &w.err), &w.err, DLQ_EDEVICE,
                      "layer 'l': an upload failed");
    emulator.fail_flush = false;
    test_assert_error(dlq_linear_process(layer, &w.err), &w.err, DLQ_ESTATE,
                      "the first failed, so the layer can only be destroyed");
    end_plain(&w, &d, layer);
}

static void
device_memory_that_runs_out_names_the_parameter(void **state)
{
    (void)state;
    struct fake_world w;
    struct dlq_linear_desc d = on_device(&w, 4, 2);
    dlq_linear *layer = NULL;
    d.collective = NULL;
    emulator.room = 33;
    test_assert_error(dlq_linear_replicated_create(w.rt, &d, &layer, &w.err), &w.err, DLQ_ENOMEM,
                      "layer 'l': parameter 'bias': 8 bytes of device memory could not be had");
    end_plain(&w, &d, NULL);
}

int
main(void)
{
    fake.module_dir = TEST_DEVICE_DIR;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(row_sums_on_its_stream_without_touching_the_device),
        cmocka_unit_test(column_gathers_its_parts_on_the_device),
        cmocka_unit_test(uploads_arrive_before_the_method_repacks),
        cmocka_unit_test(a_checkpoint_is_posted_and_read_before_load_returns),
        cmocka_unit_test(a_load_that_fails_leaves_nothing_that_reads_the_checkpoint),
        cmocka_unit_test(a_parameter_that_is_replaced_is_freed_at_once),
        cmocka_unit_test(an_upload_that_failed_late_is_reported_by_process),
        cmocka_unit_test(device_memory_that_runs_out_names_the_parameter),
    };
    return cmocka_run_group_tests_name("linear_device", tests, NULL, NULL);
}
