// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// The end of a tile: sums of warps, and of CTAs that share the tile, to y.
//
// Each of the CTAs writes its fp32 sums to the workspace and counts itself. Those that have nothing
// more to do add a part of the tile each, which takes an n-th of the time of one of them adding
// all. They wait for the others, but not for long, since nothing says that those can run at the
// same time: a CTA that gives up leaves its part to the one that comes last, which never waits.
// Sums are added in the order of k by whoever adds them, so that bits do not depend on who that is.
#ifndef DLQ_KERNELS_CUDA_SM80_MARLIN_SUMS_CUH
#define DLQ_KERNELS_CUDA_SM80_MARLIN_SUMS_CUH

#include "sm80_marlin_operand.cuh"
#include "sm80_marlin_stream.cuh"

namespace
{

template <bool Bf16, class S> struct marlin_sums {
    // This thread's share of a tile's sums, see marlin_shape: those of its own words.
    using owned = float4[S::own];

    static __device__ __forceinline__ void add(float4 &to, const float4 &v)
    {
        to.x += v.x, to.y += v.y, to.z += v.z, to.w += v.w;
    }

    static __device__ __forceinline__ void add_warps(owned &out, const float4 (&sum)[S::Cw][S::nt],
                                                     float4 *shared, int wk)
    {
        constexpr int part = S::own / S::slices, half = S::threads / 2;
        const int tid = threadIdx.x, partner = S::Wk == 1   ? tid
                                               : tid < half ? tid + half
                                                            : tid - half;
#pragma unroll
        for (int slice = 0; slice < S::slices; slice++) {
            if (S::Wk > 1) {
                __syncthreads();
#pragma unroll
                for (int i = 0; i < part; i++) {
                    const int f = slice * part + i;
                    const float4 &low = sum[f / S::nt][f % S::nt],
                                 &high = sum[(f + S::own) / S::nt % S::Cw][f % S::nt];
                    out[f] = wk ? high : low;
                    shared[i * S::threads + tid] = wk ? low : high;
                }
                __syncthreads();
            }
#pragma unroll
            for (int i = 0; i < part; i++) {
                const int f = slice * part + i;
                if (S::Wk > 1)
                    add(out[f], shared[i * S::threads + partner]);
                else
                    out[f] = sum[f / S::nt][f % S::nt];
            }
        }
    }

    // Of four lanes t = 0..3 with four values each: lane t gets value t of all.
    static __device__ __forceinline__ void transpose(uint32_t (&v)[4], int t)
    {
#pragma unroll
        for (int bit = 1; bit < 4; bit *= 2)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                if (i & bit)
                    continue;
                const bool upper = t & bit;
                const uint32_t got = __shfl_xor_sync(0xffffffffu, upper ? v[i] : v[i + bit], bit);
                v[i] = upper ? got : v[i];
                v[i + bit] = upper ? v[i + bit] : got;
            }
    }

    // Where this warp's part of a tile goes in y, and what its sums are multiplied by and added to.
    struct target {
        int n0, m0;
        float scale[4], bias[4]; // of column n0 + 8 b + lane / 4

        __device__ __forceinline__ target(const sm80_marlin_args &a, int tile,
                                          const marlin_warp<S> &warp)
        {
            const int r = threadIdx.x % 32 / 4;
            const int tn = marlin_divide(tile, a.m_tiles);
            n0 = tn * S::columns + warp.n * (16 * S::Cw) + warp.k * 32;
            m0 = (tile - tn * a.m_tiles.by) * S::Mt + warp.t * S::tokens;
#pragma unroll
            for (int b = 0; b < 4; b++) {
                scale[b] = S::exact ? marlin_unit<Bf16>() : 1;
                if (a.group_shift == 31 && n0 < a.n) // the channelwise permutation
                    scale[b] *= marlin_float<Bf16>(a.scales[n0 + r / 2 * 8 + 2 * b + r % 2]);
                bias[b] = a.bias && n0 + 8 * b + r < a.n ? a.bias[n0 + 8 * b + r] : 0;
            }
        }
    };

    // Eight tokens, number j of the warp's, of 32 columns.
    static __device__ __forceinline__ void store(const sm80_marlin_args &a, const target &to, int j,
                                                 const float4 &sum0, const float4 &sum1)
    {
        static_assert(S::own_words == 2, "four blocks of eight columns");
        const int lane = threadIdx.x % 32, r = lane / 4, t = lane % 4;
        uint32_t v[4];
#pragma unroll
        for (int b = 0; b < 4; b++) {
            const float4 &from = b / 2 ? sum1 : sum0;
            const float v0 = b % 2 ? from.z : from.x, v1 = b % 2 ? from.w : from.y;
            // Rows of columns to rows of tokens: lane r, t gets token r, columns 2t, 2t+1.
            v[b] = ptx_movmatrix_trans(marlin_pair<Bf16>(fmaf(v0, to.scale[b], to.bias[b]),
                                                         fmaf(v1, to.scale[b], to.bias[b])));
        }
        const int token = to.m0 + 8 * j + r;
        uint16_t *const y = a.y + token * a.ldy + to.n0;
        if (a.wide) {
            transpose(v, t);
            if (token < a.m && to.n0 + 8 * t < a.n)
                *(uint4 *)(y + 8 * t) = make_uint4(v[0], v[1], v[2], v[3]);
        } else if (token < a.m) {
#pragma unroll
            for (int i = 0; i < 8; i++) {
                const int n = i / 2 * 8 + 2 * t + i % 2;
                if (to.n0 + n < a.n)
                    y[n] = (uint16_t)(v[i / 2] >> i % 2 * 16);
            }
        }
    }

    // How CTAs first .. last share a tile's end: its tokens are cut in `parts` of `each` eights of
    // every warp, part p for CTA first + p. Those have no other work any more and wait a little for
    // the rest. Without parts the whole is a single one for whoever comes last.
    struct sharing {
        int first, last, parts, each;

        __device__ __forceinline__ sharing(const sm80_marlin_args &a, int tile)
        {
            const int end = (tile + 1) * a.iters.by;
            first = marlin_owner(a, tile * a.iters.by);
            last = marlin_owner(a, end - 1);
            const int ending = last - first + (marlin_run_begin(a, last + 1) == end);
            each = S::nt, parts = 0;
            if (!S::exact && ending > 1) {
                each = (S::nt + ending - 1) / ending;
                parts = (S::nt + each - 1) / each;
                if (each * eight > a.stages * S::stage_bytes)
                    each = S::nt, parts = 0;
            }
        }
    };

    // Bytes of a CTA's sums of eight tokens of each warp.
    static constexpr int eight = 2 * S::threads * 16;

    // Counter of a shared tile, zero when nobody is at it: CTAs that have written what others need,
    // CTAs that will not touch it again, and parts left to the one that comes last.
    static constexpr unsigned long long written = 1, leaves = 1 << 16, left_over = 1ull << 32;

    // Adds to the counter what was written before a barrier; returns what it was.
    static __device__ __forceinline__ unsigned long long count(unsigned long long *counter,
                                                               unsigned long long what, int ctas)
    {
        const unsigned long long was = ptx_atom_add_acq_rel64(counter, what);
        if (what & leaves && (was >> 16 & 0xffff) == ctas - 1)
            *counter = 0;
        return was;
    }

    // The sums of all CTAs of one part of a tile, in the order of k, to y. `mine` are those of this
    // CTA where they are not among the others'.
    static __device__ __forceinline__ void add_part(const sm80_marlin_args &a, const sharing &s,
                                                    int part, const float4 *slots,
                                                    const float4 *mine, const target &to)
    {
        constexpr int most = S::Cw * S::nt >= 32 ? 32 : 16, js = S::nt < 4 ? S::nt : 4,
                      ctas = most / (2 * js); // loads under way
        const int end = min(S::nt, (part + 1) * s.each);
        for (int j0 = part * s.each; j0 < end; j0 += js) {
            float4 sum[js][2];
#pragma unroll
            for (int i = 0; i < 2 * js; i++)
                sum[i / 2][i % 2] = make_float4(0, 0, 0, 0);
            for (int c0 = s.first; c0 <= s.last; c0 += ctas) {
                float4 v[ctas][js][2];
#pragma unroll
                for (int c = 0; c < ctas; c++) {
                    const int other = c0 + c;
                    const float4 *from =
                        slots + (2 * (int64_t)other + (other == s.first)) * (S::own * S::threads) +
                        j0 * (2 * S::threads);
                    if (mine && other == (int)blockIdx.x)
                        from = mine + (j0 - part * s.each) * (2 * S::threads);
#pragma unroll
                    for (int i = 0; i < 2 * js; i++)
                        v[c][i / 2][i % 2] = other <= s.last && j0 + i / 2 < end
                                                 ? from[i * S::threads]
                                                 : make_float4(0, 0, 0, 0);
                }
#pragma unroll
                for (int c = 0; c < ctas; c++)
#pragma unroll
                    for (int i = 0; i < 2 * js; i++)
                        add(sum[i / 2][i % 2], v[c][i / 2][i % 2]);
            }
#pragma unroll
            for (int j = 0; j < js; j++)
                if (j0 + j < end)
                    store(a, to, j0 + j, sum[j][0], sum[j][1]);
        }
    }

    // This CTA's sums of a tile that CTAs first .. last share. `kept` is shared memory that is free
    // when the CTA has nothing more to do.
    static __device__ __forceinline__ void add_ctas(const sm80_marlin_args &a, const sharing &s,
                                                    const owned &sum, float4 *kept, bool last_tile,
                                                    const target &to)
    {
        constexpr int slot_size = S::own * S::threads, polls = 32;
        __shared__ unsigned todo;
        const int tid = threadIdx.x, ctas = s.last - s.first + 1, me = blockIdx.x - s.first;
        const bool has_part = last_tile && me < s.parts;
        const int begin = has_part ? me * s.each : S::nt, end = has_part ? begin + s.each : 0;
        const unsigned own_part = has_part ? 1u << me : 0, waiting = ~0u;
        unsigned long long *const counter = a.counters + s.first;
        // A CTA begins at most one tile that it does not end, and ends one that it did not begin.
        float4 *const slots = a.partial + tid;
        float4 *const slot = slots + (2 * (int64_t)blockIdx.x + (me == 0)) * slot_size;
        kept += tid;
        __syncthreads();
#pragma unroll
        for (int i = 0; i < S::own; i++) {
            const int j = i / 2;
            float4 *const at = j >= begin && j < end ? kept - begin * (2 * S::threads) : slot;
            at[i * S::threads] = sum[i % 2 * S::nt + j];
        }
        __syncthreads();
        if (tid == 0) {
            const unsigned long long was =
                count(counter, has_part ? written : written + leaves, ctas);
            unsigned parts = 0;
            if ((was & 0xffff) == ctas - 1) {
                parts = (unsigned)(was >> 32) | own_part | (s.parts == 0);
            } else if (has_part) {
                parts = waiting;
#pragma unroll 1
                for (int i = 0; i < polls && parts == waiting; i++)
                    if ((ptx_ld_acquire64(counter) & 0xffff) == ctas)
                        parts = own_part;
            }
            todo = parts;
        }
        __syncthreads();
        unsigned parts = todo;
        if (parts == waiting) {
            for (int i = 2 * begin; i < 2 * end && i < S::own; i++)
                slot[i * S::threads] = kept[(i - 2 * begin) * S::threads];
            __syncthreads();
            if (tid == 0)
                todo = (count(counter, leaves + (left_over << me), ctas) & 0xffff) == ctas
                           ? own_part
                           : 0;
            __syncthreads();
            parts = todo;
        } else if (has_part && tid == 0) {
            count(counter, leaves, ctas);
        }
        for (int p = 0; p == 0 || p < s.parts; p++)
            if (parts >> p & 1)
                add_part(a, s, p, slots, has_part && p == me ? kept : nullptr, to);
    }

    // The end of a tile; last_tile: of this CTA, whose ring in `smem` is free then.
    static __device__ __forceinline__ void finish(const sm80_marlin_args &a,
                                                  const float4 (&sum)[S::Cw][S::nt], char *smem,
                                                  int tile, bool last_tile,
                                                  const marlin_warp<S> &warp)
    {
        owned own;
        add_warps(own, sum, (float4 *)(smem + a.stages * S::stage_bytes), warp.k);
        const target to(a, tile, warp);
        if (tile < a.sk_tiles) {
            const sharing s(a, tile);
            if (s.first != s.last) {
                add_ctas(a, s, own, (float4 *)smem, last_tile, to);
                return;
            }
        }
        if (to.n0 < a.n) {
#pragma unroll
            for (int j = 0; j < S::nt; j++)
                store(a, to, j, own[j], own[S::nt + j]);
        }
    }
};

} // namespace

#endif
