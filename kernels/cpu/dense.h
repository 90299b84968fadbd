// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_KERNELS_CPU_DENSE_H
#define DLQ_KERNELS_CPU_DENSE_H

#include "../linear_dense.h"

/// Levels of dlq_k_dense_init, weakest first. Each overwrites what it does better.

void
dlq_dense_init_ref(struct dlq_k_dense_ops *ops);

#endif // DLQ_KERNELS_CPU_DENSE_H
