// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "params_fixture.h"

#include "alloc.h"

static int32_t
declare_and_load(void *ctx, struct test_allocator *t, struct dlq_error *err)
{
    (void)ctx;
    struct params_fixture f;
    params_begin(&f, 2, false, (const int64_t[]){4, 4}, 2, 0, 1);
    f.params.alloc = &t->a;
    struct dlq_param_desc d = params_describe("w", DLQ_F32, 8, 2);
    d.flags = DLQ_PARAM_CAST | DLQ_PARAM_SENTINEL;
    int32_t rc = dlq_params_declare(&f.params, &d, NULL, err);
    const uint16_t half[16] = {0};
    const struct dlq_tensor src = params_tensor(DLQ_F16, 2, 8, 2, half);
    const struct dlq_param_source source = {.tensor = &src, .name = "t", .last = 1};
    if (rc == DLQ_OK) {
        rc = dlq_params_load(&f.params, f.params.items[0], &source, err);
    }
    params_end(&f);
    return rc;
}

static void
sentinel_fills_storage_until_it_is_loaded(void **state)
{
    (void)state;
    struct params_fixture f;
    params_begin(&f, 2, false, (const int64_t[]){4, 4}, 2, 0, 1);
    struct dlq_param_desc d = params_describe_slots(2, DLQ_PARAM_SENTINEL);
    d.fill = -1;
    test_assert_ok(params_declare(&f, &d), &f.err);
    assert_memory_equal(params_data(&f, "scale"), ((float[]){-1, -1}), 8);
    const float value = 3;
    const struct dlq_tensor t = params_tensor(DLQ_F32, 0, 0, 0, &value);
    test_assert_ok(params_load(&f, "scale", 1, 1, &t), &f.err);
    assert_memory_equal(params_data(&f, "scale"), ((float[]){-1, 3}), 8);
    params_end(&f);
}

static void
optional_parameter_has_storage_once_it_is_loaded(void **state)
{
    (void)state;
    struct params_fixture f;
    params_begin(&f, 2, false, (const int64_t[]){4}, 1, 0, 1);
    const struct dlq_param_desc d = params_describe_vector("g_idx", DLQ_I32, 2, DLQ_PARAM_OPTIONAL);
    test_assert_ok(params_declare(&f, &d), &f.err);
    assert_int_equal(dlq_params_bytes(&f.params), 0);
    struct dlq_tensor view;
    test_assert_error(dlq_params_get(&f.params, "g_idx", &view, &f.err), &f.err, DLQ_ENOTFOUND,
                      "layer 'l': parameter 'g_idx' is optional and was not loaded");
    test_assert_ok(dlq_params_check(&f.params, &f.err), &f.err);
    const int32_t values[] = {1, 0};
    const struct dlq_tensor t = params_tensor(DLQ_I32, 1, 0, 2, values);
    test_assert_ok(params_load(&f, "g_idx", 0, 0, &t), &f.err);
    assert_memory_equal(params_data(&f, "g_idx"), values, 8);
    assert_int_equal(dlq_params_bytes(&f.params), 8);
    params_end(&f);
}

static void
missing_parameters_are_listed_with_their_parts(void **state)
{
    (void)state;
    struct params_fixture f;
    params_begin(&f, 2, false, (const int64_t[]){1, 1, 1}, 3, 0, 1);
    struct dlq_param_desc d = params_describe("weight", DLQ_I32, 3, 2);
    test_assert_ok(params_declare(&f, &d), &f.err);
    d.name = "other";
    test_assert_ok(params_declare(&f, &d), &f.err);
    const int32_t row[] = {1, 2};
    const struct dlq_tensor t = params_tensor(DLQ_I32, 2, 1, 2, row);
    test_assert_ok(params_load(&f, "weight", 1, 1, &t), &f.err);
    test_assert_error(dlq_params_check(&f.params, &f.err), &f.err, DLQ_EINCOMPLETE,
                      "layer 'l': not loaded: 'weight' (part 0, 2), 'other'");
    params_end(&f);
}

static void
replaced_storage_is_freed_and_dropped_storage_gone(void **state)
{
    (void)state;
    struct params_fixture f;
    params_begin(&f, 2, false, (const int64_t[]){4}, 1, 0, 1);
    const struct dlq_param_desc d = params_describe("weight", DLQ_I32, 4, 2);
    test_assert_ok(params_declare(&f, &d), &f.err);
    struct dlq_tensor t = params_tensor(DLQ_I8, 2, 5, 3, dlq_system_allocator.alloc(NULL, 15, 64));
    test_assert_ok(dlq_params_replace(&f.params, "weight", &t, &f.err), &f.err);
    assert_int_equal(dlq_params_bytes(&f.params), 15);
    struct dlq_tensor view;
    test_assert_ok(dlq_params_get(&f.params, "weight", &view, &f.err), &f.err);
    assert_ptr_equal(view.data, t.data);
    assert_int_equal(view.dtype, DLQ_I8);
    // The same memory in another shape stays.
    t.shape[0] = 3;
    t.shape[1] = 5;
    test_assert_ok(dlq_params_replace(&f.params, "weight", &t, &f.err), &f.err);
    *(char *)t.data = 1;
    test_assert_ok(dlq_params_replace(&f.params, "weight", NULL, &f.err), &f.err);
    assert_int_equal(dlq_params_bytes(&f.params), 0);
    test_assert_error(dlq_params_replace(&f.params, "nothing", NULL, &f.err), &f.err, DLQ_ENOTFOUND,
                      "parameter 'nothing' was never declared");
    t.device.kind = DLQ_DEVICE_CUDA;
    test_assert_error(dlq_params_replace(&f.params, "weight", &t, &f.err), &f.err, DLQ_EPLUGIN,
                      "no tensor in memory of the layer's device");
    params_end(&f);
}

static void
plan_records_descriptors_without_memory(void **state)
{
    (void)state;
    struct params_fixture f;
    params_begin(&f, 2, false, (const int64_t[]){4}, 1, 0, 1);
    dlq_params_init(&f.params, &f.info, &dlq_system_allocator, NULL);
    struct dlq_param_desc d = params_describe("weight", DLQ_I32, 4, 2);
    d.flags = DLQ_PARAM_SENTINEL;
    test_assert_ok(params_declare(&f, &d), &f.err);
    assert_int_equal(dlq_params_bytes(&f.params), 0);
    assert_string_equal(dlq_params_find(&f.params, "weight")->desc.name, "weight");
    const int32_t data[8] = {0};
    const struct dlq_tensor t = params_tensor(DLQ_I32, 2, 4, 2, data);
    test_assert_error(params_load(&f, "weight", 0, 0, &t), &f.err, DLQ_ESTATE, "made to plan");
    params_end(&f);
}

static void
failed_allocations_leak_nothing(void **state)
{
    (void)state;
    assert_true(test_each_allocation_fails(declare_and_load, NULL) >= 5);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sentinel_fills_storage_until_it_is_loaded),
        cmocka_unit_test(optional_parameter_has_storage_once_it_is_loaded),
        cmocka_unit_test(missing_parameters_are_listed_with_their_parts),
        cmocka_unit_test(replaced_storage_is_freed_and_dropped_storage_gone),
        cmocka_unit_test(plan_records_descriptors_without_memory),
        cmocka_unit_test(failed_allocations_leak_nothing),
    };
    return cmocka_run_group_tests_name("params", tests, NULL, NULL);
}
