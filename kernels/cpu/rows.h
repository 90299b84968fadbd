// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_KERNELS_CPU_ROWS_H
#define DLQ_KERNELS_CPU_ROWS_H

#include "call.h"

/// Conversions of whole rows, shared by every fast level of an architecture: with AVX2, FMA and
/// F16C on x86-64, with NEON on Arm. Callers have checked the CPU.
#define DLQ_ROWS(name) DLQ_SIMD(dlq_rows_##name)

/// x[count] of fp16, bf16 or fp32 to fp32.
void DLQ_ROWS(widen)(const void *x, uint32_t dtype, int64_t count, float *out);

/// Rows [m0, m0 + rows) and columns [n0, n0 + cols) of y from fp32 sums, with bias and one
/// rounding. Row r of the sums begins at sums + r * stride.
void DLQ_ROWS(finish)(const struct dlq_k_linear_call *call, int64_t m0, int64_t rows, int64_t n0,
                      int64_t cols, const float *sums, int64_t stride);

/// dlq_row_range() of ranges.h, with the same bits.
void DLQ_ROWS(range)(const void *x, uint32_t dtype, int64_t count, float range[2]);

/// Fixed point: q[i] = rint(x[i] * limit / max|x|) and scale = max|x| / limit, so that x is about
/// q * scale. Where max|x| is a power of two and the power of two below limit, in its place, leaves
/// nothing to round, it is taken. count is a multiple of 8. A NaN or infinity gives codes 0 and
/// scale NaN, zeros give scale 0. Returns the sum of the codes.
int32_t DLQ_ROWS(fix)(const float *x, int64_t count, float limit, int16_t *q, float *scale);

#endif // DLQ_KERNELS_CPU_ROWS_H
