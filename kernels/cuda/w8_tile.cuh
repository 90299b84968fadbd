// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// W8A8 for many tokens: persistent, bound by the tensor cores.
//
// A unit of work is a block of 128 weight rows x Tokens tokens a CTA; the `share` CTAs of a cluster
// take neighbouring rows and the same tokens, each loading its part of x for all of them. Clusters
// walk the units in order, all row blocks of `group` token blocks before the next ones, so that the
// CTAs running at one time read a compact part of both matrices. Warpgroup 0 feeds the ring, two
// consumer warpgroups compute:
//
//     together:  each takes 64 of the 128 rows of every unit
//     in turn:   each takes all 128 rows of every other unit, so that one's epilogue runs under the
//                other's products
//
// Epilogue: 64 tokens at a time through a swizzled buffer of 64 rows x 128 bytes (64 weight rows of
// 2 bytes) a warpgroup, two of them, written by stmatrix.trans and stored by the copy engine.
#ifndef DLQ_KERNELS_CUDA_W8_TILE_CUH
#define DLQ_KERNELS_CUDA_W8_TILE_CUH

#include "w8_kernel.cuh"

template <int Tokens, bool InTurn> struct w8_tile_shape {
    static constexpr int rows = 128;
    static constexpr int rows64 = InTurn ? 2 : 1;
    static constexpr int threads = 384;
    static constexpr int w_bytes = rows * W8_BLOCK_K;
    static constexpr int x_bytes = Tokens * W8_BLOCK_K;
    static constexpr int stage_bytes = w_bytes + x_bytes;
    static constexpr int out_bytes = 64 * 128;
    static constexpr int consumers = InTurn ? 1 : 2; // warpgroups that read one stage
};

enum { W8_TURN_BAR = 3 }; // and 4: whose turn it is; 1 and 2 are the warpgroups' own

// Together and with several units to do, the second warpgroup begins two K blocks after the first
// and so stays behind it: one's epilogue falls into the other's last or first products instead of
// both leaving the tensor cores.
enum { W8_LAG_BAR = 5 };

// Sequence of units of one cluster.
struct w8_walk {
    int unit;
    int units;
    int step;
    int row_blocks;
    int token_blocks;
    int group;
};

template <int Tokens>
DLQ_DEV w8_walk
w8_walk_start(const w8_params &p)
{
    w8_walk w;
    w.row_blocks = (p.n + 128 * p.share - 1) / (128 * p.share);
    w.token_blocks = (p.m + Tokens - 1) / Tokens;
    w.units = w.row_blocks * w.token_blocks;
    w.unit = (int)blockIdx.x / p.share;
    w.step = (int)gridDim.x / p.share;
    w.group = p.group;
    return w;
}

DLQ_DEV void
w8_walk_at(const w8_walk &w, int unit, int *row_block, int *token_block)
{
    const int area = w.group * w.row_blocks;
    const int first = unit / area * w.group;
    const int height = min(w.group, w.token_blocks - first);
    const int rest = unit % area;
    *token_block = first + rest % height;
    *row_block = rest / height;
}

// Brings K block kb of the unit at (n0, m0) into stage s.
template <int Tokens, bool InTurn, bool Scaled>
DLQ_DEV void
w8_tile_load(const CUtensorMap *w_map, const CUtensorMap *x_map, const CUtensorMap *s_map,
             const w8_params &p, uint32_t smem, int rank, int n0, int m0, int kb, int s)
{
    using shape = w8_tile_shape<Tokens, InTurn>;
    const uint32_t dst = smem + s * shape::stage_bytes, bar = smem + p.bars_at + 8 * s;
    const int part = Tokens / p.share;
    ptx_mbar_arrive_expect(bar, shape::stage_bytes + (Scaled ? Tokens * 4 : 0));
    if (p.tiles) {
        ptx_bulk_load(dst, w8_tile_at(p, n0, kb), 8192, bar);
        ptx_bulk_load(dst + 8192, w8_tile_at(p, n0 + 64, kb), 8192, bar);
    } else {
        ptx_tma_load(dst, w_map, kb * W8_BLOCK_K, n0, bar);
    }
    if (p.share == 1)
        ptx_tma_load(dst + shape::w_bytes, x_map, kb * W8_BLOCK_K, m0, bar);
    else
        ptx_tma_load_multicast(dst + shape::w_bytes + rank * part * W8_BLOCK_K, x_map,
                               kb * W8_BLOCK_K, m0 + rank * part, bar,
                               (uint16_t)((1u << p.share) - 1));
    if (Scaled)
        ptx_tma_load(smem + p.scales_at + s * w8_scale_bytes(Tokens), s_map, m0, kb, bar);
}

// Feeds the ring; the first `asked` blocks of the first unit are on their way.
template <int Tokens, bool InTurn, bool Scaled>
DLQ_DEV void
w8_tile_produce(const CUtensorMap *w_map, const CUtensorMap *x_map, const CUtensorMap *s_map,
                const w8_params &p, const w8_walk &walk, uint32_t smem, int rank, int asked)
{
    using shape = w8_tile_shape<Tokens, InTurn>;
    const uint32_t empty = smem + p.bars_at + 8 * p.stages;
    int s = asked == p.stages ? 0 : asked;
    uint32_t phase = asked == p.stages ? 0 : 1;
    int first = asked;
    for (int unit = walk.unit; unit < walk.units; unit += walk.step) {
        int row_block, token_block;
        w8_walk_at(walk, unit, &row_block, &token_block);
        const int n0 = (row_block * p.share + rank) * shape::rows, m0 = token_block * Tokens;
        for (int kb = first; kb < p.k_blocks; kb++) {
            ptx_mbar_wait(empty + 8 * s, phase);
            w8_tile_load<Tokens, InTurn, Scaled>(w_map, x_map, s_map, p, smem, rank, n0, m0, kb, s);
            if (++s == p.stages) {
                s = 0;
                phase ^= 1;
            }
        }
        first = 0;
    }
}

// Where a consumer is in the ring.
struct w8_ring {
    int stage;
    uint32_t phase;
};

DLQ_DEV void
w8_ring_skip(w8_ring *r, int steps, int stages)
{
    const int at = r->stage + steps;
    r->stage = at % stages;
    r->phase ^= (uint32_t)(at / stages) & 1;
}

template <class Op, int Tokens, bool InTurn, int Mode>
DLQ_DEV void w8_tile_multiply(typename Op::acc (*acc)[Tokens / 2], const w8_params &p,
                              uint32_t smem, int n0, int half, bool lag, w8_ring *ring)
{
    using shape = w8_tile_shape<Tokens, InTurn>;
    const uint32_t full = smem + p.bars_at, empty = full + 8 * p.stages;
    const int lane = threadIdx.x & 31;
    const uint32_t w_at = InTurn ? 0 : half * 64 * W8_BLOCK_K;
    int last = 0;
    if constexpr (Mode != DLQ_K_W8_FAST) {
#pragma unroll
        for (int i = 0; i < Tokens / 2; i++)
            acc[0][i] = 0;
    }
    const float *w_scale = p.w_scale + (int64_t)(min(n0, p.n - 1) >> 7) * p.w_scale_ld;
    if constexpr (InTurn)
        ptx_bar_sync(W8_TURN_BAR + half, 256);
    else if (lag && half == 1)
        ptx_bar_sync(W8_LAG_BAR, 256);
    // A loop that runs at least once and waits in every round: otherwise the compiler may wait
    // after each wgmma.
    int kb = 0;
    do {
        const int s = ring->stage;
        const uint32_t w = smem + s * shape::stage_bytes;
        if constexpr (Mode == DLQ_K_W8_FAST) {
            ptx_mbar_wait(full + 8 * s, ring->phase);
            ptx_wgmma_fence();
            w8_block<Op, shape::rows64, Tokens>(acc, w + w_at, w + shape::w_bytes, kb > 0);
            ptx_wgmma_commit();
            ptx_wgmma_wait<1>();
            if (kb > 0)
                w8_release(empty + 8 * last, p.share, lane);
        } else {
            const float ws = Mode == DLQ_K_W8_BLOCK_SCALED ? __ldg(w_scale + kb) : 1.0f;
            ptx_mbar_wait(full + 8 * s, ring->phase);
            w8_block_promoted<Op, Tokens, Mode>(acc[0], w + w_at, w + shape::w_bytes, ws,
                                                smem + p.scales_at + s * w8_scale_bytes(Tokens),
                                                lane);
            w8_release(empty + 8 * s, p.share, lane);
        }
        if (!InTurn && lag && half == 0 && kb == min(1, p.k_blocks - 1))
            ptx_bar_arrive(W8_LAG_BAR, 256);
        last = s;
        if (++ring->stage == p.stages) {
            ring->stage = 0;
            ring->phase ^= 1;
        }
    } while (++kb < p.k_blocks);
    // The other warpgroup's units follow in the ring: its waits name the right phase only now that
    // all of this unit's stages have been seen full.
    if constexpr (InTurn)
        ptx_bar_arrive(W8_TURN_BAR + 1 - half, 256);
    if constexpr (Mode == DLQ_K_W8_FAST) {
        ptx_wgmma_wait<0>();
        w8_release(empty + 8 * last, p.share, lane);
    }
}

// Outputs of 64 weight rows from n0 and all tokens of the unit. `rows`: of this thread; `scales`:
// the unit's token scales; `out`: the warpgroup's two buffers; `turn` counts their uses.
template <class Acc, int Tokens, bool Bf16, bool Bias>
DLQ_DEV void
w8_tile_store(Acc *acc, const CUtensorMap *y_map, const w8_params &p, const w8_row *rows,
              const float *scales, uint32_t out, int n0, int m0, int bar, uint32_t *turn)
{
    const int lane = threadIdx.x & 31, warp = (threadIdx.x >> 5) & 3;
    const bool leader = (threadIdx.x & 127) == 0;
    // Lane i of stmatrix addresses row i % 8 of matrix i / 8: matrices are (rows 0-7, rows 8-15)
    // of two blocks of 8 tokens.
    const int chunk = warp * 2 + (lane >> 3 & 1);
    const uint32_t at = (lane >> 4) * 1024 + (lane & 7) * 128 + ((chunk ^ (lane & 7)) << 4);
    if (p.x_zero) {
#pragma unroll
        for (int j = 0; j < Tokens / 8; j++) {
            const int m = m0 + 8 * j + 2 * (lane & 3);
            w8_subtract_zero(acc + 4 * j, rows[0], rows[1], w8_x_zero(p, m), w8_x_zero(p, m + 1));
        }
    }
#pragma unroll
    for (int c = 0; c < Tokens; c += 64) {
        if (m0 + c >= p.m)
            break;
        const uint32_t buffer = out + (*turn & 1) * 8192;
        *turn += 1;
        if (leader)
            ptx_bulk_wait_read<1>();
        ptx_bar_sync(bar, 128);
#pragma unroll
        for (int j = 0; j < 64; j += 16) {
            uint32_t v[4];
#pragma unroll
            for (int h = 0; h < 2; h++) {
                const int m = c + j + 8 * h + 2 * (lane & 3);
                const float2 s = *(const float2 *)(scales + m);
                const Acc *a = acc + (c + j + 8 * h) / 2;
                v[2 * h] = w8_pack2<Bf16>(w8_value<Bias>(a[0], rows[0], s.x),
                                          w8_value<Bias>(a[1], rows[0], s.y));
                v[2 * h + 1] = w8_pack2<Bf16>(w8_value<Bias>(a[2], rows[1], s.x),
                                              w8_value<Bias>(a[3], rows[1], s.y));
            }
            ptx_stmatrix4_trans(buffer + j * 128 + at, v[0], v[1], v[2], v[3]);
        }
        ptx_fence_proxy_async();
        ptx_bar_sync(bar, 128);
        if (leader) {
            ptx_tma_store(y_map, buffer, n0, m0 + c);
            ptx_bulk_commit();
        }
    }
}

template <class Acc, int Tokens>
DLQ_DEV void
w8_tile_finish(Acc *acc, const CUtensorMap *y_map, const w8_params &p, const w8_row *rows,
               const float *scales, uint32_t out, int n0, int m0, int bar, uint32_t *turn)
{
    if (p.y_bf16 && p.bias)
        w8_tile_store<Acc, Tokens, true, true>(acc, y_map, p, rows, scales, out, n0, m0, bar, turn);
    else if (p.y_bf16)
        w8_tile_store<Acc, Tokens, true, false>(acc, y_map, p, rows, scales, out, n0, m0, bar,
                                                turn);
    else if (p.bias)
        w8_tile_store<Acc, Tokens, false, true>(acc, y_map, p, rows, scales, out, n0, m0, bar,
                                                turn);
    else
        w8_tile_store<Acc, Tokens, false, false>(acc, y_map, p, rows, scales, out, n0, m0, bar,
                                                 turn);
}

template <class Op, int Tokens, bool InTurn, int Mode>
DLQ_DEV void
w8_tile_consume(const CUtensorMap *y_map, const w8_params &p, const w8_walk &walk, uint8_t *shared,
                int rank)
{
    using shape = w8_tile_shape<Tokens, InTurn>;
    const uint32_t smem = ptx_smem(shared);
    const int me = (int)(threadIdx.x >> 7) - 1; // warpgroup 0 produces
    const uint32_t out = smem + p.stages * shape::stage_bytes + me * 2 * shape::out_bytes;
    float *scales =
        (float *)(shared + p.stages * shape::stage_bytes + 4 * shape::out_bytes) + me * Tokens;
    w8_ring ring = {0, 0};
    uint32_t turn = 0;
    int skip = InTurn ? me : 0;
    const int row = ((threadIdx.x >> 5) & 3) * 16 + ((threadIdx.x & 31) >> 2);
    if (InTurn && me == 1)
        ptx_bar_arrive(W8_TURN_BAR, 256);
    for (int unit = walk.unit; unit < walk.units; unit += walk.step) {
        if (InTurn && skip > 0) {
            w8_ring_skip(&ring, p.k_blocks, p.stages);
            skip--;
            continue;
        }
        int row_block, token_block;
        w8_walk_at(walk, unit, &row_block, &token_block);
        const int n0 = (row_block * p.share + rank) * shape::rows, m0 = token_block * Tokens;
        // Asked for now, used behind the products.
        w8_row rows[shape::rows64][2];
        float token_scales[(Tokens + 127) / 128];
#pragma unroll
        for (int i = 0; i < shape::rows64; i++) {
            const int n = n0 + (InTurn ? i : me) * 64 + row;
            rows[i][0] = w8_row_load(p, n);
            rows[i][1] = w8_row_load(p, n + 8);
        }
#pragma unroll
        for (int i = 0; i * 128 < Tokens; i++)
            token_scales[i] = w8_x_scale(p, m0 + i * 128 + (int)(threadIdx.x & 127));
        typename Op::acc acc[shape::rows64][Tokens / 2];
        w8_tile_multiply<Op, Tokens, InTurn, Mode>(
            acc, p, smem, n0, me, unit == walk.unit && walk.units > walk.step, &ring);
        // The last unit's readers of `scales` are past it only here.
        ptx_bar_sync(1 + me, 128);
#pragma unroll
        for (int i = 0; i * 128 < Tokens; i++)
            if (i * 128 + (threadIdx.x & 127) < Tokens)
                scales[i * 128 + (threadIdx.x & 127)] = token_scales[i];
#pragma unroll
        for (int i = 0; i < shape::rows64; i++) {
            const int n = n0 + (InTurn ? i : me) * 64;
            w8_tile_finish<typename Op::acc, Tokens>(acc[i], y_map, p, rows[i], scales, out, n, m0,
                                                     1 + me, &turn);
        }
        skip = InTurn ? 1 : 0;
    }
    if ((threadIdx.x & 127) == 0)
        ptx_bulk_wait<0>();
}

template <class Op, int Tokens, bool InTurn, int Mode>
__global__ void __launch_bounds__(384, 1)
    w8_tile(const __grid_constant__ CUtensorMap w_map, const __grid_constant__ CUtensorMap x_map,
            const __grid_constant__ CUtensorMap s_map, const __grid_constant__ CUtensorMap y_map,
            const __grid_constant__ w8_params p)
{
    using shape = w8_tile_shape<Tokens, InTurn>;
    extern __shared__ __align__(1024) uint8_t shared[];
    const uint32_t smem = ptx_smem(shared);
    const int rank = p.share > 1 ? (int)ptx_cluster_rank() : 0;

    const w8_walk walk = w8_walk_start<Tokens>(p);
    constexpr bool scaled = Mode == DLQ_K_W8_BLOCK_SCALED;
    int asked = 0;

    ptx_pdl_launch();
    if (threadIdx.x == 0) {
        ptx_tma_prefetch(&x_map);
        if (!p.tiles)
            ptx_tma_prefetch(&w_map);
        for (int s = 0; s < p.stages; s++)
            ptx_mbar_init(smem + p.bars_at + 8 * s, 1);
        ptx_mbar_init_fence();
        ptx_tma_prefetch(&y_map);
        // What nobody else in a cluster has to be ready for is asked for at once.
        if (p.share == 1 && walk.unit < walk.units) {
            int row_block, token_block;
            w8_walk_at(walk, walk.unit, &row_block, &token_block);
            ptx_pdl_wait();
            for (; asked < p.stages && asked < p.k_blocks; asked++)
                w8_tile_load<Tokens, InTurn, scaled>(&w_map, &x_map, &s_map, p, smem, rank,
                                                     row_block * shape::rows, token_block * Tokens,
                                                     asked, asked);
        }
    } else if ((threadIdx.x & 31) == 0) {
        for (int s = (threadIdx.x >> 5) - 1; s < p.stages; s += shape::threads / 32 - 1)
            ptx_mbar_init(smem + p.bars_at + 8 * (p.stages + s), 4 * shape::consumers * p.share);
        ptx_mbar_init_fence();
    }
    __syncthreads();
    if (p.share > 1) {
        ptx_cluster_arrive_relaxed();
        ptx_cluster_wait();
    }
    ptx_pdl_wait();
    if (threadIdx.x < 128) {
        ptx_reg_dec<40>();
        if (threadIdx.x == 0)
            w8_tile_produce<Tokens, InTurn, scaled>(&w_map, &x_map, &s_map, p, walk, smem, rank,
                                                    asked);
        __syncwarp();
    } else {
        ptx_reg_inc<232>();
        w8_tile_consume<Op, Tokens, InTurn, Mode>(&y_map, p, walk, shared, rank);
    }
    // A CTA may not leave while its neighbour still frees stages in it.
    if (p.share > 1) {
        ptx_cluster_arrive_relaxed();
        ptx_cluster_wait();
    }
}

#endif
