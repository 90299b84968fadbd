// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
#include "gpu_w4.cuh"

// The word of a weight's code and where in it the code begins.
static __device__ __forceinline__ uint32_t *
code_at(const struct problem &p, int row, int col, int *shift)
{
    *shift = p.ct ? 4 * (col % 8) : row % 2 * 16 + row % 8 / 2 * 4;
    return p.ct ? p.weights + (size_t)row * ((p.k + 7) / 8) + col / 8
                : p.weights + (size_t)col * (p.n / 8) + row / 8;
}

static __device__ __forceinline__ unsigned
zero_at(const struct problem &p, int row, int col)
{
    const int g = col / p.size, shift = row % 2 * 16 + row % 8 / 2 * 4;
    return p.symmetric ? 8
           : p.ct      ? p.zeros[(size_t)(row / 8) * p.groups + g] >> 4 * (row % 8) & 15
                       : p.zeros[(size_t)g * (p.n / 8) + row / 8] >> shift & 15;
}

static __device__ __forceinline__ double
weight_at(const struct problem &p, int row, int col)
{
    int shift;
    const unsigned q = *code_at(p, row, col, &shift) >> shift & 15;
    const int g = col / p.size;
    const uint16_t s =
        p.ct ? p.scales[(size_t)row * p.groups + g] : p.scales[(size_t)g * p.n + row];
    return ((int)q - (int)zero_at(p, row, col)) * (double)harness_value(s, p.bf16);
}

// Activations have outliers in one column, which half of the outputs do not weigh, and one output
// weighs none.
static __host__ __device__ __forceinline__ int
outlier_column(const struct problem &p)
{
    return p.k / 3;
}

static __global__ void
weigh_nothing(const struct problem p, bool output)
{
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < (output ? p.k : (p.n + 1) / 2);
         i += gridDim.x * blockDim.x) {
        const int row = output ? p.n / 2 : 2 * i, col = output ? i : outlier_column(p);
        int shift;
        uint32_t *word = code_at(p, row, col, &shift);
        const uint32_t change = (*word >> shift ^ zero_at(p, row, col)) & 15;
        atomicXor(word, change << shift);
    }
}

static __global__ void
fill_outliers(const struct problem p, uint16_t *x, int64_t ldx, int m)
{
    for (int t = 2 + 4 * (int)threadIdx.x; t < m; t += 4 * (int)blockDim.x)
        x[t * ldx + outlier_column(p)] = p.bf16 ? __bfloat16_as_ushort(__float2bfloat16_rn(3000))
                                                : __half_as_ushort(__float2half_rn(3000));
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

struct dlq_k_w4_source
source_of(const struct problem *p)
{
    struct dlq_k_w4_source s = {
        p->n, p->k, p->group, p->bf16, p->weights, p->symmetric ? NULL : p->zeros, p->scales};
    return s;
}

size_t
words_of(const struct problem *p)
{
    return p->ct ? (size_t)p->n * ((p->k + 7) / 8) : (size_t)p->k * (p->n / 8);
}

size_t
zero_words_of(const struct problem *p)
{
    return p->ct ? (size_t)((p->n + 7) / 8) * p->groups : (size_t)p->groups * (p->n / 8);
}

void
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
    weigh_nothing<<<64, 256>>>(*p, false);
    weigh_nothing<<<64, 256>>>(*p, true);
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

void
problem_destroy(struct problem *p)
{
    cudaFree(p->weights);
    cudaFree(p->zeros);
    cudaFree(p->scales);
    cudaFree(p->packed);
}

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

void
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
    fill_outliers<<<1, 128>>>(*p, t->x, t->ldx, m);
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

void
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

int
trial_run(void *context, int i, cudaStream_t stream)
{
    const struct trial *t = (const struct trial *)context;
    struct dlq_k_w4_gemm call = t->call;
    call.packed = t->p->packed + t->p->packed_bytes * (i % t->p->copies);
    return dlq_k_w4_gemm_sm90(&call, &t->plan, stream);
}

double
trial_check(struct trial *t, int rounded)
{
    const size_t bytes = (size_t)t->m * t->ldy * 2;
    int err = trial_run(t, 0, 0); // most plans are refused, and nothing need be cleared for them
    if (err) {
        cudaGetLastError();
        return err < 0 ? -1 : -2;
    }
    HARNESS_CUDA(cudaMemset(t->y, 0xff, bytes));
    HARNESS_CUDA(cudaMemset(t->again, 0xff, bytes));
    HARNESS_CUDA(cudaMemset(t->workspace, 0xff, t->workspace_bytes));
    HARNESS_CUDA(cudaMemset(t->error, 0, sizeof *t->error));
    HARNESS_CUDA(cudaMemset(t->counter, 0, sizeof *t->counter));
    err = trial_run(t, 0, 0);
    // A flag that the first run left set would let the second one read this.
    HARNESS_CUDA(cudaMemset(t->workspace, 0xff, t->workspace_bytes));
    // The table may choose another plan, and so another order of sums, for an early launch.
    const int pdl = t->call.pdl;
    t->call.y = t->again;
    t->call.pdl = t->plan.kernel == DLQ_K_W4_AUTO ? pdl : 1;
    err = err ? err : trial_run(t, t->p->copies - 1, 0);
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

double
bound_of(const struct problem *p, int rounded)
{
    return p->bf16 ? (rounded ? 4e-3 : 2.5e-3) : rounded ? 5e-4 : 3e-4;
}

int
is_rounded(const struct trial *t)
{
    return dlq_k_w4_plan_rounds(&t->call, t->plan.kernel);
}

int
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
