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
#ifndef DLQ_KERNELS_CUDA_SM80_W4_OPERAND_CUH
#define DLQ_KERNELS_CUDA_SM80_W4_OPERAND_CUH

#include "ptx.cuh"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

namespace
{

template <bool Bf16>
__device__ __forceinline__ void
w4_mma(float4 &c, const uint32_t a[4], const uint32_t b[2])
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
w4_product(const uint32_t a[4], const uint32_t b[2])
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
w4_float(uint16_t bits)
{
    return Bf16 ? __uint_as_float((uint32_t)bits << 16) : __half2float(__ushort_as_half(bits));
}

template <bool Bf16>
__device__ __forceinline__ uint32_t
w4_pair(float low, float high)
{
    return Bf16 ? as_word(__floats2bfloat162_rn(low, high)) : as_word(__floats2half2_rn(low, high));
}

// (q - z) * s of one word's 16 x 16 weights, rounded once. `scale` and `zero` are those of rows r
// (low half) and r+8. fp16: codes become 1024 + q or 1024 + 16 q by an OR, and q - z is exact.
// bf16: a masked code is q * 2^-133 or q * 2^-129, a subnormal number or the first normal ones
// alike, and (q - z) * 2^-6 is exact; the scale takes the 2^6.
template <bool Bf16>
__device__ __forceinline__ void
w4_weights4(uint32_t a[4], uint32_t word, uint32_t scale, uint32_t zero)
{
    const uint32_t word8 = word >> 8;
    if (Bf16) {
        const __nv_bfloat162 up0 = as_bf162(0x7f007f00u),
                             up1 = as_bf162(0x7d007d00u); // 2^127, 2^123
        const __nv_bfloat162 z = __hmul2(as_bf162(zero), as_bf162(0xff00ff00u));
        const __nv_bfloat162 s = __hmul2(as_bf162(scale), as_bf162(0x42804280u));
        const __nv_bfloat162 z0 = __low2bfloat162(z), z1 = __high2bfloat162(z);
        const __nv_bfloat162 s0 = __low2bfloat162(s), s1 = __high2bfloat162(s);
        a[0] = as_word(__hmul2(__hfma2(as_bf162(word & 0x000f000fu), up0, z0), s0));
        a[1] = as_word(__hmul2(__hfma2(as_bf162(word8 & 0x000f000fu), up0, z1), s1));
        a[2] = as_word(__hmul2(__hfma2(as_bf162(word & 0x00f000f0u), up1, z0), s0));
        a[3] = as_word(__hmul2(__hfma2(as_bf162(word8 & 0x00f000f0u), up1, z1), s1));
    } else {
        const __half2 down = as_half2(0x2c002c00u); // 1/16
        const __half2 z = as_half2(zero | 0xe400e400u), zh = __hadd2(z, as_half2(0x63806380u));
        const __half2 s0 = __low2half2(as_half2(scale)), s1 = __high2half2(as_half2(scale));
        const __half2 q0 = as_half2(ptx_and_or<0x000f000fu, 0x64006400u>(word));
        const __half2 q1 = as_half2(ptx_and_or<0x000f000fu, 0x64006400u>(word8));
        const __half2 q2 = as_half2(ptx_and_or<0x00f000f0u, 0x64006400u>(word));
        const __half2 q3 = as_half2(ptx_and_or<0x00f000f0u, 0x64006400u>(word8));
        a[0] = as_word(__hmul2(__hadd2(q0, __low2half2(z)), s0));
        a[1] = as_word(__hmul2(__hadd2(q1, __high2half2(z)), s1));
        a[2] = as_word(__hmul2(__hfma2(q2, down, __low2half2(zh)), s0));
        a[3] = as_word(__hmul2(__hfma2(q3, down, __high2half2(zh)), s1));
    }
}

// (q - 128) * s of the two words of 16 x 16 weights.
template <bool Bf16>
__device__ __forceinline__ void
w4_weights8(uint32_t a[4], uint32_t word0, uint32_t word1, uint32_t scale)
{
    const uint32_t q[4] = {__byte_perm(word0, Bf16 ? 0 : 0x64646464u, 0x4240),
                           __byte_perm(word1, Bf16 ? 0 : 0x64646464u, 0x4240),
                           __byte_perm(word0, Bf16 ? 0 : 0x64646464u, 0x4341),
                           __byte_perm(word1, Bf16 ? 0 : 0x64646464u, 0x4341)};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        if (Bf16) {
            const __nv_bfloat162 s = __hmul2(as_bf162(scale), as_bf162(0x42804280u));
            const __nv_bfloat162 d =
                __hfma2(as_bf162(q[i]), as_bf162(0x7f007f00u), as_bf162(0xc000c000u));
            a[i] = as_word(__hmul2(d, i % 2 ? __high2bfloat162(s) : __low2bfloat162(s)));
        } else {
            const __half2 d = __hadd2(as_half2(q[i]), as_half2(0xe480e480u)); // -1152
            a[i] = as_word(
                __hmul2(d, i % 2 ? __high2half2(as_half2(scale)) : __low2half2(as_half2(scale))));
        }
    }
}

// A small integer without the slow conversion.
__device__ __forceinline__ float
w4_integer(uint32_t v)
{
    return __uint_as_float(0x4b000000u | v) - 0x1p23f;
}

// x * 2^64 in bf16: exact, keeps Inf and NaN. Products with subnormal codes then are no subnormal
// numbers.
__device__ __forceinline__ uint32_t
w4_raised(uint32_t v)
{
    return as_word(__hmul2(as_bf162(v), as_bf162(0x5f805f80u)));
}

} // namespace

#endif
