// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// The W4A16 kernels of sm_90a, one function a file of instantiations; w4_gemm.cu chooses among
// them.
#ifndef DLQ_KERNELS_CUDA_SM90_W4_H
#define DLQ_KERNELS_CUDA_SM90_W4_H

#include "w4_gemm.h"

// m 1..16; `sms` multiprocessors. DLQ_K_W4_VARIANT: this tile or split does not take the shape.
int
w4_small_f16(const struct dlq_k_w4_gemm *call, const struct dlq_k_w4_plan *plan, int sms,
             cudaStream_t stream);
int
w4_small_bf16(const struct dlq_k_w4_gemm *call, const struct dlq_k_w4_plan *plan, int sms,
              cudaStream_t stream);

// Any m; x 16-byte aligned with rows a multiple of 16 bytes apart, else DLQ_K_W4_ALIGN.
int
w4_wide_f16(const struct dlq_k_w4_gemm *call, const struct dlq_k_w4_plan *plan, int sms,
            cudaStream_t stream);
int
w4_wide_bf16(const struct dlq_k_w4_gemm *call, const struct dlq_k_w4_plan *plan, int sms,
             cudaStream_t stream);

#endif
