// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// One code of DLQ_K_W8_TILES, which w8_kernel.cuh draws.
#ifndef DLQ_KERNELS_CUDA_W8_TILES_CUH
#define DLQ_KERNELS_CUDA_W8_TILES_CUH

#include <stdint.h>

namespace dlq
{

// Where the byte of row n and column k is; `k_blocks` of 128 columns, an even number.
__device__ __forceinline__ int64_t
w8_tiles_at(int64_t k_blocks, int64_t n, int64_t k)
{
    return (n / 64 * k_blocks + k / 128) * 8192 + n % 64 * 128 + (k % 128 ^ n % 8 * 16);
}

} // namespace dlq

#endif
