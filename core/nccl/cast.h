// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CORE_NCCL_CAST_H
#define DLQ_CORE_NCCL_CAST_H

#include <cuda_runtime_api.h>

#include <stdint.h>

/// 16-bit elements to and from fp32 on a GPU, for sums in fp32. `bf16`: bfloat16, else fp16. Both
/// only enqueue; the result is that of the launch.

#ifdef __cplusplus
extern "C" {
#endif

cudaError_t
dlq_nccl_widen(const void *from, float *to, int64_t count, int bf16, cudaStream_t stream);

/// Rounds to nearest even, as the sums on CPUs do.
cudaError_t
dlq_nccl_narrow(const float *from, void *to, int64_t count, int bf16, cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif // DLQ_CORE_NCCL_CAST_H
