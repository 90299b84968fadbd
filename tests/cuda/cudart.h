// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TESTS_CUDART_H
#define DLQ_TESTS_CUDART_H

#include <cuda_runtime_api.h>

#include <stddef.h>

/// A CUDA runtime without a GPU, with as much as the module dlquant-cuda.so calls: memory is the
/// host's, and work on a stream is not done before somebody waits for it, so that a buffer that is
/// used again too early loses its bytes.

/// What the runtime shall pretend, and what it saw.
struct cudart_log {
    int devices;        ///< 0: cudaGetDeviceCount() fails with `no_device`
    int driver;         ///< Version, 13000 as 13.0; 0: none is installed
    cudaError_t reason; ///< Of cudaGetDeviceCount() without devices
    long fail_at;       ///< This call from now on fails, counted from 1; 0: none
    size_t room;        ///< Bytes of memory in all; 0: no limit
    size_t bytes;       ///< Bytes that are allocated
    long pushed;        ///< Contexts that were pushed and not popped
    long waits_for_all; ///< Calls of cudaDeviceSynchronize()
};

extern struct cudart_log cudart;

#endif // DLQ_TESTS_CUDART_H
