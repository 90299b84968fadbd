// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// From packed words to operand registers of the tensor cores: q - z, exact. Codes alone, masked in
// place, would be subnormal numbers, and tensor cores align products by the exponents of their
// factors: beside an x far larger than the rest such products lose bits.
#ifndef DLQ_KERNELS_CUDA_SM90_W4_CONVERT_CUH
#define DLQ_KERNELS_CUDA_SM90_W4_CONVERT_CUH

#include "sm90_w4_common.cuh"

DLQ_DEV __half2
w4_half2(uint32_t v)
{
    return *reinterpret_cast<__half2 *>(&v);
}

DLQ_DEV __nv_bfloat162
w4_bf162(uint32_t v)
{
    return *reinterpret_cast<__nv_bfloat162 *>(&v);
}

template <class T>
DLQ_DEV uint32_t
w4_bits(T v)
{
    return *reinterpret_cast<uint32_t *>(&v);
}

// Rows r and r+8 of a word: the scale in the low half, in the high half what takes the zero point
// away. fp16: codes become 1024 + q or, in high nibbles, 1024 + 16 q by an OR. bf16: a masked code
// is the number q * 2^-133 or q * 2^-129; q - z appears times 2^-6 and the scale times 2^6.
template <bool Bf16> struct w4_integers {
    uint32_t r, r8;

    __device__ __forceinline__ void set(uint2 pairs)
    {
        if (Bf16) { // 64 s, -z / 64
            r = w4_bits(__hmul2(w4_bf162(pairs.x), w4_bf162(0xbc804280u)));
            r8 = w4_bits(__hmul2(w4_bf162(pairs.y), w4_bf162(0xbc804280u)));
        } else { // s, 1024 + z or 64 + z
            r = w4_bits(__hadd2(w4_half2(pairs.x), w4_half2(0x64000000u)));
            r8 = w4_bits(__hadd2(w4_half2(pairs.y), w4_half2(0x54000000u)));
        }
    }

    __device__ __forceinline__ float scale(void) const
    {
        return w4_low<Bf16>(r);
    }

    __device__ __forceinline__ float scale8(void) const
    {
        return w4_low<Bf16>(r8);
    }

    __device__ __forceinline__ void word(uint32_t v, uint32_t a[4]) const
    {
        const uint32_t v8 = v >> 8;
        if (Bf16) {
            const __nv_bfloat162 up = w4_bf162(0x7f007f00u), up8 = w4_bf162(0x7d007d00u);
            const __nv_bfloat162 z = __high2bfloat162(w4_bf162(r)),
                                 z8 = __high2bfloat162(w4_bf162(r8));
            a[0] = w4_bits(__hfma2(w4_bf162(v & 0x000f000fu), up, z));
            a[1] = w4_bits(__hfma2(w4_bf162(v & 0x00f000f0u), up8, z8));
            a[2] = w4_bits(__hfma2(w4_bf162(v8 & 0x000f000fu), up, z));
            a[3] = w4_bits(__hfma2(w4_bf162(v8 & 0x00f000f0u), up8, z8));
        } else {
            const __half2 sixteenth = w4_half2(0x2c002c00u);
            const __half2 z = __high2half2(w4_half2(r)), z8 = __hneg2(__high2half2(w4_half2(r8)));
            const __half2 q0 = w4_half2(ptx_and_or<0x000f000fu, 0x64006400u>(v));
            const __half2 q1 = w4_half2(ptx_and_or<0x00f000f0u, 0x64006400u>(v));
            const __half2 q2 = w4_half2(ptx_and_or<0x000f000fu, 0x64006400u>(v8));
            const __half2 q3 = w4_half2(ptx_and_or<0x00f000f0u, 0x64006400u>(v8));
            a[0] = w4_bits(__hsub2(q0, z));
            a[1] = w4_bits(__hfma2(q1, sixteenth, z8));
            a[2] = w4_bits(__hsub2(q2, z));
            a[3] = w4_bits(__hfma2(q3, sixteenth, z8));
        }
    }

    // The same times the scale, rounded once.
    __device__ __forceinline__ void weights(uint32_t v, uint32_t a[4]) const
    {
        word(v, a);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const uint32_t s = i % 2 ? r8 : r;
            a[i] = Bf16 ? w4_bits(__hmul2(w4_bf162(a[i]), __low2bfloat162(w4_bf162(s))))
                        : w4_bits(__hmul2(w4_half2(a[i]), __low2half2(w4_half2(s))));
        }
    }
};

#endif
