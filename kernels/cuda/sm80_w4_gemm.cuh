// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// y = x W^T on mma.sync, W in the Marlin layout, compute capability 8.0 and up.
//
// sm80_w4_operand.cuh has the operands, sm80_w4_stream.cuh how work is cut and copied. Up to 16
// tokens, where weights are used once or twice, masked codes are multiplied as they are (a mask
// leaves q * 2^-24 or q * 2^-20 in fp16) and scales and zero points applied to fp32 sums of at most
// 64 k; a product with ones sums x. Above, (q - z) * s is rounded once to the type of x.
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
    // With one eighth of tokens two chains of products run side by side, and 4-bit codes need one
    // shift a word: low nibbles of two steps are one operand, high nibbles the other, so that k of
    // the first product is 0..7 of both steps and of the second 8..15. With two there are chains
    // enough, and registers too few.
    static constexpr bool chains = S::nt == 1, nibbles = S::Bits == 4 && chains;

    // What one step of a warp multiplies, as the layout has it, and x of a part of the tokens.
    struct raw {
        uint32_t w[S::words], scale[S::Cw], zero[S::Cw];
    };
    struct part {
        uint32_t x[S::part][2];
    };

    // Of this lane, from the beginning of a stage: its weights, its scales, its zeros, its rows of
    // x. Steps of a warp lie next to each other along k.
    struct places {
        uint32_t weights, scales, zeros, x;
        uint32_t next_scales, next_zeros; // on to the parameters of step 2, which may be the same
        int wn, wt, wk;

        __device__ __forceinline__ places(int group_shift)
        {
            const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
            wn = warp % S::Wn, wt = warp / S::Wn % S::Wt, wk = warp / (S::Wn * S::Wt);
            const int step = wk * S::steps, block = wn * S::Cw / 4, half = wn * S::Cw % 4 / 2;
            weights = (step * S::blocks + block) * S::tile_bytes + lane * 16 +
                      half * (S::Bits == 4 ? 8 : 512);
            const int row = step * 16 >> group_shift;
            scales = S::weight_bytes + S::x_bytes + row * (S::columns * 2) + block * 128 +
                     lane / 4 * 16 + half * 8;
            zeros = S::weight_bytes + S::x_bytes + S::scale_bytes + row * (S::columns / 2) +
                    block * 32 + lane / 4 * 4;
            next_scales = group_shift == 5 ? S::columns * 2 : 0;
            next_zeros = group_shift == 5 ? S::columns / 2 : 0;
            // ldmatrix: matrices 0, 1 are k 0..7 and 8..15 of eight tokens, 2 and 3 those of the
            // next eight or, in the exact kernel, of the next 16 k; for `nibbles` 1 and 2 change
            // places.
            const int token = wt * S::tokens + (S::exact ? 0 : lane / 16 * 8) + lane % 8;
            const int chunk = nibbles    ? lane / 8 % 2 * 2 + lane / 16
                              : S::exact ? lane / 8
                                         : lane / 8 % 2;
            x = S::weight_bytes + token * (S::Kt * 2) + wk * (S::steps * 32) +
                ((chunk ^ lane) & 7) * 16;
        }
    };

    // Scales and zero points of steps 0 and 1 (half 0) or 2 and 3: of rows r and r+8 in the halves
    // of a word.
    static __device__ __forceinline__ void load_params(raw &f, uint32_t stage, int half,
                                                       const places &at)
    {
        const uint32_t scales = stage + at.scales + half * at.next_scales;
        if constexpr (S::Cw == 4) {
            const uint4 v = ptx_lds128(scales);
            f.scale[0] = v.x, f.scale[1] = v.y, f.scale[2] = v.z, f.scale[3] = v.w;
        } else {
            const uint2 v = ptx_lds64(scales);
            f.scale[0] = v.x, f.scale[1] = v.y;
        }
        if (S::Bits == 4) {
            uint32_t zeros = ptx_lds32(stage + at.zeros + half * at.next_zeros);
            if (S::Cw == 2)
                zeros >>= at.wn % 2 * 8;
#pragma unroll
            for (int w = 0; w < S::Cw; w++)
                f.zero[w] = zeros >> 4 * w & 0x000f000fu;
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
                const uint4 v = ptx_lds128(from + i * 512);
                f.w[4 * i] = v.x, f.w[4 * i + 1] = v.y, f.w[4 * i + 2] = v.z, f.w[4 * i + 3] = v.w;
            }
        }
    }

    static __device__ __forceinline__ void load_x(part &f, uint32_t stage, int step, int which,
                                                  const places &at)
    {
        const uint32_t from = ((stage + at.x) ^ (step * 32)) + which * S::part * 8 * (S::Kt * 2);
#pragma unroll
        for (int j = 0; j < S::part / 2; j++) {
            uint32_t v[4];
            ptx_ldmatrix4(v, from + j * 16 * (S::Kt * 2));
            f.x[2 * j][0] = v[0], f.x[2 * j][1] = v[1];
            f.x[2 * j + 1][0] = v[2], f.x[2 * j + 1][1] = v[3];
        }
    }

    static __device__ __forceinline__ void convert(uint32_t (&weights)[S::Cw][4], const raw &f)
    {
#pragma unroll
        for (int w = 0; w < S::Cw; w++) {
            if constexpr (S::Bits == 4)
                w4_weights4<Bf16>(weights[w], f.w[w], f.scale[w], f.zero[w]);
            else
                w4_weights8<Bf16>(weights[w], f.w[2 * w], f.w[2 * w + 1], f.scale[w]);
        }
    }

    // The operands of two steps, masked but not converted.
    static __device__ __forceinline__ void mask(uint32_t (&m)[2][4], const raw &f0, const raw &f1,
                                                int w)
    {
        constexpr uint32_t low = 0x000f000fu, high = 0x00f000f0u;
        if constexpr (nibbles) {
            const uint32_t v0 = f0.w[w], v1 = f1.w[w], u0 = v0 >> 8, u1 = v1 >> 8;
            m[0][0] = v0 & low, m[0][1] = u0 & low, m[0][2] = v1 & low, m[0][3] = u1 & low;
            m[1][0] = v0 & high, m[1][1] = u0 & high, m[1][2] = v1 & high, m[1][3] = u1 & high;
        } else {
#pragma unroll
            for (int i = 0; i < 2; i++) {
                const raw &from = i ? f1 : f0;
                if constexpr (S::Bits == 4) {
                    const uint32_t v = from.w[w];
                    m[i][0] = v & low, m[i][1] = v >> 8 & low;
                    m[i][2] = v >> 4 & low, m[i][3] = v >> 12 & low;
                } else {
                    m[i][0] = __byte_perm(from.w[2 * w], 0, 0x4240);
                    m[i][1] = __byte_perm(from.w[2 * w + 1], 0, 0x4240);
                    m[i][2] = __byte_perm(from.w[2 * w], 0, 0x4341);
                    m[i][3] = __byte_perm(from.w[2 * w + 1], 0, 0x4341);
                }
            }
        }
    }

    // sum += s * (codes x - z * sum of x) of one stage of a warp, 64 k, but for the factor `unit`.
    static constexpr float unit = (Bf16 ? 0x1p69f : 0x1p24f) * (nibbles ? 0x1p-4f : 1);

    static __device__ __forceinline__ void multiply_exact(const sm80_w4_args &a,
                                                          float4 (&sum)[S::Cw][S::nt],
                                                          uint32_t stage, const places &at)
    {
        const uint32_t ones[4] = {0x00010001u, 0x00010001u, 0x00010001u, 0x00010001u};
        const bool halves = a.group_shift == 5; // a group is two steps
        raw f[4];
        uint32_t x[2][S::nt][4], zeros[2];
        float2 total[2][S::nt]; // of x
#pragma unroll
        for (int s = 0; s < 4; s++)
            load_weights(f[s], stage, s, at);
#pragma unroll
        for (int p = 0; p < 2; p++) {
#pragma unroll
            for (int j = 0; j < S::nt; j++)
                ptx_ldmatrix4(x[p][j], ((stage + at.x) ^ (p * 64)) + j * 8 * (S::Kt * 2));
            if (S::Bits == 4)
                zeros[p] = ptx_lds32(stage + at.zeros + p * at.next_zeros);
        }
#pragma unroll
        for (int j = 0; j < S::nt; j++) {
            float4 n[2];
#pragma unroll
            for (int p = 0; p < 2; p++) {
                if (Bf16) {
#pragma unroll
                    for (int i = 0; i < 4; i++)
                        x[p][j][i] = w4_raised(x[p][j][i]);
                }
                n[p] = w4_product<Bf16>(ones, x[p][j]);
                w4_mma<Bf16>(n[p], ones, x[p][j] + 2);
            }
            if (!halves)
                n[1].x += n[0].x, n[1].y += n[0].y;
            const float zero_unit = S::Bits == 8 ? -128 : nibbles ? -16 : -1;
#pragma unroll
            for (int p = 0; p < 2; p++)
                total[p][j] = make_float2(zero_unit * n[p].x, zero_unit * n[p].y);
        }
#pragma unroll
        for (int w = 0; w < S::Cw; w++) {
            float4 low[S::nt], high[S::nt];
#pragma unroll
            for (int p = 0; p < 2; p++) {
                uint32_t m[2][4];
                mask(m, f[2 * p], f[2 * p + 1], w);
#pragma unroll
                for (int j = 0; j < S::nt; j++) {
                    const uint32_t *const b[2] = {x[p][j], x[p][j] + 2};
                    if (p == 0) {
                        low[j] = w4_product<Bf16>(m[0], b[0]);
                        if (chains)
                            high[j] = w4_product<Bf16>(m[1], b[1]);
                        else
                            w4_mma<Bf16>(low[j], m[1], b[1]);
                    } else {
                        w4_mma<Bf16>(low[j], m[0], b[0]);
                        w4_mma<Bf16>(chains ? high[j] : low[j], m[1], b[1]);
                    }
                }
                if (p == 0 && !halves)
                    continue;
                const uint32_t scale = ptx_lds32(stage + at.scales + p * at.next_scales + 4 * w);
                const float s0 = w4_float<Bf16>((uint16_t)scale),
                            s1 = w4_float<Bf16>((uint16_t)(scale >> 16));
                float z0 = 1, z1 = 1;
                if (S::Bits == 4) {
                    z0 = w4_integer(zeros[p] >> 4 * w & 15);
                    z1 = w4_integer(zeros[p] >> (4 * w + 16) & 15);
                }
#pragma unroll
                for (int j = 0; j < S::nt; j++) {
                    float4 v = low[j];
                    if (chains) {
                        const float4 h = high[j];
                        const float low_unit = nibbles ? 16 : 1;
                        v.x = fmaf(v.x, low_unit, h.x), v.y = fmaf(v.y, low_unit, h.y);
                        v.z = fmaf(v.z, low_unit, h.z), v.w = fmaf(v.w, low_unit, h.w);
                    }
                    const float2 n = total[p][j];
                    float4 &to = sum[w][j];
                    to.x = fmaf(s0, fmaf(z0, n.x, v.x), to.x);
                    to.y = fmaf(s0, fmaf(z0, n.y, v.y), to.y);
                    to.z = fmaf(s1, fmaf(z1, n.x, v.z), to.z);
                    to.w = fmaf(s1, fmaf(z1, n.y, v.w), to.w);
                    if (p == 0)
                        low[j] = high[j] = make_float4(0, 0, 0, 0);
                }
            }
        }
    }

    static __device__ __forceinline__ void clear(float4 (&sum)[S::Cw][S::nt])
    {
#pragma unroll
        for (int i = 0; i < S::fragments; i++)
            sum[i / S::nt][i % S::nt] = make_float4(0, 0, 0, 0);
    }

    // Adds the sums of the warps that share columns and tokens into those of wk = 0.
    static __device__ __forceinline__ void add_warps(float4 (&sum)[S::Cw][S::nt], float4 *shared,
                                                     int wk)
    {
        constexpr int count = S::slice_words * S::nt;
        float4 *const mine = shared + threadIdx.x % S::owners;
#pragma unroll
        for (int slice = 0; slice < S::slices; slice++) {
            __syncthreads();
            if (wk > 0) {
#pragma unroll
                for (int i = 0; i < count; i++)
                    mine[((wk - 1) * count + i) * S::owners] =
                        sum[slice * S::slice_words + i / S::nt][i % S::nt];
            }
            __syncthreads();
            if (wk == 0) {
#pragma unroll
                for (int other = 0; other < S::Wk - 1; other++)
#pragma unroll
                    for (int i = 0; i < count; i++) {
                        const float4 v = mine[(other * count + i) * S::owners];
                        float4 &to = sum[slice * S::slice_words + i / S::nt][i % S::nt];
                        to.x += v.x, to.y += v.y, to.z += v.z, to.w += v.w;
                    }
            }
        }
    }

    // For a tile shared by CTAs first .. last: true in the one that has all sums now.
    static __device__ __forceinline__ bool add_ctas(const sm80_w4_args &a,
                                                    float4 (&sum)[S::Cw][S::nt], float4 *shared,
                                                    int wk, int first, int last)
    {
        __shared__ int before;
        constexpr int slot_size = S::fragments * S::owners;
        float4 *const slots = a.partial + threadIdx.x % S::owners;
        if (wk == 0) {
            // A CTA begins at most one tile that it does not end, and ends one that it did not
            // begin.
            const int64_t slot = 2 * (int64_t)blockIdx.x + ((int)blockIdx.x == first);
#pragma unroll
            for (int i = 0; i < S::fragments; i++)
                __stcg(slots + slot * slot_size + i * S::owners, sum[i / S::nt][i % S::nt]);
            __threadfence();
        }
        __syncthreads();
        if (threadIdx.x == 0)
            before = atomicAdd(a.counters + first, 1);
        __syncthreads();
        if (before != last - first)
            return false;
        if (threadIdx.x == 0)
            a.counters[first] = 0;
        __threadfence();
        // The warps of every wk take turns at the CTAs, with sixteen loads under way.
        constexpr int chunk = S::fragments < 16 ? S::fragments : 16, batch = 16 / chunk;
        clear(sum);
        for (int c = first + wk; c <= last; c += batch * S::Wk)
#pragma unroll
            for (int part = 0; part < S::fragments; part += chunk) {
                float4 v[batch][chunk];
#pragma unroll
                for (int b = 0; b < batch; b++) {
                    const int other = c + b * S::Wk;
                    const float4 *const from =
                        slots + (2 * (int64_t)other + (other == first)) * slot_size;
#pragma unroll
                    for (int i = 0; i < chunk; i++)
                        v[b][i] = other <= last ? __ldcg(from + (part + i) * S::owners)
                                                : make_float4(0, 0, 0, 0);
                }
#pragma unroll
                for (int b = 0; b < batch; b++)
#pragma unroll
                    for (int i = 0; i < chunk; i++) {
                        float4 &to = sum[(part + i) / S::nt][(part + i) % S::nt];
                        to.x += v[b][i].x, to.y += v[b][i].y;
                        to.z += v[b][i].z, to.w += v[b][i].w;
                    }
                asm volatile("" ::: "memory"); // more loads do not fit into the registers
            }
        if (S::Wk > 1)
            add_warps(sum, shared, wk);
        return true;
    }

    static __device__ __forceinline__ void
    store(const sm80_w4_args &a, const float4 (&sum)[S::Cw][S::nt], int tile, int wn, int wt)
    {
        const int lane = threadIdx.x % 32, r = lane / 4, t = lane % 4;
        const int n0 = tile / a.m_tiles * S::columns + wn * (16 * S::Cw),
                  m0 = tile % a.m_tiles * S::Mt + wt * S::tokens;
        if (n0 >= a.n)
            return;
#pragma unroll
        for (int w = 0; w < S::Cw; w++)
#pragma unroll
            for (int high = 0; high < 2; high++) {
                const int row = n0 + 16 * w + 8 * high; // of this lane: row + r
                float scale = S::exact ? unit : 1, bias = 0;
                if (a.group_shift == 31) // the channelwise permutation
                    scale *= w4_float<Bf16>(
                        a.scales[n0 + w / 2 * 32 + r / 2 * 8 + 2 * (2 * (w % 2) + high) + r % 2]);
                if (a.bias && row + r < a.n)
                    bias = a.bias[row + r];
#pragma unroll
                for (int j = 0; j < S::nt; j++) {
                    const float4 v = sum[w][j];
                    const float v0 = high ? v.z : v.x, v1 = high ? v.w : v.y;
                    // Rows of columns to rows of tokens: lane r, t gets token r, columns 2t, 2t+1.
                    const uint32_t out = ptx_movmatrix_trans(
                        w4_pair<Bf16>(fmaf(v0, scale, bias), fmaf(v1, scale, bias)));
                    const int token = m0 + 8 * j + r, n = row + 2 * t;
                    if (token >= a.m || n >= a.n)
                        continue;
                    uint16_t *y = a.y + token * a.ldy + n;
                    if (a.paired) {
                        *(uint32_t *)y = out;
                    } else {
                        y[0] = (uint16_t)out;
                        if (n + 1 < a.n)
                            y[1] = (uint16_t)(out >> 16);
                    }
                }
            }
    }

    static __device__ __forceinline__ void finish(const sm80_w4_args &a,
                                                  float4 (&sum)[S::Cw][S::nt], float4 *shared,
                                                  int tile, int wn, int wt, int wk)
    {
        if (S::Wk > 1)
            add_warps(sum, shared, wk);
        bool whole = true;
        if (tile < a.sk_tiles) {
            const int first = w4_owner(a, tile * a.iters),
                      last = w4_owner(a, (tile + 1) * a.iters - 1);
            if (first != last)
                whole = add_ctas(a, sum, shared, wk, first, last);
        }
        if (whole && wk == 0)
            store(a, sum, tile, wn, wt);
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
                finish(a, sum, shared, tile, at.wn, at.wt, at.wk);
                clear(sum);
            }
        }
    }

    // Registers are one part ahead of the products, across stages too.
    static __device__ __forceinline__ void run_rounded(const sm80_w4_args &a, w4_stream<S> &load,
                                                       w4_cursor now, uint32_t ring, float4 *shared)
    {
        const places at(a.group_shift);
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
                convert(weights, f);
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
                        if (next == 0 || (next == 2 && a.group_shift == 5))
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
                finish(a, sum, shared, tile, at.wn, at.wt, at.wk);
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
    switch (tile) {
    case 0:
        return w4_launch<Bf16, w4_shape<Bits, 8, 2, 1, 4, 256, 4>, 2>(a, grid, stream);
    case 1:
        return w4_launch<Bf16, w4_shape<Bits, 16, 2, 1, 4, 256, 4>, 2>(a, grid, stream);
    case 2:
        return w4_launch<Bf16, w4_shape<Bits, 32, 4, 1, 2, 128, 4>, 2>(a, grid, stream);
    case 3:
        return w4_launch<Bf16, w4_shape<Bits, 64, 2, 1, 2, 128, 4>, 2>(a, grid, stream);
    case 4:
        return w4_launch<Bf16, w4_shape<Bits, 64, 4, 1, 2, 128, 4>, 1>(a, grid, stream);
    case 5:
        return w4_launch<Bf16, w4_shape<Bits, 128, 8, 1, 1, 64, 2>, 1>(a, grid, stream);
    default:
        return w4_launch<Bf16, w4_shape<Bits, 128, 4, 1, 1, 64, 2>, 2>(a, grid, stream);
    }
}

} // namespace

#endif
