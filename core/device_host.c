// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "device.h"

#include "error.h"

#include <string.h>
#include <time.h>

/// The CPU as a device: everything is done on return.

static int32_t
count(int32_t *out, struct dlq_error *err)
{
    (void)err;
    *out = 1;
    return DLQ_OK;
}

static int32_t
info(int32_t index, struct dlq_device_info *out, struct dlq_error *err)
{
    (void)index;
    return dlq_device_cpu_info(out, err);
}

static int32_t
nothing(int32_t index, struct dlq_error *err)
{
    (void)index;
    (void)err;
    return DLQ_OK;
}

static int32_t
copy(int32_t index, void *dst, size_t dst_pitch, const void *src, size_t src_pitch, size_t width,
     size_t rows, void *stream, struct dlq_error *err)
{
    (void)index;
    (void)stream;
    (void)err;
    if (rows == 1 || (dst_pitch == width && src_pitch == width)) {
        memcpy(dst, src, width * rows);
        return DLQ_OK;
    }
    for (size_t i = 0; i < rows; i++) {
        memcpy((char *)dst + i * dst_pitch, (const char *)src + i * src_pitch, width);
    }
    return DLQ_OK;
}

static int32_t
upload(int32_t index, const struct dlq_threads *threads, void *dst, size_t dst_pitch,
       const void *src, size_t src_pitch, size_t width, size_t rows, struct dlq_error *err)
{
    (void)threads;
    return copy(index, dst, dst_pitch, src, src_pitch, width, rows, NULL, err);
}

static int32_t
flush(int32_t index, const struct dlq_threads *threads, struct dlq_error *err)
{
    (void)threads;
    return nothing(index, err);
}

static int32_t
stream_create(int32_t index, void **out, struct dlq_error *err)
{
    (void)index;
    (void)err;
    *out = NULL;
    return DLQ_OK;
}

static void
destroy(int32_t index, void *object)
{
    (void)index;
    (void)object;
}

static int32_t
stream_synchronize(int32_t index, void *stream, struct dlq_error *err)
{
    (void)stream;
    return nothing(index, err);
}

static int32_t
transfer(int32_t index, void *dst, const void *src, size_t size, void *stream,
         struct dlq_error *err)
{
    return copy(index, dst, size, src, size, size, 1, stream, err);
}

static int32_t
capture_begin(int32_t index, void *stream, struct dlq_error *err)
{
    (void)index;
    (void)stream;
    return dlq_fail_native(err, DLQ_EUNSUPPORTED, DLQ_DOMAIN_DEVICE, 0, "the CPU has no graphs");
}

static int32_t
capture_end(int32_t index, void *stream, void **graph, struct dlq_error *err)
{
    (void)graph;
    return capture_begin(index, stream, err);
}

static int32_t
graph_launch(int32_t index, void *graph, void *stream, struct dlq_error *err)
{
    (void)graph;
    return capture_begin(index, stream, err);
}

static int32_t
event_create(int32_t index, void **out, struct dlq_error *err)
{
    (void)out;
    return nothing(index, err);
}

static int32_t
event_record(int32_t index, void *event, void *stream, struct dlq_error *err)
{
    struct timespec now;
    (void)stream;
    clock_gettime(CLOCK_MONOTONIC, &now);
    *(double *)event = (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
    return nothing(index, err);
}

static int32_t
event_elapsed(int32_t index, void *from, void *to, double *ms, struct dlq_error *err)
{
    *ms = *(const double *)to - *(const double *)from;
    return nothing(index, err);
}

const struct dlq_device_ops dlq_device_host_ops = {
    .struct_size = sizeof(dlq_device_host_ops),
    .kind = DLQ_DEVICE_CPU,
    .count = count,
    .info = info,
    .use = nothing,
    .upload = upload,
    .post = upload,
    .flush = flush,
    .copy = copy,
    .stream_create = stream_create,
    .stream_destroy = destroy,
    .stream_synchronize = stream_synchronize,
    .transfer = transfer,
    .capture_begin = capture_begin,
    .capture_end = capture_end,
    .graph_launch = graph_launch,
    .graph_destroy = destroy,
    .event_create = event_create,
    .event_destroy = destroy,
    .event_record = event_record,
    .event_elapsed = event_elapsed,
};
