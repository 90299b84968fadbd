// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// Activation quantization of one row in plain C: the definition the GPU kernels are held to.
#ifndef DLQ_TESTS_GPU_W8_REF_H
#define DLQ_TESTS_GPU_W8_REF_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Quantizes x [k] as `kind` (enum dlq_k_act_quant) to q; scale has one value, or ceil(k / 128) for
// groups. static_scale, static_zero and upper_bound as in struct dlq_k_quantize_act.
void
ref_quantize_row(int kind, const float *x, int64_t k, float static_scale, int32_t static_zero,
                 float upper_bound, uint8_t *q, float *scale, int32_t *zero);

#ifdef __cplusplus
}
#endif

#endif
