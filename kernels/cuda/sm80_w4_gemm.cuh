// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// y = x W^T on mma.sync, W in the Marlin layout, compute capability 8.0 and up.
//
// sm80_w4_operand.cuh has the operands, sm80_w4_stream.cuh how work is cut and copied. Up to 16
// tokens, where weights are used once or twice, q - z is multiplied as it is and scales are applied
// to the fp32 sums of a group or of a stage. Above, (q - z) * s is rounded once to the type of x.
//
// Where a tile is shared by several CTAs each writes its fp32 sums to the workspace and counts
// itself; the one that comes last adds all in the order of k, so that bits do not depend on who
// that is, and nobody waits.
#ifndef DLQ_KERNELS_CUDA_SM80_W4_GEMM_CUH
#define DLQ_KERNELS_CUDA_SM80_W4_GEMM_CUH

#include "sm80_w4_operand.cuh"
#include "sm80_w4_stream.cuh"

#include <cuda_runtime.h>

namespace
{

template <bool Bf16, class S> struct w4_kernel {
    // What one step of a warp multiplies, as the layout has it, and x of a part of the tokens.
    struct raw {
        uint32_t w[S::words], scale[S::Cw];
        w4_zeros zero[S::Cw];
    };
    struct part {
        uint32_t x[S::part][2];
    };

    // Of this lane, from the beginning of a stage: its weights, its scales, its zeros, its rows of
    // x. Steps of a warp lie next to each other along k.
    struct places {
        uint32_t weights, scales, zeros, x;
        int wn, wt, wk, group;

        __device__ __forceinline__ places(int group_shift)
        {
            const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
            wn = warp % S::Wn, wt = warp / S::Wn % S::Wt, wk = warp / (S::Wn * S::Wt);
            const int block = wn * S::Cw / 4, half = wn * S::Cw % 4 / 2;
            weights =
                (wk * S::steps * S::blocks + block) * S::tile_bytes +
                (S::Bits == 4 ? lane * 16 + half * 8 : lane * 32 + (lane / 4 % 2 ^ half) * 16);
            group = group_shift;
            scales = S::weight_bytes + S::x_bytes + block * 128 + lane / 4 * 16 + half * 8;
            zeros = S::weight_bytes + S::x_bytes + S::scale_bytes + block * 32 + lane / 4 * 4;
            // ldmatrix: matrices 0, 1 are k 0..7 and 8..15 of eight tokens, 2 and 3 those of the
            // next eight or, in the exact kernel, of the next 16 k.
            const int token = wt * S::tokens + (S::exact ? 0 : lane / 16 * 8) + lane % 8;
            const int chunk = S::exact ? lane / 8 : lane / 8 % 2;
            x = S::weight_bytes + token * (S::Kt * 2) + wk * (S::steps * 32) +
                ((chunk ^ lane) & 7) * 16;
        }
    };

    // Scales and zero points of a pair of steps: of rows r and r+8 in the halves of a word.
    static __device__ __forceinline__ void load_params(raw &f, uint32_t stage, int pair,
                                                       const places &at)
    {
        const int row = (at.wk * (S::steps / 2) + pair) * 32 >> at.group;
        const uint32_t scales = stage + at.scales + row * (S::columns * 2);
        if constexpr (S::Cw == 4) {
            const uint4 v = ptx_lds128(scales);
            f.scale[0] = v.x, f.scale[1] = v.y, f.scale[2] = v.z, f.scale[3] = v.w;
        } else {
            const uint2 v = ptx_lds64(scales);
            f.scale[0] = v.x, f.scale[1] = v.y;
        }
        if (S::Bits == 4) {
            uint32_t zeros = ptx_lds32(stage + at.zeros + row * (S::columns / 2));
            if (S::Cw == 2)
                zeros >>= at.wn % 2 * 8;
#pragma unroll
            for (int w = 0; w < S::Cw; w++)
                f.zero[w] = w4_zeros_of<Bf16>(zeros >> 4 * w & 0x000f000fu);
        }
    }

    static __device__ __forceinline__ void load_weights(raw &f, uint32_t stage, int step,
                                                        const places &at)
    {
        const uint32_t from = stage + at.weights + step * (S::blocks * S::tile_bytes);
        if constexpr (S::words == 2) {
            const uint2 v = ptx_lds64(from);
            f.w[0] = v.x, f.w[1] = v.y;
        } else {
#pragma unroll
            for (int i = 0; i < S::words / 4; i++) {
                const uint4 v = ptx_lds128(from ^ i * 16);
                f.w[4 * i] = v.x, f.w[4 * i + 1] = v.y, f.w[4 * i + 2] = v.z, f.w[4 * i + 3] = v.w;
            }
        }
    }

    static __device__ __forceinline__ void load_x(part &f, uint32_t stage, int step, int which,
                                                  const places &at)
    {
        const uint32_t from =
            ((stage + at.x) ^ (step % 4 * 32)) + step / 4 * 128 + which * S::part * 8 * (S::Kt * 2);
#pragma unroll
        for (int j = 0; j < S::part / 2; j++) {
            uint32_t v[4];
            ptx_ldmatrix4(v, from + j * 16 * (S::Kt * 2));
            f.x[2 * j][0] = v[0], f.x[2 * j][1] = v[1];
            f.x[2 * j + 1][0] = v[2], f.x[2 * j + 1][1] = v[3];
        }
    }

    static __device__ __forceinline__ void
    integers(uint32_t (&weights)[4], const uint32_t (&words)[S::words], w4_zeros zero, int w)
    {
        if constexpr (S::Bits == 4)
            w4_integers4<Bf16>(weights, words[w], zero);
        else
            w4_integers8<Bf16>(weights, words[2 * w], words[2 * w + 1]);
    }

    static __device__ __forceinline__ void clear(float4 (&sum)[S::Cw][S::nt])
    {
#pragma unroll
        for (int i = 0; i < S::Cw * S::nt; i++)
            sum[i / S::nt][i % S::nt] = make_float4(0, 0, 0, 0);
    }

    // Adds a group's sums of integers times x, or a stage's where that is less, once scaled.
    static __device__ __forceinline__ void
    promote(float4 (&sum)[S::Cw][S::nt], const float4 (&group)[S::Cw][S::nt], const raw &f)
    {
#pragma unroll
        for (int w = 0; w < S::Cw; w++) {
            const float s0 = w4_float<Bf16>((uint16_t)f.scale[w]),
                        s1 = w4_float<Bf16>((uint16_t)(f.scale[w] >> 16));
#pragma unroll
            for (int j = 0; j < S::nt; j++) {
                const float4 v = group[w][j];
                float4 &to = sum[w][j];
                to.x = fmaf(s0, v.x, to.x), to.y = fmaf(s0, v.y, to.y);
                to.z = fmaf(s1, v.z, to.z), to.w = fmaf(s1, v.w, to.w);
            }
        }
    }

    // One stage of a warp, two steps at a time.
    static __device__ __forceinline__ void multiply_exact(const sm80_w4_args &a,
                                                          float4 (&sum)[S::Cw][S::nt],
                                                          uint32_t stage, const places &at)
    {
        constexpr int pairs = S::steps / 2;
        const int group_pairs = a.group_shift == 5 ? 1 : a.group_shift == 6 ? 2 : 4;
        float4 group[S::Cw][S::nt];
        raw f[2];
        uint32_t x[S::nt][4];
        load_params(f[0], stage, 0, at);
#pragma unroll
        for (int p = 0; p < pairs; p++) {
            load_weights(f[0], stage, 2 * p, at);
            load_weights(f[1], stage, 2 * p + 1, at);
#pragma unroll
            for (int j = 0; j < S::nt; j++)
                ptx_ldmatrix4(x[j],
                              ((stage + at.x) ^ (p % 2 * 64)) + p / 2 * 128 + j * 8 * (S::Kt * 2));
#pragma unroll
            for (int w = 0; w < S::Cw; w++)
#pragma unroll
                for (int s = 0; s < 2; s++) {
                    uint32_t weights[4];
                    integers(weights, f[s].w, f[0].zero[w], w);
#pragma unroll
                    for (int j = 0; j < S::nt; j++)
                        if (p == 0 && s == 0)
                            group[w][j] = w4_product<Bf16>(weights, x[j]);
                        else
                            w4_mma<Bf16>(group[w][j], weights, x[j] + 2 * s);
                }
            if (p + 1 == pairs || (p + 1) % group_pairs == 0) {
                promote(sum, group, f[0]);
                if (p + 1 < pairs) {
                    clear(group);
                    load_params(f[0], stage, p + 1, at);
                }
            }
        }
    }

    // This thread's share of a tile's sums, see w4_shape: those of its own words.
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

    // For a tile shared by CTAs first .. last: true in the one that has all sums now.
    static __device__ __forceinline__ bool add_ctas(const sm80_w4_args &a, owned &sum, int first,
                                                    int last)
    {
        __shared__ int before;
        constexpr int slot_size = S::own * S::threads;
        float4 *const slots = a.partial + threadIdx.x;
        // A CTA begins at most one tile that it does not end, and ends one that it did not begin.
        const int64_t slot = 2 * (int64_t)blockIdx.x + ((int)blockIdx.x == first);
#pragma unroll
        for (int i = 0; i < S::own; i++)
            __stcg(slots + slot * slot_size + i * S::threads, sum[i]);
        __syncthreads();
        if (threadIdx.x == 0) {
            // What the CTA wrote before the barrier is seen by whoever sees the count, and the
            // other way round.
            __threadfence();
            before = atomicAdd(a.counters + first, 1);
            __threadfence();
        }
        __syncthreads();
        if (before != last - first)
            return false;
        if (threadIdx.x == 0)
            a.counters[first] = 0;
        // As many loads under way as the registers hold beside this CTA's own sums, where those are
        // few.
        constexpr bool keeps = S::own <= 16;
        constexpr int most = 16, chunk = S::own < most ? S::own : most, batch = most / chunk;
        float4 mine[keeps ? S::own : 1];
#pragma unroll
        for (int i = 0; i < S::own; i++) {
            if (keeps)
                mine[i] = sum[i];
            sum[i] = make_float4(0, 0, 0, 0);
        }
        for (int c = first; c <= last; c += batch)
#pragma unroll
            for (int part = 0; part < S::own; part += chunk) {
                float4 v[batch][chunk];
#pragma unroll
                for (int b = 0; b < batch; b++) {
                    const int other = c + b;
                    const float4 *const from =
                        slots + (2 * (int64_t)other + (other == first)) * slot_size;
#pragma unroll
                    for (int i = 0; i < chunk; i++)
                        if (keeps && other == (int)blockIdx.x)
                            v[b][i] = mine[part + i];
                        else
                            v[b][i] = other <= last ? __ldcg(from + (part + i) * S::threads)
                                                    : make_float4(0, 0, 0, 0);
                }
#pragma unroll
                for (int b = 0; b < batch; b++)
#pragma unroll
                    for (int i = 0; i < chunk; i++)
                        add(sum[part + i], v[b][i]);
                asm volatile("" ::: "memory");
            }
        return true;
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

    static __device__ __forceinline__ void store(const sm80_w4_args &a, const owned &sum, int tile,
                                                 const places &at)
    {
        static_assert(S::own_words == 2, "four blocks of eight columns");
        const int lane = threadIdx.x % 32, r = lane / 4, t = lane % 4;
        const int n0 = tile / a.m_tiles * S::columns + at.wn * (16 * S::Cw) + at.wk * 32,
                  m0 = tile % a.m_tiles * S::Mt + at.wt * S::tokens;
        if (n0 >= a.n)
            return;
        float scale[4], bias[4]; // of column n0 + 8 b + r
#pragma unroll
        for (int b = 0; b < 4; b++) {
            scale[b] = S::exact ? w4_unit<Bf16>() : 1;
            if (a.group_shift == 31) // the channelwise permutation
                scale[b] *= w4_float<Bf16>(a.scales[n0 + r / 2 * 8 + 2 * b + r % 2]);
            bias[b] = a.bias && n0 + 8 * b + r < a.n ? a.bias[n0 + 8 * b + r] : 0;
        }
#pragma unroll
        for (int j = 0; j < S::nt; j++) {
            uint32_t v[4];
#pragma unroll
            for (int b = 0; b < 4; b++) {
                const float4 from = sum[b / 2 * S::nt + j];
                const float v0 = b % 2 ? from.z : from.x, v1 = b % 2 ? from.w : from.y;
                // Rows of columns to rows of tokens: lane r, t gets token r, columns 2t, 2t+1.
                v[b] = ptx_movmatrix_trans(
                    w4_pair<Bf16>(fmaf(v0, scale[b], bias[b]), fmaf(v1, scale[b], bias[b])));
            }
            const int token = m0 + 8 * j + r;
            uint16_t *const y = a.y + token * a.ldy + n0;
            if (a.wide) {
                transpose(v, t);
                if (token < a.m && n0 + 8 * t < a.n)
                    *(uint4 *)(y + 8 * t) = make_uint4(v[0], v[1], v[2], v[3]);
            } else if (token < a.m) {
#pragma unroll
                for (int i = 0; i < 8; i++) {
                    const int n = i / 2 * 8 + 2 * t + i % 2;
                    if (n0 + n < a.n)
                        y[n] = (uint16_t)(v[i / 2] >> i % 2 * 16);
                }
            }
        }
    }

    static __device__ __forceinline__ void finish(const sm80_w4_args &a,
                                                  const float4 (&sum)[S::Cw][S::nt], float4 *shared,
                                                  int tile, const places &at)
    {
        owned own;
        add_warps(own, sum, shared, at.wk);
        bool whole = true;
        if (tile < a.sk_tiles) {
            const int first = w4_owner(a, tile * a.iters),
                      last = w4_owner(a, (tile + 1) * a.iters - 1);
            if (first != last)
                whole = add_ctas(a, own, first, last);
        }
        if (whole)
            store(a, own, tile, at);
    }

    // The next stage into the ring, or an empty group of copies.
    static __device__ __forceinline__ void refill(const sm80_w4_args &a, w4_stream<S> &load,
                                                  uint32_t stage)
    {
        if (load.at.left > 0) {
            load.weights(a, stage);
            load.tokens(a, stage);
            load.next(a);
        }
        asm volatile("cp.async.commit_group;" ::: "memory");
    }

    static __device__ __forceinline__ void fill(const sm80_w4_args &a, w4_stream<S> &load,
                                                uint32_t ring)
    {
        if (a.pdl) {
            w4_stream<S> ahead = load;
            for (int s = 0; s < a.stages - 1 && ahead.at.left > 0; s++, ahead.next(a))
                ahead.weights(a, ring + s * S::stage_bytes);
            ptx_pdl_wait();
        }
        for (int s = 0; s < a.stages - 1; s++) {
            if (load.at.left > 0) {
                if (!a.pdl)
                    load.weights(a, ring + s * S::stage_bytes);
                load.tokens(a, ring + s * S::stage_bytes);
                load.next(a);
            }
            asm volatile("cp.async.commit_group;" ::: "memory");
        }
    }

    static __device__ __forceinline__ void run_exact(const sm80_w4_args &a, w4_stream<S> &load,
                                                     w4_cursor now, uint32_t ring, float4 *shared)
    {
        const places at(a.group_shift);
        const uint32_t end = ring + a.stages * S::stage_bytes;
        uint32_t stage = ring, freed = end - S::stage_bytes;
        float4 sum[S::Cw][S::nt];
        clear(sum);
        while (now.left > 0) {
            w4_wait_stage(a.stages);
            __syncthreads();
            refill(a, load, freed);
            multiply_exact(a, sum, stage, at);
            freed = stage;
            stage = stage + S::stage_bytes == end ? ring : stage + S::stage_bytes;
            const int tile = now.tile;
            now.next(a);
            if (now.left == 0 || now.tile != tile) {
                finish(a, sum, shared, tile, at);
                clear(sum);
            }
        }
    }

    // Registers are one part ahead of the products, across stages too.
    static __device__ __forceinline__ void run_rounded(const sm80_w4_args &a, w4_stream<S> &load,
                                                       w4_cursor now, uint32_t ring, float4 *shared)
    {
        const places at(a.group_shift);
        const int group = 1 << min(a.group_shift, 30);
        const uint32_t end = ring + a.stages * S::stage_bytes;
        uint32_t stage = ring, freed = end - S::stage_bytes;
        float4 sum[S::Cw][S::nt];
        clear(sum);
        raw f;
        part x[2];
        w4_wait_stage(a.stages);
        __syncthreads();
        load_weights(f, stage, 0, at);
        load_params(f, stage, 0, at);
        load_x(x[0], stage, 0, 0, at);
        while (now.left > 0) {
            const uint32_t following =
                stage + S::stage_bytes == end ? ring : stage + S::stage_bytes;
#pragma unroll
            for (int s = 0; s < S::steps; s++) {
                uint32_t weights[S::Cw][4];
#pragma unroll
                for (int w = 0; w < S::Cw; w++) {
                    integers(weights[w], f.w, f.zero[w], w);
                    w4_scale<Bf16>(weights[w], f.scale[w]);
                }
#pragma unroll
                for (int p = 0; p < S::parts; p++) {
                    const int q = s * S::parts + p, next = (s + 1) % S::steps;
                    if (p + 1 < S::parts) {
                        load_x(x[(q + 1) % 2], stage, s, p + 1, at);
                    } else {
                        if (next == 0) {
                            w4_wait_stage(a.stages);
                            __syncthreads();
                        }
                        const uint32_t from = next == 0 ? following : stage;
                        load_weights(f, from, next, at);
                        if (next == 0 || (next % 2 == 0 && (next * 16 & (group - 1)) == 0))
                            load_params(f, from, next / 2, at);
                        load_x(x[(q + 1) % 2], from, next, 0, at);
                    }
                    if (q == 0)
                        refill(a, load, freed);
#pragma unroll
                    for (int w = 0; w < S::Cw; w++)
#pragma unroll
                        for (int j = 0; j < S::part; j++)
                            w4_mma<Bf16>(sum[w][p * S::part + j], weights[w], x[q % 2].x[j]);
                }
            }
            freed = stage;
            stage = following;
            const int tile = now.tile;
            now.next(a);
            if (now.left == 0 || now.tile != tile) {
                finish(a, sum, shared, tile, at);
                clear(sum);
                // Again, rather than kept in registers all that while.
                load_weights(f, stage, 0, at);
                load_params(f, stage, 0, at);
                load_x(x[0], stage, 0, 0, at);
            }
        }
    }
};

template <bool Bf16, class S, int Ctas>
__global__ void
__launch_bounds__(S::threads, Ctas) sm80_marlin_kernel(const sm80_w4_args a)
{
    extern __shared__ __align__(128) char smem[];
    const uint32_t ring = ptx_smem(smem);
    float4 *const shared = (float4 *)(smem + a.stages * S::stage_bytes);
    w4_stream<S> load;
    load.start(a);
    const w4_cursor now = load.at;
    ptx_pdl_launch();
    w4_stream<S>::constants(a, smem, Bf16 ? 0x3f803f80u : 0x3c003c00u);
    w4_kernel<Bf16, S>::fill(a, load, ring);
    if constexpr (S::exact)
        w4_kernel<Bf16, S>::run_exact(a, load, now, ring, shared);
    else
        w4_kernel<Bf16, S>::run_rounded(a, load, now, ring, shared);
}

template <bool Bf16, class S, int Ctas>
int
w4_launch(const sm80_w4_args *a, int grid, cudaStream_t stream)
{
    auto kernel = sm80_marlin_kernel<Bf16, S, Ctas>;
    const size_t smem = (size_t)a->stages * S::stage_bytes + S::sum_bytes;
    static unsigned char granted[64];
    int device = 0;
    cudaError_t err = cudaGetDevice(&device);
    if (err == cudaSuccess &&
        (device >= 64 || !__atomic_load_n(&granted[device], __ATOMIC_RELAXED))) {
        int most = 0;
        err = cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
        if (err == cudaSuccess)
            err = cudaFuncSetAttribute((const void *)kernel,
                                       cudaFuncAttributeMaxDynamicSharedMemorySize, most - 1024);
        if (err == cudaSuccess && device < 64)
            __atomic_store_n(&granted[device], 1, __ATOMIC_RELAXED);
    }
    if (err != cudaSuccess)
        return (int)err;
    cudaLaunchAttribute early = {};
    early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    early.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config = {};
    config.gridDim = dim3((unsigned)grid);
    config.blockDim = dim3(S::threads);
    config.dynamicSmemBytes = smem;
    config.stream = stream;
    config.attrs = &early;
    config.numAttrs = a->pdl ? 1 : 0;
    err = cudaLaunchKernelEx(&config, kernel, *a);
    return (int)err;
}

// Tokens, warps along columns, tokens and k, k of a stage, words of 16 columns of a warp's step.
template <bool Bf16, int Bits>
int
w4_launch_tile(const sm80_w4_args *a, int tile, int grid, cudaStream_t stream)
{
    constexpr int deep = 1024 / Bits;
    switch (tile) {
    case 0:
        return w4_launch<Bf16, w4_shape<Bits, 8, 2, 1, 2, deep, 4>, 4>(a, grid, stream);
    case 1:
        return w4_launch<Bf16, w4_shape<Bits, 16, 2, 1, 2, deep, 4>, 3>(a, grid, stream);
    case 2:
        return w4_launch<Bf16, w4_shape<Bits, 32, 2, 1, 2, 128, 4>, 3>(a, grid, stream);
    case 3:
        return w4_launch<Bf16, w4_shape<Bits, 64, 2, 1, 2, 128, 4>, 2>(a, grid, stream);
    case 4:
        return w4_launch<Bf16, w4_shape<Bits, 64, 4, 1, 2, 128, 4>, 1>(a, grid, stream);
    case 5:
        return w4_launch<Bf16, w4_shape<Bits, 128, 8, 1, 1, 128, 2>, 1>(a, grid, stream);
    default:
        return w4_launch<Bf16, w4_shape<Bits, 128, 4, 1, 1, 64, 2>, 2>(a, grid, stream);
    }
}

} // namespace

#endif
