// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CORE_CUDA_GPU_H
#define DLQ_CORE_CUDA_GPU_H

#include "../device.h"
#include "../error.h"

#include <cuda.h>
#include <cuda_runtime_api.h>

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

/// The devices of the module dlquant-cuda.so from the inside.

/// Most devices of a machine that are looked at.
#define DLQ_GPU_MAX 64

/// Bytes of a pinned buffer: with less the device waits between copies.
#define DLQ_GPU_BUFFER ((size_t)2 << 20)

/// Buffers that small uploads fill one after the other.
#define DLQ_GPU_SMALL 2

/// Threads that fill buffers with pieces of large uploads; more would be in each other's way.
#define DLQ_GPU_THREADS 8

/// Their buffers: one to fill while the device empties another, and few enough that they stay in
/// the processor's cache.
#define DLQ_GPU_LARGE (2 * DLQ_GPU_THREADS)

/// Streams of uploads; two, so that one copy begins while another ends.
#define DLQ_GPU_STREAMS 2

/// Large uploads that may wait to be done together.
#define DLQ_GPU_POSTED 64

/// Blocks of unused memory that may be kept.
#define DLQ_GPU_KEPT 32

/// Memory of the device.
struct dlq_gpu_block {
    void *ptr;
    size_t size;
};

/// A pinned buffer.
struct dlq_gpu_buffer {
    pthread_mutex_t lock; ///< Held by who fills it, with pieces of large uploads
    char *bytes;
    cudaEvent_t emptied; ///< Recorded behind the last copy out of it
};

/// Runs of bytes on their way to the device.
struct dlq_gpu_upload {
    char *dst;
    const char *src;
    size_t dst_pitch, src_pitch;
    size_t width, rows;
};

/// What the module keeps for one device, made when it is first used and kept until the process
/// ends.
struct dlq_gpu {
    pthread_mutex_t lock; ///< Guards all below but the buffers of large uploads
    bool ready;           ///< Everything is there but for the memory of the buffers
    cudaStream_t uploads[DLQ_GPU_STREAMS]; ///< Small ones go on the first
    cudaEvent_t joint;                     ///< Orders the streams among themselves
    struct dlq_gpu_buffer small[DLQ_GPU_SMALL];
    struct dlq_gpu_buffer large[DLQ_GPU_LARGE];
    int at;      ///< Small buffer that is being filled
    size_t used; ///< Bytes of it
    struct dlq_gpu_upload posted[DLQ_GPU_POSTED];
    size_t n_posted;
    struct dlq_gpu_block kept[DLQ_GPU_KEPT]; ///< Memory that nobody uses, the oldest first
    int n_kept;
    size_t kept_bytes;
};

/// Make device `index` current, beside whatever is current for the thread; dlq_gpu_leave() undoes
/// it where this succeeded.
cudaError_t
dlq_gpu_enter(int32_t index);

void
dlq_gpu_leave(void);

/// DLQ_OK for cudaSuccess, else DLQ_EDEVICE with "CUDA device <index>: <what>: <why>". The
/// runtime's own note of the error is cleared.
int32_t
dlq_gpu_result(int32_t index, const char *what, cudaError_t rc, struct dlq_error *err);

/// The state of a device, locked; current is the device. NULL, and nothing to undo, with the error
/// in `*rc` when it cannot be used.
struct dlq_gpu *
dlq_gpu_lock(int32_t index, cudaError_t *rc);

/// NULL is a no-op.
void
dlq_gpu_unlock(struct dlq_gpu *gpu);

/// Size of a block of memory as it was allocated; the device is current.
cudaError_t
dlq_gpu_size(const void *ptr, size_t *out);

// Members of struct dlq_device_ops, one file a group.

void *
dlq_gpu_alloc(int32_t index, size_t size, size_t align);

void
dlq_gpu_free(int32_t index, void *ptr);

int32_t
dlq_gpu_upload(int32_t index, const struct dlq_threads *threads, void *dst, size_t dst_pitch,
               const void *src, size_t src_pitch, size_t width, size_t rows, struct dlq_error *err);

int32_t
dlq_gpu_post(int32_t index, const struct dlq_threads *threads, void *dst, size_t dst_pitch,
             const void *src, size_t src_pitch, size_t width, size_t rows, struct dlq_error *err);

int32_t
dlq_gpu_flush(int32_t index, const struct dlq_threads *threads, struct dlq_error *err);

int32_t
dlq_gpu_copy(int32_t index, void *dst, size_t dst_pitch, const void *src, size_t src_pitch,
             size_t width, size_t rows, void *stream, struct dlq_error *err);

int32_t
dlq_gpu_stream_create(int32_t index, void **out, struct dlq_error *err);

void
dlq_gpu_stream_destroy(int32_t index, void *stream);

int32_t
dlq_gpu_stream_synchronize(int32_t index, void *stream, struct dlq_error *err);

int32_t
dlq_gpu_transfer(int32_t index, void *dst, const void *src, size_t size, void *stream,
                 struct dlq_error *err);

int32_t
dlq_gpu_capture_begin(int32_t index, void *stream, struct dlq_error *err);

int32_t
dlq_gpu_capture_end(int32_t index, void *stream, void **graph, struct dlq_error *err);

int32_t
dlq_gpu_graph_launch(int32_t index, void *graph, void *stream, struct dlq_error *err);

void
dlq_gpu_graph_destroy(int32_t index, void *graph);

int32_t
dlq_gpu_event_create(int32_t index, void **out, struct dlq_error *err);

void
dlq_gpu_event_destroy(int32_t index, void *event);

int32_t
dlq_gpu_event_record(int32_t index, void *event, void *stream, struct dlq_error *err);

int32_t
dlq_gpu_event_elapsed(int32_t index, void *from, void *to, double *ms, struct dlq_error *err);

#endif // DLQ_CORE_CUDA_GPU_H
