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
#ifndef DLQ_KERNELS_CUDA_SM80_W4_STREAM_CUH
#define DLQ_KERNELS_CUDA_SM80_W4_STREAM_CUH

#include "ptx.cuh"
#include "sm80_w4.h"

namespace
{

template <int Bits_, int Mt_, int Wn_, int Wt_, int Wk_, int Kt_, int Cw_> struct w4_shape {
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
    static_assert(Wk <= 2 && (Cw == 4 || (Cw == 2 && Wk == 1)), "shape");
};

// Where a CTA is in its work: `left` more stages after this one.
struct w4_cursor {
    int left, sk_left; // sk_left: of them, before the whole tiles begin
    int tile, k;

    __device__ __forceinline__ void start(const sm80_w4_args &a)
    {
        tile = k = sk_left = 0;
        if ((int)blockIdx.x < a.sk_ctas) {
            const int total = a.sk_tiles * a.iters, each = total / a.sk_ctas,
                      more = total % a.sk_ctas, c = blockIdx.x;
            const int first = c * each + min(c, more);
            sk_left = each + (c < more);
            tile = first / a.iters;
            k = first % a.iters;
        }
        left = sk_left + a.dp_each * a.iters;
        if (sk_left == 0)
            tile = a.sk_tiles + blockIdx.x;
    }
    __device__ __forceinline__ void next(const sm80_w4_args &a)
    {
        left--;
        k++;
        if (--sk_left == 0) {
            tile = a.sk_tiles + blockIdx.x;
            k = 0;
        } else if (k == a.iters) {
            tile += sk_left > 0 ? 1 : gridDim.x;
            k = 0;
        }
    }
};

// The CTA whose run has stage u of the cut tiles.
__device__ __forceinline__ int
w4_owner(const sm80_w4_args &a, int u)
{
    const int total = a.sk_tiles * a.iters, each = total / a.sk_ctas, more = total % a.sk_ctas;
    return u < more * (each + 1) ? u / (each + 1) : more + (u - more * (each + 1)) / each;
}

template <int Left>
__device__ __forceinline__ void
w4_cp_wait(void)
{
    asm volatile("cp.async.wait_group %0;" ::"n"(Left) : "memory");
}

__device__ __forceinline__ void
w4_wait_stage(int stages)
{
    switch (stages) {
    case 2:
        w4_cp_wait<0>();
        break;
    case 3:
        w4_cp_wait<1>();
        break;
    case 4:
        w4_cp_wait<2>();
        break;
    case 5:
        w4_cp_wait<3>();
        break;
    default:
        w4_cp_wait<4>();
    }
}

// What a thread copies of the stages of its CTA, one after the other. Sizes of copies are 16 or 0:
// any other is emulated.
template <class S> struct w4_stream {
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

    w4_cursor at;
    const char *w;
    const uint16_t *x;
    uint32_t x_inside; // a bit a pass
    bool w_inside;
    // Scales, then zero points, of the first stage of the tile's columns.
    struct {
        const char *from;
        int row; // of a stage
        bool copied;
    } params[param_passes];

    __device__ __forceinline__ void start(const sm80_w4_args &a)
    {
        at.start(a);
        seek(a);
    }

    // What no copy writes: scales of 1 where a column has one group, applied at the end, and the
    // zero points of symmetric codes.
    static __device__ __forceinline__ void constants(const sm80_w4_args &a, char *ring,
                                                     uint32_t one)
    {
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

    __device__ __forceinline__ void seek(const sm80_w4_args &a)
    {
        const int tn = at.tile / a.m_tiles, tm = at.tile % a.m_tiles, tid = threadIdx.x;
        const int row = tid / row_chunks, chunk = tid % row_chunks;
        w_inside = tn * S::columns + chunk * 16 / S::tile_bytes * 64 < a.n_padded;
        w = a.weights + ((int64_t)at.k * (Kt / 16) + row) * a.n_padded * (2 * Bits) +
            (tn * row_chunks + chunk) * (int64_t)16;
        const int token = tm * S::Mt + tid / x_chunks;
        x = a.x + token * a.ldx + at.k * Kt + tid % x_chunks * 8;
        x_inside = 0;
#pragma unroll
        for (int p = 0; p < x_passes; p++)
            x_inside |= (uint32_t)(token + p * x_rows < a.m) << p;
#pragma unroll
        for (int p = 0; p < param_passes; p++) {
            const int i = tid + p * S::threads;
            const bool scale = i < stage_scales;
            const int chunk = scale ? i : i - stage_scales,
                      chunks = scale ? scale_chunks : zero_chunks;
            const int n = tn * S::columns + chunk % chunks * (scale ? 8 : 32);
            params[p].row = chunk / chunks;
            params[p].from = scale ? (const char *)(a.scales + n) : (const char *)a.zeros + n / 2;
            params[p].copied = (scale ? a.group_shift < 31 : i < param_chunks && a.zeros) &&
                               params[p].row < max(1, Kt >> a.group_shift) && n < a.n_padded;
        }
    }

    __device__ __forceinline__ void weights(const sm80_w4_args &a, uint32_t stage) const
    {
        const int tid = threadIdx.x, row = tid / row_chunks, chunk = tid % row_chunks;
        // A lane of 8-bit weights has 32 bytes: their halves change places in every other four
        // lanes, so that no bank is read twice. Farther apart, copies would take twice as long.
        const int place = Bits == 4 ? chunk : chunk ^ (chunk >> 3 & 1);
        const uint32_t dst = stage + (row * row_chunks + place) * 16;
        const int64_t pass = (int64_t)a.n_padded * (2 * Bits * w_rows);
        // k_padded is a multiple of 128, a stage perhaps of more.
        const bool whole = Kt <= 128 || (at.k + 1) * Kt <= a.k_padded;
#pragma unroll
        for (int p = 0; p < w_passes; p++)
            ptx_cp_async16(dst + p * (S::threads * 16), w + p * pass,
                           w_inside && (whole || p * w_rows < 8) ? 16 : 0);
#pragma unroll
        for (int p = 0; p < param_passes; p++) {
            const int i = tid + p * S::threads;
            const int row = (at.k * Kt >> a.group_shift) + params[p].row;
            if (params[p].copied)
                ptx_cp_async16(stage + S::weight_bytes + S::x_bytes + i * 16,
                               params[p].from + (int64_t)row * (i < stage_scales ? a.n_padded * 2
                                                                                 : a.n_padded / 2),
                               row < a.groups ? 16 : 0);
        }
    }

    __device__ __forceinline__ void tokens(const sm80_w4_args &a, uint32_t stage) const
    {
        const int row = threadIdx.x / x_chunks, chunk = threadIdx.x % x_chunks;
        const bool inside = at.k * Kt + chunk * 8 < a.k;
        const uint32_t dst =
            stage + S::weight_bytes + row * (Kt * 2) + ((chunk & ~7) | ((chunk ^ row) & 7)) * 16;
        const int64_t pass = x_rows * a.ldx;
#pragma unroll
        for (int p = 0; p < x_passes; p++)
            if (S::Mt % x_rows == 0 || row + p * x_rows < S::Mt)
                ptx_cp_async16((dst ^ p * x_rows % 8 * 16) + p * x_rows * (Kt * 2), x + p * pass,
                               inside && (x_inside >> p & 1) ? 16 : 0);
    }

    __device__ __forceinline__ void next(const sm80_w4_args &a)
    {
        const int tile = at.tile;
        at.next(a);
        w += (int64_t)a.n_padded * (2 * Bits * (Kt / 16));
        x += Kt;
        if (at.tile != tile && at.left > 0)
            seek(a);
    }
};

} // namespace

#endif
