// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "fake_plugin.h"
#include "support.h"

#include <dlquant/linear.h>

#include <string.h>

static const float up[] = {9, 10, 11, 12};
static const float both[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};

static dlq_linear *
make_loaded(struct fake_world *w)
{
    dlq_linear *const layer = fake_merged(w, "m", 0);
    const struct dlq_tensor t = fake_tensor(DLQ_F32, 6, 2, both);
    test_assert_ok(dlq_linear_load_tensor(layer, "weight", dlq_part_fused(), &t, &w->err), &w->err);
    return layer;
}

static int32_t
load_and_process(void *ctx, struct test_allocator *t, struct dlq_error *err)
{
    const dlq_checkpoint *const ckpt = ctx;
    memset(&fake, 0, sizeof(fake));
    fake.repacks = true;
    static const int64_t sizes[] = {16, 8};
    struct dlq_linear_desc d = fake_desc("mlp.gate_up_proj", 8, 0);
    d.output_sizes = sizes;
    d.n_output_sizes = 2;
    d.flags = DLQ_LINEAR_BIAS;
    d.evidence = ckpt;
    dlq_runtime *rt = NULL;
    int32_t rc = fake_runtime(&t->a, NULL, NULL, &rt, err);
    if (rc != DLQ_OK) {
        return rc;
    }
    dlq_linear *layer = NULL;
    rc = fake_config(rt, "packed_n", 4, &d.config, err);
    if (rc == DLQ_OK) {
        rc = dlq_linear_merged_create(rt, &d, &layer, err);
    }
    if (rc == DLQ_OK) {
        rc = dlq_linear_load_checkpoint(layer, ckpt, err);
    }
    if (rc == DLQ_OK) {
        rc = dlq_linear_process(layer, err);
    }
    dlq_linear_destroy(layer);
    dlq_quant_config_destroy(d.config);
    dlq_runtime_destroy(rt);
    assert_int_equal(fake.methods, 0);
    return rc;
}

static void
processing_needs_every_part(void **state)
{
    (void)state;
    struct fake_world w;
    fake_world_begin(&w);
    dlq_linear *const layer = fake_merged(&w, "m", DLQ_LINEAR_BIAS);
    const struct dlq_tensor t = fake_tensor(DLQ_F32, 2, 2, up);
    test_assert_ok(dlq_linear_load_tensor(layer, "weight", dlq_part_index(1), &t, &w.err), &w.err);
    test_assert_error(dlq_linear_process(layer, &w.err), &w.err, DLQ_EINCOMPLETE,
                      "layer 'm': not loaded: 'weight' (part 0), 'bias'");
    dlq_linear_destroy(layer);
    fake_world_end(&w);
}

static void
processing_happens_once(void **state)
{
    (void)state;
    struct fake_world w;
    fake_world_begin(&w);
    dlq_linear *const layer = make_loaded(&w);
    test_assert_ok(dlq_linear_process(layer, &w.err), &w.err);
    test_assert_error(dlq_linear_process(layer, &w.err), &w.err, DLQ_ESTATE,
                      "layer 'm': process() a second time");
    const struct dlq_tensor t = fake_tensor(DLQ_F32, 6, 2, both);
    test_assert_error(dlq_linear_load_tensor(layer, "weight", dlq_part_fused(), &t, &w.err), &w.err,
                      DLQ_ESTATE, "layer 'm': loading after process()");
    dlq_linear_destroy(layer);
    fake_world_end(&w);
}

static void
layer_that_failed_to_process_can_only_be_destroyed(void **state)
{
    (void)state;
    struct fake_world w;
    fake_world_begin(&w);
    dlq_linear *const layer = make_loaded(&w);
    fake.process_fails = DLQ_ENOMEM;
    test_assert_error(dlq_linear_process(layer, &w.err), &w.err, DLQ_ENOMEM,
                      "layer 'm' (unquantized): process_weights was told to fail");
    fake.process_fails = DLQ_OK;
    test_assert_error(dlq_linear_process(layer, &w.err), &w.err, DLQ_ESTATE,
                      "the first failed, so the layer can only be destroyed");
    float y[6];
    const struct dlq_linear_io io = {.struct_size = sizeof(io), .m = 1, .x = both, .y = y};
    test_assert_error(dlq_linear_apply(layer, &io, &w.err), &w.err, DLQ_ESTATE,
                      "layer 'm': apply() before process() has succeeded");
    dlq_linear_destroy(layer);
    fake_world_end(&w);
}

static void
method_cannot_take_the_bias_away(void **state)
{
    (void)state;
    struct fake_world w;
    fake_world_begin(&w);
    dlq_linear *const layer = make_loaded(&w);
    fake.replaces_bias = true;
    test_assert_error(dlq_linear_process(layer, &w.err), &w.err, DLQ_EPLUGIN,
                      "layer 'm': parameter 'bias' belongs to the layer");
    dlq_linear_destroy(layer);
    fake_world_end(&w);
}

static void
failed_allocations_leak_nothing_from_create_to_process(void **state)
{
    (void)state;
    static const uint16_t half[96];
    const struct test_tensor tensors[] = {
        {"mlp.gate_proj.qweight", "I32", 2, {8, 2}, NULL, 64},
        {"mlp.gate_proj.qzeros", "I32", 2, {2, 2}, NULL, 16},
        {"mlp.gate_proj.scales", "F16", 2, {2, 16}, half, 64},
        {"mlp.gate_proj.bias", "F16", 1, {16}, half, 32},
        {"mlp.up_proj.qweight", "I32", 2, {8, 1}, NULL, 32},
        {"mlp.up_proj.qzeros", "I32", 2, {2, 1}, NULL, 8},
        {"mlp.up_proj.scales", "F16", 2, {2, 8}, half, 32},
        {"mlp.up_proj.bias", "F16", 1, {8}, half, 16},
    };
    struct fake_world w;
    fake_world_begin(&w);
    char *const dir = test_tmpdir();
    test_safetensors(dir, "model.safetensors", tensors, TEST_COUNT(tensors));
    dlq_checkpoint *ckpt = NULL;
    test_assert_ok(dlq_checkpoint_open(w.rt, dir, DLQ_CHECKPOINT_NO_CONFIG, &ckpt, &w.err), &w.err);
    assert_true(test_each_allocation_fails(load_and_process, ckpt) > 40);
    dlq_checkpoint_close(ckpt);
    test_tmpdir_remove(dir);
    fake_world_end(&w);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(processing_needs_every_part),
        cmocka_unit_test(processing_happens_once),
        cmocka_unit_test(layer_that_failed_to_process_can_only_be_destroyed),
        cmocka_unit_test(method_cannot_take_the_bias_away),
        cmocka_unit_test(failed_allocations_leak_nothing_from_create_to_process),
    };
    return cmocka_run_group_tests_name("linear_process", tests, NULL, NULL);
}
