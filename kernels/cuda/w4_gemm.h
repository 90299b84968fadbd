// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// y = x W^T (+ bias) on NVIDIA GPUs, W in the 4-bit fragment layout of kernels/pack/w4_fragment.h.
//
// Every function returns 0, a cudaError_t (above 0), or a negative number when the shape or
// pointers do not suit the kernel. None of them allocates, synchronizes or reads the environment;
// all can be captured into a graph, and equal inputs give equal bits.
#ifndef DLQ_KERNELS_CUDA_W4_GEMM_H
#define DLQ_KERNELS_CUDA_W4_GEMM_H

#include "../pack/w4_fragment.h"
#include "w4_plan.h"

#include <cuda_runtime_api.h>

#ifdef __cplusplus
extern "C" {
#endif

// DLQ_K_W4_VARIANT: the plan does not take this shape.
enum { DLQ_K_W4_SHAPE = -1, DLQ_K_W4_VARIANT = -2, DLQ_K_W4_ALIGN = -3, DLQ_K_W4_WORKSPACE = -4 };

enum { DLQ_K_W4_WORKSPACES = 512 };

struct dlq_k_w4_gemm {
    int m, n, k;
    int group; // of the checkpoint, as given to the packer
    int bf16;  // activations, outputs and scales: 0 fp16, 1 bf16
    int pdl;   // 1: let this kernel's start overlap the end of the one before it in the stream
    const void *packed; // 16-byte aligned
    const void *x;      // [m, k], rows ldx elements apart
    int64_t ldx;
    void *y; // [m, n], rows ldy elements apart
    int64_t ldy;
    const float *bias; // [n] or NULL
    // 256-byte aligned, at least dlq_k_w4_workspace_bytes, of any content; no two calls that may
    // run at the same time share one. NULL or less, or more than DLQ_K_W4_WORKSPACES addresses in
    // the life of the process: the measured choice makes do without.
    void *workspace;
    size_t workspace_bytes;
};

// Weights from a checkpoint's form in device memory to the packed form in device memory; `out` has
// dlq_k_w4_packed_bytes.
int
dlq_k_w4_pack_awq_gpu(const struct dlq_k_w4_source *source, void *out, cudaStream_t stream);
int
dlq_k_w4_pack_ct_gpu(const struct dlq_k_w4_source *source, void *out, cudaStream_t stream);

// The packed form to plain weights [n, k] in the activations' type, each (q - z) * s rounded once.
int
dlq_k_w4_unpack_gpu(const void *packed, int n, int k, int group, int bf16, void *out,
                    cudaStream_t stream);

// Bytes of workspace that serve any call of this shape with up to max_m tokens on the current
// device.
size_t
dlq_k_w4_workspace_bytes(int n, int k, int group, int max_m);

// 1 when this kernel rounds each weight (q - z) * s to the activations' type, 0 when it multiplies
// the exact q - z and scales fp32 sums.
int
dlq_k_w4_plan_rounds(const struct dlq_k_w4_gemm *call, int kernel);

// y = x W^T (+ bias) on sm_90a. `plan` NULL or with kernel DLQ_K_W4_AUTO: the measured choice,
// which takes every shape and alignment.
int
dlq_k_w4_gemm_sm90(const struct dlq_k_w4_gemm *call, const struct dlq_k_w4_plan *plan,
                   cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif
