// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TOOLS_CUTS_H
#define DLQ_TOOLS_CUTS_H

#include "model.h"
#include "planned.h"
#include "tool.h"

/// Where the layers of a model are cut for a number of ranks, found from headers alone.
///
/// A row layer and the column layers before it are cut alike, as an engine would: gate, up and
/// down, and q, k, v and o. Equal shares come first. Where they cannot work, whole groups of scales
/// are spread over the ranks, then ever smaller parts of groups; heads of attention stay whole.

/// One layer. Layers that are alike in all that matters share `planned` and `partition`.
struct tool_cut {
    const struct tool_planned *planned;    ///< One a rank
    const struct dlq_partition *partition; ///< NULL: equal shares
    const struct tool_planned *refused;    ///< The first rank that cannot run it; NULL: all can
};

struct tool_cuts {
    int32_t ranks;
    size_t n_layers;
    struct tool_cut *layers;                  ///< In the order of the model's
    size_t n_refused;                         ///< Layers that cannot run
    const struct tool_planned *first_refused; ///< Of the first of those
    struct tool_planned *whole;               ///< Each layer on one rank
    void **owned;
    size_t n_owned;
};

/// Plan all layers of a session. Free in any case.
void
tool_cuts_find(const struct tool_session *s, const struct tool_options *opt, int32_t ranks,
               struct tool_cuts *out);

void
tool_cuts_free(struct tool_cuts *cuts);

#endif // DLQ_TOOLS_CUTS_H
