// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "fake_plugin.h"
#include "support.h"

#include <dlquant/linear.h>

#include <string.h>

struct every {
    const char *scheme;
    fake_create_fn create;
    uint32_t flags;
};

static int32_t
create_and_destroy(void *ctx, struct test_allocator *t, struct dlq_error *err)
{
    const struct every *const e = ctx;
    memset(&fake, 0, sizeof(fake));
    static const int64_t sizes[] = {16, 8};
    struct dlq_linear_desc d = fake_desc("mlp.gate_up_proj", 8, 0);
    d.output_sizes = sizes;
    d.n_output_sizes = 2;
    d.flags = e->flags;
    dlq_runtime *rt = NULL;
    int32_t rc = fake_runtime(&t->a, NULL, NULL, &rt, err);
    if (rc != DLQ_OK) {
        return rc;
    }
    rc = fake_config(rt, e->scheme, 4, &d.config, err);
    if (rc == DLQ_OK) {
        dlq_linear *layer = NULL;
        rc = e->create(rt, &d, &layer, err);
        dlq_linear_destroy(layer);
        dlq_quant_config_destroy(d.config);
    }
    dlq_runtime_destroy(rt);
    assert_int_equal(fake.methods, 0);
    return rc;
}

static void
device_that_is_absent_is_an_error_of_the_layer(void **state)
{
    (void)state;
    struct fake_world w;
    fake_world_begin(&w);
    struct dlq_linear_desc d = fake_desc("l", 4, 2);
    d.device.kind = DLQ_DEVICE_CPU;
    d.device.index = 3;
    fake_refused(&w, dlq_linear_column_create, &d, DLQ_EDEVICE, "layer 'l': ");
    fake_world_end(&w);
}

static void
plan_asks_and_declares_without_memory(void **state)
{
    (void)state;
    struct fake_world w;
    fake_world_begin(&w);
    struct dlq_linear_desc d = fake_on_rank(fake_desc("l", 1 << 20, 1 << 20), 3, 4);
    d.flags = DLQ_LINEAR_PLAN | DLQ_LINEAR_BIAS;
    dlq_linear *const layer = fake_made(&w, dlq_linear_row_create, &d);
    const struct dlq_param_desc *desc;
    struct dlq_tensor view;
    test_assert_ok(dlq_linear_param_at(layer, 0, &desc, &view, &w.err), &w.err);
    assert_int_equal(desc->shape[1], 1 << 18);
    assert_null(view.data);
    assert_int_equal(dlq_linear_param_bytes(layer), 0);
    struct dlq_explanation why = {.struct_size = sizeof(why)};
    test_assert_ok(dlq_linear_explain(layer, &why, &w.err), &w.err);
    assert_string_equal(why.kernel, "double loop");
    const float x = 0;
    const struct dlq_tensor t = fake_tensor(DLQ_F32, 1, 0, &x);
    test_assert_error(dlq_linear_load_tensor(layer, "bias", dlq_part_fused(), &t, &w.err), &w.err,
                      DLQ_ESTATE, "layer 'l': made to plan");
    test_assert_error(dlq_linear_load_checkpoint(layer, NULL, &w.err), &w.err, DLQ_ESTATE,
                      "made to plan");
    test_assert_error(dlq_linear_process(layer, &w.err), &w.err, DLQ_ESTATE, "made to plan");
    struct dlq_linear_io io = {.struct_size = sizeof(io)};
    test_assert_error(dlq_linear_apply(layer, &io, &w.err), &w.err, DLQ_ESTATE, "layer 'l'");
    dlq_linear_destroy(layer);
    fake_world_end(&w);
}

static void
group_that_a_rank_cuts_is_refined_by_the_method(void **state)
{
    (void)state;
    struct fake_world w;
    fake_world_begin(&w);
    struct dlq_linear_desc d = fake_on_rank(fake_desc("l", 29568, 4), 1, 2);
    d.flags = DLQ_LINEAR_PLAN;
    test_assert_ok(fake_config(w.rt, "packed_k", 128, &d.config, &w.err), &w.err);
    dlq_linear *const layer = fake_made(&w, dlq_linear_row_create, &d);
    struct dlq_explanation why = {.struct_size = sizeof(why)};
    test_assert_ok(dlq_linear_explain(layer, &why, &w.err), &w.err);
    assert_int_equal(why.group, 64);
    dlq_linear_destroy(layer);
    dlq_quant_config_destroy(d.config);
    fake_world_end(&w);
}

static void
cut_word_is_refused_when_the_layer_is_made(void **state)
{
    (void)state;
    struct fake_world w;
    fake_world_begin(&w);
    // 32 outputs over 8 ranks are half a word of 8 each, which lie in an order of their own.
    struct dlq_linear_desc d = fake_on_rank(fake_desc("k_proj", 4, 32), 1, 8);
    test_assert_ok(fake_config(w.rt, "packed_n", 4, &d.config, &w.err), &w.err);
    fake_refused(&w, dlq_linear_column_create, &d, DLQ_ESHAPE,
                 "layer 'k_proj': parameter 'qweight': outputs: offset 4 and size 4 in the "
                 "checkpoint's 32, offset 0 on rank 1 of 8, cut inside 32-bit words of 8/1 "
                 "elements (4 bits each)");
    dlq_quant_config_destroy(d.config);
    fake_world_end(&w);
}

static void
failed_allocations_leave_nothing_behind(void **state)
{
    (void)state;
    struct every e = {"packed_k", dlq_linear_merged_create, DLQ_LINEAR_BIAS};
    assert_true(test_each_allocation_fails(create_and_destroy, &e) > 20);
    e.scheme = "packed_n";
    e.create = dlq_linear_column_create;
    assert_true(test_each_allocation_fails(create_and_destroy, &e) > 20);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(device_that_is_absent_is_an_error_of_the_layer),
        cmocka_unit_test(plan_asks_and_declares_without_memory),
        cmocka_unit_test(group_that_a_rank_cuts_is_refined_by_the_method),
        cmocka_unit_test(cut_word_is_refused_when_the_layer_is_made),
        cmocka_unit_test(failed_allocations_leave_nothing_behind),
    };
    return cmocka_run_group_tests_name("linear_create", tests, NULL, NULL);
}
