// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// What the W8A8 kernels share: parameters, where a block of weights lies, and the epilogue.
//
// All of them compute y^T = w x^T: weights are the 64-row operand of wgmma, tokens its columns, so
// that few tokens waste nothing. A stage of the ring in shared memory holds weights (64 or 128
// rows) and tokens in blocks of 128 bytes of K, one or two, with the copy engine's 128-byte
// swizzle.
//
// DLQ_K_W8_TILES holds the weights as they lie in a stage: blocks of 64 rows x 128 bytes of K, 8
// KiB each, zero beyond n and k, rows padded to a multiple of 128, K first:
//
//     block (n / 64, k / 128) at ((n / 64) * ceil(K / 128) + k / 128) * 8192
//     row n % 64 of it: 128 bytes at (n % 64) * 128, in pieces of 16 bytes
//     piece k % 128 / 16 of a row at position (k % 128 / 16) ^ (n % 8): the 128-byte swizzle
//
// so 64 rows are one contiguous stream that needs no tensor map.
#ifndef DLQ_KERNELS_CUDA_W8_KERNEL_CUH
#define DLQ_KERNELS_CUDA_W8_KERNEL_CUH

#include "ptx.cuh"
#include "w8.h"
#include "w8_wgmma.cuh"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

enum { W8_BLOCK_K = 128 };

// Warpgroups of a tile's CTA that multiply.
constexpr __host__ __device__ int
w8_tile_warpgroups(int rows)
{
    return rows == 192 ? 3 : 2;
}

// Division by a number that the host knows: a CTA's first copy waits for where its tile is, and the
// device's own division takes 100 cycles.
struct w8_divisor {
    int by;
    uint32_t inverse; // floor(2^32 / by), or 2^32 - 1

    __host__ void set(int divisor)
    {
        by = divisor;
        inverse = divisor == 1 ? UINT32_MAX : (uint32_t)((1ull << 32) / (uint32_t)divisor);
    }

    // x / by, for x from 0 on: the product with the inverse is that or one less.
    __device__ __forceinline__ int divide(int x, int *rest) const
    {
        int q = (int)__umulhi((uint32_t)x, inverse);
        *rest = x - q * by;
        if (*rest >= by) {
            *rest -= by;
            q++;
        }
        return q;
    }
};

struct w8_params {
    const uint8_t *w; // DLQ_K_W8_TILES
    const uint8_t *x;
    void *y;
    const float *x_scale; // NULL when block-scaled: then the copy engine brings the scales
    const float *w_scale;
    const void *bias;
    const int32_t *x_zero;
    const int32_t *w_sum;
    int64_t ldx;
    int64_t ldy;
    int m;
    int n;
    int k;
    int k_blocks;
    int k_padded;   // blocks of K in DLQ_K_W8_TILES
    int row_blocks; // of 64, DLQ_K_W8_TILES
    int w_scale_ld; // block-scaled: blocks of K
    int stages;
    int units;       // stream: units of work
    int unit;        // stream: weight rows of one
    int half;        // stream: bytes of one K block of 64 of its rows, or of all where it has fewer
    int stage_bytes; // stream
    int reduce_at;   // stream: byte of the cluster's reduction buffer, 0 when it reuses the ring
    int consts_at;   // stream: byte of the rows' and tokens' scales
    int scales_at;   // block-scaled: byte of the stages' token scales
    int bars_at;     // byte of the barriers in shared memory
    int split_log;   // binary logarithm of the CTAs of a cluster that share a K
    int share;       // tile: CTAs sharing x
    int x_box;       // tokens that one of them brings
    int group;       // tile: token blocks walked together
    int token_blocks;                       // tile
    int workers;                            // tile: CTAs, or clusters that share x
    w8_divisor by_share, by_group, by_last; // tile: by_last: token blocks of the last group
    w8_divisor by_area;                     // tile: tiles of a whole group
    w8_divisor by_k;                        // tile: K blocks
    int whole;                              // tile: tiles before this one are computed whole
    int run; // tile: K blocks of the others a worker; the first `run_extra` have one more
    int run_extra;
    float4 *partials; // tile: sums of shared tiles, one tile a CTA
    unsigned *flags;  // tile: one a CTA: its sums are there; 0 between calls
    bool lag;         // tile: the second warpgroup begins two K blocks after the first
    int bias_dtype;
    bool y_bf16;
    bool tiles; // weights in DLQ_K_W8_TILES
    bool x_scale_one;
    bool w_scale_one;
    bool early;  // weights are asked for before the wait for the previous kernel
    bool narrow; // stream: y takes 2-byte stores only
};

// Bytes of a stage's token scales: boxes begin at multiples of 128.
constexpr __host__ __device__ int
w8_scale_bytes(int tokens)
{
    return tokens * 4 < 128 ? 128 : tokens * 4;
}

// Scale, bias and zero-point factor of one weight row.
struct alignas(16) w8_row {
    float scale;
    float bias;
    int32_t sum;
};

// Scale and zero point of one token.
struct alignas(8) w8_token {
    float scale;
    int32_t zero;
};

DLQ_DEV w8_row
w8_row_load(const w8_params &p, int n)
{
    w8_row r = {0.0f, 0.0f, 0};
    if (n >= p.n)
        return r;
    r.scale = p.x_scale ? __ldg(p.w_scale + (p.w_scale_one ? 0 : n)) : 1.0f;
    if (p.x_zero)
        r.sum = __ldg(p.w_sum + n);
    if (p.bias) {
        if (p.bias_dtype == (int)DLQ_F32)
            r.bias = __ldg((const float *)p.bias + n);
        else if (p.bias_dtype == (int)DLQ_BF16)
            r.bias = __bfloat162float(__ldg((const __nv_bfloat16 *)p.bias + n));
        else
            r.bias = __half2float(__ldg((const __half *)p.bias + n));
    }
    return r;
}

DLQ_DEV float
w8_x_scale(const w8_params &p, int m)
{
    if (!p.x_scale)
        return 1.0f;
    return m < p.m ? __ldg(p.x_scale + (p.x_scale_one ? 0 : m)) : 0.0f;
}

DLQ_DEV int32_t
w8_x_zero(const w8_params &p, int m)
{
    return p.x_zero && m < p.m ? __ldg(p.x_zero + m) : 0;
}

DLQ_DEV float
w8_float(int32_t acc)
{
    return __int2float_rn(acc);
}

DLQ_DEV float
w8_float(float acc)
{
    return acc;
}

// The definition: product of the scales first, every step rounded to fp32, no fused multiply-add.
template <bool Bias, class Acc>
DLQ_DEV float
w8_value(Acc acc, const w8_row &r, float x_scale)
{
    const float v = __fmul_rn(w8_float(acc), __fmul_rn(r.scale, x_scale));
    return Bias ? __fadd_rn(v, r.bias) : v;
}

// Takes the zero points out of the four sums of a thread in one block (two rows, two tokens).
DLQ_DEV void
w8_subtract_zero(int32_t *acc, const w8_row &r0, const w8_row &r1, int32_t z0, int32_t z1)
{
    acc[0] -= z0 * r0.sum;
    acc[1] -= z1 * r0.sum;
    acc[2] -= z0 * r1.sum;
    acc[3] -= z1 * r1.sum;
}

// FP8 has no zero points.
DLQ_DEV void
w8_subtract_zero(float *, const w8_row &, const w8_row &, int32_t, int32_t)
{
}

template <bool Bf16>
DLQ_DEV uint32_t
w8_pack2(float lo, float hi)
{
    if constexpr (Bf16) {
        const __nv_bfloat162 v = __floats2bfloat162_rn(lo, hi);
        return *(const uint32_t *)&v;
    } else {
        const __half2 v = __floats2half2_rn(lo, hi);
        return *(const uint32_t *)&v;
    }
}

// K block kb of 64 weight rows from n0 on in DLQ_K_W8_TILES. Neighbours in a cluster may lie beyond
// the weight: any block will do, nothing is stored.
DLQ_DEV const uint8_t *
w8_tile_at(const w8_params &p, int n0, int kb)
{
    return p.w + ((int64_t)min(n0 >> 6, p.row_blocks - 1) * p.k_padded + kb) * 8192;
}

// One K block of one warpgroup: `rows64` blocks of 64 weight rows from `w`, all tokens from `x`.
template <class Op, int Rows64, int Tokens>
DLQ_DEV void w8_block(typename Op::acc (*d)[Tokens / 2], uint32_t w, uint32_t x, bool add)
{
    const uint64_t dw = ptx_wgmma_desc128(w);
    const uint64_t dx = ptx_wgmma_desc128(x);
#pragma unroll
    for (int k = 0; k < W8_BLOCK_K / 32; k++)
#pragma unroll
        for (int i = 0; i < Rows64; i++)
            Op::template mma<Tokens>(d[i], dw + i * 512 + k * 2, dx + k * 2, add || k > 0);
}

// A warp frees a stage.
DLQ_DEV void
w8_release(uint32_t bar, int lane)
{
    if (lane == 0)
        ptx_mbar_arrive(bar);
}

// Four sums on their way to another CTA.
DLQ_DEV float4
w8_as_float4(const float *v)
{
    return make_float4(v[0], v[1], v[2], v[3]);
}

DLQ_DEV float4
w8_as_float4(const int32_t *v)
{
    return make_float4(__int_as_float(v[0]), __int_as_float(v[1]), __int_as_float(v[2]),
                       __int_as_float(v[3]));
}

DLQ_DEV void
w8_add4(float *v, uint32_t addr)
{
    const uint4 u = ptx_lds128(addr);
    v[0] += __uint_as_float(u.x);
    v[1] += __uint_as_float(u.y);
    v[2] += __uint_as_float(u.z);
    v[3] += __uint_as_float(u.w);
}

DLQ_DEV void
w8_add4(int32_t *v, uint32_t addr)
{
    const uint4 u = ptx_lds128(addr);
    v[0] += (int32_t)u.x;
    v[1] += (int32_t)u.y;
    v[2] += (int32_t)u.z;
    v[3] += (int32_t)u.w;
}

// Adds a K block's sums to the fp32 ones, block-scaled with w_scale and the tokens' scales at
// `x_scales` in shared memory.
template <int Tokens, bool Scaled>
DLQ_DEV void
w8_promote(float *acc, const float *part, float w_scale, uint32_t x_scales, int lane)
{
#pragma unroll
    for (int j = 0; j < Tokens / 8; j++) {
        float f[2];
        if constexpr (Scaled) {
            const uint2 v = ptx_lds64(x_scales + (8 * j + 2 * (lane & 3)) * 4);
            f[0] = __uint_as_float(v.x) * w_scale;
            f[1] = __uint_as_float(v.y) * w_scale;
        }
#pragma unroll
        for (int i = 0; i < 4; i++) {
            if constexpr (Scaled)
                acc[4 * j + i] = fmaf(part[4 * j + i], f[i & 1], acc[4 * j + i]);
            else
                acc[4 * j + i] += part[4 * j + i];
        }
    }
}

// One K block whose sums leave the tensor core: all at once, scaled, or after each product of 32
// elements, so that none of its sums is added to there.
template <class Op, int Tokens, int Mode>
DLQ_DEV void
w8_block_promoted(typename Op::acc *acc, uint32_t w, uint32_t x, float w_scale, uint32_t x_scales,
                  int lane)
{
    constexpr bool scaled = Mode == DLQ_K_W8_BLOCK_SCALED;
    constexpr int at_once = scaled ? W8_BLOCK_K / 32 : 1;
    const uint64_t dw = ptx_wgmma_desc128(w), dx = ptx_wgmma_desc128(x);
    typename Op::acc part[Tokens / 2];
#pragma unroll
    for (int k = 0; k < W8_BLOCK_K / 32; k += at_once) {
        ptx_wgmma_fence();
#pragma unroll
        for (int i = 0; i < at_once; i++)
            Op::template mma<Tokens>(part, dw + 2 * (k + i), dx + 2 * (k + i), i > 0);
        ptx_wgmma_commit();
        ptx_wgmma_wait<0>();
        w8_promote<Tokens, scaled>(acc, part, w_scale, x_scales, lane);
    }
}

#endif
