// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// Words of the Marlin layout as operands of mma.sync.
//
// Weights are the 16-row operand. A word of the layout is one warp's operand of m16n8k16 (PTX ISA,
// "Matrix fragments for mma.m16n8k16"), r = lane / 4, t = lane % 4:
//
//     4 bit, nibble   0      1       2      3        4        5       6        7
//            n        r      r       r+8    r+8      r        r       r+8      r+8
//            k        2t     2t+8    2t     2t+8     2t+1     2t+9    2t+1     2t+9
//     register        a0.lo  a2.lo   a1.lo  a3.lo    a0.hi    a2.hi   a1.hi    a3.hi
//
//     8 bit: a word for n = r, one for n = r+8; bytes 0, 2 are k 2t, 2t+1 and bytes 1, 3 k 2t+8,
//     2t+9
//
// so that a0 and a2 are masks of the word and a1 and a3 masks of the word shifted by 8. A lane's 16
// bytes are the words of 4 x 16 columns; its scales of those columns are 16 bytes of the permuted
// row of scales, its zero points one word.
//
#ifndef DLQ_KERNELS_CUDA_SM80_MARLIN_OPERAND_CUH
#define DLQ_KERNELS_CUDA_SM80_MARLIN_OPERAND_CUH

#include "ptx.cuh"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

namespace
{

template <bool Bf16>
__device__ __forceinline__ void
marlin_mma(float4 &c, const uint32_t a[4], const uint32_t b[2])
{
    if (Bf16)
        asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
            "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
            : "+f"(c.x), "+f"(c.y), "+f"(c.z), "+f"(c.w)
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
    else
        asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
            "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
            : "+f"(c.x), "+f"(c.y), "+f"(c.z), "+f"(c.w)
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// The same from zero.
template <bool Bf16>
__device__ __forceinline__ float4
marlin_product(const uint32_t a[4], const uint32_t b[2])
{
    float4 d;
    if (Bf16)
        asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
            "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%10,%10,%10,%10};"
            : "=f"(d.x), "=f"(d.y), "=f"(d.z), "=f"(d.w)
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "f"(0.f));
    else
        asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
            "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%10,%10,%10,%10};"
            : "=f"(d.x), "=f"(d.y), "=f"(d.z), "=f"(d.w)
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "f"(0.f));
    return d;
}

__device__ __forceinline__ __half2
as_half2(uint32_t v)
{
    return *reinterpret_cast<__half2 *>(&v);
}

__device__ __forceinline__ __nv_bfloat162
as_bf162(uint32_t v)
{
    return *reinterpret_cast<__nv_bfloat162 *>(&v);
}

template <class T>
__device__ __forceinline__ uint32_t
as_word(T v)
{
    return *reinterpret_cast<uint32_t *>(&v);
}

template <bool Bf16>
__device__ __forceinline__ float
marlin_float(uint16_t bits)
{
    return Bf16 ? __uint_as_float((uint32_t)bits << 16) : __half2float(__ushort_as_half(bits));
}

template <bool Bf16>
__device__ __forceinline__ uint32_t
marlin_pair(float low, float high)
{
    return Bf16 ? as_word(__floats2bfloat162_rn(low, high)) : as_word(__floats2half2_rn(low, high));
}

// A checkpoint's parameters of a word's columns as the functions below want them: zero points of
// rows r (low half) and r+8, once more for codes in high nibbles.
struct marlin_zeros {
    uint32_t low, high;
};

// `zero` has integers in its halves. fp16: -(1024 + z) and -(64 + z). bf16: -z * 2^-6.
template <bool Bf16>
__device__ __forceinline__ marlin_zeros
marlin_zeros_of(uint32_t zero)
{
    marlin_zeros z;
    if (Bf16) {
        z.low = z.high = as_word(__hmul2(as_bf162(zero), as_bf162(0xff00ff00u))); // * -2^127
    } else {
        z.low = zero | 0xe400e400u;
        z.high = as_word(__hadd2(as_half2(z.low), as_half2(0x63806380u)));
    }
    return z;
}

// q - z of one word's 16 x 16 weights, exact; in bf16 * 2^-6. fp16: codes become 1024 + q or
// 1024 + 16 q by an OR. bf16: a masked code is q * 2^-133 or q * 2^-129, a subnormal number or the
// first normal ones alike.
template <bool Bf16>
__device__ __forceinline__ void
marlin_integers4(uint32_t a[4], uint32_t word, marlin_zeros zero)
{
    const uint32_t word8 = word >> 8;
    if (Bf16) {
        const __nv_bfloat162 up0 = as_bf162(0x7f007f00u),
                             up1 = as_bf162(0x7d007d00u); // 2^127, 2^123
        const __nv_bfloat162 z0 = __low2bfloat162(as_bf162(zero.low)),
                             z1 = __high2bfloat162(as_bf162(zero.low));
        a[0] = as_word(__hfma2(as_bf162(word & 0x000f000fu), up0, z0));
        a[1] = as_word(__hfma2(as_bf162(word8 & 0x000f000fu), up0, z1));
        a[2] = as_word(__hfma2(as_bf162(word & 0x00f000f0u), up1, z0));
        a[3] = as_word(__hfma2(as_bf162(word8 & 0x00f000f0u), up1, z1));
    } else {
        const __half2 down = as_half2(0x2c002c00u); // 1/16
        const __half2 z = as_half2(zero.low), zh = as_half2(zero.high);
        const __half2 q0 = as_half2(ptx_and_or<0x000f000fu, 0x64006400u>(word));
        const __half2 q1 = as_half2(ptx_and_or<0x000f000fu, 0x64006400u>(word8));
        const __half2 q2 = as_half2(ptx_and_or<0x00f000f0u, 0x64006400u>(word));
        const __half2 q3 = as_half2(ptx_and_or<0x00f000f0u, 0x64006400u>(word8));
        a[0] = as_word(__hadd2(q0, __low2half2(z)));
        a[1] = as_word(__hadd2(q1, __high2half2(z)));
        a[2] = as_word(__hfma2(q2, down, __low2half2(zh)));
        a[3] = as_word(__hfma2(q3, down, __high2half2(zh)));
    }
}

// q - 128 of the two words of 16 x 16 weights, exact; in bf16 * 2^-6.
template <bool Bf16>
__device__ __forceinline__ void
marlin_integers8(uint32_t a[4], uint32_t word0, uint32_t word1)
{
    const uint32_t fill = Bf16 ? 0 : 0x64646464u;
    const uint32_t q[4] = {__byte_perm(word0, fill, 0x4240), __byte_perm(word1, fill, 0x4240),
                           __byte_perm(word0, fill, 0x4341), __byte_perm(word1, fill, 0x4341)};
#pragma unroll
    for (int i = 0; i < 4; i++)
        a[i] = Bf16 ? as_word(__hfma2(as_bf162(q[i]), as_bf162(0x7f007f00u), as_bf162(0xc000c000u)))
                    : as_word(__hadd2(as_half2(q[i]), as_half2(0xe480e480u)));
}

// What scales are multiplied by to undo the 2^-6.
template <bool Bf16>
__device__ __forceinline__ float
marlin_unit(void)
{
    return Bf16 ? 64 : 1;
}

// Integers times scales of rows r (low half) and r+8, rounded once.
template <bool Bf16>
__device__ __forceinline__ void
marlin_scale(uint32_t a[4], uint32_t scale)
{
    if (Bf16) {
        const __nv_bfloat162 s = __hmul2(as_bf162(scale), as_bf162(0x42804280u)); // 64
#pragma unroll
        for (int i = 0; i < 4; i++)
            a[i] =
                as_word(__hmul2(as_bf162(a[i]), i % 2 ? __high2bfloat162(s) : __low2bfloat162(s)));
    } else {
#pragma unroll
        for (int i = 0; i < 4; i++)
            a[i] = as_word(__hmul2(as_half2(a[i]), i % 2 ? __high2half2(as_half2(scale))
                                                         : __low2half2(as_half2(scale))));
    }
}

} // namespace

#endif
