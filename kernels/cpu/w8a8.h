// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_KERNELS_CPU_W8A8_H
#define DLQ_KERNELS_CPU_W8A8_H

#include "../linear_w8a8.h"

#include <stdbool.h>

/// Levels of dlq_k_w8a8_init, weakest first. Each overwrites what it does better.

void
dlq_w8a8_init_ref(struct dlq_k_w8a8_ops *ops);
void
dlq_w8a8_init_avx2(struct dlq_k_w8a8_ops *ops);
void
dlq_w8a8_init_avx512_vnni(struct dlq_k_w8a8_ops *ops);
void
dlq_w8a8_init_amx_int8(struct dlq_k_w8a8_ops *ops);

/// Scale and zero point of a row of x from its smallest and largest value, 0 among them. Scale NaN
/// unless `finite`, 0 for a row that is 0.
void
dlq_w8a8_choose_scale(const struct dlq_k_w8a8 *w, float lo, float hi, bool finite, float *scale,
                      int32_t *azp);

/// Meta data behind the codes of a block.
struct dlq_w8a8_tail {
    float scale[16];
    int32_t zero[16];
    int32_t sum[16]; ///< sum_k (w - z)
};

static inline const uint8_t *
dlq_w8a8_codes(const struct dlq_k_w8a8 *w, int64_t block)
{
    return w->data + block * w->block_bytes;
}

static inline const struct dlq_w8a8_tail *
dlq_w8a8_tail(const struct dlq_k_w8a8 *w, int64_t block)
{
    return (const struct dlq_w8a8_tail *)(const void *)(dlq_w8a8_codes(w, block) +
                                                        w->k_padded * 16);
}

#endif // DLQ_KERNELS_CPU_W8A8_H
