// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "rows.h"
#include "w8a8.h"
#include "wna16_fast.h"

#include <immintrin.h>

// Rows of x to the fixed-point panels of wna16_fast.h.

static inline void
store_dword(uint8_t *out, int64_t index, uint32_t v)
{
    memcpy(out + index * 4, &v, sizeof(v));
}

// dwords [k / 4][limb][row]
static void
store_limbs(const int16_t *q, int64_t group_k, int limbs, int rows, int row, uint8_t *out)
{
    for (int64_t k = 0; k < group_k; k += 8) {
        const __m128i codes = _mm_loadu_si128((const __m128i *)(const void *)(q + k));
        const __m128i high = _mm_srai_epi16(_mm_add_epi16(codes, _mm_set1_epi16(128)), 8);
        const __m128i low = _mm_and_si128(codes, _mm_set1_epi16(255));
        const uint64_t low8 = (uint64_t)_mm_cvtsi128_si64(_mm_packus_epi16(low, low));
        const int64_t at = k / 4 * limbs * rows + row;
        if (limbs == 1) {
            store_dword(out, at, (uint32_t)low8);
            store_dword(out, at + rows, (uint32_t)(low8 >> 32));
            continue;
        }
        const uint64_t high8 = (uint64_t)_mm_cvtsi128_si64(_mm_packs_epi16(high, high));
        store_dword(out, at, (uint32_t)high8);
        store_dword(out, at + rows, (uint32_t)low8);
        store_dword(out, at + 2 * rows, (uint32_t)(high8 >> 32));
        store_dword(out, at + 3 * rows, (uint32_t)(low8 >> 32));
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

// fp32 values of packed group `group` of row m, padded with zeros.
static void
load_group(const struct dlq_wna16_run *run, int64_t m, int64_t group, float *x)
{
    const struct dlq_k_wna16 *w = run->w;
    const int32_t *order = dlq_wna16_order(w);
    const void *row = dlq_call_x(run->call, m);
    const uint32_t dtype = run->call->x_dtype;
    if (order == NULL) {
        int64_t count = 0;
        const int64_t first = dlq_wna16_group_rows(w, group, &count);
        const char *from = (const char *)row + (size_t)first * dlq_k_act_size(dtype);
        dlq_rows_widen_avx2(from, dtype, count, x);
        memset(x + count, 0, (size_t)(w->group_k - count) * sizeof(*x));
        return;
    }
    for (int64_t i = 0; i < w->group_k; i++) {
        const int32_t k = order[group * w->group_k + i];
        x[i] = k >= 0 ? dlq_k_load_f32(row, dtype, k) : 0.0f;
    }
}

// How row m becomes int8 codes.
static struct dlq_w8a8_codes
choose_codes(const struct dlq_wna16_run *run, int64_t m)
{
    const struct dlq_k_linear_call *call = run->call;
    const struct dlq_k_w8a8 w = {.activation = run->arithmetic == DLQ_K_WNA16_I8_TOKEN
                                                   ? DLQ_K_W8A8_TOKEN
                                                   : DLQ_K_W8A8_TOKEN_AZP};
    float own[2];
    const float *range = own;
    if (call->ranges != NULL) {
        range = call->ranges + 2 * m;
    } else {
        dlq_rows_range_avx2(dlq_call_x(call, m), call->x_dtype, run->w->shape.k, own);
    }
    return dlq_w8a8_choose_codes(&w, range[0], range[1]);
}

// The codes of dlq_k_w8a8_quantize_share less their zero point; returns their sum. Rows of padding
// give 0.
static int32_t
make_codes(const struct dlq_w8a8_codes *c, const float *x, int64_t count, int16_t *q)
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

static void
store_codes(const struct dlq_wna16_run *run, const int16_t *q, int row, uint8_t *out)
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
    }
}

// Codes of row r of a panel's group, with its factors.
static void
quantize_group(const struct dlq_wna16_run *run, int64_t panel, int64_t group, int row,
               const struct dlq_w8a8_codes *codes, int16_t *q)
{
    const struct dlq_k_wna16 *w = run->w;
    const int64_t m = panel * run->rows + row;
    const int64_t factors = dlq_wna16_panel_index(run, panel, group) + row;
    float x[DLQ_WNA16_MAX_GROUP] __attribute__((aligned(32)));
    if (m >= run->call->m) {
        memset(q, 0, (size_t)w->group_k * sizeof(*q));
        run->sums[factors] = 0;
        run->sx[factors] = 0.0f;
        return;
    }
    load_group(run, m, group, x);
    if (dlq_k_wna16_is_i8(run->arithmetic)) {
        run->sums[factors] = make_codes(codes, x, w->group_k, q);
        run->sx[factors] = codes->scale;
        return;
    }
    const float limit = run->limbs == 2 ? DLQ_WNA16_LIMIT : DLQ_WNA16_LIMIT_INT8;
    run->sums[factors] = dlq_rows_fix_avx2(x, w->group_k, limit, q, &run->sx[factors]);
}

void
dlq_wna16_quantize_panel(const struct dlq_wna16_run *run, int64_t panel)
{
    const struct dlq_k_wna16 *w = run->w;
    struct dlq_w8a8_codes codes[DLQ_WNA16_MAX_ROWS] = {{0}};
    int16_t q[DLQ_WNA16_MAX_GROUP] __attribute__((aligned(32)));
    for (int r = 0; r < run->rows && dlq_k_wna16_is_i8(run->arithmetic); r++) {
        const int64_t m = panel * run->rows + r;
        if (m < run->call->m) {
            codes[r] = choose_codes(run, m);
        }
    }
    for (int64_t g = 0; g < w->groups; g++) {
        uint8_t *out = run->codes + (panel * w->groups + g) * run->group_bytes;
        for (int r = 0; r < run->rows; r++) {
            quantize_group(run, panel, g, r, &codes[r], q);
            store_codes(run, q, r, out);
        }
    }
}
