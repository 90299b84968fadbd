// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_KERNELS_CPU_WNA16_LAYOUT_H
#define DLQ_KERNELS_CPU_WNA16_LAYOUT_H

#include "../float16.h"
#include "../linear_wna16.h"

/// Addresses within the packed form of linear_wna16.h, shared by every instruction set.

/// Longest packed group: |sum of 16-bit x times (q - z)| stays below 255 * 32767 * 256 < 2^31, and
/// the scale of x follows outliers closely.
#define DLQ_WNA16_MAX_GROUP 256

static inline const uint8_t *
dlq_wna16_codes(const struct dlq_k_wna16 *w, int64_t block, int64_t group)
{
    return w->data + block * w->block_bytes + group * w->group_bytes;
}

/// Bytes of codes in a packed group; its scales follow.
static inline int64_t
dlq_wna16_code_bytes(const struct dlq_k_wna16 *w)
{
    return w->group_k * w->code_bits * 2;
}

static inline const uint8_t *
dlq_wna16_scales(const struct dlq_k_wna16 *w, int64_t block, int64_t group)
{
    return dlq_wna16_codes(w, block, group) + dlq_wna16_code_bytes(w);
}

static inline const uint8_t *
dlq_wna16_zeros(const struct dlq_k_wna16 *w, int64_t block, int64_t group)
{
    return dlq_wna16_scales(w, block, group) + 16 * dlq_k_act_size(w->scale_dtype);
}

/// Source rows of all packed groups, or NULL without act order.
static inline const int32_t *
dlq_wna16_order(const struct dlq_k_wna16 *w)
{
    return w->order_offset != 0 ? (const int32_t *)(const void *)(w->data + w->order_offset) : NULL;
}

/// First source row of a packed group without act order; *count gets how many it has.
static inline int64_t
dlq_wna16_group_rows(const struct dlq_k_wna16 *w, int64_t group, int64_t *count)
{
    const int64_t in_group = group % w->splits * w->group_k;
    const int64_t first = group / w->splits * w->shape.group + in_group;
    int64_t n = w->shape.group - in_group;
    n = n < w->group_k ? n : w->group_k;
    n = n < w->shape.k - first ? n : w->shape.k - first;
    *count = n > 0 ? n : 0;
    return first;
}

/// Code of row `i` of a packed group, column `c` of its block.
static inline uint8_t
dlq_wna16_code(const uint8_t *codes, int code_bits, int64_t i, int c)
{
    if (code_bits == 8) {
        return codes[i / 4 * 64 + 4 * c + i % 4];
    }
    return (uint8_t)(codes[i / 8 * 64 + 4 * c + i % 4] >> (i / 4 % 2 * 4) & 15);
}

#endif // DLQ_KERNELS_CPU_WNA16_LAYOUT_H
