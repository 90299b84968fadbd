// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "fake_plugin.h"
#include "support.h"

#include <dlquant/linear.h>

#include <string.h>

typedef int32_t (*create_fn)(dlq_runtime *rt, const struct dlq_linear_desc *desc, dlq_linear **out,
                             struct dlq_error *err);

static struct dlq_linear_desc
on_rank(struct dlq_linear_desc d, int32_t rank, int32_t size)
{
    d.tp_rank = rank;
    d.tp_size = size;
    return d;
}

static struct dlq_linear_desc
desc_qkv(int32_t heads, int32_t kv_heads, int32_t head_size)
{
    struct dlq_linear_desc d = fake_desc("m.self_attn.qkv_proj", 4, 0);
    d.head_size = head_size;
    d.total_num_heads = heads;
    d.total_num_kv_heads = kv_heads;
    return d;
}

// Create, expecting success.
static dlq_linear *
made(struct fake_world *w, create_fn create, const struct dlq_linear_desc *desc)
{
    dlq_linear *layer = NULL;
    test_assert_ok(create(w->rt, desc, &layer, &w->err), &w->err);
    return layer;
}

static void
refused(struct fake_world *w, create_fn create, const struct dlq_linear_desc *desc, int32_t code,
        const char *text)
{
    dlq_linear *layer = NULL;
    test_assert_error(create(w->rt, desc, &layer, &w->err), &w->err, code, text);
    assert_null(layer);
}

static void
column_splits_outputs(void **state)
{
    (void)state;
    struct fake_world w;
    fake_world_begin(&w);
    const struct dlq_linear_desc d = on_rank(fake_desc("a.b", 4, 6), 1, 2);
    dlq_linear *const layer = made(&w, dlq_linear_column_create, &d);
    const struct dlq_layer_info *const i = dlq_linear_info(layer);
    assert_string_equal(i->class_name, "ColumnParallelLinear");
    assert_string_equal(i->prefix, "a.b");
    assert_int_equal(i->input_size_per_partition, 4);
    assert_int_equal(i->output_size, 6);
    assert_int_equal(i->output_size_per_partition, 3);
    assert_int_equal(i->parts[0]->source_offset, 3);
    assert_string_equal(i->parts[0]->tag, "0");
    assert_string_equal(i->parts[0]->prefix, "a.b");
    assert_int_equal(dlq_linear_y_size(layer), 3);
    dlq_linear_destroy(layer);
    fake_world_end(&w);
}

static void
row_splits_inputs_and_keeps_the_whole_bias(void **state)
{
    (void)state;
    struct fake_world w;
    fake_world_begin(&w);
    struct dlq_linear_desc d = on_rank(fake_desc("a.b", 8, 3), 1, 2);
    d.flags = DLQ_LINEAR_BIAS | DLQ_LINEAR_NO_REDUCE | DLQ_LINEAR_SKIP_BIAS_ADD;
    dlq_linear *const layer = made(&w, dlq_linear_row_create, &d);
    const struct dlq_layer_info *const i = dlq_linear_info(layer);
    assert_int_equal(i->input_size, 8);
    assert_int_equal(i->input_size_per_partition, 4);
    assert_int_equal(i->input_offset, 4);
    assert_int_equal(i->input_bounds[2], 8);
    assert_int_equal(i->output_size_per_partition, 3);
    assert_int_equal(i->output_size, 3);
    const struct dlq_param_desc *bias;
    test_assert_ok(dlq_linear_param_at(layer, 1, &bias, NULL, &w.err), &w.err);
    assert_string_equal(bias->name, "bias");
    assert_int_equal(bias->shape[0], 3);
    assert_int_equal(dlq_linear_x_size(layer), 4);
    dlq_linear_destroy(layer);
    fake_world_end(&w);
}

static void
merged_splits_each_part(void **state)
{
    (void)state;
    struct fake_world w;
    fake_world_begin(&w);
    const int64_t sizes[] = {8, 4};
    struct dlq_linear_desc d = on_rank(fake_desc("mlp.gate_up_proj", 2, 0), 1, 2);
    d.output_sizes = sizes;
    d.n_output_sizes = 2;
    dlq_linear *const layer = made(&w, dlq_linear_merged_create, &d);
    const struct dlq_layer_info *const i = dlq_linear_info(layer);
    assert_int_equal(i->parts[0]->local_size, 4);
    assert_int_equal(i->parts[1]->local_offset, 4);
    assert_int_equal(i->parts[1]->local_size, 2);
    assert_int_equal(i->parts[1]->source_offset, 2);
    assert_int_equal(i->parts[1]->full_offset, 8);
    assert_string_equal(i->parts[0]->prefix, "mlp.gate_proj");
    assert_string_equal(i->parts[1]->prefix, "mlp.up_proj");
    assert_int_equal(i->output_size, 12);
    dlq_linear_destroy(layer);
    fake_world_end(&w);
}

static void
qkv_replicates_kv_heads(void **state)
{
    (void)state;
    struct fake_world w;
    fake_world_begin(&w);
    const struct dlq_linear_desc d = on_rank(desc_qkv(8, 4, 8), 5, 8);
    dlq_linear *const layer = made(&w, dlq_linear_qkv_create, &d);
    const struct dlq_layer_info *const i = dlq_linear_info(layer);
    assert_int_equal(i->parts[0]->source_offset, 40);
    assert_int_equal(i->parts[1]->source_offset, 16);
    assert_int_equal(i->parts[2]->source_offset, 16);
    for (int p = 0; p < 3; ++p) {
        assert_int_equal(i->parts[p]->local_size, 8);
    }
    assert_int_equal(i->parts[1]->replicas, 2);
    assert_int_equal(i->parts[2]->full_offset, 96);
    assert_int_equal(i->output_size, 192);
    assert_int_equal(i->ckpt_output_size, 128);
    assert_string_equal(i->parts[1]->tag, "k");
    assert_string_equal(i->parts[1]->prefix, "m.self_attn.k_proj");
    dlq_linear_destroy(layer);
    fake_world_end(&w);
}

static void
qkv_takes_value_heads_of_their_own_width(void **state)
{
    (void)state;
    struct fake_world w;
    fake_world_begin(&w);
    struct dlq_linear_desc d = desc_qkv(4, 0, 8);
    d.v_head_size = 2;
    dlq_linear *const layer = made(&w, dlq_linear_qkv_create, &d);
    const struct dlq_layer_info *const i = dlq_linear_info(layer);
    assert_int_equal(i->parts[1]->full_size, 32);
    assert_int_equal(i->parts[2]->full_size, 8);
    assert_int_equal(i->ckpt_output_size, 72);
    dlq_linear_destroy(layer);
    fake_world_end(&w);
}

static void
replicated_is_whole_on_every_rank(void **state)
{
    (void)state;
    struct fake_world w;
    fake_world_begin(&w);
    const int64_t sizes[] = {3, 4};
    struct dlq_linear_desc d = on_rank(fake_desc("gate", 2, 7), 1, 2);
    d.output_sizes = sizes;
    d.n_output_sizes = 2;
    dlq_linear *const layer = made(&w, dlq_linear_replicated_create, &d);
    const struct dlq_layer_info *const i = dlq_linear_info(layer);
    assert_int_equal(i->output_size_per_partition, 7);
    assert_int_equal(i->parts[1]->local_offset, 3);
    assert_int_equal(i->parts[1]->source_offset, 0);
    dlq_linear_destroy(layer);
    fake_world_end(&w);
}

static void
disable_tp_makes_rank_0_of_1(void **state)
{
    (void)state;
    struct fake_world w;
    fake_world_begin(&w);
    struct dlq_linear_desc d = on_rank(fake_desc("a", 3, 5), 1, 4);
    d.flags = DLQ_LINEAR_DISABLE_TP | DLQ_LINEAR_GATHER_OUTPUT;
    dlq_linear *const layer = made(&w, dlq_linear_column_create, &d);
    assert_int_equal(dlq_linear_info(layer)->tp_size, 1);
    assert_int_equal(dlq_linear_info(layer)->output_size_per_partition, 5);
    dlq_linear_destroy(layer);
    fake_world_end(&w);
}

static void
only_the_last_component_of_a_fused_path_is_replaced(void **state)
{
    (void)state;
    struct fake_world w;
    fake_world_begin(&w);
    const int64_t sizes[] = {2, 2};
    struct dlq_linear_desc d = fake_desc("gate_up_proj.gate_up_proj", 2, 0);
    d.output_sizes = sizes;
    d.n_output_sizes = 2;
    dlq_linear *layer = made(&w, dlq_linear_merged_create, &d);
    assert_string_equal(dlq_linear_info(layer)->parts[1]->prefix, "gate_up_proj.up_proj");
    dlq_linear_destroy(layer);
    d.prefix = "gate_up_proj";
    layer = made(&w, dlq_linear_merged_create, &d);
    assert_string_equal(dlq_linear_info(layer)->parts[1]->prefix, "up_proj");
    dlq_linear_destroy(layer);
    d.prefix = "a.in_proj";
    layer = made(&w, dlq_linear_merged_create, &d);
    assert_string_equal(dlq_linear_info(layer)->parts[1]->prefix, "a.in_proj");
    dlq_linear_destroy(layer);
    fake_world_end(&w);
}

static void
part_names_override_the_mapping(void **state)
{
    (void)state;
    struct fake_world w;
    fake_world_begin(&w);
    static const char *const names[] = {"w1", "w3", NULL};
    const int64_t sizes[] = {2, 2};
    struct dlq_linear_desc d = fake_desc("mlp.gate_up_proj", 2, 0);
    d.output_sizes = sizes;
    d.n_output_sizes = 2;
    d.part_names = names;
    dlq_linear *const layer = made(&w, dlq_linear_merged_create, &d);
    assert_string_equal(dlq_linear_info(layer)->parts[1]->prefix, "mlp.w3");
    dlq_linear_destroy(layer);
    d.part_names = names + 1;
    refused(&w, dlq_linear_merged_create, &d, DLQ_EINVAL,
            "layer 'mlp.gate_up_proj': part_names: expected 2, found 1");
    fake_world_end(&w);
}

static void
sizes_that_do_not_divide_are_refused_with_a_hint(void **state)
{
    (void)state;
    struct fake_world w;
    fake_world_begin(&w);
    struct dlq_linear_desc d = on_rank(fake_desc("mlp.up", 4, 12), 0, 8);
    refused(&w, dlq_linear_column_create, &d, DLQ_ESHAPE,
            "layer 'mlp.up': 12 outputs cannot be split over 8 tensor-parallel ranks; 6 and 12 "
            "would work");
    d = on_rank(fake_desc("mlp.down", 10, 4), 0, 4);
    d.flags = DLQ_LINEAR_NO_REDUCE;
    refused(&w, dlq_linear_row_create, &d, DLQ_ESHAPE,
            "layer 'mlp.down': 10 inputs cannot be split over 4");
    const int64_t sizes[] = {8, 6};
    d = on_rank(fake_desc("mlp.gate_up_proj", 4, 0), 0, 4);
    d.output_sizes = sizes;
    d.n_output_sizes = 2;
    refused(&w, dlq_linear_merged_create, &d, DLQ_ESHAPE,
            "layer 'mlp.gate_up_proj': 6 outputs of part '1' cannot be split over 4 "
            "tensor-parallel ranks; 2 would work");
    fake_world_end(&w);
}

static void
head_counts_that_do_not_divide_are_refused(void **state)
{
    (void)state;
    struct fake_world w;
    fake_world_begin(&w);
    struct dlq_linear_desc d = on_rank(desc_qkv(6, 2, 8), 0, 4);
    refused(&w, dlq_linear_qkv_create, &d, DLQ_ESHAPE,
            "6 query heads (with 2 key/value heads, 2 replicas) cannot be split over 4");
    d = on_rank(desc_qkv(12, 3, 8), 0, 4);
    refused(&w, dlq_linear_qkv_create, &d, DLQ_ESHAPE, "3 key/value heads");
    d = desc_qkv(12, 3, 0);
    refused(&w, dlq_linear_qkv_create, &d, DLQ_ESHAPE, "expected heads and head sizes above 0");
    d = desc_qkv(4, 4, 8);
    d.output_size = 97;
    refused(&w, dlq_linear_qkv_create, &d, DLQ_ESHAPE, "the heads give 96, found 97");
    fake_world_end(&w);
}

static void
descriptors_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    struct fake_world w;
    fake_world_begin(&w);
    const int64_t sizes[] = {2, 0};
    struct dlq_linear_desc d = fake_desc("l", 4, 2);
    d.struct_size = 8;
    refused(&w, dlq_linear_column_create, &d, DLQ_EINVAL, "found 8");
    d = fake_desc("l", 0, 2);
    refused(&w, dlq_linear_column_create, &d, DLQ_ESHAPE,
            "layer 'l': input_size: expected above 0, found 0");
    d = fake_desc("l", 4, 0);
    refused(&w, dlq_linear_column_create, &d, DLQ_ESHAPE, "outputs of part '0': expected above 0");
    d.output_sizes = sizes;
    d.n_output_sizes = 2;
    refused(&w, dlq_linear_column_create, &d, DLQ_ESHAPE, "outputs of part '1'");
    d.n_output_sizes = 1;
    d.output_size = 3;
    refused(&w, dlq_linear_column_create, &d, DLQ_ESHAPE,
            "output_size: expected 2, the sum of its 1 parts, found 3");
    d.output_size = 2;
    refused(&w, dlq_linear_row_create, &d, DLQ_EINVAL, "a RowParallelLinear has one part, found 1");
    d.output_sizes = NULL;
    refused(&w, dlq_linear_column_create, &d, DLQ_EINVAL, "output_sizes: expected n_output_sizes");
    d = fake_desc("l", 4, 2);
    refused(&w, dlq_linear_merged_create, &d, DLQ_EINVAL, "output_sizes: expected the outputs of");
    d.act_dtype = DLQ_I8;
    refused(&w, dlq_linear_column_create, &d, DLQ_EDTYPE,
            "act_dtype: expected F16, BF16 or F32, found I8");
    fake_world_end(&w);
}

static void
flags_that_mean_nothing_to_a_kind_are_refused(void **state)
{
    (void)state;
    struct fake_world w;
    fake_world_begin(&w);
    struct dlq_linear_desc d = fake_desc("l", 4, 2);
    d.flags = DLQ_LINEAR_NO_REDUCE;
    refused(&w, dlq_linear_column_create, &d, DLQ_EINVAL,
            "layer 'l': flag 4 (no_reduce) means nothing to a ColumnParallelLinear");
    d.flags = DLQ_LINEAR_GATHER_OUTPUT;
    refused(&w, dlq_linear_row_create, &d, DLQ_EINVAL, "(gather_output)");
    d.flags = 1u << 20;
    refused(&w, dlq_linear_row_create, &d, DLQ_EINVAL, "flag 20 (unknown)");
    d = desc_qkv(4, 4, 8);
    d.flags = DLQ_LINEAR_GATHER_OUTPUT;
    refused(&w, dlq_linear_qkv_create, &d, DLQ_EINVAL, "(gather_output)");
    fake_world_end(&w);
}

static void
fused_bias_without_the_sum_is_refused(void **state)
{
    (void)state;
    struct fake_world w;
    fake_world_begin(&w);
    struct dlq_linear_desc d = fake_desc("l", 4, 2);
    d.flags = DLQ_LINEAR_BIAS | DLQ_LINEAR_NO_REDUCE;
    refused(&w, dlq_linear_row_create, &d, DLQ_EINVAL,
            "a bias that is added needs the sum over ranks");
    fake_world_end(&w);
}

static void
communication_needs_a_group_of_that_size(void **state)
{
    (void)state;
    struct fake_world w;
    fake_world_begin(&w);
    struct dlq_linear_desc d = on_rank(fake_desc("l", 4, 2), 1, 2);
    refused(&w, dlq_linear_row_create, &d, DLQ_EINVAL,
            "layer 'l': summing the outputs as rank 1 of 2 needs a collective of that rank and "
            "size, found rank 0 of 1");
    d.flags = DLQ_LINEAR_GATHER_OUTPUT;
    refused(&w, dlq_linear_column_create, &d, DLQ_EINVAL, "gathering the outputs as rank 1 of 2");
    d.flags = 0;
    dlq_linear_destroy(made(&w, dlq_linear_column_create, &d));
    d.tp_rank = 2;
    refused(&w, dlq_linear_column_create, &d, DLQ_EINVAL, "rank 2 of 2 is outside");
    d.tp_size = -1;
    refused(&w, dlq_linear_column_create, &d, DLQ_EINVAL, "of -1 is outside");
    struct dlq_collective small = {.struct_size = 4};
    d.collective = &small;
    refused(&w, dlq_linear_column_create, &d, DLQ_EINVAL, "collective: expected a struct of");
    fake_world_end(&w);
}

static void
no_configuration_means_unquantized(void **state)
{
    (void)state;
    struct fake_world w;
    fake_world_begin(&w);
    const struct dlq_linear_desc d = fake_desc("l", 4, 2);
    dlq_linear *const layer = made(&w, dlq_linear_column_create, &d);
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
    refused(&w, dlq_linear_column_create, &d, DLQ_EPLUGIN,
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
    dlq_linear *const layer = made(&w, dlq_linear_column_create, &d);
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
    refused(&w, dlq_linear_column_create, &d, DLQ_EUNSUPPORTED,
            "layer 'a.l' (fake): 2 bits are not 4");
    fake.silent = true;
    refused(&w, dlq_linear_column_create, &d, DLQ_EUNSUPPORTED,
            "layer 'a.l' (fake): /ignore/0 says so");
    fake.answer = 9;
    refused(&w, dlq_linear_column_create, &d, DLQ_EPLUGIN, "expected answer 1, 2 or 3, found 9");
    fake.silent = false;
    fake.answer = 0;
    fake.get_fails = DLQ_ECONFIG;
    refused(&w, dlq_linear_column_create, &d, DLQ_ECONFIG,
            "layer 'a.l' (fake): get_quant_method was told to fail");
    fake.get_fails = 0;
    fake.can_fails = DLQ_EUNSUPPORTED;
    refused(&w, dlq_linear_column_create, &d, DLQ_EUNSUPPORTED,
            "layer 'a.l' (fake): can_implement was told to fail");
    fake.can_fails = 0;
    fake.create_fails = DLQ_ENOMEM;
    fake.silent = true;
    refused(&w, dlq_linear_column_create, &d, DLQ_ENOMEM,
            "layer 'a.l' (fake): create_weights failed without a reason: Out of memory");
    fake.create_fails = -7;
    refused(&w, dlq_linear_column_create, &d, DLQ_EPLUGIN,
            "layer 'a.l' (fake): create_weights returned -7, which is no status");
    fake.create_fails = 0;
    fake.no_apply = true;
    refused(&w, dlq_linear_column_create, &d, DLQ_EPLUGIN,
            "layer 'a.l' (fake): the method's table: expected");
    fake.no_apply = false;
    fake.declares_bias = true;
    refused(&w, dlq_linear_column_create, &d, DLQ_EPLUGIN,
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
    refused(&w, dlq_linear_column_create, &d, DLQ_EDTYPE,
            "layer 'l': act_dtype: fake_fp16 takes F16 activations, found F32");
    dlq_quant_config_destroy(d.config);
    test_assert_ok(
        dlq_quant_config_create(w.rt, "fake_cuda", text, sizeof(text) - 1, &d.config, &w.err),
        &w.err);
    refused(&w, dlq_linear_column_create, &d, DLQ_EUNSUPPORTED,
            "layer 'l': device: fake_cuda runs on CUDA of capability 80 or more, found CPU of "
            "capability 0");
    dlq_quant_config_destroy(d.config);
    fake_world_end(&w);
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
    refused(&w, dlq_linear_column_create, &d, DLQ_EDEVICE, "layer 'l': ");
    fake_world_end(&w);
}

static void
plan_asks_and_declares_without_memory(void **state)
{
    (void)state;
    struct fake_world w;
    fake_world_begin(&w);
    struct dlq_linear_desc d = on_rank(fake_desc("l", 1 << 20, 1 << 20), 3, 4);
    d.flags = DLQ_LINEAR_PLAN | DLQ_LINEAR_BIAS;
    dlq_linear *const layer = made(&w, dlq_linear_row_create, &d);
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
    struct dlq_linear_desc d = on_rank(fake_desc("l", 29568, 4), 1, 2);
    d.flags = DLQ_LINEAR_PLAN;
    test_assert_ok(fake_config(w.rt, "packed_k", 128, &d.config, &w.err), &w.err);
    dlq_linear *const layer = made(&w, dlq_linear_row_create, &d);
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
    // 172 = 4 * 43: two ranks have 86 inputs, ten words and three quarters.
    struct dlq_linear_desc d = on_rank(fake_desc("down_proj", 172, 4), 1, 2);
    d.flags = DLQ_LINEAR_NO_REDUCE;
    test_assert_ok(fake_config(w.rt, "packed_k", 43, &d.config, &w.err), &w.err);
    refused(&w, dlq_linear_row_create, &d, DLQ_ESHAPE,
            "layer 'down_proj': parameter 'weight_packed': inputs: offset 86 and size 86 in the "
            "checkpoint's 172, offset 0 on rank 1 of 2, cut inside 32-bit words of 8/1 elements "
            "(4 bits each)");
    dlq_quant_config_destroy(d.config);
    // 32 outputs over 8 ranks are half a word of 8 each.
    d = on_rank(fake_desc("k_proj", 4, 32), 1, 8);
    test_assert_ok(fake_config(w.rt, "packed_n", 4, &d.config, &w.err), &w.err);
    refused(&w, dlq_linear_column_create, &d, DLQ_ESHAPE,
            "parameter 'qweight': outputs: offset 4 and size 4 in the checkpoint's 32");
    dlq_quant_config_destroy(d.config);
    fake_world_end(&w);
}

struct every {
    const char *scheme;
    create_fn create;
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
        cmocka_unit_test(column_splits_outputs),
        cmocka_unit_test(row_splits_inputs_and_keeps_the_whole_bias),
        cmocka_unit_test(merged_splits_each_part),
        cmocka_unit_test(qkv_replicates_kv_heads),
        cmocka_unit_test(qkv_takes_value_heads_of_their_own_width),
        cmocka_unit_test(replicated_is_whole_on_every_rank),
        cmocka_unit_test(disable_tp_makes_rank_0_of_1),
        cmocka_unit_test(only_the_last_component_of_a_fused_path_is_replaced),
        cmocka_unit_test(part_names_override_the_mapping),
        cmocka_unit_test(sizes_that_do_not_divide_are_refused_with_a_hint),
        cmocka_unit_test(head_counts_that_do_not_divide_are_refused),
        cmocka_unit_test(descriptors_that_make_no_sense_are_refused),
        cmocka_unit_test(flags_that_mean_nothing_to_a_kind_are_refused),
        cmocka_unit_test(fused_bias_without_the_sum_is_refused),
        cmocka_unit_test(communication_needs_a_group_of_that_size),
        cmocka_unit_test(no_configuration_means_unquantized),
        cmocka_unit_test(layer_that_nothing_runs_is_refused),
        cmocka_unit_test(not_quantized_runs_plain_and_keeps_the_rule),
        cmocka_unit_test(method_that_cannot_is_refused_with_its_reason),
        cmocka_unit_test(dtype_and_device_are_checked_before_the_method_is_asked),
        cmocka_unit_test(device_that_is_absent_is_an_error_of_the_layer),
        cmocka_unit_test(plan_asks_and_declares_without_memory),
        cmocka_unit_test(group_that_a_rank_cuts_is_refined_by_the_method),
        cmocka_unit_test(cut_word_is_refused_when_the_layer_is_made),
        cmocka_unit_test(failed_allocations_leave_nothing_behind),
    };
    return cmocka_run_group_tests_name("linear_create", tests, NULL, NULL);
}
