// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "avx512.h"
#include "rows.h"
#include "w8a8_fast.h"

// Rows of x straight to lines of int8 codes, and sums straight to y.

// Codes of a row, 64 bytes every `step`; returns their sum. Meanwhile brings the row at `next`.
DLQ_INLINE int32_t
store_codes(const uint32_t DTYPE, const void *x, int64_t count, const struct dlq_w8a8_codes *c,
            const char *next, uint8_t *out, int64_t step)
{
    const int64_t size = DTYPE == DLQ_F32 ? 4 : 2;
    const __m512 factor = _mm512_set1_ps(c->factor);
    const __m512i azp = _mm512_set1_epi32(c->azp);
    const __m512i order = dlq_unpack_order();
    __m512i sums = _mm512_setzero_si512();
    for (int64_t k = 0; k < count; k += 64, out += step) {
        __m512i codes[4];
        DLQ_UNROLL for (int i = 0; i < size; i++)
        {
            _mm_prefetch(next + k * size + 64 * i, _MM_HINT_T0);
        }
        DLQ_UNROLL for (int i = 0; i < 4; i++)
        {
            const __m512 t = _mm512_mul_ps(dlq_load16(x, DTYPE, k + 16 * i), factor);
            codes[i] = _mm512_add_epi32(_mm512_cvtps_epi32(t), azp);
        }
        const __m512i bytes = _mm512_packs_epi16(_mm512_packs_epi32(codes[0], codes[1]),
                                                 _mm512_packs_epi32(codes[2], codes[3]));
        sums = _mm512_dpbusd_epi32(sums, _mm512_set1_epi8(1), bytes);
        _mm512_store_si512(out, _mm512_permutexvar_epi32(order, bytes));
    }
    return _mm512_reduce_add_epi32(sums);
}

static void
zero_codes(int64_t count, uint8_t *out, int64_t step)
{
    for (int64_t k = 0; k < count; k += 64, out += step) {
        _mm512_store_si512(out, _mm512_setzero_si512());
    }
}

// What dlq_w8a8_choose_codes wants to know of a row: with a symmetric code the largest magnitude
// will do.
DLQ_INLINE void
row_range(const uint32_t DTYPE, const struct dlq_k_w8a8 *w, const void *x, float range[2])
{
    if (w->activation != DLQ_K_W8A8_TOKEN) {
        dlq_rows_range_avx2(x, DTYPE, w->k, range);
        return;
    }
    const uint32_t max_bits = dlq_largest_bits(x, DTYPE, w->k);
    range[0] = 0.0f;
    range[1] = max_bits < 0x7f800000u ? dlq_k_f32_from_bits(max_bits) : INFINITY;
}

// Codes of row m into `out`.
DLQ_INLINE struct dlq_w8a8_row
quantize_row(const uint32_t DTYPE, const struct dlq_w8a8_run *run, int64_t m, uint8_t *out,
             int64_t step)
{
    const struct dlq_k_w8a8 *w = run->w;
    const void *x = dlq_call_x(run->call, m);
    float own[2];
    const float *range = own;
    if (run->call->ranges != NULL) {
        range = run->call->ranges + 2 * m;
    } else {
        row_range(DTYPE, w, x, own);
    }
    const struct dlq_w8a8_codes c = dlq_w8a8_choose_codes(w, range[0], range[1]);
    struct dlq_w8a8_row row = {.scale = c.scale, .azp = c.azp};
    if (c.factor == 0.0f) {
        zero_codes(w->k, out, step);
    } else {
        const char *next = dlq_call_x(run->call, m + 1 < run->call->m ? m + 1 : m);
        row.sum = store_codes(DTYPE, x, w->k, &c, next, out, step);
    }
    return row;
}

void
dlq_w8a8_quantize_avx512(const struct dlq_w8a8_run *run, const struct dlq_w8a8_part *part)
{
    const struct dlq_k_w8a8 *w = run->w;
    const struct dlq_k_linear_call *call = run->call;
    // A static scale divides, and quotients may not fit an int32.
    if (run->format != DLQ_W8A8_TILES || w->activation == DLQ_K_W8A8_STATIC ||
        w->k_padded != w->k) {
        dlq_w8a8_quantize_avx2(run, part);
        return;
    }
    const int64_t rows = run->rows;
    const int64_t step = rows * 64;
    for (int64_t i = 0; i < part->n_panels * rows; i++) {
        const int64_t m = part->panel * rows + i;
        uint8_t *out = part->codes + i / rows * run->panel_bytes + i % rows * 64;
        part->row[i] = (struct dlq_w8a8_row){0};
        if (m >= call->m) {
            zero_codes(w->k, out, step);
            continue;
        }
        part->row[i] = call->x_dtype == DLQ_F32   ? quantize_row(DLQ_F32, run, m, out, step)
                       : call->x_dtype == DLQ_F16 ? quantize_row(DLQ_F16, run, m, out, step)
                                                  : quantize_row(DLQ_BF16, run, m, out, step);
    }
}

// What a unit's sums become outputs with.
struct unit_factors {
    __m512i zero[4];  // of the weights, as the kernel has them
    __m512i w_sum[4]; // of w - z
    __m512 scale[4];
    __m512 bias[4];
};

// What dlq_w8a8_correct_avx2, dlq_w8a8_scale_avx2 and dlq_rows_finish_avx2 do, in one pass.
DLQ_INLINE void
store_outputs(const uint32_t DTYPE, const struct dlq_k_linear_call *call, int64_t m0, int64_t n0,
              const struct dlq_w8a8_row *rows, int64_t n_rows, const struct unit_factors *f,
              const int32_t *c)
{
    const bool has_bias = call->bias != NULL;
    for (int64_t r = 0; r < n_rows; r++, c += DLQ_W8A8_UNIT) {
        void *y = dlq_call_y(call, m0 + r);
        const __m512i sum = _mm512_set1_epi32(rows[r].sum);
        const __m512i azp = _mm512_set1_epi32(rows[r].azp);
        const __m512 row_scale = _mm512_set1_ps(rows[r].scale);
        DLQ_UNROLL for (int b = 0; b < 4; b++)
        {
            const __m512i too_much = _mm512_add_epi32(_mm512_mullo_epi32(sum, f->zero[b]),
                                                      _mm512_mullo_epi32(azp, f->w_sum[b]));
            const __m512i exact = _mm512_sub_epi32(_mm512_loadu_si512(c + 16 * b), too_much);
            __m512 v =
                _mm512_mul_ps(_mm512_cvtepi32_ps(exact), _mm512_mul_ps(f->scale[b], row_scale));
            v = has_bias ? _mm512_add_ps(v, f->bias[b]) : v;
            dlq_store16(y, DTYPE, n0 + 16 * b, v);
        }
    }
}

void
dlq_w8a8_outputs_avx512(const struct dlq_w8a8_run *run, const struct dlq_w8a8_part *part,
                        int64_t row, int64_t n_rows, int64_t block, const int32_t *c)
{
    const struct dlq_k_linear_call *call = run->call;
    const struct dlq_w8a8_row *rows = part->row + row;
    const int64_t m0 = part->panel * run->rows + row;
    const int64_t n0 = block * 16;
    n_rows = m0 + n_rows < call->m ? n_rows : call->m - m0;
    c += row * DLQ_W8A8_UNIT;
    struct unit_factors f;
    for (int b = 0; b < 4; b++) {
        const struct dlq_w8a8_tail *tail = dlq_w8a8_tail(run->w, block + b);
        f.zero[b] =
            _mm512_add_epi32(_mm512_loadu_si512(tail->zero), _mm512_set1_epi32(run->offset));
        f.w_sum[b] = _mm512_loadu_si512(tail->sum);
        f.scale[b] = _mm512_loadu_ps(tail->scale);
        float bias[16];
        for (int i = 0; i < 16; i++) {
            bias[i] = dlq_call_bias(call, n0 + 16 * b + i);
        }
        f.bias[b] = _mm512_loadu_ps(bias);
    }
    if (call->y_dtype == DLQ_F32) {
        store_outputs(DLQ_F32, call, m0, n0, rows, n_rows, &f, c);
    } else if (call->y_dtype == DLQ_F16) {
        store_outputs(DLQ_F16, call, m0, n0, rows, n_rows, &f, c);
    } else {
        store_outputs(DLQ_BF16, call, m0, n0, rows, n_rows, &f, c);
    }
}
