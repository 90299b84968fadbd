// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// y = x W^T on mma.sync, W in the Marlin layout, compute capability 8.0 and up.
//
// sm80_marlin_operand.cuh has the operands, sm80_marlin_stream.cuh how work is cut and copied,
// sm80_marlin_sums.cuh the end of a tile. Up to 16 tokens, where weights are used once or twice, q
// - z is multiplied as it is and scales are applied to the fp32 sums of a group or of a stage.
// Above, (q - z) * s is rounded once to the type of x.
#ifndef DLQ_KERNELS_CUDA_SM80_MARLIN_GEMM_CUH
#define DLQ_KERNELS_CUDA_SM80_MARLIN_GEMM_CUH

#include "launch.cuh"
#include "sm80_marlin_operand.cuh"
#include "sm80_marlin_stream.cuh"
#include "sm80_marlin_sums.cuh"

#include <cuda_runtime.h>

namespace
{

template <bool Bf16, class S> struct marlin_kernel {
    // What one step of a warp multiplies, as the layout has it, and x of a part of the tokens.
    struct raw {
        uint32_t w[S::words], scale[S::Cw];
        marlin_zeros zero[S::Cw];
    };
    struct part {
        uint32_t x[S::part][2];
    };

    // Of this lane, from the beginning of a stage: its weights, its scales, its zeros, its rows of
    // x. Steps of a warp lie next to each other along k.
    struct places {
        uint32_t weights, scales, zeros, x;
        marlin_warp<S> warp;
        int group;

        __device__ __forceinline__ places(int group_shift)
        {
            const int lane = threadIdx.x % 32, wn = warp.n, wt = warp.t, wk = warp.k;
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
        const int row = (at.warp.k * (S::steps / 2) + pair) * 32 >> at.group;
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
                zeros >>= at.warp.n % 2 * 8;
#pragma unroll
            for (int w = 0; w < S::Cw; w++)
                f.zero[w] = marlin_zeros_of<Bf16>(zeros >> 4 * w & 0x000f000fu);
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
    integers(uint32_t (&weights)[4], const uint32_t (&words)[S::words], marlin_zeros zero, int w)
    {
        if constexpr (S::Bits == 4)
            marlin_integers4<Bf16>(weights, words[w], zero);
        else
            marlin_integers8<Bf16>(weights, words[2 * w], words[2 * w + 1]);
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
            const float s0 = marlin_float<Bf16>((uint16_t)f.scale[w]),
                        s1 = marlin_float<Bf16>((uint16_t)(f.scale[w] >> 16));
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
    static __device__ __forceinline__ void multiply_exact(const sm80_marlin_args &a,
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
                            group[w][j] = marlin_product<Bf16>(weights, x[j]);
                        else
                            marlin_mma<Bf16>(group[w][j], weights, x[j] + 2 * s);
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

    static __device__ __forceinline__ void fill(const sm80_marlin_args &a, marlin_stream<S> &load,
                                                uint32_t ring)
    {
        int ahead = 0;
        if (a.pdl) {
            // Weights do not depend on the kernel before this one. Of the first tile only: another
            // would have to be looked for.
            marlin_stream<S> first = load;
            for (; ahead < min(a.stages - 1, load.at.until); ahead++, first.next_stage(a))
                first.weights(a, ring + ahead * S::stage_bytes);
            ptx_pdl_wait();
        }
        for (int s = 0; s < a.stages - 1; s++) {
            if (load.at.left > 0) {
                if (s >= ahead)
                    load.weights(a, ring + s * S::stage_bytes);
                load.tokens(a, ring + s * S::stage_bytes);
                load.next(a);
            }
            ptx_cp_async_commit();
        }
    }

    static __device__ __forceinline__ void
    run_exact(const sm80_marlin_args &a, marlin_stream<S> &load, marlin_cursor now, char *smem)
    {
        const uint32_t ring = ptx_smem(smem);
        const places at(a.group_shift);
        const uint32_t end = ring + a.stages * S::stage_bytes;
        uint32_t stage = ring, freed = end - S::stage_bytes;
        float4 sum[S::Cw][S::nt];
        clear(sum);
        while (now.left > 0) {
            marlin_wait_stage(a.stages);
            __syncthreads();
            if (load.at.left > 0) {
                load.weights(a, freed);
                load.tokens(a, freed);
                load.next(a);
            }
            ptx_cp_async_commit();
            multiply_exact(a, sum, stage, at);
            freed = stage;
            stage = stage + S::stage_bytes == end ? ring : stage + S::stage_bytes;
            const int tile = now.tile;
            if (now.next(a)) {
                marlin_sums<Bf16, S>::finish(a, sum, smem, tile, now.left == 0, at.warp);
                clear(sum);
            }
        }
    }

    // Registers are one part ahead of the products, across stages too.
    static __device__ __forceinline__ void
    run_rounded(const sm80_marlin_args &a, marlin_stream<S> &load, marlin_cursor now, char *smem)
    {
        const uint32_t ring = ptx_smem(smem);
        const places at(a.group_shift);
        const int group = 1 << min(a.group_shift, 30);
        const uint32_t end = ring + a.stages * S::stage_bytes;
        uint32_t stage = ring, freed = end - S::stage_bytes;
        float4 sum[S::Cw][S::nt];
        clear(sum);
        raw f;
        part x[2];
        marlin_wait_stage(a.stages);
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
                    marlin_scale<Bf16>(weights[w], f.scale[w]);
                }
#pragma unroll
                for (int p = 0; p < S::parts; p++) {
                    const int q = s * S::parts + p, next = (s + 1) % S::steps;
                    if (p + 1 < S::parts) {
                        load_x(x[(q + 1) % 2], stage, s, p + 1, at);
                    } else {
                        if (next == 0) {
                            marlin_wait_stage(a.stages);
                            __syncthreads();
                        }
                        const uint32_t from = next == 0 ? following : stage;
                        load_weights(f, from, next, at);
                        if (next == 0)
                            load_params(f, from, 0, at);
                        load_x(x[(q + 1) % 2], from, next, 0, at);
                    }
                    if (q == 0) {
                        load.weights(a, freed);
                        load.tokens(a, freed);
                        ptx_cp_async_commit();
                    }
#pragma unroll
                    for (int w = 0; w < S::Cw; w++)
#pragma unroll
                        for (int j = 0; j < S::part; j++)
                            marlin_mma<Bf16>(sum[w][p * S::part + j], weights[w], x[q % 2].x[j]);
                }
                // Behind the products: a branch before them would keep conversions out of them.
                const int next = s + 1;
                if (next % 2 == 0 && next < S::steps && (next * 16 & (group - 1)) == 0)
                    load_params(f, stage, next / 2, at);
            }
            freed = stage;
            stage = following;
            load.next(a);
            const int tile = now.tile;
            if (now.next(a)) {
                marlin_sums<Bf16, S>::finish(a, sum, smem, tile, now.left == 0, at.warp);
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
__launch_bounds__(S::threads, Ctas) sm80_marlin_kernel(const sm80_marlin_args a)
{
    extern __shared__ __align__(128) char smem[];
    marlin_stream<S> load;
    load.start(a);
    const marlin_cursor now = load.at;
    ptx_pdl_launch();
    marlin_stream<S>::constants(a, smem, Bf16 ? 0x3f803f80u : 0x3c003c00u);
    marlin_kernel<Bf16, S>::fill(a, load, ptx_smem(smem));
    if constexpr (S::exact)
        marlin_kernel<Bf16, S>::run_exact(a, load, now, smem);
    else
        marlin_kernel<Bf16, S>::run_rounded(a, load, now, smem);
}

template <bool Bf16, class S, int Ctas>
int
marlin_launch(const sm80_marlin_args *a, int grid, cudaStream_t stream)
{
    auto kernel = sm80_marlin_kernel<Bf16, S, Ctas>;
    const size_t smem = (size_t)a->stages * S::stage_bytes + S::sum_bytes;
    static unsigned char granted[64];
    // Some is not dynamic.
    const int err = dlq::allow_shared((const void *)kernel, 1024, granted);
    if (err)
        return err;
    const dlq::launch_config launch(dim3((unsigned)grid), S::threads, smem, a->pdl, stream);
    return launch.run(kernel, *a);
}

// Tokens, warps along columns, tokens and k, k of a stage, words of 16 columns of a warp's step.
template <bool Bf16, int Bits>
int
marlin_launch_tile(const sm80_marlin_args *a, int tile, int grid, cudaStream_t stream)
{
    switch (tile) {
    case 0:
        return marlin_launch<Bf16, marlin_shape<Bits, 8, 2, 1, 2, 128, 4>, 4>(a, grid, stream);
    case 1:
        return marlin_launch<Bf16, marlin_shape<Bits, 16, 2, 1, 2, 128, 4>, 3>(a, grid, stream);
    case 2:
        return marlin_launch<Bf16, marlin_shape<Bits, 32, 2, 1, 2, 128, 4>, 3>(a, grid, stream);
    case 3:
        return marlin_launch<Bf16, marlin_shape<Bits, 64, 2, 1, 2, 128, 4>, 2>(a, grid, stream);
    case 4:
        return marlin_launch<Bf16, marlin_shape<Bits, 64, 4, 1, 2, 128, 4>, 1>(a, grid, stream);
    case 5:
        return marlin_launch<Bf16, marlin_shape<Bits, 128, 8, 1, 1, 128, 2>, 1>(a, grid, stream);
    default:
        return marlin_launch<Bf16, marlin_shape<Bits, 128, 4, 1, 1, 64, 2>, 2>(a, grid, stream);
    }
}

} // namespace

#endif
