// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "group.h"

#include "tool.h"

#include <stdio.h>
#include <stdlib.h>

enum { TIMEOUT_MS = 60000 };

struct tool_group {
    dlq_collective_threads *threads;
};

int32_t
tool_group_create(dlq_runtime *rt, struct dlq_device first, int32_t size, struct tool_group **out,
                  struct dlq_error *err)
{
    *out = NULL;
    if (size == 1) {
        return DLQ_OK;
    }
    if (first.kind != DLQ_DEVICE_CPU) {
        err->code = DLQ_EUNSUPPORTED;
        snprintf(err->msg, sizeof(err->msg), "%d ranks on GPUs: ranks talk on the CPU only",
                 (int)size);
        return err->code;
    }
    struct tool_group *group = tool_alloc(1, sizeof(*group));
    const int32_t status =
        dlq_collective_threads_create(rt, size, TIMEOUT_MS, &group->threads, err);
    if (status != DLQ_OK) {
        free(group);
        return status;
    }
    *out = group;
    return DLQ_OK;
}

struct dlq_device
tool_group_device(struct dlq_device first, int32_t rank)
{
    if (first.kind != DLQ_DEVICE_CPU) {
        first.index += rank;
    }
    return first;
}

const struct dlq_collective *
tool_group_get(struct tool_group *group, int32_t rank)
{
    return group ? dlq_collective_threads_get(group->threads, rank) : NULL;
}

void
tool_group_abort(struct tool_group *group, int32_t rank, const char *reason)
{
    if (group) {
        dlq_collective_threads_abort(group->threads, rank, reason);
    }
}

void
tool_group_destroy(struct tool_group *group)
{
    if (group) {
        dlq_collective_threads_destroy(group->threads);
        free(group);
    }
}
