// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
#include "sm90_w4_direct.cuh"

int
w4_direct_f16(const struct dlq_k_w4_gemm *call, const struct dlq_k_w4_plan *plan,
              cudaStream_t stream)
{
    return w4_direct_group<false>(call, plan, stream);
}

int
w4_direct_bf16(const struct dlq_k_w4_gemm *call, const struct dlq_k_w4_plan *plan,
               cudaStream_t stream)
{
    return w4_direct_group<true>(call, plan, stream);
}
