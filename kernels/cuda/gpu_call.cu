// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "gpu_device.cuh"

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
    const dlq::device_view view(&host, sizeof(host));
    if (scope.error != cudaSuccess || view.error != cudaSuccess) {
        return (int)(scope.error != cudaSuccess ? scope.error : view.error);
    }
    const int threads = 256;
    const int64_t wanted = (n + threads - 1) / threads;
    const int blocks = (int)(wanted < 1024 ? wanted : 1024);
    if (n > 0 && dtype == DLQ_F32) {
        count_zeros<uint32_t><<<blocks, threads>>>(static_cast<const uint32_t *>(values), n,
                                                   0x7fffffffu, static_cast<zeros *>(view.copy));
    } else if (n > 0) {
        count_zeros<uint16_t><<<blocks, threads>>>(static_cast<const uint16_t *>(values), n,
                                                   (uint16_t)0x7fff,
                                                   static_cast<zeros *>(view.copy));
    }
    cudaError_t error = cudaGetLastError();
    if (error == cudaSuccess) {
        error = cudaMemcpy(&host, view.copy, sizeof(host), cudaMemcpyDeviceToHost);
    }
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
