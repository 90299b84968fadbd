// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// From packed codes to the register operand of mma.sync m16n8k16: 16 columns of W^T x 16 rows of K
// a warp, as fp16 or bf16, exact but for a power of two that `fold` gives back.
#ifndef DLQ_KERNELS_CUDA_GROUPED_OPERAND_CUH
#define DLQ_KERNELS_CUDA_GROUPED_OPERAND_CUH

#include "grouped_gemm.h"
#include "ptx.cuh"

#include <cuda_fp16.h>

DLQ_DEV uint32_t
grouped_add_f16(uint32_t a, uint32_t b)
{
    uint32_t r;
    asm("add.rn.f16x2 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b));
    return r;
}

DLQ_DEV uint32_t
grouped_fma_f16(uint32_t a, uint32_t b, uint32_t c)
{
    uint32_t r;
    asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(r) : "r"(a), "r"(b), "r"(c));
    return r;
}

DLQ_DEV uint32_t
grouped_fma_bf16(uint32_t a, uint32_t b, uint32_t c)
{
    uint32_t r;
    asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(r) : "r"(a), "r"(b), "r"(c));
    return r;
}

// (a & Mask) | b in one instruction.
template <uint32_t Mask>
DLQ_DEV uint32_t
grouped_mask_or(uint32_t a, uint32_t b)
{
    uint32_t r;
    asm("lop3.b32 %0, %1, %2, %3, 0xEA;" : "=r"(r) : "r"(a), "n"(Mask), "r"(b));
    return r;
}

// Code's operand in one type:
//   zero(z, high)  what `make` subtracts in column r (high: r + 8), encoded
//   make(w, z, a)  a[0..3] from the step's word (4 bit) or two words (8 bit)
//   fold           scales are multiplied by it
template <int Code, bool Bf16> struct grouped_operand;

// 1024 + q is 0x6400 | q in fp16, and 1024 + 16 q is 0x6400 | q << 4.
template <> struct grouped_operand<DLQ_K_GROUPED_U4, false> {
    static constexpr int words = 1;
    static constexpr float fold = 1.0f;

    static __device__ __forceinline__ uint32_t zero(uint32_t z, bool high)
    {
        return high ? __half_as_ushort(__float2half_rn(-64.0f - (float)z)) * 0x10001u
                    : z * 0x10001u + 0xe400e400u;
    }
    static __device__ __forceinline__ void make(const uint32_t *w, const uint32_t z[2],
                                                uint32_t a[4])
    {
        const uint32_t v = w[0], u = v >> 8, sixteenth = 0x2c002c00u;
        a[0] = grouped_add_f16(ptx_and_or<0x000f000f, 0x64006400>(v), z[0]);
        a[1] = grouped_fma_f16(ptx_and_or<0x00f000f0, 0x64006400>(v), sixteenth, z[1]);
        a[2] = grouped_add_f16(ptx_and_or<0x000f000f, 0x64006400>(u), z[0]);
        a[3] = grouped_fma_f16(ptx_and_or<0x00f000f0, 0x64006400>(u), sixteenth, z[1]);
    }
};

// 128 + q is 0x4300 | q in bf16. Zero points reach 16: -(128 + z) is exact.
template <> struct grouped_operand<DLQ_K_GROUPED_U4, true> {
    static constexpr int words = 1;
    static constexpr float fold = 1.0f;

    static __device__ __forceinline__ uint32_t zero(uint32_t z, bool)
    {
        return z * 0x10001u + 0xc300c300u;
    }
    static __device__ __forceinline__ void make(const uint32_t *w, const uint32_t z[2],
                                                uint32_t a[4])
    {
#pragma unroll
        for (int i = 0; i < 4; i++)
            a[i] = grouped_fma_bf16(ptx_and_or<0x000f000f, 0x43004300>(w[0] >> 4 * i), 0x3f803f80u,
                                    z[i & 1]);
    }
};

template <> struct grouped_operand<DLQ_K_GROUPED_U8, false> {
    static constexpr int words = 2;
    static constexpr float fold = 1.0f;

    static __device__ __forceinline__ uint32_t zero(uint32_t z, bool)
    {
        return z * 0x10001u + 0xe400e400u;
    }
    static __device__ __forceinline__ void make(const uint32_t *w, const uint32_t z[2],
                                                uint32_t a[4])
    {
#pragma unroll
        for (int i = 0; i < 4; i++)
            a[i] = grouped_add_f16(ptx_and_or<0x00ff00ff, 0x64006400>(w[i >> 1] >> 8 * (i & 1)),
                                   z[i & 1]);
    }
};

// 2^23 + q in fp32; the difference to 2^23 + z has at most 8 bits, which the upper half holds.
template <> struct grouped_operand<DLQ_K_GROUPED_U8, true> {
    static constexpr int words = 2;
    static constexpr float fold = 1.0f;

    static __device__ __forceinline__ uint32_t zero(uint32_t z, bool)
    {
        return 0xcb000000u | z;
    }
    static __device__ __forceinline__ void make(const uint32_t *w, const uint32_t z[2],
                                                uint32_t a[4])
    {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const uint32_t v = w[i >> 1], at = i & 1;
            const float minus = __uint_as_float(z[at]);
            const float low = __uint_as_float(__byte_perm(v, 0x4b000000u, 0x7650 | at)) + minus;
            const float high =
                __uint_as_float(__byte_perm(v, 0x4b000000u, 0x7650 | (at + 2))) + minus;
            a[i] = __byte_perm(__float_as_uint(low), __float_as_uint(high), 0x7632);
        }
    }
};

// Floats: sign, exponent and fraction moved to their place, `Right` bits from the top of the code.
// What that leaves too small is multiplied by Up in bf16, whose products would leave fp32's range,
// and by `fold` in fp16.
template <int Words, int Right, uint32_t Mask, uint32_t Up> struct grouped_float {
    static constexpr int words = Words;

    static __device__ __forceinline__ uint32_t zero(uint32_t, bool)
    {
        return 0;
    }
    static __device__ __forceinline__ void make(const uint32_t *w, const uint32_t *, uint32_t a[4])
    {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const uint32_t v = Words == 2 ? w[i >> 1] << (i & 1 ? 0 : 8) : w[0] << (12 - 4 * i);
            const uint32_t moved = grouped_mask_or<0x80008000>(v, v >> Right & Mask);
            a[i] = Up != 0 ? grouped_fma_bf16(moved, Up, 0x80008000u) : moved;
        }
    }
};

template <>
struct grouped_operand<DLQ_K_GROUPED_E4M3, false> : grouped_float<2, 1, 0x3f803f80u, 0> {
    static constexpr float fold = 0x1p8f;
};

template <>
struct grouped_operand<DLQ_K_GROUPED_E4M3, true> : grouped_float<2, 4, 0x07f007f0u, 0x7b807b80u> {
    static constexpr float fold = 1.0f; // Up is 2^120
};

template <>
struct grouped_operand<DLQ_K_GROUPED_E2M1, false> : grouped_float<1, 3, 0x0e000e00u, 0> {
    static constexpr float fold = 0x1p14f;
};

// e2m1 in bf16, 2^126 too small.
struct grouped_e2m1_small : grouped_float<1, 6, 0x01c001c0u, 0> {
    static constexpr float fold = 1.0f;
};

template <>
struct grouped_operand<DLQ_K_GROUPED_E2M1, true> : grouped_float<1, 6, 0x01c001c0u, 0x7e807e80u> {
    static constexpr float fold = 1.0f; // Up is 2^126
};

#endif
