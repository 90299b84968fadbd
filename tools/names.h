// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TOOLS_NAMES_H
#define DLQ_TOOLS_NAMES_H

#include <stdbool.h>
#include <stdint.h>

/// What the last component of a module's path says about it.

/// enum dlq_parallel_kind that engines give a module of that name.
int32_t
tool_name_kind(const char *last);

/// Whether a module of that path is a table of rows, not a matrix to multiply with.
bool
tool_name_is_embedding(const char *path);

/// Whether a module of that name is the last layer, whose outputs are wanted whole.
bool
tool_name_is_head(const char *last);

/// Parts that engines build as one layer.
struct tool_fusion {
    const char *fused;    ///< Last component of the fused layer
    const char *parts[4]; ///< Last components in order, ended by NULL
};

/// The fusion that begins with a part of that name; NULL: none.
const struct tool_fusion *
tool_fusion_by_first(const char *last);

/// The fusion of that name, for tensors that are fused on disk; NULL: none.
const struct tool_fusion *
tool_fusion_by_name(const char *last);

#endif // DLQ_TOOLS_NAMES_H
