// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CORE_FLOAT16_AVX2_H
#define DLQ_CORE_FLOAT16_AVX2_H

#include <dlquant/types.h>

#include <stddef.h>
#include <stdint.h>

/// The casts between F16, BF16 and F32 for processors with DLQ_CPU_AVX2, bit for bit those of
/// float16.c. Returns how many elements, from the first, were cast: a multiple of 8, or 0 for
/// another pair or another processor.
size_t
dlq_cast_avx2(void *dst, uint32_t dst_dtype, const void *src, uint32_t src_dtype, size_t count);

#endif // DLQ_CORE_FLOAT16_AVX2_H
