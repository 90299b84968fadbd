// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include <dlquant/device.h>

#include "alloc.h"
#include "device.h"
#include "error.h"
#include "runtime_state.h"

// As every parameter of a layer.
#define ALIGNMENT 256

// What the objects of this file have in common. They keep the functions of their device, so that
// using one looks nothing up.
struct handle {
    const struct dlq_device_ops *ops;
    const struct dlq_allocator *alloc;
    int32_t index;
    void *own; ///< The device's own object
};

struct dlq_stream {
    struct handle base;
};

struct dlq_graph {
    struct handle base;
};

struct dlq_event {
    struct handle base;
    double time; ///< For a device without objects of its own
};

int32_t
dlq_device_count(dlq_runtime *rt, int32_t kind, int32_t *out, struct dlq_error *err)
{
    const struct dlq_device_ops *ops = NULL;
    *out = 0;
    const int32_t rc = dlq_device_ops_find(rt, (struct dlq_device){.kind = kind}, &ops, err);
    return rc == DLQ_OK ? ops->count(out, err) : rc;
}

int32_t
dlq_device_use(dlq_runtime *rt, struct dlq_device device, struct dlq_error *err)
{
    const struct dlq_device_ops *ops = NULL;
    const int32_t rc = dlq_device_ops_find(rt, device, &ops, err);
    return rc == DLQ_OK ? ops->use(device.index, err) : rc;
}

int32_t
dlq_device_alloc(dlq_runtime *rt, struct dlq_device device, size_t size, void **out,
                 struct dlq_error *err)
{
    const struct dlq_device_ops *ops = NULL;
    const int32_t rc = dlq_device_ops_find(rt, device, &ops, err);
    if (rc != DLQ_OK) {
        return rc;
    }
    *out = dlq_runtime_device_alloc(rt, device, size, ALIGNMENT);
    return *out ? DLQ_OK
                : dlq_fail_native(err, DLQ_ENOMEM, DLQ_DOMAIN_DEVICE, 0,
                                  "%zu bytes of memory of device %d could not be had", size,
                                  (int)device.index);
}

void
dlq_device_free(dlq_runtime *rt, struct dlq_device device, void *ptr)
{
    dlq_runtime_device_free(rt, device, ptr);
}

// An object of `size` bytes that begins with a handle.
static int32_t
make(dlq_runtime *rt, struct dlq_device device, size_t size, struct handle **out,
     struct dlq_error *err)
{
    const struct dlq_device_ops *ops = NULL;
    const int32_t rc = dlq_device_ops_find(rt, device, &ops, err);
    if (rc != DLQ_OK) {
        return rc;
    }
    const struct dlq_allocator *const alloc = dlq_runtime_allocator(rt);
    struct handle *const h = dlq_calloc(alloc, 1, size);
    if (!h) {
        return dlq_fail(err, DLQ_ENOMEM, "no memory for an object of device %d", device.index);
    }
    *h = (struct handle){.ops = ops, .alloc = alloc, .index = device.index};
    *out = h;
    return DLQ_OK;
}

int32_t
dlq_stream_create(dlq_runtime *rt, struct dlq_device device, dlq_stream **out,
                  struct dlq_error *err)
{
    struct handle *h = NULL;
    int32_t rc = make(rt, device, sizeof(dlq_stream), &h, err);
    if (rc == DLQ_OK) {
        rc = h->ops->stream_create(h->index, &h->own, err);
        if (rc != DLQ_OK) {
            dlq_free(h->alloc, h);
            return rc;
        }
        *out = (dlq_stream *)h;
    }
    return rc;
}

void
dlq_stream_destroy(dlq_stream *stream)
{
    if (stream) {
        stream->base.ops->stream_destroy(stream->base.index, stream->base.own);
        dlq_free(stream->base.alloc, stream);
    }
}

void *
dlq_stream_handle(const dlq_stream *stream)
{
    return stream->base.own;
}

int32_t
dlq_stream_synchronize(dlq_stream *stream, struct dlq_error *err)
{
    const struct handle *const h = &stream->base;
    return h->ops->stream_synchronize(h->index, h->own, err);
}

int32_t
dlq_stream_upload(dlq_stream *stream, void *dst, const void *src, size_t size,
                  struct dlq_error *err)
{
    const struct handle *const h = &stream->base;
    return size > 0 ? h->ops->transfer(h->index, dst, src, size, h->own, err) : DLQ_OK;
}

int32_t
dlq_stream_download(dlq_stream *stream, void *dst, const void *src, size_t size,
                    struct dlq_error *err)
{
    return dlq_stream_upload(stream, dst, src, size, err);
}

int32_t
dlq_stream_copy(dlq_stream *stream, void *dst, const void *src, size_t size, struct dlq_error *err)
{
    const struct handle *const h = &stream->base;
    return size > 0 ? h->ops->copy(h->index, dst, size, src, size, size, 1, h->own, err) : DLQ_OK;
}

int32_t
dlq_stream_capture_begin(dlq_stream *stream, struct dlq_error *err)
{
    const struct handle *const h = &stream->base;
    return h->ops->capture_begin(h->index, h->own, err);
}

int32_t
dlq_stream_capture_end(dlq_stream *stream, dlq_graph **out, struct dlq_error *err)
{
    const struct handle *const h = &stream->base;
    void *own = NULL;
    const int32_t rc = h->ops->capture_end(h->index, h->own, &own, err);
    if (rc != DLQ_OK) {
        return rc;
    }
    dlq_graph *const graph = dlq_calloc(h->alloc, 1, sizeof(*graph));
    if (!graph) {
        h->ops->graph_destroy(h->index, own);
        return dlq_fail(err, DLQ_ENOMEM, "no memory for a graph of device %d", h->index);
    }
    graph->base = *h;
    graph->base.own = own;
    *out = graph;
    return DLQ_OK;
}

int32_t
dlq_graph_launch(dlq_graph *graph, dlq_stream *stream, struct dlq_error *err)
{
    const struct handle *const h = &graph->base;
    return h->ops->graph_launch(h->index, h->own, stream->base.own, err);
}

void
dlq_graph_destroy(dlq_graph *graph)
{
    if (graph) {
        graph->base.ops->graph_destroy(graph->base.index, graph->base.own);
        dlq_free(graph->base.alloc, graph);
    }
}

int32_t
dlq_event_create(dlq_runtime *rt, struct dlq_device device, dlq_event **out, struct dlq_error *err)
{
    struct handle *h = NULL;
    int32_t rc = make(rt, device, sizeof(dlq_event), &h, err);
    if (rc == DLQ_OK) {
        h->own = &((dlq_event *)h)->time;
        rc = h->ops->event_create(h->index, &h->own, err);
        if (rc != DLQ_OK) {
            dlq_free(h->alloc, h);
            return rc;
        }
        *out = (dlq_event *)h;
    }
    return rc;
}

void
dlq_event_destroy(dlq_event *event)
{
    if (event) {
        event->base.ops->event_destroy(event->base.index, event->base.own);
        dlq_free(event->base.alloc, event);
    }
}

int32_t
dlq_event_record(dlq_event *event, dlq_stream *stream, struct dlq_error *err)
{
    const struct handle *const h = &event->base;
    return h->ops->event_record(h->index, h->own, stream->base.own, err);
}

int32_t
dlq_event_elapsed(dlq_event *from, dlq_event *to, double *ms, struct dlq_error *err)
{
    const struct handle *const h = &from->base;
    return h->ops->event_elapsed(h->index, h->own, to->base.own, ms, err);
}
