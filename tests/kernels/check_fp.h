// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TESTS_KERNELS_CHECK_FP_H
#define DLQ_TESTS_KERNELS_CHECK_FP_H

#include "check_layer.h"
#include "linear_fp.h"

/// Layers of fp8 and fp4 for checks. The definition is dlq_k_fp_quantize_row and
/// dlq_k_fp_dequantize, both checked against formulas of their own when a layer is made.

struct check_fp_layer {
    struct dlq_k_fp w;
    uint8_t *codes;
    uint8_t *scales;
    float *factors;
    void *data;
    float *weights;    ///< [n, k] dequantized
    float *values;     ///< [m, k] of x
    float *row_scales; ///< [m]
    struct check_layer op;
    char what[128];
};

void
check_fp_make(struct check_fp_layer *l, int64_t m, const struct dlq_k_fp_shape *shape,
              uint32_t x_dtype);

void
check_fp_free(struct check_fp_layer *l);

/// Shares of a layer, every kind of code of x, and what is refused.
void
check_fp_edges(void);

#endif // DLQ_TESTS_KERNELS_CHECK_FP_H
