// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
#include "w8_kernels.h"
#include "w8_tile.cuh"

#define VARIANT(op, r, t, turn, mode)                                                              \
    if (rows == r && tokens == t && !in_turn == !turn)                                             \
        return (const void *)w8_tile<op, r, t, turn, mode>;
#define VARIANTS(op)                                                                               \
    VARIANT(op, 128, 64, false, DLQ_K_W8_FAST)                                                     \
    VARIANT(op, 128, 128, false, DLQ_K_W8_FAST)                                                    \
    VARIANT(op, 128, 192, false, DLQ_K_W8_FAST)                                                    \
    VARIANT(op, 128, 256, false, DLQ_K_W8_FAST)                                                    \
    VARIANT(op, 192, 128, false, DLQ_K_W8_FAST)                                                    \
    VARIANT(op, 256, 64, false, DLQ_K_W8_FAST)                                                     \
    VARIANT(op, 256, 128, false, DLQ_K_W8_FAST)                                                    \
    VARIANT(op, 128, 128, true, DLQ_K_W8_FAST)                                                     \
    VARIANT(op, 128, 192, true, DLQ_K_W8_FAST)

extern "C" const void *
dlq_k_w8_tile_i8(int rows, int tokens, int in_turn)
{
    VARIANTS(w8_s8)
    return nullptr;
}

extern "C" const void *
dlq_k_w8_tile_f8(int rows, int tokens, int in_turn, int accumulate)
{
    if (accumulate == DLQ_K_W8_PROMOTED) {
        VARIANT(w8_e4m3, 128, 128, false, DLQ_K_W8_PROMOTED)
    } else if (accumulate == DLQ_K_W8_BLOCK_SCALED) {
        VARIANT(w8_e4m3, 128, 128, false, DLQ_K_W8_BLOCK_SCALED)
    } else {
        VARIANTS(w8_e4m3)
    }
    return nullptr;
}
