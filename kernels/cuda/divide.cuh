// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// Many divisions by one number.
#ifndef DLQ_KERNELS_CUDA_DIVIDE_CUH
#define DLQ_KERNELS_CUDA_DIVIDE_CUH

namespace dlq
{

// x / d, correctly rounded: one Newton step from the correctly rounded reciprocal of d (Markstein).
// Out of the range where that is proven, the division itself.
__device__ __forceinline__ float
divided(float x, float d, float reciprocal)
{
    if (d < 0x1p-100f || d > 0x1p100f) {
        return __fdiv_rn(x, d);
    }
    const float q = __fmul_rn(x, reciprocal);
    if (q == 0.0f) { // the step would lose the sign of zero
        return q;
    }
    return __fmaf_rn(__fmaf_rn(-q, d, x), reciprocal, q);
}

} // namespace dlq

#endif
