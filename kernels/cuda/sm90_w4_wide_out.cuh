// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// How the wide kernel's sums leave: to y, to the CTAs of a cluster that split a tile, or through
// the workspace to the worker that owns a shared tile.
#ifndef DLQ_KERNELS_CUDA_SM90_W4_WIDE_OUT_CUH
#define DLQ_KERNELS_CUDA_SM90_W4_WIDE_OUT_CUH

#include "sm90_w4_wide_parts.cuh"

DLQ_DEV void
w4_put(const w4_wide_args &a, int tok, int row, uint4 v)
{
    if (tok >= a.m || row >= a.n)
        return;
    uint16_t *y = (uint16_t *)a.y + tok * a.ldy + row;
    if (row + 8 <= a.n && ((uintptr_t)y & 15) == 0) {
        *(uint4 *)y = v;
        return;
    }
    const uint32_t w[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
    for (int i = 0; i < 8; i++)
        if (row + i < a.n)
            y[i] = (uint16_t)(w[i / 2] >> 16 * (i % 2));
}

DLQ_DEV float
w4_bias_at(const w4_wide_args &a, int row)
{
    return a.bias && row < a.n ? a.bias[row] : 0;
}

template <class C>
DLQ_DEV uint32_t
w4_round2(float low, float high)
{
    return w4_round<C::Bf16>(low) | (uint32_t)w4_round<C::Bf16>(high) << 16;
}

// A warpgroup's 64 outputs x BN tokens, through its own piece of shared memory so that a token's
// outputs leave side by side.
template <class C>
DLQ_DEV void
w4_store(const w4_wide_args &a, const float *acc, char *buffer, w4_tile t, int wg)
{
    constexpr int chunk = C::chunk;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32 % 4,
              row = t.n + wg * 64 + warp * 16 + lane / 4;
    const float b0 = w4_bias_at(a, row), b1 = w4_bias_at(a, row + 8);
    const uint32_t at = ptx_smem(buffer) + (lane / 16 * 8 + lane % 8) * C::out_stride + warp * 32 +
                        lane / 8 % 2 * 16;
#pragma unroll
    for (int c = 0; c < C::Bn / chunk; c++) {
#pragma unroll
        for (int i = 0; i < chunk / 16; i++) {
            const float *d = acc + (c * chunk + i * 16) / 2;
            uint32_t p[4];
#pragma unroll
            for (int h = 0; h < 2; h++) {
                p[2 * h] = w4_round2<C>(d[4 * h] + b0, d[4 * h + 1] + b0);
                p[2 * h + 1] = w4_round2<C>(d[4 * h + 2] + b1, d[4 * h + 3] + b1);
            }
            ptx_stmatrix4_trans(at + i * 16 * C::out_stride, p[0], p[1], p[2], p[3]);
        }
        ptx_bar_sync(1 + wg, 128);
#pragma unroll
        for (int i = 0; i < (chunk * 8 + 127) / 128; i++) {
            const int piece = i * 128 + threadIdx.x % 128, tok = piece / 8, seg = piece % 8;
            w4_put(a, t.m + c * chunk + tok, t.n + wg * 64 + seg * 8,
                   *(const uint4 *)(buffer + tok * C::out_stride + seg * 16));
        }
        ptx_bar_sync(1 + wg, 128);
    }
}

// ---- warpgroups that take the units of the same rows in turn: the first adds the others' sums

enum { W4_BAR_HANDED = 11, W4_BAR_TAKEN = 13 };

template <class C>
DLQ_DEV float4 *
w4_meet_at(float4 *meet, int row, int kg)
{
    return meet + ((kg - 1) * C::Rw + row) * C::pieces * 128 + threadIdx.x % 128;
}

// `again`: sums of an earlier part may still lie there.
template <class C>
DLQ_DEV void
w4_hand_over(const float *acc, float4 *meet, int row, int kg, bool again)
{
    float4 *to = w4_meet_at<C>(meet, row, kg);
    if (again)
        ptx_bar_sync(W4_BAR_TAKEN + row, 128 * C::Kw);
#pragma unroll
    for (int i = 0; i < C::pieces; i++)
        to[i * 128] = make_float4(acc[4 * i], acc[4 * i + 1], acc[4 * i + 2], acc[4 * i + 3]);
    ptx_bar_arrive(W4_BAR_HANDED + row, 128 * C::Kw);
}

template <class C>
DLQ_DEV void
w4_take_over(float *acc, float4 *meet, int row)
{
    ptx_bar_sync(W4_BAR_HANDED + row, 128 * C::Kw);
#pragma unroll
    for (int kg = 1; kg < C::Kw; kg++) {
        const float4 *from = w4_meet_at<C>(meet, row, kg);
#pragma unroll
        for (int i = 0; i < C::pieces; i++) {
            const float4 v = from[i * 128];
            acc[4 * i] += v.x, acc[4 * i + 1] += v.y, acc[4 * i + 2] += v.z, acc[4 * i + 3] += v.w;
        }
    }
    ptx_bar_arrive(W4_BAR_TAKEN + row, 128 * C::Kw);
}

// ---- a cluster that splits k: every CTA owns as many strips of the tile and has an inbox for each
// CTA's sums of them, 512 bytes a strip and 8 tokens, as the sums lie in registers

// One thread, before the cluster meets.
template <class C>
DLQ_DEV void
w4_expect(const w4_wide_args &a, uint32_t there, w4_tile t)
{
    ptx_mbar_init(there, 1);
    ptx_mbar_arrive_expect(there, C::rows * 32 * ((min(C::Bn, a.m - t.m) + 7) / 8));
}

template <class C>
DLQ_DEV void
w4_share_sums(const w4_wide_args &a, const float *acc, uint32_t inbox, uint32_t there, w4_tile t,
              int rank, int wg)
{
    const int strip = wg * 4 + threadIdx.x / 32 % 4, each = C::strips / a.split;
    const int owner = strip / each, at = rank * each + strip % each;
    const uint32_t to = ptx_mapa(inbox + at * C::pieces * 512 + threadIdx.x % 32 * 16, owner);
    const uint32_t bar = ptx_mapa(there, owner);
#pragma unroll
    for (int i = 0; i < C::pieces; i++)
        if (t.m + 8 * i < a.m)
            ptx_st_async4(to + i * 512,
                          make_float4(acc[4 * i], acc[4 * i + 1], acc[4 * i + 2], acc[4 * i + 3]),
                          bar);
}

// 8 outputs of 8 tokens: `pair` has the two tokens 2 * (lane % 4) of output lane / 4.
DLQ_DEV void
w4_put_block(const w4_wide_args &a, int tok, int row, uint32_t pair)
{
    const uint32_t v = ptx_movmatrix_trans(pair);
    tok += threadIdx.x % 32 / 4;
    row += threadIdx.x % 4 * 2;
    if (tok >= a.m || row >= a.n)
        return;
    uint16_t *const y = (uint16_t *)a.y + tok * a.ldy + row;
    if (row + 2 <= a.n && ((uintptr_t)y & 3) == 0) {
        *(uint32_t *)y = v;
    } else {
        y[0] = (uint16_t)v;
        if (row + 1 < a.n)
            y[1] = (uint16_t)(v >> 16);
    }
}

// The owner adds the sums in rank order, a strip and 8 tokens a warp.
template <class C>
DLQ_DEV void
w4_gather(const w4_wide_args &a, const char *inbox, uint32_t there, w4_tile t, int rank, int wg)
{
    const int lane = threadIdx.x % 32, each = C::strips / a.split;
    ptx_mbar_wait_cluster(there, 0);
#pragma unroll 1
    for (int i = wg * 4 + threadIdx.x / 32 % 4; i < each * C::pieces; i += C::consumers / 32) {
        const int strip = i / C::pieces, piece = i % C::pieces, tok = t.m + piece * 8;
        if (tok >= a.m)
            continue;
        float4 sum = make_float4(0, 0, 0, 0);
#pragma unroll 1
        for (int q = 0; q < a.split; q++) {
            const float4 v = *(
                const float4 *)(inbox + ((q * each + strip) * C::pieces + piece) * 512 + lane * 16);
            sum.x += v.x, sum.y += v.y, sum.z += v.z, sum.w += v.w;
        }
        const int row = t.n + (rank * each + strip) * 16;
        const float b0 = w4_bias_at(a, row + lane / 4), b1 = w4_bias_at(a, row + 8 + lane / 4);
        w4_put_block(a, tok, row, w4_round2<C>(sum.x + b0, sum.y + b0));
        w4_put_block(a, tok, row + 8, w4_round2<C>(sum.z + b1, sum.w + b1));
    }
}

// ---- tiles shared by workers: whoever has the first unit owns the tile and adds the others'
// sums, in order of k. Those began with this tile and are done early, unless it is all they have.
// Consumers only move sums; one idle warp raises and awaits the flags, for the fence in front of a
// flag takes a microsecond.

enum { W4_BAR_SENT = 9, W4_BAR_THERE = 10 };

template <class C>
DLQ_DEV float4 *
w4_partial_of(const w4_wide_args &a, int worker, int rank, int wg)
{
    const int64_t at = (worker * C::Mc + rank) * C::Rw + wg;
    return a.partials + at * (C::pieces * 128) + threadIdx.x % 128;
}

template <class C>
DLQ_DEV void
w4_send(const w4_wide_args &a, const float *acc, int worker, int rank, int wg)
{
    float4 *to = w4_partial_of<C>(a, worker, rank, wg);
#pragma unroll
    for (int i = 0; i < C::pieces; i++)
        __stcg(to + i * 128,
               make_float4(acc[4 * i], acc[4 * i + 1], acc[4 * i + 2], acc[4 * i + 3]));
    ptx_bar_arrive(W4_BAR_SENT, 128 * C::Rw + 32);
}

// How many workers after `worker`, which has summed `covered` units from the tile's first one on,
// have the rest of the tile.
DLQ_DEV int
w4_contributors(const w4_wide_args &a, int worker, int covered)
{
    int count = 0;
    while (covered < a.units) {
        count++;
        covered += w4_share_begin(a, worker + count + 1) - w4_share_begin(a, worker + count);
    }
    return count;
}

template <class C>
DLQ_DEV void
w4_receive(const w4_wide_args &a, float *acc, int worker, int rank, int wg, int covered)
{
    constexpr int most = C::Wgs == 4 ? 8 : 16, batch = C::pieces < most ? C::pieces : most;
    constexpr int at_once = C::pieces <= 8 ? 2 : 1; // workers
    const int count = w4_contributors(a, worker, covered);
    ptx_bar_sync(W4_BAR_THERE, 128 * C::Rw + 32);
#pragma unroll 1
    for (int q = 1; q <= count; q += at_once) {
        const float4 *from = w4_partial_of<C>(a, worker + q, rank, wg);
#pragma unroll
        for (int i = 0; i < C::pieces; i += batch) {
            float4 v[at_once][batch];
#pragma unroll
            for (int o = 0; o < at_once; o++)
#pragma unroll
                for (int j = 0; j < batch; j++)
                    v[o][j] =
                        q + o <= count
                            ? __ldcg(from + o * C::Mc * C::Rw * C::pieces * 128 + (i + j) * 128)
                            : make_float4(0, 0, 0, 0);
#pragma unroll
            for (int o = 0; o < at_once; o++)
#pragma unroll
                for (int j = 0; j < batch; j++) {
                    float *sum = acc + 4 * (i + j);
                    sum[0] += v[o][j].x, sum[1] += v[o][j].y;
                    sum[2] += v[o][j].z, sum[3] += v[o][j].w;
                }
        }
    }
}

// One warp: the flags of what this worker sends and receives.
template <class C>
DLQ_DEV void
w4_signal(const w4_wide_args &a, int worker, int rank)
{
    const int begin = w4_share_begin(a, worker), end = w4_share_begin(a, worker + 1);
    const int lane = threadIdx.x % 32, covered = end % a.units;
    if (begin % a.units) {
        ptx_bar_sync(W4_BAR_SENT, 128 * C::Rw + 32);
        if (lane == 0)
            ptx_st_release(a.flags + worker * C::Mc + rank, 1);
        __syncwarp();
    }
    if (covered == 0 || end - covered < begin)
        return;
    const int count = w4_contributors(a, worker, covered);
    for (int q = 1 + lane; q <= count; q += 32) {
        unsigned *flag = a.flags + (worker + q) * C::Mc + rank;
        while (!ptx_ld_acquire(flag))
            ;
        *flag = 0;
    }
    __syncwarp();
    ptx_bar_sync(W4_BAR_THERE, 128 * C::Rw + 32);
}

#endif
