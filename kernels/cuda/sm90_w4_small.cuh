// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// W4A16 for few tokens: y^T = W x^T with mma.sync (sm90_w4_sums.cuh). A cluster of `split` CTAs
// owns a block of R = 16 * P * WR outputs; each CTA takes one slice of k and walks it in steps of
// WK chunks of U units, one chunk a warp:
//
//            k ->  step 0              step 1
//            +----+----+----+----+----+----+----+----+     chunk = 16 outputs x 128 * U inputs
//   16*P     | w0 | w1 | w2 | w3 | w0 | w1 | w2 | w3 |     every warp: P strips at once, x
//   fragments loaded once for the P strips
//            +----+----+----+----+----+----+----+----+
//   16*P     | w4 | w5 | w6 | w7 | w4 | ...                WR = 2, WK = 4
//            +----+----+----+----+----+
//
// One more warp, the first because it starts first, feeds them: a ring of stages of one step, as
// many as fit, R / 16 bulk copies each, which runs on while a block is being reduced and starts
// before anything else happens (with programmatic dependent launch: before the kernel in front has
// finished). Clusters take the blocks in turn, so that what all of them read at a time lies side by
// side: memory gives 5 to 10 % less to as many streams far apart. x stays in shared memory for the
// CTA's whole life; each warp fetches what it needs itself, in the order in which it uses it, and
// begins when the first part is there. Clusters begin at different steps: all asking for the same
// lines of x at once takes four times as long. The WK * split partial sums of an output meet first
// in shared memory, then in the shared memory of the CTA that owns the output (st.async: a release
// after plain remote stores would wait for them), always in the same order.
#ifndef DLQ_KERNELS_CUDA_SM90_W4_SMALL_CUH
#define DLQ_KERNELS_CUDA_SM90_W4_SMALL_CUH

#include "sm90_w4_sums.cuh"

struct w4_small_args {
    const char *w;
    const char *x;
    char *y;
    const float *bias;
    int m, n, k;
    int64_t ldx, ldy; // in elements
    int strips, units;
    int clusters;
    int share, extra; // row blocks of every cluster; the first `extra` clusters have one more
    int stages;       // of the ring
    int before_x;     // stages that are asked for before x is; -1: as many as there are
    int split, log2_split;
    int x_stride; // bytes of a token's row in shared memory
    int x_shift;  // 2^x_shift steps of x are waited for at once
    int copyable; // x can be fetched in pieces of 16 bytes
    int pdl;
};

// Group: of the packed form (0: one for all of k). NT: tiles of 8 tokens. P, WR, WK, U: see above.
// MinCtas: CTAs an SM must be able to hold.
template <bool Bf16, int Group, int Nt, int P, int Wr, int Wk, int U, int MinCtas> struct w4_small {
    static constexpr int warps = Wr * Wk;
    static constexpr int threads = 32 * warps; // that compute; one warp more copies
    static constexpr int rows = 16 * P * Wr;
    static constexpr int unit = DLQ_K_W4_UNIT_WEIGHTS + (Group ? 128 / Group * DLQ_K_W4_PAIRS : 0);
    static constexpr int chunk = U * unit;
    static constexpr int run =
        Wk * chunk; // bytes of a strip in a stage, contiguous in the packed weights too
    static constexpr int stage = P * Wr * run;
    static constexpr int most_stages = 14;
    static_assert(Wr == 1 || Wk <= 13, "barriers 3 to 15 are for warps with the same chunks");
    static constexpr int x_parts = 8; // of a warp's x at most, awaited one by one
    static constexpr int red_stride =
        rows + 4; // floats of a token; spreads the fragments' stores over the banks

    // Shared memory: ring | x | red | inbox | barriers.
    static __host__ __device__ int red_bytes(int m)
    {
        return Wk * m * red_stride * 4;
    }
    static __host__ __device__ int inbox_bytes(int m)
    {
        return 2 * m * rows * 4;
    }
    // Without stages, of which each takes stage_bytes.
    static int smem_bytes(int m, int x_stride, int split)
    {
        return m * x_stride + red_bytes(m) + (split > 1 ? inbox_bytes(m) : 0) + 2 * 8;
    }
    static constexpr int stage_bytes = stage + 2 * 8;

    using sums = w4_sums<Bf16, Group, Nt, P>;

    // 64 k of P strips, words and pairs from the stage. The pairs of rows r and r+8 follow the
    // weights; r = lane / 4.
    static __device__ __forceinline__ void block(sums &s, uint32_t weights, const uint32_t xrow[Nt],
                                                 int c)
    {
        uint4 words[P];
#pragma unroll
        for (int p = 0; p < P; p++)
            words[p] = ptx_lds128(weights + p * run + c * 512);
        const uint32_t lane = ptx_lane();
        s.block(words, xrow, c, [&](int p, int g) {
            return ptx_lds64(weights - lane * 16 + p * run + 1024 + g * 64 + lane / 4 * 8);
        });
    }

    // Group 0: scales and zero points of row block b, from behind the strips.
    static __device__ __forceinline__ void set_rows(const w4_small_args &a, sums &s, int b, int wr)
    {
        const char *const table = a.w + (size_t)a.strips * a.units * unit;
#pragma unroll
        for (int p = 0; p < P; p++)
            s.form[p].set(*(const uint2 *)(table +
                                           (size_t)min((b * Wr + wr) * P + p, a.strips - 1) * 64 +
                                           ptx_lane() / 4 * 8));
    }

    static __device__ __forceinline__ void store(const w4_small_args &a, int tok, int row, float4 v)
    {
        w4_store4<Bf16>(a.y, a.ldy, a.bias, a.n, tok, row, v);
    }

    // Sum this CTA's warps; with one CTA a cluster that is the result, else it goes to the outputs'
    // owner.
    static __device__ __forceinline__ void reduce(const w4_small_args &a, const sums &s, float *red,
                                                  uint32_t inbox, uint32_t bar, int block, int rank,
                                                  int parity)
    {
        const int lane = threadIdx.x % 32, warp = threadIdx.x / 32 - 1, wk = warp % Wk,
                  wr = warp / Wk;
        float *mine = red + wk * a.m * red_stride + wr * P * 16 + lane / 4;
#pragma unroll
        for (int t = 0; t < Nt; t++)
#pragma unroll
            for (int odd = 0; odd < 2; odd++) {
                const int tok = 8 * t + lane % 4 * 2 + odd;
                if (tok < a.m)
#pragma unroll
                    for (int p = 0; p < P; p++) {
                        mine[tok * red_stride + p * 16] = s.acc[p][t][odd];
                        mine[tok * red_stride + p * 16 + 8] = s.acc[p][t][2 + odd];
                    }
            }
        ptx_bar_sync(1, threads);
        const int owned = rows >> a.log2_split; // rows of an owner
#pragma unroll 1
        for (int i = threadIdx.x - 32; i < a.m * (rows / 4); i += threads) {
            const int tok = i / (rows / 4), row = i % (rows / 4) * 4;
            float4 sum = *(const float4 *)(red + tok * red_stride + row);
#pragma unroll
            for (int w = 1; w < Wk; w++) {
                const float4 v = *(const float4 *)(red + (w * a.m + tok) * red_stride + row);
                sum.x += v.x, sum.y += v.y, sum.z += v.z, sum.w += v.w;
            }
            if (a.split == 1) {
                store(a, tok, block * rows + row, sum);
            } else {
                const int owner = row / owned;
                const uint32_t to =
                    inbox +
                    (((parity * a.split + rank) * a.m + tok) * owned + row - owner * owned) * 4;
                ptx_st_async4(ptx_mapa(to, owner), sum, ptx_mapa(bar + 8 * parity, owner));
            }
        }
        ptx_bar_sync(1, threads);
    }

    // The owner's part: wait for every CTA's sums of this CTA's rows, add them in rank order.
    static __device__ __forceinline__ void finish(const w4_small_args &a, const char *inbox,
                                                  uint32_t bar, int block, int rank, int parity,
                                                  int phase)
    {
        const int owned = rows >> a.log2_split;
        ptx_mbar_wait_cluster(bar + 8 * parity, phase);
#pragma unroll 1
        for (int i = threadIdx.x - 32; i < a.m * (owned / 4); i += threads) {
            const int tok = i / (owned / 4), row = i % (owned / 4) * 4;
            float4 sum = make_float4(0, 0, 0, 0);
#pragma unroll 1
            for (int q = 0; q < a.split; q++) {
                const float4 v =
                    *(const float4 *)(inbox +
                                      (((parity * a.split + q) * a.m + tok) * owned + row) * 4);
                sum.x += v.x, sum.y += v.y, sum.z += v.z, sum.w += v.w;
            }
            store(a, tok, block * rows + rank * owned + row, sum);
        }
    }

    // The x of one warp's chunks in shared memory (`base`: where the CTA's slice begins in x), from
    // step `turn` on, in x_parts groups of copies; warps that have the same chunks bring some
    // tokens each. CTAs begin at different tokens, too.
    static __device__ __forceinline__ void fetch_x(const w4_small_args &a, uint32_t xs, int base,
                                                   int wk, int wr, int steps, int turn, int units,
                                                   int cluster)
    {
        constexpr int pieces = 16 * U; // of 16 bytes, a token's part of a chunk
        constexpr int at_once = 32 / pieces;
        const int lane = threadIdx.x % 32, mine = lane / pieces + wr * at_once;
        const int first = mine + ((cluster / 8 & 15) * a.m >> 4);
        const uint32_t row = (uint32_t)a.ldx * 2;
        int step = turn;
#pragma unroll 1
        for (int i = 0; i < steps; i++) {
            const int at = (wk + step * Wk) * U * 128 + lane % pieces * 8, k = base + at;
            const char *const from = a.x + (int64_t)(k < a.k ? k : 0) * 2;
            const uint32_t to = xs + at * 2, bytes = k < a.k ? 16 : 0;
            int tok = first;
#pragma unroll 1
            for (int left = at < units * 128 ? a.m - mine : 0; left > 0; left -= Wr * at_once) {
                if (tok >= a.m)
                    tok -= a.m;
                ptx_cp_async16(to + tok * a.x_stride, from + (uint64_t)row * tok, bytes);
                tok += Wr * at_once;
            }
            if (i + 1 == steps || (i + 1) >> a.x_shift != i >> a.x_shift)
                ptx_cp_async_commit();
            if (++step == steps)
                step = 0;
        }
    }

    // Elements [begin, end) of every token into shared memory by one warp; zeros from the `there`
    // first ones on, so that padded codes meet no stray NaN.
    static __device__ __noinline__ void fetch_slowly(const uint16_t *x, int64_t ldx, uint16_t *xs,
                                                     int x_stride, int m, int begin, int end,
                                                     int there)
    {
        for (int tok = 0; tok < m; tok++)
            for (int i = begin + threadIdx.x % 32; i < end; i += 32)
                xs[tok * x_stride / 2 + i] = i < there ? x[tok * ldx + i] : (uint16_t)0;
    }

    // Until x of step i is there, where a part of it begins.
    static __device__ __forceinline__ void await_x(const w4_small_args &a, int wk, int i, int steps)
    {
        if (i & ((1 << a.x_shift) - 1))
            return;
        switch (((steps - 1) >> a.x_shift) - (i >> a.x_shift)) {
        case 0:
            ptx_cp_async_wait_group<0>();
            break;
        case 1:
            ptx_cp_async_wait_group<1>();
            break;
        case 2:
            ptx_cp_async_wait_group<2>();
            break;
        case 3:
            ptx_cp_async_wait_group<3>();
            break;
        case 4:
            ptx_cp_async_wait_group<4>();
            break;
        case 5:
            ptx_cp_async_wait_group<5>();
            break;
        case 6:
            ptx_cp_async_wait_group<6>();
            break;
        default:
            ptx_cp_async_wait_group<7>();
            break;
        }
        if (Wr == 1)
            __syncwarp();
        else
            ptx_bar_sync(3 + wk, 32 * Wr);
    }

    // The copying warp, a strip a lane: every stage of every block.
    static __device__ __forceinline__ void feed(const w4_small_args &a, uint32_t ring,
                                                uint32_t full, uint32_t empty, int cluster,
                                                int count, int u0, int units, int steps, int turn)
    {
        const uint64_t once = ptx_policy_first();
        const int lane = threadIdx.x % 32;
        const int64_t strip_bytes = (int64_t)a.units * unit;
        const char *row =
            a.w + ((int64_t)cluster * (Wr * P) + lane) * strip_bytes + (int64_t)u0 * unit;
        int slot = 0, pass = 0, before_x = a.before_x;
#pragma unroll 1
        for (int done = 0, b = cluster; done < count; done++, b += a.clusters) {
            const int there =
                min(Wr * P, a.strips - b * Wr * P); // the last block may reach over the last strip
#pragma unroll 1
            for (int i = 0, step = turn; i < steps; i++) {
                const int u = step * Wk * U;
                if (before_x-- == 0)
                    ptx_bar_sync(2, threads + 32);
                if (pass)
                    ptx_mbar_wait(empty + 8 * slot, (pass & 1) ^ 1);
                const uint32_t bytes = min(Wk * U, units - u) * unit;
                if (lane == 0)
                    ptx_mbar_arrive_expect(full + 8 * slot, there * bytes);
                __syncwarp();
                if (lane < there)
                    ptx_bulk_load_hint(ring + slot * stage + lane * run, row + (int64_t)u * unit,
                                       bytes, full + 8 * slot, once);
                if (++slot == a.stages) {
                    slot = 0;
                    pass++;
                }
                if (++step == steps)
                    step = 0;
            }
            row += (int64_t)a.clusters * (Wr * P) * strip_bytes;
        }
        if (before_x >= 0)
            ptx_bar_arrive(2, threads + 32);
    }
};

template <bool Bf16, int Group, int Nt, int P, int Wr, int Wk, int U, int MinCtas>
__global__ void __launch_bounds__(32 * Wr * Wk + 32, MinCtas) w4_small_kernel(const w4_small_args a)
{
    using C = w4_small<Bf16, Group, Nt, P, Wr, Wk, U, MinCtas>;
    extern __shared__ __align__(1024) char smem[];
    char *const xs = smem + a.stages * C::stage;
    float *const red = (float *)(xs + a.m * a.x_stride);
    char *const inbox = (char *)red + C::red_bytes(a.m);
    char *const bars = inbox + (a.split > 1 ? C::inbox_bytes(a.m) : 0);
    const uint32_t full = ptx_smem(bars), empty = full + a.stages * 8, inbar = empty + a.stages * 8;
    const int warp = __shfl_sync(0xffffffffu, threadIdx.x / 32, 0), lane = threadIdx.x % 32;

    const int rank = blockIdx.x & (a.split - 1), cluster = blockIdx.x >> a.log2_split;
    const int count = a.share + (cluster < a.extra); // of blocks
    const int u0 = a.units * rank >> a.log2_split,
              units = (a.units * (rank + 1) >> a.log2_split) - u0;
    const int steps = (units + Wk * U - 1) / (Wk * U), turn = (cluster & 15) * steps >> 4;

    if (warp == 0) {
        if (ptx_elect()) {
#pragma unroll 1
            for (int i = 0; i < a.stages; i++) {
                ptx_mbar_init(full + 8 * i, 1);
                ptx_mbar_init(empty + 8 * i, C::warps);
            }
            ptx_mbar_init(inbar, 1);
            ptx_mbar_init(inbar + 8, 1);
            ptx_mbar_init_fence();
        }
        __syncwarp();
        if (a.before_x < 0)
            ptx_bar_arrive(2, C::threads + 32);
        if (a.split > 1)
            ptx_cluster_arrive_relaxed();
        if (a.pdl && lane == 0)
            ptx_pdl_launch();
        C::feed(a, ptx_smem(smem), full, empty, cluster, count, u0, units, steps, turn);
        __syncwarp();
        if (a.split > 1)
            ptx_cluster_wait();
        return;
    }

    const int wk = (warp - 1) % Wk, wr = (warp - 1) / Wk;
    typename C::sums s;
    if (Group == 0)
        C::set_rows(a, s, cluster, wr);
    if (a.split > 1)
        ptx_cluster_arrive_relaxed();
    if (a.pdl)
        ptx_pdl_wait();
    if (a.copyable)
        C::fetch_x(a, ptx_smem(xs), u0 * 128, wk, wr, steps, turn, units, cluster);
    else if (wr == 0)
        for (int step = 0; step < steps; step++)
            C::fetch_slowly((const uint16_t *)a.x + u0 * 128, a.ldx, (uint16_t *)xs, a.x_stride,
                            a.m, (wk + step * Wk) * U * 128,
                            min((wk + step * Wk + 1) * U, units) * 128, a.k - u0 * 128);

    uint32_t xrow[Nt]; // ldmatrix: lane l gives row l % 8 of matrix l / 8; absent tokens repeat the
                       // last one, their sums are not stored
#pragma unroll
    for (int t = 0; t < Nt; t++)
        xrow[t] = ptx_smem(xs) + min(8 * t + lane % 8, a.m - 1) * a.x_stride + lane / 8 * 16;

    ptx_bar_sync(2, C::threads + 32);

    int slot = 0, phase = 0;
    const uint32_t mine_at = ptx_smem(smem) + wr * P * C::run + wk * C::chunk + lane * 16;
#pragma unroll 1
    for (int done = 0, b = cluster; done <= count; done++, b += a.clusters) {
        s.clear();
#pragma unroll 1
        for (int i = 0, step = turn; i < steps && done < count; i++) {
            const int at = (wk + step * Wk) * U; // the chunk's first unit
            if (done == 0)
                C::await_x(a, wk, i, steps);
            ptx_mbar_wait(full + 8 * slot, phase);
            if (at < units) {
#pragma unroll
                for (int u = 0; u < U; u++)
                    if (u == 0 || at + u < units) {
                        uint32_t xat[Nt];
#pragma unroll
                        for (int t = 0; t < Nt; t++)
                            xat[t] = xrow[t] + (at + u) * 256;
                        const uint32_t weights = mine_at + slot * C::stage + u * C::unit;
                        C::block(s, weights, xat, 0);
                        C::block(s, weights, xat, 1);
                    }
                __syncwarp();
            }
            if (lane == 0)
                ptx_mbar_arrive(empty + 8 * slot);
            if (++slot == a.stages) {
                slot = 0;
                phase ^= 1;
            }
            if (++step == steps)
                step = 0;
        }
        if (Group == 0) {
            s.fold();
            if (done + 1 < count)
                C::set_rows(a, s, b + a.clusters, wr);
        }
        const int parity = done & 1;
        if (a.split > 1) {
            if (done == 0)
                ptx_cluster_wait();
            else
                C::finish(a, inbox, inbar, b - a.clusters, rank, parity ^ 1, (done - 1) >> 1 & 1);
            if (threadIdx.x == 32 && done < count)
                ptx_mbar_arrive_expect(inbar + 8 * parity, (uint32_t)(a.m * C::rows * 4));
        }
        if (done < count)
            C::reduce(a, s, red, ptx_smem(inbox), inbar, b, rank, parity);
    }
}

// Stages whose weights are asked for before x is, which must not arrive behind all of them. No more
// than the smallest ring has: a stage is freed only after x.
enum { W4_SMALL_BEFORE_X = 2 };

// Launch one instantiation. Returns DLQ_K_W4_VARIANT when the tile cannot take this shape.
template <bool Bf16, int Group, int Nt, int P, int Wr, int Wk, int U, int MinCtas>
static int
w4_small_launch(const struct dlq_k_w4_gemm *call, const struct dlq_k_w4_plan *plan, int sms,
                cudaStream_t stream)
{
    using C = w4_small<Bf16, Group, Nt, P, Wr, Wk, U, MinCtas>;
    auto kernel = w4_small_kernel<Bf16, Group, Nt, P, Wr, Wk, U, MinCtas>;
    static unsigned char granted[64];
    static int
        fitting[4][4]; // clusters that fit, by log2 of their size and CTAs an SM; 0: not asked yet
    struct w4_small_args a;
    a.w = (const char *)call->packed;
    a.x = (const char *)call->x;
    a.y = (char *)call->y;
    a.bias = call->bias;
    a.m = call->m, a.n = call->n, a.k = call->k;
    a.ldx = call->ldx, a.ldy = call->ldy;
    a.strips = (call->n + 63) / 64 * 4;
    a.units = (call->k + 127) / 128;
    const int split = plan->split, blocks = (a.strips + P * Wr - 1) / (P * Wr);
    if (split < 1 || split > 8 || (split & (split - 1)) || split > a.units)
        return DLQ_K_W4_VARIANT;
    a.split = split;
    a.log2_split = split == 1 ? 0 : split == 2 ? 1 : split == 4 ? 2 : 3;
    a.x_stride = (a.units + split - 1) / split * 256 + 16;
    a.copyable = ((uintptr_t)call->x & 15) == 0 && call->ldx % 8 == 0 && call->k % 8 == 0 &&
                 call->ldx < INT32_MAX;
    a.pdl = call->pdl;
    const int steps = ((a.units + split - 1) / split + Wk * U - 1) / (Wk * U);
    for (a.x_shift = 0; (steps - 1) >> a.x_shift >= C::x_parts;)
        a.x_shift++;
    int smem = C::smem_bytes(call->m, a.x_stride, split);
    if (C::rows % (4 * split) || plan->ctas < 1 || plan->ctas > 4 ||
        plan->ctas * (C::threads + 32) > 1536)
        return DLQ_K_W4_VARIANT;
    a.stages = (228 * 1024 / plan->ctas - 1024 - smem) / C::stage_bytes;
    if (a.stages < 2)
        return DLQ_K_W4_VARIANT;
    if (a.stages > C::most_stages)
        a.stages = C::most_stages;
    smem += a.stages * C::stage_bytes;
    a.before_x = call->pdl ? -1 : W4_SMALL_BEFORE_X;
    // No more CTAs on an SM than asked for: two of one launch on one SM while another SM idles
    // would double the time.
    const int least = 228 * 1024 / (plan->ctas + 1) - 1024 + 16;
    if (smem < least)
        smem = least;
    int err = dlq::allow_shared((const void *)kernel, 0, granted);
    if (err)
        return err;
    dlq::launch_config launch(dim3((unsigned)(sms / split * split)), C::threads + 32, (size_t)smem,
                              call->pdl, stream, (unsigned)split);

    // One wave; how many clusters fit depends on the GPCs' sizes.
    int clusters = sms * plan->ctas;
    if (split > 1) {
        int *const known = &fitting[a.log2_split][plan->ctas - 1];
        clusters = __atomic_load_n(known, __ATOMIC_RELAXED);
        if (clusters == 0) {
            err = (int)cudaOccupancyMaxActiveClusters(&clusters, kernel, &launch.config);
            if (err)
                return err;
            if (clusters < 1)
                return DLQ_K_W4_VARIANT;
            __atomic_store_n(known, clusters, __ATOMIC_RELAXED);
        }
    }
    if (clusters > blocks)
        clusters = blocks;
    a.share = (blocks + clusters - 1) / clusters;
    clusters = (blocks + a.share - 1) / a.share;
    a.clusters = clusters;
    a.share = blocks / clusters;
    a.extra = blocks % clusters;
    // No more than are used: initializing a barrier delays the first copy.
    const int used = (a.share + (a.extra > 0)) * steps;
    if (a.stages > used)
        a.stages = used;
    launch.config.gridDim = dim3((unsigned)(clusters * split));
    return launch.run(kernel, a);
}

// The tiles: number, P, WR, WK, U, CTAs an SM must be able to hold. The measured table names them
// by number.
#define W4_SMALL_TILES(X)                                                                          \
    X(0, 4, 1, 8, 1, 2)                                                                            \
    X(1, 1, 1, 8, 2, 3)                                                                            \
    X(2, 5, 1, 8, 1, 1)                                                                            \
    X(3, 2, 1, 8, 1, 2)                                                                            \
    X(4, 3, 1, 8, 1, 2)                                                                            \
    X(5, 2, 1, 8, 2, 2)                                                                            \
    X(6, 1, 1, 16, 2, 2)                                                                           \
    X(7, 3, 2, 4, 1, 2)                                                                            \
    X(8, 2, 1, 16, 1, 1)                                                                           \
    X(9, 1, 1, 8, 1, 3)                                                                            \
    X(10, 1, 1, 16, 1, 2)                                                                          \
    X(11, 2, 1, 16, 2, 1)                                                                          \
    X(12, 2, 2, 4, 1, 2)

template <bool Bf16, int Group, int Nt>
static int
w4_small_tile(const struct dlq_k_w4_gemm *call, const struct dlq_k_w4_plan *plan, int sms,
              cudaStream_t stream)
{
    switch (plan->tile) {
#define W4_CASE(id, p, wr, wk, u, ctas)                                                            \
    case id:                                                                                       \
        if constexpr (p * Nt <= 10)                                                                \
            return w4_small_launch < Bf16, Group, Nt, p, wr, wk, u,                                \
                   p * Nt <= 6 ? ctas : 1 > (call, plan, sms, stream);                             \
        break;
        W4_SMALL_TILES(W4_CASE)
#undef W4_CASE
    default:
        break;
    }
    return DLQ_K_W4_VARIANT;
}

template <bool Bf16, int Group>
static int
w4_small_tokens(const struct dlq_k_w4_gemm *call, const struct dlq_k_w4_plan *plan, int sms,
                cudaStream_t stream)
{
    return call->m <= 8 ? w4_small_tile<Bf16, Group, 1>(call, plan, sms, stream)
                        : w4_small_tile<Bf16, Group, 2>(call, plan, sms, stream);
}

template <bool Bf16>
static int
w4_small_group(const struct dlq_k_w4_gemm *call, const struct dlq_k_w4_plan *plan, int sms,
               cudaStream_t stream)
{
    switch (dlq_k_w4_packed_group(call->k, call->group)) {
    case 0:
        return w4_small_tokens<Bf16, 0>(call, plan, sms, stream);
    case 32:
        return w4_small_tokens<Bf16, 32>(call, plan, sms, stream);
    case 64:
        return w4_small_tokens<Bf16, 64>(call, plan, sms, stream);
    case 128:
        return w4_small_tokens<Bf16, 128>(call, plan, sms, stream);
    default:
        return DLQ_K_W4_SHAPE;
    }
}

#endif
