// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "rows.h"
#include "w8a8_fast.h"

#include <arm_neon.h>

// Arm with sdot: packed bytes, made signed, against broadcast codes of x. A quarter of a line is
// four columns by four rows of K.

#define DLQ_INLINE static inline __attribute__((always_inline))
#define DLQ_UNROLL _Pragma("GCC unroll 16")

enum {
    MAX_ROWS = 4,
    CHUNK_ROWS = 64 // rows that pass through a block's weights while they are in L1
};

static void
quantize_row(const struct dlq_w8a8_run *run, int64_t m, float *x, struct dlq_w8a8_row *row)
{
    const struct dlq_k_w8a8 *w = run->w;
    int8_t *q = (int8_t *)x; // codes are written over the values that they are made from
    *row = (struct dlq_w8a8_row){0};
    if (m >= run->call->m) {
        memset(q, 0, (size_t)w->k_padded);
        return;
    }
    float own[2];
    const float *range = own;
    if (run->call->ranges != NULL) {
        range = run->call->ranges + 2 * m;
    } else {
        dlq_rows_range_neon(dlq_call_x(run->call, m), run->call->x_dtype, w->k, own);
    }
    const struct dlq_w8a8_codes c = dlq_w8a8_choose_codes(w, range[0], range[1]);
    *row = (struct dlq_w8a8_row){.scale = c.scale, .azp = c.azp};
    if (c.factor == 0.0f) {
        memset(q, 0, (size_t)w->k_padded);
        return;
    }
    dlq_rows_widen_neon(dlq_call_x(run->call, m), run->call->x_dtype, w->k, x);
    for (int64_t k = 0; k < w->k; k++) {
        const float t = c.divide ? x[k] / c.factor : x[k] * c.factor;
        const float s = fmaxf(fminf(rintf(t) + (float)c.azp, 127.0f), -128.0f);
        q[k] = (int8_t)s;
        row->sum += q[k];
    }
    memset(q + w->k, 0, (size_t)(w->k_padded - w->k));
}

static void
quantize(const struct dlq_w8a8_run *run, const struct dlq_w8a8_part *part)
{
    for (int64_t i = 0; i < part->n_panels * run->rows; i++) {
        quantize_row(run, part->panel * run->rows + i, part->buffer, &part->row[i]);
        uint8_t *out = part->codes + i / run->rows * run->panel_bytes + i % run->rows * 4;
        const uint8_t *q = (const uint8_t *)part->buffer;
        for (int64_t k = 0; k < run->w->k_padded; k += 4, out += 4 * run->rows) {
            memcpy(out, q + k, 4);
        }
    }
}

void
dlq_w8a8_correct_neon(const struct dlq_w8a8_run *run, const struct dlq_w8a8_row *rows,
                      int64_t n_rows, int64_t block, int n_blocks, int32_t *c)
{
    const int32x4_t offset = vdupq_n_s32(run->offset);
    for (int b = 0; b < n_blocks; b++) {
        const struct dlq_w8a8_tail *tail = dlq_w8a8_tail(run->w, block + b);
        for (int64_t r = 0; r < n_rows; r++) {
            for (int q = 0; q < 16; q += 4) {
                int32_t *at = c + r * DLQ_W8A8_UNIT + b * 16 + q;
                const int32x4_t zero = vaddq_s32(vld1q_s32(tail->zero + q), offset);
                int32x4_t sum = vmlsq_n_s32(vld1q_s32(at), zero, rows[r].sum);
                sum = vmlsq_n_s32(sum, vld1q_s32(tail->sum + q), rows[r].azp);
                vst1q_s32(at, sum);
            }
        }
    }
}

void
dlq_w8a8_scale_neon(const struct dlq_k_w8a8 *w, const struct dlq_w8a8_row *rows, int64_t n_rows,
                    int64_t block, int n_blocks, int32_t *c)
{
    for (int b = 0; b < n_blocks; b++) {
        const struct dlq_w8a8_tail *tail = dlq_w8a8_tail(w, block + b);
        for (int64_t r = 0; r < n_rows; r++) {
            for (int q = 0; q < 16; q += 4) {
                int32_t *at = c + r * DLQ_W8A8_UNIT + b * 16 + q;
                const float32x4_t scale = vmulq_n_f32(vld1q_f32(tail->scale + q), rows[r].scale);
                const float32x4_t v = vmulq_f32(vcvtq_f32_s32(vld1q_s32(at)), scale);
                vst1q_s32(at, vreinterpretq_s32_f32(v));
            }
        }
    }
}

// One panel of MR rows times one block, to c[MR][64].
DLQ_INLINE void
tile(const int MR, int64_t k_padded, const uint8_t *a, const uint8_t *w, int32_t *c)
{
    int32x4_t acc[MAX_ROWS][4];
    DLQ_UNROLL for (int i = 0; i < MR * 4; i++)
    {
        acc[i / 4][i % 4] = vdupq_n_s32(0);
    }
    for (int64_t k = 0; k < k_padded; k += 4, a += 4 * MR, w += 64) {
        int8x16_t x[MAX_ROWS];
        DLQ_UNROLL for (int m = 0; m < MR; m++)
        {
            x[m] = vreinterpretq_s8_s32(vld1q_dup_s32((const int32_t *)(const void *)a + m));
        }
        DLQ_UNROLL for (int q = 0; q < 4; q++)
        {
            const int8x16_t codes =
                vreinterpretq_s8_u8(veorq_u8(vld1q_u8(w + 16 * q), vdupq_n_u8(128)));
            DLQ_UNROLL for (int m = 0; m < MR; m++)
            {
                acc[m][q] = vdotq_s32(acc[m][q], codes, x[m]);
            }
        }
    }
    DLQ_UNROLL for (int i = 0; i < MR * 4; i++)
    {
        vst1q_s32(c + i / 4 * DLQ_W8A8_UNIT + i % 4 * 4, acc[i / 4][i % 4]);
    }
}

typedef void (*tile_fn)(int64_t k_padded, const uint8_t *a, const uint8_t *w, int32_t *c);
#define TILE(MR)                                                                                   \
    static void tile_##MR(int64_t k_padded, const uint8_t *a, const uint8_t *w, int32_t *c)        \
    {                                                                                              \
        tile(MR, k_padded, a, w, c);                                                               \
    }
TILE(1)
TILE(2)
TILE(3)
TILE(4)
static const tile_fn tiles[MAX_ROWS] = {tile_1, tile_2, tile_3, tile_4};

static void
product(const struct dlq_w8a8_run *run, const struct dlq_w8a8_part *part, int64_t block,
        int n_blocks, int32_t *c)
{
    for (int b = 0; b < n_blocks; b++) {
        for (int64_t p = 0; p < part->n_panels; p++) {
            tiles[run->rows - 1](run->w->k_padded, part->codes + p * run->panel_bytes,
                                 dlq_w8a8_codes(run->w, block + b),
                                 c + p * run->rows * DLQ_W8A8_UNIT + b * 16);
        }
    }
}

static void
choose(int64_t m, struct dlq_w8a8_run *run)
{
    run->format = DLQ_W8A8_BYTES;
    run->rows = m < MAX_ROWS ? (int)m : MAX_ROWS;
    run->offset = 0;
    run->chunk = CHUNK_ROWS / run->rows;
    run->quantize = quantize;
    run->product = product;
}

DLQ_W8A8_LEVEL(neon_dotprod, choose)
