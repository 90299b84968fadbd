// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_KERNELS_CPU_DENSE_H
#define DLQ_KERNELS_CPU_DENSE_H

#include "../linear_dense.h"

/// Levels of dlq_k_dense_init, weakest first. Each overwrites what it does better.

void
dlq_dense_init_ref(struct dlq_k_dense_ops *ops);
void
dlq_dense_init_avx2(struct dlq_k_dense_ops *ops);
void
dlq_dense_init_avx512(struct dlq_k_dense_ops *ops);
void
dlq_dense_init_avx512_bf16(struct dlq_k_dense_ops *ops);
void
dlq_dense_init_amx_bf16(struct dlq_k_dense_ops *ops);

/// Weights [k0, k0 + count) of a block of fp16 or bf16 weights to fp32, out[count][16]; k0 is even.
void
dlq_dense_decode_avx2(const void *w, int64_t block, int64_t k0, int64_t count, float *out);
void
dlq_dense_decode_avx512(const void *w, int64_t block, int64_t k0, int64_t count, float *out);

#endif // DLQ_KERNELS_CPU_DENSE_H
