// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "amx.h"
#include "dense_bf16.h"

#include <immintrin.h>

// AMX bf16: packed weights are B tiles as they lie in memory. Two panels of 16 rows times two
// blocks:
//
//               block 0   block 1            A tiles: tmm4, tmm5 = panels 0, 1
//     panel 0   tmm0      tmm1               B tiles: tmm6, tmm7 = blocks 0, 1
//     panel 1   tmm2      tmm3
//
// or one panel times four blocks, which reads each weight once.

enum { PANEL = 16, TILE = 512, PREFETCH = 4096 }; // TILE: elements

static void
prefetch_tile(const uint16_t *p)
{
    for (int i = 0; i < 1024; i += 64) {
        _mm_prefetch((const char *)p + PREFETCH + i, _MM_HINT_T0);
    }
}

static void
two_by_two(int64_t steps, const uint16_t *a0, const uint16_t *a1, const uint16_t *b0,
           const uint16_t *b1)
{
    DLQ_TILE_ZERO(0);
    DLQ_TILE_ZERO(1);
    DLQ_TILE_ZERO(2);
    DLQ_TILE_ZERO(3);
    for (int64_t i = 0; i < steps; i++) {
        DLQ_TILE_LOAD(6, b0 + i * TILE, 64);
        DLQ_TILE_LOAD(4, a0 + i * TILE, 64);
        DLQ_TILE_DPBF16PS(0, 4, 6);
        DLQ_TILE_LOAD(7, b1 + i * TILE, 64);
        DLQ_TILE_DPBF16PS(1, 4, 7);
        DLQ_TILE_LOAD(5, a1 + i * TILE, 64);
        DLQ_TILE_DPBF16PS(2, 5, 6);
        DLQ_TILE_DPBF16PS(3, 5, 7);
    }
}

static void
one_by_four(int64_t steps, const uint16_t *a, const uint16_t *const b[4])
{
    DLQ_TILE_ZERO(0);
    DLQ_TILE_ZERO(1);
    DLQ_TILE_ZERO(2);
    DLQ_TILE_ZERO(3);
    for (int64_t i = 0; i < steps; i++) {
        for (int j = 0; j < 4; j++) {
            prefetch_tile(b[j] + i * TILE);
        }
        DLQ_TILE_LOAD(4, a + i * TILE, 64);
        DLQ_TILE_LOAD(5, b[0] + i * TILE, 64);
        DLQ_TILE_DPBF16PS(0, 4, 5);
        DLQ_TILE_LOAD(6, b[1] + i * TILE, 64);
        DLQ_TILE_DPBF16PS(1, 4, 6);
        DLQ_TILE_LOAD(7, b[2] + i * TILE, 64);
        DLQ_TILE_DPBF16PS(2, 4, 7);
        DLQ_TILE_LOAD(5, b[3] + i * TILE, 64);
        DLQ_TILE_DPBF16PS(3, 4, 5);
    }
}

static void
product(const struct dlq_bf16_run *run, const struct dlq_bf16_part *part, int64_t block,
        int n_blocks, float *c)
{
    enum { STRIDE = DLQ_BF16_UNIT * 4 };
    const struct dlq_k_dense *w = run->w;
    const int64_t steps = w->k_padded / 32;
    struct dlq_tile_config config = {.palette = 1};
    for (int t = 0; t < 8; t++) {
        config.colsb[t] = 64;
        config.rows[t] = 16;
    }
    // A missing block repeats the first; its sums are not used.
    const uint16_t *b[4];
    for (int i = 0; i < 4; i++) {
        b[i] = (const uint16_t *)(const void *)(w->data +
                                                (block + (i < n_blocks ? i : 0)) * w->block_bytes);
    }
    const uint16_t *a = part->x;
    dlq_tile_configure(&config);
    if (part->n_panels == 1) {
        one_by_four(steps, a, b);
        DLQ_TILE_STORE(0, c, STRIDE);
        DLQ_TILE_STORE(1, c + 16, STRIDE);
        DLQ_TILE_STORE(2, c + 32, STRIDE);
        DLQ_TILE_STORE(3, c + 48, STRIDE);
        dlq_tile_release();
        return;
    }
    for (int pair = 0; pair < n_blocks; pair += 2) {
        for (int64_t p = 0; p < part->n_panels; p += 2) {
            const bool both = p + 1 < part->n_panels;
            float *to = c + p * PANEL * DLQ_BF16_UNIT + pair * 16;
            const uint16_t *a0 = a + p * w->k_padded * PANEL;
            two_by_two(steps, a0, both ? a0 + w->k_padded * PANEL : a0, b[pair], b[pair + 1]);
            DLQ_TILE_STORE(0, to, STRIDE);
            DLQ_TILE_STORE(1, to + 16, STRIDE);
            if (both) {
                DLQ_TILE_STORE(2, to + PANEL * DLQ_BF16_UNIT, STRIDE);
                DLQ_TILE_STORE(3, to + PANEL * DLQ_BF16_UNIT + 16, STRIDE);
            }
        }
    }
    dlq_tile_release();
}

void
dlq_bf16_choose_amx(int64_t m, struct dlq_bf16_run *run)
{
    (void)m;
    run->tiles = true;
    run->rows = PANEL;
    run->chunk = DLQ_BF16_CHUNK_ROWS / PANEL;
    run->product = product;
}
