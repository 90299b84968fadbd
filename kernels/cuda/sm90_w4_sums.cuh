// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// A warp's sums over packed words by mma.sync m16n8k16, the weights as the 16-row operand, so that
// no row of the instruction is wasted on absent tokens.
//
// The weights are never converted: the 4-bit codes, masked in place, are subnormal numbers q *
// 2^-24 or q * 2^-20 (fp16), and q * 2^-133 or q * 2^-129 (bf16, where x is raised by 2^64 to keep
// the products normal); the tensor core takes them as they are. A second product with the code 1 in
// all rows gives the sum of x over the group, in the same layout, and
//   sum (q - z) s x = s (sum q x - z sum x)
// is formed in fp32 at the end of each group.
#ifndef DLQ_KERNELS_CUDA_SM90_W4_SUMS_CUH
#define DLQ_KERNELS_CUDA_SM90_W4_SUMS_CUH

#include "sm90_w4_common.cuh"

template <bool BF>
DLQ_DEV void
w4_mma(float c[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t b0, uint32_t b1)
{
    if (BF)
        asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
            "{%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
            : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
            : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
    else
        asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
            "{%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
            : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
            : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

// x * 2^64 in bf16: exact, keeps Inf and NaN.
DLQ_DEV uint32_t
w4_raise(uint32_t v)
{
    uint32_t r;
    asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(r) : "r"(v), "r"(0x5f805f80u), "r"(0x80008000u));
    return r;
}

// P strips x NT tiles of 8 tokens. Group: of the packed form (0: one for all of k).
template <bool Bf16, int Group, int Nt, int P> struct w4_sums {
    float acc[P][Nt][4];
    float part[P][Nt][4]; // sum q x over the group
    float xsum[Nt][4];    // sum x over the group, in both rows' factors

    __device__ __forceinline__ void clear(void)
    {
#pragma unroll
        for (int p = 0; p < P; p++)
#pragma unroll
            for (int t = 0; t < Nt; t++)
#pragma unroll
                for (int i = 0; i < 4; i++)
                    acc[p][t][i] = 0;
        if (Group == 0)
            clear_group();
    }

    __device__ __forceinline__ void clear_group(void)
    {
#pragma unroll
        for (int t = 0; t < Nt; t++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                xsum[t][i] = 0;
#pragma unroll
                for (int p = 0; p < P; p++)
                    part[p][t][i] = 0;
            }
    }

    __device__ __forceinline__ void fold(int p, uint2 pairs)
    {
        // The factors undo where the codes sit in their 16 bits, and the raised x.
        const float f0 = w4_low<Bf16>(pairs.x) * (Bf16 ? 0x1p69f : 0x1p24f),
                    z0 = w4_high<Bf16>(pairs.x);
        const float f1 = w4_low<Bf16>(pairs.y) * (Bf16 ? 0x1p65f : 0x1p20f),
                    z1 = w4_high<Bf16>(pairs.y);
#pragma unroll
        for (int t = 0; t < Nt; t++) {
            acc[p][t][0] = fmaf(f0, fmaf(-z0, xsum[t][0], part[p][t][0]), acc[p][t][0]);
            acc[p][t][1] = fmaf(f0, fmaf(-z0, xsum[t][1], part[p][t][1]), acc[p][t][1]);
            acc[p][t][2] = fmaf(f1, fmaf(-z1, xsum[t][2], part[p][t][2]), acc[p][t][2]);
            acc[p][t][3] = fmaf(f1, fmaf(-z1, xsum[t][3], part[p][t][3]), acc[p][t][3]);
        }
    }

    // Block c (64 k) of a unit: a lane's words of the P strips, x in shared memory (`xrow`: this
    // lane's ldmatrix address for the unit), and pairs(p, g): scales and zero points of the lane's
    // rows, group g of the unit.
    template <class Pairs>
    __device__ __forceinline__ void block(const uint4 words[P], const uint32_t xrow[Nt], int c,
                                          Pairs pairs)
    {
        uint32_t xf[Nt][8];
#pragma unroll
        for (int t = 0; t < Nt; t++) {
            ptx_ldmatrix4(xf[t], xrow[t] + c * 128);
            ptx_ldmatrix4(xf[t] + 4, xrow[t] + c * 128 + 64);
            if (Bf16)
#pragma unroll
                for (int i = 0; i < 8; i++)
                    xf[t][i] = w4_raise(xf[t][i]);
        }
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const bool starts = Group == 32    ? j % 2 == 0
                                : Group == 64  ? j == 0
                                : Group == 128 ? j == 0 && c == 0
                                               : false;
            if (starts)
                clear_group();
#pragma unroll
            for (int p = 0; p < P; p++) {
                const uint32_t v = j == 0   ? words[p].x
                                   : j == 1 ? words[p].y
                                   : j == 2 ? words[p].z
                                            : words[p].w;
                const uint32_t v8 = v >> 8;
#pragma unroll
                for (int t = 0; t < Nt; t++)
                    w4_mma<Bf16>(part[p][t], v & 0x000f000fu, v & 0x00f000f0u, v8 & 0x000f000fu,
                                 v8 & 0x00f000f0u, xf[t][2 * j], xf[t][2 * j + 1]);
            }
#pragma unroll
            for (int t = 0; t < Nt; t++)
                w4_mma<Bf16>(xsum[t], 0x00010001u, 0x00100010u, 0x00010001u, 0x00100010u,
                             xf[t][2 * j], xf[t][2 * j + 1]);
            const bool ends = Group == 32    ? j % 2 == 1
                              : Group == 64  ? j == 3
                              : Group == 128 ? j == 3 && c == 1
                                             : false;
            if (ends)
#pragma unroll
                for (int p = 0; p < P; p++)
                    fold(p, pairs(p, Group ? (64 * c + 16 * j) / Group : 0));
        }
    }
};

// Four outputs of a token, from `row` on.
template <bool Bf16>
DLQ_DEV void
w4_store4(char *y, int64_t ldy, const float *bias, int n, int tok, int row, float4 v)
{
    const float sum[4] = {v.x, v.y, v.z, v.w};
    uint16_t *to = (uint16_t *)y + tok * ldy + row;
    uint16_t out[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const float b = bias && row + i < n ? bias[row + i] : 0;
        out[i] = w4_round<Bf16>(sum[i] + b);
    }
    if (row + 4 <= n && ((uintptr_t)to & 7) == 0)
        *(uint2 *)to = make_uint2(out[0] | (uint32_t)out[1] << 16, out[2] | (uint32_t)out[3] << 16);
    else
        for (int i = 0; i < 4 && row + i < n; i++)
            to[i] = out[i];
}

#endif
