// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// The wide kernel's sizes, its arguments, and which part of the product a CTA computes.
#ifndef DLQ_KERNELS_CUDA_SM90_W4_WIDE_PARTS_CUH
#define DLQ_KERNELS_CUDA_SM90_W4_WIDE_PARTS_CUH

#include "sm90_w4_common.cuh"

struct w4_wide_args {
    const char *w;
    char *y;
    const float *bias;
    float4 *partials; // of tiles that several workers share: one tile a CTA
    unsigned *flags;  // one a CTA: its partial tile is there; 0 between calls
    int m, n;
    int64_t ldy; // in elements
    int strips, units;
    int tiles_n, tiles_m; // tiles_n counts pairs when Mc is 2
    int split;            // CTAs of a cluster that share a tile; 0: the workers share tiles
    int log2_size;        // of a cluster's CTAs
    int whole;            // tiles before this one are computed whole, by the workers in turn
    int share, extra;     // units of the other tiles a worker; the first `extra` have one more
    int pdl;
};

// Outputs [n, n + rows) and tokens [m, m + Bn).
struct w4_tile {
    int n, m;
};

// Units [u0, u1) of a tile.
struct w4_part {
    int tile, u0, u1;
};

// Where the units of the shared tiles that belong to a worker begin.
DLQ_DEV int
w4_share_begin(const w4_wide_args &a, int worker)
{
    return worker * a.share + min(worker, a.extra);
}

// A worker's parts in order: whole tiles, then its run of units over the shared ones. Divisions
// take longer than the first copies: there is one at most.
struct w4_walk {
    int tile, step;     // of the whole ones
    int at, unit, left; // of the run: the next tile, its first unit, units left

    __device__ __forceinline__ void begin(const w4_wide_args &a, int worker, int workers)
    {
        *this = {worker, workers, a.whole, w4_share_begin(a, worker), a.share + (worker < a.extra)};
        if (a.share) {
            at += unit / a.units;
            unit %= a.units;
        }
    }

    // A cluster's CTA has its share of one tile's units.
    __device__ __forceinline__ void begin_split(const w4_wide_args &a, int cluster, int rank)
    {
        const int first = a.units * rank >> a.log2_size, last = a.units * (rank + 1) >> a.log2_size;
        *this = {0, 0, cluster, first, last - first};
    }

    __device__ __forceinline__ bool next(const w4_wide_args &a, w4_part &part)
    {
        if (tile < a.whole) {
            part = {tile, 0, a.units};
            tile += step;
            return true;
        }
        if (left == 0)
            return false;
        part = {at, unit, min(a.units, unit + left)};
        left -= part.u1 - unit;
        at++;
        unit = 0;
        return true;
    }
};

// Ctas: how many of these an SM can hold; with two, a kernel that is launched early has its first
// stages there before the one in front has finished.
template <bool Bf16_, int Group_, int Bn_, int Rw_, int Kw_, int MaxSt, int Mc_, int Ctas_>
struct w4_wide {
    static constexpr bool Bf16 = Bf16_;
    static constexpr int Group = Group_, Bn = Bn_, Rw = Rw_, Kw = Kw_, Mc = Mc_, Ctas = Ctas_;
    static constexpr int Wgs = Rw * Kw;
    static constexpr int consumers = 128 * Wgs, threads = consumers + 128;
    // Registers a thread: the launch gives everyone the same, then the consumers take what the
    // producer's warpgroup leaves.
    static constexpr int launch_registers = 65536 / (threads * Ctas) / 8 * 8;
    static constexpr int producer_registers = 24;
    static constexpr int spare_registers =
        (launch_registers * (Wgs + 1) - producer_registers) / Wgs / 8 * 8;
    static constexpr int consumer_registers = spare_registers < 240 ? spare_registers : 240;
    static constexpr int rows = 64 * Rw, strips = 4 * Rw;
    static constexpr int unit = DLQ_K_W4_UNIT_WEIGHTS + (Group ? 128 / Group * DLQ_K_W4_PAIRS : 0);
    static constexpr int box = Bn * 128; // bytes of 64 k of the tokens
    static constexpr int x_stage = 2 * box;
    static constexpr int w_stage = strips * unit;
    // Tokens that pass through the store buffer at once, and the bytes of a token's 64 outputs
    // there (spreads the rows over the banks).
    static constexpr int chunk = Bn < 32 || Bn == 256 ? 16 : 32, out_stride = 144;
    static constexpr int out = Rw * chunk * out_stride;
    static constexpr int pieces = Bn / 8;                          // float4 of a thread's sums
    static constexpr int meet = (Kw - 1) * Rw * pieces * 128 * 16; // where warpgroups add theirs
    // Where a cluster's CTAs send the sums of this one's outputs; 0: the tile does not split so.
    static constexpr int inbox = Mc == 1 && rows * Bn * Ctas <= 8192 ? rows * Bn * 4 : 0;
    static constexpr int room = (228 / Ctas - 1) * 1024 - out - meet - inbox - 16 * MaxSt - 8;
    static constexpr int fit = room / (x_stage + w_stage);
    // A multiple of Kw, so that a slot belongs to one warpgroup: its barrier tells two phases
    // apart, and copies may arrive in any order. A warpgroup that took a slot after another one
    // could take the phase before the other's for its own.
    static constexpr int St = (fit < MaxSt ? fit : MaxSt) / Kw * Kw;
    static_assert(St >= 2 * Kw, "a warpgroup frees a slot only when it has the next one");
    static constexpr int ring = St * (x_stage + w_stage); // all of x, then all of the weights
    static constexpr int smem = ring + out + meet + inbox + (2 * St + 1) * 8;
    // Sets of operand registers: with two a warpgroup converts while its own products run; four
    // warpgroups also run while the others convert.
    static constexpr int sets = Wgs == 4 && Bn == 128 ? 1 : 2;

    // Four token tiles side by side, so that the weights of concurrent tiles come from L2.
    static __device__ __forceinline__ w4_tile at(const w4_wide_args &a, int i, int rank)
    {
        const int pair = Mc > 1 ? rank : 0;
        if (a.tiles_m == 1)
            return {(i * Mc + pair) * rows, 0};
        const int band = 4 * a.tiles_n, g = i / band, in = i % band;
        const int wide = min(4, a.tiles_m - 4 * g);
        return {(in / wide * Mc + pair) * rows, (4 * g + in % wide) * Bn};
    }
};

#endif
