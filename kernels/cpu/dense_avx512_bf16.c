// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "avx512.h"
#include "dense_bf16.h"

// vdpbf16ps: one lane is a column and two rows of K.

enum { MAX_ROWS = 6, DEPTH = 256, PREFETCH = 2048 }; // DEPTH rows of K of a unit are 32 KiB

#define DPBF16(c, w, a) __asm__ volatile("vdpbf16ps %2, %1, %0" : "+v"(c) : "v"(w), "v"(a))

DLQ_INLINE void
tile(const int MR, const int NB, int64_t count, const uint16_t *a, const uint8_t *w, int64_t stride,
     bool first, float *c)
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
    for (int64_t k = 0; k < count; k += 2, a += 2 * MR, w += 64) {
        __m512i line[4];
        DLQ_UNROLL for (int b = 0; b < NB; b++)
        {
            _mm_prefetch((const char *)(w + b * stride + PREFETCH), _MM_HINT_T0);
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
                        bool first, float *c);
#define TILE(MR, NB)                                                                               \
    static __attribute__((noinline)) void tile_##MR##_##NB(                                        \
        int64_t count, const uint16_t *a, const uint8_t *w, int64_t stride, bool first, float *c)  \
    {                                                                                              \
        tile(MR, NB, count, a, w, stride, first, c);                                               \
    }
#define TILES(MR) TILE(MR, 1) TILE(MR, 4)
TILES(1)
TILES(2)
TILES(3)
TILES(4)
TILES(5)
TILES(6)
static const tile_fn tiles[MAX_ROWS][2] = {{tile_1_1, tile_1_4}, {tile_2_1, tile_2_4},
                                           {tile_3_1, tile_3_4}, {tile_4_1, tile_4_4},
                                           {tile_5_1, tile_5_4}, {tile_6_1, tile_6_4}};

static void
product(const struct dlq_bf16_run *run, const struct dlq_bf16_part *part, int64_t block,
        int n_blocks, float *c)
{
    const struct dlq_k_dense *w = run->w;
    const int step = n_blocks == 4 ? 4 : 1;
    const tile_fn fn = tiles[run->rows - 1][step == 4];
    const int64_t depth = part->n_panels == 1 ? w->k_padded : DEPTH;
    for (int b = 0; b < n_blocks; b += step) {
        const uint8_t *lines = w->data + (block + b) * w->block_bytes;
        for (int64_t k = 0; k < w->k_padded; k += depth) {
            const int64_t left = w->k_padded - k;
            for (int64_t p = 0; p < part->n_panels; p++) {
                const uint16_t *a = part->x + (p * w->k_padded + k) * run->rows;
                fn(left < depth ? left : depth, a, lines + k * 32, w->block_bytes, k == 0,
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
