// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TOOLS_GROUP_H
#define DLQ_TOOLS_GROUP_H

#include <dlquant/dlquant.h>

#include <stdint.h>

/// The ranks of a run and what they talk through: threads of this process, or processes over MPI
/// of which this is one. One group serves all layers. On GPUs the ranks talk over NCCL, and on the
/// host only to find out who is missing.

struct tool_group;

/// Make the group of `size` ranks whose first runs on `first` and whose others run on the devices
/// after it; all ranks of the CPU share it. A rank may be late by `timeout_ms`. One rank needs no
/// group: `*out` is NULL then.
int32_t
tool_group_create(dlq_runtime *rt, struct dlq_device first, int32_t size, int32_t timeout_ms,
                  struct tool_group **out, struct dlq_error *err);

/// Join the processes that mpirun started; `*out` is theirs also when there is only one. On GPUs
/// each has the device after that of the process before it on its host: `*device`, the first's,
/// becomes this one's.
int32_t
tool_group_join(dlq_runtime *rt, struct dlq_device *device, int32_t timeout_ms,
                struct tool_group **out, struct dlq_error *err);

/// Ranks, 1 without a group.
int32_t
tool_group_ranks(const struct tool_group *group);

/// The rank that this process is, or -1 where all ranks are its threads.
int32_t
tool_group_self(const struct tool_group *group);

/// Whether all processes have the same number; DLQ_ECOMM names the first that has not.
int32_t
tool_group_agree(struct tool_group *group, uint64_t number, struct dlq_error *err);

/// The device of a rank.
struct dlq_device
tool_group_device(struct dlq_device first, int32_t rank);

/// The end of one rank; NULL without a group.
const struct dlq_collective *
tool_group_get(struct tool_group *group, int32_t rank);

/// The same ranks on memory of the host.
const struct dlq_collective *
tool_group_host(struct tool_group *group, int32_t rank);

/// Wait for a stream of the rank's device, on which the ranks may have talked: one that waits for a
/// dead rank becomes an error. At once without a group.
int32_t
tool_group_wait(struct tool_group *group, int32_t rank, void *stream, struct dlq_error *err);

/// Let no rank wait for one that failed; the rank's own thread calls it. Nothing without a group.
void
tool_group_abort(struct tool_group *group, int32_t rank, const char *reason);

/// NULL is a no-op.
void
tool_group_destroy(struct tool_group *group);

#endif // DLQ_TOOLS_GROUP_H
