// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// W8A8 for more tokens than a stream of weights has time for: persistent, one CTA a multiprocessor.
//
// A tile is Rows weight rows x Tokens tokens a CTA; a worker is a CTA or, with `share` > 1, a
// cluster that takes neighbouring rows and the same tokens, each CTA loading its part of x for all
// of them. Tiles are in an order that has all row blocks of `group` token blocks before the next
// ones, so that the CTAs running at one time read a compact part of both matrices. How they go to
// workers:
//
//     whole:   in turn
//     shared:  whole as far as that leaves no worker idle, the others in equal runs of K blocks:
//              tiles 0 1 2 3 for 3 workers   |0 0 0 0 1|1 1 1 2 2|2 2 3 3 3 3| ...
//              and the owner of a tile, who has its first block, adds the others' sums in the order
//              of K (w8_tile_share.cuh)
//     split:   each to its own cluster, whose CTAs share its K and exchange the sums
//
// Warpgroup 0 feeds the ring, two consumer warpgroups compute, three where a tile has 192 rows:
//
//     together:  each takes as many rows of every part of a tile
//     in turn:   each takes all rows of every other part, so that one's epilogue runs under the
//                other's products
//
// Epilogue: 64 tokens at a time through a swizzled buffer of 64 rows x 128 bytes (64 weight rows of
// 2 bytes) a warpgroup, two of them, written by stmatrix.trans and stored by the copy engine.
#ifndef DLQ_KERNELS_CUDA_W8_TILE_CUH
#define DLQ_KERNELS_CUDA_W8_TILE_CUH

#include "w8_tile_share.cuh"

template <int Rows, int Tokens, bool InTurn> struct w8_tile_shape {
    static constexpr int rows = Rows;
    static constexpr int warpgroups = w8_tile_warpgroups(Rows);          // that multiply
    static constexpr int rows64 = Rows / 64 / (InTurn ? 1 : warpgroups); // of a warpgroup
    static constexpr int tokens = Tokens;
    static constexpr bool in_turn = InTurn;
    static constexpr int threads = 128 + 128 * warpgroups;
    // Registers of a thread that feeds and of one that multiplies.
    static constexpr int few = warpgroups == 3 ? 32 : 40;
    static constexpr int many = warpgroups == 3 ? 160 : 232;
    static constexpr int w_bytes = rows * W8_BLOCK_K;
    static constexpr int x_bytes = Tokens * W8_BLOCK_K;
    static constexpr int stage_bytes = w_bytes + x_bytes;
    static constexpr int out_bytes = 64 * 128;
    static constexpr int consumers = InTurn ? 1 : warpgroups; // that read one stage
};

enum { W8_TURN_BAR = 4 }; // and 5: whose turn it is; 1 to 3 are the warpgroups' own

// Together and with several tiles to do, the second warpgroup begins two K blocks after the first
// and so stays behind it: one's epilogue falls into the other's last or first products instead of
// both leaving the tensor cores.
enum { W8_LAG_BAR = 6 };

// One stage's copies; what does not change from stage to stage is computed once.
template <class Shape, bool Scaled> struct w8_tile_copies {
    const CUtensorMap *w_map, *x_map, *s_map;
    uint32_t ring, full, scales;
    int share, x_rows; // the rows of x that this CTA brings begin here
    uint32_t x_at;     // and there in a stage
    uint16_t everyone; // of the CTAs that get them
    bool tiles;
    bool w_once; // read by one CTA: the weights make room for what is read again
    uint64_t policy;

    __device__ __forceinline__ w8_tile_copies(const CUtensorMap *w, const CUtensorMap *x,
                                              const CUtensorMap *s, const w8_params &p,
                                              uint32_t smem, int rank)
        : w_map(w), x_map(x), s_map(s), ring(smem), full(smem + p.bars_at),
          scales(smem + p.scales_at), share(p.share), x_rows(rank * p.x_box),
          x_at(Shape::w_bytes + x_rows * W8_BLOCK_K), everyone((uint16_t)((1u << p.share) - 1)),
          tiles(p.tiles), w_once(p.m <= Shape::tokens), policy(ptx_policy_first())
    {
    }

    // Weights of K block kb from row n0 on.
    __device__ __forceinline__ void ask(int n0, int kb, int s) const
    {
        const uint32_t dst = ring + s * Shape::stage_bytes, bar = full + 8 * s;
        ptx_mbar_arrive_expect(bar, Shape::stage_bytes + (Scaled ? Shape::tokens * 4 : 0));
        if (tiles && w_once)
            ptx_tma_load_3d_hint(dst, w_map, 0, kb * 4, n0 / 64, bar, policy);
        else if (tiles)
            ptx_tma_load_3d(dst, w_map, 0, kb * 4, n0 / 64, bar);
        else
            ptx_tma_load(dst, w_map, kb * W8_BLOCK_K, n0, bar);
    }

    // And of x from token m0 on.
    __device__ __forceinline__ void ask_x(int m0, int kb, int s) const
    {
        const uint32_t dst = ring + s * Shape::stage_bytes + x_at, bar = full + 8 * s;
        if (share == 1)
            ptx_tma_load(dst, x_map, kb * W8_BLOCK_K, m0, bar);
        else
            ptx_tma_load_multicast(dst, x_map, kb * W8_BLOCK_K, m0 + x_rows, bar, everyone);
        if (Scaled)
            ptx_tma_load(scales + s * w8_scale_bytes(Shape::tokens), s_map, m0, kb, bar);
    }
};

// The first stages, all that fit in the ring, before the CTA's first barrier: their weights, and
// their x unless the previous kernel may still be writing it. One thread. Returns how many.
template <class Shape, bool Scaled>
DLQ_DEV int
w8_tile_begin(const w8_tile_copies<Shape, Scaled> &copies, const w8_params &p, w8_walk walk)
{
    w8_part part;
    int s = 0;
    while (s < p.stages && walk.next(p, &part)) {
        int n0, m0;
        w8_walk_at<Shape>(p, part.tile, 0, &n0, &m0);
        for (int kb = part.k0; kb < part.k1 && s < p.stages; kb++, s++) {
            copies.ask(n0, kb, s);
            if (!p.early)
                copies.ask_x(m0, kb, s);
        }
    }
    return s;
}

// Feeds the ring; `asked` stages of weights, and of x unless it had to wait, are on their way. One
// thread.
template <class Shape, bool Scaled>
DLQ_DEV void
w8_tile_produce(const w8_tile_copies<Shape, Scaled> &copies, const w8_params &p, w8_walk walk,
                uint32_t smem, int rank, int asked)
{
    const uint32_t empty = smem + p.bars_at + 8 * p.stages;
    const int asked_x = p.early ? 0 : asked, stages = p.stages;
    int s = 0, count = 0;
    uint32_t phase = 1;
    w8_part part;
    while (walk.next(p, &part)) {
        int n0, m0;
        w8_walk_at<Shape>(p, part.tile, rank, &n0, &m0);
#pragma unroll 1
        for (int kb = part.k0; kb < part.k1; kb++, count++) {
            if (count >= asked) {
                ptx_mbar_wait(empty + 8 * s, phase);
                copies.ask(n0, kb, s);
            }
            if (count >= asked_x)
                copies.ask_x(m0, kb, s);
            if (++s == stages) {
                s = 0;
                phase ^= 1;
            }
        }
    }
}

// Where a consumer is in the ring, and how it frees a stage: for every CTA whose copies write it
// one lane of the warpgroup arrives there, or of each of its warps where they read scales from it
// themselves: that a warp has seen the warpgroup's products says nothing of what another reads
// behind them.
struct w8_ring {
    int stage;
    uint32_t phase;
    uint32_t full, empty;
    bool frees, alone;

    template <bool Scaled> __device__ __forceinline__ void release(int s) const
    {
        if (Scaled)
            __syncwarp();
        if (frees) {
            if (alone)
                ptx_mbar_arrive(empty + 8 * s);
            else
                ptx_mbar_arrive_remote(empty + 8 * s);
        }
    }
};

template <bool Scaled>
DLQ_DEV w8_ring
w8_ring_start(const w8_params &p, uint32_t smem)
{
    w8_ring r = {0, 0, smem + p.bars_at, smem + p.bars_at + 8 * p.stages, false, p.share == 1};
    const int lane = threadIdx.x & (Scaled ? 31 : 127);
    r.frees = lane < p.share;
    if (r.frees && !r.alone)
        r.empty = ptx_mapa(r.empty, lane);
    return r;
}

DLQ_DEV void
w8_ring_skip(w8_ring *r, int steps, int stages)
{
    const int at = r->stage + steps;
    r->stage = at % stages;
    r->phase ^= (uint32_t)(at / stages) & 1;
}

// The sums of one part; `lag`: the second warpgroup falls behind here.
template <class Op, class Shape, int Mode>
DLQ_DEV void w8_tile_multiply(typename Op::acc (*acc)[Shape::tokens / 2], const w8_params &p,
                              uint32_t smem, int n0, const w8_part &part, int me, bool lag,
                              w8_ring *ring)
{
    const int lane = threadIdx.x & 31, stages = p.stages;
    const uint32_t w_at = Shape::in_turn ? 0 : me * Shape::rows64 * 64 * W8_BLOCK_K;
    const int lag_at = !Shape::in_turn && lag && me == 0 ? min(part.k0 + 1, part.k1 - 1) : -1;
    int last = 0;
    if constexpr (Mode != DLQ_K_W8_FAST) {
#pragma unroll
        for (int i = 0; i < Shape::tokens / 2; i++)
            acc[0][i] = 0;
    }
    const float *w_scale = p.w_scale + (int64_t)(min(n0, p.n - 1) >> 7) * p.w_scale_ld;
    if constexpr (Shape::in_turn)
        ptx_bar_sync(W8_TURN_BAR + me, 256);
    else if (lag && me == 1)
        ptx_bar_sync(W8_LAG_BAR, 256);
    // A loop that runs at least once and waits in every round: otherwise the compiler may wait
    // after each wgmma.
    int kb = part.k0;
    do {
        // All lanes have the same stage; told so, the compiler keeps descriptors in uniform
        // registers.
        const int s = __shfl_sync(0xffffffffu, ring->stage, 0);
        const uint32_t w = smem + s * Shape::stage_bytes;
        if constexpr (Mode == DLQ_K_W8_FAST) {
            ptx_mbar_wait(ring->full + 8 * s, ring->phase);
            ptx_wgmma_fence();
            w8_block<Op, Shape::rows64, Shape::tokens>(acc, w + w_at, w + Shape::w_bytes,
                                                       kb > part.k0);
            ptx_wgmma_commit();
            ptx_wgmma_wait<1>();
            if (kb > part.k0)
                ring->template release<false>(last);
        } else {
            const float ws = Mode == DLQ_K_W8_BLOCK_SCALED ? __ldg(w_scale + kb) : 1.0f;
            ptx_mbar_wait(ring->full + 8 * s, ring->phase);
            w8_block_promoted<Op, Shape::tokens, Mode>(
                acc[0], w + w_at, w + Shape::w_bytes, ws,
                smem + p.scales_at + s * w8_scale_bytes(Shape::tokens), lane);
            ring->template release<Mode == DLQ_K_W8_BLOCK_SCALED>(s);
        }
        if (kb == lag_at)
            ptx_bar_arrive(W8_LAG_BAR, 256);
        last = s;
        if (++ring->stage == stages) {
            ring->stage = 0;
            ring->phase ^= 1;
        }
    } while (++kb < part.k1);
    // The other warpgroup's parts follow in the ring: its waits name the right phase only now that
    // all of this part's stages have been seen full.
    if constexpr (Shape::in_turn)
        ptx_bar_arrive(W8_TURN_BAR + 1 - me, 256);
    if constexpr (Mode == DLQ_K_W8_FAST) {
        ptx_wgmma_wait<0>();
        ring->template release<false>(last);
    }
}

// Outputs of 64 weight rows from n0 and all tokens of the tile, or those 64 tokens that have a bit
// in `owned`. `rows`: of this thread; `scales`: the tile's token scales; `out`: the warpgroup's two
// buffers; `turn` counts their uses.
template <class Acc, int Tokens, bool Bf16, bool Bias>
DLQ_DEV void
w8_tile_store(Acc *acc, const CUtensorMap *y_map, const w8_params &p, const w8_row *rows,
              const float *scales, uint32_t owned, uint32_t out, int n0, int m0, int bar,
              uint32_t *turn)
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
        if (!(owned >> (c / 64) & 1))
            continue;
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
               const float *scales, uint32_t owned, uint32_t out, int n0, int m0, int bar,
               uint32_t *turn)
{
    if (p.y_bf16 && p.bias)
        w8_tile_store<Acc, Tokens, true, true>(acc, y_map, p, rows, scales, owned, out, n0, m0, bar,
                                               turn);
    else if (p.y_bf16)
        w8_tile_store<Acc, Tokens, true, false>(acc, y_map, p, rows, scales, owned, out, n0, m0,
                                                bar, turn);
    else if (p.bias)
        w8_tile_store<Acc, Tokens, false, true>(acc, y_map, p, rows, scales, owned, out, n0, m0,
                                                bar, turn);
    else
        w8_tile_store<Acc, Tokens, false, false>(acc, y_map, p, rows, scales, owned, out, n0, m0,
                                                 bar, turn);
}

// Scales of the rows and tokens of a part, asked for before its products and used behind them.
template <class Shape> struct w8_tile_scales {
    w8_row rows[Shape::rows64][2];
    float tokens[(Shape::tokens + 127) / 128];

    __device__ __forceinline__ void load(const w8_params &p, int n0, int m0)
    {
        const int row = ((threadIdx.x >> 5) & 3) * 16 + ((threadIdx.x & 31) >> 2);
#pragma unroll
        for (int i = 0; i < Shape::rows64; i++) {
            rows[i][0] = w8_row_load(p, n0 + i * 64 + row);
            rows[i][1] = w8_row_load(p, n0 + i * 64 + row + 8);
        }
#pragma unroll
        for (int i = 0; i * 128 < Shape::tokens; i++)
            tokens[i] = w8_x_scale(p, m0 + i * 128 + (int)(threadIdx.x & 127));
    }
};

template <class Op, class Shape, int Mode>
DLQ_DEV void
w8_tile_consume(const CUtensorMap *y_map, const w8_params &p, w8_walk walk, uint8_t *shared,
                int rank)
{
    typedef typename Op::acc sum;
    constexpr int tokens = Shape::tokens;
    const uint32_t smem = ptx_smem(shared);
    const int me = __shfl_sync(0xffffffffu, threadIdx.x >> 7, 0) - 1; // warpgroup 0 produces
    const uint32_t out = smem + p.stages * Shape::stage_bytes + me * 2 * Shape::out_bytes;
    float *scales = (float *)(shared + p.stages * Shape::stage_bytes +
                              2 * Shape::warpgroups * Shape::out_bytes) +
                    me * tokens;
    const int row64 = Shape::in_turn ? 0 : me * Shape::rows64; // this warpgroup's first 64 rows
    w8_ring ring = w8_ring_start<Mode == DLQ_K_W8_BLOCK_SCALED>(p, smem);
    uint32_t turn = 0;
    int skip = Shape::in_turn ? me : 0;
    bool lag = p.lag;
    if (Shape::in_turn && me == 1)
        ptx_bar_arrive(W8_TURN_BAR, 256);
    w8_part part;
    while (walk.next(p, &part)) {
        if (Shape::in_turn && skip > 0) {
            w8_ring_skip(&ring, part.k1 - part.k0, p.stages);
            skip--;
            continue;
        }
        skip = Shape::in_turn ? 1 : 0;
        int n0, m0;
        w8_walk_at<Shape>(p, part.tile, rank, &n0, &m0);
        const int first_row = n0 + row64 * 64;
        w8_tile_scales<Shape> s;
        s.load(p, first_row, m0);
        sum acc[Shape::rows64][tokens / 2];
        w8_tile_multiply<Op, Shape, Mode>(acc, p, smem, n0, part, me, lag, &ring);
        lag = false;
        if (p.split_log > 0) {
            ptx_cluster_arrive_relaxed(); // nobody reads a ring any more
            ptx_cluster_wait();
            w8_split_exchange<Shape>(p, acc, smem, ring.empty + 8 * p.stages, row64);
        } else if (part.k0 > 0) {
            w8_share_send<Shape>(p, acc, walk.worker, rank, me);
            continue;
        } else if (part.k1 < p.k_blocks)
            w8_share_receive<Shape>(p, acc, walk.worker, rank, me, part.k1);
        // The last part's readers of `scales` are past it only here.
        ptx_bar_sync(1 + me, 128);
#pragma unroll
        for (int i = 0; i * 128 < tokens; i++)
            if (i * 128 + (threadIdx.x & 127) < tokens)
                scales[i * 128 + (threadIdx.x & 127)] = s.tokens[i];
#pragma unroll
        for (int i = 0; i < Shape::rows64; i++)
            w8_tile_finish<sum, tokens>(acc[i], y_map, p, s.rows[i], scales,
                                        w8_split_owned<Shape>(p, row64 + i), out,
                                        first_row + i * 64, m0, 1 + me, &turn);
    }
    // The buffers must outlive their stores; that these have arrived is for the end of the kernel.
    if ((threadIdx.x & 127) == 0)
        ptx_bulk_wait_read<0>();
}

template <class Op, int Rows, int Tokens, bool InTurn, int Mode>
__global__ void
__launch_bounds__(w8_tile_shape<Rows, Tokens, InTurn>::threads, 1)
    w8_tile(const __grid_constant__ CUtensorMap w_map, const __grid_constant__ CUtensorMap x_map,
            const __grid_constant__ CUtensorMap s_map, const __grid_constant__ CUtensorMap y_map,
            const __grid_constant__ w8_params p)
{
    using shape = w8_tile_shape<Rows, Tokens, InTurn>;
    extern __shared__ __align__(1024) uint8_t shared[];
    const uint32_t smem = ptx_smem(shared);
    const int rank = p.share > 1 ? (int)ptx_cluster_rank() : 0; // of those that share x
    if (threadIdx.x == 0) { // before anything else: the first copies wait for them
        ptx_tma_prefetch(&x_map);
        ptx_tma_prefetch(&w_map);
    }
    const w8_walk walk = w8_walk_start(p);
    constexpr bool scaled = Mode == DLQ_K_W8_BLOCK_SCALED;
    constexpr int freers = shape::consumers * (scaled ? 4 : 1);
    const w8_tile_copies<shape, scaled> copies(&w_map, &x_map, &s_map, p, smem, rank);
    int asked = 0;

    ptx_pdl_launch();
    if (threadIdx.x == 0) {
        for (int s = 0; s < p.stages; s++)
            ptx_mbar_init(smem + p.bars_at + 8 * s, 1);
        if (p.split_log > 0) {
            const uint32_t reduced = smem + p.bars_at + 16 * p.stages;
            ptx_mbar_init(reduced, 1);
            ptx_mbar_arrive_expect(reduced, w8_split_received<shape>(p));
        }
        ptx_mbar_init_fence();
        ptx_tma_prefetch(&y_map);
        // What nobody else in a cluster has to be ready for is asked for at once.
        if (p.share == 1)
            asked = w8_tile_begin(copies, p, walk);
    } else if ((threadIdx.x & 31) == 0) {
        for (int s = (threadIdx.x >> 5) - 1; s < p.stages; s += shape::threads / 32 - 1)
            ptx_mbar_init(smem + p.bars_at + 8 * (p.stages + s), freers * p.share);
        ptx_mbar_init_fence();
    }
    __syncthreads();
    if (p.share > 1) {
        ptx_cluster_arrive_relaxed();
        ptx_cluster_wait();
    }
    ptx_pdl_wait();
    if (threadIdx.x < 128) {
        ptx_reg_dec<shape::few>();
        if (threadIdx.x == 0)
            w8_tile_produce(copies, p, walk, smem, rank, asked);
        else if (threadIdx.x >> 5 == 1)
            w8_share_signal<shape>(p, walk.worker, rank);
        __syncwarp();
        if (p.split_log > 0) {
            ptx_cluster_arrive_relaxed();
            ptx_cluster_wait();
        }
    } else {
        ptx_reg_inc<shape::many>();
        w8_tile_consume<Op, shape, Mode>(&y_map, p, walk, shared, rank);
    }
    // A CTA may not leave while its neighbour still frees stages in it.
    if (p.share > 1) {
        ptx_cluster_arrive_relaxed();
        ptx_cluster_wait();
    }
}

#endif
