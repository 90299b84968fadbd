// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "fake_plugin.h"
#include "support.h"

#include "float16.h"
#include "params.h"

#include <dlquant/linear.h>

#include <stdlib.h>
#include <string.h>

static const float weight[] = {1, 2, 3, 4, 5, 6};
static const float bias[] = {10, 20, 30};
static const float x[] = {1, 1, 0, 1, 1, 0};

// A processed layer of 2 inputs and 3 outputs. x of two rows times its weight: {3,7,11},{2,4,6}.
static dlq_linear *
make(struct fake_world *w, int row, uint32_t flags)
{
    struct dlq_linear_desc d = fake_desc("a.l", 2, 3);
    d.flags = flags;
    dlq_linear *layer = NULL;
    test_assert_ok(
        (row ? dlq_linear_row_create : dlq_linear_column_create)(w->rt, &d, &layer, &w->err),
        &w->err);
    const struct dlq_tensor tw = fake_tensor(DLQ_F32, 3, 2, weight);
    const struct dlq_tensor tb = fake_tensor(DLQ_F32, 3, 0, bias);
    test_assert_ok(dlq_linear_load_tensor(layer, "weight", dlq_part_fused(), &tw, &w->err),
                   &w->err);
    if (flags & DLQ_LINEAR_BIAS) {
        test_assert_ok(dlq_linear_load_tensor(layer, "bias", dlq_part_fused(), &tb, &w->err),
                       &w->err);
    }
    test_assert_ok(dlq_linear_process(layer, &w->err), &w->err);
    return layer;
}

static struct dlq_linear_io
io_of(int64_t m, const void *in, void *out)
{
    return (struct dlq_linear_io){
        .struct_size = sizeof(struct dlq_linear_io), .m = m, .x = in, .y = out};
}

static void
bias_is_added_by_column_and_row(void **state)
{
    (void)state;
    for (int row = 0; row < 2; ++row) {
        struct fake_world w;
        fake_world_begin(&w);
        dlq_linear *const layer = make(&w, row, DLQ_LINEAR_BIAS);
        float y[6];
        const struct dlq_linear_io io = io_of(2, x, y);
        test_assert_ok(dlq_linear_apply(layer, &io, &w.err), &w.err);
        assert_memory_equal(y, ((float[]){13, 27, 41, 12, 24, 36}), sizeof(y));
        struct dlq_tensor none;
        test_assert_error(dlq_linear_get_skipped_bias(layer, &none, &w.err), &w.err, DLQ_ENOTFOUND,
                          "layer 'a.l' adds its bias itself");
        dlq_linear_destroy(layer);
        fake_world_end(&w);
    }
}

static void
skipped_bias_is_returned_and_not_added(void **state)
{
    (void)state;
    for (int row = 0; row < 2; ++row) {
        struct fake_world w;
        fake_world_begin(&w);
        dlq_linear *layer = make(&w, row, DLQ_LINEAR_BIAS | DLQ_LINEAR_SKIP_BIAS_ADD);
        float y[3];
        const struct dlq_linear_io io = io_of(1, x, y);
        test_assert_ok(dlq_linear_apply(layer, &io, &w.err), &w.err);
        assert_memory_equal(y, ((float[]){3, 7, 11}), sizeof(y));
        struct dlq_tensor b;
        test_assert_ok(dlq_linear_get_skipped_bias(layer, &b, &w.err), &w.err);
        assert_int_equal(b.shape[0], 3);
        assert_memory_equal(b.data, bias, sizeof(bias));
        dlq_linear_destroy(layer);
        layer = make(&w, row, DLQ_LINEAR_SKIP_BIAS_ADD);
        test_assert_error(dlq_linear_get_skipped_bias(layer, &b, &w.err), &w.err, DLQ_ENOTFOUND,
                          "layer 'a.l' has no bias");
        dlq_linear_destroy(layer);
        fake_world_end(&w);
    }
}

static void
no_rows_return_without_the_method(void **state)
{
    (void)state;
    struct fake_world w;
    fake_world_begin(&w);
    dlq_linear *const layer = make(&w, 0, 0);
    const struct dlq_linear_io io = io_of(0, NULL, NULL);
    test_assert_ok(dlq_linear_apply(layer, &io, &w.err), &w.err);
    assert_int_equal(atomic_load(&fake.applied), 0);
    dlq_linear_destroy(layer);
    fake_world_end(&w);
}

static void
rows_may_be_apart(void **state)
{
    (void)state;
    struct fake_world w;
    fake_world_begin(&w);
    dlq_linear *const layer = make(&w, 1, 0);
    float y[] = {-1, -1, -1, -1, -1, -1, -1, -1};
    struct dlq_linear_io io = io_of(2, x, y);
    io.x_stride = 3;
    io.y_stride = 4;
    test_assert_ok(dlq_linear_apply(layer, &io, &w.err), &w.err);
    assert_memory_equal(y, ((float[]){3, 7, 11, -1, 3, 7, 11, -1}), sizeof(y));
    dlq_linear_destroy(layer);
    fake_world_end(&w);
}

static void
sixteen_bit_activations_have_their_width(void **state)
{
    (void)state;
    struct fake_world w;
    fake_world_begin(&w);
    struct dlq_linear_desc d = fake_desc("l", 2, 3);
    d.act_dtype = DLQ_BF16;
    dlq_linear *layer = NULL;
    test_assert_ok(dlq_linear_column_create(w.rt, &d, &layer, &w.err), &w.err);
    assert_int_equal(dlq_linear_info(layer)->params_dtype, DLQ_BF16);
    const struct dlq_tensor tw = fake_tensor(DLQ_F32, 3, 2, weight);
    test_assert_ok(dlq_linear_load_tensor(layer, "weight", dlq_part_fused(), &tw, &w.err), &w.err);
    test_assert_ok(dlq_linear_process(layer, &w.err), &w.err);
    const uint16_t one = dlq_f32_to_bf16(1);
    const uint16_t in[] = {one, one};
    uint16_t y[3];
    const struct dlq_linear_io io = io_of(1, in, y);
    test_assert_ok(dlq_linear_apply(layer, &io, &w.err), &w.err);
    assert_int_equal(y[2], dlq_f32_to_bf16(11));
    dlq_linear_destroy(layer);
    fake_world_end(&w);
}

static void
calls_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    struct fake_world w;
    fake_world_begin(&w);
    dlq_linear *const layer = make(&w, 0, 0);
    float y[6];
    struct dlq_linear_io io = io_of(1, x, y);
    io.struct_size = 8;
    test_assert_error(dlq_linear_apply(layer, &io, &w.err), &w.err, DLQ_EINVAL, "found 8 bytes");
    io = io_of(-1, x, y);
    test_assert_error(dlq_linear_apply(layer, &io, &w.err), &w.err, DLQ_EINVAL, "-1 rows");
    io = io_of(1, x, y);
    io.flags = DLQ_LINEAR_BIAS;
    test_assert_error(dlq_linear_apply(layer, &io, &w.err), &w.err, DLQ_EINVAL, "flags 0x1");
    io = io_of(1, NULL, y);
    test_assert_error(dlq_linear_apply(layer, &io, &w.err), &w.err, DLQ_EINVAL,
                      "layer 'a.l': expected x and y apart");
    io = io_of(1, y, y);
    test_assert_error(dlq_linear_apply(layer, &io, &w.err), &w.err, DLQ_EINVAL, "x and y apart");
    io = io_of(1, x, y);
    io.x_stride = 1;
    test_assert_error(dlq_linear_apply(layer, &io, &w.err), &w.err, DLQ_ESHAPE,
                      "strides: expected at least 2 for x and 3 for y, found 1 and 0");
    io.x_stride = 0;
    io.y_stride = 2;
    test_assert_error(dlq_linear_apply(layer, &io, &w.err), &w.err, DLQ_ESHAPE, "found 0 and 2");
    test_assert_error(dlq_linear_apply(layer, NULL, &w.err), &w.err, DLQ_EINVAL, "found 0 bytes");
    assert_int_equal(atomic_load(&fake.applied), 0);
    dlq_linear_destroy(layer);
    fake_world_end(&w);
}

static void
workspace_is_the_methods_and_checked(void **state)
{
    (void)state;
    struct fake_world w;
    fake_world_begin(&w);
    dlq_linear *const layer = make(&w, 0, 0);
    fake.workspace = 100;
    assert_int_equal(dlq_linear_workspace_size(layer, 3), 300);
    assert_int_equal(dlq_linear_workspace_size(layer, 0), 0);
    float y[3];
    struct dlq_linear_io io = io_of(1, x, y);
    test_assert_error(dlq_linear_apply(layer, &io, &w.err), &w.err, DLQ_EINVAL,
                      "layer 'a.l': workspace: expected 100 bytes aligned to 256, found 0");
    char *const scratch = aligned_alloc(256, 512);
    io.workspace = scratch + 1;
    io.workspace_size = 200;
    test_assert_error(dlq_linear_apply(layer, &io, &w.err), &w.err, DLQ_EINVAL, "found 200 at");
    io.workspace = scratch;
    io.workspace_size = 99;
    test_assert_error(dlq_linear_apply(layer, &io, &w.err), &w.err, DLQ_EINVAL, "found 99 at");
    io.workspace_size = 100;
    test_assert_ok(dlq_linear_apply(layer, &io, &w.err), &w.err);
    free(scratch);
    dlq_linear_destroy(layer);
    fake_world_end(&w);
}

static void
methods_error_names_the_layer(void **state)
{
    (void)state;
    struct fake_world w;
    fake_world_begin(&w);
    dlq_linear *const layer = make(&w, 0, 0);
    fake.apply_fails = DLQ_EDEVICE;
    float y[3];
    const struct dlq_linear_io io = io_of(1, x, y);
    test_assert_error(dlq_linear_apply(layer, &io, &w.err), &w.err, DLQ_EDEVICE,
                      "layer 'a.l': apply was told to fail");
    fake.explain_fails = DLQ_EINTERNAL;
    struct dlq_explanation why = {.struct_size = sizeof(why)};
    test_assert_error(dlq_linear_explain(layer, &why, &w.err), &w.err, DLQ_EINTERNAL,
                      "layer 'a.l' (unquantized): explain was told to fail");
    why.struct_size = 8;
    test_assert_error(dlq_linear_explain(layer, &why, &w.err), &w.err, DLQ_EINVAL, "found 8");
    dlq_linear_destroy(layer);
    fake_world_end(&w);
}

static void
layer_describes_itself(void **state)
{
    (void)state;
    struct fake_world w;
    fake_world_begin(&w);
    dlq_linear *const layer = make(&w, 1, DLQ_LINEAR_BIAS);
    char text[128];
    static const char expected[] = "RowParallelLinear a.l: K 2 of 2, N 3 of 3 in 1 part, rank 0 of "
                                   "1, unquantized plain, bias";
    assert_int_equal(dlq_linear_describe(layer, text, sizeof(text)), sizeof(expected) - 1);
    assert_string_equal(text, expected);
    assert_int_equal(dlq_linear_describe(layer, text, 8), sizeof(expected) - 1);
    assert_string_equal(text, "RowPara");
    assert_int_equal(dlq_linear_param_bytes(layer), 24 + 12);
    test_assert_error(dlq_linear_param_at(layer, 2, NULL, NULL, &w.err), &w.err, DLQ_ENOTFOUND,
                      "layer 'a.l' has 2 parameters, asked for number 2");
    void *method = NULL;
    assert_ptr_equal(dlq_linear_extension(layer, "test.fake/1", &method), &fake);
    assert_non_null(method);
    assert_null(dlq_linear_extension(layer, "test.other/1", NULL));
    dlq_linear_destroy(layer);
    dlq_linear_destroy(NULL);
    fake_world_end(&w);
}

static void
parameters_change_in_their_phase_only(void **state)
{
    (void)state;
    struct fake_world w;
    fake_world_begin(&w);
    dlq_linear *const layer = make(&w, 1, 0);
    const struct dlq_param_desc d = {.struct_size = sizeof(d), .name = "late"};
    test_assert_error(dlq_layer_param_declare(layer, &d, &w.err), &w.err, DLQ_ESTATE,
                      "layer 'a.l': parameters are declared inside create_weights() only");
    test_assert_error(dlq_layer_param_replace(layer, "weight", NULL, &w.err), &w.err, DLQ_ESTATE,
                      "parameter 'weight' is replaced inside process_weights() only");
    dlq_linear_destroy(layer);
    fake_world_end(&w);
}

static void
repacked_weight_takes_the_old_ones_place(void **state)
{
    (void)state;
    struct fake_world w;
    fake_world_begin(&w);
    fake.repacks = true;
    dlq_linear *const layer = make(&w, 1, 0);
    float y[3];
    const struct dlq_linear_io io = io_of(1, x, y);
    test_assert_ok(dlq_linear_apply(layer, &io, &w.err), &w.err);
    assert_memory_equal(y, ((float[]){3, 7, 11}), sizeof(y));
    assert_int_equal(dlq_linear_param_bytes(layer), 24);
    dlq_linear_destroy(layer);
    fake_world_end(&w);
}

static void
apply_allocates_nothing(void **state)
{
    (void)state;
    struct fake_world w;
    fake_world_begin(&w);
    dlq_runtime_destroy(w.rt);
    struct test_allocator t;
    test_allocator_init(&t);
    test_assert_ok(fake_runtime(&t.a, NULL, NULL, &w.rt, &w.err), &w.err);
    dlq_linear *const layer = make(&w, 1, DLQ_LINEAR_BIAS);
    const long before = t.calls;
    float y[3];
    const struct dlq_linear_io io = io_of(1, x, y);
    test_assert_ok(dlq_linear_apply(layer, &io, &w.err), &w.err);
    assert_int_equal(t.calls, before);
    dlq_linear_destroy(layer);
    fake_world_end(&w);
    assert_int_equal(t.live, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bias_is_added_by_column_and_row),
        cmocka_unit_test(skipped_bias_is_returned_and_not_added),
        cmocka_unit_test(no_rows_return_without_the_method),
        cmocka_unit_test(rows_may_be_apart),
        cmocka_unit_test(sixteen_bit_activations_have_their_width),
        cmocka_unit_test(calls_that_make_no_sense_are_refused),
        cmocka_unit_test(workspace_is_the_methods_and_checked),
        cmocka_unit_test(methods_error_names_the_layer),
        cmocka_unit_test(layer_describes_itself),
        cmocka_unit_test(parameters_change_in_their_phase_only),
        cmocka_unit_test(repacked_weight_takes_the_old_ones_place),
        cmocka_unit_test(apply_allocates_nothing),
    };
    return cmocka_run_group_tests_name("linear_apply", tests, NULL, NULL);
}
