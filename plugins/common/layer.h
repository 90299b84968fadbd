// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_PLUGINS_COMMON_LAYER_H
#define DLQ_PLUGINS_COMMON_LAYER_H

#include <dlquant/plugin.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// What plugins ask of a layer's facts and paths.

/// Largest number of forms of one path.
#define DLQ_PATH_FORMS 3

/// Bytes for one form of a path.
#define DLQ_PATH_SIZE 512

/// The header of tensor `name` of part `part`: at the part's own path, else at the layer's. NULL
/// when the checkpoint has none.
const struct dlq_evidence *
dlq_evidence_find(const struct dlq_layer_info *info, int32_t part, const char *name);

/// Names of the tensors of a part, "a, b, c", or "none". Returns `buf`.
const char *
dlq_evidence_names(const struct dlq_layer_info *info, int32_t part, char *buf, size_t size);

/// The last component of a dotted path.
const char *
dlq_path_last(const char *path);

/// Whether the dotted components of `entry` occur in `path` one after the other.
bool
dlq_path_has_components(const char *path, const char *entry);

/// Form `form` of a path, so that an engine's names and a checkpoint's meet: 0 as given; 1 with a
/// leading "model." removed or added; 2 with a leading "model.language_model." and "model."
/// exchanged. NULL when there is no such form or it does not fit `buf`.
const char *
dlq_path_form(const char *path, int form, char buf[DLQ_PATH_SIZE]);

/// Bit of `dtype` in enum dlq_act_dtypes, 0 for others.
uint32_t
dlq_act_dtype_bit(uint32_t dtype);

/// "fp16", "bf16", "fp32", "int8", ... for messages.
const char *
dlq_dtype_name(uint32_t dtype);

/// "cpu", "cuda" or "device".
const char *
dlq_device_kind_name(int32_t kind);

/// `size` zeroed bytes of host memory, or NULL after writing DLQ_ENOMEM to `err`.
void *
dlq_host_calloc(const struct dlq_host *host, size_t size, struct dlq_error *err);

/// Give back what dlq_host_calloc() gave; NULL is a no-op.
void
dlq_host_free(const struct dlq_host *host, void *ptr);

/// Elements of a tensor.
int64_t
dlq_tensor_count(const struct dlq_tensor *tensor);

/// A descriptor of `ndim` dimensions with everything else neutral.
struct dlq_param_desc
dlq_param_desc_init(const char *name, uint32_t dtype, int32_t ndim, const int64_t *shape);

#endif // DLQ_PLUGINS_COMMON_LAYER_H
