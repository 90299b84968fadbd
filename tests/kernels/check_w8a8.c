// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "check_layer.h"
#include "float16.h"
#include "linear_w8a8.h"

#include <stdlib.h>

// int8 layers: the definition (codes, scales, zero points, sums) against formulas of its own, then
// every level against the definition: at most one unit in the last place, and the same bits at
// every level.

struct layer {
    struct dlq_k_w8a8 w;
    int8_t *weights; // [n, k + 1]
    float *scales;
    int32_t *zeros; // or NULL
    void *data;
    int8_t *codes; // [m, k] of x
    float *row_scales;
    int32_t *azp;
    struct check_layer op;
    char what[96];
};

CHECK_LAYER_CALLS(w8a8)

static int64_t
exact_sum(const struct layer *l, int64_t m, int64_t n)
{
    const int64_t k = l->w.k;
    const int64_t zero = l->zeros != NULL ? l->zeros[n] : 0;
    int64_t sum = 0;
    for (int64_t i = 0; i < k; i++) {
        sum += (int64_t)(l->codes[m * k + i] - l->azp[m]) *
               (int64_t)(l->weights[n * (k + 1) + i] - zero);
    }
    return sum;
}

// The formula in fp32, as the definition has it: one conversion, products of scales first.
static struct check_element
element(const struct check_layer *op, int64_t m, int64_t n)
{
    const struct layer *l = op->ctx;
    const float product = (float)exact_sum(l, m, n) * (l->scales[n] * l->row_scales[m]);
    const float y = product + dlq_k_load_f32(op->bias, op->dtype, n);
    return (struct check_element){.y64 = (double)y};
}

static enum check_class
class_of(const struct check_layer *op, const char *level)
{
    (void)op;
    (void)level;
    return CHECK_FORMULA;
}

static bool
always(const char *level, const char *below)
{
    (void)level;
    (void)below;
    return true;
}

static int8_t
saturated(double v)
{
    return (int8_t)(v < -128.0 ? -128.0 : v > 127.0 ? 127.0 : v);
}

// Codes from the formulas in fp64: equal but at ties, where they may be one off.
static void
check_codes(const struct layer *l, int64_t m)
{
    const struct check_layer *op = &l->op;
    const int64_t k = l->w.k;
    double lo = 0.0;
    double hi = 0.0;
    for (int64_t i = 0; i < k; i++) {
        const double v = (double)dlq_k_load_f32(op->x, op->dtype, m * op->x_stride + i);
        lo = v < lo ? v : lo;
        hi = v > hi ? v : hi;
    }
    const double a = -lo > hi ? -lo : hi;
    double s = (double)l->w.act_scale;
    double azp = l->w.act_zero;
    if (l->w.activation == DLQ_K_W8A8_TOKEN) {
        s = a / 127.0;
    }
    if (l->w.activation == DLQ_K_W8A8_TOKEN_AZP) {
        s = (hi - lo) / 255.0;
        const double t = -128.0 - lo / s;
        azp = fabs(t - floor(t) - 0.5) < 1e-3 ? l->azp[m] : rint(t);
        check_that(fabs(t - azp) < 0.501, "%s: azp of row %ld", l->what, (long)m);
    }
    check_that(fabs((double)l->row_scales[m] - s) <= 0x1p-22 * s, "%s: scale of row %ld", l->what,
               (long)m);
    check_that(l->azp[m] == (int32_t)azp, "%s: azp %d, expected %g", l->what, l->azp[m], azp);
    int64_t wrong = 0;
    for (int64_t i = 0; i < k; i++) {
        const double t = (double)dlq_k_load_f32(op->x, op->dtype, m * op->x_stride + i) / s;
        const double tie = fabs(t - floor(t) - 0.5);
        const int diff = l->codes[m * k + i] - saturated(rint(t) + azp);
        wrong += diff != 0 && !(tie < 1e-3 && abs(diff) == 1);
    }
    check_that(wrong == 0, "%s: %ld codes of row %ld", l->what, (long)wrong, (long)m);
}

static void
make_weights(struct layer *l, struct check_rng *rng, int64_t k, int64_t n, bool asymmetric)
{
    l->weights = check_alloc(n * (k + 1), 0);
    for (int64_t i = 0; i < n * (k + 1); i++) {
        // Worst cases in the first columns: all 127, all -128.
        l->weights[i] = (int8_t)(i <= k           ? 127
                                 : i <= 2 * k + 1 ? -128
                                                  : (int)(check_random(rng) % 256) - 128);
    }
    l->scales = check_alloc(n * 4, 0);
    l->zeros = asymmetric ? check_alloc(n * 4, 0) : NULL;
    for (int64_t i = 0; i < n; i++) {
        l->scales[i] = (float)(i % 7 == 3 ? -0.001 : 0.001 + 0.002 * check_uniform(rng));
        if (asymmetric) {
            l->zeros[i] = (int32_t)(check_random(rng) % 256) - 128;
        }
    }
}

static void
layer_init(struct layer *l, int64_t m, int64_t k, int64_t n, enum dlq_k_w8a8_activation activation,
           bool asymmetric, uint32_t dtype, enum check_data data)
{
    struct check_rng rng = {(uint64_t)(m * 7919 + k * 31 + n)};
    *l = (struct layer){0};
    make_weights(l, &rng, k, n, asymmetric);
    check_that(dlq_k_w8a8_plan(&l->w, k, n, activation, 0.03f, -17) == DLQ_K_OK, "w8a8 plan");
    l->data = check_alloc(l->w.bytes, 0);
    int64_t bad = -1;
    check_that(dlq_k_w8a8_pack(&l->w, l->weights, k + 1, l->scales, l->zeros, l->data,
                               check_threads(2), &bad) == DLQ_K_OK,
               "w8a8 pack, bad %ld", (long)bad);
    snprintf(l->what, sizeof(l->what), "w8a8 k %ld n %ld act %d asym %d data %d", (long)k, (long)n,
             (int)activation, asymmetric, (int)data);
    l->op = (struct check_layer){.what = l->what,
                                 .m = m,
                                 .k = k,
                                 .n = n,
                                 .dtype = dtype,
                                 .w = &l->w,
                                 .init = init_ops,
                                 .workspace_size = workspace_size,
                                 .apply = apply,
                                 .element = element,
                                 .class_of = class_of,
                                 .same_bits = always,
                                 .ctx = l};
    check_layer_fill(&l->op, &rng, data);
    l->codes = check_alloc(m * k, 0);
    l->row_scales = check_alloc(m * 4, 0);
    l->azp = check_alloc(m * 4, 0);
    int32_t *acc = check_alloc(n * 4, 0);
    for (int64_t r = 0; r < m; r++) {
        const char *x =
            (const char *)l->op.x + (size_t)(r * l->op.x_stride) * dlq_k_act_size(dtype);
        dlq_k_w8a8_quantize_row(&l->w, x, dtype, l->codes + r * k, &l->row_scales[r], &l->azp[r]);
        check_codes(l, r);
        dlq_k_w8a8_accumulate_row(&l->w, l->codes + r * k, l->azp[r], acc);
        int64_t wrong = 0;
        for (int64_t i = 0; i < n; i++) {
            wrong += acc[i] != exact_sum(l, r, i);
        }
        check_that(wrong == 0, "%s: %ld sums", l->what, (long)wrong);
    }
    check_free(acc);
}

static void
layer_free(struct layer *l)
{
    check_free(l->weights);
    check_free(l->scales);
    if (l->zeros != NULL) {
        check_free(l->zeros);
    }
    check_free(l->data);
    check_free(l->codes);
    check_free(l->row_scales);
    check_free(l->azp);
    check_layer_free(&l->op);
}

// A row cut in two shares: their sums, added up, finish to the bits of the whole row.
static void
check_shares(int64_t m, enum dlq_k_w8a8_activation activation, uint32_t dtype)
{
    enum { K = 150, N = 75, CUT = 67 };
    struct layer l;
    layer_init(&l, m, K, N, activation, true, dtype, CHECK_OUTLIERS_20);
    // Only the second share of a row has what is not finite.
    dlq_k_store_f32(l.op.x, dtype, (m - 1) * l.op.x_stride + K - 1, NAN);
    struct dlq_k_w8a8 parts[2];
    void *data[2];
    const int64_t k0[2] = {0, CUT};
    for (int i = 0; i < 2; i++) {
        check_that(dlq_k_w8a8_plan(&parts[i], i ? K - CUT : CUT, N, activation, 0.03f, -17) ==
                       DLQ_K_OK,
                   "plan");
        data[i] = check_alloc(parts[i].bytes, 0);
        check_that(dlq_k_w8a8_pack(&parts[i], l.weights + k0[i], K + 1, l.scales, l.zeros, data[i],
                                   NULL, NULL) == DLQ_K_OK,
                   "pack");
    }
    int32_t *sums = check_alloc(2 * m * N * 4, 0);
    float *ranges = check_alloc(m * 8, 0);
    float *other = check_alloc(m * 8, 0);
    for (int i = 0; i < check_n_levels; i++) {
        struct dlq_k_w8a8_ops ops;
        if (!check_have_level(&check_levels[i])) {
            continue;
        }
        dlq_k_w8a8_init(&ops, check_levels[i].flags);
        void *whole = check_layer_apply(&l.op, &ops, ops.name, l.op.x, m, 2, l.op.bias);
        void *workspace = check_alloc(ops.workspace_size(&l.w, m, 2), 0);
        struct dlq_k_linear_call call = {.m = m,
                                         .x_stride = l.op.x_stride,
                                         .x_dtype = dtype,
                                         .y_dtype = dtype,
                                         .y_stride = l.op.y_stride,
                                         .bias = l.op.bias,
                                         .bias_dtype = dtype,
                                         .workspace = workspace,
                                         .parallel = check_threads(2)};
        for (int p = 0; p < 2; p++) {
            call.x = (const char *)l.op.x + (size_t)k0[p] * dlq_k_act_size(dtype);
            dlq_k_row_ranges(check_levels[i].flags, &call, parts[p].k, p ? other : ranges);
        }
        for (int64_t r = 0; r < m; r++) {
            ranges[2 * r] = fminf(ranges[2 * r], other[2 * r]);
            ranges[2 * r + 1] = fmaxf(ranges[2 * r + 1], other[2 * r + 1]);
        }
        call.ranges = ranges;
        for (int p = 0; p < 2; p++) {
            call.x = (const char *)l.op.x + (size_t)k0[p] * dlq_k_act_size(dtype);
            check_that(ops.accumulate(&parts[p], &call, sums + p * m * N) == DLQ_K_OK, "sums");
        }
        for (int64_t j = 0; j < m * N; j++) {
            sums[j] += sums[m * N + j];
        }
        call.x = NULL;
        call.workspace = NULL;
        call.y = check_alloc(m * l.op.y_stride * (int64_t)dlq_k_act_size(dtype), 0);
        check_that(ops.finish(&parts[0], &call, sums) == DLQ_K_OK, "finish");
        check_that(check_layer_same(&l.op, whole, call.y, m), "%s, %s: two shares of %ld rows",
                   l.what, ops.name, (long)m);
        check_free(call.y);
        check_free(workspace);
        check_free(whole);
    }
    check_free(sums);
    check_free(ranges);
    check_free(other);
    check_free(data[0]);
    check_free(data[1]);
    layer_free(&l);
}

// Ranges of rows: 0 is always among them, and what is not finite shows; every level finds the same.
static void
check_ranges(void)
{
    enum { M = 5, K = 41 };
    static const uint32_t dtypes[] = {DLQ_F16, DLQ_BF16, DLQ_F32};
    static const float expected[2 * M] = {-3.0f,    2.0f, 0.0f,     5.0f,  0.0f,
                                          INFINITY, 0.0f, INFINITY, -4.0f, 0.0f};
    for (int d = 0; d < 3; d++) {
        void *x = check_alloc(M * K * 4, 0);
        for (int64_t i = 0; i < M * K; i++) {
            dlq_k_store_f32(x, dtypes[d], i, i / K == 1 ? 1.0f : i / K == 4 ? -1.0f : 0.0f);
        }
        dlq_k_store_f32(x, dtypes[d], 7, -3.0f);
        dlq_k_store_f32(x, dtypes[d], 40, 2.0f);
        dlq_k_store_f32(x, dtypes[d], K + 20, 5.0f);
        dlq_k_store_f32(x, dtypes[d], 2 * K + 3, NAN);
        dlq_k_store_f32(x, dtypes[d], 3 * K + 40, -INFINITY);
        dlq_k_store_f32(x, dtypes[d], 4 * K, -4.0f);
        for (int i = 0; i < check_n_levels; i++) {
            float ranges[2 * M];
            const struct dlq_k_linear_call call = {
                .m = M, .x = x, .x_stride = K, .x_dtype = dtypes[d]};
            if (check_have_level(&check_levels[i])) {
                dlq_k_row_ranges(check_levels[i].flags, &call, K, ranges);
                check_that(memcmp(ranges, expected, sizeof(expected)) == 0, "ranges at level %s",
                           check_levels[i].name);
            }
        }
        check_free(x);
    }
}

static void
check_refusals(void)
{
    struct dlq_k_w8a8 w;
    check_that(dlq_k_w8a8_plan(&w, DLQ_K_W8A8_MAX_K + 1, 16, DLQ_K_W8A8_TOKEN, 0, 0) ==
                   DLQ_K_ESHAPE,
               "k that may overflow");
    check_that(dlq_k_w8a8_plan(&w, DLQ_K_W8A8_MAX_K_ASYMMETRIC + 1, 16, DLQ_K_W8A8_TOKEN_AZP, 0,
                               0) == DLQ_K_ESHAPE,
               "k that may overflow with azp");
    check_that(dlq_k_w8a8_plan(&w, 64, 16, DLQ_K_W8A8_STATIC, NAN, 0) == DLQ_K_ESCALE,
               "static scale NaN");
    check_that(dlq_k_w8a8_plan(&w, 64, 16, DLQ_K_W8A8_STATIC_AZP, 1.0f, 128) == DLQ_K_ECODE,
               "static azp 128");
    check_that(dlq_k_w8a8_plan(&w, 4, 2, DLQ_K_W8A8_TOKEN, 0, 0) == DLQ_K_OK, "plan");
    const int8_t weights[8] = {0};
    float scales[2] = {1.0f, INFINITY};
    int32_t zeros[2] = {-129, 0};
    int64_t bad = -1;
    void *data = check_alloc(w.bytes, 0);
    check_that(dlq_k_w8a8_pack(&w, weights, 4, scales, NULL, data, NULL, &bad) == DLQ_K_ESCALE &&
                   bad == 1,
               "infinite scale");
    scales[1] = 1.0f;
    check_that(dlq_k_w8a8_pack(&w, weights, 4, scales, zeros, data, NULL, &bad) == DLQ_K_ECODE &&
                   bad == 0 && w.data == NULL,
               "zero point -129");
    check_free(data);
}

void
check_w8a8(void)
{
    static const int64_t rows[] = {1, 2, 3, 4, 5, 6, 7, 9, 16, 17, 33, 50, 140};
    static const int64_t shapes[][2] = {{64, 64},  {128, 40},  {33, 17},   {3, 5},     {496, 72},
                                        {512, 96}, {1030, 24}, {255, 513}, {200, 100}, {64, 488}};
    static const uint32_t dtypes[] = {DLQ_F16, DLQ_BF16, DLQ_F32};
    int turn = 0;
    for (size_t s = 0; s < sizeof(shapes) / sizeof(*shapes); s++) {
        for (size_t r = 0; r < sizeof(rows) / sizeof(*rows); r++, turn++) {
            struct layer l;
            layer_init(&l, rows[r], shapes[s][0], shapes[s][1],
                       (enum dlq_k_w8a8_activation)(turn % 4), turn % 5 == 4, dtypes[turn % 3],
                       (enum check_data)((turn / 4) % 4));
            check_layer_levels(&l.op);
            layer_free(&l);
        }
    }
    for (int i = 0; i < 4; i++) {
        struct layer l;
        layer_init(&l, 9, 100, 40, (enum dlq_k_w8a8_activation)i, false, dtypes[i % 3],
                   CHECK_GAUSSIAN);
        check_layer_special(&l.op);
        layer_free(&l);
        for (int64_t m = 1; m <= 40; m += 13) {
            check_shares(m, (enum dlq_k_w8a8_activation)i, dtypes[m % 3]);
        }
    }
    check_ranges();
    check_refusals();
}
