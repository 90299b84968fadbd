// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "gpu.h"

#include <string.h>

/// Host memory to the device through pinned buffers, the host filling some while the device empties
/// others. Small uploads share a buffer, and none waits for the device until all are full; large
/// ones are batch.c's. What a thread posts waits for its next flush, so that the layers of several
/// threads go one after the other.

// Less than this shares a buffer.
#define LARGE ((size_t)256 << 10)

void
dlq_gpu_gather(char *to, const char *from, size_t pitch, size_t width, size_t rows)
{
    if (pitch == width) {
        memcpy(to, from, width * rows);
        return;
    }
    for (size_t i = 0; i < rows; i++) {
        memcpy(to + i * width, from + i * pitch, width);
    }
}

cudaError_t
dlq_gpu_send(cudaStream_t stream, const struct dlq_gpu_upload *to, const char *from)
{
    return to->rows == 1 || to->dst_pitch == to->width
               ? cudaMemcpyAsync(to->dst, from, to->width * to->rows, cudaMemcpyHostToDevice,
                                 stream)
               : cudaMemcpy2DAsync(to->dst, to->dst_pitch, from, to->width, to->width, to->rows,
                                   cudaMemcpyHostToDevice, stream);
}

// Large uploads of this thread that wait, all to one device.
static _Thread_local struct {
    int32_t index;
    size_t n;
    struct dlq_gpu_upload items[DLQ_GPU_POSTED];
} posts;

static cudaError_t
move_posts(const struct dlq_threads *threads)
{
    cudaError_t rc = cudaSuccess;
    struct dlq_gpu *const gpu = posts.n > 0 ? dlq_gpu_lock(posts.index, &rc) : NULL;
    if (gpu) {
        rc = dlq_gpu_move(gpu, posts.index, threads, posts.items, posts.n);
    }
    dlq_gpu_unlock(gpu);
    posts.n = 0;
    return rc;
}

// What goes to another device than what waits, or to the same place, comes after it.
static cudaError_t
keep_order(int32_t index, const struct dlq_threads *threads, const char *dst)
{
    bool after = index != posts.index;
    for (size_t i = 0; i < posts.n && !after; i++) {
        after = posts.items[i].dst == dst;
    }
    return after ? move_posts(threads) : cudaSuccess;
}

// [lock held] A small buffer with room for `size` bytes.
static cudaError_t
make_room(struct dlq_gpu *gpu, size_t size)
{
    struct dlq_gpu_buffer *const buffer = &gpu->small[gpu->at];
    // Copies of aligned memory are faster.
    gpu->used = (gpu->used + 255) & ~(size_t)255;
    if (gpu->used + size <= DLQ_GPU_SMALL_BUFFER) {
        return cudaSuccess;
    }
    const cudaError_t rc = cudaEventRecord(buffer->emptied, gpu->uploads);
    gpu->at = (gpu->at + 1) % DLQ_GPU_SMALL;
    gpu->used = 0;
    return rc == cudaSuccess ? cudaEventSynchronize(gpu->small[gpu->at].emptied) : rc;
}

static cudaError_t
upload_small(int32_t index, const struct dlq_gpu_upload *u)
{
    cudaError_t rc = cudaSuccess;
    struct dlq_gpu *const gpu = dlq_gpu_lock(index, &rc);
    if (gpu) {
        rc = make_room(gpu, u->width * u->rows);
    }
    if (gpu && rc == cudaSuccess) {
        char *const bytes = gpu->small[gpu->at].bytes + gpu->used;
        dlq_gpu_gather(bytes, u->src, u->src_pitch, u->width, u->rows);
        gpu->used += u->width * u->rows;
        rc = dlq_gpu_send(gpu->uploads, u, bytes);
    }
    dlq_gpu_unlock(gpu);
    return rc;
}

// An upload; one that `stays` may wait for others.
static int32_t
take(int32_t index, const struct dlq_threads *threads, struct dlq_gpu_upload u, bool stays,
     struct dlq_error *err)
{
    if (u.dst_pitch == u.width && u.src_pitch == u.width) {
        u.width *= u.rows;
        u.rows = 1;
    }
    cudaError_t rc = keep_order(index, threads, u.dst);
    if (rc == cudaSuccess && (stays || u.width * u.rows > LARGE)) {
        posts.index = index;
        posts.items[posts.n++] = u;
        if (!stays || posts.n == DLQ_GPU_POSTED) {
            rc = move_posts(threads);
        }
    } else if (rc == cudaSuccess) {
        rc = upload_small(index, &u);
    }
    return dlq_gpu_result(index, "uploading", rc, err);
}

int32_t
dlq_gpu_upload(int32_t index, const struct dlq_threads *threads, void *dst, size_t dst_pitch,
               const void *src, size_t src_pitch, size_t width, size_t rows, struct dlq_error *err)
{
    const struct dlq_gpu_upload u = {.dst = dst,
                                     .src = src,
                                     .dst_pitch = dst_pitch,
                                     .src_pitch = src_pitch,
                                     .width = width,
                                     .rows = rows};
    return take(index, threads, u, false, err);
}

int32_t
dlq_gpu_post(int32_t index, const struct dlq_threads *threads, void *dst, size_t dst_pitch,
             const void *src, size_t src_pitch, size_t width, size_t rows, struct dlq_error *err)
{
    const struct dlq_gpu_upload u = {.dst = dst,
                                     .src = src,
                                     .dst_pitch = dst_pitch,
                                     .src_pitch = src_pitch,
                                     .width = width,
                                     .rows = rows};
    return take(index, threads, u, true, err);
}

int32_t
dlq_gpu_flush(int32_t index, const struct dlq_threads *threads, struct dlq_error *err)
{
    cudaError_t rc = move_posts(threads);
    cudaError_t locked = cudaSuccess;
    struct dlq_gpu *const gpu = dlq_gpu_lock(index, &locked);
    const cudaStream_t stream = gpu ? gpu->uploads : NULL;
    dlq_gpu_unlock(gpu);
    // Unlocked: another thread's uploads go on.
    if (gpu) {
        locked = cudaStreamSynchronize(stream);
    }
    rc = rc == cudaSuccess ? locked : rc;
    return dlq_gpu_result(index, "uploading", rc, err);
}
