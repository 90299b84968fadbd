// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "model.h"
#include "support.h"
#include "two_ranks.h"

#include <string.h>

struct pair {
    struct model m;
    struct fake_world w;
    struct two_ranks t;
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
    two_ranks_begin(&p->t, p->w.rt);
    for (int32_t r = 0; r < 2; ++r) {
        p->t.layers[r] = model_make(&p->m, &p->w, NULL, dlq_collective_threads_get(p->t.group, r));
    }
}

static void
pair_end(struct pair *p)
{
    two_ranks_end(&p->t);
    fake_world_end(&p->w);
    model_free(&p->m);
}

static void
pair_apply(struct pair *p, const float *x0, const float *x1, float *y0, float *y1, uint32_t flags)
{
    const float *const x[] = {x0, x1};
    float *const y[] = {y0, y1};
    for (int r = 0; r < 2; ++r) {
        p->t.io[r] = (struct dlq_linear_io){
            .struct_size = sizeof(p->t.io[r]),
            .flags = flags,
            .m = 1,
            .x = x[r],
            .y = y[r],
            .workspace = p->scratch[r],
            .workspace_size = sizeof(p->scratch[r]),
        };
    }
    two_ranks_apply(&p->t);
    for (int r = 0; r < 2; ++r) {
        test_assert_ok(p->t.rc[r], &p->t.err[r]);
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
        test_assert_ok(dlq_linear_get_skipped_bias(p.t.layers[r], &b, &p.w.err), &p.w.err);
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
            test_assert_ok(dlq_linear_get_skipped_bias(p.t.layers[r], &b, &p.w.err), &p.w.err);
            assert_int_equal(b.shape[0], dlq_linear_y_size(p.t.layers[r]));
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
    test_assert_ok(dlq_linear_apply(p.t.layers[1], &io, &p.w.err), &p.w.err);
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
    assert_true(dlq_linear_workspace_size(p.t.layers[0], rows) == SIZE_MAX);
    float y[3];
    const struct dlq_linear_io io = {.struct_size = sizeof(io), .m = rows, .x = p.m.x, .y = y};
    test_assert_error(dlq_linear_apply(p.t.layers[0], &io, &p.w.err), &p.w.err, DLQ_EOVERFLOW,
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
    dlq_collective_threads_abort(p.t.group, 0, "out of luck");
    float y[3];
    const struct dlq_linear_io io = {.struct_size = sizeof(io),
                                     .m = 1,
                                     .x = p.m.x,
                                     .y = y,
                                     .workspace = p.scratch[0],
                                     .workspace_size = sizeof(p.scratch[0])};
    test_assert_error(dlq_linear_apply(p.t.layers[1], &io, &p.w.err), &p.w.err, DLQ_ECOMM,
                      "layer 'm.layer': ");
    pair_end(&p);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
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
    return cmocka_run_group_tests_name("tp_pair", tests, NULL, NULL);
}
