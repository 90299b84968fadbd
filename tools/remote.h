// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TOOLS_REMOTE_H
#define DLQ_TOOLS_REMOTE_H

#include "ranks.h"

/// Ranks that are other processes: what this one has to know of them.

/// Fill in where the other ranks' shares lie.
int32_t
tool_remote_plan(struct tool_ranks *r, const struct dlq_linear_desc *desc, struct dlq_error *err);

/// Exchange the outputs and the times of the last apply, so that every process has those of all.
int32_t
tool_remote_gather(struct tool_ranks *r, struct dlq_error *err);

#endif // DLQ_TOOLS_REMOTE_H
