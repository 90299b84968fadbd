// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// A CTA's share of the work and the copies that bring it in.
//
// A CTA has Wn warps along columns (16 Cw each), Wt along tokens, Wk along k. Shared memory is a
// ring of stages that cp.async fills:
//
//     stage    weights [Kt / 16][Nt / 64] tiles of 512 (1024) bytes | x [Mt][Kt], 16-byte chunks c
//              of row m at c ^ (m & 7) | scales [Kt / 32][Nt] | zeros [Kt / 32][Nt / 8] words
#ifndef DLQ_KERNELS_CUDA_SM80_MARLIN_STREAM_CUH
#define DLQ_KERNELS_CUDA_SM80_MARLIN_STREAM_CUH

#include "ptx.cuh"
#include "sm80_marlin.h"

namespace
{

template <int Bits_, int Mt_, int Wn_, int Wt_, int Wk_, int Kt_, int Cw_> struct marlin_shape {
    static constexpr int Bits = Bits_, Mt = Mt_, Wn = Wn_, Wt = Wt_, Wk = Wk_, Kt = Kt_, Cw = Cw_;
    static constexpr int threads = 32 * Wn * Wt * Wk;
    static constexpr int columns = Wn * 16 * Cw;
    static constexpr int blocks = columns / 64;
    static constexpr int tokens = Mt / Wt; // of a warp
    static constexpr int nt = tokens / 8;
    static constexpr int steps = Kt / 16 / Wk;  // of a warp in a stage
    static constexpr int words = Bits * Cw / 4; // of a lane in a step
    static constexpr int tile_bytes = 128 * Bits;
    static constexpr int weight_bytes = Kt / 16 * blocks * tile_bytes;
    static constexpr int x_bytes = Mt * Kt * 2;
    static constexpr int scale_bytes = Kt / 32 * columns * 2;
    static constexpr int zero_bytes = Bits == 4 ? Kt / 32 * columns / 2 : 0;
    static constexpr int stage_bytes = weight_bytes + x_bytes + scale_bytes + zero_bytes;
    // At the end of a tile the Wk warps of the same columns and tokens share their sums out: each
    // gets all of those of `own_words` of its words. `slices` times a part goes through shared
    // memory.
    static constexpr int own_words = Cw / Wk, own = own_words * nt; // own: float4 of a thread
    static constexpr int slices = Wk == 1 || Mt <= 16 ? 1 : Mt == 32 ? 2 : 4;
    static constexpr int sum_bytes = Wk == 1 ? 0 : own / slices * threads * 16;
    // Tokens whose x is in registers at a time, in eights, and how many times that a step.
    static constexpr int part = nt > 8 ? 8 : nt, parts = nt / part;
    static constexpr bool exact = Mt <= 16;

    static_assert(steps == 8 || steps == 4, "shape");
    static_assert(128 % Kt == 0, "of which k_padded is a multiple");
    static_assert(Wk <= 2 && (Cw == 4 || (Cw == 2 && Wk == 1)), "shape");
};

// Which columns, tokens and k of a CTA's are a warp's.
template <class S> struct marlin_warp {
    int n, t, k;

    __device__ __forceinline__ marlin_warp()
    {
        const int warp = threadIdx.x / 32;
        n = warp % S::Wn, t = warp / S::Wn % S::Wt, k = warp / (S::Wn * S::Wt);
    }
};

__device__ __forceinline__ int
marlin_divide(int n, const sm80_marlin_divisor &d)
{
    return d.multiplier == 0 ? n : (int)(__umulhi((uint32_t)n, d.multiplier) >> d.shift);
}

// Of the stages of all cut tiles, the first of CTA c's run.
__device__ __forceinline__ int
marlin_run_begin(const sm80_marlin_args &a, int c)
{
    const int group = marlin_divide(c, a.group), i = c - group * a.group.by;
    return group * a.span.by + i * a.run.by + min(i, a.longer_runs);
}

// Where a CTA is in its work: at stage k of a tile, with `left` stages to do from this one on and
// `until` of them before the next tile. Whole tiles come before the run.
struct marlin_cursor {
    int left, until;
    int tile, k;

    __device__ __forceinline__ void begin_run(const sm80_marlin_args &a)
    {
        const int first = marlin_run_begin(a, blockIdx.x);
        tile = marlin_divide(first, a.iters);
        k = first - tile * a.iters.by;
        until = min(left, a.iters.by - k);
    }
    __device__ __forceinline__ int run_length(const sm80_marlin_args &a) const
    {
        const int c = blockIdx.x;
        return c < a.sk_ctas ? marlin_run_begin(a, c + 1) - marlin_run_begin(a, c) : 0;
    }
    __device__ __forceinline__ void start(const sm80_marlin_args &a)
    {
        left = run_length(a) + a.dp_each * a.iters.by;
        if (a.dp_each == 0) {
            begin_run(a);
        } else {
            tile = a.sk_tiles + blockIdx.x;
            k = 0;
            until = a.iters.by;
        }
    }
    // After k++: true when the stage before was the last one of its tile or of all.
    __device__ __forceinline__ bool next(const sm80_marlin_args &a)
    {
        left--;
        if (--until > 0)
            return false;
        const int run = run_length(a);
        if (left == run && a.dp_each > 0) {
            begin_run(a);
        } else {
            tile += left > run ? gridDim.x : 1;
            k = 0;
            until = min(left, a.iters.by);
        }
        return true;
    }
};

// The CTA whose run has stage u of the cut tiles.
__device__ __forceinline__ int
marlin_owner(const sm80_marlin_args &a, int u)
{
    const int group = marlin_divide(u, a.span), at = u - group * a.span.by;
    const int in_longer = a.longer_runs * a.longer_run.by;
    return group * a.group.by + (at < in_longer
                                     ? marlin_divide(at, a.longer_run)
                                     : a.longer_runs + marlin_divide(at - in_longer, a.run));
}

// Until the oldest stage of a full ring of 2 to 4 is there.
__device__ __forceinline__ void
marlin_wait_stage(int stages)
{
    ptx_cp_async_wait_group<2>();
    if (stages < 4)
        ptx_cp_async_wait_group<1>();
    if (stages < 3)
        ptx_cp_async_wait_group<0>();
}

// What a thread copies of the stages of its CTA, one after the other. Sizes of copies are 16 or 0:
// any other is emulated.
template <class S> struct marlin_stream {
    static constexpr int Bits = S::Bits, Kt = S::Kt;
    static constexpr int row_chunks = S::blocks * S::tile_bytes / 16;
    static constexpr int w_rows = S::threads / row_chunks, w_passes = Kt / 16 / w_rows;
    static constexpr int x_chunks = Kt / 8, x_rows = S::threads / x_chunks;
    static constexpr int x_passes = (S::Mt + x_rows - 1) / x_rows;
    static constexpr int scale_chunks = S::columns / 8, zero_chunks = S::columns / 32;
    static constexpr int stage_scales = Kt / 32 * scale_chunks;
    static constexpr int param_chunks = stage_scales + Kt / 32 * zero_chunks;
    static constexpr int param_passes = (param_chunks + S::threads - 1) / S::threads;
    static_assert(w_rows > 0, "threads");

    marlin_cursor at;
    uint32_t w_to, x_to; // places in a stage
    const char *w;
    const uint16_t *x;
    int x_rows_inside; // of the tile, from this thread's first one on
    bool w_inside;
    // Scales, then zero points, of the first stage of the tile's columns.
    struct {
        const char *from;
        int row; // of a stage; below 0: none
        int row_bytes;
    } params[param_passes];

    __device__ __forceinline__ void start(const sm80_marlin_args &a)
    {
        const int tid = threadIdx.x, row = tid / row_chunks, chunk = tid % row_chunks;
        const int x_row = tid / x_chunks, x_chunk = tid % x_chunks;
        // A lane of 8-bit weights has 32 bytes: their halves change places in every other four
        // lanes, so that no bank is read twice. Farther apart, copies would take twice as long.
        const int place = Bits == 4 ? chunk : chunk ^ (chunk >> 3 & 1);
        w_to = (row * row_chunks + place) * 16;
        x_to = S::weight_bytes + x_row * (Kt * 2) + ((x_chunk & ~7) | ((x_chunk ^ x_row) & 7)) * 16;
        // Kept in registers rather than computed again for every stage.
        asm volatile("" : "+r"(w_to), "+r"(x_to));
        at.start(a);
        seek(a);
    }

    // What no copy writes: scales of 1 where a column has one group, applied at the end, and the
    // zero points of symmetric codes.
    static __device__ __forceinline__ void constants(const sm80_marlin_args &a, char *ring,
                                                     uint32_t one)
    {
        if (a.group_shift < 31 && a.zeros)
            return;
        for (int s = 0; s < a.stages; s++) {
            uint32_t *const at =
                (uint32_t *)(ring + s * S::stage_bytes + S::weight_bytes + S::x_bytes);
            if (a.group_shift == 31)
                for (int i = threadIdx.x; i < S::scale_bytes / 4; i += S::threads)
                    at[i] = one;
            if (!a.zeros)
                for (int i = threadIdx.x; i < S::zero_bytes / 4; i += S::threads)
                    at[S::scale_bytes / 4 + i] = 0x88888888u;
        }
    }

    __device__ __forceinline__ void seek(const sm80_marlin_args &a)
    {
        const int tn = marlin_divide(at.tile, a.m_tiles), tm = at.tile - tn * a.m_tiles.by;
        const int tid = threadIdx.x;
        const int row = tid / row_chunks, chunk = tid % row_chunks;
        w_inside = tn * S::columns + chunk * 16 / S::tile_bytes * 64 < a.n_padded;
        w = a.weights + ((int64_t)at.k * (Kt / 16) + row) * a.n_padded * (2 * Bits) +
            (tn * row_chunks + chunk) * (int64_t)16;
        const int token = tm * S::Mt + tid / x_chunks;
        x = a.x + token * a.ldx + at.k * Kt + tid % x_chunks * 8;
        x_rows_inside = a.m - token;
#pragma unroll
        for (int p = 0; p < param_passes; p++) {
            const int i = tid + p * S::threads;
            const bool scale = i < stage_scales;
            const int chunk = scale ? i : i - stage_scales,
                      chunks = scale ? scale_chunks : zero_chunks;
            const int n = tn * S::columns + chunk % chunks * (scale ? 8 : 32);
            params[p].from = scale ? (const char *)(a.scales + n) : (const char *)a.zeros + n / 2;
            params[p].row = chunk / chunks;
            params[p].row_bytes = scale ? a.n_padded * 2 : a.n_padded / 2;
            if (!(scale ? a.group_shift < 31 : i < param_chunks && a.zeros) ||
                params[p].row >= max(1, Kt >> a.group_shift) || n >= a.n_padded)
                params[p].row = -1;
        }
    }

    // Without a branch, so that products go on between the copies: nothing is copied when there are
    // no more stages. What a tile has of columns and tokens beyond n and m stays as it is: no other
    // column's or token's sums see it.
    __device__ __forceinline__ void weights(const sm80_marlin_args &a, uint32_t stage) const
    {
        const uint32_t dst = stage + w_to;
        const int64_t pass = (int64_t)a.n_padded * (2 * Bits * w_rows);
        const bool copied = w_inside && at.left > 0;
#pragma unroll
        for (int p = 0; p < w_passes; p++)
            ptx_cp_async16_if(copied, dst + p * (S::threads * 16), w + p * pass, 16);
#pragma unroll
        for (int p = 0; p < param_passes; p++) {
            const int i = threadIdx.x + p * S::threads;
            const int row = (at.k * Kt >> a.group_shift) + params[p].row;
            ptx_cp_async16_if(params[p].row >= 0 && at.left > 0,
                              stage + S::weight_bytes + S::x_bytes + i * 16,
                              params[p].from + (int64_t)row * params[p].row_bytes, 16);
        }
    }

    __device__ __forceinline__ void tokens(const sm80_marlin_args &a, uint32_t stage) const
    {
        const int row = threadIdx.x / x_chunks, chunk = threadIdx.x % x_chunks;
        const int rows = at.left > 0 ? x_rows_inside : 0;
        const uint32_t bytes = at.k * Kt + chunk * 8 < a.k ? 16 : 0;
        const uint32_t dst = stage + x_to;
        const int64_t pass = x_rows * a.ldx;
#pragma unroll
        for (int p = 0; p < x_passes; p++)
            if (S::Mt % x_rows == 0 || row + p * x_rows < S::Mt)
                ptx_cp_async16_if(p * x_rows < rows,
                                  (dst ^ p * x_rows % 8 * 16) + p * x_rows * (Kt * 2), x + p * pass,
                                  bytes);
    }

    __device__ __forceinline__ void next_stage(const sm80_marlin_args &a)
    {
        at.k++;
        w += (int64_t)a.n_padded * (2 * Bits * (Kt / 16));
        x += Kt;
    }

    __device__ __forceinline__ void next(const sm80_marlin_args &a)
    {
        next_stage(a);
        if (at.next(a) && at.left > 0)
            seek(a);
    }
};

} // namespace

#endif
