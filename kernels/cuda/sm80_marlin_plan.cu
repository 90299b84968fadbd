// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// How a product in the Marlin layout is cut into tiles and runs, and its launch.
#include "marlin.h"
#include "sm80_marlin.h"

#include <cuda_runtime.h>

namespace
{

struct tile_facts {
    int tokens, columns, depth; // depth: k of a stage
    int ctas;                   // of a multiprocessor, at most
    int k_warps, slices;        // warps that share a tile's columns, parts in which they add up
    int tile_ns;                // about what a tile takes beyond its stages
    int stage_ns[4];            // and a stage with 1 to 4 CTAs a multiprocessor
};

// The template arguments of marlin_launch_tile, sm80_marlin_gemm.cuh. Times are fitted to 2400
// plans of the shapes in docs/performance/marlin.md on an H100, within 5 %; their ratios matter.
constexpr tile_facts tiles[DLQ_K_MARLIN_TILES] = {
    {8, 128, 128, 4, 2, 1, 60, {444, 627, 913, 1250}},
    {16, 128, 128, 3, 2, 1, 510, {490, 691, 1044}},
    {32, 128, 128, 3, 2, 2, 2310, {551, 937, 1452}},
    {64, 128, 128, 2, 2, 4, 2570, {784, 1434}},
    {64, 256, 128, 1, 2, 4, 2960, {1422}},
    {128, 256, 128, 1, 1, 1, 3370, {2419}},
    {128, 128, 64, 2, 1, 1, 2280, {726, 1327}},
};
constexpr int sm_bytes_ns = 25; // memory of a multiprocessor's share
// Sharing tiles, as below: in all, a CTA of a tile, and bytes in a microsecond.
constexpr int even_ns = 945, uneven_ns = 2736, share_ns = 181;
constexpr int sums_bytes_us = 51800, parts_bytes_us = 55300;

// CTAs of one tile, at most.
constexpr int most_split = 32;

// Tokens whose x is copied at a time when it has to be.
constexpr int gather_tokens = 512;
constexpr int threads = 256;

size_t
round256(size_t bytes)
{
    return (bytes + 255) / 256 * 256;
}

size_t
smem_bytes(const tile_facts &t, int bits, int stages)
{
    const int depth = t.depth;
    const size_t stage = (size_t)depth * t.columns * bits / 8 + (size_t)t.tokens * depth * 2 +
                         depth / 32 * t.columns * 2 + (bits == 4 ? depth / 32 * t.columns / 2 : 0);
    return stages * stage + (t.k_warps > 1 ? (size_t)t.tokens * t.columns * 4 / t.slices : 0);
}

// Shared memory of a multiprocessor, less what each of `ctas` CTAs loses.
size_t
smem_limit(int capability, int ctas)
{
    const int kib = capability >= 90 && capability < 120   ? 228
                    : capability == 80 || capability == 87 ? 164
                                                           : 100;
    const int a_cta = kib / ctas < kib - 1 ? kib / ctas : kib - 1;
    return (size_t)(a_cta - 1) * 1024;
}

size_t
tile_bytes(const tile_facts &t)
{
    return (size_t)t.tokens * t.columns * 4;
}

struct cut {
    int m_tiles, iters, most, grid, sk_tiles, sk_ctas, dp_each;
};

// Tiles for CTAs in whole turns, and the rest: one CTA each.
cut
cut_whole(const struct dlq_marlin_layer *layer, int m, const tile_facts &t, int ctas, int sms)
{
    cut c;
    c.m_tiles = (m + t.tokens - 1) / t.tokens;
    c.iters = (int)(layer->k_padded / t.depth);
    const int count = c.m_tiles * (int)((layer->n_padded + t.columns - 1) / t.columns);
    c.most = ctas * sms;
    c.dp_each = count / c.most;
    c.sk_tiles = count % c.most;
    c.sk_ctas = c.sk_tiles;
    c.grid = c.dp_each > 0 ? c.most : c.sk_ctas;
    return c;
}

// Shares the rest among up to `split` CTAs a tile; whether more of them would change that.
bool
share_rest(cut *c, int split)
{
    // Whole tiles where that keeps all but a sixteenth busy.
    if (c->sk_tiles == 0 || c->sk_tiles * 16 >= c->most * 15)
        return false;
    const int64_t by_depth = (int64_t)c->sk_tiles * c->iters,
                  by_split = (int64_t)c->sk_tiles * split;
    const int64_t most = c->most < by_depth ? c->most : by_depth;
    const int64_t want = most < by_split ? most : by_split;
    if (want > c->sk_tiles) {
        // Runs that end with a tile need fewer sums.
        const int even = (int)want / c->sk_tiles * c->sk_tiles;
        c->sk_ctas = even * 8 >= want * 7 ? even : (int)want;
        c->grid = c->dp_each > 0 ? c->most : c->sk_ctas;
    }
    return by_split < most;
}

// Of a stage with so many CTAs in all.
int64_t
stage_cost(const tile_facts &t, int bits, int sms, int ctas)
{
    const int64_t memory = (int64_t)t.columns * t.depth * bits / 8 * ctas / sms / sm_bytes_ns;
    const int64_t compute = t.stage_ns[(ctas - 1) / sms];
    return compute > memory ? compute : memory;
}

// What no sharing of the rest brings a cut below.
int64_t
least_cost(const cut &c, const tile_facts &t, int bits, int sms)
{
    int64_t ns = (int64_t)t.tile_ns * (c.dp_each + (c.sk_tiles > 0)) +
                 (int64_t)c.sk_tiles * c.iters / c.most * t.stage_ns[0];
    if (c.dp_each > 0)
        ns += (int64_t)c.dp_each * c.iters * stage_cost(t, bits, sms, c.grid);
    return ns;
}

// About what a cut takes, in ns, but for what all have in common.
int64_t
cost_of(const cut &c, const tile_facts &t, int bits, int sms)
{
    const auto stage_ns = [&](int ctas) { return stage_cost(t, bits, sms, ctas); };
    int64_t ns = (int64_t)t.tile_ns * (c.dp_each + (c.sk_tiles > 0));
    if (c.sk_tiles > 0)
        ns += ((int64_t)c.sk_tiles * c.iters + c.sk_ctas - 1) / c.sk_ctas * stage_ns(c.sk_ctas);
    if (c.sk_ctas > c.sk_tiles) {
        const bool even = c.sk_ctas % c.sk_tiles == 0;
        const int shares = (c.sk_ctas + c.sk_tiles - 1) / c.sk_tiles, ending = shares - !even;
        const int parts = t.tokens <= 16 || ending < 2 ? 1
                          : ending < t.tokens / 8      ? ending
                                                       : t.tokens / 8;
        ns += (even ? even_ns : uneven_ns + t.tile_ns) + shares * share_ns;
        // Written, but for a part that the CTA adds itself, and read.
        const int64_t bytes = (int64_t)tile_bytes(t) * (parts - (parts > 1) + shares) / parts;
        ns += bytes * 1000 / (parts > 1 ? parts_bytes_us : sums_bytes_us);
    }
    return ns + (c.dp_each > 0 ? (int64_t)c.dp_each * c.iters * stage_ns(c.grid) : 0);
}

// x with rows in the order of the weights, padded with zeros to k_padded.
__global__ void
__launch_bounds__(threads) gather_kernel(const uint16_t *x, int64_t ldx, const int *order, int k,
                                         int k_padded, uint16_t *out)
{
    const int at = (blockIdx.x * threads + threadIdx.x) * 8;
    if (at >= k_padded)
        return;
    const uint16_t *const row = x + blockIdx.y * ldx;
    uint32_t v[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        v[i] = 0;
#pragma unroll
        for (int h = 0; h < 2; h++) {
            const int to = at + 2 * i + h;
            if (to < k)
                v[i] |= (uint32_t)row[order ? order[to] : to] << 16 * h;
        }
    }
    *(uint4 *)(out + (int64_t)blockIdx.y * k_padded + at) = make_uint4(v[0], v[1], v[2], v[3]);
}

// Fills what a plan leaves open, cheapest first. False when nothing fits.
bool
choose(const struct dlq_k_marlin_gemm *call, struct dlq_k_marlin_plan *plan)
{
    static const int splits[] = {1, 2, 3, 4, 6, 8, 12, 16, 24, most_split};
    const int bits = call->layer->bits;
    const struct dlq_k_marlin_plan open = *plan;
    int64_t least = INT64_MAX;
    for (int tile = 1; tile <= DLQ_K_MARLIN_TILES; tile++) {
        const tile_facts &t = tiles[tile - 1];
        if (open.tile != 0 && open.tile != tile)
            continue;
        for (int ctas = 1; ctas <= t.ctas; ctas++) {
            const int stages = open.stages != 0 ? open.stages : 2;
            if ((open.ctas != 0 && open.ctas != ctas) ||
                smem_bytes(t, bits, stages) > smem_limit(call->capability, ctas))
                continue;
            const cut whole = cut_whole(call->layer, call->m, t, ctas, call->sms);
            bool more = least_cost(whole, t, bits, call->sms) < least;
            for (size_t i = 0; i < sizeof splits / sizeof *splits && more; i++) {
                const int split = open.split != 0 ? open.split : splits[i];
                cut c = whole;
                more = share_rest(&c, split) && open.split == 0;
                const int64_t cost = cost_of(c, t, bits, call->sms);
                if (cost < least) {
                    least = cost;
                    plan->tile = tile;
                    plan->ctas = ctas;
                    plan->split = split;
                }
            }
        }
    }
    return least != INT64_MAX;
}

sm80_marlin_divisor
divisor_of(int by)
{
    int log2 = 0;
    while ((int64_t)1 << log2 < by)
        log2++;
    sm80_marlin_divisor d = {by, 0, 0};
    if (log2 > 0) {
        d.multiplier = (uint32_t)((((uint64_t)1 << (31 + log2)) + by - 1) / by);
        d.shift = log2 - 1;
    }
    return d;
}

int
run(const struct dlq_k_marlin_gemm *call, const struct dlq_k_marlin_plan *plan, const void *x,
    int64_t ldx, int k, int pdl, cudaStream_t stream)
{
    const struct dlq_marlin_layer *const layer = call->layer;
    const tile_facts &t = tiles[plan->tile - 1];
    cut c = cut_whole(layer, call->m, t, plan->ctas, call->sms);
    (void)share_rest(&c, plan->split);
    struct sm80_marlin_args a = {};
    const char *const packed = (const char *)call->packed;
    a.weights = packed;
    a.scales = (const uint16_t *)(packed + layer->scales_at);
    if (layer->has_zero_points)
        a.zeros = (const uint32_t *)(packed + layer->zeros_at);
    a.x = (const uint16_t *)x;
    a.ldx = ldx;
    a.y = (uint16_t *)call->y;
    a.ldy = call->ldy;
    a.bias = call->bias;
    a.m = call->m;
    a.n = (int)layer->n;
    a.k = k;
    a.n_padded = (int)layer->n_padded;
    a.group_shift = layer->packed_group == 128  ? 7
                    : layer->packed_group == 64 ? 6
                    : layer->packed_group == 32 ? 5
                                                : 31;
    a.m_tiles = divisor_of(c.m_tiles);
    a.iters = divisor_of(c.iters);
    a.stages = plan->stages;
    a.sk_tiles = c.sk_tiles;
    a.sk_ctas = c.sk_ctas;
    a.dp_each = c.dp_each;
    if (c.sk_ctas > 0) {
        const bool by_tile = c.sk_ctas % c.sk_tiles == 0;
        const int group = by_tile ? c.sk_ctas / c.sk_tiles : c.sk_ctas;
        const int span = by_tile ? c.iters : c.sk_tiles * c.iters;
        a.group = divisor_of(group);
        a.span = divisor_of(span);
        a.run = divisor_of(span / group);
        a.longer_run = divisor_of(span / group + 1);
        a.longer_runs = span % group;
    }
    a.wide = ((uintptr_t)call->y & 15) == 0 && call->ldy % 8 == 0 && layer->n % 8 == 0;
    a.pdl = pdl;
    if (c.sk_ctas > c.sk_tiles) {
        const size_t head = call->counters ? 0 : round256(sizeof(*a.counters) * (size_t)c.sk_ctas);
        if (call->workspace_bytes < head + 2 * (size_t)c.sk_ctas * tile_bytes(t))
            return DLQ_K_MARLIN_WORKSPACE;
        a.counters = (unsigned long long *)(call->counters ? call->counters : call->workspace);
        a.partial = (float4 *)((char *)call->workspace + head);
        if (head) {
            const cudaError_t err = cudaMemsetAsync(call->workspace, 0, head, stream);
            if (err != cudaSuccess)
                return (int)err;
            a.pdl = 0;
        }
    }
    return call->bf16 ? sm80_marlin_launch_bf16(&a, plan->tile - 1, layer->bits, c.grid, stream)
                      : sm80_marlin_launch_f16(&a, plan->tile - 1, layer->bits, c.grid, stream);
}

// Bytes for sums that CTAs share, of any plan for up to max_m tokens.
size_t
sums_bytes(int max_m, int sms)
{
    size_t most = 0;
    for (const tile_facts &t : tiles) {
        const size_t bytes = 2 * (size_t)sms * t.ctas * tile_bytes(t);
        if ((t.tokens <= 8 || t.tokens < 2 * max_m) && bytes > most)
            most = bytes;
    }
    return round256(sizeof(int) * (size_t)dlq_k_marlin_counters(sms)) + most;
}

} // namespace

extern "C" int64_t
dlq_k_marlin_counters(int sms)
{
    return 8 * (int64_t)sms; // two for each CTA
}

extern "C" size_t
dlq_k_marlin_workspace_bytes(const struct dlq_marlin_layer *layer, int max_m, int sms)
{
    const int rows = max_m < gather_tokens ? max_m : gather_tokens;
    return sums_bytes(max_m, sms) + round256((size_t)rows * layer->k_padded * 2);
}

extern "C" int
dlq_k_marlin_resolve(const struct dlq_k_marlin_gemm *call, const struct dlq_k_marlin_plan *plan,
                     struct dlq_k_marlin_plan *out)
{
    struct dlq_k_marlin_plan p = {};
    if (plan)
        p = *plan;
    if (p.tile < 0 || p.tile > DLQ_K_MARLIN_TILES || p.split < 0 || p.split > most_split ||
        (p.stages != 0 && (p.stages < 2 || p.stages > 4)) || call->capability < 80 ||
        call->sms < 1 || !choose(call, &p))
        return DLQ_K_MARLIN_PLAN;
    if (p.stages == 0) {
        const size_t limit = smem_limit(call->capability, p.ctas);
        p.stages = 4;
        while (smem_bytes(tiles[p.tile - 1], call->layer->bits, p.stages) > limit)
            p.stages--;
    }
    *out = p;
    return 0;
}

extern "C" int
dlq_k_marlin_rounds(const struct dlq_marlin_layer *layer, const struct dlq_k_marlin_plan *plan)
{
    return layer->packed_group > 0 && tiles[plan->tile - 1].tokens > 16;
}

extern "C" int
dlq_k_marlin_gemm(const struct dlq_k_marlin_gemm *call, const struct dlq_k_marlin_plan *plan,
                  cudaStream_t stream)
{
    const struct dlq_marlin_layer *const layer = call->layer;
    if (call->m < 0 || call->ldx < layer->k || call->ldy < layer->n)
        return DLQ_K_MARLIN_SHAPE;
    if (call->m == 0)
        return 0;
    if (((uintptr_t)call->packed & 255) || ((uintptr_t)call->workspace & 255))
        return DLQ_K_MARLIN_ALIGN;
    struct dlq_k_marlin_plan p;
    int err = dlq_k_marlin_resolve(call, plan, &p);
    if (err)
        return err;
    const bool aligned = ((uintptr_t)call->x & 15) == 0 && call->ldx % 8 == 0 && layer->k % 8 == 0;
    if (aligned && !layer->act_order)
        return run(call, &p, call->x, call->ldx, (int)layer->k, call->pdl, stream);
    const size_t rows = call->m < gather_tokens ? call->m : gather_tokens;
    const size_t bytes = round256(rows * layer->k_padded * 2);
    if (call->workspace_bytes < bytes)
        return DLQ_K_MARLIN_WORKSPACE;
    struct dlq_k_marlin_gemm part = *call;
    uint16_t *const gathered = (uint16_t *)call->workspace;
    part.workspace = (char *)call->workspace + bytes;
    part.workspace_bytes -= bytes;
    const int *order =
        layer->act_order ? (const int *)((const char *)call->packed + layer->order_at) : nullptr;
    for (int at = 0; at < call->m && !err; at += gather_tokens) {
        part.m = call->m - at < gather_tokens ? call->m - at : gather_tokens;
        part.y = (uint16_t *)call->y + at * call->ldy;
        const dim3 grid((unsigned)((layer->k_padded / 8 + threads - 1) / threads),
                        (unsigned)part.m);
        gather_kernel<<<grid, threads, 0, stream>>>((const uint16_t *)call->x + at * call->ldx,
                                                    call->ldx, order, (int)layer->k,
                                                    (int)layer->k_padded, gathered);
        err = (int)cudaGetLastError();
        if (!err)
            err = run(&part, &p, gathered, layer->k_padded, (int)layer->k_padded, 0, stream);
    }
    return err;
}
