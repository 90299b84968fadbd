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

/// Bytes of a pinned buffer that small uploads share.
#define DLQ_GPU_SMALL_BUFFER ((size_t)2 << 20)

/// Those buffers, filled one after the other.
#define DLQ_GPU_SMALL 2

/// Bytes of a pinned buffer that a thread fills with pieces of large uploads: with less the device
/// pauses between copies.
#define DLQ_GPU_BUFFER ((size_t)2 << 20)

/// Most threads that fill such buffers; more would be in each other's way.
#define DLQ_GPU_THREADS 12

/// Large uploads of a thread that may wait to be done together.
#define DLQ_GPU_POSTED 64

/// Blocks of unused memory that may be kept.
#define DLQ_GPU_KEPT 32

/// Memory of the device.
struct dlq_gpu_block {
    void *ptr;
    size_t size;
    bool settled; ///< No work that was enqueued before it was given back is left
};

/// A pinned buffer.
struct dlq_gpu_buffer {
    char *bytes;
    cudaEvent_t emptied; ///< Recorded behind the last copy out of it
};

/// Buffers of one thread at a time, one to fill while the device empties the other.
struct dlq_gpu_pair {
    struct dlq_gpu_buffer buffers[2];
    bool at;    ///< The one to be filled next
    bool taken; ///< By a thread of the batch in work, whose lock guards it
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
    pthread_mutex_t lock; ///< Guards uploads: all above `memory`
    bool ready;           ///< Everything below is there
    char *pinned;         ///< The memory of all buffers
    cudaStream_t uploads;
    struct dlq_gpu_buffer small[DLQ_GPU_SMALL];
    struct dlq_gpu_pair pairs[DLQ_GPU_THREADS]; ///< Of large ones
    int at;                                     ///< Small buffer that is being filled
    size_t used;                                ///< Bytes of it
    pthread_mutex_t memory; ///< Guards all below, so that one thread packs while another uploads
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

/// The state of a device, locked for uploads; current is the device. NULL, and nothing to undo,
/// with the error in `*rc` when it cannot be used.
struct dlq_gpu *
dlq_gpu_lock(int32_t index, cudaError_t *rc);

/// NULL is a no-op.
void
dlq_gpu_unlock(struct dlq_gpu *gpu);

/// dlq_gpu_lock() for its memory.
struct dlq_gpu *
dlq_gpu_lock_memory(int32_t index, cudaError_t *rc);

/// NULL is a no-op.
void
dlq_gpu_unlock_memory(struct dlq_gpu *gpu);

/// Copy runs of bytes behind each other into `to`.
void
dlq_gpu_gather(char *to, const char *from, size_t pitch, size_t width, size_t rows);

/// Enqueue the copy of runs that lie behind each other in a buffer.
cudaError_t
dlq_gpu_send(cudaStream_t stream, const struct dlq_gpu_upload *to, const char *from);

/// Do `n` large uploads: their sources are read when it returns. [lock held]
cudaError_t
dlq_gpu_move(struct dlq_gpu *gpu, int32_t index, const struct dlq_threads *threads,
             const struct dlq_gpu_upload *uploads, size_t n);

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
