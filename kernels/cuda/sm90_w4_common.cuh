// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// What the W4A16 kernels of sm_90a share.
#ifndef DLQ_KERNELS_CUDA_SM90_W4_COMMON_CUH
#define DLQ_KERNELS_CUDA_SM90_W4_COMMON_CUH

#include "launch.cuh"
#include "ptx.cuh"
#include "sm90_w4.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

template <bool BF>
DLQ_DEV float
w4_low(uint32_t v)
{
    if (BF)
        return __uint_as_float(v << 16);
    return __half2float(__ushort_as_half((unsigned short)v));
}

template <bool BF>
DLQ_DEV uint16_t
w4_round(float v)
{
    if (BF)
        return __bfloat16_as_ushort(__float2bfloat16_rn(v));
    return __half_as_ushort(__float2half_rn(v));
}

#endif
