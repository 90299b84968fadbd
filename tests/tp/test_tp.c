// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "model.h"
#include "support.h"

#include <pthread.h>
#include <stdio.h>
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

// Layers of two ranks that are threads.
struct pair {
    struct model m;
    struct fake_world w;
    dlq_collective_threads *group;
    dlq_linear *layers[2];
    struct dlq_linear_io io[2];
    struct dlq_error err[2];
    int32_t rc[2];
    _Alignas(256) char scratch[2][2048];
};

// Weight row n is n + 1 throughout, so that y[n] = (n + 1) * sum of x.
static void
init_counting(struct model *m, const struct model_desc *d)
{
    model_init(m, d, 1, 1);
    float *const weight = m->tensors[0].tensor.data;
    for (int64_t n = 0; n < m->n; ++n) {
        for (int64_t k = 0; k < d->k; ++k) {
            weight[n * d->k + k] = (float)(n + 1);
        }
        if (m->bias) {
            m->bias[n] = (float)(100 * (n + 1));
        }
    }
}

static void
pair_begin(struct pair *p, const struct model_desc *desc)
{
    init_counting(&p->m, desc);
    fake_world_begin(&p->w);
    test_assert_ok(dlq_collective_threads_create(p->w.rt, 2, 20000, &p->group, &p->w.err),
                   &p->w.err);
    for (int32_t r = 0; r < 2; ++r) {
        p->layers[r] = model_make(&p->m, &p->w, NULL, dlq_collective_threads_get(p->group, r));
        p->err[r] = (struct dlq_error)DLQ_ERROR_INIT;
    }
}

static void
pair_end(struct pair *p)
{
    dlq_linear_destroy(p->layers[0]);
    dlq_linear_destroy(p->layers[1]);
    dlq_collective_threads_destroy(p->group);
    fake_world_end(&p->w);
    model_free(&p->m);
}

struct half {
    struct pair *p;
    int r;
};

static void *
run_half(void *arg)
{
    const struct half *const h = arg;
    h->p->rc[h->r] = dlq_linear_apply(h->p->layers[h->r], &h->p->io[h->r], &h->p->err[h->r]);
    return NULL;
}

static void
pair_apply(struct pair *p, const float *x0, const float *x1, float *y0, float *y1, uint32_t flags)
{
    const float *const x[] = {x0, x1};
    float *const y[] = {y0, y1};
    struct half halves[2];
    pthread_t threads[2];
    for (int r = 0; r < 2; ++r) {
        halves[r] = (struct half){p, r};
        p->io[r] = (struct dlq_linear_io){
            .struct_size = sizeof(p->io[r]),
            .flags = flags,
            .m = 1,
            .x = x[r],
            .y = y[r],
            .workspace = p->scratch[r],
            .workspace_size = sizeof(p->scratch[r]),
        };
        assert_int_equal(pthread_create(&threads[r], NULL, run_half, &halves[r]), 0);
    }
    for (int r = 0; r < 2; ++r) {
        pthread_join(threads[r], NULL);
        test_assert_ok(p->rc[r], &p->err[r]);
    }
}

static void
column_of_six_puts_three_to_five_on_rank_one(void **state)
{
    (void)state;
    const struct model_desc d = {DLQ_COLUMN, NULL, 1, 2, {6}, .flags = 0};
    struct pair p;
    pair_begin(&p, &d);
    const float x[] = {1, 0};
    float y0[3];
    float y1[3];
    pair_apply(&p, x, x, y0, y1, 0);
    assert_memory_equal(y0, ((float[]){1, 2, 3}), sizeof(y0));
    assert_memory_equal(y1, ((float[]){4, 5, 6}), sizeof(y1));
    pair_end(&p);
}

static void
row_of_eight_adds_the_bias_once(void **state)
{
    (void)state;
    const struct model_desc d = {DLQ_ROW, NULL, 1, 8, {3}, .flags = DLQ_LINEAR_BIAS};
    struct pair p;
    pair_begin(&p, &d);
    const float x[] = {1, 1, 1, 1, 2, 2, 2, 2};
    float y0[3];
    float y1[3];
    pair_apply(&p, x, x + 4, y0, y1, 0);
    assert_memory_equal(y0, ((float[]){112, 224, 336}), sizeof(y0));
    assert_memory_equal(y1, y0, sizeof(y1));
    // Without the sum of this call rank 0 has its share and the bias, rank 1 only its share.
    pair_apply(&p, x, x + 4, y0, y1, DLQ_LINEAR_NO_REDUCE);
    assert_memory_equal(y0, ((float[]){104, 208, 312}), sizeof(y0));
    assert_memory_equal(y1, ((float[]){8, 16, 24}), sizeof(y1));
    pair_end(&p);
}

static void
row_without_reduce_keeps_partial_sums(void **state)
{
    (void)state;
    const struct model_desc d = {
        DLQ_ROW, NULL, 1, 8, {3}, .flags = DLQ_LINEAR_NO_REDUCE | DLQ_LINEAR_INPUT_IS_FULL};
    struct pair p;
    pair_begin(&p, &d);
    const float x[] = {1, 1, 1, 1, 2, 2, 2, 2};
    float y0[3];
    float y1[3];
    pair_apply(&p, x, x, y0, y1, 0);
    assert_memory_equal(y0, ((float[]){4, 8, 12}), sizeof(y0));
    assert_memory_equal(y1, ((float[]){8, 16, 24}), sizeof(y1));
    pair_end(&p);
}

static void
skipped_bias_of_a_row_is_whole_on_every_rank(void **state)
{
    (void)state;
    const struct model_desc d = {
        DLQ_ROW, NULL, 1, 8, {3}, .flags = DLQ_LINEAR_BIAS | DLQ_LINEAR_SKIP_BIAS_ADD};
    struct pair p;
    pair_begin(&p, &d);
    for (int r = 0; r < 2; ++r) {
        struct dlq_tensor b;
        test_assert_ok(dlq_linear_get_skipped_bias(p.layers[r], &b, &p.w.err), &p.w.err);
        assert_int_equal(b.shape[0], 3);
        assert_memory_equal(b.data, p.m.bias, 12);
    }
    pair_end(&p);
}

static void
skipped_bias_is_as_wide_as_y(void **state)
{
    (void)state;
    for (int gather = 0; gather < 2; ++gather) {
        const struct model_desc d = {DLQ_MERGED_COLUMN,
                                     NULL,
                                     1,
                                     2,
                                     {8, 4},
                                     .flags = DLQ_LINEAR_BIAS | DLQ_LINEAR_SKIP_BIAS_ADD |
                                              (gather ? DLQ_LINEAR_GATHER_OUTPUT : 0u),
                                     .fused = true};
        struct pair p;
        pair_begin(&p, &d);
        for (int r = 0; r < 2; ++r) {
            struct dlq_tensor b;
            test_assert_ok(dlq_linear_get_skipped_bias(p.layers[r], &b, &p.w.err), &p.w.err);
            assert_int_equal(b.shape[0], dlq_linear_y_size(p.layers[r]));
            if (gather) {
                assert_memory_equal(b.data, p.m.bias, 48);
            } else {
                // Half of each part.
                assert_memory_equal(b.data, p.m.bias + r * 4, 16);
                assert_memory_equal((float *)b.data + 4, p.m.bias + 8 + r * 2, 8);
            }
        }
        pair_end(&p);
    }
}

static void
merged_of_eight_and_four_lies_four_and_two(void **state)
{
    (void)state;
    for (int gather = 0; gather < 2; ++gather) {
        const struct model_desc d = {
            DLQ_MERGED_COLUMN, NULL, 1, 2, {8, 4}, .flags = gather ? DLQ_LINEAR_GATHER_OUTPUT : 0u,
            .fused = true};
        struct pair p;
        pair_begin(&p, &d);
        const float x[] = {0, 1};
        float y0[12];
        float y1[12];
        pair_apply(&p, x, x, y0, y1, 0);
        if (gather) {
            static const float whole[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
            assert_memory_equal(y0, whole, sizeof(whole));
            assert_memory_equal(y1, whole, sizeof(whole));
        } else {
            assert_memory_equal(y0, ((float[]){1, 2, 3, 4, 9, 10}), 24);
            assert_memory_equal(y1, ((float[]){5, 6, 7, 8, 11, 12}), 24);
        }
        pair_end(&p);
    }
}

static void
no_rows_need_no_other_rank(void **state)
{
    (void)state;
    const struct model_desc d = {DLQ_ROW, NULL, 1, 8, {3}, .flags = 0};
    struct pair p;
    pair_begin(&p, &d);
    const struct dlq_linear_io io = {.struct_size = sizeof(io)};
    test_assert_ok(dlq_linear_apply(p.layers[1], &io, &p.w.err), &p.w.err);
    pair_end(&p);
}

static void
rows_beyond_any_workspace_are_an_overflow(void **state)
{
    (void)state;
    const struct model_desc d = {DLQ_ROW, NULL, 1, 8, {3}, .flags = 0};
    struct pair p;
    pair_begin(&p, &d);
    const int64_t rows = INT64_MAX / 2;
    assert_true(dlq_linear_workspace_size(p.layers[0], rows) == SIZE_MAX);
    float y[3];
    const struct dlq_linear_io io = {.struct_size = sizeof(io), .m = rows, .x = p.m.x, .y = y};
    test_assert_error(dlq_linear_apply(p.layers[0], &io, &p.w.err), &p.w.err, DLQ_EOVERFLOW,
                      "layer 'm.layer': the workspace of 4611686018427387903 rows overflows");
    pair_end(&p);
}

static void
aborted_group_is_an_error_of_the_layer(void **state)
{
    (void)state;
    const struct model_desc d = {DLQ_ROW, NULL, 1, 8, {3}, .flags = 0};
    struct pair p;
    pair_begin(&p, &d);
    dlq_collective_threads_abort(p.group, 0, "out of luck");
    float y[3];
    const struct dlq_linear_io io = {.struct_size = sizeof(io),
                                     .m = 1,
                                     .x = p.m.x,
                                     .y = y,
                                     .workspace = p.scratch[0],
                                     .workspace_size = sizeof(p.scratch[0])};
    test_assert_error(dlq_linear_apply(p.layers[1], &io, &p.w.err), &p.w.err, DLQ_ECOMM,
                      "layer 'm.layer': ");
    pair_end(&p);
}

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
        cmocka_unit_test(column_of_six_puts_three_to_five_on_rank_one),
        cmocka_unit_test(row_of_eight_adds_the_bias_once),
        cmocka_unit_test(row_without_reduce_keeps_partial_sums),
        cmocka_unit_test(skipped_bias_of_a_row_is_whole_on_every_rank),
        cmocka_unit_test(skipped_bias_is_as_wide_as_y),
        cmocka_unit_test(merged_of_eight_and_four_lies_four_and_two),
        cmocka_unit_test(no_rows_need_no_other_rank),
        cmocka_unit_test(rows_beyond_any_workspace_are_an_overflow),
        cmocka_unit_test(aborted_group_is_an_error_of_the_layer),
    };
    return cmocka_run_group_tests_name("tp", tests, NULL, NULL);
}
