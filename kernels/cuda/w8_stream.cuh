// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// W8A8 for few tokens: one output block a CTA, bound by the stream of weights.
//
// A unit of work is 64 * Groups weight rows, Tokens tokens and one part of K. Of 64 rows it may
// have only the first 32, 40, 48 or 56, so that every CTA gets as many: the others' products are of
// what happens to lie there, and nobody looks at them. Without a split, CTAs walk over the units
// and the ring of loads runs on from one to the next. With one, `split` CTAs of a cluster share the
// K of one unit, the rank being the part: each keeps the sums of its slice of rows and sends those
// of the other slices to their owners, whose barrier counts the bytes; an owner adds what it got in
// rank order.
//
// A stage is 256 bytes of K: [64 rows][block of K] of weights, then [block of K] of tokens.
//
// One warp feeds the weights and asks for the first ones before anything else, because nothing that
// runs can change them. Up to 32 tokens, and up to 64 after an early launch, x comes by 16-byte
// copies of other warps: the copy engine serves its requests in order, those of all CTAs of the
// multiprocessor, and x would wait behind every weight asked for before.
#ifndef DLQ_KERNELS_CUDA_W8_STREAM_CUH
#define DLQ_KERNELS_CUDA_W8_STREAM_CUH

#include "w8_kernel.cuh"

template <int Groups, int Tokens> struct w8_stream_shape {
    static constexpr int rows = 64 * Groups;
    static constexpr int warps = 4 * Groups;
    static constexpr bool x_by_threads = Tokens <= 64;
    static constexpr int x_warps = x_by_threads ? (Tokens + 15) / 16 : 0;
    static constexpr int threads = 32 * (warps + 1 + x_warps);
    static constexpr int x_bytes = Tokens * 2 * W8_BLOCK_K;

    static __device__ __forceinline__ int w_bytes(const w8_params &p)
    {
        return Groups * 2 * p.half;
    }

    static __device__ __forceinline__ bool by_threads(const w8_params &p)
    {
        return x_by_threads && (Tokens <= 32 || p.early);
    }
};

// Scales and zero points of the CTA's rows and tokens in shared memory.
template <int Groups, int Tokens> struct w8_consts {
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

// y for one 16 x 8 block of y^T, from row `rows` and token `tokens` of the CTA's on; rows from
// `end` on are not there.
template <class Acc>
DLQ_DEV void
w8_store_block(const w8_params &p, Acc v[4], const w8_row *rows, const w8_token *tokens, int n0,
               int end, int m0)
{
    const int lane = threadIdx.x & 31;
    const w8_row r0 = rows[lane >> 2], r1 = rows[(lane >> 2) + 8];
    const w8_token t0 = tokens[2 * (lane & 3)], t1 = tokens[2 * (lane & 3) + 1];
    w8_subtract_zero(v, r0, r1, t0.zero, t1.zero);
    const float f[4] = {w8_value<true>(v[0], r0, t0.scale), w8_value<true>(v[1], r0, t1.scale),
                        w8_value<true>(v[2], r1, t0.scale), w8_value<true>(v[3], r1, t1.scale)};
    const uint32_t lo = p.y_bf16 ? w8_pack2<true>(f[0], f[1]) : w8_pack2<false>(f[0], f[1]);
    const uint32_t hi = p.y_bf16 ? w8_pack2<true>(f[2], f[3]) : w8_pack2<false>(f[2], f[3]);
    const uint32_t a = ptx_movmatrix_trans(lo), b = ptx_movmatrix_trans(hi);
    const int row = m0 + (lane >> 2), col = n0 + 2 * (lane & 3);
    if (row >= p.m)
        return;
    uint16_t *y = (uint16_t *)p.y + row * p.ldy + col;
    if (!p.narrow) {
        if (col < end)
            *(uint32_t *)y = a;
        if (col + 8 < end)
            *(uint32_t *)(y + 8) = b;
        return;
    }
    if (col < end)
        y[0] = (uint16_t)a;
    if (col + 1 < end)
        y[1] = (uint16_t)(a >> 16);
    if (col + 8 < end)
        y[8] = (uint16_t)b;
    if (col + 9 < end)
        y[9] = (uint16_t)(b >> 16);
}

// Where a warp is in the ring.
struct w8_turn {
    int stage;
    uint32_t phase;
};

DLQ_DEV void
w8_turn_next(w8_turn *t, int stages)
{
    if (++t->stage == stages) {
        t->stage = 0;
        t->phase ^= 1;
    }
}

// What one CTA does: units first, first + step, ... below units, stages k0 .. k1 - 1 of the K of
// each.
struct w8_job {
    int first;
    int step;
    int units;
    int token_blocks;
    int k0;
    int k1;
};

template <int Tokens>
DLQ_DEV w8_job
w8_job_make(const w8_params &p, int part)
{
    w8_job j;
    j.token_blocks = (p.m + Tokens - 1) / Tokens;
    j.units = p.units;
    j.first = (int)blockIdx.x >> p.split_log;
    j.step = (int)gridDim.x >> p.split_log;
    const int pairs = (p.k_blocks + 1) >> 1;
    j.k0 = part * pairs >> p.split_log;
    j.k1 = (part + 1) * pairs >> p.split_log;
    return j;
}

template <int Tokens>
DLQ_DEV void
w8_job_at(const w8_params &p, const w8_job &j, int unit, int *n0, int *m0)
{
    const int row = j.token_blocks == 1 ? unit : unit / j.token_blocks;
    *n0 = row * p.unit;
    *m0 = (unit - row * j.token_blocks) * Tokens;
}

// Fewer than 64 rows of both K blocks of stage `k`: they may begin within one block of
// DLQ_K_W8_TILES and end within the next.
DLQ_DEV void
w8_stream_ask_rows(const w8_params &p, uint32_t dst, int n0, int k, uint32_t bar, uint64_t policy)
{
    const int in_block = n0 & 63, here = min(64 - in_block, p.unit);
    for (int h = 0; h < 2; h++, dst += p.half) {
        ptx_bulk_load_hint(dst, w8_tile_at(p, n0, 2 * k + h) + in_block * W8_BLOCK_K,
                           here * W8_BLOCK_K, bar, policy);
        if (here < p.unit)
            ptx_bulk_load_hint(dst + here * W8_BLOCK_K, w8_tile_at(p, n0 + 64, 2 * k + h),
                               (p.unit - here) * W8_BLOCK_K, bar, policy);
    }
}

// Asks for the weights of stage `k` of K into stage s of the ring.
template <int Groups, int Tokens, bool Scaled>
DLQ_DEV void
w8_stream_ask(const CUtensorMap *w_map, const w8_params &p, uint32_t smem, int n0, int k, int s,
              uint64_t policy)
{
    using shape = w8_stream_shape<Groups, Tokens>;
    const uint32_t bar = smem + p.bars_at + 8 * s, dst = smem + s * p.stage_bytes;
    ptx_mbar_arrive_expect(bar, shape::w_bytes(p) + (shape::by_threads(p) ? 0 : shape::x_bytes) +
                                    (Scaled ? Tokens * 8 : 0));
    if (Groups == 1 && p.tiles && p.unit < 64) {
        w8_stream_ask_rows(p, dst, n0, k, bar, policy);
        return;
    }
#pragma unroll
    for (int i = 0; i < Groups; i++) {
        if (p.tiles) {
            ptx_bulk_load_hint(dst + i * 16384, w8_tile_at(p, n0 + i * 64, 2 * k), 16384, bar,
                               policy);
            continue;
        }
        for (int h = 0; h < 2; h++)
            ptx_tma_load_hint(dst + i * 16384 + h * p.half, w_map, (2 * k + h) * W8_BLOCK_K,
                              n0 + i * 64, bar, policy);
    }
}

// And for x, where the copy engine brings it.
template <int Groups, int Tokens>
DLQ_DEV void
w8_stream_ask_x(const CUtensorMap *x_map, const w8_params &p, uint32_t smem, int m0, int k, int s)
{
    using shape = w8_stream_shape<Groups, Tokens>;
    const uint32_t dst = smem + s * p.stage_bytes + shape::w_bytes(p);
    for (int h = 0; h < 2; h++)
        ptx_tma_load(dst + h * Tokens * W8_BLOCK_K, x_map, (2 * k + h) * W8_BLOCK_K, m0,
                     smem + p.bars_at + 8 * s);
}

// Weights, and all that the copy engine brings with them. One thread; `asked` stages are on their
// way, with x unless it had to wait.
template <int Groups, int Tokens, bool Scaled>
DLQ_DEV void
w8_stream_feed(const CUtensorMap *w_map, const CUtensorMap *x_map, const CUtensorMap *s_map,
               const w8_params &p, const w8_job &job, uint32_t smem, int asked)
{
    using shape = w8_stream_shape<Groups, Tokens>;
    const bool x_too = !shape::by_threads(p);
    const uint32_t full = smem + p.bars_at, empty = full + 8 * p.stages;
    const uint64_t policy = ptx_policy_first();
    const int asked_x = p.early ? 0 : asked;
    int n0, m0;
    w8_job_at<Tokens>(p, job, job.first, &n0, &m0);
    if (x_too || Scaled) {
        if (p.early)
            for (; asked < p.stages && asked < job.k1 - job.k0; asked++)
                w8_stream_ask<Groups, Tokens, Scaled>(w_map, p, smem, n0, job.k0 + asked, asked,
                                                      policy);
        ptx_pdl_wait();
    }
    w8_turn t = {0, 1};
    int i = 0;
    for (int unit = job.first; unit < job.units; unit += job.step) {
        w8_job_at<Tokens>(p, job, unit, &n0, &m0);
        for (int kb = job.k0; kb < job.k1; kb++, i++) {
            // The consumers may be through the first round already, with weights asked for early.
            if (i >= p.stages)
                ptx_mbar_wait(empty + 8 * t.stage, t.phase);
            if (i >= asked)
                w8_stream_ask<Groups, Tokens, Scaled>(w_map, p, smem, n0, kb, t.stage, policy);
            if (x_too && i >= asked_x)
                w8_stream_ask_x<Groups, Tokens>(x_map, p, smem, m0, kb, t.stage);
            for (int h = 0; Scaled && h < 2; h++)
                ptx_tma_load(smem + p.scales_at + (2 * t.stage + h) * w8_scale_bytes(Tokens), s_map,
                             m0, 2 * kb + h, full + 8 * t.stage);
            w8_turn_next(&t, p.stages);
        }
    }
}

// x by the threads of one warp of several: rows of 16 pieces of 16 bytes, swizzled as the copy
// engine would; beyond m and k zero.
template <int Groups, int Tokens>
DLQ_DEV void
w8_stream_feed_x(const w8_params &p, const w8_job &job, uint32_t smem, int warp)
{
    using shape = w8_stream_shape<Groups, Tokens>;
    constexpr int rows = shape::x_by_threads ? Tokens / shape::x_warps : 2;
    const uint32_t full = smem + p.bars_at, empty = full + 8 * p.stages;
    const int lane = threadIdx.x & 31, piece = lane & 7, half = lane >> 3 & 1;
    const int row = warp * rows + (lane >> 4);
    const uint32_t at = shape::w_bytes(p) + (half * Tokens + row) * W8_BLOCK_K;
    w8_turn t = {0, 1};
    int i = 0;
    ptx_pdl_wait();
    for (int unit = job.first; unit < job.units; unit += job.step) {
        int n0, m0;
        w8_job_at<Tokens>(p, job, unit, &n0, &m0);
        for (int kb = job.k0; kb < job.k1; kb++, i++) {
            const int k = (2 * kb + half) * W8_BLOCK_K + piece * 16;
            const int bytes = max(0, min(16, p.k - k));
            const uint32_t dst = smem + t.stage * p.stage_bytes + at;
            if (i >= p.stages)
                ptx_mbar_wait(empty + 8 * t.stage, t.phase);
#pragma unroll
            for (int j = 0; j < rows / 2; j++) {
                const int r = row + 2 * j;
                const bool real = m0 + r < p.m && bytes > 0;
                const uint8_t *src = p.x + (real ? (m0 + r) * p.ldx + k : 0);
                ptx_cp_async16(dst + j * 2 * W8_BLOCK_K + ((piece ^ (r & 7)) << 4), src,
                               real ? bytes : 0);
            }
            ptx_cp_async_arrive(full + 8 * t.stage);
            w8_turn_next(&t, p.stages);
        }
    }
}

// The sums of one unit.
template <class Op, int Groups, int Tokens, int Mode>
DLQ_DEV void w8_stream_multiply(typename Op::acc (*acc)[Tokens / 2], const w8_params &p,
                                const w8_job &job, uint32_t smem, int n0, w8_turn *t)
{
    using shape = w8_stream_shape<Groups, Tokens>;
    const uint32_t full = smem + p.bars_at, empty = full + 8 * p.stages;
    const int lane = threadIdx.x & 31;
    const uint32_t w_at = __shfl_sync(0xffffffffu, threadIdx.x >> 7, 0) * 16384;
    const uint32_t x_at = shape::w_bytes(p);
    const float *w_scale = p.w_scale + (int64_t)(min(n0, p.n - 1) >> 7) * p.w_scale_ld;
    int last = 0;
    if constexpr (Mode != DLQ_K_W8_FAST) {
#pragma unroll
        for (int j = 0; j < Tokens / 2; j++)
            acc[0][j] = 0;
    }
    // A loop that runs at least once and waits in every round: otherwise the compiler sees paths on
    // which the sums are not wgmma's and waits after each instruction.
    int kb = job.k0;
    do {
        // All lanes have the same stage; told so, the compiler keeps descriptors in uniform
        // registers.
        const int s = __shfl_sync(0xffffffffu, t->stage, 0);
        const uint32_t w = smem + s * p.stage_bytes;
        ptx_mbar_wait(full + 8 * s, t->phase);
        if (shape::x_by_threads)
            ptx_fence_proxy_async(); // x was written by threads, wgmma reads it
        ptx_wgmma_fence();
        if constexpr (Mode == DLQ_K_W8_FAST) {
            w8_block<Op, 1, Tokens>(acc, w + w_at, w + x_at, kb > job.k0);
            w8_block<Op, 1, Tokens>(acc, w + w_at + p.half, w + x_at + Tokens * W8_BLOCK_K, true);
            ptx_wgmma_commit();
            ptx_wgmma_wait<1>();
            if (kb > job.k0)
                w8_release(empty + 8 * last, lane);
        } else {
            static_assert(Groups == 2, "units of fewer rows than 64 have no whole blocks");
#pragma unroll 1
            for (int h = 0; h < 2; h++) {
                const float ws = Mode == DLQ_K_W8_BLOCK_SCALED
                                     ? __ldg(w_scale + min(2 * kb + h, p.k_blocks - 1))
                                     : 1.0f;
                w8_block_promoted<Op, Tokens, Mode>(
                    acc[0], w + w_at + h * 8192, w + x_at + h * Tokens * W8_BLOCK_K, ws,
                    smem + p.scales_at + (2 * s + h) * w8_scale_bytes(Tokens), lane);
            }
            w8_release(empty + 8 * s, lane);
        }
        last = s;
        w8_turn_next(t, p.stages);
    } while (++kb < job.k1);
    if constexpr (Mode == DLQ_K_W8_FAST) {
        ptx_wgmma_wait<0>();
        w8_release(empty + 8 * last, lane);
    }
}

// Bytes that reach a part of the cluster from the others.
template <int Groups, int Tokens>
DLQ_DEV int
w8_stream_received(const w8_params &p)
{
    const int slice = 64 * Groups * Tokens * 4 >> p.split_log;
    return slice * ((1 << p.split_log) - 1);
}

// Sends this warp's 16 rows to the part that owns them, or, in the owner, adds what the others
// sent; true in the owner. The buffer: [sender, the owner left out][warp of the slice][block of 8
// tokens][lane] of 16 bytes, so that each store and load of a warp is 512 contiguous bytes.
template <class Acc, int Groups, int Tokens>
DLQ_DEV bool
w8_stream_reduce(Acc *acc, const w8_params &p, uint32_t buffer, uint32_t bar, int part)
{
    constexpr int blocks = Tokens / 8, log_warps = Groups == 2 ? 3 : 2;
    const int warp = threadIdx.x >> 5, per_log = log_warps - p.split_log;
    const int owner = warp >> per_log, in_slice = warp & ((1 << per_log) - 1);
    const uint32_t at = buffer + in_slice * blocks * 512 + (threadIdx.x & 31) * 16;
    const uint32_t from = (blocks * 512) << per_log;
    if (owner != part) {
        const uint32_t dst = ptx_mapa(at + (part - (part > owner)) * from, owner);
        const uint32_t signal = ptx_mapa(bar, owner);
#pragma unroll
        for (int j = 0; j < blocks; j++)
            ptx_st_async4(dst + j * 512, w8_as_float4(acc + 4 * j), signal);
        return false;
    }
    ptx_mbar_wait(bar, 0);
    for (int i = 0; i < (1 << p.split_log) - 1; i++)
#pragma unroll
        for (int j = 0; j < blocks; j++)
            w8_add4(acc + 4 * j, at + i * from + j * 512);
    return true;
}

template <class Op, int Groups, int Tokens, int Mode>
DLQ_DEV void
w8_stream_consume(const w8_params &p, const w8_job &job, uint8_t *shared, int part)
{
    const uint32_t smem = ptx_smem(shared), reduced = smem + p.bars_at + 16 * p.stages;
    auto *consts = (w8_consts<Groups, Tokens> *)(shared + p.consts_at);
    const int warp = threadIdx.x >> 5;
    w8_turn t = {0, 0};
    for (int unit = job.first; unit < job.units; unit += job.step) {
        int n0, m0;
        w8_job_at<Tokens>(p, job, unit, &n0, &m0);
        if (unit != job.first)
            ptx_bar_sync(1, 128 * Groups); // the last unit's scales have been read
        w8_consts_load(consts, p, n0, m0);
        __syncwarp();
        if (p.split_log > 0)
            ptx_cluster_wait(); // the others run, their barriers are set
        typename Op::acc acc[1][Tokens / 2];
        w8_stream_multiply<Op, Groups, Tokens, Mode>(acc, p, job, smem, n0, &t);
        ptx_bar_sync(1, 128 * Groups);
        if (p.split_log > 0) {
            if (p.reduce_at == 0) { // the ring is reused: everybody must be done with it
                ptx_cluster_arrive_relaxed();
                ptx_cluster_wait();
            }
            if (!w8_stream_reduce<typename Op::acc, Groups, Tokens>(acc[0], p, smem + p.reduce_at,
                                                                    reduced, part))
                return;
        }
#pragma unroll
        for (int j = 0; j < Tokens / 8; j++)
            if (m0 + 8 * j < p.m)
                w8_store_block(p, acc[0] + 4 * j, consts->rows + warp * 16, consts->tokens + 8 * j,
                               n0 + warp * 16, min(p.n, n0 + p.unit), m0 + 8 * j);
    }
}

template <class Op, int Groups, int Tokens, int Mode>
__global__ void
__launch_bounds__(w8_stream_shape<Groups, Tokens>::threads)
    w8_stream(const __grid_constant__ CUtensorMap w_map, const __grid_constant__ CUtensorMap x_map,
              const __grid_constant__ CUtensorMap s_map, const __grid_constant__ w8_params p)
{
    using shape = w8_stream_shape<Groups, Tokens>;
    constexpr bool scaled = Mode == DLQ_K_W8_BLOCK_SCALED;
    constexpr int before = 4; // loads asked for before the CTA's first barrier
    extern __shared__ __align__(1024) uint8_t shared[];
    const uint32_t smem = ptx_smem(shared), full = smem + p.bars_at, empty = full + 8 * p.stages;
    const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
    const int part = p.split_log > 0 ? (int)ptx_cluster_rank() : 0;
    const bool by_threads = shape::by_threads(p);
    const w8_job job = w8_job_make<Tokens>(p, part);
    const int arrivals = by_threads ? 1 + 32 * shape::x_warps : 1;
    int asked = 0;

    ptx_pdl_launch();
    // One thread of each warp: one after the other the barriers would cost as much as a load.
    if (lane == 0 && warp == shape::warps) {
        if (!by_threads)
            ptx_tma_prefetch(&x_map);
        for (int s = 0; s < min(before, p.stages); s++)
            ptx_mbar_init(full + 8 * s, arrivals);
        ptx_mbar_init_fence();
        const uint64_t policy = ptx_policy_first();
        int n0, m0;
        w8_job_at<Tokens>(p, job, job.first, &n0, &m0);
        for (; asked < min(before, min(p.stages, job.k1 - job.k0)); asked++) {
            w8_stream_ask<Groups, Tokens, scaled>(&w_map, p, smem, n0, job.k0 + asked, asked,
                                                  policy);
            if (!by_threads && !p.early)
                w8_stream_ask_x<Groups, Tokens>(&x_map, p, smem, m0, job.k0 + asked, asked);
        }
    } else if (lane == 0) {
        const int me = warp < shape::warps ? warp : warp - 1;
        for (int s = me; s < p.stages; s += shape::threads / 32 - 1) {
            if (s >= before)
                ptx_mbar_init(full + 8 * s, arrivals);
            ptx_mbar_init(empty + 8 * s, shape::warps);
        }
        if (warp == 0 && p.split_log > 0) {
            ptx_mbar_init(empty + 8 * p.stages, 1);
            ptx_mbar_arrive_expect(empty + 8 * p.stages, w8_stream_received<Groups, Tokens>(p));
        }
        ptx_mbar_init_fence();
    }
    __syncthreads();
    if (p.split_log > 0)
        ptx_cluster_arrive_relaxed();

    if (warp < shape::warps) {
        w8_stream_consume<Op, Groups, Tokens, Mode>(p, job, shared, part);
        return;
    }
    if (warp > shape::warps && by_threads)
        w8_stream_feed_x<Groups, Tokens>(p, job, smem, warp - shape::warps - 1);
    else if (warp == shape::warps && lane == 0)
        w8_stream_feed<Groups, Tokens, scaled>(&w_map, &x_map, &s_map, p, job, smem, asked);
    __syncwarp();
    if (p.split_log > 0) {
        ptx_cluster_wait();
        if (p.reduce_at == 0) {
            ptx_cluster_arrive_relaxed();
            ptx_cluster_wait();
        }
    }
}

#endif
