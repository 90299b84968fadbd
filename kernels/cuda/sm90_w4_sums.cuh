// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// A warp's sums over packed words by mma.sync m16n8k16, the weights as the 16-row operand, so that
// no row of the instruction is wasted on absent tokens.
//
// Operands are q - z (sm90_w4_convert.cuh), whose sums are exact products' in fp32; the scale is
// applied to them at the end of each group.
#ifndef DLQ_KERNELS_CUDA_SM90_W4_SUMS_CUH
#define DLQ_KERNELS_CUDA_SM90_W4_SUMS_CUH

#include "sm90_w4_convert.cuh"

template <bool BF>
DLQ_DEV void
w4_mma(float c[4], const uint32_t a[4], uint32_t b0, uint32_t b1)
{
    if (BF)
        asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
            "{%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
            : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
    else
        asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
            "{%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
            : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// P strips x NT tiles of 8 tokens. Group: of the packed form (0: one for all of k, whose pairs are
// set beforehand).
template <bool Bf16, int Group, int Nt, int P> struct w4_sums {
    float acc[P][Nt][4];
    float part[P][Nt][4]; // over the group, without the scale
    w4_integers<Bf16> form[P];

    __device__ __forceinline__ void clear(float c[P][Nt][4])
    {
#pragma unroll
        for (int p = 0; p < P; p++)
#pragma unroll
            for (int t = 0; t < Nt; t++)
#pragma unroll
                for (int i = 0; i < 4; i++)
                    c[p][t][i] = 0;
    }

    __device__ __forceinline__ void clear(void)
    {
        clear(acc);
        clear(part);
    }

    __device__ __forceinline__ void fold(void)
    {
#pragma unroll
        for (int p = 0; p < P; p++) {
            const float s = form[p].scale(), s8 = form[p].scale8();
#pragma unroll
            for (int t = 0; t < Nt; t++) {
                acc[p][t][0] = fmaf(s, part[p][t][0], acc[p][t][0]);
                acc[p][t][1] = fmaf(s, part[p][t][1], acc[p][t][1]);
                acc[p][t][2] = fmaf(s8, part[p][t][2], acc[p][t][2]);
                acc[p][t][3] = fmaf(s8, part[p][t][3], acc[p][t][3]);
            }
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
        }
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const bool starts = Group != 0 && (64 * c + 16 * j) % (Group ? Group : 1) == 0;
            const bool ends = Group != 0 && (64 * c + 16 * j + 16) % (Group ? Group : 1) == 0;
            if (starts) {
                clear(part);
#pragma unroll
                for (int p = 0; p < P; p++)
                    form[p].set(pairs(p, (64 * c + 16 * j) / (Group ? Group : 1)));
            }
#pragma unroll
            for (int p = 0; p < P; p++) {
                const uint32_t v = j == 0   ? words[p].x
                                   : j == 1 ? words[p].y
                                   : j == 2 ? words[p].z
                                            : words[p].w;
                uint32_t a[4];
                form[p].word(v, a);
#pragma unroll
                for (int t = 0; t < Nt; t++)
                    w4_mma<Bf16>(part[p][t], a, xf[t][2 * j], xf[t][2 * j + 1]);
            }
            if (ends)
                fold();
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
