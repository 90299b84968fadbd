// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// Dense products in fp32 arithmetic, for whatever mixture of element types, sizes and alignments.
#ifndef DLQ_KERNELS_CUDA_DENSE_SIMT_H
#define DLQ_KERNELS_CUDA_DENSE_SIMT_H

extern "C" {
#include "../gpu_call.h"
}

#include <cuda_runtime.h>

// y = x W^T + bias with weights [n][k]; only x, y, their strides, m and bias of `call` are read.
cudaError_t
dlq_dense_simt(const struct dlq_kg_call *call, int64_t k, int64_t n, const void *weights,
               uint32_t w_dtype, uint32_t act_dtype, cudaStream_t stream);

// y = sums + bias, rounded once: sums [m][pitch] in fp32, pitch a multiple of 4; m, y, y_stride and
// bias of `call` are read.
cudaError_t
dlq_dense_finish(const struct dlq_kg_call *call, int64_t n, const float *sums, int64_t pitch,
                 uint32_t act_dtype, cudaStream_t stream);

// out[n] = bias in fp16 or bf16; `*exact`: no value had to be rounded. Waits.
cudaError_t
dlq_dense_narrow(const float *bias, int64_t n, uint32_t dtype, void *out, bool *exact);

#endif
