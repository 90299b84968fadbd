// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TOOLS_RUN_H
#define DLQ_TOOLS_RUN_H

#include "cuts.h"
#include "ranks.h"
#include "results.h"
#include "tool.h"

/// A checkpoint that dlquant run takes through its plugins, with all that is one for its layers.

struct tool_run {
    const struct tool_options *opt;
    struct tool_session session;
    dlq_runtime *rt;          ///< Of the group of processes; NULL: ranks are threads
    int32_t size;             ///< Ranks
    struct dlq_device device; ///< Of the first rank that is here
    struct tool_cuts cuts;
    struct tool_seat *seats; ///< One a rank; the first is the session's
    struct tool_group *group;
    dlq_checkpoint *golden;
    uint32_t dtype;
    struct tool_results results;
};

/// Load a layer on all ranks, multiply what the options ask for, and add the verdicts to the
/// results.
int32_t
tool_run_layer(struct tool_run *run, const struct tool_layer *layer, struct dlq_error *err);

#endif // DLQ_TOOLS_RUN_H
