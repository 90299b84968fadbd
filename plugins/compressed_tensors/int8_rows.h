// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CT_INT8_ROWS_H
#define DLQ_CT_INT8_ROWS_H

#include "../../kernels/linear_w8a8.h"

#include <dlquant/plugin.h>

/// Rows of x rounded to what their int8 codes stand for, for kernels that take rows as they are.
///
/// Workspace: [max_m, k] fp32 rows, then k codes a thread, each rounded up to DLQ_K_ALIGN.

/// Bytes of workspace for up to max_m rows.
int64_t
ct_int8_rows_workspace(const struct dlq_k_w8a8 *quantizer, int64_t max_m, int n_threads);

/// Quantize the rows of `call` into `workspace` and let `call` read them from there. [stream]
void
ct_int8_rows_quantize(const struct dlq_k_w8a8 *quantizer, struct dlq_k_linear_call *call,
                      void *workspace);

/// Codes, scales and zero points of m contiguous rows, as quantize() of the inspect extension has
/// them.
void
ct_int8_rows_inspect(const struct dlq_k_w8a8 *quantizer, uint32_t x_dtype, const void *x, int64_t m,
                     int8_t *codes, float *scales, int32_t *zero_points);

#endif // DLQ_CT_INT8_ROWS_H
