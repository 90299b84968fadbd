// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "linear_walk.h"

#include <stdbool.h>
#include <string.h>

// Whether this name and all that sort behind it stand elsewhere.
static bool
is_past(const char *full, const char *path, size_t len)
{
    return strncmp(full, path, len) != 0 || (len > 0 && (unsigned char)full[len] > '.');
}

// The name behind `path` and a dot of a name that begins with `path`, or NULL when another
// component follows it.
static const char *
name_after(const char *full, size_t len)
{
    if (len == 0) {
        return full;
    }
    return full[len] == '.' ? full + len + 1 : NULL;
}

int32_t
dlq_layer_walk(const dlq_checkpoint *ckpt, const char *path, dlq_layer_visit_fn visit, void *ctx,
               struct dlq_error *err)
{
    const size_t len = strlen(path);
    const size_t n = dlq_checkpoint_n_tensors(ckpt);
    int32_t rc = DLQ_OK;
    for (size_t i = dlq_checkpoint_lower_bound(ckpt, path); i < n && rc == DLQ_OK; ++i) {
        const struct dlq_checkpoint_tensor *const tensor = dlq_checkpoint_tensor_at(ckpt, i);
        if (is_past(tensor->name, path, len)) {
            break;
        }
        const char *const name = name_after(tensor->name, len);
        if (name && !strchr(name, '.')) {
            rc = visit(ctx, tensor, name, err);
        }
    }
    return rc;
}

const struct dlq_checkpoint_tensor *
dlq_layer_find_tensor(const dlq_checkpoint *ckpt, const char *path, const char *name)
{
    const size_t len = strlen(path);
    const size_t n = dlq_checkpoint_n_tensors(ckpt);
    for (size_t i = dlq_checkpoint_lower_bound(ckpt, path); i < n; ++i) {
        const struct dlq_checkpoint_tensor *const tensor = dlq_checkpoint_tensor_at(ckpt, i);
        if (is_past(tensor->name, path, len)) {
            break;
        }
        const char *const found = name_after(tensor->name, len);
        if (found && strcmp(found, name) == 0) {
            return tensor;
        }
    }
    return NULL;
}
