// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CORE_REDUCE_H
#define DLQ_CORE_REDUCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// The arithmetic of all_reduce on host memory.

/// Whether elements of `dtype` can be added: DLQ_F16, DLQ_BF16, DLQ_F32 and DLQ_I32.
bool
dlq_reduce_supports(uint32_t dtype);

/// Replace elements [first, first + count) of each of the `n` buffers by their sum, added in the
/// order of the buffers. Each addition of 16-bit floats is rounded, or with `fp32` only the final
/// sum. Integers wrap.
void
dlq_reduce_sum(void *const *buffers, int32_t n, size_t first, size_t count, uint32_t dtype,
               bool fp32);

#endif // DLQ_CORE_REDUCE_H
