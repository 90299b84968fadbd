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
void
dlq_w8a8_init_neon_dotprod(struct dlq_k_w8a8_ops *ops);

/// How a row of x becomes codes: sat(rint(x * factor) + azp), with `divide` x / factor. All codes
/// are 0 where the factor is: for a row of zeros, and for one with NaN or infinity, whose scale is
/// NaN.
struct dlq_w8a8_codes {
    float scale;
    float factor;
    int32_t azp;
    bool divide;
};

/// From the smallest and the largest value of a row, 0 among them; infinite for a row that is not
/// finite.
struct dlq_w8a8_codes
dlq_w8a8_choose_codes(const struct dlq_k_w8a8 *w, float lo, float hi);

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
