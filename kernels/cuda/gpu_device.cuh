// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

// What set-up functions of all operations share: the current device, pointers of either side, and
// values that cannot be.
#ifndef DLQ_KERNELS_CUDA_GPU_DEVICE_CUH
#define DLQ_KERNELS_CUDA_GPU_DEVICE_CUH

extern "C" {
#include "../float16.h"
#include "../gpu_call.h"
}
#include "round.cuh"

#include <cuda_runtime.h>

namespace dlq
{

// Makes a device current for one set-up function and puts the caller's back.
struct device_scope {
    int before = -1;
    cudaError_t error = cudaSuccess;

    explicit device_scope(int index)
    {
        error = cudaGetDevice(&before);
        if (error == cudaSuccess && before != index) {
            error = cudaSetDevice(index);
        }
    }
    ~device_scope()
    {
        if (before >= 0) {
            (void)cudaSetDevice(before);
        }
    }
    device_scope(const device_scope &) = delete;
    device_scope &operator=(const device_scope &) = delete;
};

// Device memory with the bytes of `src`, which may be host or device memory: `src` itself where it
// is device memory, else a copy that lives as long as this. `src` NULL gives NULL.
struct device_view {
    const void *data = nullptr;
    void *copy = nullptr;
    cudaError_t error = cudaSuccess;

    device_view(const void *src, size_t bytes)
    {
        if (src == nullptr || bytes == 0) {
            return;
        }
        cudaPointerAttributes at;
        error = cudaPointerGetAttributes(&at, src);
        if (error != cudaSuccess) {
            return;
        }
        if (at.type == cudaMemoryTypeDevice) {
            data = src;
            return;
        }
        error = cudaMalloc(&copy, bytes);
        if (error == cudaSuccess) {
            error = cudaMemcpy(copy, src, bytes, cudaMemcpyHostToDevice);
            data = copy;
        }
    }
    ~device_view()
    {
        (void)cudaFree(copy);
    }
    device_view(const device_view &) = delete;
    device_view &operator=(const device_view &) = delete;

    template <class T> const T *as() const
    {
        return static_cast<const T *>(data);
    }
};

// Device memory that lives as long as this; none of 0 bytes.
struct device_memory {
    void *data = nullptr;
    cudaError_t error = cudaSuccess;

    explicit device_memory(int64_t bytes)
    {
        if (bytes > 0) {
            error = cudaMalloc(&data, (size_t)bytes);
        }
    }
    ~device_memory()
    {
        (void)cudaFree(data);
    }
    device_memory(const device_memory &) = delete;
    device_memory &operator=(const device_memory &) = delete;

    template <class T> T *as() const
    {
        return static_cast<T *>(data);
    }
};

// Words that kernels of a set-up function change and it reads back, in memory of the module:
// cudaFree() would wait for all that the device does, uploads of other threads too.
struct device_words {
    enum { WORDS = 5 };
    unsigned long long *data = nullptr;
    cudaError_t error;

    // Of the current device, beginning with the `bytes` of `src`.
    device_words(const void *src, size_t bytes);
    ~device_words();
    device_words(const device_words &) = delete;
    device_words &operator=(const device_words &) = delete;

    // Waits for the kernels before. An error where one was not launched.
    cudaError_t read(void *dst, size_t bytes) const
    {
        const cudaError_t launched = cudaGetLastError();
        return launched != cudaSuccess ? launched
                                       : cudaMemcpy(dst, data, bytes, cudaMemcpyDeviceToHost);
    }

  private:
    int set;
};

// Packing keeps the least index of a value that cannot be, for each kind of value.
constexpr unsigned long long NOTHING = ~0ull;

__device__ __forceinline__ void
note_bad(unsigned long long *least, int64_t i)
{
    atomicMin(least, (unsigned long long)i);
}

// 0, or what of `found` comes first in its order: -DLQ_K_ESCALE for one of the first `scales`
// kinds, else -DLQ_K_ECODE, with its index in `*bad`.
inline int
bad_value(const unsigned long long *found, int kinds, int scales, int64_t *bad)
{
    for (int kind = 0; kind < kinds; kind++) {
        if (found[kind] != NOTHING) {
            *bad = (int64_t)found[kind];
            return kind < scales ? -DLQ_K_ESCALE : -DLQ_K_ECODE;
        }
    }
    return 0;
}

// A result of w8.h or of the runtime as one of gpu_call.h.
inline int
w8_result(int rc)
{
    return rc < 0 ? -DLQ_K_EUNSUPPORTED : rc;
}

// Blocks of 256 threads for a loop over `count` with the grid's width as its step.
inline unsigned
blocks_for(int64_t count)
{
    const int64_t blocks = (count + 255) / 256;
    return (unsigned)(blocks < 65536 ? blocks : 65536);
}

} // namespace dlq

#endif
