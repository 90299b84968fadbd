// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// Times of unquantized layers beside cuBLASLt called directly.
extern "C" {
#include "kernels/gpu_dense.h"
}

#include "gpu_ops.cuh"
#include "kernels/cuda/cublaslt.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

namespace ops
{

namespace
{

struct timed {
    struct dlq_kg_dense w;
    struct dlq_kg_call call;
    const uint8_t *weights;
    size_t bytes; // of one copy of the weights
    int copies;
    // The library called directly.
    cublasLtHandle_t handle;
    cublasLtMatmulDescOpaque_t desc;
    cublasLtMatrixLayoutOpaque_t a, b, d;
    cublasLtMatmulAlgo_t algo;
};

int
call_ours(void *context, int i, cudaStream_t stream)
{
    struct timed *const t = (struct timed *)context;
    struct dlq_kg_dense w = t->w;
    w.weights = t->weights + (size_t)(i % t->copies) * t->bytes;
    t->call.stream = stream;
    return dlq_kg_dense()->apply(&w, &t->call);
}

int
call_direct(void *context, int i, cudaStream_t stream)
{
    struct timed *const t = (struct timed *)context;
    const float one = 1.0f, zero = 0.0f;
    return dlq_cublaslt_load()->matmul(t->handle, &t->desc, &one,
                                       t->weights + (size_t)(i % t->copies) * t->bytes, &t->a,
                                       t->call.x, &t->b, &zero, t->call.y, &t->d, t->call.y, &t->d,
                                       &t->algo, t->call.workspace, 32 << 20, stream);
}

// As an engine without this library would: the heuristic's first for this very shape, a bf16 bias.
bool
direct_setup(struct timed *t, int64_t m, const void *bias)
{
    const dlq_cublaslt *const lt = dlq_cublaslt_load();
    const uint64_t k = (uint64_t)t->w.desc.k, n = (uint64_t)t->w.desc.n;
    const cublasOperation_t transposed = CUBLAS_OP_T;
    const cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_BIAS;
    const uint64_t workspace = 32 << 20;
    cublasLtMatmulPreferenceOpaque_t pref;
    cublasLtMatmulHeuristicResult_t result;
    int found = 0;
    bool bad =
        lt->desc_init(&t->desc, sizeof(t->desc), CUBLAS_COMPUTE_32F, CUDA_R_32F) ||
        lt->desc_set(&t->desc, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof(transposed)) ||
        lt->layout_init(&t->a, sizeof(t->a), CUDA_R_16BF, k, n, (int64_t)k) ||
        lt->layout_init(&t->b, sizeof(t->b), CUDA_R_16BF, k, (uint64_t)m, (int64_t)k) ||
        lt->layout_init(&t->d, sizeof(t->d), CUDA_R_16BF, n, (uint64_t)m, (int64_t)n) ||
        lt->preference_init(&pref, sizeof(pref)) ||
        lt->preference_set(&pref, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace,
                           sizeof(workspace));
    if (bias) {
        bad = bad ||
              lt->desc_set(&t->desc, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof(epilogue)) ||
              lt->desc_set(&t->desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof(bias));
    }
    bad =
        bad ||
        lt->heuristic(t->handle, &t->desc, &t->a, &t->b, &t->d, &t->d, &pref, 1, &result, &found) ||
        found < 1;
    t->algo = result.algo;
    return !bad;
}

enum { TURNS = 3, MOST_TURNS = 9 };

double
middle_of(double *us, int count)
{
    for (int i = 1; i < count; i++) {
        for (int j = i; j > 0 && us[j] < us[j - 1]; j--) {
            const double swap = us[j];
            us[j] = us[j - 1];
            us[j - 1] = swap;
        }
    }
    return us[count / 2];
}

void
bench_shape(struct timed *t, uint8_t *x, uint8_t *y, int64_t k, int64_t n, size_t w_bytes,
            const float *bias, void *narrow, int turns, cudaStream_t stream)
{
    static const int64_t ms[] = {1, 16, 64, 100, 256, 1000, 2048, 4096};
    struct dlq_kg_dense_desc desc = {};
    desc.k = k;
    desc.n = n;
    desc.device = device_info();
    desc.dtype = DLQ_BF16;
    desc.act_dtype = DLQ_BF16;
    check(dlq_kg_dense()->plan(&t->w, &desc) == 0, "bench plan");
    timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    check(dlq_kg_dense()->prepare(&t->w, t->weights, 0) == 0 &&
              dlq_kg_dense()->keep_bias(&t->w, bias, narrow) == 0 && t->w.narrow == narrow,
          "bench prepare");
    clock_gettime(CLOCK_MONOTONIC, &to);
    printf("dense bf16 k %ld n %ld: prepare %.2f ms, workspace %.1f MiB\n", (long)k, (long)n,
           (double)(to.tv_sec - from.tv_sec) * 1e3 + (double)(to.tv_nsec - from.tv_nsec) * 1e-6,
           (double)dlq_kg_dense()->workspace_size(&t->w, 4096) / 1048576);
    t->bytes = (size_t)(k * n) * 2;
    t->copies = (int)(300000000 / t->bytes + 1);
    while ((size_t)t->copies * t->bytes > w_bytes) {
        t->copies--;
    }
    for (int64_t m : ms) {
        // Without a bias, with one that bf16 holds, with one that takes the second kernel.
        for (int with = 0; with <= 2; with++) {
            t->call.m = m;
            t->call.x = x;
            t->call.x_stride = k;
            t->call.y = y;
            t->call.y_stride = n;
            t->call.bias = with ? bias : nullptr;
            t->w.bias = bias;
            t->w.narrow = with == 1 ? narrow : nullptr;
            if (!direct_setup(t, m, with ? narrow : nullptr)) {
                printf("dense m %ld: the library has no algorithm\n", (long)m);
                continue;
            }
            // In alternation, so that the clock's moods meet both, and large products after a
            // pause: at the power limit two runs of one algorithm differ by a tenth.
            double ours[MOST_TURNS], direct[MOST_TURNS];
            for (int i = 0; i < 2 * turns; i++) {
                if (m >= 1000) {
                    usleep(30000);
                }
                if ((i + i / 2) % 2 == 0) {
                    ours[i / 2] = harness_time(call_ours, t, t->copies, 1.5, 1e9, stream);
                } else {
                    direct[i / 2] = harness_time(call_direct, t, t->copies, 1.5, 1e9, stream);
                }
            }
            const double a = middle_of(ours, turns), b = middle_of(direct, turns);
            printf("dense bf16 m %ld k %ld n %ld%s: %.2f us, direct %.2f us, ratio %.3f\n", (long)m,
                   (long)k, (long)n,
                   with == 0   ? ""
                   : with == 1 ? " bias"
                               : " fp32 bias",
                   a, b, b / a);
        }
    }
    dlq_kg_dense()->release(&t->w);
}

} // namespace

// Beyond the library's own call with the same algorithm.
void
check_host_dense(double limit)
{
    enum { K = 4096, N = 4096, MAX_M = 1024 };
    const dlq_cublaslt *const lt = dlq_cublaslt_load();
    if (!lt) {
        counts.skipped++;
        return;
    }
    struct timed t = {};
    struct dlq_kg_dense_desc desc = {};
    cudaStream_t stream;
    void *w, *x;
    desc.k = K;
    desc.n = N;
    desc.device = device_info();
    desc.dtype = desc.act_dtype = DLQ_BF16;
    t.call.workspace_size = 128u << 20;
    t.call.x_stride = K;
    t.call.y_stride = N;
    t.copies = 1;
    HARNESS_CUDA(cudaStreamCreate(&stream));
    HARNESS_CUDA(cudaMalloc(&w, (size_t)K * N * 2));
    HARNESS_CUDA(cudaMalloc(&x, (size_t)MAX_M * K * 2));
    HARNESS_CUDA(cudaMalloc(&t.call.y, (size_t)MAX_M * N * 2));
    HARNESS_CUDA(cudaMalloc(&t.call.workspace, t.call.workspace_size));
    HARNESS_CUDA(cudaMemset(w, 0x3c, (size_t)K * N * 2));
    HARNESS_CUDA(cudaMemset(x, 0x3c, (size_t)MAX_M * K * 2));
    t.weights = (const uint8_t *)w;
    t.call.x = x;
    check(dlq_kg_dense()->plan(&t.w, &desc) == 0 && dlq_kg_dense()->prepare(&t.w, w, MAX_M) == 0 &&
              !lt->create(&t.handle),
          "host: dense is ready");
    for (int64_t m : {1, 64, 1024}) {
        char what[64];
        snprintf(what, sizeof(what), "dense m %ld, the library's call", (long)m);
        t.call.m = m;
        check(direct_setup(&t, m, nullptr), "host: %s", what);
        check_host_time(call_ours, call_direct, &t, stream, what, limit);
    }
    dlq_kg_dense()->release(&t.w);
    lt->destroy(t.handle);
    for (void *each : {w, x, t.call.y, t.call.workspace}) {
        HARNESS_CUDA(cudaFree(each));
    }
    HARNESS_CUDA(cudaStreamDestroy(stream));
}

void
bench_dense(const char *only)
{
    static const int64_t shapes[][2] = {
        {4096, 6144}, {4096, 4096}, {4096, 28672}, {14336, 4096}, {8192, 8192}};
    const dlq_cublaslt *const lt = dlq_cublaslt_load();
    if (!lt) {
        printf("no cublasLt\n");
        return;
    }
    const size_t w_bytes = 600u << 20;
    struct timed t = {};
    uint8_t *x, *y, *w;
    float *bias;
    void *narrow;
    cudaStream_t stream;
    HARNESS_CUDA(cudaStreamCreate(&stream));
    HARNESS_CUDA(cudaMalloc(&narrow, 28672 * 2));
    HARNESS_CUDA(cudaMalloc(&w, w_bytes));
    HARNESS_CUDA(cudaMalloc(&x, 4096 * 14336 * 2));
    HARNESS_CUDA(cudaMalloc(&y, 4096ull * 28672 * 2));
    HARNESS_CUDA(cudaMalloc(&bias, 28672 * 4));
    HARNESS_CUDA(cudaMemset(bias, 0, 28672 * 4));
    t.call.workspace_size = 128u << 20;
    HARNESS_CUDA(cudaMalloc(&t.call.workspace, t.call.workspace_size));
    harness_fill_normal<<<1024, 256>>>((uint16_t *)w, w_bytes / 2, 1, 0.0f, 0.05f, 1);
    harness_fill_normal<<<1024, 256>>>((uint16_t *)x, 4096 * 14336, 2, 0.0f, 1.0f, 1);
    HARNESS_CUDA(cudaDeviceSynchronize());
    t.weights = w;
    if (lt->create(&t.handle)) {
        printf("cublasLtCreate fails\n");
        return;
    }
    for (const auto &s : shapes) {
        char name[32];
        snprintf(name, sizeof(name), "%ldx%ld", (long)s[0], (long)s[1]);
        if (!only || strcmp(only, name) == 0) {
            bench_shape(&t, x, y, s[0], s[1], w_bytes, bias, narrow, only ? MOST_TURNS : TURNS,
                        stream);
        }
    }
    lt->destroy(t.handle);
    HARNESS_CUDA(cudaFree(w));
    HARNESS_CUDA(cudaFree(x));
    HARNESS_CUDA(cudaFree(y));
    HARNESS_CUDA(cudaFree(bias));
    HARNESS_CUDA(cudaFree(narrow));
    HARNESS_CUDA(cudaFree(t.call.workspace));
    HARNESS_CUDA(cudaStreamDestroy(stream));
}

} // namespace ops
