// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CORE_LINEAR_INTERNAL_H
#define DLQ_CORE_LINEAR_INTERNAL_H

#include <dlquant/ext/row_split.h>
#include <dlquant/linear.h>

#include "params.h"
#include "runtime_internal.h"

#include <stdbool.h>

/// A linear layer from the inside. linear_create.c makes it, linear_load.c fills it, linear_apply.c
/// runs it; linear_<kind>.c know what tells the five kinds apart.

/// Name of the parameter that the layer itself adds after those of the method.
#define DLQ_PARAM_BIAS "bias"

/// Largest group: a rank's element counts live on the stack of apply().
#define DLQ_MAX_RANKS 1024

/// Where a layer stands in its life.
enum dlq_layer_state {
    DLQ_LAYER_DECLARING, ///< Inside create_weights()
    DLQ_LAYER_LOADING,   ///< Parameters may be written
    DLQ_LAYER_PROCESSING,
    DLQ_LAYER_READY, ///< May be applied
    DLQ_LAYER_BROKEN ///< process_weights() failed: may only be destroyed
};

struct dlq_layer {
    dlq_runtime *rt;
    const struct dlq_host *host;
    const struct dlq_allocator *alloc;
    struct dlq_layer_info info; ///< What the method sees
    struct dlq_params params;
    enum dlq_layer_state state;
    uint32_t flags;      ///< Mask of enum dlq_linear_flags
    uint32_t elem_bytes; ///< Bytes of an element of x and y

    struct dlq_collective coll;              ///< Rank's end of the group; size 1 without one
    const struct dlq_linear_method_ops *ops; ///< The method that runs the layer
    void *method;
    dlq_quant_config *config;              ///< Where the method is from
    struct dlq_decision decision;          ///< The answer of the configuration that was asked first
    const float *bias;                     ///< To be fused on this rank; set by process
    const float *whole_bias;               ///< The same for a sum that is complete: on every rank
    const struct dlq_ext_row_split *split; ///< How the ranks of a row layer share it; NULL: by y
    struct dlq_row_split split_wants;      ///< What they exchange
    dlq_device_copy_fn copy; ///< Inside the layer's device; NULL for a layer that never talks

    char *prefix;
    struct dlq_part *parts;            ///< n_parts, as info.parts points to
    const struct dlq_part **part_ptrs; ///< For info.parts
    struct dlq_part *full_parts;       ///< The parts side by side unsharded, for a gathered bias
    const struct dlq_part **full_ptrs; ///< To full_parts
    int64_t *input_bounds;             ///< tp_size + 1
    int64_t *part_bounds;              ///< n_parts * (tp_size + 1), outputs of each rank in a part
    int64_t *rank_outputs;             ///< tp_size, outputs of each rank over all parts
    struct dlq_evidence *evidence;     ///< info.n_evidence
    const struct dlq_evidence **evidence_ptrs;
    bool named_parts; ///< Parts have paths of their own in the checkpoint
};

/// Whether the ranks of a layer sum their outputs.
static inline bool
dlq_layer_reduces(const struct dlq_layer *layer)
{
    return layer->info.kind == DLQ_ROW && !(layer->flags & DLQ_LINEAR_NO_REDUCE) &&
           layer->info.tp_size > 1;
}

#endif // DLQ_CORE_LINEAR_INTERNAL_H
