// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_KERNELS_GPU_DENSE_H
#define DLQ_KERNELS_GPU_DENSE_H

#include "gpu_call.h"

/// Unquantized layers on a GPU through cuBLASLt, which is loaded when the first of them is planned.

/// What a layer is.
struct dlq_kg_dense_desc {
    int64_t k, n;
    struct dlq_kg_device device;
    uint32_t dtype;     ///< DLQ_F16, DLQ_BF16 or DLQ_F32: weights
    uint32_t act_dtype; ///< DLQ_F16, DLQ_BF16 or DLQ_F32: x and y
    bool tf32;          ///< fp32 products may use tf32, 10 bits of each factor
};

/// A layer. plan() fills everything but `weights`.
struct dlq_kg_dense {
    struct dlq_kg_dense_desc desc;
    const void *weights; ///< [n, k] in desc.dtype, as loaded; the caller's device memory
    const float *bias;   ///< The bias that `narrow` holds, or NULL
    const void *narrow;  ///< [n] in desc.act_dtype, the caller's device memory, or NULL
    void *cache;         ///< Of prepare(): what was chosen for which m
    int64_t own[8];      ///< The kernel's own numbers
};

struct dlq_kg_dense_ops {
    /// DLQ_K_ESHAPE, DLQ_K_EDTYPE. [any-thread]
    int (*plan)(struct dlq_kg_dense *w, const struct dlq_kg_dense_desc *desc);
    /// Binds the weights and chooses algorithms for up to max_m rows (0: unknown). [setup]
    int (*prepare)(struct dlq_kg_dense *w, const void *weights, int64_t max_m);
    /// Lets calls with this very `bias` [n] do without a second kernel, where `narrow`, 16-byte
    /// aligned device memory for [n] of a 16-bit desc.act_dtype, holds each of its values exactly:
    /// it is filled and w->narrow is set. Else w->narrow is NULL. Both stay the caller's and must
    /// stay as they are. Waits. DLQ_K_EDTYPE for an act_dtype of 32 bits. [setup]
    int (*keep_bias)(struct dlq_kg_dense *w, const float *bias, void *narrow);
    /// Frees what prepare() made. [setup]
    void (*release)(struct dlq_kg_dense *w);
    /// Bytes of workspace for up to max_m rows; grows with max_m. [any-thread]
    size_t (*workspace_size)(const struct dlq_kg_dense *w, int64_t max_m);
    /// Enqueues y = x W^T + bias. [stream]
    int (*apply)(const struct dlq_kg_dense *w, const struct dlq_kg_call *call);
    /// The kernel for m rows, as "dense cublasLt 13.1". [any-thread]
    const char *(*kernel)(const struct dlq_kg_dense *w, int64_t m);
};

/// The operation, or NULL in a build without CUDA. [any-thread]
const struct dlq_kg_dense_ops *
dlq_kg_dense(void);

#endif // DLQ_KERNELS_GPU_DENSE_H
