// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// From packed words to the register operand of wgmma, 5 integer and 8 half operations for 8
// weights.
#ifndef DLQ_KERNELS_CUDA_SM90_W4_CONVERT_CUH
#define DLQ_KERNELS_CUDA_SM90_W4_CONVERT_CUH

#include "sm90_w4_common.cuh"

template <bool Bf16>
DLQ_DEV uint32_t
w4_sub2(uint32_t a, uint32_t b)
{
    uint32_t r;
    if (Bf16)
        asm("sub.rn.bf16x2 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b));
    else
        asm("sub.rn.f16x2 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b));
    return r;
}

template <bool Bf16>
DLQ_DEV uint32_t
w4_mul2(uint32_t a, uint32_t b)
{
    uint32_t r;
    if (Bf16)
        asm("mul.rn.bf16x2 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b));
    else
        asm("mul.rn.f16x2 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b));
    return r;
}

DLQ_DEV uint32_t
w4_fma_f16x2(uint32_t a, uint32_t b, uint32_t c)
{
    uint32_t r;
    asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(r) : "r"(a), "r"(b), "r"(c));
    return r;
}

DLQ_DEV uint32_t
w4_dup(uint32_t v, bool high)
{
    return __byte_perm(v, v, high ? 0x3232 : 0x1010);
}

// What turns a word into operand registers: scales and zero points of rows r and r+8, both halves
// equal. The codes appear with a magic exponent, as 1024 + q or 1024 + 16 q in fp16 and as 128 + q
// in bf16; taking the zero point away is exact, the scale rounds once.
template <bool Bf16> struct w4_convert {
    uint32_t s0, s1, z0, z1;

    __device__ __forceinline__ void set(uint2 pairs)
    {
        s0 = w4_dup(pairs.x, false);
        s1 = w4_dup(pairs.y, false);
        const uint32_t a = w4_dup(pairs.x, true), b = w4_dup(pairs.y, true);
        if (Bf16) { // 128 + z: integers up to 143 are exact
            asm("add.rn.bf16x2 %0, %1, %2;" : "=r"(z0) : "r"(a), "r"(0x43004300u));
            asm("add.rn.bf16x2 %0, %1, %2;" : "=r"(z1) : "r"(b), "r"(0x43004300u));
        } else { // 1024 + z and -(64 + z)
            asm("add.rn.f16x2 %0, %1, %2;" : "=r"(z0) : "r"(a), "r"(0x64006400u));
            z1 = w4_sub2<false>(0xd400d400u, b);
        }
    }

    __device__ __forceinline__ void word(uint32_t v, uint32_t a[4]) const
    {
        if (Bf16) {
            a[0] = w4_mul2<true>(w4_sub2<true>(ptx_and_or<0x000f000fu, 0x43004300u>(v), z0), s0);
            a[1] =
                w4_mul2<true>(w4_sub2<true>(ptx_and_or<0x000f000fu, 0x43004300u>(v >> 4), z1), s1);
            a[2] =
                w4_mul2<true>(w4_sub2<true>(ptx_and_or<0x000f000fu, 0x43004300u>(v >> 8), z0), s0);
            a[3] =
                w4_mul2<true>(w4_sub2<true>(ptx_and_or<0x000f000fu, 0x43004300u>(v >> 12), z1), s1);
        } else {
            const uint32_t v8 = v >> 8;
            a[0] = w4_mul2<false>(w4_sub2<false>(ptx_and_or<0x000f000fu, 0x64006400u>(v), z0), s0);
            a[1] = w4_mul2<false>(
                w4_fma_f16x2(ptx_and_or<0x00f000f0u, 0x64006400u>(v), 0x2c002c00u, z1), s1);
            a[2] = w4_mul2<false>(w4_sub2<false>(ptx_and_or<0x000f000fu, 0x64006400u>(v8), z0), s0);
            a[3] = w4_mul2<false>(
                w4_fma_f16x2(ptx_and_or<0x00f000f0u, 0x64006400u>(v8), 0x2c002c00u, z1), s1);
        }
    }
};

#endif
