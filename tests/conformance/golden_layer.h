// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TESTS_GOLDEN_LAYER_H
#define DLQ_TESTS_GOLDEN_LAYER_H

#include "golden.h"

#define GOLDEN_DTYPES 3

/// The dtypes of x and y, in the order of golden_layer.rows.
extern const uint32_t golden_dtypes[GOLDEN_DTYPES];

/// A layer as an engine makes it.
struct golden_plan {
    char prefix[128];
    int32_t kind;
    int32_t n_parts;    ///< Recorded layers that it consists of
    char parts[3][128]; ///< Their paths
    int32_t n_split;    ///< Merged on disk: logical parts of the one recorded layer, else 0
};

#define GOLDEN_PLANS 8

/// The layers of the first recorded block and the head, as an engine makes them. Returns how many.
size_t
golden_plans(struct golden *g, bool fused, struct golden_plan plans[GOLDEN_PLANS]);

/// Make a layer of the checkpoint, load and process it.
int32_t
golden_layer_make(struct golden *g, const struct golden_plan *plan, uint32_t act_dtype,
                  const struct dlq_collective *collective, dlq_linear **out, struct dlq_error *err);

/// The recorded x in another dtype, one rounding; free() it.
void *
golden_x(const struct golden_layer *layer, uint32_t dtype);

/// apply() with a workspace.
int32_t
golden_multiply(dlq_linear *layer, const void *x, int64_t m, void *y, struct dlq_error *err);

#endif // DLQ_TESTS_GOLDEN_LAYER_H
