// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "gpu.h"

#include <stdint.h>

// What cudaMalloc() and the pools promise.
#define ALIGNMENT 256

// Unused memory that the pool may keep: more than the parameters that loading one layer gives back,
// which the next layer then has without asking the driver.
#define KEEP ((uint64_t)512 << 20)

void *
dlq_gpu_alloc(int32_t index, size_t size, size_t align)
{
    cudaError_t rc = cudaSuccess;
    void *ptr = NULL;
    if (align > ALIGNMENT) {
        return NULL;
    }
    struct dlq_gpu *const gpu = dlq_gpu_lock(index, &rc);
    if (gpu && gpu->pool) {
        rc = cudaMallocFromPoolAsync(&ptr, size, gpu->pool, gpu->memory);
        // Other streams may use it from here on.
        rc = rc == cudaSuccess ? cudaStreamSynchronize(gpu->memory) : rc;
    } else if (gpu) {
        rc = cudaMalloc(&ptr, size);
    }
    dlq_gpu_unlock(gpu);
    (void)dlq_gpu_result(index, "allocating", rc, NULL);
    return rc == cudaSuccess ? ptr : NULL;
}

static void
trim(struct dlq_gpu *gpu)
{
    uint64_t reserved = 0;
    uint64_t used = 0;
    if (cudaMemPoolGetAttribute(gpu->pool, cudaMemPoolAttrReservedMemCurrent, &reserved) ==
            cudaSuccess &&
        cudaMemPoolGetAttribute(gpu->pool, cudaMemPoolAttrUsedMemCurrent, &used) == cudaSuccess &&
        reserved > used + KEEP) {
        (void)cudaMemPoolTrimTo(gpu->pool, used + KEEP / 2);
    }
}

void
dlq_gpu_free(int32_t index, void *ptr)
{
    cudaError_t rc = cudaSuccess;
    struct dlq_gpu *const gpu = dlq_gpu_lock(index, &rc);
    if (gpu && gpu->pool) {
        // As cudaFree() does, for streams that the pool does not know may still use the memory.
        (void)cudaDeviceSynchronize();
        (void)cudaFreeAsync(ptr, gpu->memory);
        trim(gpu);
    } else if (gpu) {
        (void)cudaFree(ptr);
    }
    dlq_gpu_unlock(gpu);
    (void)cudaGetLastError();
}
