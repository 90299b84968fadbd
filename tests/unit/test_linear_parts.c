// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "fake_plugin.h"
#include "support.h"

#include <dlquant/linear.h>

#include <string.h>

static void
column_splits_outputs(void **state)
{
    (void)state;
    struct fake_world w;
    fake_world_begin(&w);
    const struct dlq_linear_desc d = fake_on_rank(fake_desc("a.b", 4, 6), 1, 2);
    dlq_linear *const layer = fake_made(&w, dlq_linear_column_create, &d);
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
    struct dlq_linear_desc d = fake_on_rank(fake_desc("a.b", 8, 3), 1, 2);
    d.flags = DLQ_LINEAR_BIAS | DLQ_LINEAR_NO_REDUCE | DLQ_LINEAR_SKIP_BIAS_ADD;
    dlq_linear *const layer = fake_made(&w, dlq_linear_row_create, &d);
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
    struct dlq_linear_desc d = fake_on_rank(fake_desc("mlp.gate_up_proj", 2, 0), 1, 2);
    d.output_sizes = sizes;
    d.n_output_sizes = 2;
    dlq_linear *const layer = fake_made(&w, dlq_linear_merged_create, &d);
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
    const struct dlq_linear_desc d = fake_on_rank(fake_qkv_desc(8, 4, 8), 5, 8);
    dlq_linear *const layer = fake_made(&w, dlq_linear_qkv_create, &d);
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
    struct dlq_linear_desc d = fake_qkv_desc(4, 0, 8);
    d.v_head_size = 2;
    dlq_linear *const layer = fake_made(&w, dlq_linear_qkv_create, &d);
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
    struct dlq_linear_desc d = fake_on_rank(fake_desc("gate", 2, 7), 1, 2);
    d.output_sizes = sizes;
    d.n_output_sizes = 2;
    dlq_linear *const layer = fake_made(&w, dlq_linear_replicated_create, &d);
    const struct dlq_layer_info *const i = dlq_linear_info(layer);
    assert_int_equal(i->output_size_per_partition, 7);
    assert_int_equal(i->parts[1]->local_offset, 3);
    assert_int_equal(i->parts[1]->source_offset, 0);
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
    dlq_linear *layer = fake_made(&w, dlq_linear_merged_create, &d);
    assert_string_equal(dlq_linear_info(layer)->parts[1]->prefix, "gate_up_proj.up_proj");
    dlq_linear_destroy(layer);
    d.prefix = "gate_up_proj";
    layer = fake_made(&w, dlq_linear_merged_create, &d);
    assert_string_equal(dlq_linear_info(layer)->parts[1]->prefix, "up_proj");
    dlq_linear_destroy(layer);
    d.prefix = "a.in_proj";
    layer = fake_made(&w, dlq_linear_merged_create, &d);
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
    dlq_linear *const layer = fake_made(&w, dlq_linear_merged_create, &d);
    assert_string_equal(dlq_linear_info(layer)->parts[1]->prefix, "mlp.w3");
    dlq_linear_destroy(layer);
    d.part_names = names + 1;
    fake_refused(&w, dlq_linear_merged_create, &d, DLQ_EINVAL,
                 "layer 'mlp.gate_up_proj': part_names: expected 2, found 1");
    fake_world_end(&w);
}

static void
sizes_that_do_not_divide_are_refused_with_a_hint(void **state)
{
    (void)state;
    struct fake_world w;
    fake_world_begin(&w);
    struct dlq_linear_desc d = fake_on_rank(fake_desc("mlp.up", 4, 12), 0, 8);
    fake_refused(
        &w, dlq_linear_column_create, &d, DLQ_ESHAPE,
        "layer 'mlp.up': 12 outputs cannot be split over 8 tensor-parallel ranks; 6 and 12 "
        "would work");
    d = fake_on_rank(fake_desc("mlp.down", 10, 4), 0, 4);
    d.flags = DLQ_LINEAR_NO_REDUCE;
    fake_refused(&w, dlq_linear_row_create, &d, DLQ_ESHAPE,
                 "layer 'mlp.down': 10 inputs cannot be split over 4");
    const int64_t sizes[] = {8, 6};
    d = fake_on_rank(fake_desc("mlp.gate_up_proj", 4, 0), 0, 4);
    d.output_sizes = sizes;
    d.n_output_sizes = 2;
    fake_refused(&w, dlq_linear_merged_create, &d, DLQ_ESHAPE,
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
    struct dlq_linear_desc d = fake_on_rank(fake_qkv_desc(6, 2, 8), 0, 4);
    fake_refused(&w, dlq_linear_qkv_create, &d, DLQ_ESHAPE,
                 "6 query heads (with 2 key/value heads, 2 replicas) cannot be split over 4");
    d = fake_on_rank(fake_qkv_desc(12, 3, 8), 0, 4);
    fake_refused(&w, dlq_linear_qkv_create, &d, DLQ_ESHAPE, "3 key/value heads");
    d = fake_qkv_desc(12, 3, 0);
    fake_refused(&w, dlq_linear_qkv_create, &d, DLQ_ESHAPE,
                 "expected heads and head sizes above 0");
    d = fake_qkv_desc(4, 4, 8);
    d.output_size = 97;
    fake_refused(&w, dlq_linear_qkv_create, &d, DLQ_ESHAPE, "the heads give 96, found 97");
    fake_world_end(&w);
}

static void
partition_gives_ranks_their_own_sizes(void **state)
{
    (void)state;
    struct fake_world w;
    fake_world_begin(&w);
    static const int64_t bounds[] = {0, 2, 3, 6};
    const struct dlq_partition cut = {sizeof(cut), 3, bounds};
    struct dlq_linear_desc d = fake_on_rank(fake_qkv_desc(6, 2, 4), 2, 3);
    d.partition = &cut;
    dlq_linear *layer = fake_made(&w, dlq_linear_qkv_create, &d);
    const struct dlq_layer_info *i = dlq_linear_info(layer);
    assert_int_equal(i->parts[0]->source_offset, 12);
    assert_int_equal(i->parts[0]->local_size, 12);
    assert_int_equal(i->parts[1]->source_offset, 4);
    assert_int_equal(i->output_size_per_partition, 20);
    assert_int_equal(i->output_size, 6 * 4 + 3 * 8); // the first KV head is there twice
    assert_int_equal(i->ckpt_output_size, 40);
    dlq_linear_destroy(layer);
    d = fake_on_rank(fake_desc("o", 24, 8), 1, 3);
    d.flags = DLQ_LINEAR_NO_REDUCE;
    d.partition = &cut;
    layer = fake_made(&w, dlq_linear_row_create, &d);
    i = dlq_linear_info(layer);
    assert_memory_equal(i->input_bounds, ((int64_t[]){0, 8, 12, 24}), 4 * sizeof(int64_t));
    assert_int_equal(i->input_offset, 8);
    assert_int_equal(i->input_size_per_partition, 4);
    dlq_linear_destroy(layer);
    fake_world_end(&w);
}

static void
partition_means_nothing_where_nothing_is_split(void **state)
{
    (void)state;
    struct fake_world w;
    fake_world_begin(&w);
    const struct dlq_partition cut = {sizeof(cut), 9, NULL};
    struct dlq_linear_desc d = fake_on_rank(fake_desc("gate", 2, 7), 1, 2);
    d.partition = &cut;
    dlq_linear *layer = fake_made(&w, dlq_linear_replicated_create, &d);
    assert_int_equal(dlq_linear_y_size(layer), 7);
    dlq_linear_destroy(layer);
    d.flags = DLQ_LINEAR_DISABLE_TP;
    layer = fake_made(&w, dlq_linear_column_create, &d);
    assert_int_equal(dlq_linear_y_size(layer), 7);
    dlq_linear_destroy(layer);
    fake_world_end(&w);
}

static void
partition_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    struct fake_world w;
    fake_world_begin(&w);
    int64_t bounds[] = {0, 2, 6};
    struct dlq_partition cut = {sizeof(cut), 2, bounds};
    struct dlq_linear_desc d = fake_on_rank(fake_desc("up", 2, 7), 0, 2);
    d.partition = &cut;
    fake_refused(&w, dlq_linear_column_create, &d, DLQ_ESHAPE,
                 "layer 'up': 7 outputs cannot be split into the 6 units of its partition");
    d = fake_on_rank(fake_desc("down", 7, 2), 0, 2);
    d.partition = &cut;
    d.flags = DLQ_LINEAR_NO_REDUCE;
    fake_refused(&w, dlq_linear_row_create, &d, DLQ_ESHAPE,
                 "layer 'down': 7 inputs cannot be split into the 6 units of its partition");
    bounds[1] = 6;
    fake_refused(&w, dlq_linear_row_create, &d, DLQ_ESHAPE,
                 "layer 'down': partition: rank 1 of 2 has the units 6 to 6, expected one or more");
    bounds[0] = 1;
    fake_refused(&w, dlq_linear_row_create, &d, DLQ_ESHAPE,
                 "partition: rank 0 of 2 has the units 1 to 6");
    cut.ranks = 3;
    fake_refused(&w, dlq_linear_row_create, &d, DLQ_EINVAL,
                 "layer 'down': partition: expected a struct of 16 bytes or more with bounds of 2 "
                 "ranks, found 16 bytes and 3 ranks");
    fake_world_end(&w);
}

static void
descriptor_of_an_older_header_has_no_partition(void **state)
{
    (void)state;
    struct fake_world w;
    fake_world_begin(&w);
    struct dlq_linear_desc d = fake_on_rank(fake_desc("up", 2, 8), 0, 2);
    d.struct_size = DLQ_SIZE_UPTO(struct dlq_linear_desc, evidence);
    d.partition = (const struct dlq_partition *)(uintptr_t)1;
    dlq_linear *const layer = fake_made(&w, dlq_linear_column_create, &d);
    assert_int_equal(dlq_linear_y_size(layer), 4);
    dlq_linear_destroy(layer);
    fake_world_end(&w);
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
        cmocka_unit_test(only_the_last_component_of_a_fused_path_is_replaced),
        cmocka_unit_test(part_names_override_the_mapping),
        cmocka_unit_test(sizes_that_do_not_divide_are_refused_with_a_hint),
        cmocka_unit_test(head_counts_that_do_not_divide_are_refused),
        cmocka_unit_test(partition_gives_ranks_their_own_sizes),
        cmocka_unit_test(partition_means_nothing_where_nothing_is_split),
        cmocka_unit_test(partition_that_does_not_fit_is_refused),
        cmocka_unit_test(descriptor_of_an_older_header_has_no_partition),
    };
    return cmocka_run_group_tests_name("linear_parts", tests, NULL, NULL);
}
