// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "fake_plugin.h"
#include "support.h"

#include <dlquant/linear.h>

#include <string.h>

static void
disable_tp_makes_rank_0_of_1(void **state)
{
    (void)state;
    struct fake_world w;
    fake_world_begin(&w);
    struct dlq_linear_desc d = fake_on_rank(fake_desc("a", 3, 5), 1, 4);
    d.flags = DLQ_LINEAR_DISABLE_TP | DLQ_LINEAR_GATHER_OUTPUT;
    dlq_linear *const layer = fake_made(&w, dlq_linear_column_create, &d);
    assert_int_equal(dlq_linear_info(layer)->tp_size, 1);
    assert_int_equal(dlq_linear_info(layer)->output_size_per_partition, 5);
    dlq_linear_destroy(layer);
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
    fake_refused(&w, dlq_linear_column_create, &d, DLQ_EINVAL, "found 8");
    d = fake_desc("l", 0, 2);
    fake_refused(&w, dlq_linear_column_create, &d, DLQ_ESHAPE,
                 "layer 'l': input_size: expected above 0, found 0");
    d = fake_desc("l", 4, 0);
    fake_refused(&w, dlq_linear_column_create, &d, DLQ_ESHAPE,
                 "outputs of part '0': expected above 0");
    d.output_sizes = sizes;
    d.n_output_sizes = 2;
    fake_refused(&w, dlq_linear_column_create, &d, DLQ_ESHAPE, "outputs of part '1'");
    d.n_output_sizes = 1;
    d.output_size = 3;
    fake_refused(&w, dlq_linear_column_create, &d, DLQ_ESHAPE,
                 "output_size: expected 2, the sum of its 1 parts, found 3");
    d.output_size = 2;
    fake_refused(&w, dlq_linear_row_create, &d, DLQ_EINVAL,
                 "a RowParallelLinear has one part, found 1");
    d.output_sizes = NULL;
    fake_refused(&w, dlq_linear_column_create, &d, DLQ_EINVAL,
                 "output_sizes: expected n_output_sizes");
    d = fake_desc("l", 4, 2);
    fake_refused(&w, dlq_linear_merged_create, &d, DLQ_EINVAL,
                 "output_sizes: expected the outputs of");
    d.act_dtype = DLQ_I8;
    fake_refused(&w, dlq_linear_column_create, &d, DLQ_EDTYPE,
                 "act_dtype: expected F16, BF16 or F32, found I8");
    fake_world_end(&w);
}

static void
more_weights_than_any_layer_has_are_refused(void **state)
{
    (void)state;
    struct fake_world w;
    fake_world_begin(&w);
    const int64_t most = INT64_C(1) << 48;
    struct dlq_linear_desc d = fake_desc("l", INT64_MAX, 2);
    d.flags = DLQ_LINEAR_PLAN;
    fake_refused(&w, dlq_linear_row_create, &d, DLQ_EOVERFLOW,
                 "layer 'l': K 9223372036854775807 and N 2: expected at most 2^48 weights");
    d.input_size = 2;
    d.output_size = most / 2 + 1;
    fake_refused(&w, dlq_linear_column_create, &d, DLQ_EOVERFLOW, "N 140737488355329: expected");
    d.output_size = most / 2;
    dlq_linear_destroy(fake_made(&w, dlq_linear_column_create, &d));
    d.output_size = 0;
    d.head_size = INT32_MAX;
    d.total_num_heads = INT32_MAX;
    fake_refused(&w, dlq_linear_qkv_create, &d, DLQ_ESHAPE, "a sum that fits 63 bits");
    d.head_size = 1 << 10;
    d.input_size = 1 << 10;
    fake_refused(&w, dlq_linear_qkv_create, &d, DLQ_EOVERFLOW, "at most 2^48 weights");
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
    fake_refused(&w, dlq_linear_column_create, &d, DLQ_EINVAL,
                 "layer 'l': flag 4 (no_reduce) means nothing to a ColumnParallelLinear");
    d.flags = DLQ_LINEAR_GATHER_OUTPUT;
    fake_refused(&w, dlq_linear_row_create, &d, DLQ_EINVAL, "(gather_output)");
    d.flags = 1u << 20;
    fake_refused(&w, dlq_linear_row_create, &d, DLQ_EINVAL, "flag 20 (unknown)");
    d = fake_qkv_desc(4, 4, 8);
    d.flags = DLQ_LINEAR_GATHER_OUTPUT;
    fake_refused(&w, dlq_linear_qkv_create, &d, DLQ_EINVAL, "(gather_output)");
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
    fake_refused(&w, dlq_linear_row_create, &d, DLQ_EINVAL,
                 "a bias that is added needs the sum over ranks");
    fake_world_end(&w);
}

static void
communication_needs_a_group_of_that_size(void **state)
{
    (void)state;
    struct fake_world w;
    fake_world_begin(&w);
    struct dlq_linear_desc d = fake_on_rank(fake_desc("l", 4, 2), 1, 2);
    fake_refused(
        &w, dlq_linear_row_create, &d, DLQ_EINVAL,
        "layer 'l': summing the outputs as rank 1 of 2 needs a collective of that rank and "
        "size, found rank 0 of 1");
    d.flags = DLQ_LINEAR_GATHER_OUTPUT;
    fake_refused(&w, dlq_linear_column_create, &d, DLQ_EINVAL,
                 "gathering the outputs as rank 1 of 2");
    d.flags = 0;
    dlq_linear_destroy(fake_made(&w, dlq_linear_column_create, &d));
    d.tp_rank = 2;
    fake_refused(&w, dlq_linear_column_create, &d, DLQ_EINVAL, "rank 2 of 2 is outside");
    d.tp_size = -1;
    fake_refused(&w, dlq_linear_column_create, &d, DLQ_EINVAL, "of -1 is outside");
    struct dlq_collective small = {.struct_size = 4};
    d.collective = &small;
    fake_refused(&w, dlq_linear_column_create, &d, DLQ_EINVAL, "collective: expected a struct of");
    fake_world_end(&w);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(disable_tp_makes_rank_0_of_1),
        cmocka_unit_test(descriptors_that_make_no_sense_are_refused),
        cmocka_unit_test(more_weights_than_any_layer_has_are_refused),
        cmocka_unit_test(flags_that_mean_nothing_to_a_kind_are_refused),
        cmocka_unit_test(fused_bias_without_the_sum_is_refused),
        cmocka_unit_test(communication_needs_a_group_of_that_size),
    };
    return cmocka_run_group_tests_name("linear_setup", tests, NULL, NULL);
}
