// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "avx512.h"
#include "rows.h"
#include "wna16_fast.h"

// Rows of x straight to panels: what dlq_rows_fix_avx2 and dlq_wna16_store_codes do, in one pass
// over x after the one that finds the maximum.

enum { GROUPS_AHEAD = 2, PAIR_GROUPS_AHEAD = 4 }; // that x is brought

// Where the codes of a panel's group are, in bytes.
struct place {
    int64_t row;  // from a row of x to the next
    int64_t step; // from 64 values to the next
    int64_t low;  // from the high limb to the low one
};

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

// How 64 values are stored: a limb of each, both, or an int16.
enum form { ONE_LIMB, TWO_LIMBS, PAIRS };

DLQ_INLINE void
store_zeros(const enum form F, int64_t count, struct place place, uint8_t *out)
{
    for (int64_t k = 0; k < count; k += 64, out += place.step) {
        _mm512_store_si512(out, _mm512_setzero_si512());
        if (F != ONE_LIMB) {
            _mm512_store_si512(out + (F == PAIRS ? 64 : place.low), _mm512_setzero_si512());
        }
    }
}

DLQ_INLINE void
store_words(const enum form F, struct words c, __m512i order, int64_t low_limb, uint8_t *out)
{
    const __m512i byte = _mm512_set1_epi16(255);
    const __m512i half = _mm512_set1_epi16(128);
    if (F == PAIRS) {
        _mm512_store_si512(out, _mm512_permutexvar_epi16(order, c.w[0]));
        _mm512_store_si512(out + 64, _mm512_permutexvar_epi16(order, c.w[1]));
        return;
    }
    const __m512i low =
        _mm512_packus_epi16(_mm512_and_si512(c.w[0], byte), _mm512_and_si512(c.w[1], byte));
    _mm512_store_si512(out + (F == TWO_LIMBS ? low_limb : 0), _mm512_permutexvar_epi32(order, low));
    if (F == TWO_LIMBS) {
        const __m512i high =
            _mm512_packs_epi16(_mm512_srai_epi16(_mm512_add_epi16(c.w[0], half), 8),
                               _mm512_srai_epi16(_mm512_add_epi16(c.w[1], half), 8));
        _mm512_store_si512(out, _mm512_permutexvar_epi32(order, high));
    }
}

// Pairs, of which weights are less their zero points, need no sum of codes: 0.
DLQ_INLINE void
fix_row(const enum form F, const uint32_t DTYPE, const void *x, int64_t count, __m512i order,
        struct place place, uint8_t *out, float *scale, int32_t *sum)
{
    const uint32_t max_bits = dlq_largest_bits(x, DTYPE, count);
    if (max_bits == 0 || max_bits >= 0x7f800000u) {
        store_zeros(F, count, place, out);
        *scale = max_bits == 0 ? 0.0f : dlq_k_f32_from_bits(0x7fc00000u);
        *sum = 0;
        return;
    }
    float limit = F == ONE_LIMB ? DLQ_WNA16_LIMIT_INT8 : DLQ_WNA16_LIMIT;
    const float power = F == ONE_LIMB ? 64.0f : 16384.0f;
    const float max = dlq_k_f32_from_bits(max_bits);
    const float lift = max < 0x1p-100f ? 0x1p100f : 1.0f;
    if ((max_bits & 0x7fffff) == 0 && lift == 1.0f && is_integral(x, DTYPE, count, power / max)) {
        limit = power;
    }
    const __m512 inverse = _mm512_set1_ps(limit / (max * lift));
    const __m512 lift16 = _mm512_set1_ps(lift);
    // Rows of a panel take turns: none is long enough for the processor to read ahead.
    const int64_t size = DTYPE == DLQ_F32 ? 4 : 2;
    const int64_t groups_ahead = F == PAIRS ? PAIR_GROUPS_AHEAD : GROUPS_AHEAD;
    const char *ahead = (const char *)x + groups_ahead * count * size;
    __m512i sums = _mm512_setzero_si512();
    for (int64_t k = 0; k < count; k += 64, out += place.step) {
        DLQ_UNROLL for (int i = 0; i < size; i++)
        {
            _mm_prefetch(ahead + k * size + 64 * i, _MM_HINT_T0);
        }
        const struct words c = make_words(x, DTYPE, k, lift16, inverse);
        if (F != PAIRS) {
            sums = _mm512_dpwssd_epi32(sums, c.w[0], _mm512_set1_epi16(1));
            sums = _mm512_dpwssd_epi32(sums, c.w[1], _mm512_set1_epi16(1));
        }
        store_words(F, c, order, place.low, out);
    }
    *scale = max / limit;
    *sum = _mm512_reduce_add_epi32(sums);
}

// For permutexvar_epi16 on words in the order of make_words: in the order of PAIRS.
static __m512i
pair_order(int code_bits)
{
    static const uint8_t order[2][8] = {{0, 2, 4, 6, 1, 3, 5, 7}, {0, 2, 1, 3, 4, 6, 5, 7}};
    uint16_t from[32];
    for (int i = 0; i < 32; i++) {
        const int k = i / 8 * 8 + order[code_bits == 8][i % 8];
        from[i] = (uint16_t)(k % 16 / 4 * 8 + k / 16 * 4 + k % 4);
    }
    return _mm512_loadu_si512(from);
}

DLQ_INLINE void
quantize_part(const enum form F, const uint32_t DTYPE, const struct dlq_wna16_run *run,
              const struct dlq_wna16_part *part, struct place place)
{
    const struct dlq_k_wna16 *w = run->w;
    const size_t group_bytes = (size_t)w->group_k * dlq_k_act_size(DTYPE);
    const __m512i order = F == PAIRS ? pair_order(w->code_bits) : dlq_unpack_order();
    const int64_t x_stride = run->call->x_stride * (int64_t)dlq_k_act_size(DTYPE);
    for (int64_t p = 0; p < part->n_panels; p++) {
        const int64_t m0 = (part->panel + p) * run->rows;
        const int64_t left = run->call->m - m0;
        const int rows = left < run->rows ? (int)left : run->rows;
        for (int64_t g = 0; g < w->groups; g++) {
            const int64_t slot = dlq_wna16_slot(part, p, g);
            const char *x = (const char *)dlq_call_x(run->call, m0) + (size_t)g * group_bytes;
            uint8_t *out = part->codes + slot * run->group_bytes;
            float *sx = part->sx + slot * run->rows;
            int32_t *sums = part->sums + slot * run->rows;
            for (int r = 0; r < rows; r++, x += x_stride, out += place.row) {
                fix_row(F, DTYPE, x, w->group_k, order, place, out, &sx[r], &sums[r]);
            }
            for (int r = rows; r < run->rows; r++, out += place.row) {
                store_zeros(F, w->group_k, place, out);
                sx[r] = 0.0f;
                sums[r] = 0;
            }
        }
    }
}

typedef void (*quantize_fn)(const struct dlq_wna16_run *run, const struct dlq_wna16_part *part,
                            struct place place);
#define QUANTIZE(FORM, DTYPE)                                                                      \
    static void quantize_##FORM##_##DTYPE(const struct dlq_wna16_run *run,                         \
                                          const struct dlq_wna16_part *part, struct place place)   \
    {                                                                                              \
        quantize_part(FORM, DTYPE, run, part, place);                                              \
    }
#define QUANTIZE_OF(FORM) QUANTIZE(FORM, DLQ_F32) QUANTIZE(FORM, DLQ_F16) QUANTIZE(FORM, DLQ_BF16)
QUANTIZE_OF(ONE_LIMB)
QUANTIZE_OF(TWO_LIMBS)
QUANTIZE_OF(PAIRS)
#define ROW(FORM)                                                                                  \
    {                                                                                              \
        quantize_##FORM##_DLQ_F32, quantize_##FORM##_DLQ_F16, quantize_##FORM##_DLQ_BF16           \
    }

void
dlq_wna16_quantize_avx512(const struct dlq_wna16_run *run, const struct dlq_wna16_part *part)
{
    static const quantize_fn by_form[3][3] = {ROW(ONE_LIMB), ROW(TWO_LIMBS), ROW(PAIRS)};
    const struct dlq_k_wna16 *w = run->w;
    const uint32_t dtype = run->call->x_dtype;
    const bool tiles = run->format == DLQ_WNA16_TILES;
    const bool pairs = run->format == DLQ_WNA16_PAIR_ROWS;
    // Whole lines of consecutive rows of K.
    if ((!tiles && !pairs && run->format != DLQ_WNA16_LIMB_ROWS) ||
        dlq_k_wna16_is_i8(run->arithmetic) || w->group_k % 64 != 0 ||
        w->groups * w->group_k != w->shape.k || w->order_offset != 0) {
        dlq_wna16_quantize(run, part);
        return;
    }
    const struct place place = {
        .row = tiles   ? 64
               : pairs ? 2 * w->group_k
                       : w->group_k,
        .step = tiles   ? DLQ_WNA16_MAX_ROWS * 64
                : pairs ? 128
                        : 64,
        .low = run->rows * w->group_k,
    };
    const enum form form = pairs ? PAIRS : run->limbs == 2 ? TWO_LIMBS : ONE_LIMB;
    by_form[form][dtype == DLQ_F32 ? 0 : dtype == DLQ_F16 ? 1 : 2](run, part, place);
}
