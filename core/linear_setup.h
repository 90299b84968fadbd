// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CORE_LINEAR_SETUP_H
#define DLQ_CORE_LINEAR_SETUP_H

#include <dlquant/linear.h>

#include <stdbool.h>

/// How a kind of layer is made: begin, say what the kind is, finish.

/// What linear_<kind>.c settles before the common part takes over.
struct dlq_linear_setup {
    dlq_runtime *rt;
    struct dlq_linear_desc desc; ///< Copy with the defaults filled in
    struct dlq_collective
        coll;               ///< This rank's end; its size is not `ranks` when it may not be used
    int32_t rank;           ///< 0 for a kind that is not split
    int32_t ranks;          ///< 1 for a kind that is not split
    int32_t kind;           ///< enum dlq_parallel_kind
    const char *class_name; ///< As in struct dlq_layer_info
    const int64_t *sizes;   ///< Outputs of each part, unsharded
    int32_t n_parts;
    const char *const *tags; ///< Tag of each part; NULL: its index
    const int32_t *replicas; ///< Ranks with the same outputs of each part; NULL: 1
    const int64_t *bounds;   ///< Of the partition, ranks + 1; NULL: equal shares
    const int32_t *heads;    ///< With bounds: heads of each part, never cut; NULL: no heads
};

/// Check what all kinds share: sizes of structs, flags, dtypes, rank and group.
int32_t
dlq_linear_begin(dlq_runtime *rt, const struct dlq_linear_desc *desc, int32_t kind,
                 struct dlq_linear_setup *setup, struct dlq_error *err);

/// Products of sizes, strides, bits and ranks fit 63 bits as long as a layer has no more weights.
#define DLQ_MAX_WEIGHTS (INT64_C(1) << 48)

/// N of the parts; all sizes above 0 and no more than DLQ_MAX_WEIGHTS.
int32_t
dlq_linear_sum_outputs(const struct dlq_linear_setup *setup, const int64_t *sizes, int32_t n,
                       int64_t *sum, struct dlq_error *err);

/// Let output_sizes, or output_size alone, be the parts.
int32_t
dlq_linear_take_sizes(struct dlq_linear_setup *setup, struct dlq_error *err);

/// Make the layer.
int32_t
dlq_linear_finish(const struct dlq_linear_setup *setup, dlq_linear **out, struct dlq_error *err);

/// All three, for a kind that is its sizes and no more.
int32_t
dlq_linear_create_sized(dlq_runtime *rt, const struct dlq_linear_desc *desc, int32_t kind,
                        dlq_linear **out, struct dlq_error *err);

#endif // DLQ_CORE_LINEAR_SETUP_H
