// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CORE_RUNTIME_INTERNAL_H
#define DLQ_CORE_RUNTIME_INTERNAL_H

#include <dlquant/runtime.h>

#include <stddef.h>
#include <stdint.h>

/// What the rest of the core asks of a runtime.

/// A configuration: the plugin, what its open() gave, and what its create() gave.
struct dlq_quant_config {
    dlq_runtime *rt;
    const struct dlq_plugin *plugin;
    void *ctx;
    void *config;
};

/// The runtime's allocator; lives as long as the runtime.
const struct dlq_allocator *
dlq_runtime_allocator(const dlq_runtime *rt);

/// Log one formatted line when the level is wanted.
void
dlq_runtime_log(const dlq_runtime *rt, int32_t level, const char *fmt, ...) DLQ_PRINTF(3, 4);

/// The configuration of DLQ_METHOD_UNQUANTIZED, made on first use and owned by the runtime. Any
/// thread.
int32_t
dlq_runtime_unquantized(dlq_runtime *rt, dlq_quant_config **out, struct dlq_error *err);

/// Memory of a device, aligned to `align`; NULL when it cannot be had.
void *
dlq_runtime_device_alloc(dlq_runtime *rt, struct dlq_device device, size_t size, size_t align);

/// Free device memory; NULL is a no-op.
void
dlq_runtime_device_free(dlq_runtime *rt, struct dlq_device device, void *ptr);

/// Copy `rows` runs of `width` bytes from host memory to memory of a device. Pitches are the bytes
/// from one run to the next. The host memory may be reused on return; the bytes are in place after
/// dlq_runtime_device_flush().
int32_t
dlq_runtime_device_upload(dlq_runtime *rt, struct dlq_device device, void *dst, size_t dst_pitch,
                          const void *src, size_t src_pitch, size_t width, size_t rows,
                          struct dlq_error *err);

/// As dlq_runtime_device_upload(), but the host memory has to stay as it is until
/// dlq_runtime_device_flush() returns on this thread.
int32_t
dlq_runtime_device_post(dlq_runtime *rt, struct dlq_device device, void *dst, size_t dst_pitch,
                        const void *src, size_t src_pitch, size_t width, size_t rows,
                        struct dlq_error *err);

/// Wait until all that was uploaded to a device, and posted on this thread, is in place. An error
/// of an upload that came too late for it is this call's.
int32_t
dlq_runtime_device_flush(dlq_runtime *rt, struct dlq_device device, struct dlq_error *err);

/// Copies `rows` runs of `width` bytes inside the memory of device `index` of a kind, in the order
/// of `stream`; the runs of one call do not overlap. [stream]
typedef int32_t (*dlq_device_copy_fn)(int32_t index, void *dst, size_t dst_pitch, const void *src,
                                      size_t src_pitch, size_t width, size_t rows, void *stream,
                                      struct dlq_error *err);

/// The function that copies inside a device. Looking it up may load a module; calling it does not.
int32_t
dlq_runtime_device_copier(dlq_runtime *rt, struct dlq_device device, dlq_device_copy_fn *out,
                          struct dlq_error *err);

#endif // DLQ_CORE_RUNTIME_INTERNAL_H
