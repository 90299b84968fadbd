// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "gpu_device.cuh"

#include <sched.h>

extern "C" int
dlq_kg_copy(const struct dlq_kg_device *device, void *dst, const void *src, size_t bytes)
{
    const dlq::device_scope scope(device->index);
    if (scope.error != cudaSuccess || bytes == 0) {
        return (int)scope.error;
    }
    return (int)cudaMemcpy(dst, src, bytes, cudaMemcpyDefault);
}

namespace
{

// Sets of words, each of one caller at a time.
enum { SETS = 32 };
__device__ unsigned long long words[SETS][dlq::device_words::WORDS];
unsigned taken; // A bit a set

int
take_set()
{
    for (;; sched_yield()) {
        unsigned before = __atomic_load_n(&taken, __ATOMIC_RELAXED);
        while (~before != 0) {
            const int set = __builtin_ctz(~before);
            if (__atomic_compare_exchange_n(&taken, &before, before | 1u << set, true,
                                            __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
                return set;
        }
    }
}

} // namespace

dlq::device_words::device_words(const void *src, size_t bytes) : set(take_set())
{
    void *all = nullptr;
    error = cudaGetSymbolAddress(&all, words);
    data = static_cast<unsigned long long *>(all) + set * WORDS;
    if (error == cudaSuccess)
        error = cudaMemcpy(data, src, bytes, cudaMemcpyHostToDevice);
}

dlq::device_words::~device_words()
{
    __atomic_and_fetch(&taken, ~(1u << set), __ATOMIC_RELEASE);
}

namespace
{

struct zeros {
    unsigned long long count;
    unsigned long long first;
};

// Bits below the sign tell: zero of either sign counts.
template <class T>
__global__ void
count_zeros(const T *values, int64_t n, T magnitude, zeros *out)
{
    const int64_t step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        if ((values[i] & magnitude) == 0) {
            atomicAdd(&out->count, 1ull);
            atomicMin(&out->first, (unsigned long long)i);
        }
    }
}

} // namespace

extern "C" int
dlq_kg_count_zeros(const struct dlq_kg_device *device, const void *values, uint32_t dtype,
                   int64_t n, int64_t *count, int64_t *first)
{
    const dlq::device_scope scope(device->index);
    zeros host = {0, ~0ull};
    const dlq::device_words found(&host, sizeof(host));
    if (scope.error != cudaSuccess || found.error != cudaSuccess) {
        return (int)(scope.error != cudaSuccess ? scope.error : found.error);
    }
    zeros *const out = (zeros *)found.data;
    const int threads = 256;
    const int64_t wanted = (n + threads - 1) / threads;
    const int blocks = (int)(wanted < 1024 ? wanted : 1024);
    if (n > 0 && dtype == DLQ_F32) {
        count_zeros<uint32_t>
            <<<blocks, threads>>>(static_cast<const uint32_t *>(values), n, 0x7fffffffu, out);
    } else if (n > 0) {
        count_zeros<uint16_t>
            <<<blocks, threads>>>(static_cast<const uint16_t *>(values), n, (uint16_t)0x7fff, out);
    }
    const cudaError_t error = found.read(&host, sizeof(host));
    *count = (int64_t)host.count;
    *first = host.count > 0 ? (int64_t)host.first : 0;
    return (int)error;
}

extern "C" bool
dlq_kg_available(void)
{
    return true;
}

extern "C" const char *
dlq_kg_error_string(int result)
{
    return cudaGetErrorString((cudaError_t)result);
}
