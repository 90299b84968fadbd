// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_KERNELS_CPU_WNA16_H
#define DLQ_KERNELS_CPU_WNA16_H

#include "../linear_wna16.h"

/// Levels of dlq_k_wna16_init, weakest first. Each overwrites what it does better.

void
dlq_wna16_init_ref(struct dlq_k_wna16_ops *ops);
void
dlq_wna16_init_avx2(struct dlq_k_wna16_ops *ops);
void
dlq_wna16_init_avx_vnni(struct dlq_k_wna16_ops *ops);
void
dlq_wna16_init_avx512_vnni(struct dlq_k_wna16_ops *ops);
void
dlq_wna16_init_amx_int8(struct dlq_k_wna16_ops *ops);
void
dlq_wna16_init_neon_dotprod(struct dlq_k_wna16_ops *ops);
void
dlq_wna16_init_neon_i8mm(struct dlq_k_wna16_ops *ops);

struct dlq_wna16_run;

/// The choice of the level below, for row counts that AMX leaves to it.
void
dlq_wna16_choose_avx512_vnni(const struct dlq_k_wna16 *w, int limbs, int64_t m,
                             struct dlq_wna16_run *run);

#endif // DLQ_KERNELS_CPU_WNA16_H
