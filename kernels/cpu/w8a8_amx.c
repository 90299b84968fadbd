// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "amx.h"
#include "w8a8_fast.h"

#include <immintrin.h>

// AMX int8: packed bytes are B tiles as they lie in memory. Two panels of 16 rows times two blocks:
//
//               block 0   block 1            A tiles: tmm4, tmm5 = panels 0, 1
//     panel 0   tmm0      tmm1               B tiles: tmm6, tmm7 = blocks 0, 1
//     panel 1   tmm2      tmm3
//
// or one panel times four blocks, which reads each weight once.

enum { PANEL = 16, MIN_ROWS = 5, PREFETCH = 4096 };

static void
prefetch_tile(const uint8_t *p)
{
    for (int i = 0; i < 1024; i += 64) {
        _mm_prefetch((const char *)p + PREFETCH + i, _MM_HINT_T0);
    }
}

// Two panels times two blocks over all of K. A missing panel or block repeats the other.
static void
two_by_two(int64_t k_padded, const uint8_t *a0, const uint8_t *a1, const uint8_t *b0,
           const uint8_t *b1)
{
    DLQ_TILE_ZERO(0);
    DLQ_TILE_ZERO(1);
    DLQ_TILE_ZERO(2);
    DLQ_TILE_ZERO(3);
    for (int64_t k = 0; k < k_padded; k += 64) {
        DLQ_TILE_LOAD(6, b0 + k * 16, 64);
        DLQ_TILE_LOAD(4, a0 + k * PANEL, 64);
        DLQ_TILE_DPBSUD(0, 4, 6);
        DLQ_TILE_LOAD(7, b1 + k * 16, 64);
        DLQ_TILE_DPBSUD(1, 4, 7);
        DLQ_TILE_LOAD(5, a1 + k * PANEL, 64);
        DLQ_TILE_DPBSUD(2, 5, 6);
        DLQ_TILE_DPBSUD(3, 5, 7);
    }
}

// One panel times four blocks.
static void
one_by_four(int64_t k_padded, const uint8_t *a, const uint8_t *const b[4])
{
    DLQ_TILE_ZERO(0);
    DLQ_TILE_ZERO(1);
    DLQ_TILE_ZERO(2);
    DLQ_TILE_ZERO(3);
    for (int64_t k = 0; k < k_padded; k += 64) {
        for (int i = 0; i < 4; i++) {
            prefetch_tile(b[i] + k * 16);
        }
        DLQ_TILE_LOAD(4, a + k * PANEL, 64);
        DLQ_TILE_LOAD(5, b[0] + k * 16, 64);
        DLQ_TILE_DPBSUD(0, 4, 5);
        DLQ_TILE_LOAD(6, b[1] + k * 16, 64);
        DLQ_TILE_DPBSUD(1, 4, 6);
        DLQ_TILE_LOAD(7, b[2] + k * 16, 64);
        DLQ_TILE_DPBSUD(2, 4, 7);
        DLQ_TILE_LOAD(5, b[3] + k * 16, 64);
        DLQ_TILE_DPBSUD(3, 4, 5);
    }
}

static void
product(const struct dlq_w8a8_run *run, const struct dlq_w8a8_part *part, int64_t block,
        int n_blocks, int32_t *c)
{
    enum { STRIDE = DLQ_W8A8_UNIT * 4 };
    const struct dlq_k_w8a8 *w = run->w;
    struct dlq_tile_config config = {.palette = 1};
    for (int t = 0; t < 8; t++) {
        config.colsb[t] = 64;
        config.rows[t] = 16;
    }
    const uint8_t *b[4];
    for (int i = 0; i < 4; i++) {
        b[i] = dlq_w8a8_codes(w, block + (i < n_blocks ? i : 0));
    }
    dlq_tile_configure(&config);
    const uint8_t *a = part->codes;
    if (part->n_panels == 1) {
        one_by_four(w->k_padded, a, b);
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
            int32_t *to = c + p * PANEL * DLQ_W8A8_UNIT + pair * 16;
            two_by_two(w->k_padded, a + p * run->panel_bytes,
                       a + (both ? p + 1 : p) * run->panel_bytes, b[pair], b[pair + 1]);
            DLQ_TILE_STORE(0, to, STRIDE);
            DLQ_TILE_STORE(1, to + 16, STRIDE);
            if (both) {
                DLQ_TILE_STORE(2, to + PANEL * DLQ_W8A8_UNIT, STRIDE);
                DLQ_TILE_STORE(3, to + PANEL * DLQ_W8A8_UNIT + 16, STRIDE);
            }
        }
    }
    dlq_tile_release();
}

static void
choose(int64_t m, struct dlq_w8a8_run *run)
{
    if (m < MIN_ROWS) {
        dlq_w8a8_choose_avx512_vnni(m, run);
        return;
    }
    run->format = DLQ_W8A8_TILES;
    run->rows = PANEL;
    run->offset = 128;
    run->chunk = DLQ_W8A8_CHUNK_ROWS / PANEL;
    run->quantize = dlq_w8a8_quantize_avx512;
    run->product = product;
}

DLQ_W8A8_LEVEL(amx_int8, choose)
