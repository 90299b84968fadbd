// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "replay.h"

#include "tool.h"

#include <stdlib.h>
#include <string.h>

enum {
    MAX_REPEATS = 200, ///< Calls whose times are looked at
    BATCHES = 7,       ///< Of replays, each with one time
    BESIDE = 3,        ///< Calls a stream that shall overlap
    BATCH = 20         ///< Replays behind each other, so that the device never waits for the host
};

static int
compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double
median(double *times, int n)
{
    qsort(times, (size_t)n, sizeof(times[0]), compare_doubles);
    return times[n / 2];
}

/// DLQ_EUNSUPPORTED where the device has no graphs.
static int32_t
capture(dlq_linear *layer, struct tool_buffers *b, const struct dlq_linear_io *io, dlq_graph **out,
        struct dlq_error *err)
{
    int32_t status = dlq_stream_capture_begin(b->stream, err);
    if (status != DLQ_OK) {
        return status;
    }
    status = dlq_linear_apply(layer, io, err);
    struct dlq_error second = DLQ_ERROR_INIT;
    const int32_t ended = dlq_stream_capture_end(b->stream, out, status == DLQ_OK ? err : &second);
    return status == DLQ_OK ? ended : status;
}

int32_t
tool_replay_check(dlq_linear *layer, struct tool_buffers *b, const struct dlq_linear_io *io,
                  enum tool_replay_verdict *out, struct dlq_error *err)
{
    dlq_graph *graph = NULL;
    *out = TOOL_REPLAY_NONE;
    int32_t status = tool_buffers_poison(b, err);
    if (status == DLQ_OK) {
        status = capture(layer, b, io, &graph, err);
    }
    if (status != DLQ_OK) {
        dlq_graph_destroy(graph);
        return status == DLQ_EUNSUPPORTED ? DLQ_OK : status;
    }
    void *y = tool_alloc(b->y_size, 1);
    status = tool_buffers_poison(b, err);
    if (status == DLQ_OK) {
        status = dlq_graph_launch(graph, b->stream, err);
    }
    if (status == DLQ_OK) {
        status = tool_buffers_fetch(b, y, err);
    }
    if (status == DLQ_OK) {
        *out = memcmp(y, b->host_y, b->y_size) == 0 ? TOOL_REPLAY_EQUAL : TOOL_REPLAY_DIFFERS;
    }
    free(y);
    dlq_graph_destroy(graph);
    return status;
}

/// Enqueue calls on both streams in turn, and look at what they left.
static int32_t
run_beside(dlq_linear *layer, struct tool_buffers *a, struct tool_buffers *b,
           const struct dlq_linear_io *io, void *y, enum tool_replay_verdict *out,
           struct dlq_error *err)
{
    struct tool_buffers *const both[] = {a, b};
    int32_t status = tool_buffers_poison(a, err);
    if (status == DLQ_OK) {
        status = tool_buffers_poison(b, err);
    }
    for (int i = 0; i < 2 * BESIDE && status == DLQ_OK; ++i) {
        struct dlq_linear_io own = *io;
        own.x = both[i % 2]->x;
        own.y = both[i % 2]->y;
        own.workspace = both[i % 2]->workspace;
        own.stream = dlq_stream_handle(both[i % 2]->stream);
        status = dlq_linear_apply(layer, &own, err);
    }
    for (int i = 0; i < 2 && status == DLQ_OK; ++i) {
        status = tool_buffers_fetch(both[i], y, err);
        if (status == DLQ_OK && memcmp(y, a->host_y, a->y_size) != 0) {
            *out = TOOL_REPLAY_DIFFERS;
        }
    }
    return status;
}

int32_t
tool_replay_overlap(dlq_linear *layer, struct tool_buffers *b, const struct dlq_linear_io *io,
                    enum tool_replay_verdict *out, struct dlq_error *err)
{
    *out = TOOL_REPLAY_NONE;
    if (b->device.kind == DLQ_DEVICE_CPU) {
        return DLQ_OK;
    }
    struct tool_buffers other;
    void *y = tool_alloc(b->y_size, 1);
    int32_t status =
        tool_buffers_make(&other, b->rt, b->device, b->x_size, b->y_size, b->workspace_size, err);
    if (status == DLQ_OK) {
        memcpy(other.host_x, b->host_x, b->x_size);
        status = tool_buffers_send(&other, err);
    }
    if (status == DLQ_OK) {
        *out = TOOL_REPLAY_EQUAL;
        status = run_beside(layer, b, &other, io, y, out, err);
    }
    tool_buffers_free(&other);
    free(y);
    return status;
}

/// Median time until a call returns. The device may lag behind; it is waited for at the end.
static int32_t
time_calls(dlq_linear *layer, struct tool_buffers *b, const struct dlq_linear_io *io, int repeats,
           double *us, struct dlq_error *err)
{
    double times[MAX_REPEATS];
    int32_t status = DLQ_OK;
    for (int i = 0; i < repeats && status == DLQ_OK; ++i) {
        const double t = tool_seconds();
        status = dlq_linear_apply(layer, io, err);
        times[i] = (tool_seconds() - t) * 1e6;
    }
    *us = status == DLQ_OK ? median(times, repeats) : 0.0;
    return status == DLQ_OK ? tool_buffers_wait(b, err) : status;
}

/// Median time of a replay on the device.
static int32_t
time_graph(struct tool_buffers *b, dlq_graph *graph, double *us, struct dlq_error *err)
{
    dlq_event *begin = NULL;
    dlq_event *end = NULL;
    double times[BATCHES];
    int32_t status = dlq_event_create(b->rt, b->device, &begin, err);
    if (status == DLQ_OK) {
        status = dlq_event_create(b->rt, b->device, &end, err);
    }
    for (int i = 0; i < BATCHES && status == DLQ_OK; ++i) {
        double ms = 0.0;
        status = dlq_event_record(begin, b->stream, err);
        for (int j = 0; j < BATCH && status == DLQ_OK; ++j) {
            status = dlq_graph_launch(graph, b->stream, err);
        }
        if (status == DLQ_OK) {
            status = dlq_event_record(end, b->stream, err);
        }
        if (status == DLQ_OK) {
            status = tool_buffers_wait(b, err);
        }
        if (status == DLQ_OK) {
            status = dlq_event_elapsed(begin, end, &ms, err);
        }
        times[i] = ms * 1e3 / BATCH;
    }
    *us = status == DLQ_OK ? median(times, BATCHES) : 0.0;
    dlq_event_destroy(begin);
    dlq_event_destroy(end);
    return status;
}

int32_t
tool_replay_time(dlq_linear *layer, struct tool_buffers *b, const struct dlq_linear_io *io,
                 bool together, struct tool_times *out, struct dlq_error *err)
{
    double first = 0.0;
    int32_t status = time_calls(layer, b, io, 1, &first, err);
    if (status != DLQ_OK) {
        return status;
    }
    int repeats = together ? 9 : first < 5e3 / MAX_REPEATS ? MAX_REPEATS : (int)(5e3 / first);
    repeats = repeats < 5 ? 5 : repeats;
    status = time_calls(layer, b, io, repeats, &out->host_us, err);
    out->us = out->host_us;
    if (status != DLQ_OK) {
        return status;
    }
    dlq_graph *graph = NULL;
    status = capture(layer, b, io, &graph, err);
    if (status == DLQ_EUNSUPPORTED) {
        return DLQ_OK;
    }
    if (status == DLQ_OK) {
        status = time_graph(b, graph, &out->us, err);
    }
    dlq_graph_destroy(graph);
    return status;
}
