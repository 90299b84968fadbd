// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
#include "w8_kernels.h"
#include "w8_stream.cuh"

#define VARIANT(groups, n, mode)                                                                   \
    if (rows == 64 * groups && tokens == n && accumulate == mode)                                  \
        return (const void *)w8_stream<w8_e4m3, groups, n, mode>;

extern "C" const void *
dlq_k_w8_stream_f8(int rows, int tokens, int accumulate)
{
    VARIANT(1, 8, DLQ_K_W8_FAST)
    VARIANT(1, 16, DLQ_K_W8_FAST)
    VARIANT(1, 32, DLQ_K_W8_FAST)
    VARIANT(1, 64, DLQ_K_W8_FAST)
    VARIANT(1, 128, DLQ_K_W8_FAST)
    VARIANT(2, 8, DLQ_K_W8_FAST)
    VARIANT(2, 16, DLQ_K_W8_FAST)
    VARIANT(2, 32, DLQ_K_W8_FAST)
    VARIANT(2, 64, DLQ_K_W8_FAST)
    VARIANT(2, 128, DLQ_K_W8_FAST)
    VARIANT(2, 256, DLQ_K_W8_FAST)
    VARIANT(2, 8, DLQ_K_W8_PROMOTED)
    VARIANT(2, 16, DLQ_K_W8_PROMOTED)
    VARIANT(2, 32, DLQ_K_W8_PROMOTED)
    VARIANT(2, 64, DLQ_K_W8_PROMOTED)
    VARIANT(2, 128, DLQ_K_W8_PROMOTED)
    VARIANT(2, 8, DLQ_K_W8_BLOCK_SCALED)
    VARIANT(2, 16, DLQ_K_W8_BLOCK_SCALED)
    VARIANT(2, 32, DLQ_K_W8_BLOCK_SCALED)
    VARIANT(2, 64, DLQ_K_W8_BLOCK_SCALED)
    VARIANT(2, 128, DLQ_K_W8_BLOCK_SCALED)
    return nullptr;
}
