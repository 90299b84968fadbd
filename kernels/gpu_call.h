// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_KERNELS_GPU_CALL_H
#define DLQ_KERNELS_GPU_CALL_H

#include "linear_call.h"

#include <stdbool.h>
#include <stddef.h>

/// What every linear kernel for NVIDIA GPUs shares. No CUDA type stands here or in gpu_<op>.h: the
/// code that calls kernels compiles without the toolkit.
///
/// An operation is a table of functions, found by dlq_kg_<op>(); NULL in a build without CUDA. Use:
/// plan, allocate `bytes` on the device, pack, then apply as often as wanted. Planning is a pure
/// function of shapes and device facts and needs no driver.
///
/// Results: 0 is success, a negative number is minus an enum dlq_k_result, a positive one is a
/// cudaError_t.

/// The device that a layer is planned for.
struct dlq_kg_device {
    int32_t index;           ///< Ordinal
    int32_t capability;      ///< major * 10 + minor
    int32_t multiprocessors; ///< Streaming multiprocessors
    int32_t early;           ///< 1: kernels may be launched as programmatic dependents (sm_90 on)
};

/// The arguments of one product y = x W^T + bias. Pointers are memory of the device, which is the
/// calling thread's current one; strides count elements between rows. `x` and `y` need the
/// alignment of their element only. `y` overlaps nothing. Everything is enqueued on `stream`: no
/// allocation, synchronization or environment; capturable in a graph; equal inputs give equal bits.
///
/// A row of x with a NaN gives NaN in that row of y only; a row of zeros gives the bias exactly.
struct dlq_kg_call {
    int64_t m;             ///< Rows of x and y, above 0
    const void *x;         ///< [m, k] in the planned activation dtype
    int64_t x_stride;      ///< At least k
    void *y;               ///< [m, n] in the planned activation dtype
    int64_t y_stride;      ///< At least n
    const float *bias;     ///< [n], or NULL
    void *workspace;       ///< 256-byte aligned, at least workspace_size(m) bytes
    size_t workspace_size; ///< Bytes of it
    void *stream;          ///< cudaStream_t
};

/// Memory copies for set-up, which wait until the bytes are there. Either pointer may be host or
/// device memory.
int
dlq_kg_copy(const struct dlq_kg_device *device, void *dst, const void *src, size_t bytes);

/// How many of `n` values (DLQ_F16, DLQ_BF16 or DLQ_F32) in device memory are zero, and the index
/// of the first; for set-up, waits.
int
dlq_kg_count_zeros(const struct dlq_kg_device *device, const void *values, uint32_t dtype,
                   int64_t n, int64_t *count, int64_t *first);

/// Whether this build has kernels for GPUs.
bool
dlq_kg_available(void);

/// The name of a positive result, as "out of memory".
const char *
dlq_kg_error_string(int result);

#endif // DLQ_KERNELS_GPU_CALL_H
