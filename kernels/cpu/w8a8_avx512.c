// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "avx512.h"
#include "w8a8_fast.h"

// AVX-512 VNNI: packed bytes as they are against broadcast codes of x.

enum { MAX_ROWS = 6, DEPTH = 512, PREFETCH = 2048 }; // DEPTH rows of K of a unit are 32 KiB

DLQ_INLINE void
tile(const int MR, const int NB, int64_t count, const uint8_t *a, const uint8_t *w, int64_t stride,
     bool first, int32_t *c)
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
    for (int64_t k = 0; k < count; k += 4, a += 4 * MR, w += 64) {
        __m512i line[4];
        DLQ_UNROLL for (int b = 0; b < NB; b++)
        {
            _mm_prefetch((const char *)(w + b * stride + PREFETCH), _MM_HINT_T0);
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
                        bool first, int32_t *c);
#define TILE(MR, NB)                                                                               \
    static __attribute__((noinline)) void tile_##MR##_##NB(                                        \
        int64_t count, const uint8_t *a, const uint8_t *w, int64_t stride, bool first, int32_t *c) \
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
product(const struct dlq_w8a8_run *run, const struct dlq_w8a8_part *part, int64_t block,
        int n_blocks, int32_t *c)
{
    const struct dlq_k_w8a8 *w = run->w;
    const int step = n_blocks == 4 ? 4 : 1;
    const tile_fn fn = tiles[run->rows - 1][step == 4];
    // One panel streams the weights whole; several share a part of K that stays in L1.
    const int64_t depth = part->n_panels == 1 ? w->k_padded : DEPTH;
    for (int b = 0; b < n_blocks; b += step) {
        const uint8_t *codes = dlq_w8a8_codes(w, block + b);
        for (int64_t k = 0; k < w->k_padded; k += depth) {
            const int64_t left = w->k_padded - k;
            for (int64_t p = 0; p < part->n_panels; p++) {
                const uint8_t *a = part->codes + p * run->panel_bytes + k * run->rows;
                fn(left < depth ? left : depth, a, codes + k * 16, w->block_bytes, k == 0,
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

static const struct dlq_w8a8_level level = {"avx512_vnni", dlq_w8a8_choose_avx512_vnni};

static int64_t
workspace_size(const struct dlq_k_w8a8 *w, int64_t max_m, int n_threads)
{
    return dlq_w8a8_fast_workspace(&level, w, max_m, n_threads);
}

static int
apply(const struct dlq_k_w8a8 *w, const struct dlq_k_linear_call *call)
{
    return dlq_w8a8_fast_run(&level, w, call, NULL);
}

static int
accumulate(const struct dlq_k_w8a8 *w, const struct dlq_k_linear_call *call, int32_t *sums)
{
    return dlq_w8a8_fast_run(&level, w, call, sums);
}

void
dlq_w8a8_init_avx512_vnni(struct dlq_k_w8a8_ops *ops)
{
    *ops = (struct dlq_k_w8a8_ops){level.name, workspace_size, apply, accumulate,
                                   dlq_w8a8_fast_finish};
}
