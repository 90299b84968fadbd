// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// int8 products by mma.sync, for every GPU from sm_80 on: same weights (DLQ_K_W8_TILES), same sums
// and same formula as the sm_90a kernels of w8.h, more types of y, zero points on both sides. All
// pointers are device memory; functions only enqueue and may be captured.
#ifndef DLQ_KERNELS_CUDA_SM80_W8_H
#define DLQ_KERNELS_CUDA_SM80_W8_H

#include <cuda_runtime.h>
#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// y[m, n] = round(float(acc) * (w_scale[n] * x_scale[m]) + bias[n]) with
///
///     acc = sum_k x[m, k] w[n, k] - w_zero[n] * x_sum[m] - x_zero[m] * w_sum[n]
struct dlq_k_w8_mma {
    const int8_t *x;       ///< Codes [m][ldx], 16-byte aligned
    const void *w;         ///< DLQ_K_W8_TILES
    void *y;               ///< [m][ldy], alignment of its element
    const float *x_scale;  ///< [m]
    const float *w_scale;  ///< [n]
    const float *bias;     ///< [n], or NULL
    const int32_t *x_zero; ///< [m], or NULL
    const int32_t *w_sum;  ///< [n] sums of w - w_zero, with x_zero
    const int32_t *w_zero; ///< [n], or NULL
    const int32_t *x_sum;  ///< [m] sums of codes, with w_zero
    int64_t m, n, k;
    int64_t ldx;             ///< Bytes, a multiple of 16, codes beyond k zero
    int64_t ldy;             ///< Elements
    uint32_t y_dtype;        ///< DLQ_F16, DLQ_BF16, DLQ_F32, or DLQ_I32: acc itself
    int32_t multiprocessors; ///< Of the device: decides how often K is split
    int32_t *workspace;      ///< 16-byte aligned, dlq_k_w8_mma_workspace() bytes
    bool early;              ///< Launch as a programmatic dependent (sm_90 on)
};

/// Once for each device before its first product, outside any capture.
int
dlq_k_w8_mma_prepare(void);

/// Bytes of workspace for up to max_m rows. [any thread]
int64_t
dlq_k_w8_mma_workspace(int64_t n, int64_t k, int64_t max_m, int32_t multiprocessors);

/// Enqueues the product; 0 or a cudaError_t. Sizes are the caller's to check.
int
dlq_k_w8_mma_run(const struct dlq_k_w8_mma *g, cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif // DLQ_KERNELS_CUDA_SM80_W8_H
