// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
#include "w8_kernels.h"
#include "w8_stream.cuh"

#define VARIANT(groups, n)                                                                         \
    if (rows == 64 * groups && tokens == n)                                                        \
        return (const void *)w8_stream<w8_s8, groups, n, DLQ_K_W8_FAST>;

extern "C" const void *
dlq_k_w8_stream_i8(int rows, int tokens)
{
    VARIANT(1, 8)
    VARIANT(1, 16)
    VARIANT(1, 32)
    VARIANT(1, 64)
    VARIANT(1, 128)
    VARIANT(2, 8)
    VARIANT(2, 16)
    VARIANT(2, 32)
    VARIANT(2, 64)
    VARIANT(2, 128)
    VARIANT(2, 256)
    return nullptr;
}
