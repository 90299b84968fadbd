// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "fake_plugin.h"
#include "support.h"

#include <dlquant/linear.h>

#include <string.h>

static void
no_configuration_means_unquantized(void **state)
{
    (void)state;
    struct fake_world w;
    fake_world_begin(&w);
    const struct dlq_linear_desc d = fake_desc("l", 4, 2);
    dlq_linear *const layer = fake_made(&w, dlq_linear_column_create, &d);
    assert_string_equal(dlq_linear_method_name(layer), DLQ_METHOD_UNQUANTIZED);
    assert_int_equal(dlq_linear_decision(layer)->answer, DLQ_METHOD);
    assert_string_equal(dlq_linear_decision(layer)->rule, "plain for all");
    dlq_linear_destroy(layer);
    fake_world_end(&w);
}

static void
layer_that_nothing_runs_is_refused(void **state)
{
    (void)state;
    struct fake_world w;
    fake_world_begin(&w);
    const struct dlq_linear_desc d = fake_desc("l", 4, 2);
    fake.plain_refuses = true;
    fake_refused(&w, dlq_linear_column_create, &d, DLQ_EPLUGIN,
                 "layer 'l' (unquantized): expected a method, found answer 2");
    dlq_runtime *bare = NULL;
    const struct dlq_runtime_options options = {.struct_size = sizeof(options),
                                                .load_policy = DLQ_LOAD_NONE};
    test_assert_ok(dlq_runtime_create(&options, &bare, &w.err), &w.err);
    dlq_linear *layer = NULL;
    test_assert_error(dlq_linear_column_create(bare, &d, &layer, &w.err), &w.err, DLQ_ENOTFOUND,
                      "layer 'l': ");
    dlq_runtime_destroy(bare);
    fake_world_end(&w);
}

static void
not_quantized_runs_plain_and_keeps_the_rule(void **state)
{
    (void)state;
    struct fake_world w;
    fake_world_begin(&w);
    struct dlq_linear_desc d = fake_desc("l", 4, 2);
    test_assert_ok(fake_config(w.rt, "packed_k", 4, &d.config, &w.err), &w.err);
    fake.answer = DLQ_NOT_QUANTIZED;
    dlq_linear *const layer = fake_made(&w, dlq_linear_column_create, &d);
    assert_string_equal(dlq_linear_method_name(layer), DLQ_METHOD_UNQUANTIZED);
    assert_int_equal(dlq_linear_decision(layer)->answer, DLQ_NOT_QUANTIZED);
    assert_string_equal(dlq_linear_decision(layer)->rule, "/ignore/0 says so");
    assert_string_equal(dlq_linear_decision(layer)->scheme, "plain");
    dlq_linear_destroy(layer);
    dlq_quant_config_destroy(d.config);
    fake_world_end(&w);
}

static void
method_that_cannot_is_refused_with_its_reason(void **state)
{
    (void)state;
    struct fake_world w;
    fake_world_begin(&w);
    struct dlq_linear_desc d = fake_desc("a.l", 8, 2);
    test_assert_ok(fake_config(w.rt, "packed_k", 4, &d.config, &w.err), &w.err);
    fake.answer = DLQ_UNSUPPORTED;
    fake_refused(&w, dlq_linear_column_create, &d, DLQ_EUNSUPPORTED,
                 "layer 'a.l' (fake): 2 bits are not 4");
    fake.silent = true;
    fake_refused(&w, dlq_linear_column_create, &d, DLQ_EUNSUPPORTED,
                 "layer 'a.l' (fake): /ignore/0 says so");
    fake.answer = 9;
    fake_refused(&w, dlq_linear_column_create, &d, DLQ_EPLUGIN,
                 "expected answer 1, 2 or 3, found 9");
    fake.silent = false;
    fake.answer = 0;
    fake.get_fails = DLQ_ECONFIG;
    fake_refused(&w, dlq_linear_column_create, &d, DLQ_ECONFIG,
                 "layer 'a.l' (fake): get_quant_method was told to fail");
    fake.get_fails = 0;
    fake.can_fails = DLQ_EUNSUPPORTED;
    fake_refused(&w, dlq_linear_column_create, &d, DLQ_EUNSUPPORTED,
                 "layer 'a.l' (fake): can_implement was told to fail");
    fake.can_fails = 0;
    fake.create_fails = DLQ_ENOMEM;
    fake.silent = true;
    fake_refused(&w, dlq_linear_column_create, &d, DLQ_ENOMEM,
                 "layer 'a.l' (fake): create_weights failed without a reason: Out of memory");
    fake.create_fails = -7;
    fake_refused(&w, dlq_linear_column_create, &d, DLQ_EPLUGIN,
                 "layer 'a.l' (fake): create_weights returned -7, which is no status");
    fake.create_fails = 0;
    fake.no_apply = true;
    fake_refused(&w, dlq_linear_column_create, &d, DLQ_EPLUGIN,
                 "layer 'a.l': fake: ops->apply: expected a pointer, found NULL");
    fake.no_apply = false;
    fake.declares_bias = true;
    fake_refused(&w, dlq_linear_column_create, &d, DLQ_EPLUGIN,
                 "layer 'a.l': parameter 'bias' belongs to the layer");
    dlq_quant_config_destroy(d.config);
    fake_world_end(&w);
}

static void
dtype_and_device_are_checked_before_the_method_is_asked(void **state)
{
    (void)state;
    struct fake_world w;
    fake_world_begin(&w);
    static const char text[] = "{\"scheme\":\"plain\"}";
    struct dlq_linear_desc d = fake_desc("l", 4, 2);
    fake.get_fails = DLQ_EINTERNAL;
    test_assert_ok(
        dlq_quant_config_create(w.rt, "fake_fp16", text, sizeof(text) - 1, &d.config, &w.err),
        &w.err);
    fake_refused(&w, dlq_linear_column_create, &d, DLQ_EDTYPE,
                 "layer 'l': act_dtype: fake_fp16 takes F16 activations, found F32");
    dlq_quant_config_destroy(d.config);
    test_assert_ok(
        dlq_quant_config_create(w.rt, "fake_cuda", text, sizeof(text) - 1, &d.config, &w.err),
        &w.err);
    fake_refused(&w, dlq_linear_column_create, &d, DLQ_EUNSUPPORTED,
                 "layer 'l': device: fake_cuda runs on CUDA of capability 80 or more, found CPU (");
    dlq_quant_config_destroy(d.config);
    fake_world_end(&w);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_configuration_means_unquantized),
        cmocka_unit_test(layer_that_nothing_runs_is_refused),
        cmocka_unit_test(not_quantized_runs_plain_and_keeps_the_rule),
        cmocka_unit_test(method_that_cannot_is_refused_with_its_reason),
        cmocka_unit_test(dtype_and_device_are_checked_before_the_method_is_asked),
    };
    return cmocka_run_group_tests_name("linear_method", tests, NULL, NULL);
}
