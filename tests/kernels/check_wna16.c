// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "check_layer.h"
#include "float16.h"
#include "linear_w8a8.h"
#include "linear_wna16.h"
#include "pack/awq.h"
#include "pack/bits.h"

#include <stdlib.h>

// Weight-only integer layers: every level against fp64 products of the checkpoint's own values.

struct problem {
    int64_t m, k, n, group;
    int bits;
    bool zeros;
    enum dlq_k_wna16_source_layout layout;
    bool act_order;
    uint32_t dtype; // of x, y, bias and scales
    enum check_data data;
};

// A problem's arrays. codes, zeros and scales are the plain truth; the packed arrays are made from
// them.
struct layer {
    struct problem p;
    int64_t groups;
    uint8_t *codes;   // [n, k]
    uint8_t *zeros;   // [n, groups]
    uint16_t *scales; // fp16, [n, groups] or [groups, n]
    int32_t *g_idx;
    void *packed_codes;
    void *packed_zeros;
    struct dlq_k_wna16 w;
    void *data;
    struct check_layer op; // with arithmetic EXACT
    char what[128];
};

static bool
by_group(enum dlq_k_wna16_source_layout layout)
{
    return layout == DLQ_K_WNA16_AWQ || layout == DLQ_K_WNA16_GPTQ;
}

static float
scale_of(const struct layer *l, int64_t n, int64_t g)
{
    const int64_t i = by_group(l->p.layout) ? g * l->p.n + n : n * l->groups + g;
    const float s = dlq_k_f16_to_f32(l->scales[i]);
    return l->p.dtype == DLQ_BF16 ? dlq_k_bf16_to_f32(dlq_k_f32_to_bf16(s)) : s;
}

static void
make_codes(struct layer *l, struct check_rng *rng)
{
    const struct problem *p = &l->p;
    const int limit = 1 << p->bits;
    l->codes = check_alloc(p->n * p->k, 0);
    for (int64_t n = 0; n < p->n; n++) {
        // Worst cases first: all largest, all zero, then every code.
        for (int64_t k = 0; k < p->k; k++) {
            const int code = n == 0 ? limit - 1 : n == 1 ? 0 : (int)(check_random(rng) % limit);
            l->codes[n * p->k + k] = (uint8_t)code;
        }
    }
    l->zeros = check_alloc(p->n * l->groups, 0);
    l->scales = check_alloc(p->n * l->groups * 2, 0);
    for (int64_t i = 0; i < p->n * l->groups; i++) {
        const int z = i == 0 ? 0 : i == 1 ? limit - 1 : (int)(check_random(rng) % limit);
        l->zeros[i] = (uint8_t)(p->zeros ? z : limit / 2);
        const double s = i % 97 == 5 ? 0.0 : 0.002 + 0.004 * check_uniform(rng);
        l->scales[i] = dlq_k_f32_to_f16((float)(i % 13 == 3 ? -s : s));
    }
    l->g_idx = NULL;
    if (p->act_order) {
        l->g_idx = check_alloc(p->k * 4, 0);
        for (int64_t k = 0; k < p->k; k++) {
            l->g_idx[k] = (int32_t)(k / p->group);
        }
        for (int64_t k = p->k - 1; k > 0; k--) {
            const int64_t other = check_random(rng) % (uint32_t)(k + 1);
            const int32_t swap = l->g_idx[k];
            l->g_idx[k] = l->g_idx[other];
            l->g_idx[other] = swap;
        }
    }
}

// Codes along rows of length `cols` in transposed order: out[c * rows + r] = in[r * cols + c].
static uint8_t *
transpose(const uint8_t *in, int64_t rows, int64_t cols)
{
    uint8_t *out = check_alloc(rows * cols, 0);
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < cols; c++) {
            out[c * rows + r] = in[r * cols + c];
        }
    }
    return out;
}

static void
make_packed(struct layer *l)
{
    const struct problem *p = &l->p;
    const enum dlq_bits_layout bits_layout =
        p->layout == DLQ_K_WNA16_K_PADDED ? DLQ_BITS_PADDED : DLQ_BITS_DENSE;
    const int64_t k_words = dlq_bits_words(bits_layout, p->k, p->bits);
    const int64_t n_words = dlq_bits_words(bits_layout, p->n, p->bits);
    uint8_t *codes_t = transpose(l->codes, p->n, p->k);      // [k, n]
    uint8_t *zeros_t = transpose(l->zeros, p->n, l->groups); // [groups, n]
    l->packed_codes = check_alloc(p->layout == DLQ_K_WNA16_BYTES ? p->n * p->k
                                  : p->layout == DLQ_K_WNA16_AWQ ? p->k * p->n / 2
                                                                 : p->n * k_words * 4,
                                  0);
    l->packed_zeros =
        check_alloc(p->layout == DLQ_K_WNA16_BYTES ? p->n * l->groups : n_words * l->groups * 4, 0);
    uint32_t *codes = l->packed_codes;
    uint32_t *zeros = l->packed_zeros;
    switch (p->layout) {
    case DLQ_K_WNA16_BYTES:
        memcpy(codes, l->codes, (size_t)(p->n * p->k));
        memcpy(zeros, l->zeros, (size_t)(p->n * l->groups));
        break;
    case DLQ_K_WNA16_K_DENSE:
    case DLQ_K_WNA16_K_PADDED:
        for (int64_t n = 0; n < p->n; n++) {
            dlq_bits_pack(l->codes + n * p->k, p->k, bits_layout, p->bits, codes + n * k_words, 1);
        }
        for (int64_t g = 0; g < l->groups; g++) {
            dlq_bits_pack(zeros_t + g * p->n, p->n, bits_layout, p->bits, zeros + g, l->groups);
        }
        break;
    case DLQ_K_WNA16_GPTQ:
        for (int64_t n = 0; n < p->n; n++) {
            dlq_bits_pack(l->codes + n * p->k, p->k, bits_layout, p->bits, codes + n, p->n);
        }
        for (int64_t g = 0; g < l->groups; g++) {
            dlq_bits_pack(zeros_t + g * p->n, p->n, bits_layout, p->bits, zeros + g * n_words, 1);
        }
        break;
    case DLQ_K_WNA16_AWQ:
        check_that(dlq_awq_pack(codes_t, 4, p->k, p->n, codes), "awq pack of codes");
        check_that(dlq_awq_pack(zeros_t, 4, l->groups, p->n, zeros), "awq pack of zeros");
        break;
    }
    check_free(codes_t);
    check_free(zeros_t);
}

static struct dlq_k_wna16_source
source_of(const struct layer *l)
{
    return (struct dlq_k_wna16_source){.layout = l->p.layout,
                                       .codes = l->packed_codes,
                                       .zeros = l->packed_zeros,
                                       .scales = l->scales,
                                       .scale_dtype = DLQ_F16,
                                       .g_idx = l->g_idx};
}

static struct dlq_k_wna16_shape
shape_of(const struct problem *p)
{
    return (struct dlq_k_wna16_shape){
        .k = p->k, .n = p->n, .group = p->group, .bits = p->bits, .has_zero_points = p->zeros};
}

static int64_t
group_of(const struct layer *l, int64_t k)
{
    return l->g_idx != NULL ? l->g_idx[k] : k / l->p.group;
}

static const char *
init_ops(void *ops, uint32_t flags)
{
    dlq_k_wna16_init(ops, flags);
    return ((struct dlq_k_wna16_ops *)ops)->name;
}

static int64_t
workspace_exact(const void *ops, const void *w, int64_t m, int threads)
{
    return ((const struct dlq_k_wna16_ops *)ops)->workspace_size(w, DLQ_K_WNA16_EXACT, m, threads);
}

static int64_t
workspace_int8(const void *ops, const void *w, int64_t m, int threads)
{
    return ((const struct dlq_k_wna16_ops *)ops)->workspace_size(w, DLQ_K_WNA16_INT8, m, threads);
}

static int
apply_exact(const void *ops, const void *w, const struct dlq_k_linear_call *call)
{
    return ((const struct dlq_k_wna16_ops *)ops)->apply(w, DLQ_K_WNA16_EXACT, call);
}

static int
apply_int8(const void *ops, const void *w, const struct dlq_k_linear_call *call)
{
    return ((const struct dlq_k_wna16_ops *)ops)->apply(w, DLQ_K_WNA16_INT8, call);
}

static int64_t
workspace_i8(const void *ops, const void *w, int64_t m, int threads)
{
    return ((const struct dlq_k_wna16_ops *)ops)
        ->workspace_size(w, DLQ_K_WNA16_I8_TOKEN, m, threads);
}

static int64_t
workspace_i8_azp(const void *ops, const void *w, int64_t m, int threads)
{
    return ((const struct dlq_k_wna16_ops *)ops)
        ->workspace_size(w, DLQ_K_WNA16_I8_TOKEN_AZP, m, threads);
}

static int
apply_i8(const void *ops, const void *w, const struct dlq_k_linear_call *call)
{
    return ((const struct dlq_k_wna16_ops *)ops)->apply(w, DLQ_K_WNA16_I8_TOKEN, call);
}

static int
apply_i8_azp(const void *ops, const void *w, const struct dlq_k_linear_call *call)
{
    return ((const struct dlq_k_wna16_ops *)ops)->apply(w, DLQ_K_WNA16_I8_TOKEN_AZP, call);
}

static enum check_class
class_exact(const struct check_layer *layer, const char *level)
{
    // Fixed point rounds no small integer.
    const struct layer *l = layer->ctx;
    return strcmp(level, "c") == 0 || l->p.data == CHECK_SMALL_INTS ? CHECK_EXACT : CHECK_LIMBS;
}

static enum check_class
class_int8(const struct check_layer *layer, const char *level)
{
    (void)layer;
    return strcmp(level, "c") == 0 ? CHECK_EXACT : CHECK_INT8;
}

// Integer sums of codes: no more is lost than by fp32 sums of exact weights.
static enum check_class
class_i8(const struct check_layer *layer, const char *level)
{
    (void)layer;
    (void)level;
    return CHECK_EXACT;
}

static bool
always(const char *level, const char *below)
{
    (void)level;
    (void)below;
    return true;
}

// Plain C sums in fp64; all other levels share one fixed-point definition.
static bool
both_fixed_point(const char *level, const char *below)
{
    return strcmp(level, "c") != 0 && strcmp(below, "c") != 0;
}

static struct check_element
element_of(const struct check_layer *layer, int64_t m, int64_t n, const float *row)
{
    const struct layer *l = layer->ctx;
    const struct problem *p = &l->p;
    const double b = (double)dlq_k_load_f32(layer->bias, p->dtype, n);
    struct check_element e = {b, fabs(b), 0.0, 0.0};
    for (int64_t k = 0; k < p->k; k++) {
        const int64_t g = group_of(l, k);
        const int d = l->codes[n * p->k + k] - l->zeros[n * l->groups + g];
        const double weight = (double)scale_of(l, n, g) * d;
        const int64_t at = m * layer->x_stride + k;
        const double x = (double)(row != NULL ? row[k] : dlq_k_load_f32(layer->x, p->dtype, at));
        e.y64 += x * weight;
        e.abs_sum += fabs(x * weight);
        e.weight_norm += weight * weight;
        e.x_max = fabs(x) > e.x_max ? fabs(x) : e.x_max;
    }
    e.weight_norm = sqrt(e.weight_norm);
    return e;
}

static struct check_element
element(const struct check_layer *layer, int64_t m, int64_t n)
{
    return element_of(layer, m, n, NULL);
}

// Truth for rows that became int8 codes.
static struct check_element
element_of_codes(const struct check_layer *layer, int64_t m, int64_t n,
                 enum dlq_k_w8a8_activation activation)
{
    const struct dlq_k_w8a8 quantizer = {.k = layer->k, .activation = activation};
    const char *x =
        (const char *)layer->x + (size_t)(m * layer->x_stride) * dlq_k_act_size(layer->dtype);
    int8_t codes[2048];
    float row[2048];
    float scale = 0.0f;
    int32_t azp = 0;
    dlq_k_w8a8_quantize_row(&quantizer, x, layer->dtype, codes, &scale, &azp);
    for (int64_t k = 0; k < layer->k; k++) {
        row[k] = (float)(codes[k] - azp) * scale;
    }
    return element_of(layer, m, n, row);
}

static struct check_element
element_i8(const struct check_layer *layer, int64_t m, int64_t n)
{
    return element_of_codes(layer, m, n, DLQ_K_W8A8_TOKEN);
}

static struct check_element
element_i8_azp(const struct check_layer *layer, int64_t m, int64_t n)
{
    return element_of_codes(layer, m, n, DLQ_K_W8A8_TOKEN_AZP);
}

static void
layer_init(struct layer *l, const struct problem *p, uint64_t seed)
{
    struct check_rng rng = {seed};
    *l = (struct layer){.p = *p, .groups = (p->k + p->group - 1) / p->group};
    make_codes(l, &rng);
    make_packed(l);
    const struct dlq_k_wna16_shape shape = shape_of(p);
    const struct dlq_k_wna16_source source = source_of(l);
    int64_t bad = -1;
    check_that(dlq_k_wna16_plan(&l->w, &shape, p->dtype, l->g_idx, &bad) == DLQ_K_OK, "plan");
    l->data = check_alloc(l->w.bytes, 0);
    check_that(dlq_k_wna16_pack(&l->w, &source, l->data, check_threads(2), &bad) == DLQ_K_OK,
               "pack, bad %ld", (long)bad);
    snprintf(l->what, sizeof(l->what),
             "wna16 k %ld n %ld g %ld bits %d zeros %d layout %d order %d data %d", (long)p->k,
             (long)p->n, (long)p->group, p->bits, p->zeros, (int)p->layout, p->act_order,
             (int)p->data);
    l->op = (struct check_layer){.what = l->what,
                                 .m = p->m,
                                 .k = p->k,
                                 .n = p->n,
                                 .dtype = p->dtype,
                                 .w = &l->w,
                                 .init = init_ops,
                                 .workspace_size = workspace_exact,
                                 .apply = apply_exact,
                                 .element = element,
                                 .class_of = class_exact,
                                 .same_bits = both_fixed_point,
                                 .ctx = l};
    check_layer_fill(&l->op, &rng, p->data);
}

static void
layer_free(struct layer *l)
{
    check_layer_free(&l->op);
    void *const buffers[] = {l->codes,        l->zeros,        l->scales, l->g_idx,
                             l->packed_codes, l->packed_zeros, l->data};
    for (size_t i = 0; i < sizeof(buffers) / sizeof(*buffers); i++) {
        if (buffers[i] != NULL) {
            check_free(buffers[i]);
        }
    }
}

static void
check_dequantize(const struct layer *l)
{
    const struct problem *p = &l->p;
    float *rows = check_alloc(p->k * p->n * 4, 0);
    dlq_k_wna16_dequantize(&l->w, 0, p->n, rows);
    int64_t wrong = 0;
    for (int64_t n = 0; n < p->n; n++) {
        for (int64_t k = 0; k < p->k; k++) {
            const int64_t g = group_of(l, k);
            const int d = l->codes[n * p->k + k] - l->zeros[n * l->groups + g];
            wrong += rows[n * p->k + k] != (float)d * scale_of(l, n, g);
        }
    }
    check_that(wrong == 0, "dequantize: %ld of %ld wrong", (long)wrong, (long)(p->k * p->n));
    check_free(rows);
}

static void
check_problem(const struct problem *p, uint64_t seed)
{
    struct layer l;
    layer_init(&l, p, seed);
    check_dequantize(&l);
    check_layer_levels(&l.op);
    struct check_layer int8 = l.op;
    int8.workspace_size = workspace_int8;
    int8.apply = apply_int8;
    int8.class_of = class_int8;
    check_layer_levels(&int8);
    struct check_layer i8 = l.op;
    i8.class_of = class_i8;
    i8.same_bits = always;
    i8.workspace_size = seed % 2 ? workspace_i8 : workspace_i8_azp;
    i8.apply = seed % 2 ? apply_i8 : apply_i8_azp;
    i8.element = seed % 2 ? element_i8 : element_i8_azp;
    check_layer_levels(&i8);
    layer_free(&l);
}

// The first of two groups as a share of its own, with the ranges of whole rows, against both groups
// with nothing in the second.
static void
check_share(enum dlq_k_wna16_arithmetic arithmetic, int64_t m)
{
    struct problem p = {.m = m,
                        .k = 128,
                        .n = 40,
                        .group = 64,
                        .bits = 4,
                        .zeros = true,
                        .layout = DLQ_K_WNA16_BYTES,
                        .dtype = DLQ_F32,
                        .data = CHECK_OUTLIERS_20};
    struct layer whole;
    layer_init(&whole, &p, 7);
    for (int64_t n = 0; n < p.n; n++) {
        memset((uint8_t *)whole.packed_codes + n * 128 + 64,
               ((const uint8_t *)whole.packed_zeros)[n * 2 + 1], 64);
    }
    struct dlq_k_wna16_source source = source_of(&whole);
    check_that(dlq_k_wna16_pack(&whole.w, &source, whole.data, NULL, NULL) == DLQ_K_OK, "pack");
    uint8_t codes[40 * 64];
    uint8_t zeros[40];
    uint16_t scales[40];
    for (int64_t n = 0; n < p.n; n++) {
        memcpy(codes + n * 64, (const uint8_t *)whole.packed_codes + n * 128, 64);
        zeros[n] = ((const uint8_t *)whole.packed_zeros)[n * 2];
        scales[n] = whole.scales[n * 2];
    }
    p.k = 64;
    const struct dlq_k_wna16_shape shape = shape_of(&p);
    struct dlq_k_wna16 w;
    source = (struct dlq_k_wna16_source){.layout = DLQ_K_WNA16_BYTES,
                                         .codes = codes,
                                         .zeros = zeros,
                                         .scales = scales,
                                         .scale_dtype = DLQ_F16};
    check_that(dlq_k_wna16_plan(&w, &shape, DLQ_F32, NULL, NULL) == DLQ_K_OK, "plan");
    void *data = check_alloc(w.bytes, 0);
    check_that(dlq_k_wna16_pack(&w, &source, data, NULL, NULL) == DLQ_K_OK, "pack");
    float *ranges = check_alloc(m * 8, 0);
    float *y = check_alloc(m * p.n * 4, 0);
    for (int i = 0; i < check_n_levels; i++) {
        if (!check_have_level(&check_levels[i])) {
            continue;
        }
        struct dlq_k_wna16_ops ops;
        dlq_k_wna16_init(&ops, check_levels[i].flags);
        void *workspace = check_alloc(ops.workspace_size(&whole.w, arithmetic, m, 1), 0);
        struct dlq_k_linear_call call = {.m = m,
                                         .x = whole.op.x,
                                         .x_stride = whole.op.x_stride,
                                         .x_dtype = DLQ_F32,
                                         .y_dtype = DLQ_F32,
                                         .y = y,
                                         .y_stride = p.n,
                                         .workspace = workspace};
        float *expected = check_alloc(m * p.n * 4, 0);
        check_that(ops.apply(&whole.w, arithmetic, &call) == DLQ_K_OK, "whole");
        memcpy(expected, y, (size_t)(m * p.n) * 4);
        dlq_k_row_ranges(check_levels[i].flags, &call, 128, ranges);
        call.ranges = ranges;
        check_that(ops.apply(&w, arithmetic, &call) == DLQ_K_OK, "share");
        check_that(memcmp(expected, y, (size_t)(m * p.n) * 4) == 0,
                   "%s: a share of %ld rows with the ranges of whole rows", ops.name, (long)m);
        check_free(expected);
        check_free(workspace);
    }
    check_free(y);
    check_free(ranges);
    check_free(data);
    layer_free(&whole);
}

// A row far below what a reciprocal can hold.
static void
check_tiny_row(struct check_layer *op)
{
    for (int64_t k = 0; k < op->k; k++) {
        const float v = dlq_k_load_f32(op->x, op->dtype, k);
        dlq_k_store_f32(op->x, op->dtype, k, v * 0x1p-110f);
    }
    struct check_layer one = *op;
    one.m = 1;
    for (int64_t n = 0; n < op->n; n++) {
        dlq_k_store_f32(op->bias, op->dtype, n, 0.0f);
    }
    check_layer_levels(&one);
}

static void
check_rare_rows(uint32_t dtype)
{
    const struct problem p = {.m = 9,
                              .k = 256,
                              .n = 40,
                              .group = 64,
                              .bits = 4,
                              .zeros = true,
                              .layout = DLQ_K_WNA16_BYTES,
                              .dtype = dtype};
    struct layer l;
    layer_init(&l, &p, 99);
    if (dtype != DLQ_F16) {
        check_tiny_row(&l.op);
    }
    check_layer_special(&l.op);
    struct check_layer i8 = l.op;
    i8.same_bits = always;
    i8.workspace_size = workspace_i8;
    i8.apply = apply_i8;
    check_layer_special(&i8);
    layer_free(&l);
}

static void
check_refusals(void)
{
    const struct problem p = {.m = 1,
                              .k = 64,
                              .n = 24,
                              .group = 32,
                              .bits = 4,
                              .zeros = true,
                              .layout = DLQ_K_WNA16_BYTES,
                              .act_order = true,
                              .dtype = DLQ_F16};
    struct layer l;
    layer_init(&l, &p, 5);
    struct dlq_k_wna16 w;
    int64_t bad = -1;
    struct dlq_k_wna16_shape shape = shape_of(&p);
    shape.bits = 9;
    check_that(dlq_k_wna16_plan(&w, &shape, DLQ_F16, NULL, &bad) == DLQ_K_ESHAPE, "bits 9");
    shape.bits = 1;
    check_that(dlq_k_wna16_plan(&w, &shape, DLQ_F16, NULL, &bad) == DLQ_K_ESHAPE, "bits 1");
    shape = shape_of(&p);
    shape.group = 65;
    check_that(dlq_k_wna16_plan(&w, &shape, DLQ_F16, NULL, &bad) == DLQ_K_ESHAPE, "group > k");
    shape = shape_of(&p);
    check_that(dlq_k_wna16_plan(&w, &shape, DLQ_F64, NULL, &bad) == DLQ_K_EDTYPE, "fp64 scales");
    l.g_idx[9] = 2;
    check_that(dlq_k_wna16_plan(&w, &shape, DLQ_F16, l.g_idx, &bad) == DLQ_K_EINDEX && bad == 9,
               "g_idx out of range");
    l.g_idx[9] = -1;
    check_that(dlq_k_wna16_plan(&w, &shape, DLQ_F16, l.g_idx, &bad) == DLQ_K_EINDEX && bad == 9,
               "negative g_idx");
    struct dlq_k_wna16_source source = source_of(&l);
    source.g_idx = NULL;
    check_that(dlq_k_wna16_pack(&l.w, &source, l.data, NULL, &bad) == DLQ_K_ESHAPE,
               "pack without the g_idx of the plan");
    source = source_of(&l);
    l.g_idx[9] = 0;
    const uint16_t evil[] = {0x7c00, 0xfc00, 0x7e01, 0x7c01};
    for (int i = 0; i < 4; i++) {
        const uint16_t saved = l.scales[17];
        l.scales[17] = evil[i];
        check_that(dlq_k_wna16_plan(&w, &shape, DLQ_F16, l.g_idx, &bad) == DLQ_K_OK, "plan");
        void *data = check_alloc(w.bytes, 0);
        check_that(dlq_k_wna16_pack(&w, &source, data, check_threads(2), &bad) == DLQ_K_ESCALE &&
                       bad == 17 && w.data == NULL,
                   "NaN or infinite scale %04x", evil[i]);
        check_free(data);
        l.scales[17] = saved;
    }
    struct dlq_k_wna16_ops ops;
    dlq_k_wna16_init(&ops, 0);
    struct dlq_k_linear_call call = {.m = 1,
                                     .x = l.op.x,
                                     .x_stride = p.k - 1,
                                     .x_dtype = DLQ_F16,
                                     .y_dtype = DLQ_F16,
                                     .y_stride = p.n};
    check_that(ops.apply(&l.w, DLQ_K_WNA16_EXACT, &call) == DLQ_K_ESHAPE, "short x stride");
    call.x_stride = p.k;
    call.x_dtype = DLQ_I8;
    check_that(ops.apply(&l.w, DLQ_K_WNA16_EXACT, &call) == DLQ_K_EDTYPE, "int8 x");
    call.x_dtype = DLQ_F16;
    call.m = 0;
    for (int i = 0; i < check_n_levels; i++) {
        if (check_have_level(&check_levels[i])) {
            dlq_k_wna16_init(&ops, check_levels[i].flags);
            check_that(ops.apply(&l.w, DLQ_K_WNA16_EXACT, &call) == DLQ_K_OK, "m 0 does nothing");
        }
    }
    layer_free(&l);
}

void
check_wna16(void)
{
    static const int64_t rows[] = {1, 2, 3, 4, 5, 7, 8, 13, 16, 17, 31, 33, 48, 70};
    static const struct {
        int64_t k, n, group;
    } shapes[] = {{128, 64, 128}, {256, 136, 64}, {172, 24, 43},    {100, 40, 25},  {384, 48, 32},
                  {1056, 8, 48},  {576, 80, 64},  {1024, 32, 1024}, {640, 56, 640}, {33, 16, 33},
                  {8, 16, 4},     {192, 72, 96},  {1408, 104, 128}};
    static const enum dlq_k_wna16_source_layout layouts[] = {
        DLQ_K_WNA16_AWQ, DLQ_K_WNA16_K_DENSE, DLQ_K_WNA16_BYTES, DLQ_K_WNA16_K_PADDED,
        DLQ_K_WNA16_GPTQ};
    static const uint32_t dtypes[] = {DLQ_F16, DLQ_BF16, DLQ_F32};
    uint64_t seed = 1;
    for (size_t s = 0; s < sizeof(shapes) / sizeof(*shapes); s++) {
        for (size_t r = 0; r < sizeof(rows) / sizeof(*rows); r++) {
            // Walk the other choices so that each meets several shapes and row counts.
            const size_t turn = s * 5 + r * 3;
            struct problem p = {
                .m = rows[r], .k = shapes[s].k, .n = shapes[s].n, .group = shapes[s].group};
            p.layout = layouts[turn % 5];
            p.bits = p.layout == DLQ_K_WNA16_AWQ || turn % 4 < 2 ? 4 : 2 + (int)(turn % 7);
            p.zeros = turn % 3 != 1;
            p.act_order = turn % 7 == 3;
            p.dtype = dtypes[(s + r) % 3];
            p.data = (enum check_data)(turn % 4);
            check_problem(&p, seed++);
        }
    }
    // Columns that nothing divides, one at a time.
    for (int64_t n = 1; n <= 17; n += 4) {
        const struct problem p = {.m = 6,
                                  .k = 96,
                                  .n = n,
                                  .group = 32,
                                  .bits = 4,
                                  .zeros = true,
                                  .layout = DLQ_K_WNA16_K_DENSE,
                                  .dtype = DLQ_F32};
        check_problem(&p, seed++);
    }
    for (int i = 0; i < 3; i++) {
        check_rare_rows(dtypes[i]);
    }
    for (int64_t m = 1; m <= 40; m += 13) {
        check_share(DLQ_K_WNA16_I8_TOKEN, m);
        check_share(DLQ_K_WNA16_I8_TOKEN_AZP, m);
    }
    check_refusals();
}
