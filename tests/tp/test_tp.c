// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "model.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>

// Values are small integers: every sum is exact, so any number of ranks must give the same bits.

#define MAX_RANKS 8

static void
check_all_ranks(const struct model_desc *desc, int64_t rows, uint32_t seed)
{
    struct model m;
    model_init(&m, desc, rows, seed);
    const size_t bytes = (size_t)(rows * m.n) * sizeof(float);
    float *const one = malloc(bytes);
    float *const many = malloc(bytes);
    model_run(&m, 1, one);
    for (int32_t ranks = 2; ranks <= MAX_RANKS; ++ranks) {
        if (model_divides(&m, ranks)) {
            memset(many, 0xFF, bytes);
            model_run(&m, ranks, many);
            if (memcmp(one, many, bytes) != 0) {
                fail_msg("kind %d, scheme %s, %d ranks, flags 0x%x: other bits", desc->kind,
                         desc->scheme ? desc->scheme : "none", ranks, desc->flags);
            }
        }
    }
    free(one);
    free(many);
    model_free(&m);
}

// Ranks of different sizes; `units` 0: the heads of the layer.
static void
check_uneven(const struct model_desc *desc, int64_t units, int64_t rows, uint32_t seed)
{
    struct model m;
    model_init(&m, desc, rows, seed);
    const size_t bytes = (size_t)(rows * m.n) * sizeof(float);
    float *const one = malloc(bytes);
    float *const many = malloc(bytes);
    model_run(&m, 1, one);
    for (int32_t ranks = 2; ranks <= MAX_RANKS; ++ranks) {
        int64_t bounds[MAX_RANKS + 1];
        const struct dlq_partition cut = {
            .struct_size = sizeof(cut), .ranks = ranks, .bounds = bounds};
        struct dlq_error err = DLQ_ERROR_INIT;
        test_assert_ok(
            units ? dlq_partition_spread(units, ranks, bounds, &err)
                  : dlq_partition_spread_heads(desc->heads, desc->kv_heads, ranks, bounds, &err),
            &err);
        m.partition = &cut;
        memset(many, 0xFF, bytes);
        model_run(&m, ranks, many);
        if (memcmp(one, many, bytes) != 0) {
            fail_msg("kind %d, scheme %s, %d uneven ranks, flags 0x%x: other bits", desc->kind,
                     desc->scheme ? desc->scheme : "none", ranks, desc->flags);
        }
    }
    free(one);
    free(many);
    model_free(&m);
}

static const char *const schemes[] = {NULL, "plain", "packed_k", "act_order", "packed_n"};

// 840 is the least number that 1 to 8 divide; times 8 it stays whole words on every rank.
#define WIDE (840 * 8)

static void
column_equals_one_rank(void **state)
{
    (void)state;
    for (size_t s = 0; s < TEST_COUNT(schemes); ++s) {
        struct model_desc d = {DLQ_COLUMN, schemes[s], 8, 16, {WIDE}, .flags = DLQ_LINEAR_BIAS};
        check_all_ranks(&d, 2, 1);
        d.flags |= DLQ_LINEAR_GATHER_OUTPUT;
        check_all_ranks(&d, 1, 2);
        check_all_ranks(&d, 3, 3);
    }
}

static void
row_equals_one_rank(void **state)
{
    (void)state;
    for (size_t s = 0; s < TEST_COUNT(schemes); ++s) {
        // Groups of 128 are cut by most numbers of ranks, and 6720 is no multiple of 128.
        const int64_t group = s == 3 ? 64 : 128;
        struct model_desc d = {DLQ_ROW, schemes[s], group, WIDE, {8}, .flags = DLQ_LINEAR_BIAS};
        check_all_ranks(&d, 2, 4);
        d.flags |= DLQ_LINEAR_INPUT_IS_FULL | DLQ_LINEAR_REDUCE_FP32;
        check_all_ranks(&d, 1, 5);
        d.flags |= DLQ_LINEAR_SKIP_BIAS_ADD;
        check_all_ranks(&d, 3, 6);
    }
}

static void
row_cut_inside_words_equals_one_rank(void **state)
{
    (void)state;
    // 172 = 4 * 43: two ranks have 86 inputs, ten words of eight and three quarters. 840 divides
    // by all, and into whole words only by 1, 3, 5 and 7.
    static const int64_t widths[] = {172, 840};
    for (size_t s = 2; s < 4; ++s) {
        for (size_t i = 0; i < TEST_COUNT(widths); ++i) {
            const struct model_desc d = {DLQ_ROW,   schemes[s], widths[i] / 4,
                                         widths[i], {7},        .flags = DLQ_LINEAR_BIAS};
            check_all_ranks(&d, 3, 12);
        }
    }
}

static void
merged_equals_one_rank_from_parts_and_fused(void **state)
{
    (void)state;
    for (size_t s = 0; s < TEST_COUNT(schemes); ++s) {
        for (int fused = 0; fused < 2; ++fused) {
            struct model_desc d = {DLQ_MERGED_COLUMN,        schemes[s],    8, 8, {WIDE, 2 * WIDE},
                                   .flags = DLQ_LINEAR_BIAS, .fused = fused};
            check_all_ranks(&d, 2, 7);
            d.flags |= DLQ_LINEAR_GATHER_OUTPUT;
            check_all_ranks(&d, 2, 8);
        }
    }
}

static void
column_with_parts_is_gathered_in_part_order(void **state)
{
    (void)state;
    for (size_t s = 0; s < TEST_COUNT(schemes); ++s) {
        const struct model_desc d = {
            DLQ_COLUMN, schemes[s], 8, 8, {WIDE, WIDE, WIDE}, .flags = DLQ_LINEAR_GATHER_OUTPUT};
        check_all_ranks(&d, 1, 9);
        check_all_ranks(&d, 2, 10);
    }
}

static void
qkv_equals_one_rank_with_and_without_replicas(void **state)
{
    (void)state;
    static const int32_t kv_heads[] = {840, 1, 2, 4, 8};
    for (size_t s = 0; s < TEST_COUNT(schemes); ++s) {
        for (size_t h = 0; h < TEST_COUNT(kv_heads); ++h) {
            const struct model_desc d = {
                DLQ_QKV,
                schemes[s],
                4,
                8,
                {0},
                .heads = 840,
                kv_heads[h],
                8,
                16,
                .flags = DLQ_LINEAR_BIAS,
                .fused = (s + h) % 2 == 1,
            };
            check_all_ranks(&d, 1, 11);
        }
    }
}

static void
uneven_columns_equal_one_rank(void **state)
{
    (void)state;
    for (size_t s = 0; s < TEST_COUNT(schemes); ++s) {
        for (int fused = 0; fused < 2; ++fused) {
            struct model_desc d = {DLQ_MERGED_COLUMN,        schemes[s],    8, 16, {88, 176},
                                   .flags = DLQ_LINEAR_BIAS, .fused = fused};
            check_uneven(&d, 11, 2, 17);
            d.flags |= DLQ_LINEAR_GATHER_OUTPUT;
            check_uneven(&d, 11, 3, 18);
        }
        const struct model_desc one = {DLQ_COLUMN, schemes[s], 8,
                                       16,         {104},      .flags = DLQ_LINEAR_GATHER_OUTPUT};
        check_uneven(&one, 13, 1, 19);
    }
}

static void
uneven_rows_equal_one_rank(void **state)
{
    (void)state;
    for (size_t s = 0; s < TEST_COUNT(schemes); ++s) {
        // Units of whole groups, of half a group, and of a word and a half.
        static const int64_t units[] = {11, 22, 29};
        for (size_t i = 0; i < TEST_COUNT(units); ++i) {
            const int64_t k = i < 2 ? 352 : 29 * 12;
            const int64_t group = i < 2 ? 32 : 12;
            struct model_desc d = {DLQ_ROW, schemes[s], group, k, {8}, .flags = DLQ_LINEAR_BIAS};
            check_uneven(&d, units[i], 2, 20);
            d.flags |= DLQ_LINEAR_INPUT_IS_FULL;
            check_uneven(&d, units[i], 1, 21);
        }
    }
}

static void
uneven_heads_equal_one_rank(void **state)
{
    (void)state;
    static const int32_t kv_heads[] = {3, 1, 2, 12, 8};
    for (size_t s = 0; s < TEST_COUNT(schemes); ++s) {
        for (size_t h = 0; h < TEST_COUNT(kv_heads); ++h) {
            const struct model_desc d = {
                DLQ_QKV,
                schemes[s],
                4,
                8,
                {0},
                .heads = kv_heads[h] == 8 ? 16 : 12,
                kv_heads[h],
                8,
                16,
                .flags = DLQ_LINEAR_BIAS,
                .fused = (s + h) % 2 == 1,
            };
            check_uneven(&d, 0, 2, 22);
        }
    }
}

// What a pair is for: y of the column is x of the row, rank by rank, with no talk between.
static void
uneven_pair_shares_its_partition(void **state)
{
    (void)state;
    enum { INNER = 88, RANKS = 3, OUT = 5, IN = 4 };
    struct fake_world w;
    fake_world_begin(&w);
    int64_t bounds[RANKS + 1];
    test_assert_ok(dlq_partition_spread(11, RANKS, bounds, &w.err), &w.err);
    const struct dlq_partition cut = {sizeof(cut), RANKS, bounds};
    int64_t end = 0;
    for (int32_t r = 0; r < RANKS; ++r) {
        struct dlq_linear_desc d = fake_on_rank(fake_desc("up", IN, INNER), r, RANKS);
        d.partition = &cut;
        dlq_linear *const column = fake_made(&w, dlq_linear_column_create, &d);
        d = fake_on_rank(fake_desc("down", INNER, OUT), r, RANKS);
        d.partition = &cut;
        d.flags = DLQ_LINEAR_NO_REDUCE;
        dlq_linear *const row = fake_made(&w, dlq_linear_row_create, &d);
        assert_int_equal(dlq_linear_y_size(column), dlq_linear_x_size(row));
        assert_int_equal(dlq_linear_info(column)->parts[0]->source_offset, end);
        assert_int_equal(dlq_linear_info(row)->input_offset, end);
        end += dlq_linear_x_size(row);
        dlq_linear_destroy(column);
        dlq_linear_destroy(row);
    }
    assert_int_equal(end, INNER);
    fake_world_end(&w);
}

static void
replicated_gives_the_same_on_every_rank(void **state)
{
    (void)state;
    for (size_t s = 0; s < TEST_COUNT(schemes); ++s) {
        const struct model_desc d = {DLQ_REPLICATED,          schemes[s], 8, 16, {24, 16},
                                     .flags = DLQ_LINEAR_BIAS};
        check_all_ranks(&d, 2, 12);
    }
}

static void
disabled_tp_gives_the_same_on_every_rank(void **state)
{
    (void)state;
    const uint32_t flags = DLQ_LINEAR_BIAS | DLQ_LINEAR_DISABLE_TP;
    const struct model_desc column = {DLQ_COLUMN, NULL, 1, 5, {7}, .flags = flags};
    const struct model_desc row = {DLQ_ROW, "packed_k", 8, 24, {7}, .flags = flags};
    for (int32_t ranks = 2; ranks <= 3; ++ranks) {
        for (int i = 0; i < 2; ++i) {
            struct model m;
            model_init(&m, i ? &row : &column, 2, 13);
            float one[14];
            float many[14];
            model_run(&m, 1, one);
            model_run(&m, ranks, many);
            assert_memory_equal(one, many, sizeof(one));
            model_free(&m);
        }
    }
}

static void
sixteen_bits_sum_the_same_with_and_without_fp32(void **state)
{
    (void)state;
    static const uint32_t dtypes[] = {DLQ_F16, DLQ_BF16};
    for (size_t i = 0; i < TEST_COUNT(dtypes); ++i) {
        struct model_desc d = {DLQ_ROW, NULL, 1, 840, {8}, .flags = DLQ_LINEAR_BIAS};
        d.dtype = dtypes[i];
        check_all_ranks(&d, 3, 14);
        d.flags |= DLQ_LINEAR_REDUCE_FP32;
        check_all_ranks(&d, 3, 15);
        const struct model_desc column = {
            DLQ_MERGED_COLUMN, NULL, 1, 16, {840, 840}, .flags = DLQ_LINEAR_GATHER_OUTPUT,
            .dtype = dtypes[i]};
        check_all_ranks(&column, 3, 16);
    }
}

// --- What a caller sees rank by rank ---

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(column_equals_one_rank),
        cmocka_unit_test(row_equals_one_rank),
        cmocka_unit_test(row_cut_inside_words_equals_one_rank),
        cmocka_unit_test(merged_equals_one_rank_from_parts_and_fused),
        cmocka_unit_test(column_with_parts_is_gathered_in_part_order),
        cmocka_unit_test(qkv_equals_one_rank_with_and_without_replicas),
        cmocka_unit_test(uneven_columns_equal_one_rank),
        cmocka_unit_test(uneven_rows_equal_one_rank),
        cmocka_unit_test(uneven_heads_equal_one_rank),
        cmocka_unit_test(uneven_pair_shares_its_partition),
        cmocka_unit_test(replicated_gives_the_same_on_every_rank),
        cmocka_unit_test(disabled_tp_gives_the_same_on_every_rank),
        cmocka_unit_test(sixteen_bits_sum_the_same_with_and_without_fp32),
    };
    return cmocka_run_group_tests_name("tp", tests, NULL, NULL);
}
