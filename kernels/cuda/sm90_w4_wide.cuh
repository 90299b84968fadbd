// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// W4A16 for many tokens: y^T = W x^T with wgmma, the weights converted in registers (each once a
// tile) as the 64-row operand, x as the other one. A CTA computes tiles of 64 * RW outputs x BN
// tokens in steps of one unit (128 k):
//
//   x        tokens x k 0..63 | tokens x k 64..127     BN rows of 128 bytes, 128-byte swizzle
//   weights  one unit of each of the 4 * RW strips     1024 bytes and the pairs, as packed
//
// One lane fills a ring of such stages by tensor copies: the packed weights are to them a matrix
// with a row a strip, so that one copy brings all strips of a stage. RW * KW warpgroups consume it,
// each for 64 outputs (a strip a warp), and convert 64 k while the tensor cores work on the 64
// before. KW warpgroups have the same outputs and take the stages in turn: for few tokens one
// product follows another too slowly to keep fewer warps busy.
//
// A worker is a CTA or, with MC 2, a cluster of two that takes two neighbouring row tiles of the
// same tokens, where each fetches half of x for both. How the tiles go to the workers:
//   split 1        whole, in turn;
//   split 2, 4, 8  each to its own cluster of so many CTAs, which share the sum over k;
//   split 0        whole as far as that leaves no worker idle, the others in equal runs of units:
//                  tiles 0 1 2 3 for 3 workers   |0 0 0 0 1|1 1 1 2 2|2 2 3 3 3 3| ...
//                  and the tile's owner adds the partial sums of the others from the workspace.
#ifndef DLQ_KERNELS_CUDA_SM90_W4_WIDE_CUH
#define DLQ_KERNELS_CUDA_SM90_W4_WIDE_CUH

#include "sm90_w4_convert.cuh"
#include "sm90_w4_wide_out.cuh"
#include "sm90_wgmma16.cuh"
#include "tensormap.h"

enum { W4_BAR_READY = 8 };

template <class C>
DLQ_DEV void
w4_load_x(const CUtensorMap *map, uint32_t to, uint32_t bar, int m, int u, int rank)
{
#pragma unroll
    for (int c = 0; c < 2; c++)
        if (C::Mc == 1)
            ptx_tma_load(to + c * C::box, map, u * 128 + c * 64, m, bar);
        else
            ptx_tma_load_multicast(to + c * C::box + rank * (C::box / 2), map, u * 128 + c * 64,
                                   m + rank * (C::Bn / 2), bar, 3);
}

// The weights of a stage, which x of the same stage follows.
template <class C>
DLQ_DEV void
w4_load_weights(const w4_wide_args &a, const CUtensorMap *map, uint32_t ring, uint32_t full,
                int slot, int n, int u)
{
    const uint64_t policy = a.tiles_m == 1 ? ptx_policy_first() : ptx_policy_last();
    ptx_mbar_arrive_expect(full + 8 * slot, C::x_stage + C::w_stage);
    ptx_tma_load_hint(ring + C::St * C::x_stage + slot * C::w_stage, map, u * (C::unit / 8), n / 16,
                      full + 8 * slot, policy);
}

// One lane: the weights of the first stages, at most `most`, before x may be read. How many.
template <class C>
DLQ_DEV int
w4_produce_ahead(const w4_wide_args &a, const CUtensorMap *w_map, uint32_t ring, uint32_t full,
                 w4_walk walk, int rank, int most)
{
    w4_part part;
    int ahead = 0;
#pragma unroll 1
    while (ahead < most && walk.next(a, part)) {
        const w4_tile t = C::at(a, part.tile, rank);
#pragma unroll 1
        for (int u = part.u0; u < part.u1 && ahead < most; u++, ahead++)
            w4_load_weights<C>(a, w_map, ring, full, ahead, t.n, u);
    }
    return ahead;
}

// One lane: every stage of every part, but for weights that are there or on their way.
template <class C>
DLQ_DEV void
w4_produce(const w4_wide_args &a, const CUtensorMap *x_map, const CUtensorMap *w_map, uint32_t ring,
           uint32_t full, uint32_t empty, w4_walk walk, int rank, int ahead)
{
    w4_part part;
    int slot = 0, phase = 1, count = 0;
#pragma unroll 1
    while (walk.next(a, part)) {
        const w4_tile t = C::at(a, part.tile, rank);
#pragma unroll 1
        for (int u = part.u0; u < part.u1; u++) {
            ptx_mbar_wait(empty + 8 * slot, phase);
            if (count++ >= ahead)
                w4_load_weights<C>(a, w_map, ring, full, slot, t.n, u);
            w4_load_x<C>(x_map, ring + slot * C::x_stage, full + 8 * slot, t.m, u, rank);
            if (++slot == C::St) {
                slot = 0;
                phase ^= 1;
            }
        }
    }
}

// A consumer warp's place in the ring, and what it would else compute again for every stage.
struct w4_place {
    int slot, phase, turn; // turn: of the warpgroups that take the stages of a row in turn
    int last;              // slot still read by products in flight; or -1
    uint32_t weights;      // this lane's 16 bytes of the first stage
    int pairs;             // from there to its rows' scales and zero points
    uint32_t full, empty;
    int leader; // lane 0 of a warpgroup frees a slot for this CTA, lane 1 for the other of a pair
};

// This warp's strip of a tile.
DLQ_DEV int
w4_strip_of(int row)
{
    return row * 4 + (int)threadIdx.x / 32 % 4;
}

// `row`: of the warpgroup's 64 outputs in the tile, here and below.
template <class C>
DLQ_DEV w4_place
w4_place_of(uint32_t ring, uint32_t full, uint32_t empty, int row)
{
    w4_place at = {0, 0, 0, -1, 0, 0, full, empty, threadIdx.x % 128 < C::Mc};
    at.weights = ring + C::St * C::x_stage + w4_strip_of(row) * C::unit + threadIdx.x % 32 * 16;
    at.pairs = 1024 - (int)(threadIdx.x % 32 * 16 - threadIdx.x % 32 / 4 * 8);
    if (C::Mc > 1)
        at.empty = ptx_mapa(empty, threadIdx.x % C::Mc);
    // Kept in registers, not computed again.
    asm volatile(""
                 : "+r"(at.weights), "+r"(at.pairs), "+r"(at.full), "+r"(at.empty),
                   "+r"(at.leader));
    return at;
}

template <class C>
DLQ_DEV void
w4_release(w4_place &at)
{
    if (at.last >= 0 && at.leader) {
        if (C::Mc == 1)
            ptx_mbar_arrive(at.empty + 8 * at.last);
        else
            ptx_mbar_arrive_remote(at.empty + 8 * at.last);
    }
}

// The sums over one part's units.
template <class C>
DLQ_DEV void
w4_sum(const w4_wide_args &a, float *acc, const w4_part &part, w4_tile t, w4_place &at,
       uint32_t ring, int row, int kg)
{
    constexpr int Group = C::Group;
    uint32_t op[C::sets][4][4];
    w4_integers<C::Bf16> form;
    if (Group == 0)
        form.set(*(const uint2 *)(a.w + (int64_t)a.strips * a.units * C::unit +
                                  min(t.n / 16 + w4_strip_of(row), a.strips - 1) * DLQ_K_W4_PAIRS +
                                  threadIdx.x % 32 / 4 * 8));
#pragma unroll
    for (int i = 0; i < C::Bn / 2; i++)
        acc[i] = 0;
#pragma unroll 1
    for (int u = part.u0; u < part.u1; u++) {
        // All lanes have the same slot; told so, the compiler keeps descriptors in uniform
        // registers.
        const int slot = __shfl_sync(0xffffffffu, at.slot, 0);
        const uint32_t bar = at.full + 8 * slot;
        const int phase = at.phase;
        if (++at.slot == C::St) {
            at.slot = 0;
            at.phase ^= 1;
        }
        const int turn = at.turn;
        at.turn = turn + 1 == C::Kw ? 0 : turn + 1;
        if (turn != kg)
            continue;
        ptx_mbar_wait(bar, phase);
        const uint32_t weights = at.weights + slot * C::w_stage;
        const uint64_t desc = ptx_wgmma_desc128(ring + slot * C::x_stage);
#pragma unroll
        for (int c = 0; c < 2; c++) {
            const uint4 v = ptx_lds128(weights + c * 512);
            const uint32_t words[4] = {v.x, v.y, v.z, v.w};
            if (C::sets == 1) {
                ptx_wgmma_wait<0>();
                if (c == 0)
                    w4_release<C>(at);
            }
            uint32_t(*const to)[4] = op[c % C::sets];
#pragma unroll
            for (int j = 0; j < 4; j++) {
                if (Group == 128  ? j == 0 && c == 0
                    : Group == 64 ? j == 0
                    : Group == 32 ? j % 2 == 0
                                  : false)
                    form.set(ptx_lds64(weights + at.pairs +
                                       (Group ? (c * 64 + j * 16) / Group : 0) * DLQ_K_W4_PAIRS));
                if (Group == 0)
                    form.word(words[j], to[j]);
                else
                    form.weights(words[j], to[j]);
            }
            ptx_wgmma_fence();
#pragma unroll
            for (int j = 0; j < 4; j++)
                wgmma16<C::Bf16, C::Bn>::run(acc, to[j],
                                             desc + (uint64_t)((c * C::box + j * 32) >> 4), 1);
            ptx_wgmma_commit();
            if (C::sets == 2) {
                ptx_wgmma_wait<1>();
                if (c == 0)
                    w4_release<C>(at);
            }
        }
        at.last = slot;
    }
    ptx_wgmma_wait<0>();
    w4_release<C>(at);
    at.last = -1;
    // No sum is read before here, or the compiler would wait for each product.
#pragma unroll
    for (int i = 0; i < C::Bn / 2; i++)
        asm volatile("" : "+f"(acc[i]));
    if (Group == 0) {
        const float s = form.scale(), s8 = form.scale8();
#pragma unroll
        for (int i = 0; i < C::Bn / 2; i++)
            acc[i] *= i % 4 < 2 ? s : s8;
    }
}

// Early: launched with PDL, for few tokens. The copying warpgroup is then the first, for it starts
// first; without PDL what counts is when x arrives, and this start takes longer.
template <bool Bf16, int Group, int Bn, int Rw, int Kw, int MaxSt, int Mc, int Ctas, bool Early>
__global__ void __launch_bounds__(128 * Rw * Kw + 128, Ctas)
    w4_wide_kernel(const w4_wide_args a, const __grid_constant__ CUtensorMap x_map,
                   const __grid_constant__ CUtensorMap w_map)
{
    using C = w4_wide<Bf16, Group, Bn, Rw, Kw, MaxSt, Mc, Ctas>;
    extern __shared__ __align__(1024) char smem[];
    char *const out = smem + C::ring, *const meet = out + C::out, *const inbox = meet + C::meet;
    const uint32_t ring = ptx_smem(smem), full = ptx_smem(inbox + C::inbox);
    const uint32_t empty = full + 8 * C::St, there = empty + 8 * C::St;
    constexpr int copies = Early ? 0 : C::Wgs; // which warpgroup; the others' number is without it
    const int nth = __shfl_sync(0xffffffffu, threadIdx.x / 128, 0);
    const int wg = Early ? nth - 1 : nth;
    const bool splits = C::inbox && a.split > 1;
    const int size = splits ? a.split : Mc, rank = size > 1 ? (int)ptx_cluster_rank() : 0;
    // The owner of a shared tile waits for workers of earlier CTAs, which run already.
    const int workers = gridDim.x >> a.log2_size;
    const int worker = workers - 1 - (int)(blockIdx.x >> a.log2_size);
    w4_walk walk;
    if (splits)
        walk.begin_split(a, worker, rank);
    else
        walk.begin(a, worker, workers);

    if (nth == copies) {
        ptx_reg_dec<C::producer_registers>();
        // Unsigned: what is below 1 is then known to be 0, and the loop has a known length.
        const unsigned warp = __shfl_sync(0xffffffffu, threadIdx.x / 32 % 4, 0);
        // Early, each warp has a quarter: all of them take longer than weights on their way. Else x
        // waits for them, and longer for a loop.
        constexpr int warps = Early ? 4 : 1;
        if (warp < warps && ptx_elect()) {
            if (warp == 0)
                ptx_tma_prefetch(&w_map);
            if (warp == warps / 2)
                ptx_tma_prefetch(&x_map);
#pragma unroll(Early ? 1 : C::St)
            for (int s = warp; s < C::St; s += warps) {
                ptx_mbar_init(full + 8 * s, 1);
                ptx_mbar_init(empty + 8 * s, Rw * Mc);
            }
            if (splits && warp == warps - 1)
                w4_expect<C>(a, there, C::at(a, worker, rank));
            ptx_mbar_init_fence();
        }
        __syncwarp();
        if (Early)
            ptx_bar_sync(W4_BAR_READY, C::threads);
        else
            ptx_bar_arrive(W4_BAR_READY, C::threads);
        if (size > 1)
            ptx_cluster_arrive_relaxed();
        int ahead = 0;
        if (warp == 0 && (a.pdl || Mc > 1) && ptx_elect()) {
            if (a.pdl)
                ptx_pdl_launch();
            // x comes after them; alone on an SM this runs when the kernel in front is almost done.
            ahead = w4_produce_ahead<C>(a, &w_map, ring, full, walk, rank,
                                        Early && Ctas == 1 && C::St > 3 ? 3 : C::St);
        }
        __syncwarp();
        if (Mc > 1)
            ptx_cluster_wait(); // the other CTA's barriers are ready
        if (a.pdl)
            ptx_pdl_wait();
        if (warp == 0 && ptx_elect())
            w4_produce<C>(a, &x_map, &w_map, ring, full, empty, walk, rank, ahead);
        else if (warp == 1)
            w4_signal<C>(a, worker, rank);
        __syncwarp();
    } else {
        ptx_reg_inc<C::consumer_registers>();
        ptx_bar_sync(W4_BAR_READY, C::threads);
        if (size > 1)
            ptx_cluster_arrive_relaxed();
        if (Mc > 1)
            ptx_cluster_wait();
        if (a.pdl)
            ptx_pdl_wait();
        const int row = wg % Rw, kg = wg / Rw; // which 64 outputs, and which of their units
        float acc[Bn / 2];
        w4_place at = w4_place_of<C>(ring, full, empty, row);
        w4_part part;
        bool again = false;
#pragma unroll 1
        while (walk.next(a, part)) {
            const w4_tile t = C::at(a, part.tile, rank);
            w4_sum<C>(a, acc, part, t, at, ring, row, kg);
            if (Kw > 1 && kg)
                w4_hand_over<C>(acc, (float4 *)meet, row, kg, again);
            else if (Kw > 1)
                w4_take_over<C>(acc, (float4 *)meet, row);
            again = true;
            if (splits) {
                ptx_cluster_wait(); // every inbox is ready
                if (kg == 0)
                    w4_share_sums<C>(a, acc, ptx_smem(inbox), there, t, rank, row);
                w4_gather<C>(a, inbox, there, t, rank, wg);
            } else if (kg) {
                continue;
            } else if (part.u0 > 0) {
                w4_send<C>(a, acc, worker, rank, row);
            } else {
                if (part.u1 < a.units)
                    w4_receive<C>(a, acc, worker, rank, row, part.u1);
                w4_store<C>(a, acc, out + row * C::chunk * C::out_stride, t, row);
            }
        }
    }
    if (splits && nth == copies)
        ptx_cluster_wait();
    if (Mc > 1) { // nobody leaves while the other one's copies and arrivals come
        ptx_cluster_arrive_relaxed();
        ptx_cluster_wait();
    }
}

#endif
