// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "buffers.h"

#include "tool.h"

#include <stdlib.h>
#include <string.h>

/// Bytes that are NaNs as any dtype of activations.
static int32_t
fill(struct tool_buffers *b, void *dst, size_t size, struct dlq_error *err)
{
    void *bytes = tool_alloc(size, 1);
    memset(bytes, 0xff, size);
    const int32_t status = dlq_stream_upload(b->stream, dst, bytes, size, err);
    free(bytes);
    return status;
}

int32_t
tool_buffers_make(struct tool_buffers *b, dlq_runtime *rt, struct dlq_device device, size_t x_size,
                  size_t y_size, size_t workspace_size, struct dlq_error *err)
{
    *b = (struct tool_buffers){.rt = rt,
                               .device = device,
                               .x_size = x_size,
                               .y_size = y_size,
                               .workspace_size = workspace_size};
    b->host_x = tool_alloc(x_size, 1);
    b->host_y = tool_alloc(y_size, 1);
    int32_t status = dlq_stream_create(rt, device, &b->stream, err);
    if (status == DLQ_OK) {
        status = dlq_device_alloc(rt, device, x_size, &b->x, err);
    }
    if (status == DLQ_OK) {
        status = dlq_device_alloc(rt, device, y_size, &b->y, err);
    }
    if (status == DLQ_OK) {
        status = dlq_device_alloc(rt, device, workspace_size, &b->workspace, err);
    }
    return status == DLQ_OK ? fill(b, b->workspace, workspace_size, err) : status;
}

int32_t
tool_buffers_send(struct tool_buffers *b, struct dlq_error *err)
{
    return dlq_stream_upload(b->stream, b->x, b->host_x, b->x_size, err);
}

int32_t
tool_buffers_poison(struct tool_buffers *b, struct dlq_error *err)
{
    return fill(b, b->y, b->y_size, err);
}

int32_t
tool_buffers_wait(struct tool_buffers *b, struct dlq_error *err)
{
    const int32_t status = tool_group_wait(b->group, b->rank, dlq_stream_handle(b->stream), err);
    return status == DLQ_OK ? dlq_stream_synchronize(b->stream, err) : status;
}

int32_t
tool_buffers_fetch(struct tool_buffers *b, void *to, struct dlq_error *err)
{
    const int32_t status = tool_buffers_wait(b, err);
    return status == DLQ_OK ? dlq_stream_download(b->stream, to, b->y, b->y_size, err) : status;
}

void
tool_buffers_free(struct tool_buffers *b)
{
    dlq_stream_destroy(b->stream);
    if (b->rt) {
        dlq_device_free(b->rt, b->device, b->x);
        dlq_device_free(b->rt, b->device, b->y);
        dlq_device_free(b->rt, b->device, b->workspace);
    }
    free(b->host_x);
    free(b->host_y);
    *b = (struct tool_buffers){0};
}
