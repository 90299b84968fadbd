// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// One element of an fp16, bf16 or fp32 array whose type is known at run time.
#ifndef DLQ_KERNELS_CUDA_ELEMENT_CUH
#define DLQ_KERNELS_CUDA_ELEMENT_CUH

#include <dlquant/types.h>

#include <cuda_bf16.h>
#include <cuda_fp16.h>

namespace dlq
{

__device__ __forceinline__ float
element_load(const void *p, uint32_t dtype, int64_t i)
{
    if (dtype == DLQ_F32) {
        return ((const float *)p)[i];
    }
    return dtype == DLQ_F16 ? __half2float(((const __half *)p)[i])
                            : __bfloat162float(((const __nv_bfloat16 *)p)[i]);
}

__device__ __forceinline__ void
element_store(void *p, uint32_t dtype, int64_t i, float v)
{
    if (dtype == DLQ_F32) {
        ((float *)p)[i] = v;
    } else if (dtype == DLQ_F16) {
        ((__half *)p)[i] = __float2half_rn(v);
    } else {
        ((__nv_bfloat16 *)p)[i] = __float2bfloat16_rn(v);
    }
}

} // namespace dlq

#endif
