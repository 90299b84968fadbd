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
