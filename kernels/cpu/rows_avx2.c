// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "rows.h"

#include "call.h"
#include "ranges.h"

#include <immintrin.h>
#include <stdbool.h>

static inline __m256
load8(const void *p, uint32_t dtype, int64_t i)
{
    if (dtype == DLQ_F32) {
        return _mm256_loadu_ps((const float *)p + i);
    }
    const __m128i bits = _mm_loadu_si128((const __m128i *)(const void *)((const uint16_t *)p + i));
    if (dtype == DLQ_F16) {
        return _mm256_cvtph_ps(bits);
    }
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}

void
dlq_rows_widen_avx2(const void *x, uint32_t dtype, int64_t count, float *out)
{
    int64_t i = 0;
    for (; i + 8 <= count; i += 8) {
        _mm256_storeu_ps(out + i, load8(x, dtype, i));
    }
    for (; i < count; i++) {
        out[i] = dlq_k_load_f32(x, dtype, i);
    }
}

// Round to nearest even into the high half; a NaN becomes quiet and stays one.
static inline __m128i
to_bf16(__m256 v)
{
    const __m256i bits = _mm256_castps_si256(v);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i rounded =
        _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
    const __m256i high = _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, is_nan), 16);
    const __m256i packed = _mm256_packus_epi32(high, high);
    return _mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0x08));
}

static inline void
store8(void *p, uint32_t dtype, int64_t i, __m256 v)
{
    if (dtype == DLQ_F32) {
        _mm256_storeu_ps((float *)p + i, v);
        return;
    }
    const __m128i bits =
        dtype == DLQ_F16 ? _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT) : to_bf16(v);
    _mm_storeu_si128((__m128i *)(void *)((uint16_t *)p + i), bits);
}

void
dlq_rows_finish_avx2(const struct dlq_k_linear_call *call, int64_t m0, int64_t rows, int64_t n0,
                     int64_t cols, const float *sums, int64_t stride)
{
    for (int64_t r = 0; r < rows; r++, sums += stride) {
        void *y = dlq_call_y(call, m0 + r);
        int64_t c = 0;
        for (; c + 8 <= cols; c += 8) {
            __m256 v = _mm256_loadu_ps(sums + c);
            if (call->bias != NULL) {
                v = _mm256_add_ps(v, load8(call->bias, call->bias_dtype, n0 + c));
            }
            store8(y, call->y_dtype, n0 + c, v);
        }
        for (; c < cols; c++) {
            const float v = call->bias != NULL ? sums[c] + dlq_call_bias(call, n0 + c) : sums[c];
            dlq_k_store_f32(y, call->y_dtype, n0 + c, v);
        }
    }
}

void
dlq_rows_range_avx2(const void *x, uint32_t dtype, int64_t count, float range[2])
{
    __m256 min = _mm256_setzero_ps();
    __m256 max = _mm256_setzero_ps();
    __m256i bits = _mm256_setzero_si256();
    const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
    int64_t k = 0;
    for (; k + 8 <= count; k += 8) {
        const __m256 v = load8(x, dtype, k);
        min = _mm256_min_ps(v, min);
        max = _mm256_max_ps(v, max);
        bits = _mm256_max_epi32(bits, _mm256_and_si256(_mm256_castps_si256(v), magnitude));
    }
    float mins[8];
    float maxs[8];
    uint32_t all[8];
    _mm256_storeu_ps(mins, min);
    _mm256_storeu_ps(maxs, max);
    _mm256_storeu_si256((__m256i *)(void *)all, bits);
    // As integers, NaN is above infinity is above every finite magnitude.
    uint32_t largest = 0;
    dlq_row_range((const char *)x + (size_t)k * dlq_k_act_size(dtype), dtype, count - k, range);
    for (int i = 0; i < 8; i++) {
        range[0] = mins[i] < range[0] ? mins[i] : range[0];
        range[1] = maxs[i] > range[1] ? maxs[i] : range[1];
        largest = all[i] > largest ? all[i] : largest;
    }
    if (largest >= 0x7f800000u || !dlq_k_f32_is_finite(range[1])) {
        range[0] = 0.0f;
        range[1] = INFINITY;
    }
}

// Whether x[count] times `factor` are integers.
static bool
is_integral(const float *x, int64_t count, float factor)
{
    __m256 wrong = _mm256_setzero_ps();
    for (int64_t i = 0; i < count; i += 8) {
        const __m256 v = _mm256_mul_ps(_mm256_loadu_ps(x + i), _mm256_set1_ps(factor));
        const __m256 r = _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        wrong = _mm256_or_ps(wrong, _mm256_cmp_ps(v, r, _CMP_NEQ_UQ));
    }
    return _mm256_movemask_ps(wrong) == 0;
}

int32_t
dlq_rows_fix_avx2(const float *x, int64_t count, float limit, int16_t *q, float *scale)
{
    // As integers, NaN is above infinity is above every finite magnitude.
    const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
    __m256i max8 = _mm256_setzero_si256();
    for (int64_t i = 0; i < count; i += 8) {
        const __m256i bits = _mm256_loadu_si256((const __m256i *)(const void *)(x + i));
        max8 = _mm256_max_epi32(max8, _mm256_and_si256(bits, magnitude));
    }
    __m128i max4 = _mm_max_epi32(_mm256_castsi256_si128(max8), _mm256_extracti128_si256(max8, 1));
    max4 = _mm_max_epi32(max4, _mm_shuffle_epi32(max4, 0x4e));
    max4 = _mm_max_epi32(max4, _mm_shuffle_epi32(max4, 0xb1));
    const uint32_t max_bits = (uint32_t)_mm_cvtsi128_si32(max4);
    if (max_bits == 0 || max_bits >= 0x7f800000u) {
        memset(q, 0, (size_t)count * sizeof(*q));
        *scale = max_bits == 0 ? 0.0f : dlq_k_f32_from_bits(0x7fc00000u);
        return 0;
    }
    const float max = dlq_k_f32_from_bits(max_bits);
    // The reciprocal of a tiny maximum overflows: bring such rows into range first.
    const float lift = max < 0x1p-100f ? 0x1p100f : 1.0f;
    // Small integers, and what a power of two makes of them, have a scale that rounds none: sums
    // are then exact, and the same in any order.
    const float power = limit > 127.0f ? 16384.0f : 64.0f;
    if ((max_bits & 0x7fffff) == 0 && lift == 1.0f && is_integral(x, count, power / max)) {
        limit = power;
    }
    const __m256 inverse = _mm256_set1_ps(limit / (max * lift));
    const __m256 lift8 = _mm256_set1_ps(lift);
    *scale = max / limit;
    __m256i sum8 = _mm256_setzero_si256();
    for (int64_t i = 0; i < count; i += 8) {
        const __m256 v = _mm256_mul_ps(_mm256_loadu_ps(x + i), lift8);
        const __m256i codes = _mm256_cvtps_epi32(_mm256_mul_ps(v, inverse));
        sum8 = _mm256_add_epi32(sum8, codes);
        const __m256i packed = _mm256_permute4x64_epi64(_mm256_packs_epi32(codes, codes), 0x08);
        _mm_storeu_si128((__m128i *)(void *)(q + i), _mm256_castsi256_si128(packed));
    }
    __m128i sum4 = _mm_add_epi32(_mm256_castsi256_si128(sum8), _mm256_extracti128_si256(sum8, 1));
    sum4 = _mm_add_epi32(sum4, _mm_shuffle_epi32(sum4, 0x4e));
    sum4 = _mm_add_epi32(sum4, _mm_shuffle_epi32(sum4, 0xb1));
    return _mm_cvtsi128_si32(sum4);
}
