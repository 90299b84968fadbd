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
#include "sm90_grouped.h"
#include "sm90_wgmma16.cuh"
#include "tensormap.h"

#include <cuda_bf16.h>
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
    int last;        // slot that products in flight still read, or -1
    uint32_t empty;  // of this CTA, or of the other of a pair
    bool leader;     // lane 0 of a warpgroup frees slots of this CTA, lane 1 those of the other
    uint32_t codes;  // this lane's 16 bytes of the first stage
    uint32_t scales; // FOLDED: this lane's columns of the first stage
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

// ---- where sums go

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

// ---- a cluster that shares a tile: every CTA owns as many strips of it and has an inbox for each
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

template <class C>
__device__ __forceinline__ void
consume(const wide_args &a, const wide_ring &ring, uint8_t *smem, int worker, int workers, int rank,
        int wg)
{
    const int lane = threadIdx.x % 32, strip = wg * 4 + threadIdx.x / 32 % 4;
    wide_place at = {0, 0, -1, ring.empty, threadIdx.x % 128 < C::Mc, 0, 0, nullptr, nullptr};
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
            ptx_mbar_init(ring.empty + 8 * s, 2 * C::Mc);
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

// ---- host

template <class C>
int
make_maps(const struct grouped_args *g, const wide_args &a, CUtensorMap *x, CUtensorMap *codes,
          CUtensorMap *scales)
{
    const uint64_t strip_bytes = (uint64_t)g->k_blocks * C::block;
    int err = dlq_k_tensormap_2d(x, g->x, 2, (uint64_t)g->m, (uint64_t)g->x_k,
                                 (uint64_t)g->x_stride * 2, C::Bn / C::Mc, 64, DLQ_K_SWIZZLE_128);
    if (err == 0)
        err = dlq_k_tensormap_2d(codes, g->codes, 8, (uint64_t)g->strips, strip_bytes / 8,
                                 strip_bytes, C::strips, C::block / 8, DLQ_K_SWIZZLE_NONE);
    if (err == 0 && C::folded)
        err = dlq_k_tensormap_2d(scales, g->scales, 2, (uint64_t)a.groups, (uint64_t)g->strips * 16,
                                 (uint64_t)g->strips * 32, (uint32_t)a.block_rows, C::columns,
                                 DLQ_K_SWIZZLE_NONE);
    return err == 0 ? 0 : -DLQ_K_EUNSUPPORTED;
}

template <class C>
int
start_wide(const struct sm90_grouped_launch *l, const struct grouped_args *g, cudaStream_t stream)
{
    if (g == nullptr)
        return (int)cudaFuncSetAttribute(sm90_grouped<C>,
                                         cudaFuncAttributeMaxDynamicSharedMemorySize, C::shared);
    wide_args a = {};
    a.g = *g;
    a.g.split = (int32_t)l->plan.split;
    a.tiles_n = (g->strips * 16 + C::columns * C::Mc - 1) / (C::columns * C::Mc);
    a.tiles_m = (g->m + C::Bn - 1) / C::Bn;
    a.parts = l->plan.splits;
    a.groups = (int)l->groups;
    a.group_blocks = C::grouped ? (int)(l->group / 64) : 1;
    a.block_rows = C::folded ? (int)(64 / l->group) : 1;
    CUtensorMap x, codes, scales = {};
    const int err = make_maps<C>(g, a, &x, &codes, &scales);
    if (err != 0)
        return err;
    const int tiles = a.tiles_n * a.tiles_m, size = C::Mc > 1 ? C::Mc : a.parts;
    const int most = a.parts > 1 ? tiles : l->multiprocessors / C::Mc;
    cudaLaunchAttribute attributes[2];
    int count = 0;
    if (size > 1) {
        attributes[count].id = cudaLaunchAttributeClusterDimension;
        attributes[count].val.clusterDim.x = (unsigned)size;
        attributes[count].val.clusterDim.y = 1;
        attributes[count++].val.clusterDim.z = 1;
    }
    if (l->early) {
        attributes[count].id = cudaLaunchAttributeProgrammaticStreamSerialization;
        attributes[count++].val.programmaticStreamSerializationAllowed = 1;
    }
    cudaLaunchConfig_t config = {};
    config.gridDim = dim3((unsigned)((tiles < most ? tiles : most) * size));
    config.blockDim = dim3(C::threads);
    config.dynamicSmemBytes = C::shared;
    config.stream = stream;
    config.attrs = attributes;
    config.numAttrs = (unsigned)count;
    return (int)cudaLaunchKernelEx(&config, sm90_grouped<C>, a, x, codes, scales);
}

template <int Code, bool Bf16, sm90_grouped_sums Sums>
int
start_wide_tile(const struct sm90_grouped_launch *l, const struct grouped_args *g,
                cudaStream_t stream)
{
    switch (l->plan.tile) {
    case 0:
        return start_wide<wide<Code, Bf16, Sums, 16, 1>>(l, g, stream);
    case 1:
        return start_wide<wide<Code, Bf16, Sums, 32, 1>>(l, g, stream);
    case 2:
        return start_wide<wide<Code, Bf16, Sums, 64, 1>>(l, g, stream);
    case 3:
        return start_wide<wide<Code, Bf16, Sums, 128, 1>>(l, g, stream);
    default:
        if constexpr (Sums == SM90_GROUPED_GROUPS || Sums == SM90_GROUPED_X_SCALED)
            return -DLQ_K_EUNSUPPORTED;
        else
            return start_wide<wide<Code, Bf16, Sums, 256, 2>>(l, g, stream);
    }
}

// In either type of x.
template <int Code, sm90_grouped_sums Sums>
int
start_wide_type(const struct sm90_grouped_launch *l, const struct grouped_args *g,
                cudaStream_t stream)
{
    return l->bf16 ? start_wide_tile<Code, true, Sums>(l, g, stream)
                   : start_wide_tile<Code, false, Sums>(l, g, stream);
}

} // namespace

#endif
