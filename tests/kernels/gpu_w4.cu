// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// Check and bench of the W4A16 kernels on a GPU.
//   gpu_w4 check                    packing byte by byte, odd shapes, every type and group; "N
//   passed, N failed" gpu_w4 run K N M KERNEL TILE SPLIT CTAS   a few calls, for a profiler gpu_w4
//   tune PLANS RESULTS M... [-s KxN]    every plan at the eight bar shapes, checked before it is
//   timed
// Lines of PLANS (kernels/cuda/w4_table.py makes the table from them):
// k,n,m,kernel,tile,split,ctas,us,us_pdl,error Lines of RESULTS, the best plans:
// op,m,k,n,us,us_pdl,err
#include "gpu_harness.cuh"
#include "kernels/cuda/sm90_w4.h"

#include <string.h>
#include <unistd.h>

struct problem {
    int n, k, group, bf16, symmetric, ct; // ct: pack-quantized source
    int size, groups;                     // of the checkpoint
    uint32_t *weights, *zeros;
    uint16_t *scales;
    char *packed;
    size_t packed_bytes;
    int copies;
};

static __device__ __forceinline__ double
weight_at(const struct problem &p, int row, int col)
{
    const int g = col / p.size, shift = row % 2 * 16 + row % 8 / 2 * 4;
    const unsigned q =
        p.ct ? p.weights[(size_t)row * ((p.k + 7) / 8) + col / 8] >> 4 * (col % 8) & 15
             : p.weights[(size_t)col * (p.n / 8) + row / 8] >> shift & 15;
    const unsigned z = p.symmetric ? 8
                       : p.ct      ? p.zeros[(size_t)(row / 8) * p.groups + g] >> 4 * (row % 8) & 15
                                   : p.zeros[(size_t)g * (p.n / 8) + row / 8] >> shift & 15;
    const uint16_t s =
        p.ct ? p.scales[(size_t)row * p.groups + g] : p.scales[(size_t)g * p.n + row];
    return ((int)q - (int)z) * (double)harness_value(s, p.bf16);
}

// More bits than the outputs have.
static __global__ void
fill_bias(float *bias, int n)
{
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
        bias[i] = harness_normal(i, 5);
}

static __global__ void
reference_kernel(const struct problem p, const uint16_t *x, int64_t ldx, const float *bias,
                 const int *tokens, int count, double *reference, double *absolute)
{
    constexpr int T = 8; // tokens of a thread
    const int row = blockIdx.x * blockDim.x + threadIdx.x, first = blockIdx.y * T;
    if (row >= p.n)
        return;
    double sum[T] = {0}, abs_sum[T] = {0};
    for (int col = 0; col < p.k; col++) {
        const double w = weight_at(p, row, col);
        for (int t = 0; t < T; t++)
            if (first + t < count) {
                const double v = w * harness_value(x[tokens[first + t] * ldx + col], p.bf16);
                sum[t] += v;
                abs_sum[t] += fabs(v);
            }
    }
    for (int t = 0; t < T; t++)
        if (first + t < count) {
            reference[(size_t)(first + t) * p.n + row] = sum[t] + (bias ? (double)bias[row] : 0);
            absolute[(size_t)(first + t) * p.n + row] = abs_sum[t];
        }
}

static struct dlq_k_w4_source
source_of(const struct problem *p)
{
    struct dlq_k_w4_source s = {
        p->n, p->k, p->group, p->bf16, p->weights, p->symmetric ? NULL : p->zeros, p->scales};
    return s;
}

static size_t
words_of(const struct problem *p)
{
    return p->ct ? (size_t)p->n * ((p->k + 7) / 8) : (size_t)p->k * (p->n / 8);
}

static size_t
zero_words_of(const struct problem *p)
{
    return p->ct ? (size_t)((p->n + 7) / 8) * p->groups : (size_t)p->groups * (p->n / 8);
}

// Random checkpoint tensors, packed into `copies` copies side by side.
static void
problem_create(struct problem *p, int copies)
{
    p->size = p->group ? p->group : p->k;
    p->groups = (p->k + p->size - 1) / p->size;
    p->copies = copies;
    p->packed_bytes = (dlq_k_w4_packed_bytes(p->n, p->k, p->group) + 255) / 256 * 256;
    HARNESS_CUDA(cudaMalloc(&p->weights, words_of(p) * 4));
    HARNESS_CUDA(cudaMalloc(&p->zeros, zero_words_of(p) * 4));
    HARNESS_CUDA(cudaMalloc(&p->scales, (size_t)p->groups * p->n * 2));
    HARNESS_CUDA(cudaMalloc(&p->packed, p->packed_bytes * copies));
    harness_fill_words<<<1024, 256>>>(p->weights, words_of(p), 1);
    harness_fill_words<<<1024, 256>>>(p->zeros, zero_words_of(p), 2);
    harness_fill_normal<<<1024, 256>>>(p->scales, (size_t)p->groups * p->n, 3, 0.01f, 0.003f,
                                       p->bf16);
    HARNESS_CUDA(cudaMemset(p->packed, 0xff, p->packed_bytes));
    const struct dlq_k_w4_source s = source_of(p);
    const int err =
        p->ct ? dlq_k_w4_pack_ct_gpu(&s, p->packed, 0) : dlq_k_w4_pack_awq_gpu(&s, p->packed, 0);
    if (err) {
        fprintf(stderr, "packing failed: %d\n", err);
        exit(2);
    }
    HARNESS_CUDA(cudaDeviceSynchronize());
    for (int i = 1; i < copies; i++)
        HARNESS_CUDA(cudaMemcpy(p->packed + p->packed_bytes * i, p->packed, p->packed_bytes,
                                cudaMemcpyDeviceToDevice));
}

static void
problem_destroy(struct problem *p)
{
    cudaFree(p->weights);
    cudaFree(p->zeros);
    cudaFree(p->scales);
    cudaFree(p->packed);
}

// One activation matrix with its reference at up to `most` (64) tokens.
struct trial {
    const struct problem *p;
    int m, count;
    int64_t ldx, ldy;
    uint16_t *x, *y, *again;
    float *bias;
    void *workspace;
    size_t workspace_bytes;
    int *tokens;
    double *reference, *absolute;
    struct harness_error *error;
    unsigned long long *counter;
    struct dlq_k_w4_gemm call;
    struct dlq_k_w4_plan plan;
};

// One for the whole process, as an engine would have: enough for every trial.
static void *
shared_workspace(size_t *bytes)
{
    static void *workspace;
    *bytes = dlq_k_w4_workspace_bytes(128, 128, 128, 128);
    if (!workspace)
        HARNESS_CUDA(cudaMalloc(&workspace, *bytes));
    return workspace;
}

static void
trial_create(struct trial *t, const struct problem *p, int m, int most, int with_bias, int pad)
{
    memset(t, 0, sizeof *t);
    t->p = p;
    t->m = m;
    t->count = m < most ? m : most;
    t->ldx = p->k + pad;
    t->ldy = p->n + pad;
    t->workspace = shared_workspace(&t->workspace_bytes);
    HARNESS_CUDA(cudaMalloc(&t->x, (size_t)m * t->ldx * 2));
    HARNESS_CUDA(cudaMalloc(&t->bias, (size_t)p->n * 4));
    HARNESS_CUDA(cudaMalloc(&t->y, (size_t)m * t->ldy * 2));
    HARNESS_CUDA(cudaMalloc(&t->again, (size_t)m * t->ldy * 2));
    HARNESS_CUDA(cudaMalloc(&t->tokens, 64 * sizeof(int)));
    HARNESS_CUDA(cudaMalloc(&t->reference, (size_t)t->count * p->n * 8));
    HARNESS_CUDA(cudaMalloc(&t->absolute, (size_t)t->count * p->n * 8));
    HARNESS_CUDA(cudaMalloc(&t->error, sizeof *t->error));
    HARNESS_CUDA(cudaMalloc(&t->counter, sizeof *t->counter));
    int tokens[64];
    for (int i = 0; i < t->count; i++)
        tokens[i] = (int)((int64_t)i * m / t->count + (m > most ? i % (m / most) : 0));
    HARNESS_CUDA(cudaMemcpy(t->tokens, tokens, sizeof tokens, cudaMemcpyHostToDevice));
    harness_fill_normal<<<1024, 256>>>(t->x, (size_t)m * t->ldx, 4, 0, 1, p->bf16);
    fill_bias<<<64, 256>>>(t->bias, p->n);
    reference_kernel<<<dim3((p->n + 127) / 128, (t->count + 7) / 8), 128>>>(
        *p, t->x, t->ldx, with_bias ? t->bias : NULL, t->tokens, t->count, t->reference,
        t->absolute);
    HARNESS_CUDA(cudaDeviceSynchronize());
    struct dlq_k_w4_gemm call = {m,
                                 p->n,
                                 p->k,
                                 p->group,
                                 p->bf16,
                                 0,
                                 p->packed,
                                 t->x,
                                 t->ldx,
                                 t->y,
                                 t->ldy,
                                 with_bias ? t->bias : NULL,
                                 t->workspace,
                                 t->workspace_bytes};
    t->call = call;
}

static void
trial_destroy(struct trial *t)
{
    cudaFree(t->x);
    cudaFree(t->bias);
    cudaFree(t->y);
    cudaFree(t->again);
    cudaFree(t->tokens);
    cudaFree(t->reference);
    cudaFree(t->absolute);
    cudaFree(t->error);
    cudaFree(t->counter);
}

static int
trial_run(void *context, int i, cudaStream_t stream)
{
    const struct trial *t = (const struct trial *)context;
    struct dlq_k_w4_gemm call = t->call;
    call.packed = t->p->packed + t->p->packed_bytes * (i % t->p->copies);
    return dlq_k_w4_gemm_sm90(&call, &t->plan, stream);
}

// Relative error of one checked run, the second time with PDL, bit for bit; above 1e3 something
// else is wrong. Below 0: the kernel refused.
static double
trial_check(struct trial *t, int rounded)
{
    const size_t bytes = (size_t)t->m * t->ldy * 2;
    HARNESS_CUDA(cudaMemset(t->y, 0xff, bytes));
    HARNESS_CUDA(cudaMemset(t->again, 0xff, bytes));
    HARNESS_CUDA(cudaMemset(t->workspace, 0xff, t->workspace_bytes));
    HARNESS_CUDA(cudaMemset(t->error, 0, sizeof *t->error));
    HARNESS_CUDA(cudaMemset(t->counter, 0, sizeof *t->counter));
    int err = trial_run(t, 0, 0);
    if (err) {
        cudaGetLastError();
        return err < 0 ? -1 : -2;
    }
    // A flag that the first run left set would let the second one read this.
    HARNESS_CUDA(cudaMemset(t->workspace, 0xff, t->workspace_bytes));
    // The table may choose another plan, and so another order of sums, for an early launch.
    const int pdl = t->call.pdl;
    t->call.y = t->again;
    t->call.pdl = t->plan.kernel == DLQ_K_W4_AUTO ? pdl : 1;
    err = trial_run(t, t->p->copies - 1, 0);
    t->call.y = t->y;
    t->call.pdl = pdl;
    harness_compare_kernel<<<256, 256>>>(t->y, t->ldy, t->reference, t->absolute, t->tokens,
                                         t->count, t->p->n, t->p->k, t->p->bf16, rounded, t->error);
    harness_count_different<<<256, 256>>>(t->y, t->again, bytes / 2, t->counter);
    const cudaError_t cuda = cudaDeviceSynchronize();
    if (err || cuda != cudaSuccess) {
        fprintf(stderr, "kernel %d tile %d split %d ctas %d m %d: %s\n", t->plan.kernel,
                t->plan.tile, t->plan.split, t->plan.ctas, t->m, cudaGetErrorString(cuda));
        exit(2);
    }
    struct harness_error e;
    unsigned long long different, missing = 0;
    HARNESS_CUDA(cudaMemcpy(&e, t->error, sizeof e, cudaMemcpyDeviceToHost));
    HARNESS_CUDA(cudaMemcpy(&different, t->counter, sizeof different, cudaMemcpyDeviceToHost));
    if (t->ldy == t->p->n) {
        HARNESS_CUDA(cudaMemset(t->counter, 0, sizeof *t->counter));
        harness_count_nonfinite<<<256, 256>>>(t->y, bytes / 2, t->p->bf16, t->counter);
        HARNESS_CUDA(cudaMemcpy(&missing, t->counter, sizeof missing, cudaMemcpyDeviceToHost));
    }
    if (different)
        return 1e6;
    if (e.bad || missing)
        return 1e5;
    const double error = sqrt(e.error2 / e.reference2);
    return e.beyond && error < 1e3 ? 1e4 + error : error;
}

static double
bound_of(const struct problem *p, int rounded)
{
    return p->bf16 ? (rounded ? 4e-3 : 2.5e-3) : rounded ? 5e-4 : 3e-4;
}

static int passed, failed;

static void
verdict(int good, const char *what, const struct problem *p, int m, const struct trial *t,
        double error)
{
    if (good)
        passed++;
    else {
        failed++;
        printf("FAILED %s: n %d k %d group %d %s %s %s m %d", what, p->n, p->k, p->group,
               p->bf16 ? "bf16" : "fp16", p->ct ? "ct" : "awq",
               p->symmetric ? "symmetric" : "zeros", m);
        if (t)
            printf(" kernel %d tile %d split %d ctas %d: error %g", t->plan.kernel, t->plan.tile,
                   t->plan.split, t->plan.ctas, error);
        printf("\n");
    }
}

static void
check_packing(const struct problem *p)
{
    struct dlq_k_w4_source s = source_of(p);
    const size_t bytes = dlq_k_w4_packed_bytes(p->n, p->k, p->group);
    uint32_t *weights = (uint32_t *)malloc(words_of(p) * 4),
             *zeros = (uint32_t *)malloc(zero_words_of(p) * 4);
    uint16_t *scales = (uint16_t *)malloc((size_t)p->groups * p->n * 2),
             *plain = (uint16_t *)malloc((size_t)p->n * p->k * 2);
    char *cpu = (char *)malloc(bytes), *gpu = (char *)malloc(bytes);
    HARNESS_CUDA(cudaMemcpy(weights, p->weights, words_of(p) * 4, cudaMemcpyDeviceToHost));
    HARNESS_CUDA(cudaMemcpy(zeros, p->zeros, zero_words_of(p) * 4, cudaMemcpyDeviceToHost));
    HARNESS_CUDA(
        cudaMemcpy(scales, p->scales, (size_t)p->groups * p->n * 2, cudaMemcpyDeviceToHost));
    HARNESS_CUDA(cudaMemcpy(gpu, p->packed, bytes, cudaMemcpyDeviceToHost));
    s.weights = weights;
    s.zeros = s.zeros ? zeros : NULL;
    s.scales = scales;
    memset(cpu, 0xee, bytes);
    const int err = p->ct ? dlq_k_w4_pack_ct(&s, cpu) : dlq_k_w4_pack_awq(&s, cpu);
    verdict(!err && !memcmp(cpu, gpu, bytes), "packing", p, 0, NULL, 0);

    uint16_t *out;
    HARNESS_CUDA(cudaMalloc(&out, (size_t)p->n * p->k * 2));
    HARNESS_CUDA(cudaMemset(out, 0xff, (size_t)p->n * p->k * 2));
    const int unpacked = dlq_k_w4_unpack_gpu(p->packed, p->n, p->k, p->group, p->bf16, out, 0);
    HARNESS_CUDA(cudaMemcpy(plain, out, (size_t)p->n * p->k * 2, cudaMemcpyDeviceToHost));
    int same = !unpacked;
    for (int row = 0; row < p->n; row++)
        for (int col = 0; col < p->k; col++) {
            unsigned q;
            uint16_t s16, z16;
            dlq_k_w4_packed_at(cpu, p->n, p->k, p->group, row, col, &q, &s16, &z16);
            const float w = ((float)q - harness_value(z16, p->bf16)) * harness_value(s16, p->bf16);
            const uint16_t bits = p->bf16 ? __bfloat16_as_ushort(__float2bfloat16_rn(w))
                                          : __half_as_ushort(__float2half_rn(w));
            same &= bits == plain[(size_t)row * p->k + col];
        }
    verdict(same, "unpacking", p, 0, NULL, 0);
    cudaFree(out);
    free(weights), free(zeros), free(scales), free(plain), free(cpu), free(gpu);
}

static int
is_rounded(const struct trial *t)
{
    return dlq_k_w4_plan_rounds(&t->call, t->plan.kernel);
}

// The next plan to try after `plan`; 0 at the end.
static int
next_plan(struct dlq_k_w4_plan *plan)
{
    if (plan->ctas < 3) {
        plan->ctas++;
        return 1;
    }
    plan->ctas = 1;
    plan->split = plan->split ? plan->split * 2 : 1;
    if (plan->split <= 8)
        return 1;
    plan->split = 0;
    if (++plan->tile < DLQ_K_W4_TILES)
        return 1;
    plan->tile = 0;
    return ++plan->kernel < DLQ_K_W4_KERNELS;
}

static const struct dlq_k_w4_plan first_plan = {1, 0, 0, 1};

// Every kernel and tile that takes the call, and the table's choice, which must.
static void
check_tiles(struct trial *t)
{
    t->plan = first_plan;
    do {
        const double error = trial_check(t, is_rounded(t));
        if (error == -1)
            continue;
        verdict(error >= 0 && error <= bound_of(t->p, is_rounded(t)), "gemm", t->p, t->m, t, error);
    } while (next_plan(&t->plan));
    const struct dlq_k_w4_plan automatic = {DLQ_K_W4_AUTO, 0, 0, 0};
    t->plan = automatic;
    for (int pdl = 0; pdl < 2; pdl++) {
        t->call.pdl = pdl;
        const double error = trial_check(t, 1);
        verdict(error >= 0 && error <= bound_of(t->p, 1), "gemm by the table", t->p, t->m, t,
                error);
    }
    t->call.pdl = 0;
    t->call.workspace_bytes = 0;
    const double error = trial_check(t, 1);
    verdict(error >= 0 && error <= bound_of(t->p, 1), "gemm without workspace", t->p, t->m, t,
            error);
    t->plan = {DLQ_K_W4_WIDE, 9, 0, 1};
    const int err = trial_run(t, 0, 0);
    verdict(err == DLQ_K_W4_WORKSPACE || err == DLQ_K_W4_ALIGN || err == DLQ_K_W4_VARIANT,
            "a plan that needs a workspace", t->p, t->m, t, err);
    t->call.workspace_bytes = t->workspace_bytes;
}

// Every workspace has flags of its own, as many as there are; last, for none is given back.
static void
check_flags(const struct problem *p)
{
    unsigned *first, *flags, *before = NULL;
    int good = !w4_flags_of((void *)256, 132, &first), served = 1, err = 0;
    for (uintptr_t i = 2; i <= 2 * DLQ_K_W4_WORKSPACES && !err; i++) {
        err = w4_flags_of((void *)(i * 256), 132, &flags);
        good &= err || (flags != first && flags != before);
        before = flags;
        served += !err;
    }
    good &= err == DLQ_K_W4_WORKSPACE && served < DLQ_K_W4_WORKSPACES;
    good &= !w4_flags_of((void *)256, 132, &flags) && flags == first;
    good &= w4_flags_of((void *)256, 1 << 20, &flags) == DLQ_K_W4_WORKSPACE;
    verdict(good, "flags of workspaces", p, 0, NULL, 0);
}

static void
check(void)
{
    static const int shapes[][3] = {{64, 128, 128},    {200, 1152, 128}, {96, 96, 32},
                                    {4096, 4096, 128}, {72, 320, 64},    {1032, 1216, 64},
                                    {136, 1000, 0},    {256, 2048, 32},  {64, 4224, 0},
                                    {40, 172, 0},      {1024, 2048, 256}};
    static const int tokens[] = {1, 3, 8, 9, 16, 17, 32, 33, 64, 100, 128, 200, 256, 300, 513};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (int form = 0; form < 8; form++) {
            struct problem p = {};
            p.n = shapes[s][0], p.k = shapes[s][1], p.group = shapes[s][2];
            p.bf16 = form & 1, p.symmetric = form >> 1 & 1, p.ct = form >> 2 & 1;
            if (p.k % 8 && !p.ct)
                continue;
            problem_create(&p, 1);
            check_packing(&p);
            const int all = form == 0 || form == 5;
            for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) {
                if (!all && tokens[i] % 3 == 0)
                    continue;
                struct trial t;
                trial_create(&t, &p, tokens[i], 64, form & 1, form & 2 ? 8 : form & 4 ? 3 : 0);
                check_tiles(&t);
                trial_destroy(&t);
            }
            problem_destroy(&p);
        }
    const struct problem none = {};
    check_flags(&none);
    printf("%d passed, %d failed, 0 skipped\n", passed, failed);
}

static const int bar_shapes[8][2] = {{4096, 6144},  {4096, 4096}, {4096, 28672}, {14336, 4096},
                                     {8192, 10240}, {8192, 8192}, {8192, 57344}, {28672, 8192}};

static double
time_plan(struct trial *t, int pdl, double ms, double limit)
{
    if (t->m >= 512)
        usleep(ms > 1 ? 30000 : 5000); // long runs meet the power limit
    t->call.pdl = pdl;
    const double us = harness_time(trial_run, t, t->p->copies, ms, limit, cudaStreamPerThread);
    t->call.pdl = 0;
    return us;
}

static void
name_plan(char name[32], struct dlq_k_w4_plan plan)
{
    snprintf(name, 32, "%d:%d/%d*%d", plan.kernel, plan.tile, plan.split, plan.ctas);
}

// One shape and number of tokens: a line of `plans` for every plan, a line of `results` for the
// best, timed again and longer.
static void
tune_cell(struct trial *t, FILE *plans, FILE *results)
{
    const struct problem *p = t->p;
    struct dlq_k_w4_plan best[2] = {first_plan, first_plan};
    double least[2] = {1e30, 1e30}, errors[2] = {0, 0};
    char name[32];
    t->plan = first_plan;
    do {
        const double error = trial_check(t, is_rounded(t));
        if (error == -1)
            continue;
        if (error < 0 || error > bound_of(p, is_rounded(t))) {
            name_plan(name, t->plan);
            printf("WRONG %dx%d m %d plan %s: error %g\n", p->k, p->n, t->m, name, error);
            continue;
        }
        double us[2];
        for (int pdl = 0; pdl < 2; pdl++) {
            us[pdl] = pdl && t->m >= 512 ? us[0] : time_plan(t, pdl, 0.6, 1.3 * least[pdl]);
            if (us[pdl] < least[pdl]) {
                least[pdl] = us[pdl];
                best[pdl] = t->plan;
                errors[pdl] = error;
            }
        }
        fprintf(plans, "%d,%d,%d,%d,%d,%d,%d,%.2f,%.2f,%.2e\n", p->k, p->n, t->m, t->plan.kernel,
                t->plan.tile, t->plan.split, t->plan.ctas, us[0], us[1], error);
    } while (next_plan(&t->plan));
    char names[2][32];
    for (int pdl = 0; pdl < 2; pdl++) {
        t->plan = best[pdl];
        name_plan(names[pdl], best[pdl]);
        least[pdl] = time_plan(t, pdl, 2, 1e30);
    }
    fprintf(results, "w4a16_fp16_zp_g128,%d,%d,%d,%.2f,%.2f,%.1e\n", t->m, p->k, p->n, least[0],
            least[1], errors[0] > errors[1] ? errors[0] : errors[1]);
    printf("%dx%d m %d %.2f (%s) PDL %.2f (%s)\n", p->k, p->n, t->m, least[0], names[0], least[1],
           names[1]);
    fflush(stdout);
}

static FILE *
append(const char *path)
{
    FILE *file = fopen(path, "a");
    if (!file) {
        perror(path);
        exit(2);
    }
    return file;
}

static void
tune(const char *plans_path, const char *results_path, const int *ms, int count, const char *only)
{
    FILE *plans = append(plans_path), *results = append(results_path);
    for (int s = 0; s < 8; s++) {
        struct problem p = {};
        p.k = bar_shapes[s][0], p.n = bar_shapes[s][1], p.group = 128;
        char name[32];
        snprintf(name, sizeof name, "%dx%d", p.k, p.n);
        if (only && strcmp(only, name))
            continue;
        problem_create(&p, (int)(300000000 / dlq_k_w4_packed_bytes(p.n, p.k, p.group)) + 1);
        for (int i = 0; i < count; i++) {
            struct trial t;
            trial_create(&t, &p, ms[i], 16, 0, 0);
            tune_cell(&t, plans, results);
            trial_destroy(&t);
        }
        problem_destroy(&p);
    }
    fclose(plans);
    fclose(results);
}

// One plan, a few calls: what a profiler looks at.
static void
run(int k, int n, int m, struct dlq_k_w4_plan plan)
{
    struct problem p = {};
    p.k = k, p.n = n, p.group = 128;
    problem_create(&p, 2);
    struct trial t;
    trial_create(&t, &p, m, 64, 0, 0);
    t.plan = plan;
    const double error = trial_check(&t, is_rounded(&t));
    printf("%dx%d m %d: error %g, %.2f us\n", k, n, m, error,
           harness_time(trial_run, &t, 2, 1, 1e9, cudaStreamPerThread));
    trial_destroy(&t);
    problem_destroy(&p);
}

int
main(int argc, char **argv)
{
    int devices = 0;
    if (cudaGetDeviceCount(&devices) != cudaSuccess || devices < 1) {
        printf("0 passed, 0 failed, all skipped: no CUDA device\n");
        return 77;
    }
    if (argc >= 9 && !strcmp(argv[1], "run")) {
        const struct dlq_k_w4_plan plan = {atoi(argv[5]), atoi(argv[6]), atoi(argv[7]),
                                           atoi(argv[8])};
        run(atoi(argv[2]), atoi(argv[3]), atoi(argv[4]), plan);
        return 0;
    }
    if (argc >= 2 && !strcmp(argv[1], "check")) {
        check();
        return failed != 0;
    }
    if (argc >= 5 && !strcmp(argv[1], "tune")) {
        int ms[32], count = 0;
        const char *only = NULL;
        for (int i = 4; i < argc && count < 32; i++)
            if (!strcmp(argv[i], "-s") && i + 1 < argc)
                only = argv[++i];
            else
                ms[count++] = atoi(argv[i]);
        tune(argv[2], argv[3], ms, count, only);
        return 0;
    }
    fprintf(stderr, "usage: gpu_w4 check | gpu_w4 tune PLANS RESULTS M... [-s KxN] | gpu_w4 run K "
                    "N M KERNEL TILE SPLIT CTAS\n");
    return 2;
}
