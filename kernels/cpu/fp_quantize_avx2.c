// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "call.h"
#include "fp.h"
#include "rows.h"

#include <immintrin.h>

// Rows of x to the values of fp8 and fp4 codes with AVX2: the bits of fp_quantize.c.

// max|x|; NaN when some x is NaN or infinite.
static float
row_max(const struct dlq_k_fp *w, const struct dlq_k_linear_call *call, int64_t m)
{
    float own[2];
    const float *range = own;
    if (call->ranges != NULL) {
        range = call->ranges + 2 * m;
    } else {
        dlq_rows_range_avx2(dlq_call_x(call, m), call->x_dtype, w->shape.k, own);
    }
    const float max = fmaxf(-range[0], range[1]);
    return max < INFINITY ? max : dlq_k_f32_from_bits(0x7fc00000u);
}

float
dlq_fp_tensor_max_avx2(const struct dlq_k_fp *w, const struct dlq_k_linear_call *call)
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

// The same of values[count], a multiple of 8.
static float
group_max(const float *values, int64_t count)
{
    const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
    __m256i max8 = _mm256_setzero_si256();
    for (int64_t i = 0; i < count; i += 8) {
        const __m256i bits = _mm256_loadu_si256((const __m256i *)(const void *)(values + i));
        max8 = _mm256_max_epu32(max8, _mm256_and_si256(bits, magnitude));
    }
    __m128i max4 = _mm_max_epu32(_mm256_castsi256_si128(max8), _mm256_extracti128_si256(max8, 1));
    max4 = _mm_max_epu32(max4, _mm_shuffle_epi32(max4, 0x4e));
    max4 = _mm_max_epu32(max4, _mm_shuffle_epi32(max4, 0xb1));
    const uint32_t max = (uint32_t)_mm_cvtsi128_si32(max4);
    return dlq_k_f32_from_bits(max >= 0x7f800000u ? 0x7fc00000u : max);
}

// Rounds magnitudes to `drop` fewer bits of mantissa, to even; below `normal` to multiples of
// 1 / units.
static inline __m256
round_magnitude(__m256 a, const int drop, float normal, float units)
{
    const __m256i bits = _mm256_castps_si256(a);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, drop), _mm256_set1_epi32(1));
    const __m256i up = _mm256_add_epi32(odd, _mm256_set1_epi32((1 << (drop - 1)) - 1));
    const __m256i kept =
        _mm256_slli_epi32(_mm256_srli_epi32(_mm256_add_epi32(bits, up), drop), drop);
    const __m256 count = _mm256_round_ps(_mm256_mul_ps(a, _mm256_set1_ps(units)),
                                         _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m256 small = _mm256_mul_ps(count, _mm256_set1_ps(1.0f / units));
    const __m256 is_small = _mm256_cmp_ps(a, _mm256_set1_ps(normal), _CMP_LT_OQ);
    return _mm256_blendv_ps(_mm256_castsi256_ps(kept), small, is_small);
}

// values = those of the codes that they round to, times `factor`.
static void
round_group(const struct dlq_fp_rounding *g, float factor, int64_t count, float *values)
{
    const __m256 multiply = _mm256_set1_ps(g->multiply);
    const __m256 divide = _mm256_set1_ps(g->divide);
    const __m256 sign = _mm256_set1_ps(-0.0f);
    const __m256 largest = _mm256_set1_ps(g->fp4 ? 6.0f : 448.0f);
    for (int64_t i = 0; i < count; i += 8) {
        __m256 v = _mm256_loadu_ps(values + i);
        v = g->multiply != 0.0f ? _mm256_mul_ps(v, multiply) : v;
        v = g->divide != 0.0f ? _mm256_div_ps(v, divide) : v;
        const __m256 a = _mm256_min_ps(_mm256_andnot_ps(sign, v), largest);
        const __m256 rounded =
            g->fp4 ? round_magnitude(a, 22, 1.0f, 2.0f) : round_magnitude(a, 20, 0x1p-6f, 512.0f);
        const __m256 value = _mm256_or_ps(rounded, _mm256_and_ps(sign, v));
        _mm256_storeu_ps(values + i, _mm256_mul_ps(value, _mm256_set1_ps(factor)));
    }
}

void
dlq_fp_load_row_avx2(const struct dlq_k_fp *w, const struct dlq_k_linear_call *call, int64_t m,
                     float tensor_max, float *values, float *scale)
{
    const enum dlq_k_fp_activation activation = w->shape.activation;
    const bool in_row = activation <= DLQ_K_FP_FP8_STATIC;
    const int64_t k = w->shape.k;
    const int64_t size = dlq_k_fp_act_group(w);
    // Shares that begin or end inside a group, and odd lengths.
    if (call->group_max != NULL || k % 8 != 0 || size % 8 != 0 ||
        (!in_row && w->shape.act_offset != 0)) {
        dlq_fp_load_row(w, call, m, tensor_max, values, scale);
        return;
    }
    dlq_rows_widen_avx2(dlq_call_x(call, m), call->x_dtype, k, values);
    *scale = activation == DLQ_K_FP_NVFP4 ? 1.0f / w->shape.act_scale : 1.0f;
    for (int64_t first = 0; first < k; first += size) {
        const int64_t count = size < k - first ? size : k - first;
        const float max = activation == DLQ_K_FP_FP8_TENSOR  ? tensor_max
                          : activation == DLQ_K_FP_FP8_TOKEN ? row_max(w, call, m)
                                                             : group_max(values + first, count);
        const struct dlq_fp_rounding g = dlq_fp_choose_rounding(w, max);
        const float factor = in_row ? 1.0f : g.scale;
        // (value * scale) * NaN is NaN whatever the value.
        round_group(&g, max != max ? max : factor, count, values + first);
        *scale = in_row ? g.scale : *scale;
    }
}
