// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// Weight codes to DLQ_K_W8_TILES (drawn in w8_kernel.cuh), and their row sums.
#include "w8.h"

#include <stdint.h>

namespace
{

// One thread a 16-byte piece of the packed weight.
__global__ void __launch_bounds__(256)
    pack(uint8_t *packed, const uint8_t *w, int64_t n, int64_t k, int64_t ldw, bool aligned)
{
    const int64_t at = ((int64_t)blockIdx.x * 256 + threadIdx.x) * 16;
    const int64_t k_blocks = (k + 255) / 256 * 2;
    const int64_t block = at >> 13;
    const int64_t row = block / k_blocks * 64 + (at >> 7 & 63);
    const int64_t col = block % k_blocks * 128 + ((at & 127) ^ (row & 7) << 4);
    uint4 v = make_uint4(0, 0, 0, 0);
    if (row < n && col < k) {
        const uint8_t *src = w + row * ldw + col;
        if (aligned && col + 16 <= k) {
            v = *(const uint4 *)src;
        } else {
            uint32_t word[4] = {0, 0, 0, 0};
            for (int i = 0; i < 16; i++)
                if (col + i < k)
                    word[i >> 2] |= (uint32_t)src[i] << (8 * (i & 3));
            v = make_uint4(word[0], word[1], word[2], word[3]);
        }
    }
    *(uint4 *)(packed + at) = v;
}

// One warp a row.
__global__ void __launch_bounds__(256)
    row_sums(int32_t *sums, const int8_t *w, int64_t n, int64_t k, int64_t ldw)
{
    const int64_t row = (int64_t)blockIdx.x * 8 + (threadIdx.x >> 5);
    if (row >= n)
        return;
    const int8_t *src = w + row * ldw;
    int32_t sum = 0;
    for (int64_t i = threadIdx.x & 31; i < k; i += 32)
        sum += src[i];
    sum = __reduce_add_sync(~0u, sum);
    if ((threadIdx.x & 31) == 0)
        sums[row] = sum;
}

} // namespace

extern "C" int64_t
dlq_k_w8_packed_size(int64_t n, int64_t k)
{
    return (n + 127) / 128 * ((k + 255) / 256) * 32768;
}

extern "C" int
dlq_k_w8_pack(void *packed, const void *w, int64_t n, int64_t k, int64_t ldw, cudaStream_t stream)
{
    if (n <= 0 || k <= 0 || ldw < k || n > INT32_MAX || k > INT32_MAX)
        return DLQ_K_W8_BAD_SHAPE;
    if ((uintptr_t)packed % 16 != 0)
        return DLQ_K_W8_BAD_ALIGN;
    const int64_t blocks = dlq_k_w8_packed_size(n, k) / 4096;
    if (blocks > INT32_MAX)
        return DLQ_K_W8_BAD_SHAPE;
    const bool aligned = ldw % 16 == 0 && (uintptr_t)w % 16 == 0;
    pack<<<(unsigned)blocks, 256, 0, stream>>>((uint8_t *)packed, (const uint8_t *)w, n, k, ldw,
                                               aligned);
    return cudaGetLastError();
}

extern "C" int
dlq_k_w8_row_sums(int32_t *sums, const void *w, int64_t n, int64_t k, int64_t ldw,
                  cudaStream_t stream)
{
    if (n <= 0 || k <= 0 || ldw < k || n > INT32_MAX)
        return DLQ_K_W8_BAD_SHAPE;
    row_sums<<<(unsigned)((n + 7) / 8), 256, 0, stream>>>(sums, (const int8_t *)w, n, k, ldw);
    return cudaGetLastError();
}
