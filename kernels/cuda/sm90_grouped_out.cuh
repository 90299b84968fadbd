// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// How sums of sm90_grouped.cuh become y: those of one CTA, and those that a cluster shares.
#ifndef DLQ_KERNELS_CUDA_SM90_GROUPED_OUT_CUH
#define DLQ_KERNELS_CUDA_SM90_GROUPED_OUT_CUH

#include "ptx_copy.cuh"
#include "ptx_mma.cuh"
#include "sm90_grouped_form.cuh"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

namespace
{

__device__ __forceinline__ float
factor_of(const float *factors, int i, int count)
{
    return factors != nullptr && i < count ? __ldg(factors + i) : 1.0f;
}

__device__ __forceinline__ float
bias_of(const wide_args &a, int n)
{
    return a.g.bias != nullptr && n < a.g.n ? __ldg(a.g.bias + n) : 0.0f;
}

__device__ __forceinline__ uint32_t
round2(bool bf16, float low, float high)
{
    if (bf16) {
        const __nv_bfloat162 v = __floats2bfloat162_rn(low, high);
        return *(const uint32_t *)&v;
    }
    const __half2 v = __floats2half2_rn(low, high);
    return *(const uint32_t *)&v;
}

__device__ __forceinline__ void
put8(const wide_args &a, int m, int n, uint4 v)
{
    if (m >= a.g.m || n >= a.g.n)
        return;
    uint16_t *const y = (uint16_t *)a.g.y + m * a.g.y_stride + n;
    if (n + 8 <= a.g.n && ((uintptr_t)y & 15) == 0) {
        *(uint4 *)y = v;
        return;
    }
    const uint32_t w[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
    for (int i = 0; i < 8; i++)
        if (n + i < a.g.n)
            y[i] = (uint16_t)(w[i / 2] >> 16 * (i % 2));
}

// A warpgroup's 64 columns x Bn rows, through its own buffer so that a row's columns leave side by
// side.
template <class C>
__device__ __forceinline__ void
store_sums(const wide_args &a, const float *sums, uint8_t *buffer, const wide_tile &t, int wg)
{
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32 % 4;
    const int n = t.n + wg * 64 + warp * 16 + lane / 4;
    const bool bf16 = a.g.y_dtype == DLQ_BF16;
    const float f[2] = {factor_of(a.g.factors, n, a.g.n) * C::unfold,
                        factor_of(a.g.factors, n + 8, a.g.n) * C::unfold};
    const float b[2] = {bias_of(a, n), bias_of(a, n + 8)};
    const uint32_t to = ptx_smem(buffer) + (lane / 16 * 8 + lane % 8) * C::out_pitch + warp * 32 +
                        lane / 8 % 2 * 16;
#pragma unroll
    for (int c = 0; c < C::Bn / C::chunk; c++) {
#pragma unroll
        for (int i = 0; i < C::chunk / 16; i++) {
            uint32_t p[4];
#pragma unroll
            for (int h = 0; h < 2; h++) {
                const float *const d = sums + (c * C::chunk + i * 16 + h * 8) / 2;
                const int m = t.m + c * C::chunk + i * 16 + h * 8 + 2 * (lane % 4);
                const float r[2] = {factor_of(a.g.row_scale, m, a.g.m),
                                    factor_of(a.g.row_scale, m + 1, a.g.m)};
                float v[4];
#pragma unroll
                for (int e = 0; e < 4; e++)
                    v[e] = __fadd_rn(__fmul_rn(d[e], __fmul_rn(r[e % 2], f[e / 2])), b[e / 2]);
                p[2 * h] = round2(bf16, v[0], v[1]);
                p[2 * h + 1] = round2(bf16, v[2], v[3]);
            }
            ptx_stmatrix4_trans(to + i * 16 * C::out_pitch, p[0], p[1], p[2], p[3]);
        }
        ptx_bar_sync(1 + wg, 128);
#pragma unroll
        for (int i = 0; i < C::chunk * 8 / 128; i++) {
            const int piece = i * 128 + threadIdx.x % 128, row = piece / 8, part = piece % 8;
            put8(a, t.m + c * C::chunk + row, t.n + wg * 64 + part * 8,
                 *(const uint4 *)(buffer + row * C::out_pitch + part * 16));
        }
        ptx_bar_sync(1 + wg, 128);
    }
}

// A cluster that shares a tile: every CTA owns as many strips of it and has an inbox for each
// CTA's sums of them, 512 bytes a strip and 8 rows, as they lie in registers

// One thread, before the cluster meets.
template <class C>
__device__ __forceinline__ void
expect_sums(const wide_args &a, uint32_t there, const wide_tile &t)
{
    ptx_mbar_init(there, 1);
    ptx_mbar_arrive_expect(there, C::strips * 512 * ((min(C::Bn, a.g.m - t.m) + 7) / 8));
}

template <class C>
__device__ __forceinline__ void
send_sums(const wide_args &a, const float *sums, uint32_t inbox, uint32_t there, const wide_tile &t,
          int rank, int strip)
{
    const int each = C::strips / a.parts, owner = strip / each, at = rank * each + strip % each;
    const uint32_t to = ptx_mapa(inbox + at * (C::Bn / 8) * 512 + threadIdx.x % 32 * 16, owner);
    const uint32_t bar = ptx_mapa(there, owner);
#pragma unroll
    for (int i = 0; i < C::Bn / 8; i++)
        if (t.m + 8 * i < a.g.m)
            ptx_st_async4(
                to + i * 512,
                make_float4(sums[4 * i], sums[4 * i + 1], sums[4 * i + 2], sums[4 * i + 3]), bar);
}

// 8 columns of 8 rows: `pair` has rows 2 * (lane % 4) and the next of column lane / 4.
__device__ __forceinline__ void
put_block(const wide_args &a, int m, int n, uint32_t pair)
{
    const uint32_t v = ptx_movmatrix_trans(pair);
    m += threadIdx.x % 32 / 4;
    n += threadIdx.x % 4 * 2;
    if (m >= a.g.m || n >= a.g.n)
        return;
    uint16_t *const y = (uint16_t *)a.g.y + m * a.g.y_stride + n;
    if (n + 2 <= a.g.n && ((uintptr_t)y & 3) == 0) {
        *(uint32_t *)y = v;
    } else {
        y[0] = (uint16_t)v;
        if (n + 1 < a.g.n)
            y[1] = (uint16_t)(v >> 16);
    }
}

// The owner adds the sums in order of K, a strip and 8 rows a warp.
template <class C>
__device__ __forceinline__ void
receive_sums(const wide_args &a, const uint8_t *inbox, uint32_t there, const wide_tile &t, int rank)
{
    constexpr int pieces = C::Bn / 8;
    const int lane = threadIdx.x % 32, each = C::strips / a.parts;
    const bool bf16 = a.g.y_dtype == DLQ_BF16;
    ptx_mbar_wait_cluster(there, 0);
#pragma unroll 1
    for (int i = threadIdx.x / 32; i < each * pieces; i += C::consumers / 32) {
        const int strip = i / pieces, m = t.m + i % pieces * 8;
        if (m >= a.g.m)
            continue;
        float sum[4] = {};
#pragma unroll 1
        for (int q = 0; q < a.parts; q++) {
            const float4 v =
                *(const float4 *)(inbox + ((q * each + strip) * pieces + i % pieces) * 512 +
                                  lane * 16);
            sum[0] += v.x, sum[1] += v.y, sum[2] += v.z, sum[3] += v.w;
        }
        const int n = t.n + (rank * each + strip) * 16, column = n + lane / 4;
        const float r[2] = {factor_of(a.g.row_scale, m + lane % 4 * 2, a.g.m),
                            factor_of(a.g.row_scale, m + lane % 4 * 2 + 1, a.g.m)};
        const float f[2] = {factor_of(a.g.factors, column, a.g.n) * C::unfold,
                            factor_of(a.g.factors, column + 8, a.g.n) * C::unfold};
        const float b[2] = {bias_of(a, column), bias_of(a, column + 8)};
#pragma unroll
        for (int e = 0; e < 4; e++)
            sum[e] = __fadd_rn(__fmul_rn(sum[e], __fmul_rn(r[e % 2], f[e / 2])), b[e / 2]);
        put_block(a, m, n, round2(bf16, sum[0], sum[1]));
        put_block(a, m, n + 8, round2(bf16, sum[2], sum[3]));
    }
}

} // namespace

#endif
