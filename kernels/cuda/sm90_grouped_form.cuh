// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// What a kernel of sm90_grouped.cuh is made for, and how tiles and shared memory are laid out.
#ifndef DLQ_KERNELS_CUDA_SM90_GROUPED_FORM_CUH
#define DLQ_KERNELS_CUDA_SM90_GROUPED_FORM_CUH

#include "grouped_operand.cuh"
#include "sm90_grouped.h"

#include <dlquant/types.h>

namespace
{

struct wide_args {
    struct grouped_args g;
    int tiles_n, tiles_m; // tiles_n counts pairs where Mc is 2
    int parts;            // of K: CTAs of a cluster, which have one tile
    int groups;           // rows of scales
    int group_blocks;     // blocks of K of a group, where sums meet scales in K
    int block_rows;       // rows of scales of a block; FOLDED
};

template <int Code, bool Bf16, bool Once> struct wide_operand {
    using type = grouped_operand<Code, Bf16>;
};

template <> struct wide_operand<DLQ_K_GROUPED_E2M1, true, true> {
    using type = grouped_e2m1_small;
};

template <int Code_, bool Bf16_, sm90_grouped_sums Sums_, int Bn_, int Mc_> struct wide {
    // e4m3 scales bring codes to their size in bf16, all but 2^16, in the multiplication that there
    // is anyway.
    static constexpr bool once = Sums_ == SM90_GROUPED_FOLDED && Bf16_;
    static constexpr float unfold = once ? 0x1p16f : 1.0f;
    using operand = typename wide_operand<Code_, Bf16_, once>::type;
    static constexpr int Code = Code_, Bn = Bn_, Mc = Mc_;
    static constexpr bool Bf16 = Bf16_;
    static constexpr bool folded = Sums_ == SM90_GROUPED_FOLDED || Sums_ == SM90_GROUPED_POWERS,
                          rescaled = Sums_ == SM90_GROUPED_RESCALED,
                          x_scaled = Sums_ == SM90_GROUPED_X_SCALED,
                          promotes = Sums_ == SM90_GROUPED_GROUPS || x_scaled,
                          grouped = rescaled || promotes,
                          integers = Code_ == DLQ_K_GROUPED_U4 || Code_ == DLQ_K_GROUPED_U8;
    static constexpr int consumers = 256, threads = consumers + 128;
    // Who frees a stage: warpgroups, or threads where each reads scales of x from it behind the
    // products, whose end says nothing of what others still read.
    static constexpr int frees = consumers / (x_scaled ? 1 : 128);
    static_assert(!x_scaled || Mc == 1, "threads would free slots of either CTA");
    static constexpr int columns = 128, strips = columns / 16;
    static constexpr int block = 512 * operand::words; // bytes of a strip's
    static constexpr int x_bytes = Bn * 128, code_bytes = strips * block;
    static constexpr int scale_bytes = folded ? 4 * columns * 2 : x_scaled ? Bn * 4 : 0;
    static constexpr int stage = x_bytes + code_bytes + scale_bytes;
    // Rows of x that leave at once through a warpgroup's buffer, and the bytes of a row there.
    static constexpr int chunk = Bn < 32 ? Bn : 32, out_pitch = 144, out = 2 * chunk * out_pitch;
    static constexpr int inbox = Mc == 1 ? strips * (Bn / 8) * 512 : 0;
    static constexpr int fit = (227 * 1024 - out - inbox - 256) / stage, stages = fit < 8 ? fit : 8;
    static constexpr int codes_at = stages * x_bytes, scales_at = codes_at + stages * code_bytes,
                         out_at = scales_at + stages * scale_bytes, inbox_at = out_at + out,
                         bars_at = inbox_at + inbox;
    static constexpr int shared = bars_at + (2 * stages + 1) * 8;
};

// Columns [n, n + 128), rows [m, m + Bn), blocks [first, last) of K.
struct wide_tile {
    int n, m, first, last;
};

// Four tiles of rows side by side, so that codes of concurrent tiles come from the L2.
template <class C>
__device__ __forceinline__ wide_tile
tile_at(const wide_args &a, int i, int rank)
{
    const int band = 4 * a.tiles_n, g = i / band, in = i % band;
    const int across = min(4, a.tiles_m - 4 * g);
    wide_tile t;
    t.m = (4 * g + in % across) * C::Bn;
    t.n = (in / across * C::Mc + (C::Mc > 1 ? rank : 0)) * C::columns;
    t.first = C::Mc > 1 ? 0 : rank * a.g.split;
    // Never empty: past the end both operands are zeros.
    t.last = max(min(t.first + a.g.split, a.g.k_blocks), t.first + 1);
    return t;
}

// Shared-memory addresses of the ring.
struct wide_ring {
    uint32_t base, full, empty;
    uint32_t there; // barrier of the inbox
};

} // namespace

#endif
