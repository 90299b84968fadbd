// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_KERNELS_CPU_WNA16_H
#define DLQ_KERNELS_CPU_WNA16_H

#include "../linear_wna16.h"

/// Levels of dlq_k_wna16_init, weakest first. Each overwrites what it does better.

void
dlq_wna16_init_ref(struct dlq_k_wna16_ops *ops);

#endif // DLQ_KERNELS_CPU_WNA16_H
