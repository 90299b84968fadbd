// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQUANT_DEVICE_H
#define DLQUANT_DEVICE_H

#include <dlquant/abi.h>
#include <dlquant/runtime.h>
#include <dlquant/status.h>
#include <dlquant/types.h>

#include <stddef.h>
#include <stdint.h>

/// Memory, streams, graphs and time of a device: what an engine without headers of the device's own
/// needs to run layers there. An engine that has them uses its own pointers and streams instead.
///
/// On the CPU everything is done when a function returns, and there are no graphs. All functions
/// but those of one stream may be called from any thread; DLQ_EDEVICE says what the device said.

DLQ_BEGIN_DECLS

/// Work of one device that is done in the order in which it was enqueued.
typedef struct dlq_stream dlq_stream;

/// Work that was captured from a stream and can be enqueued again.
typedef struct dlq_graph dlq_graph;

/// A point in a stream, with its time.
typedef struct dlq_event dlq_event;

/// How many devices of a kind (enum dlq_device_kind) this process can use. DLQ_EDEVICE: none, and
/// why. [any-thread] @since 1.0
DLQ_API int32_t
dlq_device_count(dlq_runtime *rt, int32_t kind, int32_t *out, struct dlq_error *err);

/// Make the device the calling thread's current one, as dlq_linear_apply() expects of the device of
/// its layer. A thread that never called it has the first device. [any-thread] @since 1.0
DLQ_API int32_t
dlq_device_use(dlq_runtime *rt, struct dlq_device device, struct dlq_error *err);

/// Memory of a device, contents undefined, aligned to 256 bytes. A size of 0 gives a pointer that
/// has to be freed too. The caller owns `*out` until dlq_device_free(). DLQ_ENOMEM when it cannot
/// be had. [any-thread] @since 1.0
DLQ_API int32_t
dlq_device_alloc(dlq_runtime *rt, struct dlq_device device, size_t size, void **out,
                 struct dlq_error *err);

/// Give back what dlq_device_alloc() gave for the same device; NULL is a no-op. [any-thread]
/// @since 1.0
DLQ_API void
dlq_device_free(dlq_runtime *rt, struct dlq_device device, void *ptr);

/// Make a stream of a device. On success the caller owns `*out` until dlq_stream_destroy(); it must
/// not outlive the runtime. [any-thread] @since 1.0
DLQ_API int32_t
dlq_stream_create(dlq_runtime *rt, struct dlq_device device, dlq_stream **out,
                  struct dlq_error *err);

/// Free a stream whose work is done. NULL is a no-op. [any-thread] @since 1.0
DLQ_API void
dlq_stream_destroy(dlq_stream *stream);

/// What struct dlq_linear_io takes as its stream: a cudaStream_t; NULL on the CPU. [any-thread]
/// @since 1.0
DLQ_API void *
dlq_stream_handle(const dlq_stream *stream);

/// Wait until all work of the stream is done; an error of that work is this call's. [any-thread]
/// @since 1.0
DLQ_API int32_t
dlq_stream_synchronize(dlq_stream *stream, struct dlq_error *err);

/// Copy `size` bytes from host memory to memory of the device, after the work before it, and wait.
/// [any-thread] @since 1.0
DLQ_API int32_t
dlq_stream_upload(dlq_stream *stream, void *dst, const void *src, size_t size,
                  struct dlq_error *err);

/// Copy `size` bytes from memory of the device to host memory, after the work before it, and wait.
/// [any-thread] @since 1.0
DLQ_API int32_t
dlq_stream_download(dlq_stream *stream, void *dst, const void *src, size_t size,
                    struct dlq_error *err);

/// Copy `size` bytes inside the memory of the device; they do not overlap. [stream] @since 1.0
DLQ_API int32_t
dlq_stream_copy(dlq_stream *stream, void *dst, const void *src, size_t size, struct dlq_error *err);

/// Capture what this thread enqueues from here on instead of doing it. DLQ_EUNSUPPORTED on a device
/// without graphs. [any-thread] @since 1.0
DLQ_API int32_t
dlq_stream_capture_begin(dlq_stream *stream, struct dlq_error *err);

/// End what dlq_stream_capture_begin() began, on the same thread and also after something between
/// them failed. On success the caller owns `*out` until dlq_graph_destroy(); memory that the
/// captured work names must live as long. [any-thread] @since 1.0
DLQ_API int32_t
dlq_stream_capture_end(dlq_stream *stream, dlq_graph **out, struct dlq_error *err);

/// Enqueue the captured work once more, on a stream of the same device. [stream] @since 1.0
DLQ_API int32_t
dlq_graph_launch(dlq_graph *graph, dlq_stream *stream, struct dlq_error *err);

/// Free a graph whose work is done. NULL is a no-op. [any-thread] @since 1.0
DLQ_API void
dlq_graph_destroy(dlq_graph *graph);

/// Make an event of a device. On success the caller owns `*out` until dlq_event_destroy(); it must
/// not outlive the runtime. [any-thread] @since 1.0
DLQ_API int32_t
dlq_event_create(dlq_runtime *rt, struct dlq_device device, dlq_event **out, struct dlq_error *err);

/// NULL is a no-op. [any-thread] @since 1.0
DLQ_API void
dlq_event_destroy(dlq_event *event);

/// Let the event stand behind the work enqueued so far on a stream of the same device. [stream]
/// @since 1.0
DLQ_API int32_t
dlq_event_record(dlq_event *event, dlq_stream *stream, struct dlq_error *err);

/// Wait for two recorded events and give the milliseconds from one to the other. [any-thread]
/// @since 1.0
DLQ_API int32_t
dlq_event_elapsed(dlq_event *from, dlq_event *to, double *ms, struct dlq_error *err);

DLQ_END_DECLS

#endif // DLQUANT_DEVICE_H
