// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "params_fixture.h"

static struct dlq_param_desc
describe_blocks(int64_t rows, int64_t cols, int64_t bn)
{
    struct dlq_param_desc d = params_describe("weight_scale", DLQ_I32, rows, cols);
    d.block[0] = bn;
    d.ckpt_block[0] = 128;
    d.block[1] = 128;
    return d;
}

static void
part_that_starts_inside_a_word_is_refused_at_declaration(void **state)
{
    (void)state;
    struct params_fixture f;
    params_begin(&f, 2, false, (const int64_t[]){12, 8}, 2, 0, 1);
    const struct dlq_param_desc d = params_describe_awq("qweight", 2, 3, 0, 0);
    test_assert_error(params_declare(&f, &d), &f.err, DLQ_ESHAPE,
                      "layer 'l': parameter 'qweight': outputs of part '0': offset 0 and size 12 "
                      "in the checkpoint's 12, offset 0 on rank 0 of 1, cut inside 32-bit words of "
                      "8/1 elements (4 bits each)");
    assert_null(dlq_params_find(&f.params, "qweight"));
    params_end(&f);
}

static void
fractional_words_are_cut_exactly_or_refused(void **state)
{
    (void)state;
    struct params_fixture f;
    params_begin(&f, 64, true, (const int64_t[]){1}, 1, 1, 2);
    struct dlq_param_desc d = params_describe_3bit(3);
    test_assert_ok(params_declare(&f, &d), &f.err);
    const int32_t full[] = {1, 2, 3, 4, 5, 6};
    const struct dlq_tensor t = params_tensor(DLQ_I32, 2, 1, 6, full);
    test_assert_ok(params_load(&f, "weight_packed", 0, 0, &t), &f.err);
    assert_memory_equal(params_data(&f, "weight_packed"), full + 3, 12);
    params_end(&f);

    params_begin(&f, 40, true, (const int64_t[]){1}, 1, 1, 2);
    d = params_describe_3bit(2);
    test_assert_error(params_declare(&f, &d), &f.err, DLQ_ESHAPE,
                      "inputs: offset 20 and size 20 in the checkpoint's 40, offset 0 on rank 1 of "
                      "2, cut inside 32-bit words of 32/3 elements (3 bits each)");
    params_end(&f);
}

static void
cut_that_needs_a_finer_group_says_which(void **state)
{
    (void)state;
    struct params_fixture f;
    params_begin(&f, 29568, true, (const int64_t[]){4}, 1, 0, 2);
    struct dlq_param_desc d = params_describe("weight_scale", DLQ_F16, 4, 116);
    d.block[1] = 128;
    test_assert_error(params_declare(&f, &d), &f.err, DLQ_ESHAPE,
                      "parameter 'weight_scale': inputs: offset 0 and size 14784 in the "
                      "checkpoint's 29568, offset 0 on rank 0 of 2, cut inside groups of 128 "
                      "elements (groups of 64 would fit)");
    params_end(&f);
}

static void
refined_groups_repeat_the_checkpoints(void **state)
{
    (void)state;
    // K = 12 in groups of 4, two ranks: groups of 2, the middle group is on both.
    const int32_t full[] = {10, 11, 12, 20, 21, 22};
    const int32_t expected[2][6] = {{10, 10, 11, 20, 20, 21}, {11, 12, 12, 21, 22, 22}};
    for (int32_t rank = 0; rank < 2; ++rank) {
        struct params_fixture f;
        params_begin(&f, 12, true, (const int64_t[]){2}, 1, rank, 2);
        struct dlq_param_desc d = params_describe("weight_scale", DLQ_I32, 2, 3);
        d.block[1] = 2;
        d.ckpt_block[1] = 4;
        test_assert_ok(params_declare(&f, &d), &f.err);
        const struct dlq_tensor t = params_tensor(DLQ_I32, 2, 2, 3, full);
        test_assert_ok(params_load(&f, "weight_scale", 0, 0, &t), &f.err);
        assert_memory_equal(params_data(&f, "weight_scale"), expected[rank], 24);
        params_end(&f);
    }
}

static void
refined_rows_repeat_packed_rows_too(void **state)
{
    (void)state;
    struct params_fixture f;
    params_begin(&f, 12, true, (const int64_t[]){16}, 1, 1, 2);
    const struct dlq_param_desc d = params_describe_awq("qzeros", 3, 2, 2, 4);
    test_assert_ok(params_declare(&f, &d), &f.err);
    const int32_t full[] = {1, 2, 3, 4, 5, 6};
    const struct dlq_tensor t = params_tensor(DLQ_I32, 2, 3, 2, full);
    test_assert_ok(params_load(&f, "qzeros", 0, 0, &t), &f.err);
    assert_memory_equal(params_data(&f, "qzeros"), ((int32_t[]){3, 4, 5, 6, 5, 6}), 24);
    params_end(&f);
}

static void
block_scales_of_a_ragged_part_are_refined_or_refused(void **state)
{
    (void)state;
    struct params_fixture f;
    params_begin(&f, 128, false, (const int64_t[]){192, 256}, 2, 0, 1);
    struct dlq_param_desc d = describe_blocks(4, 1, 128);
    test_assert_error(params_declare(&f, &d), &f.err, DLQ_ESHAPE,
                      "outputs of part '0': offset 0 and size 192 in the checkpoint's 192, offset "
                      "0 on rank 0 of 1, cut inside groups of 128 elements (groups of 64 would "
                      "fit)");
    d = describe_blocks(7, 1, 64);
    test_assert_ok(params_declare(&f, &d), &f.err);
    // Each part has its own ceil: 2 rows, then 2 rows.
    const int32_t full[] = {1, 2, 3, 4};
    const struct dlq_tensor t = params_tensor(DLQ_I32, 2, 4, 1, full);
    test_assert_ok(params_load(&f, "weight_scale", 0, 1, &t), &f.err);
    assert_memory_equal(params_data(&f, "weight_scale"), ((int32_t[]){1, 1, 2, 3, 3, 4, 4}), 28);
    params_end(&f);
}

static void
last_block_may_be_ragged_without_a_cut(void **state)
{
    (void)state;
    struct params_fixture f;
    params_begin(&f, 200, false, (const int64_t[]){128, 100}, 2, 0, 1);
    const struct dlq_param_desc d = describe_blocks(2, 2, 128);
    test_assert_ok(params_declare(&f, &d), &f.err);
    const int32_t full[] = {1, 2, 3, 4};
    const struct dlq_tensor t = params_tensor(DLQ_I32, 2, 2, 2, full);
    test_assert_ok(params_load(&f, "weight_scale", 0, 1, &t), &f.err);
    assert_memory_equal(params_data(&f, "weight_scale"), full, 16);
    params_end(&f);
}

static void
declaration_that_makes_no_sense_is_refused(void **state)
{
    (void)state;
    struct params_fixture f;
    params_begin(&f, 2, false, (const int64_t[]){4, 4}, 2, 0, 1);
    const struct dlq_param_desc good = params_describe("w", DLQ_I32, 8, 2);
    static const struct {
        int32_t code;
        const char *text;
    } expected[] = {
        {DLQ_ESHAPE,
         "was declared as [7, 2]; along its output dimension 0 the layer's sizes give 8"},
        {DLQ_ESHAPE,
         "was declared as [8, 3]; along its input dimension 1 the layer's sizes give 2"},
        {DLQ_EPLUGIN, "dimensions output 2, input 1, packed -1 do not fit 2"},
        {DLQ_EPLUGIN, "dimensions output 0, input 0, packed -1"},
        {DLQ_EPLUGIN, "a pack ratio needs a packed_dim"},
        {DLQ_EPLUGIN, "a word holds less than one element"},
        {DLQ_EPLUGIN, "block does not divide ckpt_block"},
        {DLQ_EPLUGIN, "a packed dimension cannot be refined"},
        {DLQ_EPLUGIN, "the layer has 2 parts, so it needs an output_dim, slots or"},
        {DLQ_EPLUGIN, "a replicated parameter cannot follow the outputs"},
        {DLQ_EPLUGIN, "3 slots and a first dimension of 8, where the layer has 2 parts"},
        {DLQ_EDTYPE, "storage of 4-bit elements is expected in bytes or words"},
        {DLQ_EOVERFLOW, "the bytes of [8, 4611686018427387904] I32 overflow 64 bits"},
        {DLQ_EPLUGIN, "a dimension is negative"},
        {DLQ_EPLUGIN, "without a name"},
        {DLQ_EPLUGIN, "a descriptor of 8 bytes"},
        {DLQ_EPLUGIN, "slots are neither sharded nor replicated"},
        {DLQ_EPLUGIN, "a block is negative"},
        {DLQ_EPLUGIN, "tile, pack_num or pack_den is negative"},
    };
    struct dlq_param_desc d[TEST_COUNT(expected)];
    for (size_t i = 0; i < TEST_COUNT(d); ++i) {
        d[i] = good;
    }
    d[0].shape[0] = 7;
    d[1].shape[1] = 3;
    d[2].output_dim = 2;
    d[3].input_dim = 0;
    d[4].pack_num = 8;
    d[5].packed_dim = 1;
    d[5].pack_num = 1;
    d[5].pack_den = 2;
    d[6].block[1] = 4;
    d[6].ckpt_block[1] = 6;
    d[7].packed_dim = 1;
    d[7].block[1] = 2;
    d[7].ckpt_block[1] = 4;
    d[8].output_dim = -1;
    d[9].flags = DLQ_PARAM_REPLICATED;
    d[10].slot_count = 3;
    d[11].dtype = DLQ_F4_E2M1;
    d[12].shape[1] = INT64_C(1) << 62;
    d[13].shape[1] = -1;
    d[14].name = "";
    d[15].struct_size = 8;
    d[16].slot_count = 2;
    d[16].shape[0] = 2;
    d[17].ckpt_block[0] = -1;
    d[18].tile = -1;
    for (size_t i = 0; i < TEST_COUNT(d); ++i) {
        test_assert_error(params_declare(&f, &d[i]), &f.err, expected[i].code, expected[i].text);
    }
    test_assert_ok(params_declare(&f, &good), &f.err);
    test_assert_error(params_declare(&f, &good), &f.err, DLQ_EEXIST,
                      "parameter 'w' is declared twice");
    params_end(&f);
}

static void
sizes_that_overflow_are_refused(void **state)
{
    (void)state;
    struct params_fixture f;
    params_begin(&f, 1, false, (const int64_t[]){INT64_MAX / 2}, 1, 0, 1);
    struct dlq_param_desc d = params_describe_3bit(1);
    d.packed_dim = 0;
    test_assert_error(params_declare(&f, &d), &f.err, DLQ_EOVERFLOW,
                      "layer 'l': parameter 'weight_packed': sizes overflow 64 bits");
    params_end(&f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(part_that_starts_inside_a_word_is_refused_at_declaration),
        cmocka_unit_test(fractional_words_are_cut_exactly_or_refused),
        cmocka_unit_test(cut_that_needs_a_finer_group_says_which),
        cmocka_unit_test(refined_groups_repeat_the_checkpoints),
        cmocka_unit_test(refined_rows_repeat_packed_rows_too),
        cmocka_unit_test(block_scales_of_a_ragged_part_are_refined_or_refused),
        cmocka_unit_test(last_block_may_be_ragged_without_a_cut),
        cmocka_unit_test(declaration_that_makes_no_sense_is_refused),
        cmocka_unit_test(sizes_that_overflow_are_refused),
    };
    return cmocka_run_group_tests_name("params_shape", tests, NULL, NULL);
}
