// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "params_fixture.h"

static void
column_rank_gets_its_rows(void **state)
{
    (void)state;
    struct params_fixture f;
    params_begin(&f, 2, false, (const int64_t[]){6}, 1, 1, 2);
    const struct dlq_param_desc d = params_describe("weight", DLQ_I32, 3, 2);
    test_assert_ok(params_declare(&f, &d), &f.err);
    int32_t full[12];
    params_count_up(full, 12);
    const struct dlq_tensor t = params_tensor(DLQ_I32, 2, 6, 2, full);
    test_assert_ok(params_load(&f, "weight", 0, 0, &t), &f.err);
    assert_memory_equal(params_data(&f, "weight"), full + 6, 24);
    assert_int_equal(f.uploads, 1);
    params_end(&f);
}

static void
row_rank_gets_its_columns(void **state)
{
    (void)state;
    struct params_fixture f;
    params_begin(&f, 4, true, (const int64_t[]){3}, 1, 1, 2);
    const struct dlq_param_desc d = params_describe("weight", DLQ_I32, 3, 2);
    test_assert_ok(params_declare(&f, &d), &f.err);
    int32_t full[12];
    params_count_up(full, 12);
    const struct dlq_tensor t = params_tensor(DLQ_I32, 2, 3, 4, full);
    test_assert_ok(params_load(&f, "weight", 0, 0, &t), &f.err);
    assert_memory_equal(params_data(&f, "weight"), ((int32_t[]){2, 3, 6, 7, 10, 11}), 24);
    params_end(&f);
}

static void
merged_parts_lie_side_by_side_from_parts_or_fused(void **state)
{
    (void)state;
    int32_t full[24];
    params_count_up(full, 24);
    const int32_t expected[] = {8, 9, 10, 11, 12, 13, 14, 15, 20, 21, 22, 23};
    for (int fused = 0; fused < 2; ++fused) {
        struct params_fixture f;
        params_begin(&f, 2, false, (const int64_t[]){8, 4}, 2, 1, 2);
        const struct dlq_param_desc d = params_describe("weight", DLQ_I32, 6, 2);
        test_assert_ok(params_declare(&f, &d), &f.err);
        if (fused) {
            const struct dlq_tensor t = params_tensor(DLQ_I32, 2, 12, 2, full);
            test_assert_ok(params_load(&f, "weight", 0, 1, &t), &f.err);
        } else {
            const struct dlq_tensor up = params_tensor(DLQ_I32, 2, 4, 2, full + 16);
            const struct dlq_tensor gate = params_tensor(DLQ_I32, 2, 8, 2, full);
            test_assert_ok(params_load(&f, "weight", 1, 1, &up), &f.err);
            test_assert_ok(params_load(&f, "weight", 0, 0, &gate), &f.err);
        }
        test_assert_ok(dlq_params_check(&f.params, &f.err), &f.err);
        assert_memory_equal(params_data(&f, "weight"), expected, sizeof(expected));
        params_end(&f);
    }
}

static void
partly_fused_tensor_begins_at_its_own_first_part(void **state)
{
    (void)state;
    struct params_fixture f;
    params_begin(&f, 1, false, (const int64_t[]){4, 2, 2}, 3, 1, 2);
    const struct dlq_param_desc d = params_describe("weight", DLQ_I32, 4, 1);
    test_assert_ok(params_declare(&f, &d), &f.err);
    const int32_t first[] = {1, 2, 3, 4};
    const int32_t others[] = {5, 6, 7, 8};
    const struct dlq_tensor a = params_tensor(DLQ_I32, 2, 4, 1, first);
    const struct dlq_tensor b = params_tensor(DLQ_I32, 2, 4, 1, others);
    test_assert_ok(params_load(&f, "weight", 1, 2, &b), &f.err);
    test_assert_error(dlq_params_check(&f.params, &f.err), &f.err, DLQ_EINCOMPLETE,
                      "layer 'l': not loaded: 'weight' (part 0)");
    test_assert_ok(params_load(&f, "weight", 0, 0, &a), &f.err);
    assert_memory_equal(params_data(&f, "weight"), ((int32_t[]){3, 4, 6, 8}), 16);
    params_end(&f);
}

static void
packed_outputs_are_cut_in_words(void **state)
{
    (void)state;
    struct params_fixture f;
    params_begin(&f, 2, false, (const int64_t[]){16, 8}, 2, 0, 1);
    const struct dlq_param_desc d = params_describe_awq("qweight", 2, 3, 0, 0);
    test_assert_ok(params_declare(&f, &d), &f.err);
    const int32_t gate[] = {1, 2, 3, 4};
    const int32_t up[] = {5, 6};
    const struct dlq_tensor a = params_tensor(DLQ_I32, 2, 2, 2, gate);
    const struct dlq_tensor b = params_tensor(DLQ_I32, 2, 2, 1, up);
    test_assert_ok(params_load(&f, "qweight", 0, 0, &a), &f.err);
    test_assert_ok(params_load(&f, "qweight", 1, 1, &b), &f.err);
    assert_memory_equal(params_data(&f, "qweight"), ((int32_t[]){1, 2, 5, 3, 4, 6}), 24);
    params_end(&f);
}

static void
slots_take_scalars_of_each_part(void **state)
{
    (void)state;
    struct params_fixture f;
    params_begin(&f, 2, false, (const int64_t[]){8, 4}, 2, 1, 2);
    const struct dlq_param_desc d = params_describe_slots(2, 0);
    test_assert_ok(params_declare(&f, &d), &f.err);
    const float values[] = {0.5f, 0.25f};
    const struct dlq_tensor scalar = params_tensor(DLQ_F32, 0, 0, 0, &values[0]);
    const struct dlq_tensor one = params_tensor(DLQ_F32, 1, 0, 1, &values[1]);
    test_assert_ok(params_load(&f, "scale", 1, 1, &one), &f.err);
    test_assert_ok(params_load(&f, "scale", 0, 0, &scalar), &f.err);
    assert_memory_equal(params_data(&f, "scale"), values, 8);
    params_end(&f);
}

static void
fused_scalar_fills_the_slots_of_its_parts(void **state)
{
    (void)state;
    struct params_fixture f;
    params_begin(&f, 2, false, (const int64_t[]){8, 4, 4}, 3, 0, 1);
    const struct dlq_param_desc d = params_describe_slots(3, 0);
    test_assert_ok(params_declare(&f, &d), &f.err);
    const float values[] = {0.5f, 0.25f};
    const struct dlq_tensor a = params_tensor(DLQ_F32, 0, 0, 0, &values[0]);
    const struct dlq_tensor b = params_tensor(DLQ_F32, 0, 0, 0, &values[1]);
    test_assert_ok(params_load(&f, "scale", 0, 0, &a), &f.err);
    test_assert_ok(params_load(&f, "scale", 1, 2, &b), &f.err);
    assert_memory_equal(params_data(&f, "scale"), ((float[]){0.5f, 0.25f, 0.25f}), 12);
    params_end(&f);
}

static void
slot_refuses_more_than_one_element(void **state)
{
    (void)state;
    struct params_fixture f;
    params_begin(&f, 2, false, (const int64_t[]){8, 4}, 2, 0, 1);
    const struct dlq_param_desc d = params_describe_slots(2, 0);
    test_assert_ok(params_declare(&f, &d), &f.err);
    const float values[] = {0.5f, 0.25f};
    const struct dlq_tensor t = params_tensor(DLQ_F32, 1, 0, 2, values);
    test_assert_error(params_load(&f, "scale", 0, 1, &t), &f.err, DLQ_ESHAPE,
                      "expected F32 [1], found F32 [2]");
    params_end(&f);
}

static void
replicated_values_of_all_parts_must_agree(void **state)
{
    (void)state;
    struct params_fixture f;
    params_begin(&f, 2, false, (const int64_t[]){8, 4}, 2, 0, 1);
    const struct dlq_param_desc d = params_describe_vector(
        "input_scale", DLQ_F32, 1, DLQ_PARAM_REPLICATED | DLQ_PARAM_ACCEPT_0D);
    test_assert_ok(params_declare(&f, &d), &f.err);
    const float a = 0.5f;
    const float b = 0.25f;
    const struct dlq_tensor ta = params_tensor(DLQ_F32, 0, 0, 0, &a);
    const struct dlq_tensor tb = params_tensor(DLQ_F32, 0, 0, 0, &b);
    test_assert_ok(params_load(&f, "input_scale", 0, 0, &ta), &f.err);
    test_assert_error(params_load(&f, "input_scale", 1, 1, &tb), &f.err, DLQ_EFORMAT,
                      "for part 1: expected the values of part '0', which all parts share");
    assert_float_equal(*(const float *)params_data(&f, "input_scale"), 0.5f, 0);
    test_assert_ok(params_load(&f, "input_scale", 1, 1, &ta), &f.err);
    test_assert_ok(dlq_params_check(&f.params, &f.err), &f.err);
    params_end(&f);
}

static void
last_write_stays_where_it_is_allowed(void **state)
{
    (void)state;
    struct params_fixture f;
    params_begin(&f, 2, false, (const int64_t[]){8, 4}, 2, 0, 1);
    const struct dlq_param_desc d = params_describe_vector(
        "weight_shape", DLQ_I64, 2, DLQ_PARAM_REPLICATED | DLQ_PARAM_LAST_WRITE_OK);
    test_assert_ok(params_declare(&f, &d), &f.err);
    const int64_t a[] = {8, 2};
    const int64_t b[] = {4, 2};
    const struct dlq_tensor ta = params_tensor(DLQ_I64, 1, 0, 2, a);
    const struct dlq_tensor tb = params_tensor(DLQ_I64, 1, 0, 2, b);
    test_assert_ok(params_load(&f, "weight_shape", 0, 0, &ta), &f.err);
    test_assert_ok(params_load(&f, "weight_shape", 0, 0, &ta), &f.err);
    test_assert_ok(params_load(&f, "weight_shape", 1, 1, &tb), &f.err);
    assert_memory_equal(params_data(&f, "weight_shape"), b, sizeof(b));
    params_end(&f);
}

static void
second_write_is_refused(void **state)
{
    (void)state;
    struct params_fixture f;
    params_begin(&f, 2, false, (const int64_t[]){1, 1}, 2, 0, 1);
    const struct dlq_param_desc d = params_describe("weight", DLQ_I32, 2, 2);
    test_assert_ok(params_declare(&f, &d), &f.err);
    const int32_t row[] = {1, 2};
    const struct dlq_tensor t = params_tensor(DLQ_I32, 2, 1, 2, row);
    test_assert_ok(params_load(&f, "weight", 0, 0, &t), &f.err);
    test_assert_error(params_load(&f, "weight", 0, 0, &t), &f.err, DLQ_EEXIST,
                      "layer 'l': parameter 'weight': tensor 'm.l.tensor' in a.safetensors for "
                      "part 0: part '0' is loaded already");
    params_end(&f);
}

static void
wrong_shape_names_tensor_file_shapes_and_slice(void **state)
{
    (void)state;
    struct params_fixture f;
    params_begin(&f, 2, false, (const int64_t[]){6}, 1, 1, 2);
    const struct dlq_param_desc d = params_describe("weight", DLQ_I32, 3, 2);
    test_assert_ok(params_declare(&f, &d), &f.err);
    int32_t full[12] = {0};
    const struct dlq_tensor t = params_tensor(DLQ_I32, 2, 5, 2, full);
    test_assert_error(params_load(&f, "weight", 0, 0, &t), &f.err, DLQ_ESHAPE,
                      "layer 'l': parameter 'weight': tensor 'm.l.tensor' in a.safetensors: "
                      "expected I32 [6, 2], found I32 [5, 2]; the slice for rank 1 of 2 is [3:6, "
                      "0:2]");
    // A failed load leaves the part unfilled.
    test_assert_error(dlq_params_check(&f.params, &f.err), &f.err, DLQ_EINCOMPLETE, "'weight'");
    params_end(&f);
}

static void
vector_stands_for_a_column_where_allowed(void **state)
{
    (void)state;
    struct params_fixture f;
    params_begin(&f, 2, false, (const int64_t[]){4}, 1, 1, 2);
    struct dlq_param_desc d = params_describe("weight_scale", DLQ_I32, 2, 1);
    d.input_dim = -1;
    test_assert_ok(params_declare(&f, &d), &f.err);
    d.name = "other";
    d.flags = DLQ_PARAM_ACCEPT_1D;
    test_assert_ok(params_declare(&f, &d), &f.err);
    const int32_t values[] = {1, 2, 3, 4};
    const struct dlq_tensor t = params_tensor(DLQ_I32, 1, 0, 4, values);
    test_assert_error(params_load(&f, "weight_scale", 0, 0, &t), &f.err, DLQ_ESHAPE,
                      "expected I32 [4, 1], found I32 [4]");
    test_assert_ok(params_load(&f, "other", 0, 0, &t), &f.err);
    assert_memory_equal(params_data(&f, "other"), values + 2, 8);
    params_end(&f);
}

static void
scalar_stands_for_one_element_where_allowed(void **state)
{
    (void)state;
    struct params_fixture f;
    params_begin(&f, 2, false, (const int64_t[]){4}, 1, 0, 1);
    const struct dlq_param_desc strict = params_describe_vector("a", DLQ_I32, 1, 0);
    const struct dlq_param_desc loose =
        params_describe_vector("b", DLQ_I32, 1, DLQ_PARAM_ACCEPT_0D);
    test_assert_ok(params_declare(&f, &strict), &f.err);
    test_assert_ok(params_declare(&f, &loose), &f.err);
    const int32_t value = 7;
    const struct dlq_tensor t = params_tensor(DLQ_I32, 0, 0, 0, &value);
    test_assert_error(params_load(&f, "a", 0, 0, &t), &f.err, DLQ_ESHAPE,
                      "expected I32 [1], found I32 []");
    test_assert_ok(params_load(&f, "b", 0, 0, &t), &f.err);
    assert_int_equal(*(const int32_t *)params_data(&f, "b"), 7);
    params_end(&f);
}

static void
empty_parameter_takes_an_empty_tensor(void **state)
{
    (void)state;
    struct params_fixture f;
    params_begin(&f, 2, false, (const int64_t[]){4}, 1, 0, 1);
    const struct dlq_param_desc d = params_describe_vector("g_idx", DLQ_I32, 0, 0);
    test_assert_ok(params_declare(&f, &d), &f.err);
    const struct dlq_tensor t = params_tensor(DLQ_I32, 1, 0, 0, NULL);
    test_assert_ok(params_load(&f, "g_idx", 0, 0, &t), &f.err);
    test_assert_ok(dlq_params_check(&f.params, &f.err), &f.err);
    params_end(&f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(column_rank_gets_its_rows),
        cmocka_unit_test(row_rank_gets_its_columns),
        cmocka_unit_test(merged_parts_lie_side_by_side_from_parts_or_fused),
        cmocka_unit_test(partly_fused_tensor_begins_at_its_own_first_part),
        cmocka_unit_test(packed_outputs_are_cut_in_words),
        cmocka_unit_test(slots_take_scalars_of_each_part),
        cmocka_unit_test(fused_scalar_fills_the_slots_of_its_parts),
        cmocka_unit_test(slot_refuses_more_than_one_element),
        cmocka_unit_test(replicated_values_of_all_parts_must_agree),
        cmocka_unit_test(last_write_stays_where_it_is_allowed),
        cmocka_unit_test(second_write_is_refused),
        cmocka_unit_test(wrong_shape_names_tensor_file_shapes_and_slice),
        cmocka_unit_test(vector_stands_for_a_column_where_allowed),
        cmocka_unit_test(scalar_stands_for_one_element_where_allowed),
        cmocka_unit_test(empty_parameter_takes_an_empty_tensor),
    };
    return cmocka_run_group_tests_name("params_load", tests, NULL, NULL);
}
