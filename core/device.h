// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CORE_DEVICE_H
#define DLQ_CORE_DEVICE_H

#include "registry.h"
#include "runtime_internal.h"

#include <dlquant/host.h>
#include <dlquant/runtime.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// Devices by kind. The CPU is built in (device_host.c); another kind is a module of this library,
/// loaded when one of its devices is first asked for, so that the library itself needs no driver.

/// What a module implements for the devices of its kind. `index` is the ordinal within the kind.
/// All functions are [any-thread] and, but for use(), leave the caller's current device as it was.
/// Those that take a stream, an event or a graph get it from their create function; the device of
/// the stream is current already where a function is [stream].
struct dlq_device_ops {
    uint32_t struct_size; ///< sizeof(struct dlq_device_ops)
    int32_t kind;         ///< enum dlq_device_kind
    const char *version;  ///< DLQ_VERSION; a module belongs to one library version

    /// How many devices there are. DLQ_EDEVICE: none, and why.
    int32_t (*count)(int32_t *out, struct dlq_error *err);

    /// Fill `out`, whose members are zero but for `device`; DLQ_EDEVICE when there is no such
    /// device.
    int32_t (*info)(int32_t index, struct dlq_device_info *out, struct dlq_error *err);

    /// Make the device the calling thread's current one.
    int32_t (*use)(int32_t index, struct dlq_error *err);

    /// Memory aligned to `align`, or NULL. `size` is above 0.
    void *(*alloc)(int32_t index, size_t size, size_t align);

    /// Give back what alloc() gave for the same index, when the device has done all work that was
    /// enqueued before. Never NULL.
    void (*free)(int32_t index, void *ptr);

    /// Copy `rows` runs of `width` bytes, both above 0, from host memory, which may be reused on
    /// return. The bytes are in place after flush(). `threads` copy on the host.
    int32_t (*upload)(int32_t index, const struct dlq_threads *threads, void *dst, size_t dst_pitch,
                      const void *src, size_t src_pitch, size_t width, size_t rows,
                      struct dlq_error *err);

    /// As upload(), but the host memory has to stay as it is until flush() returns on this thread,
    /// so that many calls may be done together.
    int32_t (*post)(int32_t index, const struct dlq_threads *threads, void *dst, size_t dst_pitch,
                    const void *src, size_t src_pitch, size_t width, size_t rows,
                    struct dlq_error *err);

    /// Wait until all that upload() took for the device, and post() on this thread, is in place.
    int32_t (*flush)(int32_t index, const struct dlq_threads *threads, struct dlq_error *err);

    /// See dlq_device_copy_fn.
    dlq_device_copy_fn copy;

    /// Streams; what dlq_linear_apply() takes is what stream_create() gives.
    int32_t (*stream_create)(int32_t index, void **out, struct dlq_error *err);
    void (*stream_destroy)(int32_t index, void *stream);
    int32_t (*stream_synchronize)(int32_t index, void *stream, struct dlq_error *err);

    /// Copy `size` bytes, above 0, from or to host memory in the order of the stream, and wait.
    int32_t (*transfer)(int32_t index, void *dst, const void *src, size_t size, void *stream,
                        struct dlq_error *err);

    /// Graphs: what is enqueued on the stream between begin and end.
    int32_t (*capture_begin)(int32_t index, void *stream, struct dlq_error *err);
    int32_t (*capture_end)(int32_t index, void *stream, void **graph, struct dlq_error *err);
    int32_t (*graph_launch)(int32_t index, void *graph, void *stream, struct dlq_error *err);
    void (*graph_destroy)(int32_t index, void *graph);

    /// Events that take the time. event_create() finds in `*out` a double that lives as long, for
    /// a device that has no events of its own.
    int32_t (*event_create)(int32_t index, void **out, struct dlq_error *err);
    void (*event_destroy)(int32_t index, void *event);
    int32_t (*event_record)(int32_t index, void *event, void *stream, struct dlq_error *err);
    /// Wait for both and give the milliseconds between them.
    int32_t (*event_elapsed)(int32_t index, void *from, void *to, double *ms,
                             struct dlq_error *err);
};

/// The one symbol of a device module: returns static constant data.
typedef const struct dlq_device_ops *(*dlq_device_module_fn)(void);

/// Name of the symbol, for dlsym().
#define DLQ_DEVICE_MODULE_SYMBOL "dlq_device_module"

/// File of the module for DLQ_DEVICE_CUDA.
#define DLQ_DEVICE_MODULE_CUDA "dlquant-cuda.so"

/// The operations of a kind other than the CPU, its module loaded when it is not yet. DLQ_EDEVICE
/// says what is missing.
int32_t
dlq_device_ops_get(struct dlq_registry *reg, int32_t kind, const struct dlq_device_ops **out,
                   struct dlq_error *err);

/// The same for any device, the CPU too. DLQ_EDEVICE for an index that the CPU does not have.
int32_t
dlq_device_ops_find(dlq_runtime *rt, struct dlq_device device, const struct dlq_device_ops **out,
                    struct dlq_error *err);

/// The CPU; its memory comes from the runtime's allocator, and alloc() and free() are NULL.
extern const struct dlq_device_ops dlq_device_host_ops;

/// Facts of the CPU that this process runs on.
int32_t
dlq_device_cpu_info(struct dlq_device_info *out, struct dlq_error *err);

/// Cores that this process may run on, 1 or more.
int32_t
dlq_device_cpu_cores(void);

#endif // DLQ_CORE_DEVICE_H
