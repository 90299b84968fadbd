// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// y^T = W x^T with wgmma on the packed form of grouped_gemm.h: codes become the 64-row operand in
// registers (a strip of 16 columns of y a warp, in the very order of mma.sync), x is the other one.
// A CTA computes tiles of 128 columns x Bn rows of x, blocks of 64 rows of K at a time:
//
//   x       Bn rows of 128 bytes, 128-byte swizzle
//   codes   the block of each of 8 strips
//   scales  FOLDED: [groups of the block][128]; X_SCALED: those of the Bn rows of x
//
// Lanes of a warpgroup of their own fill a ring of such stages by tensor copies. Two warpgroups of
// 64 columns each consume it and convert a block while the tensor cores work on the one before.
// With Mc 2 two CTAs of a cluster take neighbouring columns of the same rows, and each fetches half
// of x for both. Where tiles are few, the CTAs of a cluster share the sum over K of one.
#ifndef DLQ_KERNELS_CUDA_SM90_GROUPED_CUH
#define DLQ_KERNELS_CUDA_SM90_GROUPED_CUH

#include "grouped_operand.cuh"
#include "ptx_copy.cuh"
#include "ptx_sync.cuh"
#include "sm90_grouped_form.cuh"
#include "sm90_grouped_out.cuh"
#include "sm90_wgmma16.cuh"

#include <cuda.h>
#include <cuda_fp16.h>
#include <dlquant/types.h>

namespace
{

// Scales and zero points of the group that begins with a block, to the L2: a consumer loads them
// one group ahead, which is not time enough for the memory.
template <class C>
__device__ __forceinline__ void
bring_group(const wide_args &a, const wide_tile &t, int block)
{
    const int group = block / a.group_blocks, strips = min(C::strips, a.g.strips - t.n / 16);
    if (block != group * a.group_blocks || group >= a.groups || strips <= 0)
        return;
    const int64_t at = (int64_t)group * (a.g.strips * 16) + t.n;
    const int bytes = a.g.scale_dtype == DLQ_F32 ? 4 : 2;
    asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(a.g.scales + at * bytes),
                 "r"(strips * 16 * bytes)
                 : "memory");
    if (C::integers && a.g.zeros != nullptr)
        asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(a.g.zeros + at),
                     "r"(strips * 16)
                     : "memory");
}

// Three lanes of different warps fill the ring, each its part of all stages of all tiles: one alone
// would not keep up. Only rows of x wait for the kernel before this one.
enum { ROLE_ROWS, ROLE_CODES, ROLE_SCALES };

template <class C>
__device__ __forceinline__ void
load_rows(const wide_args &a, const CUtensorMap *x, const wide_ring &ring, int slot,
          const wide_tile &t, int block, int rank)
{
    const uint32_t bar = ring.full + 8 * slot, to = ring.base + slot * C::x_bytes;
    ptx_mbar_arrive_expect(bar, C::x_bytes + (C::x_scaled ? C::Bn * 4 : 0));
    if constexpr (C::Mc == 1)
        ptx_tma_load(to, x, block * 64, t.m, bar);
    else
        ptx_tma_load_multicast(to + rank * (C::x_bytes / 2), x, block * 64,
                               t.m + rank * (C::Bn / 2), bar, 3);
    if constexpr (C::x_scaled) {
        const int group = min(block / a.group_blocks, a.groups - 1);
        ptx_bulk_load(ring.base + C::scales_at + slot * C::scale_bytes,
                      a.g.x_scale + group * a.g.x_scale_stride + t.m, C::Bn * 4, bar);
    }
}

template <class C>
__device__ __forceinline__ void
load_codes(const wide_args &a, const CUtensorMap *codes, const wide_ring &ring, int slot,
           const wide_tile &t, int block)
{
    const uint32_t bar = ring.full + 8 * slot;
    ptx_mbar_arrive_expect(bar, C::code_bytes);
    ptx_tma_load(ring.base + C::codes_at + slot * C::code_bytes, codes, block * (C::block / 8),
                 t.n / 16, bar);
    if constexpr (C::grouped)
        bring_group<C>(a, t, block);
}

template <class C>
__device__ __forceinline__ void
load_folded(const wide_args &a, const CUtensorMap *scales, const wide_ring &ring, int slot,
            const wide_tile &t, int block)
{
    const uint32_t bar = ring.full + 8 * slot;
    ptx_mbar_arrive_expect(bar, (uint32_t)(a.block_rows * C::columns * 2));
    ptx_tma_load(ring.base + C::scales_at + slot * C::scale_bytes, scales, t.n,
                 block * a.block_rows, bar);
}

template <class C>
__device__ __forceinline__ void
produce(const wide_args &a, int role, const CUtensorMap *map, const wide_ring &ring, int worker,
        int workers, int rank)
{
    const int tiles = a.tiles_n * a.tiles_m;
    int slot = 0, phase = 1;
    if (role == ROLE_ROWS)
        ptx_pdl_wait();
    for (int i = worker; i < tiles; i += workers) {
        const wide_tile t = tile_at<C>(a, i, rank);
        // Blocks come in twos: past the end both operands are zeros.
        const int blocks = (t.last - t.first + 1) / 2 * 2;
#pragma unroll 1
        for (int block = t.first; block < t.first + blocks; block++) {
            ptx_mbar_wait(ring.empty + 8 * slot, phase);
            if (role == ROLE_ROWS)
                load_rows<C>(a, map, ring, slot, t, block, rank);
            else if (role == ROLE_CODES)
                load_codes<C>(a, map, ring, slot, t, block);
            else
                load_folded<C>(a, map, ring, slot, t, block);
            if (++slot == C::stages) {
                slot = 0;
                phase ^= 1;
            }
        }
    }
}

// Codes as values in the type of x: without fp16's subnormal numbers, which products with a much
// larger one would push out of the tensor cores' sums.
template <class C>
__device__ __forceinline__ void
to_values(const uint32_t *words, const uint32_t z[2], uint32_t v[4])
{
    C::operand::make(words, z, v);
    if constexpr (C::operand::fold != 1.0f) {
        const uint32_t up = C::operand::words == 2 ? 0x5c005c00u : 0x74007400u;
#pragma unroll
        for (int i = 0; i < 4; i++)
            v[i] = grouped_fma_f16(v[i], up, 0x80008000u);
    }
}

// The scales of two columns, in one word of bf16, times their values.
template <class C>
__device__ __forceinline__ void
fold_scales(uint32_t pair, uint32_t v[4])
{
    if constexpr (C::once)
        pair = grouped_fma_bf16(pair, 0x76807680u, 0x80008000u); // 2^110
    if constexpr (!C::Bf16)
        asm("cvt.rn.f16x2.f32 %0, %1, %2;"
            : "=r"(pair)
            : "f"(__uint_as_float(pair & 0xffff0000u)), "f"(__uint_as_float(pair << 16)));
    const uint32_t low = __byte_perm(pair, pair, 0x1010), high = __byte_perm(pair, pair, 0x3232);
#pragma unroll
    for (int i = 0; i < 4; i++)
        v[i] = C::Bf16 ? grouped_fma_bf16(v[i], i & 1 ? high : low, 0x80008000u)
                       : grouped_fma_f16(v[i], i & 1 ? high : low, 0x80008000u);
}

// A consumer thread's way through the ring.
struct wide_place {
    int slot, phase;
    int last;             // slot that products in flight still read, or -1
    uint32_t empty;       // of this CTA, or of the other of a pair
    bool leader;          // frees slots: those of this CTA, lane 1 of a pair's those of the other
    uint32_t codes;       // this lane's 16 bytes of the first stage
    uint32_t scales;      // FOLDED: this lane's columns of the first stage
    const uint8_t *group; // this lane's columns of the first group's scales
    const uint8_t *zeros; // and of its zero points, or NULL
};

template <class C>
__device__ __forceinline__ void
free_last(wide_place &at)
{
    if (at.last >= 0 && at.leader) {
        if (C::Mc == 1)
            ptx_mbar_arrive(at.empty + 8 * at.last);
        else
            ptx_mbar_arrive_remote(at.empty + 8 * at.last);
    }
    at.last = -1;
}

// Scales of columns r and r + 8 in a group, as they are stored. Into their registers at once: a
// choice between two loads would wait for them.
__device__ __forceinline__ void
load_scales(const wide_args &a, const wide_place &at, int group, uint2 *stored)
{
    const int bytes = a.g.scale_dtype == DLQ_F32 ? 8 : 4;
    const uint8_t *const from =
        at.group + (int64_t)min(group, a.groups - 1) * (a.g.strips * 8) * bytes;
    asm volatile("{.reg .pred p; setp.eq.u32 p, %3, 8; @p ld.global.nc.v2.u32 {%0, %1}, [%2]; @!p "
                 "ld.global.nc.u32 %0, [%2];}"
                 : "+r"(stored->x), "+r"(stored->y)
                 : "l"(from), "r"(bytes));
}

__device__ __forceinline__ float2
as_floats(const wide_args &a, uint2 stored)
{
    if (a.g.scale_dtype == DLQ_F32)
        return make_float2(__uint_as_float(stored.x), __uint_as_float(stored.y));
    return a.g.scale_dtype == DLQ_BF16 ? make_float2(__uint_as_float(stored.x << 16),
                                                     __uint_as_float(stored.x & 0xffff0000u))
                                       : __half22float2(*(const __half2 *)&stored.x);
}

// Zero points of the same columns.
__device__ __forceinline__ uint32_t
load_zeros(const wide_args &a, const wide_place &at, int group)
{
    return __ldg(
        (const uint16_t *)(at.zeros + (int64_t)min(group, a.groups - 1) * (a.g.strips * 16)));
}

template <class C>
__device__ __forceinline__ void
take_zeros(uint32_t stored, uint32_t z[2])
{
    z[0] = C::operand::zero(stored & 255, false);
    z[1] = C::operand::zero(stored >> 8, true);
}

// The end of a group. `x`: X_SCALED, address of this lane's scales of rows of x.
template <class C>
__device__ __forceinline__ void
promote(const float *part, float *total, float2 scale, uint32_t x)
{
#pragma unroll
    for (int i = 0; i < C::Bn / 8; i++) {
        float2 by = make_float2(1.0f, 1.0f);
        if constexpr (C::x_scaled) {
            const uint2 v = ptx_lds64(x + i * 32);
            by = make_float2(__uint_as_float(v.x), __uint_as_float(v.y));
        }
#pragma unroll
        for (int e = 0; e < 4; e++) {
            float s = e < 2 ? scale.x : scale.y;
            if constexpr (C::x_scaled)
                s *= e & 1 ? by.y : by.x;
            total[4 * i + e] = fmaf(part[4 * i + e], s, total[4 * i + e]);
        }
    }
}

template <class C>
__device__ __forceinline__ void
multiply_sums(float *part, float2 by)
{
#pragma unroll
    for (int i = 0; i < C::Bn / 8; i++) {
        part[4 * i] *= by.x, part[4 * i + 1] *= by.x;
        part[4 * i + 2] *= by.y, part[4 * i + 3] *= by.y;
    }
}

// A block's codes as the operand of its four products.
template <class C>
__device__ __forceinline__ void
make_operand(const wide_args &a, const wide_place &at, int slot, const uint32_t z[2],
             uint32_t op[4][4])
{
    uint32_t words[4 * C::operand::words];
#pragma unroll
    for (int h = 0; h < C::operand::words; h++) {
        const uint4 v = ptx_lds128(at.codes + slot * C::code_bytes + h * 512);
        words[4 * h] = v.x, words[4 * h + 1] = v.y, words[4 * h + 2] = v.z, words[4 * h + 3] = v.w;
    }
#pragma unroll
    for (int j = 0; j < 4; j++) {
        to_values<C>(words + j * C::operand::words, z, op[j]);
        if constexpr (C::folded) {
            const int row = a.block_rows == 4 ? j : j / 2;
            fold_scales<C>(ptx_lds32(at.scales + slot * C::scale_bytes + row * (C::columns * 2)),
                           op[j]);
        }
    }
}

// The sums of one tile: in `total` where groups are promoted, else in `part`.
template <class C>
__device__ __forceinline__ void
sum_tile(const wide_args &a, const wide_tile &t, const wide_ring &ring, wide_place &at, float *part,
         float *total)
{
    uint32_t op[2][4][4], z[2];
    z[0] = C::operand::zero(a.g.zero, false);
    z[1] = C::operand::zero(a.g.zero, true);
    uint2 now = {}, next = {}; // scales of the group, and of the one after
    uint32_t next_zeros = 0;
    int group = 0, left = 0; // blocks of the group, or 0 where there is none
    if constexpr (C::grouped) {
        group = t.first / a.group_blocks;
        left = a.group_blocks - t.first % a.group_blocks;
        load_scales(a, at, group, &now);
        load_scales(a, at, group + 1, &next);
    }
    if (C::integers && at.zeros != nullptr) {
        take_zeros<C>(load_zeros(a, at, group), z);
        next_zeros = load_zeros(a, at, group + 1);
    }
    if constexpr (C::promotes)
#pragma unroll
        for (int i = 0; i < C::Bn / 2; i++)
            total[i] = 0.0f;
    const uint32_t x_scales = ring.base + C::scales_at + (threadIdx.x & 3) * 8;
    int keep = 0, block = t.first;
    // Where a loop may be skipped, the compiler copies sums behind it before the wait.
#pragma unroll 1
    do {
#pragma unroll
        for (int c = 0; c < 2; c++) {
            // All lanes have the same slot; told so, descriptors stay in uniform registers.
            const int slot = __shfl_sync(0xffffffffu, at.slot, 0);
            ptx_mbar_wait(ring.full + 8 * slot, at.phase);
            if (++at.slot == C::stages) {
                at.slot = 0;
                at.phase ^= 1;
            }
            if (C::integers && C::grouped && left == 0 && at.zeros != nullptr) {
                take_zeros<C>(next_zeros, z);
                next_zeros = load_zeros(a, at, group + 2);
            }
            make_operand<C>(a, at, slot, z, op[c]);
            // All of it now: between products the compiler would have to wait for them.
#pragma unroll
            for (int j = 0; j < 4; j++)
                asm volatile(""
                             : "+r"(op[c][j][0]), "+r"(op[c][j][1]), "+r"(op[c][j][2]),
                               "+r"(op[c][j][3]));
            if constexpr (C::grouped)
                if (left == 0) {
                    ptx_wgmma_wait<0>();
                    const float2 done = as_floats(a, now), begun = as_floats(a, next);
                    if constexpr (C::promotes) {
                        promote<C>(part, total, done, x_scales + at.last * C::scale_bytes);
                        keep = 0;
                    } else {
                        multiply_sums<C>(part, make_float2(__fdividef(done.x, begun.x),
                                                           __fdividef(done.y, begun.y)));
                    }
                    now = next;
                    load_scales(a, at, ++group + 1, &next);
                    left = a.group_blocks;
                }
            const uint64_t desc = ptx_wgmma_desc128(ring.base + slot * C::x_bytes);
            ptx_wgmma_fence();
#pragma unroll
            for (int j = 0; j < 4; j++)
                wgmma16<C::Bf16, C::Bn>::run(part, op[c][j], desc + (uint64_t)(2 * j),
                                             j == 0 ? keep : 1);
            ptx_wgmma_commit();
            keep = 1;
            left--;
            ptx_wgmma_wait<1>();
            free_last<C>(at);
            at.last = slot;
        }
        block += 2;
    } while (block < t.last);
    ptx_wgmma_wait<0>();
#pragma unroll
    for (int i = 0; i < C::Bn / 2; i++)
        asm volatile("" : "+f"(part[i])); // not used before
    if constexpr (C::promotes)
        promote<C>(part, total, as_floats(a, now), x_scales + at.last * C::scale_bytes);
    if constexpr (C::rescaled)
        multiply_sums<C>(part, as_floats(a, now));
    free_last<C>(at);
}

template <class C>
__device__ __forceinline__ void
consume(const wide_args &a, const wide_ring &ring, uint8_t *smem, int worker, int workers, int rank,
        int wg)
{
    const int lane = threadIdx.x % 32, strip = wg * 4 + threadIdx.x / 32 % 4;
    wide_place at = {0, 0, -1, ring.empty, false, 0, 0, nullptr, nullptr};
    at.leader = threadIdx.x % (C::consumers / C::frees) < C::Mc;
    if (C::Mc > 1)
        at.empty = ptx_mapa(ring.empty, threadIdx.x % C::Mc);
    at.codes = ring.base + C::codes_at + strip * C::block + lane * 16;
    at.scales = ring.base + C::scales_at + strip * 32 + lane / 4 * 4;
    const int tiles = a.tiles_n * a.tiles_m;
    float part[C::Bn / 2], total[C::promotes ? C::Bn / 2 : 1];
#pragma unroll 1
    for (int i = worker; i < tiles; i += workers) {
        const wide_tile t = tile_at<C>(a, i, rank);
        const int pair = min(t.n / 16 + strip, a.g.strips - 1) * 8 + lane / 4;
        if constexpr (C::grouped)
            at.group = a.g.scales + pair * (a.g.scale_dtype == DLQ_F32 ? 8 : 4);
        if (C::integers && a.g.zeros != nullptr)
            at.zeros = a.g.zeros + pair * 2;
        sum_tile<C>(a, t, ring, at, part, total);
        const float *const sums = C::promotes ? total : part;
        if (C::Mc == 1 && a.parts > 1) {
            ptx_cluster_wait(); // every inbox is ready
            send_sums<C>(a, sums, ring.base + C::inbox_at, ring.there, t, rank, strip);
            receive_sums<C>(a, smem + C::inbox_at, ring.there, t, rank);
        } else {
            store_sums<C>(a, sums, smem + C::out_at + wg * (C::chunk * C::out_pitch), t, wg);
        }
    }
}

template <class C>
__global__ void
__launch_bounds__(C::threads, 1)
    sm90_grouped(const __grid_constant__ wide_args a, const __grid_constant__ CUtensorMap x,
                 const __grid_constant__ CUtensorMap codes,
                 const __grid_constant__ CUtensorMap scales)
{
    extern __shared__ __align__(1024) uint8_t smem[];
    const uint32_t base = ptx_smem(smem);
    const wide_ring ring = {base, base + C::bars_at, base + C::bars_at + 8 * C::stages,
                            base + C::bars_at + 16 * C::stages};
    const int wg = __shfl_sync(0xffffffffu, threadIdx.x / 128, 0);
    const int size = C::Mc > 1 ? C::Mc : a.parts; // of a cluster
    const int rank = size > 1 ? (int)ptx_cluster_rank() : 0;
    const int worker = blockIdx.x / size, workers = gridDim.x / size;
    if (threadIdx.x == C::consumers) {
        ptx_tma_prefetch(&x);
        ptx_tma_prefetch(&codes);
        for (int s = 0; s < C::stages; s++) {
            ptx_mbar_init(ring.full + 8 * s, C::folded ? 3 : 2);
            ptx_mbar_init(ring.empty + 8 * s, C::frees * C::Mc);
        }
        if (C::Mc == 1 && size > 1)
            expect_sums<C>(a, ring.there, tile_at<C>(a, worker, rank));
        ptx_mbar_init_fence();
    }
    if (size > 1)
        ptx_cluster_arrive_relaxed();
    if (C::Mc > 1)
        ptx_cluster_wait();
    else
        __syncthreads();
    ptx_pdl_launch();
    if (wg == 2) {
        ptx_reg_dec<24>();
        const int role = __shfl_sync(0xffffffffu, threadIdx.x / 32 % 4, 0);
        if (threadIdx.x % 32 == 0 && role < (C::folded ? 3 : 2))
            produce<C>(a, role,
                       role == ROLE_ROWS    ? &x
                       : role == ROLE_CODES ? &codes
                                            : &scales,
                       ring, worker, workers, rank);
        __syncwarp();
        if (C::Mc == 1 && size > 1)
            ptx_cluster_wait();
    } else {
        ptx_reg_inc<240>();
        ptx_pdl_wait();
        consume<C>(a, ring, smem, worker, workers, rank, wg);
    }
    if (C::Mc > 1) { // nobody leaves while the other writes into its shared memory
        ptx_cluster_arrive_relaxed();
        ptx_cluster_wait();
    }
}

} // namespace

#endif
