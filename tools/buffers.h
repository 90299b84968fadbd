// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TOOLS_BUFFERS_H
#define DLQ_TOOLS_BUFFERS_H

#include <dlquant/dlquant.h>

#include "group.h"

#include <stddef.h>
#include <stdint.h>

/// The activations of one rank: on the host, where they are made and judged, and on the layer's
/// device, where apply reads and writes them.

struct tool_buffers {
    dlq_runtime *rt;
    struct dlq_device device;
    dlq_stream *stream;
    struct tool_group *group; ///< Whose rank works on the stream; NULL: none
    int32_t rank;
    void *host_x, *host_y;
    void *x, *y, *workspace; ///< On the device
    size_t x_size, y_size, workspace_size;
};

/// Make them, the workspace filled with NaNs. Free in any case.
int32_t
tool_buffers_make(struct tool_buffers *b, dlq_runtime *rt, struct dlq_device device, size_t x_size,
                  size_t y_size, size_t workspace_size, struct dlq_error *err);

/// Bring x to the device.
int32_t
tool_buffers_send(struct tool_buffers *b, struct dlq_error *err);

/// Fill y on the device with NaNs, so that what is not written is seen.
int32_t
tool_buffers_poison(struct tool_buffers *b, struct dlq_error *err);

/// Wait for the stream.
int32_t
tool_buffers_wait(struct tool_buffers *b, struct dlq_error *err);

/// Wait for the stream and bring y to `to`, of y_size bytes.
int32_t
tool_buffers_fetch(struct tool_buffers *b, void *to, struct dlq_error *err);

void
tool_buffers_free(struct tool_buffers *b);

#endif // DLQ_TOOLS_BUFFERS_H
