// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "rows.h"
#include "w8a8_fast.h"

#include <immintrin.h>

// What comes before and after the sums of int8 layers, with AVX2.

// The formulas of dlq_k_w8a8_quantize_share, eight at a time; x and q are padded with zeros.
static void
quantize_row(const struct dlq_k_w8a8 *w, float *x, const float *range, int8_t *q,
             struct dlq_w8a8_row *row)
{
    float own[2];
    if (range == NULL) {
        dlq_rows_range_avx2(x, DLQ_F32, w->k_padded, own);
        range = own;
    }
    const struct dlq_w8a8_codes choice = dlq_w8a8_choose_codes(w, range[0], range[1]);
    *row = (struct dlq_w8a8_row){.scale = choice.scale, .azp = choice.azp};
    if (choice.factor == 0.0f) {
        memset(q, 0, (size_t)w->k_padded);
        return;
    }
    const bool divide = choice.divide;
    const __m256 factor = _mm256_set1_ps(choice.factor);
    const __m256 azp = _mm256_set1_ps((float)row->azp);
    const __m256 least = _mm256_set1_ps(-128.0f);
    const __m256 most = _mm256_set1_ps(127.0f);
    __m256i sums = _mm256_setzero_si256();
    for (int64_t k = 0; k < w->k_padded; k += 8) {
        const __m256 v = _mm256_loadu_ps(x + k);
        const __m256 t = divide ? _mm256_div_ps(v, factor) : _mm256_mul_ps(v, factor);
        const __m256 r = _mm256_round_ps(t, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        const __m256 s = _mm256_min_ps(_mm256_max_ps(_mm256_add_ps(r, azp), least), most);
        __m256i codes = _mm256_cvtps_epi32(s);
        if (k + 8 > w->k) { // rows of padding are 0, not azp
            int32_t keep[8];
            for (int i = 0; i < 8; i++) {
                keep[i] = k + i < w->k ? -1 : 0;
            }
            codes =
                _mm256_and_si256(codes, _mm256_loadu_si256((const __m256i *)(const void *)keep));
        }
        sums = _mm256_add_epi32(sums, codes);
        const __m256i words = _mm256_packs_epi32(codes, codes);
        const __m128i half =
            _mm_unpacklo_epi64(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
        _mm_storel_epi64((__m128i *)(void *)(q + k), _mm_packs_epi16(half, half));
    }
    int32_t parts[8];
    _mm256_storeu_si256((__m256i *)(void *)parts, sums);
    for (int i = 0; i < 8; i++) {
        row->sum += parts[i];
    }
}

static void
store_row(const struct dlq_w8a8_run *run, const int8_t *q, int row, uint8_t *out)
{
    const int64_t k_padded = run->w->k_padded;
    if (run->format == DLQ_W8A8_TILES) {
        for (int64_t k = 0; k < k_padded; k += 64) {
            memcpy(out + (k / 64 * run->rows + row) * 64, q + k, 64);
        }
        return;
    }
    for (int64_t k = 0; k < k_padded; k += 4) {
        if (run->format == DLQ_W8A8_BYTES) {
            memcpy(out + (k / 4 * run->rows + row) * 4, q + k, 4);
            continue;
        }
        const int16_t pairs[4] = {q[k], q[k + 2], q[k + 1], q[k + 3]};
        memcpy(out + (k / 2 * run->rows + row) * 4, pairs, 4);
        memcpy(out + ((k / 2 + 1) * run->rows + row) * 4, pairs + 2, 4);
    }
}

void
dlq_w8a8_quantize_avx2(const struct dlq_w8a8_run *run, const struct dlq_w8a8_part *part)
{
    const struct dlq_k_w8a8 *w = run->w;
    float *x = part->buffer;
    // Codes are written over the fp32 values that they were made from.
    int8_t *q = (int8_t *)x;
    for (int64_t i = 0; i < part->n_panels * run->rows; i++) {
        const int64_t m = part->panel * run->rows + i;
        if (m < run->call->m) {
            dlq_rows_widen_avx2(dlq_call_x(run->call, m), run->call->x_dtype, w->k, x);
            memset(x + w->k, 0, (size_t)(w->k_padded - w->k) * sizeof(*x));
            const float *ranges = run->call->ranges;
            quantize_row(w, x, ranges != NULL ? ranges + 2 * m : NULL, q, &part->row[i]);
        } else {
            memset(q, 0, (size_t)w->k_padded);
            part->row[i] = (struct dlq_w8a8_row){0};
        }
        store_row(run, q, (int)(i % run->rows), part->codes + i / run->rows * run->panel_bytes);
    }
}

void
dlq_w8a8_correct_avx2(const struct dlq_w8a8_run *run, const struct dlq_w8a8_row *rows,
                      int64_t n_rows, int64_t block, int n_blocks, int32_t *c)
{
    const __m256i offset = _mm256_set1_epi32(run->offset);
    for (int b = 0; b < n_blocks; b++) {
        const struct dlq_w8a8_tail *tail = dlq_w8a8_tail(run->w, block + b);
        for (int64_t r = 0; r < n_rows; r++) {
            const __m256i sum = _mm256_set1_epi32(rows[r].sum);
            const __m256i azp = _mm256_set1_epi32(rows[r].azp);
            for (int h = 0; h < 16; h += 8) {
                int32_t *at = c + r * DLQ_W8A8_UNIT + b * 16 + h;
                const __m256i zero =
                    _mm256_loadu_si256((const __m256i *)(const void *)(tail->zero + h));
                const __m256i w_sum =
                    _mm256_loadu_si256((const __m256i *)(const void *)(tail->sum + h));
                const __m256i too_much =
                    _mm256_add_epi32(_mm256_mullo_epi32(sum, _mm256_add_epi32(zero, offset)),
                                     _mm256_mullo_epi32(azp, w_sum));
                const __m256i exact = _mm256_sub_epi32(
                    _mm256_loadu_si256((const __m256i *)(const void *)at), too_much);
                _mm256_storeu_si256((__m256i *)(void *)at, exact);
            }
        }
    }
}

void
dlq_w8a8_scale_avx2(const struct dlq_k_w8a8 *w, const struct dlq_w8a8_row *rows, int64_t n_rows,
                    int64_t block, int n_blocks, int32_t *c)
{
    for (int b = 0; b < n_blocks; b++) {
        const struct dlq_w8a8_tail *tail = dlq_w8a8_tail(w, block + b);
        for (int64_t r = 0; r < n_rows; r++) {
            const __m256 row_scale = _mm256_set1_ps(rows[r].scale);
            for (int h = 0; h < 16; h += 8) {
                int32_t *at = c + r * DLQ_W8A8_UNIT + b * 16 + h;
                const __m256i sum = _mm256_loadu_si256((const __m256i *)(const void *)at);
                const __m256 scale = _mm256_mul_ps(_mm256_loadu_ps(tail->scale + h), row_scale);
                _mm256_storeu_ps((float *)(void *)at,
                                 _mm256_mul_ps(_mm256_cvtepi32_ps(sum), scale));
            }
        }
    }
}
