// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "params_fixture.h"

#include "float16.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void
other_dtype_needs_the_cast_flag(void **state)
{
    (void)state;
    struct params_fixture f;
    params_begin(&f, 2, false, (const int64_t[]){1}, 1, 0, 1);
    struct dlq_param_desc d = params_describe("weight", DLQ_F32, 1, 2);
    test_assert_ok(params_declare(&f, &d), &f.err);
    const uint16_t half[] = {dlq_f32_to_f16(1.5f), dlq_f32_to_f16(-2.0f)};
    struct dlq_tensor t = params_tensor(DLQ_F16, 2, 1, 2, half);
    test_assert_error(params_load(&f, "weight", 0, 0, &t), &f.err, DLQ_EDTYPE,
                      "expected F32, found F16");
    t.dtype = DLQ_DTYPE(99, 16);
    test_assert_error(params_load(&f, "weight", 0, 0, &t), &f.err, DLQ_EDTYPE, "found unknown");
    t.dtype = DLQ_F16;
    d.name = "cast";
    d.flags = DLQ_PARAM_CAST;
    test_assert_ok(params_declare(&f, &d), &f.err);
    test_assert_ok(params_load(&f, "cast", 0, 0, &t), &f.err);
    assert_memory_equal(params_data(&f, "cast"), ((float[]){1.5f, -2.0f}), 8);
    params_end(&f);
}

static void
cast_goes_through_a_bounded_buffer(void **state)
{
    (void)state;
    enum { rows = 3, cols = 150000 };
    struct params_fixture f;
    params_begin(&f, cols, false, (const int64_t[]){rows}, 1, 0, 1);
    struct test_allocator t;
    test_allocator_init(&t);
    f.params.alloc = &t.a;
    struct dlq_param_desc d = params_describe("weight", DLQ_F32, rows, cols);
    d.flags = DLQ_PARAM_CAST;
    test_assert_ok(params_declare(&f, &d), &f.err);
    uint16_t *const half = malloc(sizeof(*half) * rows * cols);
    for (int i = 0; i < rows * cols; ++i) {
        half[i] = dlq_f32_to_f16((float)(i % 2048));
    }
    const struct dlq_tensor src = params_tensor(DLQ_F16, 2, rows, cols, half);
    test_assert_ok(params_load(&f, "weight", 0, 0, &src), &f.err);
    const float *const got = params_data(&f, "weight");
    for (int i = 0; i < rows * cols; ++i) {
        assert_true(got[i] == (float)(i % 2048));
    }
    assert_true(t.peak <= 300 * 1024);
    free(half);
    params_end(&f);
    assert_int_equal(t.live, 0);
}

static void
value_that_a_cast_cannot_hold_is_an_error(void **state)
{
    (void)state;
    struct params_fixture f;
    params_begin(&f, 2, false, (const int64_t[]){1}, 1, 0, 1);
    struct dlq_param_desc d = params_describe("zero_point", DLQ_I8, 1, 2);
    d.flags = DLQ_PARAM_CAST;
    test_assert_ok(params_declare(&f, &d), &f.err);
    const int32_t wide[] = {1, 300};
    const struct dlq_tensor t = params_tensor(DLQ_I32, 2, 1, 2, wide);
    test_assert_error(params_load(&f, "zero_point", 0, 0, &t), &f.err, DLQ_EOVERFLOW,
                      "a value of I32 does not fit I8");
    params_end(&f);
}

static void
element_that_is_not_finite_is_named_by_its_index(void **state)
{
    (void)state;
    struct params_fixture f;
    params_begin(&f, 2, false, (const int64_t[]){4}, 1, 1, 2);
    struct dlq_param_desc d = params_describe("scales", DLQ_F32, 2, 2);
    d.flags = DLQ_PARAM_FINITE;
    test_assert_ok(params_declare(&f, &d), &f.err);
    float values[] = {1, 2, NAN, 4, 5, 6, 7, INFINITY};
    const struct dlq_tensor t = params_tensor(DLQ_F32, 2, 4, 2, values);
    test_assert_error(params_load(&f, "scales", 0, 0, &t), &f.err, DLQ_EFORMAT,
                      "element [3, 1] is not finite as F32");
    values[7] = 8;
    // The NaN of the other rank's rows is the other rank's error.
    test_assert_ok(params_load(&f, "scales", 0, 0, &t), &f.err);
    params_end(&f);
}

static void
threads_find_the_first_element_that_is_not_finite(void **state)
{
    (void)state;
    enum { rows = 700, cols = 1000 };
    struct params_fixture f;
    params_begin(&f, cols, false, (const int64_t[]){rows}, 1, 1, 2);
    struct dlq_param_desc d = params_describe("scales", DLQ_BF16, rows / 2, cols);
    d.flags = DLQ_PARAM_FINITE;
    test_assert_ok(params_declare(&f, &d), &f.err);
    uint16_t *const values = malloc(sizeof(*values) * rows * cols + 1);
    // Checkpoints do not align.
    uint16_t *const odd = (uint16_t *)(void *)((char *)values + 1);
    static const uint16_t good = 0x3F80;
    static const uint16_t bad = 0xFF80;
    for (int i = 0; i < rows * cols; ++i) {
        memcpy((char *)odd + 2 * i, &good, 2);
    }
    memcpy((char *)odd + 2 * (349 * cols + 999), &bad, 2);
    memcpy((char *)odd + 2 * (480 * cols + 123), &bad, 2);
    memcpy((char *)odd + 2 * (690 * cols + 7), &bad, 2);
    const struct dlq_tensor t = params_tensor(DLQ_BF16, 2, rows, cols, odd);
    test_assert_error(params_load(&f, "scales", 0, 0, &t), &f.err, DLQ_EFORMAT,
                      "element [480, 123] is not finite as BF16");
    assert_int_equal(f.uploads, 0);
    assert_true(f.tasks > 1);
    memcpy((char *)odd + 2 * (480 * cols + 123), &good, 2);
    memcpy((char *)odd + 2 * (690 * cols + 7), &good, 2);
    test_assert_ok(params_load(&f, "scales", 0, 0, &t), &f.err);
    // No buffer between: one upload for all rows.
    assert_int_equal(f.uploads, 1);
    assert_memory_equal(params_data(&f, "scales"), (char *)odd + 2 * 350 * cols, 2 * 350 * cols);
    free(values);
    params_end(&f);
}

static void
cast_that_overflows_is_not_finite(void **state)
{
    (void)state;
    struct params_fixture f;
    params_begin(&f, 1, false, (const int64_t[]){2}, 1, 0, 1);
    struct dlq_param_desc d =
        params_describe_vector("bias", DLQ_F16, 2, DLQ_PARAM_FINITE | DLQ_PARAM_CAST);
    d.output_dim = 0;
    test_assert_ok(params_declare(&f, &d), &f.err);
    const float values[] = {1, 1e6f};
    const struct dlq_tensor t = params_tensor(DLQ_F32, 1, 0, 2, values);
    test_assert_error(params_load(&f, "bias", 0, 0, &t), &f.err, DLQ_EFORMAT,
                      "element [1] is not finite as F16");
    params_end(&f);
}

static void
every_floating_point_type_knows_what_is_not_finite(void **state)
{
    (void)state;
    static const struct {
        uint32_t dtype;
        uint64_t good, bad;
    } cases[] = {
        {DLQ_F16, 0x7BFF, 0xFC00},         {DLQ_BF16, 0x7F7F, 0x7FC0},
        {DLQ_F32, 0x7F7FFFFF, 0x7F800000}, {DLQ_F64, 0x7FEFFFFFFFFFFFFF, 0xFFF0000000000000},
        {DLQ_F8_E4M3, 0x7E, 0xFF},         {DLQ_F8_E5M2, 0x7B, 0xFC},
        {DLQ_F8_E4M3FNUZ, 0x7F, 0x80},     {DLQ_F8_E5M2FNUZ, 0x7F, 0x80},
        {DLQ_F8_E8M0, 0xFE, 0xFF},
    };
    for (size_t i = 0; i < TEST_COUNT(cases); ++i) {
        struct params_fixture f;
        params_begin(&f, 1, false, (const int64_t[]){1}, 1, 0, 1);
        const struct dlq_param_desc d = params_describe_vector(
            "s", cases[i].dtype, 1, DLQ_PARAM_FINITE | DLQ_PARAM_LAST_WRITE_OK);
        test_assert_ok(params_declare(&f, &d), &f.err);
        const struct dlq_tensor good = params_tensor(cases[i].dtype, 1, 0, 1, &cases[i].good);
        const struct dlq_tensor bad = params_tensor(cases[i].dtype, 1, 0, 1, &cases[i].bad);
        test_assert_ok(params_load(&f, "s", 0, 0, &good), &f.err);
        test_assert_error(params_load(&f, "s", 0, 0, &bad), &f.err, DLQ_EFORMAT,
                          "element [0] is not finite");
        // What was written before does not count any more.
        test_assert_error(dlq_params_check(&f.params, &f.err), &f.err, DLQ_EINCOMPLETE, "'s'");
        params_end(&f);
    }
}

static void
replicated_value_must_be_finite_too(void **state)
{
    (void)state;
    struct params_fixture f;
    params_begin(&f, 2, false, (const int64_t[]){8, 4}, 2, 0, 1);
    const struct dlq_param_desc d =
        params_describe_vector("input_scale", DLQ_F32, 1, DLQ_PARAM_REPLICATED | DLQ_PARAM_FINITE);
    test_assert_ok(params_declare(&f, &d), &f.err);
    const float bad = NAN;
    const struct dlq_tensor t = params_tensor(DLQ_F32, 1, 0, 1, &bad);
    test_assert_error(params_load(&f, "input_scale", 0, 1, &t), &f.err, DLQ_EFORMAT,
                      "is not finite");
    params_end(&f);
}

static void
higher_dimensions_are_cut_in_the_middle(void **state)
{
    (void)state;
    struct params_fixture f;
    params_begin(&f, 4, true, (const int64_t[]){2}, 1, 1, 2);
    struct dlq_param_desc d = params_describe("w", DLQ_I32, 2, 2);
    d.ndim = 4;
    d.shape[2] = 1;
    d.shape[3] = 2;
    test_assert_ok(params_declare(&f, &d), &f.err);
    int32_t full[16];
    params_count_up(full, 16);
    struct dlq_tensor t = params_tensor(DLQ_I32, 2, 2, 4, full);
    t.ndim = 4;
    t.shape[2] = 1;
    t.shape[3] = 2;
    t.strides[0] = 8;
    t.strides[1] = 2;
    t.strides[2] = 2;
    t.strides[3] = 1;
    test_assert_ok(params_load(&f, "w", 0, 0, &t), &f.err);
    assert_memory_equal(params_data(&f, "w"), ((int32_t[]){4, 5, 6, 7, 12, 13, 14, 15}), 32);
    t.strides[1] = 4;
    f.params.items[0]->written[0] = 0;
    test_assert_error(params_load(&f, "w", 0, 0, &t), &f.err, DLQ_EINVAL,
                      "expected row-major data");
    params_end(&f);
}

// A [2, 2, 4, 2] tensor cut along its third dimension; the outer two are walked one by one.
static void
outer_dimensions_are_walked_with_and_without_a_cast(void **state)
{
    (void)state;
    for (int cast = 0; cast < 2; ++cast) {
        struct params_fixture f;
        params_begin(&f, 2, false, (const int64_t[]){4}, 1, 1, 2);
        struct dlq_param_desc d = params_describe("w", cast ? DLQ_F32 : DLQ_I32, 2, 2);
        d.flags = cast ? DLQ_PARAM_CAST : 0u;
        d.ndim = 4;
        d.shape[2] = 2;
        d.shape[3] = 2;
        d.output_dim = 2;
        d.input_dim = 3;
        test_assert_ok(params_declare(&f, &d), &f.err);
        int32_t full[32];
        params_count_up(full, 32);
        struct dlq_tensor t = params_tensor(DLQ_I32, 2, 2, 2, full);
        const int64_t shape[] = {2, 2, 4, 2};
        const int64_t strides[] = {16, 8, 2, 1};
        t.ndim = 4;
        memcpy(t.shape, shape, sizeof(shape));
        memcpy(t.strides, strides, sizeof(strides));
        test_assert_ok(params_load(&f, "w", 0, 0, &t), &f.err);
        for (int i = 0; i < 16; ++i) {
            const int32_t expected = i / 4 * 8 + 4 + i % 4;
            if (cast) {
                assert_true(((const float *)params_data(&f, "w"))[i] == (float)expected);
            } else {
                assert_int_equal(((const int32_t *)params_data(&f, "w"))[i], expected);
            }
        }
        params_end(&f);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(other_dtype_needs_the_cast_flag),
        cmocka_unit_test(cast_goes_through_a_bounded_buffer),
        cmocka_unit_test(value_that_a_cast_cannot_hold_is_an_error),
        cmocka_unit_test(element_that_is_not_finite_is_named_by_its_index),
        cmocka_unit_test(threads_find_the_first_element_that_is_not_finite),
        cmocka_unit_test(cast_that_overflows_is_not_finite),
        cmocka_unit_test(every_floating_point_type_knows_what_is_not_finite),
        cmocka_unit_test(replicated_value_must_be_finite_too),
        cmocka_unit_test(higher_dimensions_are_cut_in_the_middle),
        cmocka_unit_test(outer_dimensions_are_walked_with_and_without_a_cast),
    };
    return cmocka_run_group_tests_name("params_copy", tests, NULL, NULL);
}
