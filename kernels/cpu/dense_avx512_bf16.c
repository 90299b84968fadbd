// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "avx512.h"
#include "dense_bf16.h"

// vdpbf16ps: one lane is a column and two rows of K.

enum { MAX_ROWS = 6, DEPTH = 256, PREFETCH = 2048 }; // DEPTH rows of K of a unit are 32 KiB

#define DPBF16(c, w, a) __asm__ volatile("vdpbf16ps %2, %1, %0" : "+v"(c) : "v"(w), "v"(a))

// Also brings weights to the caches: without LINES those that it comes to itself, else so many
// lines a step of what follows, from `next` on.
DLQ_INLINE void
tile(const int MR, const int NB, const int LINES, int64_t count, const uint16_t *a,
     const uint8_t *w, int64_t stride, const uint8_t *next, bool first, float *c)
{
    __m512 acc[MAX_ROWS][4];
    DLQ_UNROLL for (int m = 0; m < MR; m++)
    {
        DLQ_UNROLL for (int b = 0; b < NB; b++)
        {
            acc[m][b] =
                first ? _mm512_setzero_ps() : _mm512_load_ps(c + m * DLQ_BF16_UNIT + b * 16);
        }
    }
    for (int64_t k = 0; k < count; k += 2, a += 2 * MR, w += 64, next += 64) {
        __m512i line[4];
        DLQ_UNROLL for (int i = 0; i < LINES; i++)
        {
            _mm_prefetch((const char *)(next + i * stride), _MM_HINT_T1);
        }
        DLQ_UNROLL for (int b = 0; b < NB; b++)
        {
            if (LINES == 0) {
                _mm_prefetch((const char *)(w + b * stride + PREFETCH), _MM_HINT_T0);
            }
            line[b] = _mm512_load_si512(w + b * stride);
        }
        DLQ_UNROLL for (int m = 0; m < MR; m++)
        {
            __m512i x;
            DLQ_BROADCAST(x, a + 2 * m);
            DLQ_UNROLL for (int b = 0; b < NB; b++)
            {
                DPBF16(acc[m][b], line[b], x);
            }
        }
    }
    DLQ_UNROLL for (int m = 0; m < MR; m++)
    {
        DLQ_UNROLL for (int b = 0; b < NB; b++)
        {
            _mm512_store_ps(c + m * DLQ_BF16_UNIT + b * 16, acc[m][b]);
        }
    }
}

typedef void (*tile_fn)(int64_t count, const uint16_t *a, const uint8_t *w, int64_t stride,
                        const uint8_t *next, bool first, float *c);
#define TILE(MR, NB, LINES)                                                                        \
    static __attribute__((noinline)) void tile_##MR##_##NB##_##LINES(                              \
        int64_t count, const uint16_t *a, const uint8_t *w, int64_t stride, const uint8_t *next,   \
        bool first, float *c)                                                                      \
    {                                                                                              \
        tile(MR, NB, LINES, count, a, w, stride, next, first, c);                                  \
    }
#define TILES(MR) TILE(MR, 1, 0) TILE(MR, 4, 0) TILE(MR, 4, 1) TILE(MR, 4, 2)
TILES(1)
TILES(2)
TILES(3)
TILES(4)
TILES(5)
TILES(6)
#define ROW(MR)                                                                                    \
    {                                                                                              \
        tile_##MR##_4_0, tile_##MR##_4_1, tile_##MR##_4_2                                          \
    }
static const tile_fn wide_tiles[MAX_ROWS][3] = {ROW(1), ROW(2), ROW(3), ROW(4), ROW(5), ROW(6)};
static const tile_fn narrow_tiles[MAX_ROWS] = {tile_1_1_0, tile_2_1_0, tile_3_1_0,
                                               tile_4_1_0, tile_5_1_0, tile_6_1_0};

static void
product(const struct dlq_bf16_run *run, const struct dlq_bf16_part *part, int64_t block,
        int n_blocks, float *c)
{
    const struct dlq_k_dense *w = run->w;
    const int step = n_blocks == 4 ? 4 : 1;
    const int lines = dlq_lines_ahead(part->n_panels);
    const int64_t depth = lines == 0 ? w->k_padded : DEPTH;
    const tile_fn fn = step == 4 ? wide_tiles[run->rows - 1][lines] : narrow_tiles[run->rows - 1];
    for (int b = 0; b < n_blocks; b += step) {
        const uint8_t *weights = w->data + (block + b) * w->block_bytes;
        for (int64_t k = 0; k < w->k_padded; k += depth) {
            const int64_t left = w->k_padded - k;
            const uint8_t *next =
                left > depth ? weights + (k + depth) * 32 : weights + step * w->block_bytes;
            for (int64_t p = 0; p < part->n_panels; p++) {
                const uint16_t *a = part->x + (p * w->k_padded + k) * run->rows;
                fn(left < depth ? left : depth, a, weights + k * 32, w->block_bytes,
                   next + p * lines % step * w->block_bytes, k == 0,
                   c + p * run->rows * DLQ_BF16_UNIT + b * 16);
            }
        }
    }
}

void
dlq_bf16_choose_avx512(int64_t m, struct dlq_bf16_run *run)
{
    run->rows = dlq_panel_rows(m, MAX_ROWS);
    run->chunk = 96 / run->rows;
    run->product = product;
}
