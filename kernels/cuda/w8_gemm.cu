// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// Host side of the W8A8 products: checks, the plan of a launch, the launch.
#include "device_attribute.cuh"
#include "launch.cuh"
#include "round.cuh"
#include "sm90_w4.h"
#include "tensormap.h"
#include "w8_kernel.cuh"
#include "w8_kernels.h"
#include "w8_table.h"

namespace
{

// Shared memory of one multiprocessor of sm_90, and what each CTA's share of it loses.
enum { SM_BYTES = 233472, CTA_BYTES = 1024, MAX_STAGES = 32, OUT_BYTES = 2 * 8192 };

struct plan {
    const void *kernel;
    w8_params params;
    dim3 grid;
    unsigned threads;
    unsigned cluster;
    size_t shared;
    unsigned x_box;
};

int
multiprocessors(void)
{
    return dlq::device_attribute<cudaDevAttrMultiProcessorCount>();
}

const void *
stream_kernel(const dlq_k_w8_gemm *g, int rows, int tokens)
{
    return g->dtype == DLQ_I8 ? dlq_k_w8_stream_i8(rows, tokens)
                              : dlq_k_w8_stream_f8(rows, tokens, g->accumulate);
}

const void *
tile_kernel(const dlq_k_w8_gemm *g, int rows, int tokens, int in_turn)
{
    return g->dtype == DLQ_I8 ? dlq_k_w8_tile_i8(rows, tokens, in_turn)
                              : dlq_k_w8_tile_f8(rows, tokens, in_turn, g->accumulate);
}

void
params_fill(w8_params *p, const dlq_k_w8_gemm *g)
{
    const bool scaled = g->accumulate == DLQ_K_W8_BLOCK_SCALED;
    p->w = (const uint8_t *)g->w;
    p->x = (const uint8_t *)g->x;
    p->y = g->y;
    p->x_scale = scaled ? NULL : g->x_scale;
    p->w_scale = g->w_scale;
    p->bias = g->bias;
    p->x_zero = g->x_zero;
    p->w_sum = g->w_sum;
    p->ldx = g->ldx;
    p->ldy = g->ldy;
    p->m = (int)g->m;
    p->n = (int)g->n;
    p->k = (int)g->k;
    p->k_blocks = (int)dlq::divide_up(g->k, W8_BLOCK_K);
    p->k_padded = (int)dlq::divide_up(g->k, 256) * 2;
    p->row_blocks = (int)dlq::divide_up(g->n, 128) * 2;
    p->w_scale_ld = p->k_blocks;
    p->bias_dtype = (int)g->bias_dtype;
    p->y_bf16 = g->y_dtype == DLQ_BF16;
    p->tiles = g->layout == DLQ_K_W8_TILES;
    p->x_scale_one = g->x_scale_one;
    p->w_scale_one = g->w_scale_one;
    p->narrow = (uintptr_t)g->y % 4 != 0 || g->ldy % 2 != 0 || g->n % 2 != 0;
}

// The ring, then `between` bytes (a multiple of 128), the scales of each stage, the barriers.
void
plan_shared(plan *pl, int stages, int stage_bytes, int between, int scale_bytes)
{
    pl->params.stages = stages;
    pl->params.scales_at = stages * stage_bytes + between;
    pl->params.bars_at = pl->params.scales_at + stages * scale_bytes;
    pl->shared = (size_t)pl->params.bars_at + 16 * stages + 8;
}

int
plan_stream(plan *pl, const dlq_k_w8_gemm *g, const dlq_k_w8_config *c)
{
    w8_params *p = &pl->params;
    const int rows = c->rows < 64 ? 64 : c->rows; // of the kernel; a unit of work may have fewer
    const int warps = rows / 16;
    const int pairs = (p->k_blocks + 1) / 2;
    pl->kernel = stream_kernel(g, rows, c->tokens);
    if (!pl->kernel || c->rows < 32 || c->rows % 8 != 0 || (c->rows < 64 && c->split != 1) ||
        c->split < 1 || c->per_sm < 1 || (c->split & (c->split - 1)) != 0 || c->split > warps ||
        c->split > pairs || c->share != 1)
        return DLQ_K_W8_BAD_CONFIG;
    const bool scaled = g->accumulate == DLQ_K_W8_BLOCK_SCALED;
    const int scale_bytes = scaled ? 2 * w8_scale_bytes(c->tokens) : 0;
    const int stage = (c->rows + c->tokens) * 2 * W8_BLOCK_K;
    const int received = rows * c->tokens * 4 / c->split * (c->split - 1);
    const int budget = SM_BYTES / c->per_sm - CTA_BYTES;
    const bool own = received <= 16384; // else the ring is reused
    const int consts = (rows * 16 + c->tokens * 8 + 127) / 128 * 128;
    // The last stage's products of rows that are not there read as far behind it.
    const int behind = (rows - c->rows) * W8_BLOCK_K;
    const int between = (own ? received : 0) + consts + behind;
    const int64_t units = dlq::divide_up(g->n, c->rows) * dlq::divide_up(g->m, c->tokens);
    const int64_t slots = (int64_t)multiprocessors() * c->per_sm;
    if (units > INT32_MAX / 512 || slots == 0)
        return DLQ_K_W8_BAD_CONFIG;
    int stages = (budget - between - 8) / (stage + 16 + scale_bytes);
    // A walk over units keeps the ring going; one unit needs no more stages than it has blocks.
    if (c->split > 1 || units <= slots) {
        const int most = (int)dlq::divide_up(pairs, c->split);
        stages = stages < most ? stages : most;
    }
    stages = stages < MAX_STAGES ? stages : MAX_STAGES;
    if (stages < 1 || (stages < 2 && pairs > c->split))
        return DLQ_K_W8_BAD_CONFIG;
    const int slack = !own && stages * stage < received ? received - stages * stage : 0;
    plan_shared(pl, stages, stage, between + slack, scale_bytes);
    if (pl->shared > (size_t)budget)
        return DLQ_K_W8_BAD_CONFIG;
    p->units = (int)units;
    p->unit = c->rows;
    p->half = (c->rows < 64 ? c->rows : 64) * W8_BLOCK_K;
    p->stage_bytes = stage;
    p->consts_at = stages * stage + slack + (own ? received : 0);
    p->reduce_at = own ? stages * stage : 0;
    for (p->split_log = 0; 1 << p->split_log < c->split;)
        p->split_log++;
    pl->cluster = c->split;
    pl->threads = 32 * (unsigned)(warps + 1 + (c->tokens <= 64 ? (c->tokens + 15) / 16 : 0));
    pl->grid = dim3((unsigned)(c->split > 1 ? units * c->split : units < slots ? units : slots));
    pl->x_box = c->tokens;
    return 0;
}

// How the tiles go to the workers, of whom there are `*workers`, and where partial sums meet.
int
plan_share(w8_params *p, const dlq_k_w8_gemm *g, const dlq_k_w8_config *c, int64_t tiles,
           int64_t *workers)
{
    const int64_t each = *workers / tiles;
    p->whole = 0;
    // The same number of workers for every tile, where that leaves few idle: each has one part.
    if (each > 1 && each * tiles * 16 >= *workers * 15)
        *workers = each * tiles;
    // One more round than the remainder keeps the runs long: few tiles have more than two workers.
    if (tiles / *workers > 1)
        p->whole = (int)((tiles / *workers - 1) * *workers);
    const int64_t blocks = (tiles - p->whole) * p->k_blocks;
    const int64_t ctas = *workers * c->share;
    if (blocks < *workers || blocks > INT32_MAX || !g->workspace ||
        (uintptr_t)g->workspace % 256 != 0 || g->workspace_bytes < ctas * c->rows * c->tokens * 4)
        return DLQ_K_W8_BAD_CONFIG;
    p->run = (int)(blocks / *workers);
    p->run_extra = (int)(blocks % *workers);
    p->partials = (float4 *)g->workspace;
    return w4_flags_of(g->workspace, (int)ctas, &p->flags) ? DLQ_K_W8_BAD_CONFIG : 0;
}

int
plan_tile(plan *pl, const dlq_k_w8_gemm *g, const dlq_k_w8_config *c)
{
    w8_params *p = &pl->params;
    pl->kernel = tile_kernel(g, c->rows, c->tokens, c->pingpong);
    const bool cluster = c->split > 1; // that splits K
    if (!pl->kernel || (c->split & (c->split - 1)) != 0 ||
        (cluster && c->rows / 64 * (c->tokens / 64) % c->split != 0) || c->split > p->k_blocks ||
        (cluster && (c->share > 1 || c->pingpong)) || c->share < 1 || c->share > 4 ||
        c->group < 1 || (uintptr_t)g->y % 16 != 0 || g->ldy % 8 != 0)
        return DLQ_K_W8_BAD_CONFIG;
    const bool scaled = g->accumulate == DLQ_K_W8_BLOCK_SCALED;
    const int scale_bytes = scaled ? w8_scale_bytes(c->tokens) : 0;
    const int stage = (c->rows + c->tokens) * W8_BLOCK_K;
    const int warpgroups = w8_tile_warpgroups(c->rows);
    const int between = warpgroups * (OUT_BYTES + c->tokens * 4);
    int stages = (SM_BYTES - CTA_BYTES - between - 8) / (stage + 16 + scale_bytes);
    stages = stages < MAX_STAGES ? stages : MAX_STAGES;
    plan_shared(pl, stages, stage, between, scale_bytes);
    p->share = c->share;
    p->group = c->group;
    const int64_t row_blocks = dlq::divide_up(g->n, c->rows * c->share);
    const int64_t token_blocks = dlq::divide_up(g->m, c->tokens), tiles = row_blocks * token_blocks;
    int64_t workers = multiprocessors() / c->share;
    if (tiles > INT32_MAX / 256 || workers == 0)
        return DLQ_K_W8_BAD_CONFIG;
    p->whole = (int)tiles;
    const int rc = c->split == 0 ? plan_share(p, g, c, tiles, &workers) : 0;
    if (cluster || (c->split == 1 && tiles < workers))
        workers = tiles;
    if (cluster)
        p->whole = 0;
    for (p->split_log = 0; 1 << p->split_log < c->split;)
        p->split_log++;
    // A group of more token blocks than there are is as good as one of all.
    if (p->group > token_blocks)
        p->group = (int)token_blocks;
    p->token_blocks = (int)token_blocks;
    p->by_share.set(c->share);
    p->by_group.set(p->group);
    p->by_last.set(token_blocks % p->group ? (int)(token_blocks % p->group) : p->group);
    p->by_area.set((int)(row_blocks * p->group));
    p->by_k.set(p->k_blocks);
    p->lag = tiles > workers && warpgroups == 2;
    pl->cluster = cluster ? c->split : c->share;
    pl->threads = 128 + 128 * (unsigned)warpgroups;
    p->workers = (int)(cluster ? workers * c->split : workers);
    pl->grid = dim3((unsigned)(workers * pl->cluster));
    p->x_box = c->tokens / c->share;
    pl->x_box = (unsigned)p->x_box;
    return rc;
}

int
plan_make(plan *pl, const dlq_k_w8_gemm *g, const dlq_k_w8_config *c)
{
    pl->params.early = g->pdl && !c->late;
    return c->kernel == 0 ? plan_stream(pl, g, c) : plan_tile(pl, g, c);
}

int
prepare_one(const void *kernel)
{
    if (!kernel)
        return 0;
    return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                SM_BYTES - CTA_BYTES);
}

} // namespace

extern "C" bool
dlq_k_w8_available(void)
{
    return true;
}

extern "C" int
dlq_k_w8_prepare(void)
{
    static const int tokens[] = {8, 16, 32, 64, 128, 192, 256};
    int device, major;
    if (cudaGetDevice(&device) != cudaSuccess ||
        cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) != cudaSuccess ||
        major != 9 || multiprocessors() == 0)
        return DLQ_K_W8_NO_DEVICE;
    int rc = 0;
    for (int t : tokens) {
        for (int rows = 64; rows <= 128 && rc == 0; rows += 64)
            rc = prepare_one(dlq_k_w8_stream_i8(rows, t));
        for (int rows = 128; rows <= 256 && rc == 0; rows += 64)
            for (int turn = 0; turn <= 1 && rc == 0; turn++)
                rc = prepare_one(dlq_k_w8_tile_i8(rows, t, turn));
        for (int mode = DLQ_K_W8_FAST; mode <= DLQ_K_W8_BLOCK_SCALED; mode++) {
            for (int rows = 64; rows <= 128 && rc == 0; rows += 64)
                rc = prepare_one(dlq_k_w8_stream_f8(rows, t, mode));
            for (int rows = 128; rows <= 256 && rc == 0; rows += 64)
                for (int turn = 0; turn <= 1 && rc == 0; turn++)
                    rc = prepare_one(dlq_k_w8_tile_f8(rows, t, turn, mode));
        }
    }
    return rc;
}

extern "C" int
dlq_k_w8_can_run(const struct dlq_k_w8_gemm *g)
{
    const int64_t most = g->dtype == DLQ_I8 ? 132104 : 1 << 30;
    if (g->m < 0 || g->n <= 0 || g->k <= 0 || g->m > 1 << 24 || g->n > 1 << 24 || g->k > most ||
        g->ldx < g->k || g->ldy < g->n || (g->layout == DLQ_K_W8_ROWS && g->ldw < g->k))
        return DLQ_K_W8_BAD_SHAPE;
    if ((g->dtype != DLQ_I8 && g->dtype != DLQ_F8_E4M3) ||
        (g->y_dtype != DLQ_F16 && g->y_dtype != DLQ_BF16) ||
        (g->dtype == DLQ_I8 && g->accumulate != DLQ_K_W8_FAST) ||
        (g->dtype != DLQ_I8 && g->x_zero) || g->accumulate < DLQ_K_W8_FAST ||
        g->accumulate > DLQ_K_W8_BLOCK_SCALED ||
        (g->bias && g->bias_dtype != DLQ_F16 && g->bias_dtype != DLQ_BF16 &&
         g->bias_dtype != DLQ_F32))
        return DLQ_K_W8_BAD_DTYPE;
    if ((uintptr_t)g->x % 16 != 0 || (uintptr_t)g->w % 16 != 0 || g->ldx % 16 != 0 ||
        (uintptr_t)g->y % 2 != 0 ||
        (g->layout == DLQ_K_W8_ROWS && (g->ldw % 16 != 0 || g->k % 16 != 0)))
        return DLQ_K_W8_BAD_ALIGN;
    if (g->accumulate == DLQ_K_W8_BLOCK_SCALED &&
        (g->x_scale_ld < g->m || g->x_scale_ld % 4 != 0 || (uintptr_t)g->x_scale % 16 != 0 ||
         g->x_scale_one || g->w_scale_one))
        return DLQ_K_W8_BAD_ALIGN;
    return 0;
}

extern "C" int64_t
dlq_k_w8_workspace_size(const struct dlq_k_w8_gemm *g, int64_t max_m)
{
    return multiprocessors() * dlq_k_w8_shared_outputs(g, max_m) * 4;
}

extern "C" int
dlq_k_w8_gemm_run(const struct dlq_k_w8_gemm *g, const struct dlq_k_w8_config *config,
                  cudaStream_t stream)
{
    int rc = dlq_k_w8_can_run(g);
    if (rc || g->m == 0)
        return rc;
    dlq_k_w8_config c = config ? *config : dlq_k_w8_select(g);
    plan pl = {};
    params_fill(&pl.params, g);
    rc = plan_make(&pl, g, &c);
    if (rc == DLQ_K_W8_BAD_CONFIG && !config && g->workspace) {
        dlq_k_w8_gemm alone = *g;
        alone.workspace = NULL;
        c = dlq_k_w8_select(&alone);
        rc = plan_make(&pl, &alone, &c);
    }
    if (rc == DLQ_K_W8_BAD_CONFIG && !config) {
        c = {0, 128, 8, 1, 1, 1, 0, 0, 0}; // fits every shape
        rc = plan_make(&pl, g, &c);
    }
    if (rc)
        return rc;
    CUtensorMap w_map = {}, x_map = {}, s_map = {}, y_map;
    if (!pl.params.tiles)
        rc = dlq_k_tensormap_2d(&w_map, g->w, 1, (uint64_t)g->n, (uint64_t)g->k, (uint64_t)g->ldw,
                                c.kernel == 0 && c.rows > 64 ? 64 : c.rows, W8_BLOCK_K,
                                DLQ_K_SWIZZLE_128);
    else if (c.kernel == 1)
        rc = dlq_k_tensormap_blocks(&w_map, g->w, 8192, (uint64_t)pl.params.k_padded,
                                    (uint64_t)pl.params.row_blocks, c.rows / 64);
    if (!rc && (c.kernel == 1 || c.tokens >= 64))
        rc = dlq_k_tensormap_2d(&x_map, g->x, 1, (uint64_t)g->m, (uint64_t)g->k, (uint64_t)g->ldx,
                                pl.x_box, W8_BLOCK_K, DLQ_K_SWIZZLE_128);
    if (!rc && g->accumulate == DLQ_K_W8_BLOCK_SCALED)
        rc = dlq_k_tensormap_2d(&s_map, g->x_scale, 4, (uint64_t)pl.params.k_blocks, (uint64_t)g->m,
                                (uint64_t)g->x_scale_ld * 4, 1, c.tokens, DLQ_K_SWIZZLE_NONE);
    if (!rc && c.kernel == 1)
        rc = dlq_k_tensormap_2d(&y_map, g->y, 2, (uint64_t)g->m, (uint64_t)g->n,
                                (uint64_t)g->ldy * 2, 64, 64, DLQ_K_SWIZZLE_128);
    if (rc)
        return DLQ_K_W8_NO_DEVICE;
    void *stream_args[] = {&w_map, &x_map, &s_map, &pl.params};
    void *tile_args[] = {&w_map, &x_map, &s_map, &y_map, &pl.params};
    const dlq::launch_config launch(pl.grid, pl.threads, pl.shared, pl.params.early, stream,
                                    pl.cluster);
    return cudaLaunchKernelExC(&launch.config, pl.kernel, c.kernel == 0 ? stream_args : tile_args);
}
