// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// Which parts of which tiles a worker of the tile kernel computes, and how the partial sums of a
// tile that several workers share meet in the workspace.
#ifndef DLQ_KERNELS_CUDA_W8_TILE_SHARE_CUH
#define DLQ_KERNELS_CUDA_W8_TILE_SHARE_CUH

#include "w8_kernel.cuh"

// K blocks [k0, k1) of a tile.
struct w8_part {
    int tile, k0, k1;
};

// Where the run of a worker over the K blocks of the shared tiles begins.
DLQ_DEV int
w8_run_begin(const w8_params &p, int worker)
{
    return worker * p.run + min(worker, p.run_extra);
}

// A worker's parts in order: whole tiles in turn, then its run over the shared ones.
struct w8_walk {
    int tile, step; // whole tiles
    int at, end;    // K blocks of the shared ones
    int worker;

    __device__ __forceinline__ bool next(const w8_params &p, w8_part *part)
    {
        if (tile < p.whole) {
            *part = {tile, 0, p.k_blocks};
            tile += step;
            return true;
        }
        if (at >= end)
            return false;
        part->tile = p.whole + p.by_k.divide(at, &part->k0);
        part->k1 = min(p.k_blocks, part->k0 + end - at);
        at += part->k1 - part->k0;
        return true;
    }
};

DLQ_DEV w8_walk
w8_walk_start(const w8_params &p)
{
    w8_walk w;
    int of_cluster;
    w.step = p.workers;
    w.tile = p.by_share.divide((int)blockIdx.x, &of_cluster);
    // The owner of a shared tile waits for workers of earlier CTAs, which run already.
    w.worker = w.step - 1 - w.tile;
    w.at = w8_run_begin(p, w.worker);
    w.end = w8_run_begin(p, w.worker + 1);
    if (p.split_log > 0) {
        const int rank = (int)ptx_cluster_rank(),
                  at = ((int)blockIdx.x >> p.split_log) * p.k_blocks;
        w.at = at + (rank * p.k_blocks >> p.split_log);
        w.end = at + ((rank + 1) * p.k_blocks >> p.split_log);
    }
    return w;
}

// The first row and token of this CTA's part of a tile.
template <class Shape>
DLQ_DEV void
w8_walk_at(const w8_params &p, int tile, int rank, int *n0, int *m0)
{
    int in_area, in_column;
    const int first = p.by_area.divide(tile, &in_area) * p.group;
    const w8_divisor height = first + p.group <= p.token_blocks ? p.by_group : p.by_last;
    const int column = height.divide(in_area, &in_column);
    *m0 = (first + in_column) * Shape::tokens;
    *n0 = (column * p.share + rank) * Shape::rows;
}

// Consumers only move sums; one warp that has nothing else to do raises and awaits the flags,
// for the fence in front of a flag takes about a microsecond.
enum { W8_SENT_BAR = 7, W8_THERE_BAR = 8 };

// Threads of those barriers: a part has all consumers, or one warpgroup of them.
template <class Shape>
constexpr __device__ int
w8_share_threads(void)
{
    return 128 * Shape::consumers + 32;
}

template <class Shape>
DLQ_DEV float4 *
w8_partial_of(const w8_params &p, int worker, int rank, int me)
{
    constexpr int pieces = Shape::rows64 * Shape::tokens / 8;
    const int64_t at =
        (int64_t)(worker * p.share + rank) * Shape::consumers + (Shape::in_turn ? 0 : me);
    return p.partials + at * (pieces * 128) + (threadIdx.x & 127);
}

DLQ_DEV void
w8_add_float4(float *v, float4 u)
{
    v[0] += u.x;
    v[1] += u.y;
    v[2] += u.z;
    v[3] += u.w;
}

DLQ_DEV void
w8_add_float4(int32_t *v, float4 u)
{
    v[0] += __float_as_int(u.x);
    v[1] += __float_as_int(u.y);
    v[2] += __float_as_int(u.z);
    v[3] += __float_as_int(u.w);
}

template <class Shape, class Acc>
DLQ_DEV void
w8_share_send(const w8_params &p, const Acc (*acc)[Shape::tokens / 2], int worker, int rank, int me)
{
    float4 *to = w8_partial_of<Shape>(p, worker, rank, me);
#pragma unroll
    for (int r = 0; r < Shape::rows64; r++)
#pragma unroll
        for (int i = 0; i < Shape::tokens / 8; i++)
            __stcg(to + (r * (Shape::tokens / 8) + i) * 128, w8_as_float4(acc[r] + 4 * i));
    ptx_bar_arrive(W8_SENT_BAR, w8_share_threads<Shape>());
}

// How many workers after `worker`, which has the first `covered` K blocks of a tile, have the rest.
DLQ_DEV int
w8_share_others(const w8_params &p, int worker, int covered)
{
    int count = 0;
    while (covered < p.k_blocks) {
        count++;
        covered += w8_run_begin(p, worker + count + 1) - w8_run_begin(p, worker + count);
    }
    return count;
}

template <class Shape, class Acc>
DLQ_DEV void
w8_share_receive(const w8_params &p, Acc (*acc)[Shape::tokens / 2], int worker, int rank, int me,
                 int covered)
{
    constexpr int per_row = Shape::tokens / 8, sums = Shape::rows64 * Shape::tokens / 2;
    // Registers are left for so many of them at a time.
    constexpr int batch = sums > 128 ? 3 : per_row % 16 == 0 ? 16 : per_row > 16 ? 12 : per_row;
    static_assert(per_row % batch == 0, "whole batches");
    const int count = w8_share_others(p, worker, covered);
    ptx_bar_sync(W8_THERE_BAR, w8_share_threads<Shape>());
#pragma unroll 1
    for (int q = 1; q <= count; q++) {
        const float4 *from = w8_partial_of<Shape>(p, worker + q, rank, me);
#pragma unroll
        for (int r = 0; r < Shape::rows64; r++)
#pragma unroll
            for (int i = 0; i < per_row; i += batch) {
                float4 v[batch];
#pragma unroll
                for (int j = 0; j < batch; j++)
                    v[j] = __ldcg(from + (r * per_row + i + j) * 128);
#pragma unroll
                for (int j = 0; j < batch; j++)
                    w8_add_float4(acc[r] + 4 * (i + j), v[j]);
            }
    }
}

// ---- a cluster that splits K: its CTAs own the chunks of 64 rows x 64 tokens in turn, and each
// sends the sums of the others' chunks to their owners, into the place of the ring, which nobody
// uses any more

enum { W8_CHUNK = 64 * 64 * 4 };

template <class Shape>
constexpr __host__ __device__ int
w8_split_chunks(void)
{
    return Shape::rows / 64 * (Shape::tokens / 64);
}

// Chunk number of the 64 rows `row64` of the tile and the 64 tokens `token64`.
template <class Shape>
DLQ_DEV int
w8_split_chunk(int row64, int token64)
{
    return token64 * (Shape::rows / 64) + row64;
}

// Which chunks of the 64 rows `row64` of the tile this CTA stores: a bit for every 64 tokens.
template <class Shape>
DLQ_DEV uint32_t
w8_split_owned(const w8_params &p, int row64)
{
    if (p.split_log == 0)
        return ~0u;
    uint32_t owned = 0;
    for (int c = 0; c < Shape::tokens / 64; c++)
        if ((w8_split_chunk<Shape>(row64, c) & ((1 << p.split_log) - 1)) == (int)ptx_cluster_rank())
            owned |= 1u << c;
    return owned;
}

template <class Shape>
DLQ_DEV int
w8_split_received(const w8_params &p)
{
    return ((1 << p.split_log) - 1) * (w8_split_chunks<Shape>() >> p.split_log) * W8_CHUNK;
}

// The buffer: [sender, the owner left out][own chunk][piece][thread] of 16 bytes. `row64`: the
// first 64 rows of this warpgroup.
template <class Shape, class Acc>
DLQ_DEV void
w8_split_exchange(const w8_params &p, Acc (*acc)[Shape::tokens / 2], uint32_t buffer, uint32_t bar,
                  int row64)
{
    const int rank = (int)ptx_cluster_rank();
    const int mine = w8_split_chunks<Shape>() >> p.split_log, others = (1 << p.split_log) - 1;
    const uint32_t at = buffer + (threadIdx.x & 127) * 16;
#pragma unroll
    for (int c = 0; c < Shape::tokens / 64; c++)
#pragma unroll
        for (int r = 0; r < Shape::rows64; r++) {
            const int chunk = w8_split_chunk<Shape>(row64 + r, c), owner = chunk & others;
            if (owner == rank)
                continue;
            const int from = rank - (rank > owner);
            const uint32_t dst =
                ptx_mapa(at + (from * mine + (chunk >> p.split_log)) * W8_CHUNK, owner);
            const uint32_t signal = ptx_mapa(bar, owner);
#pragma unroll
            for (int i = 0; i < 8; i++)
                ptx_st_async4(dst + i * 2048, w8_as_float4(acc[r] + 32 * c + 4 * i), signal);
        }
    ptx_mbar_wait(bar, 0);
#pragma unroll
    for (int c = 0; c < Shape::tokens / 64; c++)
#pragma unroll
        for (int r = 0; r < Shape::rows64; r++) {
            const int chunk = w8_split_chunk<Shape>(row64 + r, c);
            if ((chunk & others) != rank)
                continue;
#pragma unroll 1
            for (int q = 0; q < others; q++) {
                const uint32_t from = at + (q * mine + (chunk >> p.split_log)) * W8_CHUNK;
#pragma unroll
                for (int i = 0; i < 8; i++)
                    w8_add4(acc[r] + 32 * c + 4 * i, from + i * 2048);
            }
        }
}

// ---- tiles that workers share

// One warp: the flags of what this worker sends and receives, each 0 again when it was seen.
template <class Shape>
DLQ_DEV void
w8_share_signal(const w8_params &p, int worker, int rank)
{
    const int begin = w8_run_begin(p, worker), end = w8_run_begin(p, worker + 1);
    if (p.split_log > 0)
        return;
    const int lane = threadIdx.x & 31, covered = end % p.k_blocks;
    if (begin % p.k_blocks) {
        ptx_bar_sync(W8_SENT_BAR, w8_share_threads<Shape>());
        if (lane == 0)
            ptx_st_release(p.flags + worker * p.share + rank, 1);
        __syncwarp();
    }
    if (covered == 0 || end - covered < begin)
        return;
    const int count = w8_share_others(p, worker, covered);
    for (int q = 1 + lane; q <= count; q += 32) {
        unsigned *flag = p.flags + (worker + q) * p.share + rank;
        while (!ptx_ld_acquire(flag))
            ;
        *flag = 0;
    }
    __syncwarp();
    ptx_bar_sync(W8_THERE_BAR, w8_share_threads<Shape>());
}

#endif
