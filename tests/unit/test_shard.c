// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "shard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct dlq_shard_unit plain = {1, 1, 1, 1};
static const struct dlq_shard_unit nibbles = {1, 8, 1, 1};
static const struct dlq_shard_unit three_bits = {1, 32, 3, 1};
static const struct dlq_shard_unit blocks_128 = {128, 1, 1, 1};

static void
even_split_gives_equal_runs(void **state)
{
    (void)state;
    int64_t b[3];
    assert_int_equal(dlq_shard_even("l", "outputs", 6, 2, b, NULL), DLQ_OK);
    assert_int_equal(b[0], 0);
    assert_int_equal(b[1], 3);
    assert_int_equal(b[2], 6);
}

static void
even_split_error_names_sizes_and_rank_counts_that_work(void **state)
{
    (void)state;
    int64_t b[9];
    struct dlq_error err = DLQ_ERROR_INIT;
    assert_int_equal(dlq_shard_even("mlp.up", "outputs", 12, 8, b, &err), DLQ_ESHAPE);
    assert_string_equal(err.msg, "layer 'mlp.up': 12 outputs cannot be split over 8 "
                                 "tensor-parallel ranks; 6 and 12 would work");
    assert_int_equal(dlq_shard_even("mlp.up", "outputs", 8191, 2, b, &err), DLQ_ESHAPE);
    assert_non_null(strstr(err.msg, "; 1 would work"));
}

static void
spread_gives_the_first_ranks_one_unit_more(void **state)
{
    (void)state;
    int64_t b[5];
    assert_int_equal(dlq_shard_spread(7, 3, b), DLQ_OK);
    assert_memory_equal(b, ((int64_t[]){0, 3, 5, 7}), 4 * sizeof(*b));
    assert_int_equal(dlq_shard_spread(3, 4, b), DLQ_ESHAPE);
}

static void
cut_follows_the_units_and_refuses_a_size_without_them(void **state)
{
    (void)state;
    static const int64_t partition[] = {0, 3, 5, 7};
    int64_t b[4];
    struct dlq_error err = DLQ_ERROR_INIT;
    assert_int_equal(dlq_shard_cut("l", "inputs", 56, partition, 3, b, NULL), DLQ_OK);
    assert_memory_equal(b, ((int64_t[]){0, 24, 40, 56}), sizeof(b));
    assert_int_equal(dlq_shard_cut("l", "inputs", 57, partition, 3, b, &err), DLQ_ESHAPE);
    assert_string_equal(err.msg, "layer 'l': 57 inputs cannot be split into the 7 units of its "
                                 "partition");
}

static void
cut_parts_count_the_ranks_that_share_heads(void **state)
{
    (void)state;
    // 6 query heads of 2 KV heads on 3 ranks: the first KV head is on two of them.
    static const int64_t partition[] = {0, 2, 3, 6};
    static const int32_t heads[] = {6, 2};
    static const int64_t expected[3][3] = {{0, 0, 2}, {8, 0, 2}, {12, 10, 1}};
    for (int32_t r = 0; r < 3; ++r) {
        struct dlq_part p[2] = {{.tag = "q", .full_size = 24}, {.tag = "k", .full_size = 20}};
        assert_int_equal(dlq_shard_check_heads("l", 6, 2, partition, 3, NULL), DLQ_OK);
        assert_int_equal(dlq_shard_parts_cut("l", partition, r, 3, heads, p, 2, NULL), DLQ_OK);
        assert_int_equal(p[0].source_offset, expected[r][0]);
        assert_int_equal(p[0].replicas, 1);
        assert_int_equal(p[1].source_offset, expected[r][1]);
        assert_int_equal(p[1].replicas, expected[r][2]);
        assert_int_equal(p[1].local_size, 10);
        assert_int_equal(p[1].local_offset, p[0].local_size);
        assert_int_equal(p[1].full_offset, 24);
    }
}

static void
cut_errors_name_parts_and_heads(void **state)
{
    (void)state;
    struct dlq_error err = DLQ_ERROR_INIT;
    static const int64_t mixed[] = {0, 4, 6};
    struct dlq_part p[2] = {{.tag = "gate", .full_size = 12}, {.tag = "up", .full_size = 20}};
    assert_int_equal(dlq_shard_parts_cut("mlp", mixed, 0, 2, NULL, p, 2, &err), DLQ_ESHAPE);
    assert_string_equal(err.msg, "layer 'mlp': 20 outputs of part 'up' cannot be split into the 6 "
                                 "units of its partition");
    assert_int_equal(dlq_shard_check_heads("attn", 6, 2, mixed, 2, &err), DLQ_ESHAPE);
    assert_string_equal(err.msg, "layer 'attn': its partition gives rank 0 of 2 parts of the query "
                                 "heads of 2 of its 2 key/value heads");
    assert_int_equal(dlq_shard_check_heads("attn", 8, 2, mixed, 2, &err), DLQ_ESHAPE);
    assert_string_equal(err.msg, "layer 'attn': 8 query heads and 2 key/value heads cannot be "
                                 "split into the 6 units of its partition");
    assert_int_equal(dlq_shard_check_heads("attn", 12, 4, mixed, 2, &err), DLQ_ESHAPE);
}

static void
refined_group_is_cut_by_no_bound(void **state)
{
    (void)state;
    static const struct {
        int64_t k, group, refined;
        int32_t ranks;
    } cases[] = {
        {29568, 128, 64, 2}, {29568, 128, 32, 4}, {29568, 128, 16, 8},
        {4864, 128, 64, 4},  {29568, 64, 64, 2},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); ++i) {
        int64_t b[9];
        assert_int_equal(dlq_shard_even("l", "inputs", cases[i].k, cases[i].ranks, b, NULL),
                         DLQ_OK);
        assert_int_equal(dlq_shard_refine(cases[i].group, b, cases[i].ranks + 1), cases[i].refined);
    }
}

static void
heads_are_replicated_when_ranks_outnumber_them(void **state)
{
    (void)state;
    struct dlq_shard_heads h;
    assert_int_equal(dlq_shard_heads("l", 8, 4, 8, &h, NULL), DLQ_OK);
    assert_int_equal(h.q, 1);
    assert_int_equal(h.kv, 1);
    assert_int_equal(h.replicas, 2);
    assert_int_equal(dlq_shard_heads("l", 8, 4, 2, &h, NULL), DLQ_OK);
    assert_int_equal(h.q, 4);
    assert_int_equal(h.kv, 2);
    assert_int_equal(h.replicas, 1);
}

static void
head_errors_name_heads_ranks_and_replicas(void **state)
{
    (void)state;
    struct dlq_shard_heads h;
    struct dlq_error err = DLQ_ERROR_INIT;
    assert_int_equal(dlq_shard_heads("attn", 6, 2, 4, &h, &err), DLQ_ESHAPE);
    assert_string_equal(err.msg, "layer 'attn': 6 query heads (with 2 key/value heads, 2 replicas) "
                                 "cannot be split over 4 tensor-parallel ranks");
    assert_int_equal(dlq_shard_heads("attn", 8, 3, 4, &h, &err), DLQ_ESHAPE);
    assert_string_equal(err.msg, "layer 'attn': 3 key/value heads (with 8 query heads, 1 replicas) "
                                 "cannot be spread evenly over 4 tensor-parallel ranks");
    assert_int_equal(dlq_shard_heads("attn", 9, 4, 3, &h, &err), DLQ_ESHAPE);
}

static void
packed_span_is_exact_at_word_bounds(void **state)
{
    (void)state;
    int64_t pos, len;
    assert_int_equal(dlq_shard_span(&nibbles, 16, 8, 24, &pos, &len), DLQ_OK);
    assert_int_equal(pos, 2);
    assert_int_equal(len, 1);
    assert_int_equal(dlq_shard_span(&three_bits, 32, 32, 64, &pos, &len), DLQ_OK);
    assert_int_equal(pos, 3);
    assert_int_equal(len, 3);
}

static void
span_that_cuts_a_word_is_refused(void **state)
{
    (void)state;
    int64_t pos, len;
    assert_int_equal(dlq_shard_span(&nibbles, 12, 8, 20, &pos, &len), DLQ_ESHAPE);
    assert_int_equal(dlq_shard_span(&three_bits, 0, 20, 40, &pos, &len), DLQ_ESHAPE);
    assert_int_equal(dlq_shard_span(&nibbles, 86, 86, 172, &pos, &len), DLQ_ESHAPE);
    assert_int_equal(dlq_shard_span(&blocks_128, 192, 256, 448, &pos, &len), DLQ_ESHAPE);
}

static void
last_word_of_a_dimension_may_be_begun_only(void **state)
{
    (void)state;
    int64_t pos, len;
    assert_int_equal(dlq_shard_span(&nibbles, 0, 33, 33, &pos, &len), DLQ_OK);
    assert_int_equal(len, 5);
    assert_int_equal(dlq_shard_span(&blocks_128, 128, 22, 150, &pos, &len), DLQ_OK);
    assert_int_equal(pos, 1);
    assert_int_equal(len, 1);
    assert_int_equal(dlq_shard_span(&blocks_128, 0, 22, 150, &pos, &len), DLQ_ESHAPE);
}

static void
tiles_multiply_after_packing(void **state)
{
    (void)state;
    const struct dlq_shard_unit tiles = {1, 8, 1, 16};
    int64_t pos, len;
    assert_int_equal(dlq_shard_span(&tiles, 8, 16, 24, &pos, &len), DLQ_OK);
    assert_int_equal(pos, 16);
    assert_int_equal(len, 32);
}

static void
sizes_past_63_bits_are_an_overflow(void **state)
{
    (void)state;
    const struct dlq_shard_unit wide = {1, 1, 1, 3};
    int64_t out;
    assert_int_equal(dlq_shard_units(&wide, INT64_MAX / 2, &out), DLQ_EOVERFLOW);
    assert_int_equal(dlq_shard_units(&three_bits, INT64_MAX / 2, &out), DLQ_EOVERFLOW);
    assert_int_equal(dlq_shard_units(&plain, INT64_MAX, &out), DLQ_OK);
}

static void
parts_are_split_one_by_one(void **state)
{
    (void)state;
    struct dlq_part p[2] = {{.tag = "0", .full_size = 8, .replicas = 1},
                            {.tag = "1", .full_size = 4, .replicas = 1}};
    assert_int_equal(dlq_shard_parts("l", 1, 2, p, 2, NULL), DLQ_OK);
    assert_int_equal(p[0].local_size, 4);
    assert_int_equal(p[0].source_offset, 4);
    assert_int_equal(p[1].local_offset, 4);
    assert_int_equal(p[1].local_size, 2);
    assert_int_equal(p[1].source_offset, 2);
    assert_int_equal(p[1].full_offset, 8);
}

static void
replicated_parts_repeat_over_neighbouring_ranks(void **state)
{
    (void)state;
    struct dlq_part p[3] = {{.tag = "q", .full_size = 64, .replicas = 1},
                            {.tag = "k", .full_size = 32, .replicas = 2},
                            {.tag = "v", .full_size = 32, .replicas = 2}};
    assert_int_equal(dlq_shard_parts("l", 5, 8, p, 3, NULL), DLQ_OK);
    assert_int_equal(p[0].source_offset, 40);
    assert_int_equal(p[0].local_size, 8);
    assert_int_equal(p[1].source_offset, 16);
    assert_int_equal(p[1].local_size, 8);
    assert_int_equal(p[2].local_offset, 16);
    assert_int_equal(p[2].full_offset, 96);
}

static void
part_error_hints_at_rank_counts_for_all_parts(void **state)
{
    (void)state;
    struct dlq_part p[2] = {{.tag = "gate", .full_size = 12, .replicas = 1},
                            {.tag = "up", .full_size = 18, .replicas = 1}};
    struct dlq_error err = DLQ_ERROR_INIT;
    assert_int_equal(dlq_shard_parts("mlp", 0, 4, p, 2, &err), DLQ_ESHAPE);
    assert_string_equal(err.msg, "layer 'mlp': 18 outputs of part 'up' cannot be split over 4 "
                                 "tensor-parallel ranks; 3 and 6 would work");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(even_split_gives_equal_runs),
        cmocka_unit_test(even_split_error_names_sizes_and_rank_counts_that_work),
        cmocka_unit_test(spread_gives_the_first_ranks_one_unit_more),
        cmocka_unit_test(cut_follows_the_units_and_refuses_a_size_without_them),
        cmocka_unit_test(cut_parts_count_the_ranks_that_share_heads),
        cmocka_unit_test(cut_errors_name_parts_and_heads),
        cmocka_unit_test(refined_group_is_cut_by_no_bound),
        cmocka_unit_test(heads_are_replicated_when_ranks_outnumber_them),
        cmocka_unit_test(head_errors_name_heads_ranks_and_replicas),
        cmocka_unit_test(packed_span_is_exact_at_word_bounds),
        cmocka_unit_test(span_that_cuts_a_word_is_refused),
        cmocka_unit_test(last_word_of_a_dimension_may_be_begun_only),
        cmocka_unit_test(tiles_multiply_after_packing),
        cmocka_unit_test(sizes_past_63_bits_are_an_overflow),
        cmocka_unit_test(parts_are_split_one_by_one),
        cmocka_unit_test(replicated_parts_repeat_over_neighbouring_ranks),
        cmocka_unit_test(part_error_hints_at_rank_counts_for_all_parts),
    };
    return cmocka_run_group_tests_name("shard", tests, NULL, NULL);
}
