// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CORE_LINEAR_WALK_H
#define DLQ_CORE_LINEAR_WALK_H

#include <dlquant/checkpoint.h>

/// What to do with one tensor; `name` is its name after the path. DLQ_OK goes on.
typedef int32_t (*dlq_layer_visit_fn)(void *ctx, const struct dlq_checkpoint_tensor *tensor,
                                      const char *name, struct dlq_error *err);

/// Visit the tensors that stand directly at a dotted path, in the order of names; those of deeper
/// modules are somebody else's. Returns what a visit that is not DLQ_OK returned.
int32_t
dlq_layer_walk(const dlq_checkpoint *ckpt, const char *path, dlq_layer_visit_fn visit, void *ctx,
               struct dlq_error *err);

/// The tensor `name` at a dotted path, or NULL.
const struct dlq_checkpoint_tensor *
dlq_layer_find_tensor(const dlq_checkpoint *ckpt, const char *path, const char *name);

#endif // DLQ_CORE_LINEAR_WALK_H
