// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// Activations to fp8 and fp4 as operands of products that are exact in fp32:
// dlq_k_fp_quantize_row() of linear_fp.h on a GPU, bit by bit for rows of finite numbers. Pointers
// are device memory.
#ifndef DLQ_KERNELS_CUDA_QUANTIZE_FP_H
#define DLQ_KERNELS_CUDA_QUANTIZE_FP_H

#include "../linear_fp.h"

#include <cuda_runtime.h>
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/// One quantization of x [m][x_stride] in `x_dtype`.
///
/// A row's values are what its codes stand for, without the row's scale: code times the scale of
/// its group, which bf16 holds exactly, but for DLQ_K_FP_FP8_GROUP, whose scales are fp32. Values
/// of a group with a NaN or an infinity are NaN.
struct dlq_k_quantize_fp {
    const void *x;
    int64_t m, k;
    int64_t x_stride;
    uint32_t x_dtype;     ///< DLQ_F16, DLQ_BF16 or DLQ_F32
    int32_t activation;   ///< enum dlq_k_fp_activation, not NONE
    int64_t act_group;    ///< FP8_GROUP
    float act_scale;      ///< FP8_STATIC, NVFP4
    void *values;         ///< [m][stride] bf16, FP8_GROUP fp32; 16-byte aligned; or NULL
    int64_t stride;       ///< Elements, a multiple of 8; the padding is written too
    float *row_scale;     ///< [m]; what the sums of a row are multiplied with
    float *group_scale;   ///< FP8_GROUP: [groups][group_stride] scales; values are then what the
                          ///< codes stand for, as bf16; or NULL
    int64_t group_stride; ///< Elements
    uint8_t *codes;       ///< [m][k], or NULL
    float *scales;        ///< [m][dlq_k_fp_act_scales()], or NULL
    float *tensor_scale; ///< FP8_TENSOR: 12 bytes, of which the first four are the scale in the end
    bool early;          ///< Launch as a programmatic dependent (sm_90 on)
};

/// Enqueues; 0 or a cudaError_t.
int
dlq_k_quantize_fp_run(const struct dlq_k_quantize_fp *a, cudaStream_t stream);

/// Enqueues the first half of FP8_TENSOR alone: tensor_scale. 0 or a cudaError_t.
int
dlq_k_quantize_fp_tensor_scale(const struct dlq_k_quantize_fp *a, cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif // DLQ_KERNELS_CUDA_QUANTIZE_FP_H
