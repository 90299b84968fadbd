// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CORE_CUDA_GPU_H
#define DLQ_CORE_CUDA_GPU_H

#include "../device.h"
#include "../error.h"

#include <cuda_runtime_api.h>

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

/// The devices of the module dlquant-cuda.so from the inside.

/// Most devices of a machine that are looked at.
#define DLQ_GPU_MAX 64

/// Bytes of one pinned buffer and the number of them: enough that the copies to the device and
/// those on the host overlap, and little enough that the buffers stay in the processor's cache.
#define DLQ_GPU_BUFFER ((size_t)4 << 20)
#define DLQ_GPU_BUFFERS 4

/// What the module keeps for one device, made when it is first used and kept until the process
/// ends.
struct dlq_gpu {
    pthread_mutex_t lock;                 ///< Guards all below
    bool ready;                           ///< Everything but `buffer` is there
    cudaMemPool_t pool;                   ///< NULL: this device has no pools
    cudaStream_t memory;                  ///< Orders the pool; never anything else on it
    cudaStream_t uploads;                 ///< Copies out of the buffers, in their order
    char *buffer[DLQ_GPU_BUFFERS];        ///< Pinned; NULL before the first upload
    cudaEvent_t emptied[DLQ_GPU_BUFFERS]; ///< Recorded behind the last copy out of a buffer
    int at;                               ///< Buffer that is being filled
    size_t used;                          ///< Bytes of it
};

/// The caller's device, while another one is current.
struct dlq_gpu_scope {
    int before;
    int index;
};

/// Make device `index` current; dlq_gpu_leave() undoes it, also after a failure.
cudaError_t
dlq_gpu_enter(struct dlq_gpu_scope *scope, int32_t index);

void
dlq_gpu_leave(const struct dlq_gpu_scope *scope);

/// DLQ_OK for cudaSuccess, else DLQ_EDEVICE with "CUDA device <index>: <what>: <why>". The
/// runtime's own note of the error is cleared.
int32_t
dlq_gpu_result(int32_t index, const char *what, cudaError_t rc, struct dlq_error *err);

/// The state of a device, locked; current is the device. NULL with the error in `*rc` when it
/// cannot be used. dlq_gpu_unlock() in any case.
struct dlq_gpu *
dlq_gpu_lock(struct dlq_gpu_scope *scope, int32_t index, cudaError_t *rc);

void
dlq_gpu_unlock(const struct dlq_gpu_scope *scope, struct dlq_gpu *gpu);

// Members of struct dlq_device_ops, one file a group.

void *
dlq_gpu_alloc(int32_t index, size_t size, size_t align);

void
dlq_gpu_free(int32_t index, void *ptr);

int32_t
dlq_gpu_upload(int32_t index, const struct dlq_threads *threads, void *dst, size_t dst_pitch,
               const void *src, size_t src_pitch, size_t width, size_t rows, struct dlq_error *err);

int32_t
dlq_gpu_flush(int32_t index, struct dlq_error *err);

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
