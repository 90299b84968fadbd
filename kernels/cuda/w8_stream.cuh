// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// W8A8 for few tokens: one output block a CTA, bound by the stream of weights.
//
// A CTA owns 64 * Groups weight rows, Tokens tokens and one part of K. `split` CTAs of a cluster
// share a K: each sends its partial sums of a slice of rows to the CTA that owns the slice, which
// adds them in rank order: the stores signal their bytes on a barrier there. `share` neighbours of a cluster own neighbouring weight rows and the
// same tokens: each loads a part of x and multicasts it. Cluster rank = part of K * share + row
// block. One producer warp fills the ring; the weights of the first round are asked for before the
// wait for the previous kernel, because nothing that runs can change them.
#ifndef DLQ_KERNELS_CUDA_W8_STREAM_CUH
#define DLQ_KERNELS_CUDA_W8_STREAM_CUH

#include "w8_kernel.cuh"

template <int Groups, int Tokens>
struct w8_stream_shape {
    static constexpr int rows = 64 * Groups;
    static constexpr int warps = 4 * Groups;
    static constexpr int threads = 32 * warps + 32;
    static constexpr int w_bytes = rows * W8_BLOCK_K;
    static constexpr int x_bytes = Tokens * W8_BLOCK_K;
    static constexpr int stage_bytes = w_bytes + x_bytes;
};

// Scales and zero points of the CTA's rows and tokens in shared memory.
template <int Groups, int Tokens>
struct w8_consts {
    w8_row rows[64 * Groups];
    w8_token tokens[Tokens];
};

// The rows' part is constant, the tokens' is the previous kernel's result.
template <int Groups, int Tokens>
DLQ_DEV void
w8_consts_load(w8_consts<Groups, Tokens> *c, const w8_params &p, int n0, int m0)
{
    const int t = threadIdx.x;
    if (t < 64 * Groups)
        c->rows[t] = w8_row_load(p, n0 + t);
    ptx_pdl_wait();
    for (int i = t; i < Tokens; i += 128 * Groups)
        c->tokens[i] = {w8_x_scale(p, m0 + i), w8_x_zero(p, m0 + i)};
}

// y for one 16 x 8 block of y^T, from row `rows` and token `tokens` of the CTA's on.
template <class Acc>
DLQ_DEV void
w8_store_block(const w8_params &p, const Acc v[4], const w8_row *rows, const w8_token *tokens,
               int n0, int m0)
{
    const int lane = threadIdx.x & 31;
    const w8_row r0 = rows[lane >> 2], r1 = rows[(lane >> 2) + 8];
    const w8_token t0 = tokens[2 * (lane & 3)], t1 = tokens[2 * (lane & 3) + 1];
    const uint32_t a = ptx_movmatrix_trans(w8_pack2(w8_value(v[0], r0, t0.scale, t0.zero),
                                                    w8_value(v[1], r0, t1.scale, t1.zero),
                                                    p.y_bf16));
    const uint32_t b = ptx_movmatrix_trans(w8_pack2(w8_value(v[2], r1, t0.scale, t0.zero),
                                                    w8_value(v[3], r1, t1.scale, t1.zero),
                                                    p.y_bf16));
    const int row = m0 + (lane >> 2), col = n0 + 2 * (lane & 3);
    if (row >= p.m)
        return;
    uint16_t *y = (uint16_t *)p.y + row * p.ldy + col;
    if (!p.narrow) {
        if (col < p.n)
            *(uint32_t *)y = a;
        if (col + 8 < p.n)
            *(uint32_t *)(y + 8) = b;
        return;
    }
    if (col < p.n)
        y[0] = (uint16_t)a;
    if (col + 1 < p.n)
        y[1] = (uint16_t)(a >> 16);
    if (col + 8 < p.n)
        y[8] = (uint16_t)b;
    if (col + 9 < p.n)
        y[9] = (uint16_t)(b >> 16);
}

template <int Groups, int Tokens, bool Scaled>
DLQ_DEV void
w8_stream_produce(const CUtensorMap *w_map, const CUtensorMap *x_map, const CUtensorMap *s_map,
                  const w8_params &p, uint32_t smem, int n0, int m0, int k0, int k1)
{
    using shape = w8_stream_shape<Groups, Tokens>;
    const uint32_t full = smem + p.bars_at, empty = full + 8 * p.stages;
    const uint32_t scales = smem + p.scales_at;
    const uint32_t bytes = shape::stage_bytes + (Scaled ? Tokens * 4 : 0);
    const int share = p.share;
    const int mine = (int)ptx_cluster_rank() % share;
    const int part = Tokens / share;
    const uint16_t mask = (uint16_t)(((1u << share) - 1) << (ptx_cluster_rank() / share * share));
    const uint64_t first = ptx_policy_first();
    auto load_w = [&](int kb, int s) {
        ptx_mbar_arrive_expect(full + 8 * s, bytes);
        w8_load_weights<shape::rows>(p, w_map, smem + s * shape::stage_bytes, n0, kb, full + 8 * s,
                                     first);
    };
    auto load_x = [&](int kb, int s) {
        const uint32_t dst = smem + s * shape::stage_bytes + shape::w_bytes;
        if (share == 1)
            ptx_tma_load(dst, x_map, kb * W8_BLOCK_K, m0, full + 8 * s);
        else
            ptx_tma_load_multicast(dst + mine * part * W8_BLOCK_K, x_map, kb * W8_BLOCK_K,
                                   m0 + mine * part, full + 8 * s, mask);
        if (Scaled)
            ptx_tma_load(scales + s * w8_scale_bytes(Tokens), s_map, m0, kb, full + 8 * s);
    };
    const int ahead = min(p.stages, k1 - k0);
    for (int i = 0; i < ahead; i++)
        load_w(k0 + i, i);
    ptx_pdl_wait();
    for (int i = 0; i < ahead; i++)
        load_x(k0 + i, i);
    int s = 0;
    uint32_t phase = 0;
    for (int kb = k0 + ahead; kb < k1; kb++) {
        ptx_mbar_wait(empty + 8 * s, phase);
        load_w(kb, s);
        load_x(kb, s);
        if (++s == p.stages) {
            s = 0;
            phase ^= 1;
        }
    }
}

template <class Op, int Groups, int Tokens, int Mode>
DLQ_DEV void
w8_stream_consume(typename Op::acc (*acc)[Tokens / 2], const w8_params &p, uint32_t smem, int n0,
                  int k0, int k1)
{
    using shape = w8_stream_shape<Groups, Tokens>;
    const uint32_t full = smem + p.bars_at, empty = full + 8 * p.stages;
    const uint32_t scales = smem + p.scales_at;
    const int lane = threadIdx.x & 31;
    const uint32_t w_at = (threadIdx.x >> 7) * 64 * W8_BLOCK_K;
    // Stages that nobody fills again are not freed: every arrival in another CTA is waited for
    // there, so none can come after its end.
    const float *w_scale = p.w_scale + (int64_t)(min(n0, p.n - 1) >> 7) * p.w_scale_ld;
    int s = 0, last = 0;
    uint32_t phase = 0;
    if constexpr (Mode != DLQ_K_W8_FAST) {
#pragma unroll
        for (int i = 0; i < Tokens / 2; i++)
            acc[0][i] = 0;
    }
    for (int kb = k0; kb < k1; kb++) {
        const uint32_t w = smem + s * shape::stage_bytes;
        if constexpr (Mode == DLQ_K_W8_FAST) {
            ptx_mbar_wait(full + 8 * s, phase);
            ptx_wgmma_fence();
            w8_block<Op, 1, Tokens>(acc, w + w_at, w + shape::w_bytes, kb > k0);
            ptx_wgmma_commit();
            if (kb > k0) {
                ptx_wgmma_wait<1>();
                if (kb - 1 + p.stages < k1)
                    w8_release(empty + 8 * last, p.share, lane);
            }
        } else {
            typename Op::acc part[1][Tokens / 2];
            const float ws = Mode == DLQ_K_W8_BLOCK_SCALED ? __ldg(w_scale + kb) : 1.0f;
            ptx_mbar_wait(full + 8 * s, phase);
            ptx_wgmma_fence();
            w8_block<Op, 1, Tokens>(part, w + w_at, w + shape::w_bytes, false);
            ptx_wgmma_commit();
            ptx_wgmma_wait<0>();
w8_promote<Tokens, Mode == DLQ_K_W8_BLOCK_SCALED>(
                acc[0], part[0], ws, scales + s * w8_scale_bytes(Tokens), lane);
            if (kb + p.stages < k1)
                w8_release(empty + 8 * s, p.share, lane);
        }
        last = s;
        if (++s == p.stages) {
            s = 0;
            phase ^= 1;
        }
    }
    if constexpr (Mode == DLQ_K_W8_FAST)
        ptx_wgmma_wait<0>();
}

DLQ_DEV void
w8_load4(float v[4], uint32_t addr)
{
    const uint4 u = ptx_lds128(addr);
    v[0] = __uint_as_float(u.x);
    v[1] = __uint_as_float(u.y);
    v[2] = __uint_as_float(u.z);
    v[3] = __uint_as_float(u.w);
}

DLQ_DEV void
w8_load4(int32_t v[4], uint32_t addr)
{
    const uint4 u = ptx_lds128(addr);
    v[0] = (int32_t)u.x;
    v[1] = (int32_t)u.y;
    v[2] = (int32_t)u.z;
    v[3] = (int32_t)u.w;
}

DLQ_DEV float4
w8_as_float4(const float *v)
{
    return make_float4(v[0], v[1], v[2], v[3]);
}

DLQ_DEV float4
w8_as_float4(const int32_t *v)
{
    return make_float4(__int_as_float(v[0]), __int_as_float(v[1]), __int_as_float(v[2]),
                       __int_as_float(v[3]));
}

// Sends this warp's 16 rows to the part of the cluster that owns them. The buffer of a CTA:
// [part it came from][warp of the slice][block of 8 tokens][lane] of 16 bytes, so that each store
// and load of a warp is 512 contiguous bytes.
template <class Acc, int Groups, int Tokens>
DLQ_DEV void
w8_stream_send(const Acc *acc, const w8_params &p, uint32_t buffer, uint32_t bar, int part,
               int row_block)
{
    constexpr int blocks = Tokens / 8;
    const int per = w8_stream_shape<Groups, Tokens>::warps / p.split;
    const int warp = threadIdx.x >> 5;
    const uint32_t slot = (part * per + warp % per) * blocks;
    const uint32_t owner = (warp / per) * p.share + row_block;
    const uint32_t at = ptx_mapa(buffer + slot * 512 + (threadIdx.x & 31) * 16, owner);
    const uint32_t signal = ptx_mapa(bar, owner);
#pragma unroll
    for (int j = 0; j < blocks; j++)
        ptx_st_async4(at + j * 512, w8_as_float4(acc + 4 * j), signal);
}

// Adds the parts of this CTA's slice in rank order and stores its outputs.
template <class Acc, int Groups, int Tokens>
DLQ_DEV void
w8_stream_reduce(const w8_params &p, const w8_consts<Groups, Tokens> *c, uint32_t buffer, int n0,
                 int m0, int part)
{
    constexpr int blocks = Tokens / 8, warps = w8_stream_shape<Groups, Tokens>::warps;
    const int per = warps / p.split;
    const int lane = threadIdx.x & 31;
    for (int unit = threadIdx.x >> 5; unit < per * blocks; unit += warps) {
        const int n = (part * per + unit / blocks) * 16;
        const int m = unit % blocks * 8;
        if (m0 + m >= p.m || n0 + n >= p.n)
            continue;
        Acc v[4];
        w8_load4(v, buffer + unit * 512 + lane * 16);
        for (int i = 1; i < p.split; i++) {
            Acc u[4];
            w8_load4(u, buffer + (i * per * blocks + unit) * 512 + lane * 16);
            for (int j = 0; j < 4; j++)
                v[j] += u[j];
        }
        w8_store_block(p, v, c->rows + n, c->tokens + m, n0 + n, m0 + m);
    }
}

template <class Op, int Groups, int Tokens, int Mode>
__global__ void __launch_bounds__(w8_stream_shape<Groups, Tokens>::threads)
    w8_stream(const __grid_constant__ CUtensorMap w_map, const __grid_constant__ CUtensorMap x_map,
              const __grid_constant__ CUtensorMap s_map, const __grid_constant__ w8_params p)
{
    using shape = w8_stream_shape<Groups, Tokens>;
    constexpr bool scaled = Mode == DLQ_K_W8_BLOCK_SCALED;
    extern __shared__ __align__(1024) uint8_t shared[];
    const uint32_t smem = ptx_smem(shared);
    const int cluster = p.split * p.share;
    const int rank = cluster > 1 ? (int)ptx_cluster_rank() : 0;
    const int part = rank / p.share, row_block = rank % p.share;
    const int n0 = ((int)blockIdx.x / cluster * p.share + row_block) * shape::rows;
    const int m0 = (int)blockIdx.y * Tokens;
    const int k0 = part * p.k_blocks / p.split, k1 = (part + 1) * p.k_blocks / p.split;
    const bool producer = threadIdx.x >= 32 * shape::warps;
    const uint32_t reduced = smem + p.bars_at + 16 * p.stages;
    auto *consts = (w8_consts<Groups, Tokens> *)(shared + p.consts_at);

    ptx_pdl_launch();
    if (threadIdx.x == 32 * shape::warps) {
        if (!p.tiles)
            ptx_tma_prefetch(&w_map);
        ptx_tma_prefetch(&x_map);
        for (int s = 0; s < p.stages; s++) {
            ptx_mbar_init(smem + p.bars_at + 8 * s, 1);
            ptx_mbar_init(smem + p.bars_at + 8 * (p.stages + s), shape::warps * p.share);
        }
        ptx_mbar_init(reduced, 1);
        ptx_mbar_init_fence();
        if (p.split > 1)
            ptx_mbar_arrive_expect(reduced, shape::rows * Tokens * 4);
    }
    __syncthreads();
    if (cluster > 1)
        ptx_cluster_arrive_relaxed();
    if (p.share > 1)
        ptx_cluster_wait();

    typename Op::acc acc[1][Tokens / 2];
    if (producer) {
        if ((threadIdx.x & 31) == 0)
            w8_stream_produce<Groups, Tokens, scaled>(&w_map, &x_map, &s_map, p, smem, n0, m0, k0,
                                                      k1);
        __syncwarp();
    } else {
        w8_consts_load(consts, p, n0, m0);
        w8_stream_consume<Op, Groups, Tokens, Mode>(acc, p, smem, n0, k0, k1);
        ptx_bar_sync(1, 32 * shape::warps);
    }

    if (p.split == 1) {
        if (producer)
            return;
        const int n = (threadIdx.x >> 5) * 16;
#pragma unroll
        for (int j = 0; j < Tokens / 8; j++)
            if (m0 + 8 * j < p.m)
                w8_store_block(p, acc[0] + 4 * j, consts->rows + n, consts->tokens + 8 * j, n0 + n,
                               m0 + 8 * j);
        return;
    }
    if (p.share == 1)
        ptx_cluster_wait();
    if (p.reduce_at == 0) { // the ring is reused: everybody must be done with it
        ptx_cluster_arrive_relaxed();
        ptx_cluster_wait();
    }
    if (producer)
        return;
    const uint32_t buffer = smem + p.reduce_at;
    w8_stream_send<typename Op::acc, Groups, Tokens>(acc[0], p, buffer, reduced, part, row_block);
    ptx_mbar_wait(reduced, 0);
    w8_stream_reduce<typename Op::acc, Groups, Tokens>(p, consts, buffer, n0, m0, part);
}

#endif
