// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// Reading codes, zero points and scales of a checkpoint's layouts on the GPU, one at a time: what
// pack/bits.h and pack/awq.h define.
#ifndef DLQ_KERNELS_CUDA_GROUPED_CODES_CUH
#define DLQ_KERNELS_CUDA_GROUPED_CODES_CUH

#include "grouped_gemm.h"

#include <cuda_fp16.h>
#include <dlquant/types.h>

namespace dlq
{

// Code `i` of a row of words `stride` apart.
__device__ __forceinline__ uint32_t
bits_at(const uint32_t *words, int64_t stride, bool padded, int bits, int64_t i)
{
    if (padded) {
        const int per = 32 / bits;
        return words[i / per * stride] >> (int)(i % per) * bits & ((1u << bits) - 1);
    }
    const int64_t bit = i * bits;
    const int shift = (int)(bit % 32);
    uint32_t v = words[bit / 32 * stride] >> shift;
    if (shift + bits > 32)
        v |= words[(bit / 32 + 1) * stride] << (32 - shift);
    return v & ((1u << bits) - 1);
}

// Words of `count` codes.
__device__ __forceinline__ int64_t
bits_words(bool padded, int bits, int64_t count)
{
    const int per = 32 / bits;
    return padded ? (count + per - 1) / per : (count * bits + 31) / 32;
}

__device__ __forceinline__ uint32_t
awq_at(const uint32_t *words, int64_t row, int64_t n, int64_t column)
{
    return words[row * (n / 8) + column / 8] >> (column % 2 * 16 + column % 8 / 2 * 4) & 15;
}

// A byte of a signed or unsigned code as an unsigned code; 256 and above is out of range.
__device__ __forceinline__ uint32_t
byte_code(uint8_t v, bool is_signed, int bits)
{
    const int code = is_signed ? (int8_t)v + (1 << (bits - 1)) : v;
    return code < 0 || code >= 1 << bits ? 256u : (uint32_t)code;
}

// 256 where there is none of that value.
__device__ __forceinline__ uint32_t
code_at(const dlq_k_grouped_source &s, bool integers, int64_t n_columns, int64_t k_rows, int64_t n,
        int64_t k)
{
    const uint32_t *const words = (const uint32_t *)s.codes;
    const uint8_t *const bytes = (const uint8_t *)s.codes;
    const bool padded = s.layout == DLQ_K_GROUPED_K_PADDED;
    switch (s.layout) {
    case DLQ_K_GROUPED_BYTES:
        return integers ? byte_code(bytes[n * k_rows + k], s.signed_codes, s.bits)
                        : bytes[n * k_rows + k];
    case DLQ_K_GROUPED_NIBBLES:
        return bytes[n * (k_rows / 2) + k / 2] >> k % 2 * 4 & 15;
    case DLQ_K_GROUPED_AWQ:
        return awq_at(words, k, n_columns, n);
    case DLQ_K_GROUPED_GPTQ:
        return bits_at(words + n, n_columns, false, s.bits, k);
    default:
        return bits_at(words + n * bits_words(padded, s.bits, k_rows), 1, padded, s.bits, k);
    }
}

// As code_at, before zero_add.
__device__ __forceinline__ uint32_t
zero_at(const dlq_k_grouped_source &s, int64_t n_columns, int64_t groups, int64_t n, int64_t g)
{
    const uint32_t *const words = (const uint32_t *)s.zeros;
    const bool padded = s.layout == DLQ_K_GROUPED_K_PADDED;
    switch (s.layout) {
    case DLQ_K_GROUPED_BYTES:
        return byte_code(((const uint8_t *)s.zeros)[n * groups + g], s.signed_codes, s.bits);
    case DLQ_K_GROUPED_AWQ:
        return awq_at(words, g, n_columns, n);
    case DLQ_K_GROUPED_GPTQ:
        return bits_at(words + g * bits_words(false, s.bits, n_columns), 1, false, s.bits, n);
    default:
        return bits_at(words + g, groups, padded, s.bits, n);
    }
}

__device__ __forceinline__ float
float_at(const void *values, uint32_t dtype, int64_t i)
{
    switch (dtype) {
    case DLQ_F32:
        return ((const float *)values)[i];
    case DLQ_F16:
        return __half2float(((const __half *)values)[i]);
    case DLQ_BF16:
        return __uint_as_float((uint32_t)((const uint16_t *)values)[i] << 16);
    case DLQ_F8_E8M0: {
        const uint32_t e = ((const uint8_t *)values)[i];
        return __uint_as_float(e == 255 ? 0x7fc00000u : e == 0 ? 0x00400000u : e << 23);
    }
    default: {
        // e4m3: the bits of a half that is 2^8 too small.
        const uint32_t v = ((const uint8_t *)values)[i];
        const uint32_t half = (v & 0x80u) << 8 | (v & 0x7fu) << 7;
        const float f = __half2float(__ushort_as_half((unsigned short)half)) * 256.0f;
        return (v & 0x7fu) == 0x7fu ? __uint_as_float(0x7fc00000u) : f;
    }
    }
}

__device__ __forceinline__ bool
is_finite(float v)
{
    return (__float_as_uint(v) & 0x7f800000u) != 0x7f800000u;
}

} // namespace dlq

#endif
