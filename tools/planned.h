// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TOOLS_PLANNED_H
#define DLQ_TOOLS_PLANNED_H

#include "model.h"
#include "tool.h"

/// What can be known of a layer from headers alone.

struct tool_planned {
    int32_t status;       ///< DLQ_OK, or why the layer cannot run
    struct dlq_error err; ///< The reason, for people
    char method[64];
    char rule[448]; ///< The rule that chose the method
    struct dlq_explanation e;
    int64_t k, n; ///< Of the rank
};

/// Ask for the layer on rank `rank` of `size`, without weights; `partition` NULL: equal shares.
void
tool_plan_layer(const struct tool_session *s, const struct tool_options *opt,
                const struct tool_layer *layer, int32_t rank, int32_t size,
                const struct dlq_partition *partition, struct tool_planned *out);

/// Name of an enum dlq_parallel_kind for people.
const char *
tool_kind_name(int32_t kind);

#endif // DLQ_TOOLS_PLANNED_H
