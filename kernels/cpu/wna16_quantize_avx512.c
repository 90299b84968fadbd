// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "avx512.h"
#include "rows.h"
#include "wna16_fast.h"

// Rows of x straight to tiles of int8 limbs: what dlq_rows_fix_avx2 and store_tiles do, in one pass
// over x after the one that finds the maximum.

// Whether x[count] times `factor` are integers.
DLQ_INLINE bool
is_integral(const void *x, const uint32_t DTYPE, int64_t count, float factor)
{
    __mmask16 wrong = 0;
    for (int64_t i = 0; i < count; i += 16) {
        const __m512 v = _mm512_mul_ps(dlq_load16(x, DTYPE, i), _mm512_set1_ps(factor));
        const __m512 r = _mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        wrong |= _mm512_cmp_ps_mask(v, r, _CMP_NEQ_UQ);
    }
    return wrong == 0;
}

// Codes of 64 values as words, in the order that two packs of 128-bit lanes yield.
struct words {
    __m512i w[2];
};

DLQ_INLINE struct words
make_words(const void *x, const uint32_t DTYPE, int64_t k, __m512 lift, __m512 inverse)
{
    __m512i codes[4];
    DLQ_UNROLL for (int i = 0; i < 4; i++)
    {
        const __m512 v = _mm512_mul_ps(dlq_load16(x, DTYPE, k + 16 * i), lift);
        codes[i] = _mm512_cvtps_epi32(_mm512_mul_ps(v, inverse));
    }
    return (struct words){
        {_mm512_packs_epi32(codes[0], codes[1]), _mm512_packs_epi32(codes[2], codes[3])}};
}

DLQ_INLINE void
fix_row(const int L, const uint32_t DTYPE, const void *x, int64_t count, uint8_t *out, float *scale,
        int32_t *sum)
{
    const int64_t tile = DLQ_WNA16_MAX_ROWS * 64;
    const int64_t low_limb = L == 2 ? count * DLQ_WNA16_MAX_ROWS : 0;
    const uint32_t max_bits = dlq_largest_bits(x, DTYPE, count);
    if (max_bits == 0 || max_bits >= 0x7f800000u) {
        for (int64_t k = 0; k < count; k += 64, out += tile) {
            _mm512_store_si512(out, _mm512_setzero_si512());
            _mm512_store_si512(out + low_limb, _mm512_setzero_si512());
        }
        *scale = max_bits == 0 ? 0.0f : dlq_k_f32_from_bits(0x7fc00000u);
        *sum = 0;
        return;
    }
    float limit = L == 2 ? DLQ_WNA16_LIMIT : DLQ_WNA16_LIMIT_INT8;
    const float power = L == 2 ? 16384.0f : 64.0f;
    const float max = dlq_k_f32_from_bits(max_bits);
    const float lift = max < 0x1p-100f ? 0x1p100f : 1.0f;
    if ((max_bits & 0x7fffff) == 0 && lift == 1.0f && is_integral(x, DTYPE, count, power / max)) {
        limit = power;
    }
    const __m512 inverse = _mm512_set1_ps(limit / (max * lift));
    const __m512 lift16 = _mm512_set1_ps(lift);
    const __m512i order = dlq_unpack_order();
    const __m512i byte = _mm512_set1_epi16(255);
    const __m512i half = _mm512_set1_epi16(128);
    __m512i sums = _mm512_setzero_si512();
    for (int64_t k = 0; k < count; k += 64, out += tile) {
        const struct words c = make_words(x, DTYPE, k, lift16, inverse);
        sums = _mm512_dpwssd_epi32(sums, c.w[0], _mm512_set1_epi16(1));
        sums = _mm512_dpwssd_epi32(sums, c.w[1], _mm512_set1_epi16(1));
        const __m512i low =
            _mm512_packus_epi16(_mm512_and_si512(c.w[0], byte), _mm512_and_si512(c.w[1], byte));
        _mm512_store_si512(out + low_limb, _mm512_permutexvar_epi32(order, low));
        if (L == 2) {
            const __m512i high =
                _mm512_packs_epi16(_mm512_srai_epi16(_mm512_add_epi16(c.w[0], half), 8),
                                   _mm512_srai_epi16(_mm512_add_epi16(c.w[1], half), 8));
            _mm512_store_si512(out, _mm512_permutexvar_epi32(order, high));
        }
    }
    *scale = max / limit;
    *sum = _mm512_reduce_add_epi32(sums);
}

DLQ_INLINE void
quantize_part(const int L, const uint32_t DTYPE, const struct dlq_wna16_run *run,
              const struct dlq_wna16_part *part)
{
    const struct dlq_k_wna16 *w = run->w;
    const size_t group_bytes = (size_t)w->group_k * dlq_k_act_size(DTYPE);
    for (int64_t p = 0; p < part->n_panels; p++) {
        for (int64_t g = 0; g < w->groups; g++) {
            const int64_t slot = dlq_wna16_slot(part, p, g);
            uint8_t *out = part->codes + slot * run->group_bytes;
            float *sx = part->sx + slot * DLQ_WNA16_MAX_ROWS;
            int32_t *sums = part->sums + slot * DLQ_WNA16_MAX_ROWS;
            for (int r = 0; r < DLQ_WNA16_MAX_ROWS; r++) {
                const int64_t m = (part->panel + p) * DLQ_WNA16_MAX_ROWS + r;
                if (m < run->call->m) {
                    const char *x =
                        (const char *)dlq_call_x(run->call, m) + (size_t)g * group_bytes;
                    fix_row(L, DTYPE, x, w->group_k, out + r * 64, &sx[r], &sums[r]);
                    continue;
                }
                for (int64_t i = 0; i < run->group_bytes; i += DLQ_WNA16_MAX_ROWS * 64) {
                    _mm512_store_si512(out + i + r * 64, _mm512_setzero_si512());
                }
                sx[r] = 0.0f;
                sums[r] = 0;
            }
        }
    }
}

typedef void (*quantize_fn)(const struct dlq_wna16_run *run, const struct dlq_wna16_part *part);
#define QUANTIZE(L, DTYPE)                                                                         \
    static void quantize_##L##_##DTYPE(const struct dlq_wna16_run *run,                            \
                                       const struct dlq_wna16_part *part)                          \
    {                                                                                              \
        quantize_part(L, DTYPE, run, part);                                                        \
    }
QUANTIZE(1, DLQ_F32)
QUANTIZE(1, DLQ_F16)
QUANTIZE(1, DLQ_BF16)
QUANTIZE(2, DLQ_F32)
QUANTIZE(2, DLQ_F16)
QUANTIZE(2, DLQ_BF16)

void
dlq_wna16_quantize_avx512(const struct dlq_wna16_run *run, const struct dlq_wna16_part *part)
{
    static const quantize_fn by_limbs[2][3] = {
        {quantize_1_DLQ_F32, quantize_1_DLQ_F16, quantize_1_DLQ_BF16},
        {quantize_2_DLQ_F32, quantize_2_DLQ_F16, quantize_2_DLQ_BF16}};
    const struct dlq_k_wna16 *w = run->w;
    const uint32_t dtype = run->call->x_dtype;
    // Groups that are whole tiles of consecutive rows of K.
    if (run->format != DLQ_WNA16_TILES || dlq_k_wna16_is_i8(run->arithmetic) ||
        w->group_k % 64 != 0 || w->groups * w->group_k != w->shape.k || w->order_offset != 0) {
        dlq_wna16_quantize(run, part);
        return;
    }
    by_limbs[run->limbs - 1][dtype == DLQ_F32 ? 0 : dtype == DLQ_F16 ? 1 : 2](run, part);
}
