// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "gpu.h"

#include <string.h>

// What cudaMalloc() promises.
#define ALIGNMENT 256

// Blocks below this are not worth keeping; cudaFree() of one would wait for all of the device.
#define LEAST_KEPT ((size_t)64 << 10)

// Unused memory that is kept: what loading a layer gives back, which the next one wants again.
#define MOST_KEPT ((size_t)512 << 20)

// [lock held] Give the driver the oldest kept blocks until at most `bytes` are left.
static void
forget(struct dlq_gpu *gpu, size_t bytes)
{
    int n = 0;
    for (; n < gpu->n_kept && gpu->kept_bytes > bytes; n++) {
        (void)cudaFree(gpu->kept[n].ptr);
        gpu->kept_bytes -= gpu->kept[n].size;
    }
    gpu->n_kept -= n;
    memmove(gpu->kept, gpu->kept + n, (size_t)gpu->n_kept * sizeof(*gpu->kept));
}

// [lock held] A kept block of that size or little more, or NULL. As cudaFree() does, wait before it
// is used again: some stream may still use the memory.
static void *
reuse(struct dlq_gpu *gpu, size_t size)
{
    for (int i = gpu->n_kept - 1; i >= 0; i--) {
        const struct dlq_gpu_block block = gpu->kept[i];
        if (block.size >= size && block.size - size <= size / 32) {
            gpu->kept_bytes -= block.size;
            gpu->n_kept--;
            memmove(gpu->kept + i, gpu->kept + i + 1,
                    (size_t)(gpu->n_kept - i) * sizeof(*gpu->kept));
            if (!block.settled) {
                (void)cudaDeviceSynchronize();
                for (int j = 0; j < gpu->n_kept; j++) {
                    gpu->kept[j].settled = true;
                }
            }
            return block.ptr;
        }
    }
    return NULL;
}

void *
dlq_gpu_alloc(int32_t index, size_t size, size_t align)
{
    cudaError_t rc = cudaSuccess;
    if (align > ALIGNMENT) {
        return NULL;
    }
    struct dlq_gpu *const gpu = dlq_gpu_lock_memory(index, &rc);
    void *ptr = gpu ? reuse(gpu, size) : NULL;
    if (gpu && !ptr) {
        rc = cudaMalloc(&ptr, size);
        if (rc != cudaSuccess && gpu->n_kept > 0) {
            forget(gpu, 0);
            rc = cudaMalloc(&ptr, size);
        }
    }
    dlq_gpu_unlock_memory(gpu);
    (void)dlq_gpu_result(index, "allocating", rc, NULL);
    return rc == cudaSuccess ? ptr : NULL;
}

void
dlq_gpu_free(int32_t index, void *ptr)
{
    cudaError_t rc = cudaSuccess;
    size_t size = 0;
    struct dlq_gpu *const gpu = dlq_gpu_lock_memory(index, &rc);
    if (gpu && dlq_gpu_size(ptr, &size) == cudaSuccess && size >= LEAST_KEPT && size <= MOST_KEPT) {
        if (gpu->n_kept == DLQ_GPU_KEPT) {
            forget(gpu, gpu->kept_bytes - 1);
        }
        gpu->kept[gpu->n_kept++] = (struct dlq_gpu_block){ptr, size, false};
        gpu->kept_bytes += size;
        forget(gpu, MOST_KEPT);
    } else if (gpu) {
        (void)cudaFree(ptr);
    }
    dlq_gpu_unlock_memory(gpu);
    (void)cudaGetLastError();
}
