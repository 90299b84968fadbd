// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// Integer weight codes as checkpoints store them, along k: int8 bytes, or words as in pack/bits.h.
#ifndef DLQ_KERNELS_CUDA_INTEGER_CODES_CUH
#define DLQ_KERNELS_CUDA_INTEGER_CODES_CUH

#include "grouped_codes.cuh"

namespace dlq
{

struct integer_codes {
    const void *data;
    int64_t k; // of a row
    int bits;
    bool packed; // words of unsigned codes, q + 2^(bits - 1); else int8
    bool dense;  // DLQ_BITS_DENSE, else DLQ_BITS_PADDED

    // Element `i` of [n][k].
    __device__ __forceinline__ int value(int64_t i) const
    {
        if (!packed) {
            return ((const int8_t *)data)[i];
        }
        const uint32_t *const row = (const uint32_t *)data + i / k * bits_words(!dense, bits, k);
        return (int)bits_at(row, 1, !dense, bits, i % k) - (1 << (bits - 1));
    }

    __device__ __forceinline__ bool holds(int v) const
    {
        const int limit = 1 << (bits - 1);
        return v >= -limit && v < limit;
    }
};

} // namespace dlq

#endif
