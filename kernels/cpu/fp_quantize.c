// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "call.h"
#include "fp.h"

// Rows of x to fp8 and fp4: the definitions.

int64_t
dlq_k_fp_act_group(const struct dlq_k_fp *w)
{
    switch (w->shape.activation) {
    case DLQ_K_FP_FP8_GROUP:
        return w->shape.act_group;
    case DLQ_K_FP_NVFP4:
        return 16;
    case DLQ_K_FP_MXFP4:
    case DLQ_K_FP_MXFP8:
        return 32;
    case DLQ_K_FP_NONE:
    case DLQ_K_FP_FP8_TOKEN:
    case DLQ_K_FP_FP8_TENSOR:
    case DLQ_K_FP_FP8_STATIC:
        break;
    }
    return w->shape.k;
}

// Inputs of the first group that lie before x.
static int64_t
act_offset(const struct dlq_k_fp *w)
{
    return w->shape.activation >= DLQ_K_FP_FP8_GROUP ? w->shape.act_offset : 0;
}

int64_t
dlq_k_fp_act_scales(const struct dlq_k_fp *w)
{
    const int64_t group = dlq_k_fp_act_group(w);
    return (act_offset(w) + w->shape.k + group - 1) / group;
}

// max |x|; NaN when some x is NaN or infinite.
static float
max_magnitude(const void *x, uint32_t x_dtype, int64_t first, int64_t count)
{
    uint32_t max = 0;
    for (int64_t i = 0; i < count; i++) {
        const uint32_t bits = dlq_k_f32_bits(dlq_k_load_f32(x, x_dtype, first + i)) & 0x7fffffffu;
        max = bits > max ? bits : max;
    }
    return dlq_k_f32_from_bits(max >= 0x7f800000u ? 0x7fc00000u : max);
}

// max|x| that the scale of row m is made from, of the call's ranges where it has some; NaN for rows
// that are not finite.
static float
row_max(const struct dlq_k_fp *w, const struct dlq_k_linear_call *call, int64_t m)
{
    if (call->ranges == NULL) {
        return max_magnitude(dlq_call_x(call, m), call->x_dtype, 0, w->shape.k);
    }
    return max_magnitude(call->ranges + 2 * m, DLQ_F32, 0, 2);
}

float
dlq_fp_tensor_max(const struct dlq_k_fp *w, const struct dlq_k_linear_call *call)
{
    float max = 0.0f;
    for (int64_t m = 0; w->shape.activation == DLQ_K_FP_FP8_TENSOR && m < call->m; m++) {
        const float a = row_max(w, call, m);
        max = a > max || a != a ? a : max;
        if (max != max) {
            break;
        }
    }
    return max;
}

static float
clamp448(float v)
{
    return v > 448.0f ? 448.0f : v < -448.0f ? -448.0f : v;
}

// Power-of-two scale of a group: exponent of the maximum after rounding its mantissa up from 1.75,
// minus the exponent of the format's largest power of two.
static float
mx_scale(float max, int offset)
{
    const uint32_t rounded = dlq_k_f32_bits(max) + (1u << 21);
    int exponent = (int)(rounded >> 23) - offset;
    exponent = exponent < 0 ? 0 : exponent > 254 ? 254 : exponent;
    return dlq_k_e8m0_to_f32((uint8_t)exponent);
}

struct dlq_fp_rounding
dlq_fp_choose_rounding(const struct dlq_k_fp *w, float max)
{
    const float floor_token = 1.0f / (448.0f * 512.0f);
    const float gs = w->shape.act_scale;
    struct dlq_fp_rounding g = {.scale = 1.0f};
    switch (w->shape.activation) {
    case DLQ_K_FP_NONE:
        break;
    case DLQ_K_FP_FP8_TOKEN:
        g.scale = max / 448.0f;
        g.scale = g.scale < floor_token ? floor_token : g.scale;
        g.divide = g.scale;
        break;
    case DLQ_K_FP_FP8_TENSOR:
        g.scale = max / 448.0f;
        g.scale = g.scale < 0x1p-100f ? floor_token : g.scale;
        g.multiply = 1.0f / g.scale;
        break;
    case DLQ_K_FP_FP8_STATIC:
        g.scale = gs;
        g.multiply = 1.0f / gs;
        break;
    case DLQ_K_FP_FP8_GROUP:
        g.scale = (max < 1e-10f ? 1e-10f : max) / 448.0f;
        g.divide = g.scale;
        break;
    case DLQ_K_FP_NVFP4:
        g.scale = dlq_k_e4m3_to_f32(dlq_k_f32_to_e4m3(max * gs / 6.0f));
        g.fp4 = true;
        // The library's writers replace a scale of zero.
        g.scale = g.scale == 0.0f ? 0.125f : g.scale;
        g.multiply = gs;
        g.divide = g.scale;
        break;
    case DLQ_K_FP_MXFP4:
        g.scale = mx_scale(max, 2);
        g.divide = g.scale;
        g.fp4 = true;
        break;
    case DLQ_K_FP_MXFP8:
        g.scale = mx_scale(max, 8);
        g.divide = g.scale;
        break;
    }
    return g;
}

void
dlq_k_fp_quantize_row(const struct dlq_k_fp *w, const void *x, uint32_t x_dtype, float tensor_max,
                      float *values, uint8_t *codes, float *scales, float *row_scale)
{
    const bool token = w->shape.activation == DLQ_K_FP_FP8_TOKEN;
    const float max = token ? max_magnitude(x, x_dtype, 0, w->shape.k) : tensor_max;
    dlq_k_fp_quantize_share(w, x, x_dtype, max, NULL, values, codes, scales, row_scale);
}

void
dlq_k_fp_group_max(const struct dlq_k_fp *w, const struct dlq_k_linear_call *call, float *max)
{
    const int64_t size = dlq_k_fp_act_group(w);
    for (int64_t m = 0; m < call->m; m++) {
        for (int64_t first = -act_offset(w); first < w->shape.k; first += size) {
            const int64_t begin = first > 0 ? first : 0;
            const int64_t end = first + size < w->shape.k ? first + size : w->shape.k;
            const float a = max_magnitude(dlq_call_x(call, m), call->x_dtype, begin, end - begin);
            *max++ = a == a ? a : INFINITY;
        }
    }
}

void
dlq_k_fp_quantize_share(const struct dlq_k_fp *w, const void *x, uint32_t x_dtype, float given_max,
                        const float *group_max, float *values, uint8_t *codes, float *scales,
                        float *row_scale)
{
    if (w->shape.activation == DLQ_K_FP_NONE) {
        for (int64_t i = 0; i < w->shape.k; i++) {
            values[i] = dlq_k_load_f32(x, x_dtype, i);
        }
        *row_scale = 1.0f;
        return;
    }
    const int64_t size = dlq_k_fp_act_group(w);
    // One scale a row multiplies the sum; scales of groups are exact products with their codes
    // (fp32 scales: rounded once), so they go into the values.
    const bool in_row = w->shape.activation <= DLQ_K_FP_FP8_STATIC;
    const bool given =
        w->shape.activation == DLQ_K_FP_FP8_TOKEN || w->shape.activation == DLQ_K_FP_FP8_TENSOR;
    *row_scale = w->shape.activation == DLQ_K_FP_NVFP4 ? 1.0f / w->shape.act_scale : 1.0f;
    for (int64_t n = 0, first = -act_offset(w); first < w->shape.k; n++, first += size) {
        const int64_t begin = first > 0 ? first : 0;
        const int64_t end = first + size < w->shape.k ? first + size : w->shape.k;
        const float max = given ? given_max
                          : group_max != NULL && !in_row
                              ? max_magnitude(group_max, DLQ_F32, n, 1)
                              : max_magnitude(x, x_dtype, begin, end - begin);
        const struct dlq_fp_rounding g = dlq_fp_choose_rounding(w, max);
        const float outside = max != max ? max : 1.0f;
        for (int64_t i = begin; i < end; i++) {
            float v = dlq_k_load_f32(x, x_dtype, i);
            v = g.multiply != 0.0f ? v * g.multiply : v;
            v = g.divide != 0.0f ? v / g.divide : v;
            const uint8_t code = g.fp4 ? dlq_k_f32_to_e2m1(v) : dlq_k_f32_to_e4m3(clamp448(v));
            const float value = g.fp4 ? dlq_k_e2m1_to_f32(code) : dlq_k_e4m3_to_f32(code);
            values[i] = (in_row ? value : value * g.scale) * outside;
            if (codes != NULL) {
                codes[i] = code;
            }
        }
        if (scales != NULL) {
            scales[n] = g.scale;
        }
        *row_scale = in_row ? g.scale : *row_scale;
    }
}

void
dlq_fp_load_row(const struct dlq_k_fp *w, const struct dlq_k_linear_call *call, int64_t m,
                float tensor_max, float *values, float *scale)
{
    const float max = w->shape.activation == DLQ_K_FP_FP8_TOKEN ? row_max(w, call, m) : tensor_max;
    const float *group_max =
        call->group_max != NULL ? call->group_max + m * call->group_max_stride : NULL;
    dlq_k_fp_quantize_share(w, dlq_call_x(call, m), call->x_dtype, max, group_max, values, NULL,
                            NULL, scale);
}
