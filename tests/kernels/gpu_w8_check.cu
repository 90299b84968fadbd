// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// Checks of every variant of the products: exact bits for int8, the error bound for FP8; poisoned
// outputs, guard bands, bitwise repeat.
#include "gpu_sampled.h"
#include "gpu_w8.cuh"

#include <math.h>

namespace
{

// One set of buffers for all product cases.
struct arena {
    uint8_t *x, *w, *packed;
    uint8_t *y_block;
    float *x_scale, *w_scale, *bias;
    int32_t *zero, *sums;
    void *workspace;
};

enum { CHECK_M = 1100, CHECK_N = 6144, CHECK_K = 4224 };

void
arena_fill(struct arena *a, bool f8)
{
    fill_codes(a->x, (size_t)CHECK_M * CHECK_K, f8, 1);
    fill_codes(a->w, (size_t)CHECK_N * CHECK_K, f8, 2);
    fill_floats(a->x_scale, CHECK_M * 40, 0.001f, 0.01f, 3);
    fill_floats(a->w_scale, CHECK_N * 40, -0.0005f, 0.001f, 4);
    fill_floats(a->bias, CHECK_N, -2.0f, 2.0f, 5);
}

void
arena_make(struct arena *a)
{
    CUDA_OK(cudaMalloc(&a->x, (size_t)CHECK_M * CHECK_K));
    CUDA_OK(cudaMalloc(&a->w, (size_t)CHECK_N * CHECK_K));
    CUDA_OK(cudaMalloc(&a->packed, (size_t)CHECK_N * CHECK_K + (4 << 20)));
    CUDA_OK(cudaMalloc(&a->y_block, (size_t)CHECK_M * (CHECK_N + 64) * 2 + 2 * GUARD));
    CUDA_OK(cudaMalloc(&a->x_scale, CHECK_M * 40 * 4));
    CUDA_OK(cudaMalloc(&a->w_scale, CHECK_N * 40 * 4));
    CUDA_OK(cudaMalloc(&a->bias, CHECK_N * 4));
    CUDA_OK(cudaMalloc(&a->zero, CHECK_M * 4));
    CUDA_OK(cudaMalloc(&a->sums, CHECK_N * 4));
    CUDA_OK(cudaMalloc(&a->workspace, WORKSPACE));
    int32_t zero[CHECK_M];
    for (int i = 0; i < CHECK_M; i++)
        zero[i] = i * 37 % 256 - 128;
    CUDA_OK(cudaMemcpy(a->zero, zero, sizeof zero, cudaMemcpyHostToDevice));
}

struct tally {
    int passed;
    int failed;
    int refused;
    double worst, limit, share; // the largest of the verdicts
};

struct problem
problem_make(const struct arena *a, int64_t m, int64_t n, int64_t k, uint32_t dtype, int mode,
             int layout, unsigned variation)
{
    struct problem p = {};
    struct dlq_k_w8_gemm *g = &p.g;
    g->m = m;
    g->n = n;
    g->k = k;
    g->ldx = (k + 15) / 16 * 16 + (variation & 1 ? 16 : 0);
    g->ldw = (k + 15) / 16 * 16;
    g->ldy = n % 8 == 0 ? n + (variation & 2 ? 8 : 0) : n;
    g->x = a->x;
    g->layout = layout;
    g->w = layout == DLQ_K_W8_TILES ? a->packed : a->w;
    g->y = a->y_block + GUARD;
    g->x_scale = a->x_scale;
    g->w_scale = a->w_scale;
    g->x_scale_ld = (m + 3) / 4 * 4 + 4;
    g->dtype = dtype;
    g->accumulate = mode;
    g->y_dtype = (uint32_t)((variation & 4) ? (uint32_t)DLQ_BF16 : (uint32_t)DLQ_F16);
    if (variation & 8) {
        g->bias = a->bias;
        g->bias_dtype = DLQ_F32;
    }
    if ((variation & 16) && dtype == DLQ_I8) {
        g->x_zero = a->zero;
        g->w_sum = a->sums;
    }
    if (mode != DLQ_K_W8_BLOCK_SCALED) {
        g->x_scale_one = variation & 32;
        g->w_scale_one = variation & 64;
    }
    g->pdl = variation & 128;
    if (!(variation & 256)) {
        g->workspace = a->workspace;
        g->workspace_bytes = WORKSPACE;
    }
    p.y_block = a->y_block;
    p.y_bytes = (size_t)(m * g->ldy * 2 + 15) / 16 * 16;
    return p;
}

void
check_case(const struct arena *a, struct problem *p, const struct dlq_k_w8_config *c,
           struct tally *t)
{
    if (!GPU_SAMPLED())
        return;
    poison(p);
    const int rc = dlq_k_w8_gemm_run(&p->g, c, 0);
    if (rc == DLQ_K_W8_BAD_CONFIG && c) {
        t->refused++;
        return;
    }
    CUDA_OK(rc);
    CUDA_OK(cudaDeviceSynchronize());
    const unsigned long long first = digest(p);
    const struct verdict v = judge(p, a->w, p->g.ldw);
    poison(p);
    CUDA_OK(dlq_k_w8_gemm_run(&p->g, c, 0));
    CUDA_OK(dlq_k_w8_gemm_run(&p->g, c, 0));
    const bool repeat = digest(p) == first;
    t->worst = fmax(t->worst, v.worst);
    t->limit = fmax(t->limit, v.limit);
    t->share = fmax(t->share, v.share);
    if (v.wrong == 0 && v.unwritten == 0 && v.outside == 0 && repeat) {
        t->passed++;
        return;
    }
    if (t->failed++ < 40)
        printf("  FAIL m %lld n %lld k %lld dtype %x mode %d layout %d zero %d bias %d: kernel %d "
               "rows %d tokens %d split %d share %d sm %d turn %d: wrong %llu unwritten %llu "
               "outside %llu repeat %d rel %.2e\n",
               (long long)p->g.m, (long long)p->g.n, (long long)p->g.k, p->g.dtype, p->g.accumulate,
               p->g.layout, p->g.x_zero != NULL, p->g.bias != NULL, c ? c->kernel : -1,
               c ? c->rows : 0, c ? c->tokens : 0, c ? c->split : 0, c ? c->share : 0,
               c ? c->per_sm : 0, c ? c->pingpong : 0, v.wrong, v.unwritten, v.outside, repeat,
               sqrt(v.err2 / v.ref2));
}

void
check_shape(const struct arena *a, int64_t n, int64_t k, uint32_t dtype, int mode, struct tally *t)
{
    static const int token_list[] = {8, 16, 32, 64, 128, 192, 256};
    enum { WAYS = 21, FEWER_ROWS = 4 };
    unsigned variation = (unsigned)(n * 7 + k + mode), others = variation;
    const int64_t ldw = (k + 15) / 16 * 16;
    CUDA_OK(dlq_k_w8_pack(a->packed, a->w, n, k, ldw, 0));
    if (dtype == DLQ_I8)
        CUDA_OK(dlq_k_w8_row_sums(a->sums, a->w, n, k, ldw, 0));
    for (int tokens : token_list)
        for (int layout = k % 16 == 0 ? DLQ_K_W8_ROWS : DLQ_K_W8_TILES; layout <= DLQ_K_W8_TILES;
             layout++)
            for (int share = 1; share <= 4; share *= 2, others += WAYS + FEWER_ROWS)
                for (int how = 0; how < WAYS + FEWER_ROWS; how++) {
                    // 0..7: stream with 64 or 128 rows and 1, 2, 4, 8 parts; 8, 9: tile, whole or
                    // shared; 10, 11: in turn; 12, 13: with 256 rows; 14..17: split by clusters;
                    // 18..20: with 192 rows, shared, whole and split; 21..24: stream with fewer
                    // rows
                    const unsigned v = how < WAYS ? variation++ : others + (unsigned)how;
                    struct dlq_k_w8_config c = {};
                    c.kernel = how >= 8 && how < WAYS;
                    c.rows = (uint16_t)(how >= WAYS                 ? 32 + 8 * (how - WAYS)
                                        : how >= 18                 ? 192
                                        : how >= 16 || how / 2 == 6 ? 256
                                        : how >= 8                  ? 128
                                                                    : 64 << (how >> 2));
                    c.tokens = (uint16_t)tokens;
                    c.split = (uint8_t)(how >= WAYS ? 1
                                        : how >= 18 ? how - 18
                                        : how >= 14 ? 2 << (how & 1)
                                        : how >= 8  ? how & 1
                                                    : 1 << (how & 3));
                    c.share = (uint8_t)share;
                    c.per_sm = (uint8_t)(1 + (v >> 1) % 2);
                    c.pingpong = how == 10 || how == 11;
                    c.group = (uint8_t)(1 + v % 9);
                    const int64_t ms[4] = {1, tokens - 3, tokens + 5, 4 * tokens + 1};
                    const int64_t m = ms[v % 4] > CHECK_M ? (int64_t)CHECK_M : ms[v % 4];
                    struct problem p = problem_make(a, m, n, k, dtype, mode, layout,
                                                    (v * 2654435761u >> 20) & ~256u);
                    check_case(a, &p, &c, t);
                }
    for (int64_t m : {1, 5, 16, 33, 93, 128, 257, 512, 1000}) {
        struct problem p = problem_make(a, m, n, k, dtype, mode, DLQ_K_W8_TILES, variation++);
        check_case(a, &p, NULL, t);
    }
}

int
check_refusals(const struct arena *a)
{
    int bad = 0;
    struct problem p = problem_make(a, 4, 64, 128, DLQ_I8, DLQ_K_W8_FAST, DLQ_K_W8_ROWS, 0);
    const struct dlq_k_w8_gemm good = p.g;
    struct dlq_k_w8_gemm g;
#define REFUSES(change, code)                                                                      \
    g = good;                                                                                      \
    change;                                                                                        \
    if (dlq_k_w8_can_run(&g) != code || dlq_k_w8_gemm_run(&g, NULL, 0) != code) {                  \
        printf("  not refused: %s\n", #change);                                                    \
        bad++;                                                                                     \
    }
    REFUSES(g.k = 120, DLQ_K_W8_BAD_ALIGN)
    REFUSES(g.ldw = 136, DLQ_K_W8_BAD_ALIGN)
    REFUSES(g.ldx = 100, DLQ_K_W8_BAD_SHAPE)
    REFUSES(g.k = g.ldx = g.ldw = 132112, DLQ_K_W8_BAD_SHAPE)
    REFUSES(g.x = a->x + 8, DLQ_K_W8_BAD_ALIGN)
    REFUSES(g.y_dtype = DLQ_F32, DLQ_K_W8_BAD_DTYPE)
    REFUSES(g.accumulate = DLQ_K_W8_PROMOTED, DLQ_K_W8_BAD_DTYPE)
    REFUSES(g.n = 0, DLQ_K_W8_BAD_SHAPE)
    g = good;
    g.m = 0;
    if (dlq_k_w8_gemm_run(&g, NULL, 0) != 0) {
        printf("  m 0 is not an empty result\n");
        bad++;
    }
    return bad;
}

} // namespace

int
check_gemm(bool quick)
{
    static const struct {
        int64_t n, k;
    } list[] = {{128, 128}, {255, 513}, {104, 496}, {3420, 1280}, {4096, 4096}, {24, 33}};
    struct arena a = {};
    struct tally t = {};
    arena_make(&a);
    arena_fill(&a, false);
    t.failed += check_refusals(&a);
    const int count = quick ? 3 : 6;
    for (int i = 0; i < count; i++)
        check_shape(&a, list[i].n, list[i].k, DLQ_I8, DLQ_K_W8_FAST, &t);
    printf("gemm int8: %d passed, %d failed, %d configurations refused\n", t.passed, t.failed,
           t.refused);
    arena_fill(&a, true);
    int failed = t.failed;
    for (int mode = DLQ_K_W8_FAST; mode <= DLQ_K_W8_BLOCK_SCALED; mode++) {
        t = {};
        for (int i = 0; i < count; i++)
            check_shape(&a, list[i].n, list[i].k, DLQ_F8_E4M3, mode, &t);
        printf("gemm fp8 mode %d: %d passed, %d failed, %d configurations refused, error at most "
               "an ulp + %.2e sum |x w| and %.2f of its limit, limits at most %.2e\n",
               mode, t.passed, t.failed, t.refused, t.worst, t.share, t.limit);
        failed += t.failed;
    }
    return failed;
}
