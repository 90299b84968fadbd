// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "check_wna16.h"
#include "float16.h"
#include "linear_w8a8.h"
#include "pack/awq.h"
#include "pack/bits.h"

#include <stdlib.h>

static bool
by_group(enum dlq_k_wna16_source_layout layout)
{
    return layout == DLQ_K_WNA16_AWQ || layout == DLQ_K_WNA16_GPTQ;
}

static float
scale_of(const struct check_wna16_layer *l, int64_t n, int64_t g)
{
    const int64_t i = by_group(l->p.layout) ? g * l->p.n + n : n * l->groups + g;
    const float s = dlq_k_f16_to_f32(l->scales[i]);
    return l->p.dtype == DLQ_BF16 ? dlq_k_bf16_to_f32(dlq_k_f32_to_bf16(s)) : s;
}

static void
make_codes(struct check_wna16_layer *l, struct check_rng *rng)
{
    const struct check_wna16_problem *p = &l->p;
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
make_packed(struct check_wna16_layer *l)
{
    const struct check_wna16_problem *p = &l->p;
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

struct dlq_k_wna16_source
check_wna16_source(const struct check_wna16_layer *l)
{
    return (struct dlq_k_wna16_source){.layout = l->p.layout,
                                       .codes = l->packed_codes,
                                       .zeros = l->packed_zeros,
                                       .scales = l->scales,
                                       .scale_dtype = DLQ_F16,
                                       .g_idx = l->g_idx};
}

struct dlq_k_wna16_shape
check_wna16_shape(const struct check_wna16_problem *p)
{
    return (struct dlq_k_wna16_shape){
        .k = p->k, .n = p->n, .group = p->group, .bits = p->bits, .has_zero_points = p->zeros};
}

static int64_t
group_of(const struct check_wna16_layer *l, int64_t k)
{
    return l->g_idx != NULL ? l->g_idx[k] : k / l->p.group;
}

float
check_wna16_weight(const struct check_wna16_layer *l, int64_t n, int64_t k)
{
    const int64_t g = group_of(l, k);
    return (float)(l->codes[n * l->p.k + k] - l->zeros[n * l->groups + g]) * scale_of(l, n, g);
}

static const char *
init_ops(void *ops, uint32_t flags)
{
    dlq_k_wna16_init(ops, flags);
    return ((struct dlq_k_wna16_ops *)ops)->name;
}

// The arithmetic is part of the call: functions for each.
#define ARITHMETIC(name, arithmetic)                                                               \
    static int64_t workspace_##name(const void *ops, const void *w, int64_t m, int threads)        \
    {                                                                                              \
        return ((const struct dlq_k_wna16_ops *)ops)->workspace_size(w, arithmetic, m, threads);   \
    }                                                                                              \
    static int apply_##name(const void *ops, const void *w, const struct dlq_k_linear_call *call)  \
    {                                                                                              \
        return ((const struct dlq_k_wna16_ops *)ops)->apply(w, arithmetic, call);                  \
    }
ARITHMETIC(exact, DLQ_K_WNA16_EXACT)
ARITHMETIC(int8, DLQ_K_WNA16_INT8)
ARITHMETIC(i8, DLQ_K_WNA16_I8_TOKEN)
ARITHMETIC(i8_azp, DLQ_K_WNA16_I8_TOKEN_AZP)
#undef ARITHMETIC

static enum check_class
class_exact(const struct check_layer *layer, const char *level)
{
    // Fixed point rounds no small integer.
    const struct check_wna16_layer *l = layer->ctx;
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
    const struct check_wna16_layer *l = layer->ctx;
    const struct check_wna16_problem *p = &l->p;
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

void
check_wna16_make(struct check_wna16_layer *l, const struct check_wna16_problem *p, uint64_t seed)
{
    struct check_rng rng = {seed};
    *l = (struct check_wna16_layer){.p = *p, .groups = (p->k + p->group - 1) / p->group};
    make_codes(l, &rng);
    make_packed(l);
    const struct dlq_k_wna16_shape shape = check_wna16_shape(p);
    const struct dlq_k_wna16_source source = check_wna16_source(l);
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

void
check_wna16_free(struct check_wna16_layer *l)
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

struct check_layer
check_wna16_with(const struct check_wna16_layer *l, enum dlq_k_wna16_arithmetic arithmetic)
{
    struct check_layer op = l->op;
    switch (arithmetic) {
    case DLQ_K_WNA16_EXACT:
        break;
    case DLQ_K_WNA16_INT8:
        op.workspace_size = workspace_int8;
        op.apply = apply_int8;
        op.class_of = class_int8;
        break;
    case DLQ_K_WNA16_I8_TOKEN:
        op.workspace_size = workspace_i8;
        op.apply = apply_i8;
        op.element = element_i8;
        break;
    case DLQ_K_WNA16_I8_TOKEN_AZP:
        op.workspace_size = workspace_i8_azp;
        op.apply = apply_i8_azp;
        op.element = element_i8_azp;
        break;
    }
    if (op.element != element) {
        op.class_of = class_i8;
        op.same_bits = always;
    }
    return op;
}
