// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "avx512.h"
#include "w8a8_fast.h"

// AVX-512 VNNI: packed bytes as they are against broadcast codes of x.

enum { MAX_ROWS = 6, DEPTH = 512, PREFETCH = 2048 }; // DEPTH rows of K of a unit are 32 KiB

// Also brings weights to the caches: without LINES those that it comes to itself, else so many
// lines a step of what follows, from `next` on.
DLQ_INLINE void
tile(const int MR, const int NB, const int LINES, int64_t count, const uint8_t *a, const uint8_t *w,
     int64_t stride, const uint8_t *next, bool first, int32_t *c)
{
    __m512i acc[MAX_ROWS][4];
    DLQ_UNROLL for (int m = 0; m < MR; m++)
    {
        DLQ_UNROLL for (int b = 0; b < NB; b++)
        {
            acc[m][b] =
                first ? _mm512_setzero_si512() : _mm512_load_si512(c + m * DLQ_W8A8_UNIT + b * 16);
        }
    }
    for (int64_t k = 0; k < count; k += 4, a += 4 * MR, w += 64, next += 64) {
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
            DLQ_BROADCAST(x, a + 4 * m);
            DLQ_UNROLL for (int b = 0; b < NB; b++)
            {
                DLQ_DPBUSD(acc[m][b], line[b], x);
            }
        }
    }
    DLQ_UNROLL for (int m = 0; m < MR; m++)
    {
        DLQ_UNROLL for (int b = 0; b < NB; b++)
        {
            _mm512_store_si512(c + m * DLQ_W8A8_UNIT + b * 16, acc[m][b]);
        }
    }
}

typedef void (*tile_fn)(int64_t count, const uint8_t *a, const uint8_t *w, int64_t stride,
                        const uint8_t *next, bool first, int32_t *c);
#define TILE(MR, NB, LINES)                                                                        \
    static __attribute__((noinline)) void tile_##MR##_##NB##_##LINES(                              \
        int64_t count, const uint8_t *a, const uint8_t *w, int64_t stride, const uint8_t *next,    \
        bool first, int32_t *c)                                                                    \
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
product(const struct dlq_w8a8_run *run, const struct dlq_w8a8_part *part, int64_t block,
        int n_blocks, int32_t *c)
{
    const struct dlq_k_w8a8 *w = run->w;
    const int step = n_blocks == 4 ? 4 : 1;
    const int lines = dlq_lines_ahead(part->n_panels);
    const int64_t depth = lines == 0 ? w->k_padded : DEPTH;
    const tile_fn fn = step == 4 ? wide_tiles[run->rows - 1][lines] : narrow_tiles[run->rows - 1];
    for (int b = 0; b < n_blocks; b += step) {
        const uint8_t *codes = dlq_w8a8_codes(w, block + b);
        for (int64_t k = 0; k < w->k_padded; k += depth) {
            const int64_t left = w->k_padded - k;
            const uint8_t *next =
                left > depth ? codes + (k + depth) * 16 : codes + step * w->block_bytes;
            for (int64_t p = 0; p < part->n_panels; p++) {
                const uint8_t *a = part->codes + p * run->panel_bytes + k * run->rows;
                fn(left < depth ? left : depth, a, codes + k * 16, w->block_bytes,
                   next + p * lines % step * w->block_bytes, k == 0,
                   c + p * run->rows * DLQ_W8A8_UNIT + b * 16);
            }
        }
    }
}

void
dlq_w8a8_choose_avx512_vnni(int64_t m, struct dlq_w8a8_run *run)
{
    run->format = DLQ_W8A8_BYTES;
    run->rows = dlq_panel_rows(m, MAX_ROWS);
    run->offset = 128;
    run->chunk = 96 / run->rows;
    run->quantize = dlq_w8a8_quantize_avx2;
    run->product = product;
}

DLQ_W8A8_LEVEL(avx512_vnni, dlq_w8a8_choose_avx512_vnni)
