// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CORE_FLOAT16_H
#define DLQ_CORE_FLOAT16_H

#include <dlquant/status.h>
#include <dlquant/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// Numeric casts between element types, for parameters whose checkpoint has another dtype.
///
/// Kernels have conversions of their own, because kernels/ may not include the core; these here
/// serve loading and tests. All round to nearest even and keep subnormals, independent of the
/// processor's flush-to-zero modes.

float
dlq_f16_to_f32(uint16_t h);

uint16_t
dlq_f32_to_f16(float f);

float
dlq_bf16_to_f32(uint16_t h);

uint16_t
dlq_f32_to_bf16(float f);

/// Whether dlq_cast() knows this pair.
bool
dlq_cast_supported(uint32_t dst_dtype, uint32_t src_dtype);

/// Cast `count` elements. `dst` and `src` may be unaligned and must not overlap.
///
/// Sources: F16, BF16, F32, F64, F8_E4M3, F8_E5M2, F8_E8M0, the integers, BOOL (0 or 1). Targets:
/// the first six and the integers. Equal dtypes of whole bytes are copied. A value beyond the range
/// of a floating-point type becomes an infinity, of F8_E4M3, which has none, a NaN; a NaN stays a
/// NaN. Errors: DLQ_EDTYPE for any other pair, before anything is written; DLQ_EOVERFLOW when a
/// value is none of an integer type, with `dst` written up to there.
int32_t
dlq_cast(uint32_t dst_dtype, void *dst, uint32_t src_dtype, const void *src, size_t count);

#endif // DLQ_CORE_FLOAT16_H
