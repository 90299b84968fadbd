// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// Integer weight codes as checkpoints store them, along k: int8 bytes, or words as in pack/bits.h.
#ifndef DLQ_KERNELS_CUDA_INTEGER_CODES_CUH
#define DLQ_KERNELS_CUDA_INTEGER_CODES_CUH

#include <stdint.h>

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
        const int per = 32 / bits;
        const int64_t row_words = dense ? (k * bits + 31) / 32 : (k + per - 1) / per;
        const uint32_t *const row = (const uint32_t *)data + i / k * row_words;
        const int64_t col = i % k;
        uint32_t v;
        if (dense) {
            const int64_t word = col * bits / 32;
            const int shift = (int)(col * bits % 32);
            const uint32_t next = shift + bits > 32 ? row[word + 1] : 0;
            v = (uint32_t)(((uint64_t)next << 32 | row[word]) >> shift);
        } else {
            v = row[col / per] >> (col % per * bits);
        }
        return (int)(v & ((1u << bits) - 1)) - (1 << (bits - 1));
    }

    __device__ __forceinline__ bool holds(int v) const
    {
        const int limit = 1 << (bits - 1);
        return v >= -limit && v < limit;
    }
};

} // namespace dlq

#endif
