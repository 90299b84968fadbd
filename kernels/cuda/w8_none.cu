// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// A build without sm_90a: none of the products of w8.h exists.
#include "w8.h"

extern "C" bool
dlq_k_w8_available(void)
{
    return false;
}

extern "C" int
dlq_k_w8_prepare(void)
{
    return DLQ_K_W8_NO_DEVICE;
}

extern "C" int
dlq_k_w8_gemm_run(const struct dlq_k_w8_gemm *, const struct dlq_k_w8_config *, cudaStream_t)
{
    return DLQ_K_W8_NO_DEVICE;
}

extern "C" int64_t
dlq_k_w8_workspace_size(const struct dlq_k_w8_gemm *, int64_t)
{
    return 0;
}
