// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_KERNELS_CPU_RANGES_H
#define DLQ_KERNELS_CPU_RANGES_H

#include "../linear_call.h"

/// Smallest and largest of 0 and x[count]: the definition. A NaN or infinity in x makes range[1]
/// infinite.
void
dlq_row_range(const void *x, uint32_t dtype, int64_t count, float range[2]);

#endif // DLQ_KERNELS_CPU_RANGES_H
