// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TESTS_MODULE_H
#define DLQ_TESTS_MODULE_H

#include "device.h"

#include "error.h"

#include <stdlib.h>
#include <string.h>

/// A device module with one GPU of host memory. MODULE_VERSION, MODULE_KIND and MODULE_FLUSH make
/// it wrong.

#ifndef MODULE_VERSION
#define MODULE_VERSION DLQ_PROJECT_VERSION
#endif
#ifndef MODULE_KIND
#define MODULE_KIND DLQ_DEVICE_CUDA
#endif

static void *
module_alloc(int32_t index, size_t size, size_t align)
{
    void *ptr = NULL;
    return index == 0 && posix_memalign(&ptr, align, size) == 0 ? ptr : NULL;
}

static void
module_free(int32_t index, void *ptr)
{
    (void)index;
    free(ptr);
}

static int32_t
module_info(int32_t index, struct dlq_device_info *out, struct dlq_error *err)
{
    if (index != 0) {
        return dlq_fail_native(err, DLQ_EDEVICE, DLQ_DOMAIN_DEVICE, 101, "no CUDA device %d",
                               (int)index);
    }
    out->capability = 90;
    memcpy(out->name, "Fake GPU", 9);
    return DLQ_OK;
}

static int32_t
module_count(int32_t *out, struct dlq_error *err)
{
    (void)err;
    *out = 1;
    return DLQ_OK;
}

static int32_t
module_nothing(int32_t index, struct dlq_error *err)
{
    (void)index;
    (void)err;
    return DLQ_OK;
}

static int32_t
module_copy(int32_t index, void *dst, size_t dst_pitch, const void *src, size_t src_pitch,
            size_t width, size_t rows, void *stream, struct dlq_error *err)
{
    (void)index;
    (void)stream;
    (void)err;
    for (size_t i = 0; i < rows; i++) {
        memcpy((char *)dst + i * dst_pitch, (const char *)src + i * src_pitch, width);
    }
    return DLQ_OK;
}

static int32_t
module_upload(int32_t index, const struct dlq_threads *threads, void *dst, size_t dst_pitch,
              const void *src, size_t src_pitch, size_t width, size_t rows, struct dlq_error *err)
{
    (void)threads;
    return module_copy(index, dst, dst_pitch, src, src_pitch, width, rows, NULL, err);
}

static int32_t
module_object(int32_t index, void **out, struct dlq_error *err)
{
    *out = NULL;
    return module_nothing(index, err);
}

static void
module_destroy(int32_t index, void *object)
{
    (void)index;
    (void)object;
}

static int32_t
module_on_stream(int32_t index, void *stream, struct dlq_error *err)
{
    (void)stream;
    return module_nothing(index, err);
}

static int32_t
module_transfer(int32_t index, void *dst, const void *src, size_t size, void *stream,
                struct dlq_error *err)
{
    return module_copy(index, dst, size, src, size, size, 1, stream, err);
}

static int32_t
module_capture_end(int32_t index, void *stream, void **graph, struct dlq_error *err)
{
    (void)stream;
    return module_object(index, graph, err);
}

static int32_t
module_on_object(int32_t index, void *object, void *stream, struct dlq_error *err)
{
    (void)object;
    return module_on_stream(index, stream, err);
}

static int32_t
module_elapsed(int32_t index, void *from, void *to, double *ms, struct dlq_error *err)
{
    *ms = 0.0;
    return module_on_object(index, from, to, err);
}

#ifndef MODULE_FLUSH
#define MODULE_FLUSH module_flush

static int32_t
module_flush(int32_t index, const struct dlq_threads *threads, struct dlq_error *err)
{
    (void)threads;
    return module_nothing(index, err);
}
#endif

static const struct dlq_device_ops module = {
    .struct_size = sizeof(module),
    .kind = MODULE_KIND,
    .version = MODULE_VERSION,
    .count = module_count,
    .info = module_info,
    .use = module_nothing,
    .alloc = module_alloc,
    .free = module_free,
    .upload = module_upload,
    .post = module_upload,
    .flush = MODULE_FLUSH,
    .copy = module_copy,
    .stream_create = module_object,
    .stream_destroy = module_destroy,
    .stream_synchronize = module_on_stream,
    .transfer = module_transfer,
    .capture_begin = module_on_stream,
    .capture_end = module_capture_end,
    .graph_launch = module_on_object,
    .graph_destroy = module_destroy,
    .event_create = module_object,
    .event_destroy = module_destroy,
    .event_record = module_on_object,
    .event_elapsed = module_elapsed,
};

DLQ_EXPORT const struct dlq_device_ops *
dlq_device_module(void);

const struct dlq_device_ops *
dlq_device_module(void)
{
    return &module;
}

#endif // DLQ_TESTS_MODULE_H
