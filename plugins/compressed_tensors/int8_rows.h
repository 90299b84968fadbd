// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CT_INT8_ROWS_H
#define DLQ_CT_INT8_ROWS_H

#include "../../kernels/linear_w8a8.h"

#include <dlquant/plugin.h>

struct ct_layer;

/// What code_kind() says of int8 rows with one scale each.
int32_t
ct_int8_code_kind(const struct ct_layer *l, int64_t *scales_per_row);

/// Codes, scales and zero points of the rows of a call, which are contiguous, as quantize() of the
/// inspect extension has them.
void
ct_int8_rows_inspect(const struct dlq_k_w8a8 *quantizer, const struct dlq_k_linear_call *call,
                     int8_t *codes, float *scales, int32_t *zero_points);

#endif // DLQ_CT_INT8_ROWS_H
