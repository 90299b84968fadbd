// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_KERNELS_CPU_AMX_UNIT_H
#define DLQ_KERNELS_CPU_AMX_UNIT_H

#include "amx.h"

#include <immintrin.h>
#include <stdbool.h>

/// Panels of 16 rows of x times four blocks of weights, for layers whose packed weights are B tiles
/// as they lie in memory:
///
///     block 0   block 1   block 2   block 3      A tile:  tmm4
///     tmm0      tmm1      tmm2      tmm3         B tiles: tmm5, tmm6, tmm7 in turn
///
/// K is cut into parts whose weights stay in L1 while all panels use them; x, of which there is no
/// room for, passes by L1. Meanwhile each panel brings a share of the part after it to L2.

enum {
    DLQ_AMX_TILE = 1024, // bytes
    DLQ_AMX_DEPTH = 8,   // tiles along K of a part: 32 KiB of weights
    DLQ_AMX_STRIDE = 256 // bytes from a row of sums to the next
};

struct dlq_amx_unit {
    const uint8_t *blocks[4]; ///< [tiles][1024 bytes] each
    const uint8_t *next[4];   ///< Blocks that are probably used after these
    int64_t tiles;            ///< Along K
    const uint8_t *x;         ///< [n_panels][panel_bytes]: A tiles
    int64_t panel_bytes;
    int64_t n_panels;
    uint8_t *c; ///< [n_panels * 16][64] of int32 or fp32
};

/// Points at `n_blocks` blocks from `data` on and at the blocks that follow at `next`. A missing
/// block repeats the first; its sums are not used.
static inline void
dlq_amx_unit_blocks(struct dlq_amx_unit *u, const uint8_t *data, int n_blocks, const uint8_t *next,
                    int64_t block_bytes)
{
    for (int i = 0; i < 4; i++) {
        u->blocks[i] = data + (i < n_blocks ? i : 0) * block_bytes;
        u->next[i] = next + i * block_bytes;
    }
}

/// One panel times tiles [begin, end) of K. Meanwhile brings as many tiles of each block from
/// `ahead` on to L1 if NEAR, to L2 else: lines [line, end_line) of each.
static inline __attribute__((always_inline)) void
dlq_amx_panel_part(const bool INT8, const bool NEAR, const struct dlq_amx_unit *u, const uint8_t *x,
                   int64_t begin, int64_t end, const uint8_t *const ahead[4], int64_t line,
                   int64_t end_line)
{
#define DLQ_AMX_DP(c, b)                                                                           \
    do {                                                                                           \
        if (INT8) {                                                                                \
            DLQ_TILE_DPBSUD(c, 4, b);                                                              \
        } else {                                                                                   \
            DLQ_TILE_DPBF16PS(c, 4, b);                                                            \
        }                                                                                          \
    } while (0)
    for (int64_t i = begin; i < end; i++) {
        const int64_t at = i * DLQ_AMX_TILE;
        for (int64_t l = line; l < end_line; l++) {
            for (int j = 0; j < 4; j++) {
                const uint8_t *at_line = ahead[j] + (i - begin) * DLQ_AMX_TILE + l * 64;
                if (NEAR) {
                    _mm_prefetch((const char *)at_line, _MM_HINT_T0);
                } else {
                    _mm_prefetch((const char *)at_line, _MM_HINT_T1);
                }
            }
        }
        DLQ_TILE_STREAM(4, x + at, 64);
        DLQ_TILE_LOAD(5, u->blocks[0] + at, 64);
        DLQ_AMX_DP(0, 5);
        DLQ_TILE_LOAD(6, u->blocks[1] + at, 64);
        DLQ_AMX_DP(1, 6);
        DLQ_TILE_LOAD(7, u->blocks[2] + at, 64);
        DLQ_AMX_DP(2, 7);
        DLQ_TILE_LOAD(5, u->blocks[3] + at, 64);
        DLQ_AMX_DP(3, 5);
    }
#undef DLQ_AMX_DP
}

static inline void
dlq_amx_zero_sums(void)
{
    DLQ_TILE_ZERO(0);
    DLQ_TILE_ZERO(1);
    DLQ_TILE_ZERO(2);
    DLQ_TILE_ZERO(3);
}

static inline void
dlq_amx_load_sums(const uint8_t *c)
{
    DLQ_TILE_LOAD(0, c, DLQ_AMX_STRIDE);
    DLQ_TILE_LOAD(1, c + 64, DLQ_AMX_STRIDE);
    DLQ_TILE_LOAD(2, c + 128, DLQ_AMX_STRIDE);
    DLQ_TILE_LOAD(3, c + 192, DLQ_AMX_STRIDE);
}

static inline void
dlq_amx_store_sums(uint8_t *c)
{
    DLQ_TILE_STORE(0, c, DLQ_AMX_STRIDE);
    DLQ_TILE_STORE(1, c + 64, DLQ_AMX_STRIDE);
    DLQ_TILE_STORE(2, c + 128, DLQ_AMX_STRIDE);
    DLQ_TILE_STORE(3, c + 192, DLQ_AMX_STRIDE);
}

/// A panel alone reads each weight once: straight on, to L1 a part ahead.
static inline __attribute__((always_inline)) void
dlq_amx_one_panel(const bool INT8, const struct dlq_amx_unit *u)
{
    const int64_t whole = u->tiles > DLQ_AMX_DEPTH ? u->tiles - DLQ_AMX_DEPTH : 0;
    const uint8_t *ahead[4];
    for (int j = 0; j < 4; j++) {
        ahead[j] = u->blocks[j] + DLQ_AMX_DEPTH * DLQ_AMX_TILE;
    }
    dlq_amx_zero_sums();
    dlq_amx_panel_part(INT8, true, u, u->x, 0, whole, ahead, 0, 16);
    dlq_amx_panel_part(INT8, true, u, u->x, whole, u->tiles, u->next, 0, 16);
    dlq_amx_store_sums(u->c);
}

/// Each panel in turn times a part of K, then the next part.
static inline __attribute__((always_inline)) void
dlq_amx_panels(const bool INT8, const struct dlq_amx_unit *u)
{
    for (int64_t begin = 0; begin < u->tiles; begin += DLQ_AMX_DEPTH) {
        const bool last = u->tiles - begin <= DLQ_AMX_DEPTH;
        const int64_t end = last ? u->tiles : begin + DLQ_AMX_DEPTH;
        const uint8_t *ahead[4];
        for (int j = 0; j < 4; j++) {
            ahead[j] = last ? u->next[j] : u->blocks[j] + end * DLQ_AMX_TILE;
        }
        for (int64_t p = 0; p < u->n_panels; p++) {
            uint8_t *c = u->c + p * 16 * DLQ_AMX_STRIDE;
            if (begin == 0) {
                dlq_amx_zero_sums();
            } else {
                dlq_amx_load_sums(c);
            }
            dlq_amx_panel_part(INT8, false, u, u->x + p * u->panel_bytes, begin, end, ahead,
                               16 * p / u->n_panels, 16 * (p + 1) / u->n_panels);
            dlq_amx_store_sums(c);
        }
    }
}

/// The sums of a unit: bf16 by bf16, or with INT8 signed x by unsigned weights. Configures tiles.
static inline __attribute__((always_inline)) void
dlq_amx_unit_run(const bool INT8, const struct dlq_amx_unit *u)
{
    struct dlq_tile_config config = {.palette = 1};
    for (int t = 0; t < 8; t++) {
        config.colsb[t] = 64;
        config.rows[t] = 16;
    }
    dlq_tile_configure(&config);
    if (u->n_panels == 1) {
        dlq_amx_one_panel(INT8, u);
    } else {
        dlq_amx_panels(INT8, u);
    }
    dlq_tile_release();
}

#endif // DLQ_KERNELS_CPU_AMX_UNIT_H
