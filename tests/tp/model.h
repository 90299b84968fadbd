// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TESTS_TP_MODEL_H
#define DLQ_TESTS_TP_MODEL_H

#include "fake_plugin.h"

#include <dlquant/linear.h>

#include <stdbool.h>

/// One layer with its unsharded tensors, and what it gives at any number of thread ranks.

enum { MODEL_PARTS = 3, MODEL_TENSORS = 24 };

/// A layer to build.
struct model_desc {
    int32_t kind;               ///< enum dlq_parallel_kind
    const char *scheme;         ///< Of the fake plugin; NULL: unquantized
    int64_t group;              ///< Of the scheme
    int64_t k;                  ///< Inputs
    int64_t sizes[MODEL_PARTS]; ///< Outputs of each part, ended by 0; not for QKV
    int32_t heads, kv_heads, head_size, v_head_size; ///< QKV
    uint32_t flags;                                  ///< Mask of enum dlq_linear_flags
    uint32_t dtype;                                  ///< 0: fp32
    bool fused;                                      ///< The checkpoint's tensors hold all parts
};

/// A tensor of the checkpoint.
struct model_tensor {
    const char *name;
    struct dlq_part_id part;
    struct dlq_tensor tensor;
};

struct model {
    struct model_desc desc;
    int32_t n_parts;
    int64_t sizes[MODEL_PARTS];
    int64_t n; ///< Sum of the sizes
    struct model_tensor tensors[MODEL_TENSORS];
    int32_t n_tensors;
    float *bias; ///< [n], or NULL
    float *x;    ///< [rows, k], small integers
    int64_t rows;
    const struct dlq_partition *partition; ///< NULL: equal shares
};

/// Fill a layer with small random integers; the seed decides which.
void
model_init(struct model *m, const struct model_desc *desc, int64_t rows, uint32_t seed);

void
model_free(struct model *m);

/// Run at `ranks` thread ranks and put the result together as floats in `y`, [rows, n] in the order
/// of the parts, checking that ranks that hold the same columns agree. Every rank's y has another
/// stride.
void
model_run(const struct model *m, int32_t ranks, float *y);

/// Whether `ranks` divides what the layer has to divide.
bool
model_divides(const struct model *m, int32_t ranks);

/// Create the layer of one rank, load and process it.
dlq_linear *
model_make(const struct model *m, struct fake_world *w, dlq_quant_config *config,
           const struct dlq_collective *coll);

#endif // DLQ_TESTS_TP_MODEL_H
