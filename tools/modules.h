// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TOOLS_MODULES_H
#define DLQ_TOOLS_MODULES_H

#include <dlquant/checkpoint.h>

#include <stddef.h>
#include <stdint.h>

/// The modules of a checkpoint: tensors grouped by everything before the last dot of their names.

/// A tensor and the length of its module's path.
struct tool_entry {
    const struct dlq_checkpoint_tensor *tensor;
    size_t path_len;
};

/// One module. Its entries are in the order of their last components.
struct tool_module {
    char *path;       ///< Owned
    const char *last; ///< Last component, inside `path`
    const struct tool_entry *entries;
    size_t n_entries;
    int64_t k, n;      ///< Inputs and outputs when it is linear, else 0
    uint64_t bytes;    ///< Of all tensors
    const char *other; ///< Why it is no linear layer; NULL when it is one
    const char *why;   ///< Why a linear layer cannot be made all the same; NULL: it can
    int taken;         ///< 1 when it became part of a fused layer
};

struct tool_modules {
    struct tool_module *list; ///< In the order of their paths
    size_t count;
    struct tool_entry *entries;
};

/// Group all tensors and measure the modules that are linear layers.
void
tool_modules_find(const dlq_checkpoint *ckpt, struct tool_modules *out);

void
tool_modules_free(struct tool_modules *m);

/// The module at `path_len` bytes of `path` followed by `last`, or NULL.
struct tool_module *
tool_modules_sibling(const struct tool_modules *m, const struct tool_module *of, const char *last);

/// The tensor of that last component, or NULL.
const struct dlq_checkpoint_tensor *
tool_module_tensor(const struct tool_module *m, const char *leaf);

#endif // DLQ_TOOLS_MODULES_H
