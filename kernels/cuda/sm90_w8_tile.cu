// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
#include "w8_kernels.h"
#include "w8_tile.cuh"

extern "C" const void *
dlq_k_w8_tile_i8(int tokens, int in_turn)
{
    if (in_turn)
        return tokens == 128   ? (const void *)w8_tile<w8_s8, 128, true, DLQ_K_W8_FAST>
               : tokens == 192 ? (const void *)w8_tile<w8_s8, 192, true, DLQ_K_W8_FAST>
                               : nullptr;
    if (tokens == 128)
        return (const void *)w8_tile<w8_s8, 128, false, DLQ_K_W8_FAST>;
    if (tokens == 192)
        return (const void *)w8_tile<w8_s8, 192, false, DLQ_K_W8_FAST>;
    if (tokens == 256)
        return (const void *)w8_tile<w8_s8, 256, false, DLQ_K_W8_FAST>;
    return nullptr;
}

extern "C" const void *
dlq_k_w8_tile_f8(int tokens, int in_turn, int accumulate)
{
    if (accumulate == DLQ_K_W8_PROMOTED)
        return tokens == 128 && !in_turn
                   ? (const void *)w8_tile<w8_e4m3, 128, false, DLQ_K_W8_PROMOTED>
                   : nullptr;
    if (accumulate == DLQ_K_W8_BLOCK_SCALED)
        return tokens == 128 && !in_turn
                   ? (const void *)w8_tile<w8_e4m3, 128, false, DLQ_K_W8_BLOCK_SCALED>
                   : nullptr;
    if (in_turn)
        return tokens == 128   ? (const void *)w8_tile<w8_e4m3, 128, true, DLQ_K_W8_FAST>
               : tokens == 192 ? (const void *)w8_tile<w8_e4m3, 192, true, DLQ_K_W8_FAST>
                               : nullptr;
    if (tokens == 128)
        return (const void *)w8_tile<w8_e4m3, 128, false, DLQ_K_W8_FAST>;
    if (tokens == 192)
        return (const void *)w8_tile<w8_e4m3, 192, false, DLQ_K_W8_FAST>;
    if (tokens == 256)
        return (const void *)w8_tile<w8_e4m3, 256, false, DLQ_K_W8_FAST>;
    return nullptr;
}
