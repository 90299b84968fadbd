// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_KERNELS_CPU_AMX_UNIT_H
#define DLQ_KERNELS_CPU_AMX_UNIT_H

#include "amx.h"

#include <immintrin.h>
#include <stdbool.h>

/// Panels of 16 rows of x times four blocks of weights, for layers whose packed weights are B tiles
/// as they lie in memory. An item is two panels times two blocks:
///
///                block 0   block 1      A tiles: tmm4 = panel 0, tmm5 = panel 1
///     panel 0    tmm0      tmm1         B tiles: tmm6 = block 0, tmm7 = block 1
///     panel 1    tmm2      tmm3
///
/// K is cut into parts whose weights stay in L1 while all panels use them; x, of which there is no
/// room for, passes by L1. Meanwhile each item brings a share of the part after it to L2. A panel
/// alone takes four blocks at once.

enum {
    DLQ_AMX_TILE = 1024,  // bytes
    DLQ_AMX_DEPTH = 16,   // tiles along K of a part: 32 KiB of weights of two blocks
    DLQ_AMX_AHEAD = 8,    // that a panel alone brings weights ahead
    DLQ_AMX_PANEL = 4096, // bytes from the sums of a panel to the next
    DLQ_AMX_STRIDE = 256  // bytes from a row of sums to the next
};

struct dlq_amx_unit {
    const uint8_t *blocks[4]; ///< [tiles][1024 bytes] each
    const uint8_t *next[4];   ///< Blocks that are probably used after these
    int n_blocks;             ///< 1 to 4
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
    u->n_blocks = n_blocks;
    for (int i = 0; i < 4; i++) {
        u->blocks[i] = data + (i < n_blocks ? i : 0) * block_bytes;
        u->next[i] = next + i * block_bytes;
    }
}

#define DLQ_AMX_DP(c, a, b)                                                                        \
    do {                                                                                           \
        if (INT8) {                                                                                \
            DLQ_TILE_DPBSUD(c, a, b);                                                              \
        } else {                                                                                   \
            DLQ_TILE_DPBF16PS(c, a, b);                                                            \
        }                                                                                          \
    } while (0)

/// One panel times tiles [begin, end) of K of four blocks. Meanwhile brings as many tiles of each
/// block from `ahead` on to L1.
static inline __attribute__((always_inline)) void
dlq_amx_panel_part(const bool INT8, const struct dlq_amx_unit *u, int64_t begin, int64_t end,
                   const uint8_t *const ahead[4])
{
    for (int64_t i = begin; i < end; i++) {
        const int64_t at = i * DLQ_AMX_TILE;
        for (int64_t line = 0; line < 16; line++) {
            for (int j = 0; j < 4; j++) {
                _mm_prefetch((const char *)ahead[j] + (i - begin) * DLQ_AMX_TILE + line * 64,
                             _MM_HINT_T0);
            }
        }
        DLQ_TILE_STREAM(4, u->x + at, 64);
        DLQ_TILE_LOAD(5, u->blocks[0] + at, 64);
        DLQ_AMX_DP(0, 4, 5);
        DLQ_TILE_LOAD(6, u->blocks[1] + at, 64);
        DLQ_AMX_DP(1, 4, 6);
        DLQ_TILE_LOAD(7, u->blocks[2] + at, 64);
        DLQ_AMX_DP(2, 4, 7);
        DLQ_TILE_LOAD(5, u->blocks[3] + at, 64);
        DLQ_AMX_DP(3, 4, 5);
    }
}

/// A panel alone reads each weight once: straight on, to L1 a few tiles ahead.
static inline __attribute__((always_inline)) void
dlq_amx_one_panel(const bool INT8, const struct dlq_amx_unit *u)
{
    const int64_t whole = u->tiles > DLQ_AMX_AHEAD ? u->tiles - DLQ_AMX_AHEAD : 0;
    const uint8_t *ahead[4];
    for (int j = 0; j < 4; j++) {
        ahead[j] = u->blocks[j] + DLQ_AMX_AHEAD * DLQ_AMX_TILE;
    }
    DLQ_TILE_ZERO(0);
    DLQ_TILE_ZERO(1);
    DLQ_TILE_ZERO(2);
    DLQ_TILE_ZERO(3);
    dlq_amx_panel_part(INT8, u, 0, whole, ahead);
    dlq_amx_panel_part(INT8, u, whole, u->tiles, u->next);
    DLQ_TILE_STORE(0, u->c, DLQ_AMX_STRIDE);
    DLQ_TILE_STORE(1, u->c + 64, DLQ_AMX_STRIDE);
    DLQ_TILE_STORE(2, u->c + 128, DLQ_AMX_STRIDE);
    DLQ_TILE_STORE(3, u->c + 192, DLQ_AMX_STRIDE);
}

/// What an item multiplies, and where its sums are.
struct dlq_amx_item {
    const uint8_t *x[2]; ///< Panels
    const uint8_t *w[2];
    int64_t tiles;
    bool first; ///< Sums begin at 0
    uint8_t *c; ///< Of panel 0 and block 0
    const uint8_t *ahead[2];
    int64_t line, end_line; ///< Of each tile that it brings
};

/// Sums of the item before leave a tile just before those of this one enter it: neither waits.
#define DLQ_AMX_TURN(t, offset)                                                                    \
    do {                                                                                           \
        if (before != NULL) {                                                                      \
            DLQ_TILE_STORE(t, before + (offset), DLQ_AMX_STRIDE);                                  \
        }                                                                                          \
        if (item->first) {                                                                         \
            DLQ_TILE_ZERO(t);                                                                      \
        } else {                                                                                   \
            DLQ_TILE_LOAD(t, item->c + (offset), DLQ_AMX_STRIDE);                                  \
        }                                                                                          \
    } while (0)

/// `before`: where the sums in the tiles belong, of as many panels as the item has; or NULL.
static inline __attribute__((always_inline)) void
dlq_amx_item_run(const bool INT8, const bool TWO, const struct dlq_amx_item *item, uint8_t *before)
{
    for (int64_t i = 0; i < item->tiles; i++) {
        const int64_t at = i * DLQ_AMX_TILE;
        for (int64_t line = item->line; line < item->end_line; line++) {
            _mm_prefetch((const char *)item->ahead[0] + at + line * 64, _MM_HINT_T1);
            _mm_prefetch((const char *)item->ahead[1] + at + line * 64, _MM_HINT_T1);
        }
        DLQ_TILE_STREAM(4, item->x[0] + at, 64);
        DLQ_TILE_LOAD(6, item->w[0] + at, 64);
        if (i == 0) {
            DLQ_AMX_TURN(0, 0);
        }
        DLQ_AMX_DP(0, 4, 6);
        DLQ_TILE_LOAD(7, item->w[1] + at, 64);
        if (i == 0) {
            DLQ_AMX_TURN(1, 64);
        }
        DLQ_AMX_DP(1, 4, 7);
        if (!TWO) {
            continue;
        }
        DLQ_TILE_STREAM(5, item->x[1] + at, 64);
        if (i == 0) {
            DLQ_AMX_TURN(2, DLQ_AMX_PANEL);
        }
        DLQ_AMX_DP(2, 5, 6);
        if (i == 0) {
            DLQ_AMX_TURN(3, DLQ_AMX_PANEL + 64);
        }
        DLQ_AMX_DP(3, 5, 7);
    }
}
#undef DLQ_AMX_TURN
#undef DLQ_AMX_DP

static inline void
dlq_amx_store_sums(bool two, uint8_t *c)
{
    DLQ_TILE_STORE(0, c, DLQ_AMX_STRIDE);
    DLQ_TILE_STORE(1, c + 64, DLQ_AMX_STRIDE);
    if (two) {
        DLQ_TILE_STORE(2, c + DLQ_AMX_PANEL, DLQ_AMX_STRIDE);
        DLQ_TILE_STORE(3, c + DLQ_AMX_PANEL + 64, DLQ_AMX_STRIDE);
    }
}

/// A pair of blocks for a part of K: all panels, in pairs. Returns where the sums in the tiles
/// belong.
static inline __attribute__((always_inline)) uint8_t *
dlq_amx_pair_part(const bool INT8, const struct dlq_amx_unit *u, struct dlq_amx_item *item,
                  const uint8_t *x, uint8_t *c, uint8_t *before)
{
    const int64_t items = (u->n_panels + 1) / 2;
    for (int64_t i = 0; i < items; i++) {
        const bool two = 2 * i + 1 < u->n_panels;
        item->x[0] = x + 2 * i * u->panel_bytes;
        item->x[1] = item->x[0] + u->panel_bytes;
        item->c = c + 2 * i * DLQ_AMX_PANEL;
        item->line = 16 * i / items;
        item->end_line = 16 * (i + 1) / items;
        if (two) {
            dlq_amx_item_run(INT8, true, item, before);
            before = item->c;
        } else {
            if (before != NULL) {
                dlq_amx_store_sums(true, before);
            }
            dlq_amx_item_run(INT8, false, item, NULL);
            dlq_amx_store_sums(false, item->c);
            before = NULL;
        }
    }
    return before;
}

/// Parts of K in turn, pairs of blocks within each.
static inline __attribute__((always_inline)) void
dlq_amx_panels(const bool INT8, const struct dlq_amx_unit *u)
{
    uint8_t *before = NULL;
    for (int64_t begin = 0; begin < u->tiles; begin += DLQ_AMX_DEPTH) {
        const bool last = u->tiles - begin <= DLQ_AMX_DEPTH;
        const int64_t at = begin * DLQ_AMX_TILE;
        for (int b = 0; b < u->n_blocks; b += 2) {
            struct dlq_amx_item item = {.w = {u->blocks[b] + at, u->blocks[b + 1] + at},
                                        .tiles = last ? u->tiles - begin : DLQ_AMX_DEPTH,
                                        .first = begin == 0};
            for (int j = 0; j < 2; j++) {
                item.ahead[j] = b + 2 < u->n_blocks ? u->blocks[b + 2 + j] + at
                                : last              ? u->next[j]
                                       : u->blocks[j] + at + DLQ_AMX_DEPTH * DLQ_AMX_TILE;
            }
            before = dlq_amx_pair_part(INT8, u, &item, u->x + at, u->c + b * 64, before);
        }
    }
    if (before != NULL) {
        dlq_amx_store_sums(true, before);
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
