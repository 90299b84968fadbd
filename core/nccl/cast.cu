// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "cast.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

namespace
{

constexpr unsigned BLOCK = 256;
constexpr int64_t BLOCKS = 264; // two for each multiprocessor of the largest device

__device__ float
to_float(__half v)
{
    return __half2float(v);
}

__device__ float
to_float(__nv_bfloat16 v)
{
    return __bfloat162float(v);
}

__device__ void
from_float(float v, __half *to)
{
    *to = __float2half_rn(v);
}

__device__ void
from_float(float v, __nv_bfloat16 *to)
{
    *to = __float2bfloat16_rn(v);
}

template <typename T>
__global__ void
widen(const T *from, float *to, int64_t count)
{
    for (int64_t i = blockIdx.x * (int64_t)BLOCK + threadIdx.x; i < count;
         i += gridDim.x * (int64_t)BLOCK) {
        to[i] = to_float(from[i]);
    }
}

template <typename T>
__global__ void
narrow(const float *from, T *to, int64_t count)
{
    for (int64_t i = blockIdx.x * (int64_t)BLOCK + threadIdx.x; i < count;
         i += gridDim.x * (int64_t)BLOCK) {
        from_float(from[i], &to[i]);
    }
}

unsigned
blocks_for(int64_t count)
{
    const int64_t blocks = (count + BLOCK - 1) / BLOCK;
    return (unsigned)(blocks < BLOCKS ? blocks : BLOCKS);
}

} // namespace

extern "C" cudaError_t
dlq_nccl_widen(const void *from, float *to, int64_t count, int bf16, cudaStream_t stream)
{
    if (bf16) {
        widen<<<blocks_for(count), BLOCK, 0, stream>>>((const __nv_bfloat16 *)from, to, count);
    } else {
        widen<<<blocks_for(count), BLOCK, 0, stream>>>((const __half *)from, to, count);
    }
    return cudaGetLastError();
}

extern "C" cudaError_t
dlq_nccl_narrow(const float *from, void *to, int64_t count, int bf16, cudaStream_t stream)
{
    if (bf16) {
        narrow<<<blocks_for(count), BLOCK, 0, stream>>>(from, (__nv_bfloat16 *)to, count);
    } else {
        narrow<<<blocks_for(count), BLOCK, 0, stream>>>(from, (__half *)to, count);
    }
    return cudaGetLastError();
}
