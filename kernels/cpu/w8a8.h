// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_KERNELS_CPU_W8A8_H
#define DLQ_KERNELS_CPU_W8A8_H

#include "../linear_w8a8.h"

/// Levels of dlq_k_w8a8_init, weakest first. Each overwrites what it does better.

void
dlq_w8a8_init_ref(struct dlq_k_w8a8_ops *ops);

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
