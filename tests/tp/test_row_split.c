// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "fake_plugin.h"
#include "support.h"
#include "two_ranks.h"

#include <dlquant/ext/row_split.h>
#include <dlquant/linear.h>

#include <stdlib.h>
#include <string.h>

#undef fail // A macro of cmocka, and a member of struct dlq_host

// Row layers of two ranks whose method has the extension dlq.row-split/1. The fake method has no
// weights here: the sum of output n is (n + 1) times the sum of x, and y the sum times the largest
// x of the whole row, plus the bias.

enum { K = 8, N = 3, M = 2, SCRATCH = 96 };

static struct {
    int32_t n_stats;
    uint32_t sum_dtype;
    int32_t measure_fails;
    atomic_int measured, multiplied, finished;
} method;

static float
largest(const float *stats, int32_t ranks, int64_t m, int64_t row)
{
    float max = 0;
    for (int32_t r = 0; stats && r < ranks; ++r) {
        const float v = stats[(r * m + row) * method.n_stats + 1];
        max = v > max ? v : max;
    }
    return stats ? max : 1;
}

// Whoever finds its data changed shares its scratch with somebody.
static void
use_workspace(const struct dlq_linear_call *call)
{
    assert_true(call->workspace_size >= SCRATCH);
    memset(call->workspace, 0xA5, call->workspace_size);
}

static void
describe(const void *m, struct dlq_row_split *out)
{
    (void)m;
    assert_int_equal(out->struct_size, sizeof(*out));
    out->n_stats = method.n_stats;
    out->sum_dtype = method.sum_dtype;
}

static size_t
workspace_size(const void *m, int64_t max_m, int32_t ranks)
{
    (void)m;
    assert_int_equal(ranks, 2);
    assert_true(max_m > 0);
    return SCRATCH;
}

static int32_t
measure(const void *m, const struct dlq_linear_call *call, float *stats, struct dlq_error *err)
{
    (void)m;
    assert_null(call->y);
    assert_null(call->bias);
    method.measured++;
    for (int64_t i = 0; i < call->m; ++i) {
        const float *const x = (const float *)call->x + i * call->x_stride;
        for (int32_t s = 0; s < method.n_stats; ++s) {
            stats[i * method.n_stats + s] = 0;
        }
        for (int k = 0; k < K / 2; ++k) {
            float *const max = &stats[i * method.n_stats + 1];
            *max = x[k] > *max ? x[k] : *max;
        }
    }
    use_workspace(call);
    return method.measure_fails ? call->host->fail(err, method.measure_fails, "no statistics")
                                : DLQ_OK;
}

static int32_t
multiply(const void *m, const struct dlq_linear_call *call, const float *stats, int32_t ranks,
         void *sums, struct dlq_error *err)
{
    (void)m;
    (void)err;
    method.multiplied++;
    assert_int_equal(ranks, 2);
    assert_true((call->y == NULL) == (sums != NULL));
    use_workspace(call);
    for (int64_t i = 0; i < call->m; ++i) {
        float sum = 0;
        for (int k = 0; k < K / 2; ++k) {
            sum += ((const float *)call->x)[i * call->x_stride + k];
        }
        for (int n = 0; n < N; ++n) {
            if (sums) {
                ((int32_t *)sums)[i * N + n] = (int32_t)sum * (n + 1);
            } else {
                ((float *)call->y)[i * call->y_stride + n] =
                    sum * (float)(n + 1) * largest(stats, ranks, call->m, i) +
                    (call->bias ? call->bias[n] : 0);
            }
        }
    }
    return DLQ_OK;
}

static int32_t
finish(const void *m, const struct dlq_linear_call *call, const float *stats, int32_t ranks,
       const void *sums, struct dlq_error *err)
{
    (void)m;
    (void)err;
    method.finished++;
    assert_null(call->x);
    use_workspace(call);
    for (int64_t i = 0; i < call->m; ++i) {
        for (int n = 0; n < N; ++n) {
            ((float *)call->y)[i * call->y_stride + n] =
                (float)((const int32_t *)sums)[i * N + n] * largest(stats, ranks, call->m, i) +
                (call->bias ? call->bias[n] : 0);
        }
    }
    return DLQ_OK;
}

static const struct dlq_ext_row_split extension = {
    .struct_size = sizeof(extension),
    .describe = describe,
    .workspace_size = workspace_size,
    .measure = measure,
    .multiply = multiply,
    .finish = finish,
};

struct pair {
    struct fake_world w;
    struct two_ranks t;
    struct dlq_collective ends[2];
};

static const float bias[N] = {100, 200, 300};

static dlq_linear *
make(struct pair *p, int r, uint32_t flags)
{
    static const float weight[N * K];
    struct dlq_linear_desc d = fake_desc("a.l", K, N);
    d.flags = flags;
    d.collective = &p->ends[r];
    dlq_linear *const layer = fake_made(&p->w, dlq_linear_row_create, &d);
    const struct dlq_tensor t = fake_tensor(DLQ_F32, N, K, weight);
    const struct dlq_tensor b = fake_tensor(DLQ_F32, N, 0, bias);
    test_assert_ok(dlq_linear_load_tensor(layer, "weight", dlq_part_fused(), &t, &p->w.err),
                   &p->w.err);
    test_assert_ok(dlq_linear_load_tensor(layer, "bias", dlq_part_fused(), &b, &p->w.err),
                   &p->w.err);
    return layer;
}

// `lacks`: flags that the group does not have.
static void
begin(struct pair *p, int32_t n_stats, uint32_t sum_dtype, uint32_t lacks)
{
    memset(&method, 0, sizeof(method));
    method.n_stats = n_stats;
    method.sum_dtype = sum_dtype;
    fake_world_begin(&p->w);
    fake.row_split = &extension;
    two_ranks_begin(&p->t, p->w.rt);
    for (int r = 0; r < 2; ++r) {
        p->ends[r] = *dlq_collective_threads_get(p->t.group, r);
        p->ends[r].flags &= ~lacks;
        p->t.layers[r] = make(p, r, DLQ_LINEAR_BIAS);
        test_assert_ok(dlq_linear_process(p->t.layers[r], &p->w.err), &p->w.err);
    }
}

static void
end(struct pair *p)
{
    two_ranks_end(&p->t);
    fake_world_end(&p->w);
}

// Rank r has x[M][K / 2] and y[M][stride], of other strides than the other rank.
static void
apply(struct pair *p, float y[2][M * (N + 1)], uint32_t flags)
{
    static const float x[2][M * K / 2] = {{1, 2, 3, 0, 0, 1, 0, 0}, {0, 5, 0, 0, 2, 2, 2, 1}};
    const size_t size = dlq_linear_workspace_size(p->t.layers[0], M);
    for (int r = 0; r < 2; ++r) {
        p->t.io[r] = (struct dlq_linear_io){
            .struct_size = sizeof(p->t.io[r]),
            .flags = flags,
            .m = M,
            .x = x[r],
            .y = y[r],
            .y_stride = N + r,
            .workspace = aligned_alloc(256, (size + 255) / 256 * 256),
            .workspace_size = size,
        };
    }
    two_ranks_apply(&p->t);
    for (int r = 0; r < 2; ++r) {
        free(p->t.io[r].workspace);
    }
}

// Row 0 sums to 11 with a largest of 5, row 1 to 8 with 2.
static void
assert_whole(struct pair *p, float y[2][M * (N + 1)])
{
    static const float expected[M][N] = {{155, 310, 465}, {116, 232, 348}};
    for (int r = 0; r < 2; ++r) {
        test_assert_ok(p->t.rc[r], &p->t.err[r]);
        for (int i = 0; i < M; ++i) {
            assert_memory_equal(y[r] + i * (N + r), expected[i], sizeof(expected[i]));
        }
    }
}

static void
ranks_agree_on_statistics_and_add_up_exact_sums(void **state)
{
    (void)state;
    struct pair p;
    float y[2][M * (N + 1)];
    begin(&p, 3, DLQ_I32, 0);
    apply(&p, y, 0);
    assert_whole(&p, y);
    assert_int_equal(method.measured, 2);
    assert_int_equal(method.finished, 2);
    assert_int_equal(fake.applied, 0);
    end(&p);
}

static void
ranks_agree_on_statistics_and_add_up_y(void **state)
{
    (void)state;
    struct pair p;
    float y[2][M * (N + 1)];
    begin(&p, 2, DLQ_DTYPE_NONE, 0);
    apply(&p, y, 0);
    assert_whole(&p, y);
    assert_int_equal(method.measured, 2);
    assert_int_equal(method.finished, 0);
    end(&p);
}

static void
sums_need_no_statistics(void **state)
{
    (void)state;
    struct pair p;
    float y[2][M * (N + 1)];
    begin(&p, 0, DLQ_I32, 0);
    apply(&p, y, 0);
    for (int r = 0; r < 2; ++r) {
        test_assert_ok(p.t.rc[r], &p.t.err[r]);
        assert_memory_equal(y[r], ((float[]){111, 222, 333}), N * sizeof(float));
    }
    assert_int_equal(method.measured, 0);
    end(&p);
}

static void
group_that_adds_no_integers_adds_up_y(void **state)
{
    (void)state;
    struct pair p;
    float y[2][M * (N + 1)];
    begin(&p, 2, DLQ_I32, DLQ_COLLECTIVE_SUMS_I32);
    apply(&p, y, 0);
    assert_whole(&p, y);
    assert_int_equal(method.finished, 0);
    end(&p);
}

static void
nothing_asked_for_is_the_method_as_it_is(void **state)
{
    (void)state;
    struct pair p;
    float y[2][M * (N + 1)];
    begin(&p, 0, DLQ_DTYPE_NONE, 0);
    apply(&p, y, 0);
    assert_int_equal(method.multiplied, 0);
    assert_int_equal(fake.applied, 2);
    assert_memory_equal(y[1], bias, sizeof(bias));
    end(&p);
}

static void
call_that_must_not_sum_talks_to_nobody(void **state)
{
    (void)state;
    struct pair p;
    float y[2][M * (N + 1)];
    begin(&p, 2, DLQ_I32, 0);
    apply(&p, y, DLQ_LINEAR_NO_REDUCE);
    assert_int_equal(method.measured + method.multiplied + method.finished, 0);
    assert_int_equal(fake.applied, 2);
    assert_memory_equal(y[0], bias, sizeof(bias));
    end(&p);
}

static void
failing_step_names_the_layer(void **state)
{
    (void)state;
    struct pair p;
    float y[2][M * (N + 1)];
    begin(&p, 2, DLQ_I32, 0);
    method.measure_fails = DLQ_EDEVICE;
    apply(&p, y, 0);
    test_assert_error(p.t.rc[0], &p.t.err[0], DLQ_EDEVICE, "layer 'a.l': no statistics");
    assert_int_equal(method.multiplied, 0);
    end(&p);
}

static void
wants_outside_the_contract_are_refused(void **state)
{
    (void)state;
    struct pair p;
    begin(&p, 0, DLQ_DTYPE_NONE, 0);
    static const struct {
        int32_t n_stats;
        uint32_t sum_dtype;
        const char *text;
    } wrong[] = {{-1, DLQ_I32, "found -1 and I32"},
                 {DLQ_ROW_STATS_MAX + 1, DLQ_I32, "found 4097 and I32"},
                 {0, DLQ_F32, "found 0 and F32"}};
    for (size_t i = 0; i < TEST_COUNT(wrong); ++i) {
        method.n_stats = wrong[i].n_stats;
        method.sum_dtype = wrong[i].sum_dtype;
        dlq_linear *const layer = make(&p, 0, DLQ_LINEAR_BIAS);
        test_assert_error(dlq_linear_process(layer, &p.w.err), &p.w.err, DLQ_EPLUGIN,
                          wrong[i].text);
        test_assert_error(dlq_linear_process(layer, &p.w.err), &p.w.err, DLQ_ESTATE,
                          "can only be destroyed");
        dlq_linear_destroy(layer);
    }
    end(&p);
}

static void
extension_without_a_function_is_refused_by_name(void **state)
{
    (void)state;
    struct pair p;
    begin(&p, 0, DLQ_DTYPE_NONE, 0);
    struct dlq_ext_row_split broken = extension;
    broken.measure = NULL;
    fake.row_split = &broken;
    dlq_linear *const layer = make(&p, 0, DLQ_LINEAR_BIAS);
    test_assert_error(dlq_linear_process(layer, &p.w.err), &p.w.err, DLQ_EPLUGIN,
                      "dlq.row-split/1->measure: expected a pointer, found NULL");
    dlq_linear_destroy(layer);
    end(&p);
}

static void
layers_that_do_not_sum_are_not_asked(void **state)
{
    (void)state;
    struct pair p;
    begin(&p, 0, DLQ_DTYPE_NONE, 0);
    method.n_stats = -1;
    const uint32_t flags[] = {DLQ_LINEAR_NO_REDUCE | DLQ_LINEAR_SKIP_BIAS_ADD,
                              DLQ_LINEAR_DISABLE_TP};
    for (size_t i = 0; i < TEST_COUNT(flags); ++i) {
        dlq_linear *const layer = make(&p, 1, DLQ_LINEAR_BIAS | flags[i]);
        test_assert_ok(dlq_linear_process(layer, &p.w.err), &p.w.err);
        dlq_linear_destroy(layer);
    }
    end(&p);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranks_agree_on_statistics_and_add_up_exact_sums),
        cmocka_unit_test(ranks_agree_on_statistics_and_add_up_y),
        cmocka_unit_test(sums_need_no_statistics),
        cmocka_unit_test(group_that_adds_no_integers_adds_up_y),
        cmocka_unit_test(nothing_asked_for_is_the_method_as_it_is),
        cmocka_unit_test(call_that_must_not_sum_talks_to_nobody),
        cmocka_unit_test(failing_step_names_the_layer),
        cmocka_unit_test(extension_without_a_function_is_refused_by_name),
        cmocka_unit_test(wants_outside_the_contract_are_refused),
        cmocka_unit_test(layers_that_do_not_sum_are_not_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
