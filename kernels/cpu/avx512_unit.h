// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_KERNELS_CPU_AVX512_UNIT_H
#define DLQ_KERNELS_CPU_AVX512_UNIT_H

#include "avx512.h"

/// Panels of up to 6 rows of x times four blocks of weights with dot products of dwords: four int8
/// or two bf16. Weights are as they are packed, a line of 64 bytes a dword of K, x in panels
/// [k / 16 dwords][row][64 bytes]. Never include it where AVX-512 is not compiled for.

enum {
    DLQ_UNIT_ROWS = 6,       // of a panel
    DLQ_UNIT_DEPTH = 128,    // dwords of K that panels share: 32 KiB of four blocks
    DLQ_UNIT_PREFETCH = 2048 // bytes that a panel alone is ahead
};

struct dlq_avx512_unit {
    const uint8_t *weights; ///< First block
    const uint8_t *next;    ///< First of the blocks that are probably used after these
    int64_t block_bytes;
    int n_blocks;
    int64_t steps; ///< Dwords of K, a multiple of 16
    const uint8_t *x;
    int64_t panel_bytes;
    int64_t n_panels;
    int rows;
    uint8_t *c; ///< [n_panels * rows][64] of int32 or fp32
    /// Where not NULL: called with the first row of each panel before its last part of K, and with
    /// `done` when its sums are whole. Needs four blocks.
    void (*outputs)(const void *ctx, int64_t row, bool done);
    const void *ctx;
};

/// A panel times NB blocks for `steps` dwords of K. Also brings weights to the caches: without
/// LINES those that it comes to itself, else so many lines a step of what follows, from `next` on.
DLQ_INLINE void
dlq_avx512_tile(const bool INT8, const int MR, const int NB, const int LINES, int64_t steps,
                const uint8_t *x, const uint8_t *w, int64_t stride, const uint8_t *next, bool first,
                uint8_t *c)
{
    __m512i acc[DLQ_UNIT_ROWS][4]; // bits of fp32 without INT8
    DLQ_UNROLL for (int m = 0; m < MR; m++)
    {
        DLQ_UNROLL for (int b = 0; b < NB; b++)
        {
            acc[m][b] = first ? _mm512_setzero_si512() : _mm512_load_si512(c + m * 256 + b * 64);
        }
    }
    for (int64_t s = 0; s < steps; s += 16, x += 64 * (MR - 1)) {
        for (int i = 0; i < 16; i++, x += 4, w += 64, next += 64) {
            __m512i line[4];
            DLQ_UNROLL for (int j = 0; j < LINES; j++)
            {
                _mm_prefetch((const char *)(next + j * stride), _MM_HINT_T1);
            }
            DLQ_UNROLL for (int b = 0; b < NB; b++)
            {
                if (LINES == 0) {
                    _mm_prefetch((const char *)(w + b * stride + DLQ_UNIT_PREFETCH), _MM_HINT_T0);
                }
                line[b] = _mm512_load_si512(w + b * stride);
            }
            DLQ_UNROLL for (int m = 0; m < MR; m++)
            {
                __m512i v;
                DLQ_BROADCAST(v, x + 64 * m);
                DLQ_UNROLL for (int b = 0; b < NB; b++)
                {
                    if (INT8) {
                        DLQ_DPBUSD(acc[m][b], line[b], v);
                    } else {
                        DLQ_DPBF16(acc[m][b], line[b], v);
                    }
                }
            }
        }
    }
    DLQ_UNROLL for (int m = 0; m < MR; m++)
    {
        DLQ_UNROLL for (int b = 0; b < NB; b++)
        {
            _mm512_store_si512(c + m * 256 + b * 64, acc[m][b]);
        }
    }
}

typedef void (*dlq_avx512_tile_fn)(int64_t steps, const uint8_t *x, const uint8_t *w,
                                   int64_t stride, const uint8_t *next, bool first, uint8_t *c);

/// Tiles by rows less one, then lines; of one block by rows less one.
struct dlq_avx512_tiles {
    dlq_avx512_tile_fn wide[DLQ_UNIT_ROWS][3];
    dlq_avx512_tile_fn narrow[DLQ_UNIT_ROWS];
};

#define DLQ_AVX512_TILE(INT8, MR, NB, LINES)                                                       \
    static __attribute__((noinline)) void tile_##MR##_##NB##_##LINES(                              \
        int64_t steps, const uint8_t *x, const uint8_t *w, int64_t stride, const uint8_t *next,    \
        bool first, uint8_t *c)                                                                    \
    {                                                                                              \
        dlq_avx512_tile(INT8, MR, NB, LINES, steps, x, w, stride, next, first, c);                 \
    }
#define DLQ_AVX512_TILES_OF(INT8, MR)                                                              \
    DLQ_AVX512_TILE(INT8, MR, 1, 0)                                                                \
    DLQ_AVX512_TILE(INT8, MR, 4, 0)                                                                \
    DLQ_AVX512_TILE(INT8, MR, 4, 1) DLQ_AVX512_TILE(INT8, MR, 4, 2)
#define DLQ_AVX512_WIDE(MR)                                                                        \
    {                                                                                              \
        tile_##MR##_4_0, tile_##MR##_4_1, tile_##MR##_4_2                                          \
    }
/// Defines `tiles` of a file: of int8, or of bf16.
#define DLQ_AVX512_TILES(INT8)                                                                     \
    DLQ_AVX512_TILES_OF(INT8, 1)                                                                   \
    DLQ_AVX512_TILES_OF(INT8, 2)                                                                   \
    DLQ_AVX512_TILES_OF(INT8, 3)                                                                   \
    DLQ_AVX512_TILES_OF(INT8, 4)                                                                   \
    DLQ_AVX512_TILES_OF(INT8, 5)                                                                   \
    DLQ_AVX512_TILES_OF(INT8, 6)                                                                   \
    static const struct dlq_avx512_tiles tiles = {                                                 \
        {DLQ_AVX512_WIDE(1), DLQ_AVX512_WIDE(2), DLQ_AVX512_WIDE(3), DLQ_AVX512_WIDE(4),           \
         DLQ_AVX512_WIDE(5), DLQ_AVX512_WIDE(6)},                                                  \
        {tile_1_1_0, tile_2_1_0, tile_3_1_0, tile_4_1_0, tile_5_1_0, tile_6_1_0}}

/// The sums of a unit.
static inline void
dlq_avx512_unit_run(const struct dlq_avx512_tiles *tiles, const struct dlq_avx512_unit *u)
{
    const int step = u->n_blocks == 4 ? 4 : 1;
    const int lines = dlq_lines_ahead(u->n_panels);
    const int64_t depth = lines == 0 ? u->steps : DLQ_UNIT_DEPTH;
    const dlq_avx512_tile_fn fn =
        step == 4 ? tiles->wide[u->rows - 1][lines] : tiles->narrow[u->rows - 1];
    for (int b = 0; b < u->n_blocks; b += step) {
        const uint8_t *weights = u->weights + b * u->block_bytes;
        const uint8_t *after = b + step < u->n_blocks ? weights + step * u->block_bytes : u->next;
        for (int64_t s = 0; s < u->steps; s += depth) {
            const int64_t left = u->steps - s;
            const uint8_t *next = left > depth ? weights + (s + depth) * 64 : after;
            const bool last = left <= depth && u->outputs != NULL;
            for (int64_t p = 0; p < u->n_panels; p++) {
                if (last) {
                    u->outputs(u->ctx, p * u->rows, false);
                }
                fn(left < depth ? left : depth, u->x + p * u->panel_bytes + s * 4 * u->rows,
                   weights + s * 64, u->block_bytes, next + p * lines % step * u->block_bytes,
                   s == 0, u->c + p * u->rows * 256 + b * 64);
                if (last) {
                    u->outputs(u->ctx, p * u->rows, true);
                }
            }
        }
    }
}

#endif // DLQ_KERNELS_CPU_AVX512_UNIT_H
