// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// Times of whole quantized layers: rounding of x and product, as a graph of calls; weights of 64 MB
// and more, which no L2 holds.
extern "C" {
#include "kernels/gpu_w8a8.h"
}

#include "gpu_ops_fp.cuh"

#include <string.h>
#include <time.h>

namespace ops
{

namespace
{

enum { K = 8192, N = 8192, MAX_M = 4096 };

struct bed {
    uint8_t *codes; // random bytes, none of them an e4m3 NaN
    float *scales;
    uint16_t *x;
    void *y;
    void *packed;
    void *workspace;
    size_t workspace_size;
    cudaStream_t stream;
};

__global__ void
mask_nan(uint32_t *p, size_t n)
{
    for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < n;
         i += (size_t)gridDim.x * blockDim.x) {
        p[i] &= 0xf7f7f7f7u;
    }
}

__global__ void
fill_scales(float *p, size_t n)
{
    for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < n;
         i += (size_t)gridDim.x * blockDim.x) {
        p[i] = 0.001f + 0.0001f * (float)(i % 7);
    }
}

void
bed_make(bed *b)
{
    const size_t scales = (size_t)N * K / 16;
    b->workspace_size = 1024u << 20;
    HARNESS_CUDA(cudaMalloc(&b->codes, (size_t)N * K));
    HARNESS_CUDA(cudaMalloc(&b->scales, scales * 4));
    HARNESS_CUDA(cudaMalloc(&b->x, (size_t)MAX_M * K * 4));
    HARNESS_CUDA(cudaMalloc(&b->y, (size_t)MAX_M * N * 4));
    HARNESS_CUDA(cudaMalloc(&b->packed, 256u << 20));
    HARNESS_CUDA(cudaMalloc(&b->workspace, b->workspace_size));
    HARNESS_CUDA(cudaStreamCreate(&b->stream));
    harness_fill_words<<<1024, 256>>>((uint32_t *)b->codes, (size_t)N * K / 4, 1);
    mask_nan<<<1024, 256>>>((uint32_t *)b->codes, (size_t)N * K / 4);
    fill_scales<<<1024, 256>>>(b->scales, scales);
    harness_fill_normal<<<1024, 256>>>(b->x, (size_t)MAX_M * K * 2, 2, 0.0f, 1.0f, 1);
    HARNESS_CUDA(cudaDeviceSynchronize());
}

void
bed_free(bed *b)
{
    HARNESS_CUDA(cudaFree(b->codes));
    HARNESS_CUDA(cudaFree(b->scales));
    HARNESS_CUDA(cudaFree(b->x));
    HARNESS_CUDA(cudaFree(b->y));
    HARNESS_CUDA(cudaFree(b->packed));
    HARNESS_CUDA(cudaFree(b->workspace));
    HARNESS_CUDA(cudaStreamDestroy(b->stream));
}

struct timed {
    struct dlq_kg_call call;
    const void *w;
    int (*apply)(const void *w, const struct dlq_kg_call *call);
};

int
call_layer(void *context, int i, cudaStream_t stream)
{
    (void)i;
    timed *const t = (timed *)context;
    t->call.stream = stream;
    return t->apply(t->w, &t->call);
}

int
apply_w8a8(const void *w, const struct dlq_kg_call *call)
{
    return dlq_kg_w8a8()->apply((const struct dlq_kg_w8a8 *)w, call);
}

int
apply_fp(const void *w, const struct dlq_kg_call *call)
{
    return dlq_kg_fp()->apply((const struct dlq_kg_fp *)w, call);
}

// Microseconds that the calling thread needs for one call, without a graph.
double
host_time(timed *t, cudaStream_t stream)
{
    enum { CALLS = 100 };
    double best = 1e9;
    for (int turn = 0; turn < 5; turn++) {
        timespec from, to;
        HARNESS_CUDA(cudaStreamSynchronize(stream));
        clock_gettime(CLOCK_MONOTONIC, &from);
        for (int i = 0; i < CALLS; i++) {
            check(call_layer(t, i, stream) == 0, "bench: a call");
        }
        clock_gettime(CLOCK_MONOTONIC, &to);
        const double ns =
            (double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec);
        best = fmin(best, ns * 1e-3 / CALLS);
    }
    HARNESS_CUDA(cudaStreamSynchronize(stream));
    return best;
}

void
time_rows(const bed *b, timed t, const char *name)
{
    static const int64_t ms[] = {1, 16, 64, 256, 1024, 4096};
    printf("%s:", name);
    for (int64_t m : ms) {
        t.call.m = m;
        t.call.x = b->x;
        t.call.x_stride = K;
        t.call.y = b->y;
        t.call.y_stride = N;
        t.call.workspace = b->workspace;
        t.call.workspace_size = b->workspace_size;
        printf(" m %ld %.1f us", (long)m, harness_time(call_layer, &t, 1, 2.0, 1e9, b->stream));
    }
    t.call.m = 1;
    printf(", host %.2f us\n", host_time(&t, b->stream));
}

void
time_w8a8(const bed *b, uint32_t act)
{
    struct dlq_kg_w8a8_desc desc = {};
    desc.k = K;
    desc.n = N;
    desc.device = device_info();
    desc.act_dtype = act;
    struct dlq_kg_w8a8_source source = {};
    source.codes = b->codes;
    source.bits = 8;
    source.scales = b->scales;
    struct dlq_kg_w8a8 w;
    char name[128];
    check(dlq_kg_w8a8()->plan(&w, &desc) == 0 &&
              dlq_kg_w8a8()->pack(&w, &source, b->packed, nullptr) == 0,
          "bench: w8a8");
    snprintf(name, sizeof(name), "int8 token %s (%s)", dtype_name(act),
             dlq_kg_w8a8()->kernel(&w, 4096));
    time_rows(b, {{}, &w, apply_w8a8}, name);
}

void
time_fp(const bed *b, const fp_kind &v)
{
    const struct dlq_kg_fp_desc desc = fp_desc(v, K, N);
    struct dlq_kg_fp_source source = {};
    source.codes = b->codes;
    source.scales = v.scale_dtype == DLQ_F32 ? (const void *)b->scales : b->codes;
    struct dlq_kg_fp w;
    char name[128];
    check(dlq_kg_fp()->plan(&w, &desc) == 0 &&
              dlq_kg_fp()->pack(&w, &source, b->packed, nullptr) == 0,
          "bench: %s", v.name);
    w.desc.device = device_info();
    snprintf(name, sizeof(name), "%s %s (%s)", v.name, dtype_name(v.act),
             dlq_kg_fp()->kernel(&w, 4096));
    time_rows(b, {{}, &w, apply_fp}, name);
}

} // namespace

void
bench_quantized(void)
{
    static const fp_kind kinds[] = {
        {"fp8 token", DLQ_F8_E4M3, DLQ_F32, DLQ_BF16, 0, 1, DLQ_K_FP_FP8_TOKEN, 0},
        {"fp8 token, exact", DLQ_F8_E4M3, DLQ_F32, DLQ_BF16, 0, 1, DLQ_K_FP_FP8_TOKEN, 100},
        {"fp8 tensor", DLQ_F8_E4M3, DLQ_F32, DLQ_BF16, 0, 1, DLQ_K_FP_FP8_TENSOR, 0},
        {"fp8 block, group 128", DLQ_F8_E4M3, DLQ_F32, DLQ_BF16, 128, 128, DLQ_K_FP_FP8_GROUP, 0},
        {"w8a16 fp8 channel", DLQ_F8_E4M3, DLQ_F32, DLQ_BF16, 0, 1, DLQ_K_FP_NONE, 0},
        {"w8a16 fp8 block", DLQ_F8_E4M3, DLQ_F32, DLQ_BF16, 128, 128, DLQ_K_FP_NONE, 0},
        {"nvfp4a16", DLQ_F4_E2M1, DLQ_F8_E4M3, DLQ_BF16, 16, 1, DLQ_K_FP_NONE, 0},
        {"nvfp4", DLQ_F4_E2M1, DLQ_F8_E4M3, DLQ_BF16, 16, 1, DLQ_K_FP_NVFP4, 0},
        {"mxfp4a16", DLQ_F4_E2M1, DLQ_F8_E8M0, DLQ_BF16, 32, 1, DLQ_K_FP_NONE, 0},
        {"mxfp8", DLQ_F8_E4M3, DLQ_F8_E8M0, DLQ_BF16, 32, 1, DLQ_K_FP_MXFP8, 0},
        {"w8a16 fp8 channel", DLQ_F8_E4M3, DLQ_F32, DLQ_F32, 0, 1, DLQ_K_FP_NONE, 0},
    };
    bed b;
    bed_make(&b);
    printf("layers k %d n %d, rounding of x included\n", K, N);
    time_w8a8(&b, DLQ_BF16);
    time_w8a8(&b, DLQ_F32);
    for (const fp_kind &v : kinds) {
        time_fp(&b, v);
    }
    bed_free(&b);
}

} // namespace ops
