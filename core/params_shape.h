// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CORE_PARAMS_SHAPE_H
#define DLQ_CORE_PARAMS_SHAPE_H

#include "params.h"

/// How a parameter's storage lies along one dimension, here and in the checkpoint.

/// A run of stored elements that this rank takes from a checkpoint tensor. Element dst + i comes
/// from (src + i) / repeat, counted from where the part begins in the tensor. Along a dimension
/// whose words may be cut the packed elements are counted, not their words.
struct dlq_param_run {
    int64_t dst;    ///< First element in the parameter
    int64_t src;    ///< First element in the part, in units of the parameter's own block
    int64_t len;    ///< Elements
    int64_t repeat; ///< Elements that share one of the checkpoint's: above 1 where `block` refines
    int64_t disk;   ///< Elements of the unsharded part in the checkpoint
};

/// Whether a descriptor makes sense in itself. On success `out` is its normalised copy, which still
/// shares the name.
int32_t
dlq_param_normalize(const struct dlq_layer_info *info, const struct dlq_param_desc *desc,
                    struct dlq_param_desc *out, struct dlq_error *err);

/// The run of part `part` along output_dim, which is set.
int32_t
dlq_param_output_run(const struct dlq_layer_info *info, const struct dlq_param *param, int32_t part,
                     struct dlq_param_run *run, struct dlq_error *err);

/// The run along input_dim, which is set.
int32_t
dlq_param_input_run(const struct dlq_layer_info *info, const struct dlq_param *param,
                    struct dlq_param_run *run, struct dlq_error *err);

/// Whether the parameter's shape is what the layer's sizes give.
int32_t
dlq_param_check_shape(const struct dlq_layer_info *info, const struct dlq_param *param,
                      struct dlq_error *err);

/// Write a shape as "[2, 3]"; returns `buf`.
const char *
dlq_param_shape_text(int32_t ndim, const int64_t *shape, char *buf, size_t size);

/// Name of a dtype as safetensors has it, or "unknown".
const char *
dlq_param_dtype_text(uint32_t dtype);

#endif // DLQ_CORE_PARAMS_SHAPE_H
