// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TESTS_KERNELS_CHECK_WNA16_H
#define DLQ_TESTS_KERNELS_CHECK_WNA16_H

#include "check_layer.h"
#include "linear_wna16.h"

/// Layers of weight-only integers for checks: made from plain codes, packed as checkpoints have
/// them, with fp64 products of the checkpoint's own values as the truth.

struct check_wna16_problem {
    int64_t m, k, n, group;
    int bits;
    bool zeros;
    enum dlq_k_wna16_source_layout layout;
    bool act_order;
    uint32_t dtype; ///< Of x, y, bias and scales
    enum check_data data;
};

/// codes, zeros and scales are the plain truth; the packed arrays are made from them.
struct check_wna16_layer {
    struct check_wna16_problem p;
    int64_t groups;
    uint8_t *codes;   ///< [n, k]
    uint8_t *zeros;   ///< [n, groups]
    uint16_t *scales; ///< fp16, [n, groups] or [groups, n]
    int32_t *g_idx;
    void *packed_codes;
    void *packed_zeros;
    struct dlq_k_wna16 w;
    void *data;
    struct check_layer op; ///< With arithmetic EXACT
    char what[128];
};

void
check_wna16_make(struct check_wna16_layer *l, const struct check_wna16_problem *p, uint64_t seed);

void
check_wna16_free(struct check_wna16_layer *l);

/// The same layer with another arithmetic, and what may be expected of it.
struct check_layer
check_wna16_with(const struct check_wna16_layer *l, enum dlq_k_wna16_arithmetic arithmetic);

struct dlq_k_wna16_shape
check_wna16_shape(const struct check_wna16_problem *p);

struct dlq_k_wna16_source
check_wna16_source(const struct check_wna16_layer *l);

/// (q - z) * s of one weight, the product in fp32.
float
check_wna16_weight(const struct check_wna16_layer *l, int64_t n, int64_t k);

/// Shares of a layer, rows that are rare, and what is refused.
void
check_wna16_edges(void);

#endif // DLQ_TESTS_KERNELS_CHECK_WNA16_H
