// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "rows.h"
#include "w8a8.h"
#include "wna16_fast.h"

#include <immintrin.h>

// The panels of wna16_fast.h with AVX2.

static inline void
store_dword(uint8_t *out, int64_t index, uint32_t v)
{
    memcpy(out + index * 4, &v, sizeof(v));
}

// Limbs of eight codes, a byte each.
static inline uint64_t
low_limbs(__m128i codes)
{
    const __m128i low = _mm_and_si128(codes, _mm_set1_epi16(255));
    return (uint64_t)_mm_cvtsi128_si64(_mm_packus_epi16(low, low));
}

static inline uint64_t
high_limbs(__m128i codes)
{
    const __m128i high = _mm_srai_epi16(_mm_add_epi16(codes, _mm_set1_epi16(128)), 8);
    return (uint64_t)_mm_cvtsi128_si64(_mm_packs_epi16(high, high));
}

// dwords [k / 4][limb][row]
static void
store_limbs(const int16_t *q, int64_t group_k, int limbs, int rows, int row, uint8_t *out)
{
    for (int64_t k = 0; k < group_k; k += 8) {
        const __m128i codes = _mm_loadu_si128((const __m128i *)(const void *)(q + k));
        const uint64_t low8 = low_limbs(codes);
        const int64_t at = k / 4 * limbs * rows + row;
        if (limbs == 1) {
            store_dword(out, at, (uint32_t)low8);
            store_dword(out, at + rows, (uint32_t)(low8 >> 32));
            continue;
        }
        const uint64_t high8 = high_limbs(codes);
        store_dword(out, at, (uint32_t)high8);
        store_dword(out, at + rows, (uint32_t)low8);
        store_dword(out, at + 2 * rows, (uint32_t)(high8 >> 32));
        store_dword(out, at + 3 * rows, (uint32_t)(low8 >> 32));
    }
}

// [limb][row][k]
static void
store_limb_row(const int16_t *q, int64_t group_k, int limbs, int rows, int row, uint8_t *out)
{
    uint8_t *high = out + row * group_k;
    uint8_t *low = high + (limbs - 1) * rows * group_k;
    for (int64_t k = 0; k < group_k; k += 8) {
        const __m128i codes = _mm_loadu_si128((const __m128i *)(const void *)(q + k));
        const uint64_t low8 = low_limbs(codes);
        memcpy(low + k, &low8, sizeof(low8));
        if (limbs == 2) {
            const uint64_t high8 = high_limbs(codes);
            memcpy(high + k, &high8, sizeof(high8));
        }
    }
}

// dwords [k / 2][row] in the order that shifting packed codes yields
static void
store_pairs(const int16_t *q, int64_t group_k, int code_bits, int rows, int row, uint8_t *out)
{
    const __m128i order4 = _mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
    const __m128i order8 = _mm_setr_epi8(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15);
    const __m128i order = code_bits == 4 ? order4 : order8;
    for (int64_t k = 0; k < group_k; k += 8) {
        const __m128i codes = _mm_loadu_si128((const __m128i *)(const void *)(q + k));
        const __m128i pairs = _mm_shuffle_epi8(codes, order);
        const int64_t at = k / 2 * rows + row;
        store_dword(out, at, (uint32_t)_mm_cvtsi128_si32(pairs));
        store_dword(out, at + rows, (uint32_t)_mm_extract_epi32(pairs, 1));
        store_dword(out, at + 2 * rows, (uint32_t)_mm_extract_epi32(pairs, 2));
        store_dword(out, at + 3 * rows, (uint32_t)_mm_extract_epi32(pairs, 3));
    }
}

// [limb][k / width][row][width bytes]
static void
store_tiles(const int16_t *q, int64_t group_k, int limbs, int rows, int row, uint8_t *out)
{
    const int64_t width = group_k % 64 == 0 ? 64 : 32;
    uint8_t *low_out = limbs == 2 ? out + group_k * rows : out;
    for (int64_t k = 0; k < group_k; k += 32) {
        const int64_t at = (k / width * rows + row) * width + k % width;
        const __m256i a = _mm256_loadu_si256((const __m256i *)(const void *)(q + k));
        const __m256i b = _mm256_loadu_si256((const __m256i *)(const void *)(q + k + 16));
        const __m256i byte = _mm256_set1_epi16(255);
        const __m256i low =
            _mm256_packus_epi16(_mm256_and_si256(a, byte), _mm256_and_si256(b, byte));
        _mm256_storeu_si256((__m256i *)(void *)(low_out + at), _mm256_permute4x64_epi64(low, 0xd8));
        if (limbs == 2) {
            const __m256i half = _mm256_set1_epi16(128);
            const __m256i high =
                _mm256_packs_epi16(_mm256_srai_epi16(_mm256_add_epi16(a, half), 8),
                                   _mm256_srai_epi16(_mm256_add_epi16(b, half), 8));
            _mm256_storeu_si256((__m256i *)(void *)(out + at),
                                _mm256_permute4x64_epi64(high, 0xd8));
        }
    }
}

int32_t
dlq_wna16_make_codes(const struct dlq_w8a8_codes *c, const float *x, int64_t count, int16_t *q)
{
    if (c->factor == 0.0f) {
        memset(q, 0, (size_t)count * sizeof(*q));
        return 0;
    }
    const __m256 factor = _mm256_set1_ps(c->factor);
    const __m256 azp = _mm256_set1_ps((float)c->azp);
    __m256i sums = _mm256_setzero_si256();
    for (int64_t k = 0; k < count; k += 8) {
        const __m256 t = _mm256_mul_ps(_mm256_loadu_ps(x + k), factor);
        const __m256 r = _mm256_round_ps(t, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        const __m256 s = _mm256_min_ps(
            _mm256_max_ps(_mm256_add_ps(r, azp), _mm256_set1_ps(-128.0f)), _mm256_set1_ps(127.0f));
        const __m256i codes = _mm256_cvtps_epi32(_mm256_sub_ps(s, azp));
        sums = _mm256_add_epi32(sums, codes);
        const __m256i packed = _mm256_permute4x64_epi64(_mm256_packs_epi32(codes, codes), 0x08);
        _mm_storeu_si128((__m128i *)(void *)(q + k), _mm256_castsi256_si128(packed));
    }
    int32_t parts[8];
    int32_t sum = 0;
    _mm256_storeu_si256((__m256i *)(void *)parts, sums);
    for (int i = 0; i < 8; i++) {
        sum += parts[i];
    }
    return sum;
}

void
dlq_wna16_store_codes(const struct dlq_wna16_run *run, const int16_t *q, int row, uint8_t *out)
{
    const struct dlq_k_wna16 *w = run->w;
    switch (run->format) {
    case DLQ_WNA16_LIMBS:
        store_limbs(q, w->group_k, run->limbs, run->rows, row, out);
        break;
    case DLQ_WNA16_PAIRS:
        store_pairs(q, w->group_k, w->code_bits, run->rows, row, out);
        break;
    case DLQ_WNA16_TILES:
        store_tiles(q, w->group_k, run->limbs, run->rows, row, out);
        break;
    case DLQ_WNA16_LIMB_ROWS:
        store_limb_row(q, w->group_k, run->limbs, run->rows, row, out);
        break;
    case DLQ_WNA16_PAIR_ROWS:
        store_pairs(q, w->group_k, w->code_bits, 1, 0, out + row * w->group_k * 2);
        break;
    }
}
