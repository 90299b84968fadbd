// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// W4A16 for many tokens: y^T = W x^T with wgmma, the weights converted in registers (each once a
// tile) as the 64-row operand, x as the other one, brought by TMA. A CTA computes tiles of 64 * WGS
// outputs x BN tokens in steps of one unit (128 k):
//
//   x        tokens x k 0..63 | tokens x k 64..127     BN rows of 128 bytes, 128-byte swizzle
//   weights  one unit of each of the 4 * WGS strips    1024 bytes and the pairs, as packed
//
// Four producer warps fill a ring of at most ST such stages (one lane issues a copy in about 100
// cycles; 16 strips a stage are too many for it), CTAs of different outputs from different places
// along k: all asking L2 for the same lines of x at once would be several times slower. WGS
// warpgroups consume it, each for its own 64 outputs (a strip a warp). A warpgroup converts 64 k
// while the tensor cores work on the 64 before: two sets of operand registers.
//
// Either a cluster of `split` CTAs shares the sum over k of one tile: the partial tiles meet in
// shared memory and every CTA sums and stores its share of the rows, in rank order. Or (MC 2) a
// cluster of two CTAs takes two neighbouring row tiles of the same tokens, each fetches half of x
// for both, and the grid walks all tiles, four token tiles side by side so that x is reused from
// L2.
#ifndef DLQ_KERNELS_CUDA_SM90_W4_WIDE_CUH
#define DLQ_KERNELS_CUDA_SM90_W4_WIDE_CUH

#include "sm90_w4_common.cuh"
#include "sm90_wgmma16.cuh"
#include "tensormap.h"

struct w4_wide_args {
    const char *w;
    char *y;
    const float *bias;
    int m, n;
    int64_t ldy; // in elements
    int strips, units;
    int tiles_n, tiles_m; // tiles_n counts pairs when MC is 2
    int split;
    int pdl;
};

template <bool Bf16>
DLQ_DEV uint32_t
w4_sub2(uint32_t a, uint32_t b)
{
    uint32_t r;
    if (Bf16)
        asm("sub.rn.bf16x2 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b));
    else
        asm("sub.rn.f16x2 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b));
    return r;
}

template <bool Bf16>
DLQ_DEV uint32_t
w4_mul2(uint32_t a, uint32_t b)
{
    uint32_t r;
    if (Bf16)
        asm("mul.rn.bf16x2 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b));
    else
        asm("mul.rn.f16x2 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b));
    return r;
}

DLQ_DEV uint32_t
w4_fma_f16x2(uint32_t a, uint32_t b, uint32_t c)
{
    uint32_t r;
    asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(r) : "r"(a), "r"(b), "r"(c));
    return r;
}

DLQ_DEV uint32_t
w4_dup(uint32_t v, bool high)
{
    return __byte_perm(v, v, high ? 0x3232 : 0x1010);
}

// What turns a word into operand registers: scales and zero points of rows r and r+8, both halves
// equal. The codes appear with a magic exponent, as 1024 + q or 1024 + 16 q in fp16 and as 128 + q
// in bf16; taking the zero point away is exact, the scale rounds once.
template <bool Bf16> struct w4_convert {
    uint32_t s0, s1, z0, z1;

    __device__ __forceinline__ void set(uint2 pairs)
    {
        s0 = w4_dup(pairs.x, false);
        s1 = w4_dup(pairs.y, false);
        const uint32_t a = w4_dup(pairs.x, true), b = w4_dup(pairs.y, true);
        if (Bf16) { // 128 + z: integers up to 143 are exact
            asm("add.rn.bf16x2 %0, %1, %2;" : "=r"(z0) : "r"(a), "r"(0x43004300u));
            asm("add.rn.bf16x2 %0, %1, %2;" : "=r"(z1) : "r"(b), "r"(0x43004300u));
        } else { // 1024 + z and -(64 + z)
            asm("add.rn.f16x2 %0, %1, %2;" : "=r"(z0) : "r"(a), "r"(0x64006400u));
            z1 = w4_sub2<false>(0xd400d400u, b);
        }
    }

    __device__ __forceinline__ void word(uint32_t v, uint32_t a[4]) const
    {
        if (Bf16) {
            a[0] = w4_mul2<true>(w4_sub2<true>(ptx_and_or<0x000f000fu, 0x43004300u>(v), z0), s0);
            a[1] =
                w4_mul2<true>(w4_sub2<true>(ptx_and_or<0x000f000fu, 0x43004300u>(v >> 4), z1), s1);
            a[2] =
                w4_mul2<true>(w4_sub2<true>(ptx_and_or<0x000f000fu, 0x43004300u>(v >> 8), z0), s0);
            a[3] =
                w4_mul2<true>(w4_sub2<true>(ptx_and_or<0x000f000fu, 0x43004300u>(v >> 12), z1), s1);
        } else {
            const uint32_t v8 = v >> 8;
            a[0] = w4_mul2<false>(w4_sub2<false>(ptx_and_or<0x000f000fu, 0x64006400u>(v), z0), s0);
            a[1] = w4_mul2<false>(
                w4_fma_f16x2(ptx_and_or<0x00f000f0u, 0x64006400u>(v), 0x2c002c00u, z1), s1);
            a[2] = w4_mul2<false>(w4_sub2<false>(ptx_and_or<0x000f000fu, 0x64006400u>(v8), z0), s0);
            a[3] = w4_mul2<false>(
                w4_fma_f16x2(ptx_and_or<0x00f000f0u, 0x64006400u>(v8), 0x2c002c00u, z1), s1);
        }
    }
};

template <bool Bf16, int Group, int Bn, int Wgs, int MaxSt, int Mc> struct w4_wide {
    static constexpr int threads = 128 * Wgs + 128;
    static constexpr int rows = 64 * Wgs;
    static constexpr int unit = DLQ_K_W4_UNIT_WEIGHTS + (Group ? 128 / Group * DLQ_K_W4_PAIRS : 0);
    static constexpr int box = Bn * 128; // bytes of 64 k of the tokens
    static constexpr int x_stage = 2 * box;
    static constexpr int w_stage = 4 * Wgs * unit;
    static constexpr int chunk =
        Bn < 32 || Bn == 256 ? 16 : 32; // tokens that pass through the store buffer at once
    static constexpr int out_stride =
        144; // bytes of a token's 64 outputs there; spreads the rows over the banks
    static constexpr int room = 227 * 1024 - Wgs * chunk * out_stride - 16 * MaxSt;
    static constexpr int St =
        room / (x_stage + w_stage) < MaxSt ? room / (x_stage + w_stage) : MaxSt;
    static constexpr int ring = St * (x_stage + w_stage); // all of x, then all of the weights
    static constexpr int sum_stride = rows + 4;           // floats of a token in the split's buffer
    static constexpr int smem = ring + Wgs * chunk * out_stride + 2 * St * 8;
    static_assert(Bn * sum_stride * 4 <= ring, "the partial tile takes the ring's place");
    // Registers a thread: the launch gives everyone the same (96, 128, 168), then the consumers
    // take what the producer leaves.
    static constexpr int consumer_registers = Wgs == 4 ? 112 : Wgs == 3 ? 152 : 232;
    static constexpr int producer_registers = Wgs == 4 ? 24 : 40;

    struct tile {
        int n, m; // first output and token
    };

    static __device__ __forceinline__ tile tile_at(const w4_wide_args &a, int i, int rank)
    {
        const int band = 4 * a.tiles_n, g = i / band, in = i % band;
        const int wide = min(4, a.tiles_m - 4 * g);
        tile t;
        t.m = (4 * g + in % wide) * Bn;
        t.n = (in / wide * Mc + (Mc > 1 ? rank : 0)) * rows;
        return t;
    }

    // The strips of one stage that are this producer warp's.
    static __device__ __forceinline__ void load_weights(const w4_wide_args &a, uint32_t to,
                                                        uint32_t bar, int strip, int there, int u,
                                                        uint64_t policy, int warp)
    {
        const char *from = a.w + ((int64_t)(strip + warp) * a.units + u) * unit;
        to += warp * unit;
#pragma unroll 1
        for (int s = warp; s < there; s += 4, from += 4 * (int64_t)a.units * unit, to += 4 * unit)
            ptx_bulk_load_hint(to, from, unit, bar, policy);
    }

    static __device__ __forceinline__ void load_x(const CUtensorMap *map, uint32_t to, uint32_t bar,
                                                  int m, int u, int rank)
    {
#pragma unroll
        for (int c = 0; c < 2; c++)
            if (Mc == 1)
                ptx_tma_load(to + c * box, map, u * 128 + c * 64, m, bar);
            else
                ptx_tma_load_multicast(to + c * box + rank * (box / 2), map, u * 128 + c * 64,
                                       m + rank * (Bn / 2), bar, 3);
    }

    // x of the stages whose weights went ahead.
    static __device__ __forceinline__ void load_held(const CUtensorMap *map, uint32_t ring,
                                                     uint32_t full, int held, tile t, int u, int u0,
                                                     int u1, int rank)
    {
        for (int h = 0; h < held; h++, u = u + 1 == u1 ? u0 : u + 1)
            load_x(map, ring + h * x_stage, full + 8 * h, t.m, u, rank);
    }

    // One lane of each producer warp: its part of all stages of all tiles of this CTA. The first
    // warp brings x and announces the bytes.
    static __device__ __forceinline__ void produce(const w4_wide_args &a, const CUtensorMap *map,
                                                   uint32_t ring, uint32_t full, uint32_t empty,
                                                   int first, int step, int tiles, int rank, int u0,
                                                   int u1, int warp)
    {
        const uint64_t once = ptx_policy_first(), keep = ptx_policy_last();
        const uint64_t policy = a.tiles_m == 1 ? once : keep;
        int slot = 0, pass = 0, waited = !a.pdl || warp > 0, held = 0;
        tile held_tile = {0, 0};
        int held_unit = u0;
        for (int i = first; i < tiles; i += step) {
            const tile t = tile_at(a, i, rank);
            const int there = max(min(4 * Wgs, a.strips - t.n / 16), 0);
            int u = u0 + t.n / (rows * Mc) * 5 % min(u1 - u0, 16); // where this cluster begins
#pragma unroll 1
            for (int done = u0; done < u1; done++, u = u + 1 == u1 ? u0 : u + 1) {
                // Until x may be read the weights of the first stages go ahead.
                if (!waited && (pass || i != first)) {
                    ptx_pdl_wait();
                    load_held(map, ring, full, held, held_tile, held_unit, u0, u1, rank);
                    waited = 1;
                }
                if (pass)
                    ptx_mbar_wait(empty + 8 * slot, (pass & 1) ^ 1);
                const uint32_t at = ring + slot * x_stage, bar = full + 8 * slot;
                if (warp == 0)
                    ptx_mbar_arrive_expect(bar, 2 * box + there * unit);
                if (waited) {
                    if (warp == 0)
                        load_x(map, at, bar, t.m, u, rank);
                } else {
                    if (held++ == 0) {
                        held_tile = t;
                        held_unit = u;
                    }
                }
                load_weights(a, ring + St * x_stage + slot * w_stage, bar, t.n / 16, there, u,
                             policy, warp);
                if (++slot == St) {
                    slot = 0;
                    pass++;
                }
            }
        }
        if (!waited) {
            ptx_pdl_wait();
            load_held(map, ring, full, held, held_tile, held_unit, u0, u1, rank);
        }
    }

    static __device__ __forceinline__ void put(const w4_wide_args &a, int tok, int row, uint4 v)
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

    static __device__ __forceinline__ float bias_at(const w4_wide_args &a, int row)
    {
        return a.bias && row < a.n ? a.bias[row] : 0;
    }

    // A warpgroup's 64 outputs x BN tokens, through its own piece of shared memory so that a
    // token's outputs leave side by side.
    static __device__ __forceinline__ void store(const w4_wide_args &a, const float *acc,
                                                 char *buffer, tile t, int wg)
    {
        const int lane = threadIdx.x % 32, warp = threadIdx.x / 32 % 4,
                  row = t.n + wg * 64 + warp * 16 + lane / 4;
        const float b0 = bias_at(a, row), b1 = bias_at(a, row + 8);
        const uint32_t at = ptx_smem(buffer) + (lane / 16 * 8 + lane % 8) * out_stride + warp * 32 +
                            lane / 8 % 2 * 16;
#pragma unroll
        for (int c = 0; c < Bn / chunk; c++) {
#pragma unroll
            for (int i = 0; i < chunk / 16; i++) {
                const float *d = acc + (c * chunk + i * 16) / 2;
                uint32_t p[4];
#pragma unroll
                for (int h = 0; h < 2; h++) {
                    p[2 * h] = w4_round<Bf16>(d[4 * h] + b0) |
                               (uint32_t)w4_round<Bf16>(d[4 * h + 1] + b0) << 16;
                    p[2 * h + 1] = w4_round<Bf16>(d[4 * h + 2] + b1) |
                                   (uint32_t)w4_round<Bf16>(d[4 * h + 3] + b1) << 16;
                }
                ptx_stmatrix4_trans(at + i * 16 * out_stride, p[0], p[1], p[2], p[3]);
            }
            ptx_bar_sync(1 + wg, 128);
#pragma unroll
            for (int i = 0; i < (chunk * 8 + 127) / 128; i++) {
                const int piece = i * 128 + threadIdx.x % 128, tok = piece / 8, seg = piece % 8;
                put(a, t.m + c * chunk + tok, t.n + wg * 64 + seg * 8,
                    *(const uint4 *)(buffer + tok * out_stride + seg * 16));
            }
            ptx_bar_sync(1 + wg, 128);
        }
    }

    // With a split: the partial tile into this CTA's shared memory as [token][row].
    static __device__ __forceinline__ void park(const float *acc, float *sums, int wg)
    {
        const int lane = threadIdx.x % 32, warp = threadIdx.x / 32 % 4;
        float *mine = sums + lane % 4 * 2 * sum_stride + wg * 64 + warp * 16 + lane / 4;
#pragma unroll
        for (int i = 0; i < Bn / 8; i++) {
            mine[(8 * i) * sum_stride] = acc[4 * i];
            mine[(8 * i + 1) * sum_stride] = acc[4 * i + 1];
            mine[(8 * i) * sum_stride + 8] = acc[4 * i + 2];
            mine[(8 * i + 1) * sum_stride + 8] = acc[4 * i + 3];
        }
    }

    // This CTA's share of the rows: the sum over the cluster, in rank order.
    static __device__ __forceinline__ void gather(const w4_wide_args &a, uint32_t sums, tile t,
                                                  int rank)
    {
        const int owned = rows / a.split, tokens = min(Bn, a.m - t.m);
        for (int i = threadIdx.x; i < tokens * (owned / 8); i += 128 * Wgs) {
            const int tok = i / (owned / 8), row = rank * owned + i % (owned / 8) * 8;
            float v[8] = {0};
            for (int q = 0; q < a.split; q++) {
                const uint32_t from = ptx_mapa(sums + (tok * sum_stride + row) * 4, q);
#pragma unroll
                for (int h = 0; h < 2; h++) {
                    const float4 f = ptx_ld_cluster4(from + 16 * h);
                    v[4 * h] += f.x, v[4 * h + 1] += f.y, v[4 * h + 2] += f.z, v[4 * h + 3] += f.w;
                }
            }
            uint32_t p[4];
#pragma unroll
            for (int e = 0; e < 4; e++)
                p[e] = w4_round<Bf16>(v[2 * e] + bias_at(a, t.n + row + 2 * e)) |
                       (uint32_t)w4_round<Bf16>(v[2 * e + 1] + bias_at(a, t.n + row + 2 * e + 1))
                           << 16;
            put(a, t.m + tok, t.n + row, make_uint4(p[0], p[1], p[2], p[3]));
        }
    }
};

template <bool Bf16, int Group, int Bn, int Wgs, int MaxSt, int Mc>
__global__ void __launch_bounds__(128 * Wgs + 128, 1)
    w4_wide_kernel(const w4_wide_args a, const __grid_constant__ CUtensorMap map)
{
    using C = w4_wide<Bf16, Group, Bn, Wgs, MaxSt, Mc>;
    constexpr int St = C::St;
    extern __shared__ __align__(1024) char smem[];
    char *const out = smem + C::ring;
    const uint32_t ring = ptx_smem(smem), full = ptx_smem(out + Wgs * C::chunk * C::out_stride),
                   empty = full + 8 * St;
    const int wg = __shfl_sync(0xffffffffu, threadIdx.x / 128, 0);
    const int size = Mc > 1 ? Mc : a.split, rank = size > 1 ? (int)ptx_cluster_rank() : 0;
    const int first = blockIdx.x / size, step = gridDim.x / size, tiles = a.tiles_n * a.tiles_m;
    const int u0 = Mc > 1 ? 0 : a.units * rank / a.split,
              u1 = Mc > 1 ? a.units : a.units * (rank + 1) / a.split;

    if (threadIdx.x == 128 * Wgs) {
        for (int s = 0; s < St; s++) {
            ptx_mbar_init(full + 8 * s, 1);
            ptx_mbar_init(empty + 8 * s, Wgs * Mc);
        }
        ptx_mbar_init_fence();
    }
    if (Mc > 1) {
        ptx_cluster_arrive();
        ptx_cluster_wait();
    } else {
        __syncthreads();
    }
    if (a.pdl)
        ptx_pdl_launch();

    if (wg == Wgs) {
        ptx_reg_dec<C::producer_registers>();
        const int warp = __shfl_sync(0xffffffffu, threadIdx.x / 32, 0) - 4 * Wgs;
        if (ptx_elect())
            C::produce(a, &map, ring, full, empty, first, step, tiles, rank, u0, u1, warp);
        __syncwarp();
        if (size > 1) {
            ptx_cluster_arrive();
            ptx_cluster_wait();
        }
        if (Mc == 1 && size > 1) {
            ptx_cluster_arrive();
            ptx_cluster_wait();
        }
    } else {
        ptx_reg_inc<C::consumer_registers>();
        const int lane = threadIdx.x % 32, warp = threadIdx.x / 32 % 4;
        if (a.pdl)
            ptx_pdl_wait();
        float acc[Bn / 2];
        uint32_t op[2][4][4];
        int slot = 0, phase = 0, last_slot = -1;
        typename C::tile t = {0, 0};
        auto release = [&](int s) {
            if (s >= 0 && threadIdx.x % 128 < Mc) // lane 0 tells this CTA, lane 1 the other one
                if (Mc == 1)
                    ptx_mbar_arrive(empty + 8 * s);
                else
                    ptx_mbar_arrive_cluster(ptx_mapa(empty + 8 * s, threadIdx.x % 128));
        };
#pragma unroll 1
        for (int i = first; i < tiles; i += step) {
            t = C::tile_at(a, i, rank);
            w4_convert<Bf16> convert;
            if (Group == 0)
                convert.set(
                    *(const uint2 *)(a.w + (int64_t)a.strips * a.units * C::unit +
                                     min(t.n / 16 + wg * 4 + warp, a.strips - 1) * DLQ_K_W4_PAIRS +
                                     lane / 4 * 8));
#pragma unroll 1
            for (int u = u0; u < u1; u++) {
                ptx_mbar_wait(full + 8 * slot, phase);
                const uint32_t at = ring + slot * C::x_stage, weights = ring + St * C::x_stage +
                                                                        slot * C::w_stage +
                                                                        (wg * 4 + warp) * C::unit;
                const uint64_t desc = ptx_wgmma_desc128(at);
#pragma unroll
                for (int c = 0; c < 2; c++) {
                    const uint4 v = ptx_lds128(weights + c * 512 + lane * 16);
                    const uint32_t words[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
                    for (int j = 0; j < 4; j++) {
                        if (Group == 128  ? j == 0 && c == 0
                            : Group == 64 ? j == 0
                            : Group == 32 ? j % 2 == 0
                                          : false)
                            convert.set(
                                ptx_lds64(weights + 1024 +
                                          (Group ? (c * 64 + j * 16) / Group : 0) * DLQ_K_W4_PAIRS +
                                          lane / 4 * 8));
                        convert.word(words[j], op[c][j]);
                    }
                    ptx_wgmma_fence();
#pragma unroll
                    for (int j = 0; j < 4; j++)
                        wgmma16<Bf16, Bn>::run(acc, op[c][j],
                                               desc + (uint64_t)((c * C::box + j * 32) >> 4),
                                               u > u0 || c > 0 || j > 0);
                    ptx_wgmma_commit();
                    ptx_wgmma_wait<1>();
                    if (c == 0)
                        release(last_slot);
                }
                last_slot = slot;
                if (++slot == St) {
                    slot = 0;
                    phase ^= 1;
                }
            }
            ptx_wgmma_wait<0>();
            if (Mc > 1 || a.split == 1) {
                release(last_slot);
                last_slot = -1;
                C::store(a, acc, out + wg * C::chunk * C::out_stride, t, wg);
            }
        }
        if (Mc == 1 && a.split > 1) {
            ptx_bar_sync(8, 128 * Wgs); // no warpgroup reads the ring any more
            C::park(acc, (float *)smem, wg);
        }
        if (size > 1) {
            ptx_cluster_arrive();
            ptx_cluster_wait();
        }
        if (Mc == 1 && size > 1) {
            C::gather(a, ring, t, rank);
            ptx_cluster_arrive();
            ptx_cluster_wait();
        }
    }
}

template <bool Bf16, int Group, int Bn, int Wgs, int St, int Mc>
static int
w4_wide_launch(const struct dlq_k_w4_gemm *call, const struct dlq_k_w4_plan *plan, int sms,
               cudaStream_t stream)
{
    using C = w4_wide<Bf16, Group, Bn, Wgs, St, Mc>;
    auto kernel = w4_wide_kernel<Bf16, Group, Bn, Wgs, St, Mc>;
    static unsigned char granted[64];
    struct w4_wide_args a;
    a.w = (const char *)call->packed;
    a.y = (char *)call->y;
    a.bias = call->bias;
    a.m = call->m, a.n = call->n;
    a.ldy = call->ldy;
    a.strips = (call->n + 63) / 64 * 4;
    a.units = (call->k + 127) / 128;
    a.tiles_n = (call->n + C::rows * Mc - 1) / (C::rows * Mc);
    a.tiles_m = (call->m + Bn - 1) / Bn;
    a.split = plan->split;
    a.pdl = call->pdl;
    if (a.split < 1 || a.split > 8 || (a.split & (a.split - 1)) || a.split > a.units ||
        (Mc > 1 && a.split > 1) || plan->ctas != 1)
        return DLQ_K_W4_VARIANT;
    if (((uintptr_t)call->x & 15) || call->ldx % 8)
        return DLQ_K_W4_ALIGN;
    int err = w4_allow_smem((const void *)kernel, granted);
    if (err)
        return err;
    CUtensorMap map;
    err = dlq_k_tensormap_2d(&map, call->x, 2, (uint64_t)call->m, (uint64_t)call->k,
                             (uint64_t)call->ldx * 2, Bn / Mc, 64, DLQ_K_SWIZZLE_128);
    if (err)
        return err;
    const int tiles = a.tiles_n * a.tiles_m, size = Mc > 1 ? Mc : a.split;
    cudaLaunchAttribute attrs[2];
    int count = 0;
    if (size > 1) {
        attrs[count].id = cudaLaunchAttributeClusterDimension;
        attrs[count].val.clusterDim.x = (unsigned)size;
        attrs[count].val.clusterDim.y = 1;
        attrs[count++].val.clusterDim.z = 1;
    }
    if (call->pdl) {
        attrs[count].id = cudaLaunchAttributeProgrammaticStreamSerialization;
        attrs[count++].val.programmaticStreamSerializationAllowed = 1;
    }
    cudaLaunchConfig_t config = {};
    // A split gives every tile its own cluster; else the CTAs walk the tiles.
    const int clusters = a.split > 1 ? tiles : tiles < sms / Mc ? tiles : sms / Mc;
    config.gridDim = dim3((unsigned)(clusters * size));
    config.blockDim = dim3(C::threads);
    config.dynamicSmemBytes = C::smem;
    config.stream = stream;
    config.attrs = attrs;
    config.numAttrs = (unsigned)count;
    return (int)cudaLaunchKernelEx(&config, kernel, (const w4_wide_args)a, (const CUtensorMap)map);
}

// The tiles: number, BN, WGS, ST, MC.
#define W4_WIDE_TILES(X)                                                                           \
    X(0, 16, 4, 10, 1)                                                                             \
    X(1, 32, 4, 8, 1)                                                                              \
    X(2, 32, 2, 12, 1)                                                                             \
    X(3, 64, 4, 6, 1)                                                                              \
    X(4, 64, 2, 8, 1)                                                                              \
    X(5, 128, 3, 4, 1)                                                                             \
    X(6, 128, 2, 5, 1)                                                                             \
    X(7, 256, 2, 3, 1)                                                                             \
    X(8, 256, 2, 3, 2)

template <bool Bf16, int Group>
static int
w4_wide_tile(const struct dlq_k_w4_gemm *call, const struct dlq_k_w4_plan *plan, int sms,
             cudaStream_t stream)
{
    switch (plan->tile) {
#define W4_CASE(id, bn, wgs, st, mc)                                                               \
    case id:                                                                                       \
        return w4_wide_launch<Bf16, Group, bn, wgs, st, mc>(call, plan, sms, stream);
        W4_WIDE_TILES(W4_CASE)
#undef W4_CASE
    default:
        return DLQ_K_W4_VARIANT;
    }
}

template <bool Bf16>
static int
w4_wide_group(const struct dlq_k_w4_gemm *call, const struct dlq_k_w4_plan *plan, int sms,
              cudaStream_t stream)
{
    switch (dlq_k_w4_packed_group(call->k, call->group)) {
    case 0:
        return w4_wide_tile<Bf16, 0>(call, plan, sms, stream);
    case 32:
        return w4_wide_tile<Bf16, 32>(call, plan, sms, stream);
    case 64:
        return w4_wide_tile<Bf16, 64>(call, plan, sms, stream);
    case 128:
        return w4_wide_tile<Bf16, 128>(call, plan, sms, stream);
    default:
        return DLQ_K_W4_SHAPE;
    }
}

#endif
