// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// What the GPU kernels' check-and-bench programs share: random data, the float64 comparison, graph
// timing.
#ifndef DLQ_TESTS_KERNELS_GPU_HARNESS_CUH
#define DLQ_TESTS_KERNELS_GPU_HARNESS_CUH

#include "gpu_sampled.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define HARNESS_CUDA(call)                                                                         \
    do {                                                                                           \
        const cudaError_t harness_err = (call);                                                    \
        if (harness_err != cudaSuccess) {                                                          \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call,                          \
                    cudaGetErrorString(harness_err));                                              \
            exit(2);                                                                               \
        }                                                                                          \
    } while (0)

static __device__ __forceinline__ uint32_t
harness_hash(uint64_t i, uint32_t seed)
{
    uint64_t z = i * 0x9e3779b97f4a7c15ull + (uint64_t)seed * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return (uint32_t)(z ^ z >> 31);
}

// Roughly normal, mean 0, deviation 1.
static __device__ __forceinline__ float
harness_normal(uint64_t i, uint32_t seed)
{
    float sum = 0;
    for (int k = 0; k < 4; k++)
        sum += (float)(harness_hash(4 * i + (uint64_t)k, seed) >> 8) * 0x1p-24f - 0.5f;
    return sum * 1.7320508f;
}

static __global__ void
harness_fill_words(uint32_t *p, size_t n, uint32_t seed)
{
    for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < n;
         i += (size_t)gridDim.x * blockDim.x)
        p[i] = harness_hash(i, seed);
}

// mean + deviation * normal, as fp16 or bf16.
static __global__ void
harness_fill_normal(uint16_t *p, size_t n, uint32_t seed, float mean, float deviation, int bf16)
{
    for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < n;
         i += (size_t)gridDim.x * blockDim.x) {
        const float v = mean + deviation * harness_normal(i, seed);
        p[i] = bf16 ? __bfloat16_as_ushort(__float2bfloat16_rn(v))
                    : __half_as_ushort(__float2half_rn(v));
    }
}

static __host__ __device__ __forceinline__ float
harness_value(uint16_t bits, int bf16)
{
    if (bf16) {
        const uint32_t wide = (uint32_t)bits << 16;
        float v;
        memcpy(&v, &wide, 4);
        return v;
    }
    __half_raw raw;
    raw.x = bits;
    return __half2float(__half(raw));
}

struct harness_error {
    double error2, reference2;      // sums of squares
    unsigned long long bad, beyond; // not finite; outside the element bound ulp(y) + k 2^-23 S + 8
                                    // u norm (the last only when rounded), 0 for a sum of zeros
};

// y[tokens[i]][n] against reference[i][n] and the sums of absolute products.
static __global__ void
harness_compare_kernel(const uint16_t *y, int64_t ldy, const double *reference,
                       const double *absolute, const int *tokens, int count, int n, int k, int bf16,
                       int rounded, struct harness_error *out)
{
    double e2 = 0, r2 = 0;
    unsigned long long bad = 0, beyond = 0;
    for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < (size_t)count * n;
         i += (size_t)gridDim.x * blockDim.x) {
        const int row = (int)(i / n), col = (int)(i % n);
        const double v = harness_value(y[tokens[row] * ldy + col], bf16), r = reference[i];
        if (!isfinite(v)) {
            bad++;
            continue;
        }
        e2 += (v - r) * (v - r);
        r2 += r * r;
        const int bits = bf16 ? 7 : 10, lowest = bf16 ? -126 : -14;
        const int exponent = r == 0 ? lowest : max(ilogb(r), lowest);
        const double bound = ldexp(1.0, exponent - bits) + k * 0x1p-23 * absolute[i] +
                             (rounded ? ldexp(absolute[i], -bits) : 0);
        beyond += fabs(v - r) > (r == 0 && absolute[i] == 0 ? 0 : bound);
    }
    atomicAdd(&out->error2, e2);
    atomicAdd(&out->reference2, r2);
    atomicAdd(&out->bad, bad);
    atomicAdd(&out->beyond, beyond);
}

static __global__ void
harness_count_nonfinite(const uint16_t *y, size_t n, int bf16, unsigned long long *count)
{
    unsigned long long bad = 0;
    for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < n;
         i += (size_t)gridDim.x * blockDim.x)
        bad += !isfinite(harness_value(y[i], bf16));
    if (bad)
        atomicAdd(count, bad);
}

static __global__ void
harness_count_different(const uint16_t *a, const uint16_t *b, size_t n, unsigned long long *count)
{
    unsigned long long different = 0;
    for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < n;
         i += (size_t)gridDim.x * blockDim.x)
        different += a[i] != b[i];
    if (different)
        atomicAdd(count, different);
}

// Enqueues call number i (the caller rotates its weights by it); 0 or an error.
typedef int (*harness_call)(void *context, int i, cudaStream_t stream);

static int
harness_capture(harness_call call, void *context, int calls, cudaStream_t stream,
                cudaGraphExec_t *exec)
{
    cudaGraph_t graph;
    HARNESS_CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    int err = 0;
    for (int i = 0; i < calls && !err; i++)
        err = call(context, i, stream);
    HARNESS_CUDA(cudaStreamEndCapture(stream, &graph));
    if (!err)
        HARNESS_CUDA(cudaGraphInstantiate(exec, graph, 0));
    HARNESS_CUDA(cudaGraphDestroy(graph));
    return err;
}

static float
harness_replay(cudaGraphExec_t exec, cudaStream_t stream, cudaEvent_t start, cudaEvent_t stop)
{
    float ms;
    HARNESS_CUDA(cudaEventRecord(start, stream));
    HARNESS_CUDA(cudaGraphLaunch(exec, stream));
    HARNESS_CUDA(cudaEventRecord(stop, stream));
    HARNESS_CUDA(cudaEventSynchronize(stop));
    HARNESS_CUDA(cudaEventElapsedTime(&ms, start, stop));
    return ms;
}

// Microseconds a call: a graph of `copies` calls at least and about `ms` long, one warm-up replay,
// the median of 5. A call that a first look finds slower than `limit` us is not measured further.
// Below 0: the call failed.
[[maybe_unused]] static double
harness_time(harness_call call, void *context, int copies, double ms_wanted, double limit,
             cudaStream_t stream)
{
    cudaEvent_t start, stop;
    HARNESS_CUDA(cudaEventCreate(&start));
    HARNESS_CUDA(cudaEventCreate(&stop));
    cudaGraphExec_t exec;
    double us = -1;
    int calls = copies < 8 ? copies : 8;
    if (!harness_capture(call, context, calls, stream, &exec)) {
        harness_replay(exec, stream, start, stop);
        const double once = harness_replay(exec, stream, start, stop) / calls;
        HARNESS_CUDA(cudaGraphExecDestroy(exec));
        if (once * 1e3 > limit) {
            HARNESS_CUDA(cudaEventDestroy(start));
            HARNESS_CUDA(cudaEventDestroy(stop));
            return once * 1e3;
        }
        calls = (int)(ms_wanted / once) + 1;
        if (calls < copies)
            calls = copies;
        if (calls > 2000)
            calls = 2000;
        if (!harness_capture(call, context, calls, stream, &exec)) {
            float ms[5];
            harness_replay(exec, stream, start, stop);
            for (int i = 0; i < 5; i++) {
                ms[i] = harness_replay(exec, stream, start, stop);
                for (int j = i; j > 0 && ms[j] < ms[j - 1]; j--) {
                    const float swap = ms[j];
                    ms[j] = ms[j - 1];
                    ms[j - 1] = swap;
                }
            }
            us = 1e3 * ms[2] / calls;
            HARNESS_CUDA(cudaGraphExecDestroy(exec));
        }
    }
    HARNESS_CUDA(cudaEventDestroy(start));
    HARNESS_CUDA(cudaEventDestroy(stop));
    return us;
}

#endif
