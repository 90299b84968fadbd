// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
#include "sm90_w4_wide_launch.cuh"

int
w4_wide_f16(const struct dlq_k_w4_gemm *call, const struct dlq_k_w4_plan *plan, int sms,
            cudaStream_t stream)
{
    return w4_wide_group<false>(call, plan, sms, stream);
}
