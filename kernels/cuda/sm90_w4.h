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

// m 1..8; x 16-byte aligned with rows a multiple of 16 bytes apart, else DLQ_K_W4_ALIGN.
int
w4_direct_f16(const struct dlq_k_w4_gemm *call, const struct dlq_k_w4_plan *plan,
              cudaStream_t stream);
int
w4_direct_bf16(const struct dlq_k_w4_gemm *call, const struct dlq_k_w4_plan *plan,
               cudaStream_t stream);

// Any m; x 16-byte aligned with rows a multiple of 16 bytes apart, else DLQ_K_W4_ALIGN.
int
w4_wide_f16(const struct dlq_k_w4_gemm *call, const struct dlq_k_w4_plan *plan, int sms,
            cudaStream_t stream);
int
w4_wide_bf16(const struct dlq_k_w4_gemm *call, const struct dlq_k_w4_plan *plan, int sms,
             cudaStream_t stream);

// Flags for the partial sums that meet in `workspace`, in memory of the current device: at least
// `count`, 0 whenever no kernel uses them. The address of the workspace names the set, so that
// calls that may run at the same time have different ones. 0, a cudaError_t, or
// DLQ_K_W4_WORKSPACE: too many workspaces or flags.
int
w4_flags_of(const void *workspace, int count, unsigned **flags);

#endif
