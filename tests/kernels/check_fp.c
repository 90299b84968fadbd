// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "check_layer.h"
#include "float16.h"
#include "linear_fp.h"

#include <stdlib.h>

// fp8 and fp4 layers: the definition is dlq_k_fp_quantize_row and dlq_k_fp_dequantize, both checked
// here against formulas of their own; levels against fp64 products of the two.

struct layer {
    struct dlq_k_fp w;
    uint8_t *codes;
    uint8_t *scales;
    float *factors;
    void *data;
    float *weights;    // [n, k] dequantized
    float *values;     // [m, k] of x
    float *row_scales; // [m]
    struct check_layer op;
    char what[128];
};

static const char *
init_ops(void *ops, uint32_t flags)
{
    dlq_k_fp_init(ops, flags);
    return ((struct dlq_k_fp_ops *)ops)->name;
}

static int64_t
workspace_size(const void *ops, const void *w, int64_t m, int threads)
{
    return ((const struct dlq_k_fp_ops *)ops)->workspace_size(w, m, threads);
}

static int
apply(const void *ops, const void *w, const struct dlq_k_linear_call *call)
{
    return ((const struct dlq_k_fp_ops *)ops)->apply(w, call);
}

static struct check_element
element(const struct check_layer *op, int64_t m, int64_t n)
{
    const struct layer *l = op->ctx;
    const double b = (double)dlq_k_load_f32(op->bias, op->dtype, n);
    struct check_element e = {b, fabs(b), 0.0, 0.0};
    for (int64_t k = 0; k < op->k; k++) {
        const double v = (double)l->values[m * op->k + k] * (double)l->weights[n * op->k + k] *
                         (double)l->row_scales[m];
        e.y64 += v;
        e.abs_sum += fabs(v);
    }
    return e;
}

static enum check_class
class_of(const struct check_layer *op, const char *level)
{
    (void)op;
    (void)level;
    return CHECK_EXACT;
}

static bool
both_fma(const char *level, const char *below)
{
    return strcmp(level, "c") != 0 && strcmp(below, "c") != 0;
}

static float
scale_at(const struct layer *l, int64_t n, int64_t g)
{
    const int64_t i = n / l->w.shape.scale_rows * l->w.groups + g;
    if (l->w.shape.scale_dtype == DLQ_F8_E4M3) {
        return dlq_k_e4m3_to_f32(l->scales[i]);
    }
    if (l->w.shape.scale_dtype == DLQ_F8_E8M0) {
        return dlq_k_e8m0_to_f32(l->scales[i]);
    }
    return dlq_k_load_f32(l->scales, l->w.shape.scale_dtype, i);
}

static void
make_weights(struct layer *l, struct check_rng *rng)
{
    const struct dlq_k_fp_shape *shape = &l->w.shape;
    const bool fp4 = shape->dtype == DLQ_F4_E2M1;
    const int64_t n_codes = fp4 ? shape->n * shape->k / 2 : shape->n * shape->k;
    l->codes = check_alloc(n_codes, 0);
    for (int64_t i = 0; i < n_codes; i++) {
        const uint8_t code = (uint8_t)check_random(rng);
        l->codes[i] = !fp4 && (code & 0x7fu) == 0x7fu ? (uint8_t)(code - 1u) : code;
    }
    const int64_t n_scales = (shape->n + shape->scale_rows - 1) / shape->scale_rows * l->w.groups;
    l->scales = check_alloc(n_scales * 4, 0);
    for (int64_t i = 0; i < n_scales; i++) {
        if (shape->scale_dtype == DLQ_F8_E4M3) {
            l->scales[i] = (uint8_t)(check_random(rng) % 0x7fu);
        } else if (shape->scale_dtype == DLQ_F8_E8M0) {
            l->scales[i] = (uint8_t)(117u + check_random(rng) % 12u);
        } else {
            dlq_k_store_f32(l->scales, shape->scale_dtype, i,
                            (float)(0.01 + 0.02 * check_uniform(rng)));
        }
    }
    l->factors = check_alloc(shape->n * 4, 0);
    for (int64_t i = 0; i < shape->n; i++) {
        l->factors[i] = shape->scale_dtype == DLQ_F8_E4M3 ? 1.0f / 512.0f : 0.5f;
    }
}

static void
check_dequantize(struct layer *l)
{
    const struct dlq_k_fp_shape *shape = &l->w.shape;
    l->weights = check_alloc(shape->n * shape->k * 4, 0);
    dlq_k_fp_dequantize(&l->w, 0, shape->n, l->weights);
    int64_t wrong = 0;
    for (int64_t n = 0; n < shape->n; n++) {
        for (int64_t k = 0; k < shape->k; k++) {
            const int64_t i = n * shape->k + k;
            const double code =
                shape->dtype == DLQ_F4_E2M1
                    ? (double)dlq_k_e2m1_to_f32((uint8_t)(l->codes[i / 2] >> (i % 2 * 4) & 15))
                    : (double)dlq_k_e4m3_to_f32(l->codes[i]);
            const double v =
                code * (double)scale_at(l, n, k / shape->group) * (double)l->factors[n];
            wrong += fabs((double)l->weights[i] - v) > 0x1p-22 * fabs(v);
        }
    }
    check_that(wrong == 0, "%s: %ld weights wrong", l->what, (long)wrong);
}

// Codes are the nearest ones to x over its scale: no other code is nearer.
static void
check_quantize(struct layer *l)
{
    const struct check_layer *op = &l->op;
    const struct dlq_k_fp_shape *shape = &l->w.shape;
    const bool fp4 = shape->activation == DLQ_K_FP_NVFP4 || shape->activation == DLQ_K_FP_MXFP4;
    float tensor_max = 0.0f;
    for (int64_t m = 0; m < op->m; m++) {
        for (int64_t k = 0; k < op->k; k++) {
            const float v = fabsf(dlq_k_load_f32(op->x, op->dtype, m * op->x_stride + k));
            tensor_max = v > tensor_max ? v : tensor_max;
        }
    }
    l->values = check_alloc(op->m * op->k * 4, 0);
    l->row_scales = check_alloc(op->m * 4, 0);
    const int64_t n_scales = dlq_k_fp_act_scales(&l->w);
    uint8_t *codes = check_alloc(op->k, 0);
    float *scales = check_alloc(n_scales * 4, 0);
    const int64_t size = shape->activation == DLQ_K_FP_FP8_GROUP ? shape->act_group
                         : shape->activation == DLQ_K_FP_NVFP4   ? 16
                         : n_scales > 1                          ? 32
                                                                 : op->k;
    int64_t wrong = 0;
    for (int64_t m = 0; m < op->m; m++) {
        const char *x =
            (const char *)op->x + (size_t)(m * op->x_stride) * dlq_k_act_size(op->dtype);
        float *values = l->values + m * op->k;
        dlq_k_fp_quantize_row(&l->w, x, op->dtype, tensor_max, values, codes, scales,
                              &l->row_scales[m]);
        for (int64_t k = 0; k < op->k; k++) {
            const double v = (double)dlq_k_load_f32(x, op->dtype, k);
            const double got = (double)values[k] * (double)l->row_scales[m];
            if (shape->activation == DLQ_K_FP_NONE) {
                wrong += got != v;
                continue;
            }
            // Half of the code's spacing at the value, or of the largest step near saturation.
            const int64_t group = n_scales == 1 ? 0 : k / size;
            double s = (double)scales[group];
            s = shape->activation == DLQ_K_FP_NVFP4 ? s / (double)shape->act_scale : s;
            const double a = fabs(v) / s;
            const double largest = fp4 ? 6.0 : 448.0;
            int exponent = 0;
            frexp(a, &exponent);
            const int least = fp4 ? 1 : -5;
            const double step = ldexp(1.0, (exponent > least ? exponent : least) - (fp4 ? 2 : 4));
            const double expected_error = a > largest ? a - largest : step * 0.5;
            wrong += fabs(got / s - v / s) > expected_error * 1.0001 + a * 0x1p-22;
        }
    }
    check_that(wrong == 0, "%s: %ld codes of x are not the nearest", l->what, (long)wrong);
    check_free(codes);
    check_free(scales);
}

static void
layer_init(struct layer *l, int64_t m, const struct dlq_k_fp_shape *shape, uint32_t x_dtype)
{
    struct check_rng rng = {(uint64_t)(m * 7919 + shape->k * 31 + shape->n)};
    *l = (struct layer){0};
    check_that(dlq_k_fp_plan(&l->w, shape) == DLQ_K_OK, "fp plan");
    make_weights(l, &rng);
    l->data = check_alloc(l->w.bytes, 0);
    int64_t bad = -1;
    check_that(dlq_k_fp_pack(&l->w, l->codes, l->scales, l->factors, l->data, check_threads(2),
                             &bad) == DLQ_K_OK,
               "fp pack, bad %ld", (long)bad);
    snprintf(l->what, sizeof(l->what), "%s k %ld n %ld g %ld scales %x per %ld act %d",
             shape->dtype == DLQ_F4_E2M1 ? "fp4" : "fp8", (long)shape->k, (long)shape->n,
             (long)shape->group, shape->scale_dtype, (long)shape->scale_rows,
             (int)shape->activation);
    l->op = (struct check_layer){.what = l->what,
                                 .m = m,
                                 .k = shape->k,
                                 .n = shape->n,
                                 .dtype = x_dtype,
                                 .w = &l->w,
                                 .init = init_ops,
                                 .workspace_size = workspace_size,
                                 .apply = apply,
                                 .element = element,
                                 .class_of = class_of,
                                 .same_bits = both_fma,
                                 .rows_depend = shape->activation == DLQ_K_FP_FP8_TENSOR,
                                 .ctx = l};
    check_layer_fill(&l->op, &rng, CHECK_GAUSSIAN);
    check_dequantize(l);
    check_quantize(l);
}

static void
layer_free(struct layer *l)
{
    check_free(l->codes);
    check_free(l->scales);
    check_free(l->factors);
    check_free(l->data);
    check_free(l->weights);
    check_free(l->values);
    check_free(l->row_scales);
    check_layer_free(&l->op);
}

// A share of the rows from `first` on, with what is known of whole rows or groups, against the
// whole layer, in whose weights there is nothing outside the share.
static void
check_against_whole(const struct layer *l, const struct dlq_k_fp *share, int64_t first)
{
    const struct check_layer *op = &l->op;
    const int64_t n_groups = dlq_k_fp_act_scales(&l->w);
    float *ranges = check_alloc(op->m * 8, 0);
    float *group_max = check_alloc(op->m * n_groups * 4, 0);
    for (int i = 0; i < check_n_levels; i++) {
        if (!check_have_level(&check_levels[i])) {
            continue;
        }
        struct dlq_k_fp_ops ops;
        dlq_k_fp_init(&ops, check_levels[i].flags);
        void *whole = check_layer_apply(op, &ops, ops.name, op->x, op->m, 1, op->bias);
        void *workspace = check_alloc(ops.workspace_size(&l->w, op->m, 1), 0);
        struct dlq_k_linear_call call = {.m = op->m,
                                         .x = op->x,
                                         .x_stride = op->x_stride,
                                         .x_dtype = DLQ_F32,
                                         .y_dtype = DLQ_F32,
                                         .y = check_alloc(op->m * op->y_stride * 4, 0),
                                         .y_stride = op->y_stride,
                                         .bias = op->bias,
                                         .bias_dtype = DLQ_F32,
                                         .workspace = workspace};
        dlq_k_row_ranges(check_levels[i].flags, &call, op->k, ranges);
        dlq_k_fp_group_max(&l->w, &call, group_max);
        call.x = (const float *)op->x + first;
        call.ranges = ranges;
        call.group_max = group_max + first / dlq_k_fp_act_group(&l->w);
        call.group_max_stride = n_groups;
        check_that(ops.apply(share, &call) == DLQ_K_OK, "share");
        bool same = true;
        for (int64_t j = 0; j < op->m * op->n; j++) {
            const int64_t at = j / op->n * op->y_stride + j % op->n;
            const float a = ((const float *)whole)[at];
            const float b = ((const float *)call.y)[at];
            same = same && (a == b || (a != a && b != b));
        }
        check_that(same, "%s, %s: a share with what whole rows have", l->what, ops.name);
        check_free(call.y);
        check_free(workspace);
        check_free(whole);
    }
    check_free(ranges);
    check_free(group_max);
}

// The end of each row as a share of its own. It begins inside a group of activations, in whose
// other share lie an extreme and a NaN.
static void
check_share(enum dlq_k_fp_activation activation)
{
    enum { M = 7, K = 200, CUT = 70, N = 24 };
    struct dlq_k_fp_shape shape = {.k = K,
                                   .n = N,
                                   .dtype = DLQ_F8_E4M3,
                                   .scale_dtype = DLQ_F32,
                                   .group = K,
                                   .scale_rows = 1,
                                   .activation = activation,
                                   .act_group = 48,
                                   .act_scale = 2.0f};
    struct layer l;
    layer_init(&l, M, &shape, DLQ_F32);
    uint8_t codes[N * (K - CUT)];
    for (int64_t n = 0; n < N; n++) {
        memset(l.codes + n * K, 0, CUT);
        memcpy(codes + n * (K - CUT), l.codes + n * K + CUT, K - CUT);
    }
    check_that(dlq_k_fp_pack(&l.w, l.codes, l.scales, l.factors, l.data, NULL, NULL) == DLQ_K_OK,
               "pack");
    struct dlq_k_fp w;
    const int64_t group = dlq_k_fp_act_group(&l.w);
    shape.k = K - CUT;
    shape.group = K - CUT;
    shape.act_offset = CUT % group;
    check_that(dlq_k_fp_plan(&w, &shape) == DLQ_K_OK, "plan");
    void *data = check_alloc(w.bytes, 0);
    check_that(dlq_k_fp_pack(&w, codes, l.scales, l.factors, data, NULL, NULL) == DLQ_K_OK, "pack");
    ((float *)l.op.x)[CUT - 1] = 1000.0f;
    ((float *)l.op.x)[2 * l.op.x_stride + CUT - 1] = NAN;
    check_against_whole(&l, &w, CUT);
    if (dlq_k_fp_act_scales(&l.w) > 1) {
        check_that(dlq_k_fp_act_scales(&w) == (CUT % group + K - CUT + group - 1) / group,
                   "%s: groups of a share", l.what);
        shape.act_offset = group;
        check_that(dlq_k_fp_plan(&w, &shape) == DLQ_K_ESHAPE, "an offset of a whole group");
    }
    check_free(data);
    layer_free(&l);
}

// Codes of x at every level, seen through a layer that multiplies by one: ties, subnormal codes and
// values past the largest among them.
static void
check_codes(enum dlq_k_fp_activation activation)
{
    enum { K = 192, M = 64 };
    const struct dlq_k_fp_shape shape = {.k = K,
                                         .n = K,
                                         .dtype = DLQ_F8_E4M3,
                                         .scale_dtype = DLQ_F32,
                                         .group = K,
                                         .scale_rows = K,
                                         .activation = activation,
                                         .act_group = 64,
                                         .act_scale = 0.5f};
    static uint8_t codes[K * K];
    static float x[M * K];
    static float y[M * K];
    struct dlq_k_fp w;
    struct check_rng rng = {9};
    const float one = 1.0f;
    for (int64_t i = 0; i < K; i++) {
        codes[i * K + i] = 0x38;
    }
    for (int64_t i = 0; i < M * K; i++) {
        // Few bits of mantissa over many exponents.
        const float v = ldexpf(1.0f + (float)(check_random(&rng) % 32) / 32.0f,
                               (int)(check_random(&rng) % 24) - 16);
        const uint32_t kind = check_random(&rng) % 16;
        x[i] = kind == 0 ? 0.0f : kind % 2 == 0 ? v : -v;
    }
    check_that(dlq_k_fp_plan(&w, &shape) == DLQ_K_OK, "plan");
    void *data = check_alloc(w.bytes, 0);
    check_that(dlq_k_fp_pack(&w, codes, &one, NULL, data, NULL, NULL) == DLQ_K_OK, "pack");
    float tensor_max = 0.0f;
    for (int64_t i = 0; i < M * K && activation == DLQ_K_FP_FP8_TENSOR; i++) {
        tensor_max = fmaxf(tensor_max, fabsf(x[i]));
    }
    for (int i = 0; i < check_n_levels; i++) {
        if (!check_have_level(&check_levels[i])) {
            continue;
        }
        struct dlq_k_fp_ops ops;
        dlq_k_fp_init(&ops, check_levels[i].flags);
        void *workspace = check_alloc(ops.workspace_size(&w, M, 1), 0);
        const struct dlq_k_linear_call call = {.m = M,
                                               .x = x,
                                               .x_stride = K,
                                               .x_dtype = DLQ_F32,
                                               .y_dtype = DLQ_F32,
                                               .y = y,
                                               .y_stride = K,
                                               .workspace = workspace};
        check_that(ops.apply(&w, &call) == DLQ_K_OK, "apply");
        bool same = true;
        for (int64_t m = 0; m < M; m++) {
            float values[K];
            float row_scale = 0.0f;
            dlq_k_fp_quantize_row(&w, x + m * K, DLQ_F32, tensor_max, values, NULL, NULL,
                                  &row_scale);
            for (int64_t k = 0; k < K; k++) {
                same = same && y[m * K + k] == values[k] * row_scale;
            }
        }
        check_that(same, "activation %d, %s: codes", (int)activation, ops.name);
        check_free(workspace);
    }
    check_free(data);
}

static void
check_refusals(void)
{
    struct dlq_k_fp w;
    struct dlq_k_fp_shape shape = {.k = 32,
                                   .n = 16,
                                   .dtype = DLQ_F8_E4M3,
                                   .scale_dtype = DLQ_F32,
                                   .group = 32,
                                   .scale_rows = 1};
    uint8_t codes[32 * 16] = {0};
    float scales[16];
    for (int i = 0; i < 16; i++) {
        scales[i] = 1.0f;
    }
    int64_t bad = -1;
    check_that(dlq_k_fp_plan(&w, &shape) == DLQ_K_OK, "fp8 plan");
    void *data = check_alloc(w.bytes, 0);
    codes[77] = 0xff;
    check_that(dlq_k_fp_pack(&w, codes, scales, NULL, data, NULL, &bad) == DLQ_K_ECODE &&
                   bad == 77 && w.data == NULL,
               "NaN weight");
    codes[77] = 0;
    scales[3] = INFINITY;
    check_that(dlq_k_fp_pack(&w, codes, scales, NULL, data, NULL, &bad) == DLQ_K_ESCALE && bad == 3,
               "infinite scale");
    scales[3] = 1.0f;
    const float factors[16] = {[5] = NAN};
    check_that(dlq_k_fp_pack(&w, codes, scales, factors, data, NULL, &bad) == DLQ_K_ESCALE &&
                   bad == 5,
               "NaN factor");
    check_free(data);
    shape.activation = DLQ_K_FP_FP8_STATIC;
    check_that(dlq_k_fp_plan(&w, &shape) == DLQ_K_ESCALE, "static scale 0");
    shape.activation = DLQ_K_FP_NONE;
    shape.dtype = DLQ_F4_E2M1;
    shape.k = 33;
    shape.group = 33;
    check_that(dlq_k_fp_plan(&w, &shape) == DLQ_K_ESHAPE, "odd k of fp4");
    shape.dtype = DLQ_F16;
    check_that(dlq_k_fp_plan(&w, &shape) == DLQ_K_EDTYPE, "fp16 codes");
}

void
check_fp(void)
{
    static const int64_t rows[] = {1, 3, 6, 7, 16, 33, 100};
    static const struct dlq_k_fp_shape shapes[] = {
        {.k = 256,
         .n = 72,
         .dtype = DLQ_F8_E4M3,
         .scale_dtype = DLQ_F32,
         .group = 256,
         .scale_rows = 1,
         .activation = DLQ_K_FP_FP8_TOKEN},
        {.k = 200,
         .n = 40,
         .dtype = DLQ_F8_E4M3,
         .scale_dtype = DLQ_BF16,
         .group = 200,
         .scale_rows = 40,
         .activation = DLQ_K_FP_FP8_TENSOR},
        {.k = 129,
         .n = 24,
         .dtype = DLQ_F8_E4M3,
         .scale_dtype = DLQ_F16,
         .group = 129,
         .scale_rows = 1,
         .activation = DLQ_K_FP_FP8_STATIC,
         .act_scale = 0.01f},
        {.k = 300,
         .n = 200,
         .dtype = DLQ_F8_E4M3,
         .scale_dtype = DLQ_F32,
         .group = 128,
         .scale_rows = 128,
         .activation = DLQ_K_FP_FP8_GROUP,
         .act_group = 128},
        {.k = 300,
         .n = 130,
         .dtype = DLQ_F8_E4M3,
         .scale_dtype = DLQ_F32,
         .group = 128,
         .scale_rows = 128,
         .activation = DLQ_K_FP_NONE},
        {.k = 172,
         .n = 48,
         .dtype = DLQ_F8_E4M3,
         .scale_dtype = DLQ_F32,
         .group = 172,
         .scale_rows = 1,
         .activation = DLQ_K_FP_NONE},
        {.k = 320,
         .n = 56,
         .dtype = DLQ_F4_E2M1,
         .scale_dtype = DLQ_F8_E4M3,
         .group = 16,
         .scale_rows = 1,
         .activation = DLQ_K_FP_NONE},
        {.k = 320,
         .n = 56,
         .dtype = DLQ_F4_E2M1,
         .scale_dtype = DLQ_F8_E4M3,
         .group = 16,
         .scale_rows = 1,
         .activation = DLQ_K_FP_NVFP4,
         .act_scale = 300.0f},
        {.k = 160,
         .n = 17,
         .dtype = DLQ_F4_E2M1,
         .scale_dtype = DLQ_F8_E8M0,
         .group = 32,
         .scale_rows = 1,
         .activation = DLQ_K_FP_MXFP4},
        {.k = 176,
         .n = 64,
         .dtype = DLQ_F8_E4M3,
         .scale_dtype = DLQ_F8_E8M0,
         .group = 32,
         .scale_rows = 1,
         .activation = DLQ_K_FP_MXFP8},
    };
    static const uint32_t dtypes[] = {DLQ_F16, DLQ_BF16, DLQ_F32};
    for (size_t s = 0; s < sizeof(shapes) / sizeof(*shapes); s++) {
        for (size_t r = 0; r < sizeof(rows) / sizeof(*rows); r++) {
            struct layer l;
            layer_init(&l, rows[r], &shapes[s], dtypes[(s + r) % 3]);
            check_layer_levels(&l.op);
            layer_free(&l);
        }
        struct layer l;
        layer_init(&l, 9, &shapes[s], dtypes[s % 3]);
        check_layer_special(&l.op);
        layer_free(&l);
    }
    check_share(DLQ_K_FP_FP8_TOKEN);
    check_share(DLQ_K_FP_FP8_TENSOR);
    check_share(DLQ_K_FP_FP8_GROUP);
    check_share(DLQ_K_FP_MXFP8);
    check_share(DLQ_K_FP_MXFP4);
    check_share(DLQ_K_FP_NVFP4);
    for (int a = DLQ_K_FP_FP8_TOKEN; a <= DLQ_K_FP_MXFP8; a++) {
        check_codes((enum dlq_k_fp_activation)a);
    }
    check_refusals();
}
