// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// Rows of x in packed order, in the operand's type. fp32 rows become three bf16 rows that add up to
// them exactly: 8 bits of the significand each, cut off and not rounded, so that none overflows.
#include "grouped_gemm.h"
#include "launch.cuh"
#include "ptx.cuh"

#include <cuda_fp16.h>
#include <dlquant/types.h>

namespace
{

struct gather_args {
    const void *x;
    const int32_t *order, *zeros; // each may be NULL
    uint16_t *out;
    int64_t stride, m;
    int k, padded_k;
};

template <uint32_t Dtype>
__device__ __forceinline__ void
element(const gather_args &a, int64_t row, int k, int zero, uint16_t out[3])
{
    const int64_t at = row * a.stride + k;
    if constexpr (Dtype == DLQ_I8) {
        const int code = ((const int8_t *)a.x)[at] - zero;
        out[0] = __half_as_ushort(__int2half_rn(code));
    } else if constexpr (Dtype == DLQ_F32) {
        float v = ((const float *)a.x)[at];
#pragma unroll
        for (int i = 0; i < 3; i++) {
            const uint32_t high = __float_as_uint(v) & 0xffff0000u;
            out[i] = (uint16_t)(high >> 16);
            v = __fsub_rn(v, __uint_as_float(high));
        }
    } else {
        out[0] = ((const uint16_t *)a.x)[at];
    }
}

// A thread makes 8 elements of a row.
template <uint32_t Dtype>
__global__ void __launch_bounds__(256) gather(const __grid_constant__ gather_args a)
{
    constexpr int parts = Dtype == DLQ_F32 ? 3 : 1;
    ptx_pdl_launch();
    ptx_pdl_wait();
    const int at = (blockIdx.x * 256 + threadIdx.x) * 8;
    if (at >= a.padded_k)
        return;
    for (int64_t row = blockIdx.y; row < a.m; row += gridDim.y) {
        const int zero = a.zeros != nullptr ? a.zeros[row] : 0;
        uint16_t v[parts][8];
#pragma unroll
        for (int i = 0; i < 8; i++) {
            const int k = a.order != nullptr ? __ldg(a.order + at + i) : at + i;
            uint16_t one[3] = {0, 0, 0};
            if (k >= 0 && k < a.k)
                element<Dtype>(a, row, k, zero, one);
#pragma unroll
            for (int p = 0; p < parts; p++)
                v[p][i] = one[p];
        }
#pragma unroll
        for (int p = 0; p < parts; p++) {
            const uint32_t w[4] = {
                v[p][0] | (uint32_t)v[p][1] << 16, v[p][2] | (uint32_t)v[p][3] << 16,
                v[p][4] | (uint32_t)v[p][5] << 16, v[p][6] | (uint32_t)v[p][7] << 16};
            *(uint4 *)(a.out + (p * a.m + row) * a.padded_k + at) =
                make_uint4(w[0], w[1], w[2], w[3]);
        }
    }
}

template <uint32_t Dtype>
int
launch(const gather_args &a, bool early, cudaStream_t stream)
{
    const dim3 grid((unsigned)((a.padded_k / 8 + 255) / 256),
                    (unsigned)(a.m < 32768 ? a.m : 32768));
    return dlq::launch_config(grid, 256, 0, early, stream).run(gather<Dtype>, a);
}

} // namespace

extern "C" bool
dlq_k_grouped_direct(const struct dlq_k_grouped *w, const void *x, uint32_t dtype, int64_t stride,
                     struct dlq_k_grouped_rows *rows)
{
    *rows = {x, stride, w->desc.k, dtype == DLQ_BF16, 1};
    return w->order_at == 0 && w->desc.k % 8 == 0 && (dtype == DLQ_F16 || dtype == DLQ_BF16) &&
           (uintptr_t)x % 16 == 0 && stride % 8 == 0;
}

extern "C" int64_t
dlq_k_grouped_gather_bytes(const struct dlq_k_grouped *w, uint32_t dtype, int64_t m)
{
    return m * w->padded_k * (dtype == DLQ_F32 ? 6 : 2);
}

extern "C" int
dlq_k_grouped_gather(const struct dlq_k_grouped *w, const void *x, uint32_t dtype, int64_t stride,
                     const int32_t *zeros, int64_t m, void *out, struct dlq_k_grouped_rows *rows,
                     bool early, cudaStream_t stream)
{
    if (m <= 0 || stride < w->desc.k || (uintptr_t)out % 16 != 0)
        return -DLQ_K_ESHAPE;
    gather_args a = {};
    a.x = x;
    a.order = w->order_at != 0 ? (const int32_t *)(w->data + w->order_at) : nullptr;
    a.zeros = zeros;
    a.out = (uint16_t *)out;
    a.stride = stride;
    a.m = m;
    a.k = (int)w->desc.k;
    a.padded_k = (int)w->padded_k;
    rows->data = out;
    rows->stride = w->padded_k;
    rows->k = w->padded_k;
    rows->bf16 = dtype == DLQ_BF16 || dtype == DLQ_F32;
    rows->parts = dtype == DLQ_F32 ? 3 : 1;
    switch (dtype) {
    case DLQ_F16:
    case DLQ_BF16:
        return launch<DLQ_F16>(a, early, stream);
    case DLQ_F32:
        return launch<DLQ_F32>(a, early, stream);
    case DLQ_I8:
        return launch<DLQ_I8>(a, early, stream);
    default:
        return -DLQ_K_EDTYPE;
    }
}
