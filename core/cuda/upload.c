// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "gpu.h"

#include <stdatomic.h>
#include <string.h>

/// Host memory to the device through pinned buffers, the host filling some while the device empties
/// others. Small uploads share a buffer, and none waits for the device until all are full. Large
/// ones are cut into pieces that threads take as they are free, each with a buffer of its own.

// Less than this is not worth waking another thread.
#define LARGE ((size_t)1 << 20)

// One upload.
struct upload {
    struct dlq_gpu *gpu;
    int32_t index;
    char *dst;
    const char *src;
    size_t dst_pitch, src_pitch;
    size_t width, rows;
    size_t piece_width, piece_rows; ///< Of all pieces but the last of a row and the last rows
    size_t pieces_a_row;
    _Atomic int failed; ///< First error
};

static size_t
lesser(size_t a, size_t b)
{
    return a < b ? a : b;
}

// Runs behind each other in a buffer.
static void
gather(char *to, const char *from, size_t pitch, size_t width, size_t rows)
{
    if (pitch == width) {
        memcpy(to, from, width * rows);
        return;
    }
    for (size_t i = 0; i < rows; i++) {
        memcpy(to + i * width, from + i * pitch, width);
    }
}

static cudaError_t
send(cudaStream_t stream, char *dst, size_t dst_pitch, const char *from, size_t width, size_t rows)
{
    return rows == 1 || dst_pitch == width
               ? cudaMemcpyAsync(dst, from, width * rows, cudaMemcpyHostToDevice, stream)
               : cudaMemcpy2DAsync(dst, dst_pitch, from, width, width, rows, cudaMemcpyHostToDevice,
                                   stream);
}

// [buffer's owner] Wait until the device has emptied the buffer.
static cudaError_t
await(struct dlq_gpu_buffer *buffer)
{
    if (!buffer->bytes) {
        return cudaHostAlloc((void **)&buffer->bytes, DLQ_GPU_BUFFER, cudaHostAllocPortable);
    }
    return cudaEventSynchronize(buffer->emptied);
}

static cudaError_t
move_piece(const struct upload *u, size_t piece)
{
    struct dlq_gpu_buffer *const buffer = &u->gpu->large[piece % DLQ_GPU_LARGE];
    const size_t row = piece / u->pieces_a_row * u->piece_rows;
    const size_t column = piece % u->pieces_a_row * u->piece_width;
    const size_t width = lesser(u->piece_width, u->width - column);
    const size_t rows = lesser(u->piece_rows, u->rows - row);
    cudaError_t rc = dlq_gpu_enter(u->index);
    if (rc != cudaSuccess) {
        return rc;
    }
    pthread_mutex_lock(&buffer->lock);
    rc = await(buffer);
    if (rc == cudaSuccess) {
        gather(buffer->bytes, u->src + row * u->src_pitch + column, u->src_pitch, width, rows);
        rc = send(u->gpu->uploads, u->dst + row * u->dst_pitch + column, u->dst_pitch,
                  buffer->bytes, width, rows);
    }
    if (rc == cudaSuccess) {
        rc = cudaEventRecord(buffer->emptied, u->gpu->uploads);
    }
    pthread_mutex_unlock(&buffer->lock);
    dlq_gpu_leave();
    return rc;
}

static void
piece_task(void *arg, int32_t task)
{
    struct upload *const u = arg;
    if (atomic_load(&u->failed) == cudaSuccess) {
        const cudaError_t rc = move_piece(u, (size_t)task);
        int none = cudaSuccess;
        if (rc != cudaSuccess) {
            atomic_compare_exchange_strong(&u->failed, &none, (int)rc);
        }
    }
}

static cudaError_t
upload_large(struct upload *u, const struct dlq_threads *threads)
{
    u->piece_width = lesser(u->width, DLQ_GPU_BUFFER);
    u->piece_rows = DLQ_GPU_BUFFER / u->piece_width;
    u->pieces_a_row = (u->width + u->piece_width - 1) / u->piece_width;
    const size_t row_pieces = (u->rows + u->piece_rows - 1) / u->piece_rows;
    const size_t pieces = row_pieces * u->pieces_a_row;
    if (pieces > INT32_MAX) {
        return cudaErrorInvalidValue;
    }
    threads->run(threads->ctx, (int32_t)pieces, piece_task, u);
    return (cudaError_t)atomic_load(&u->failed);
}

// [lock held] A small buffer with room for `size` bytes.
static cudaError_t
make_room(struct dlq_gpu *gpu, size_t size)
{
    struct dlq_gpu_buffer *const buffer = &gpu->small[gpu->at];
    // Copies of aligned memory are faster.
    gpu->used = (gpu->used + 255) & ~(size_t)255;
    if (buffer->bytes && gpu->used + size <= DLQ_GPU_BUFFER) {
        return cudaSuccess;
    }
    cudaError_t rc = cudaSuccess;
    if (buffer->bytes) {
        rc = cudaEventRecord(buffer->emptied, gpu->uploads);
        gpu->at = (gpu->at + 1) % DLQ_GPU_SMALL;
    }
    gpu->used = 0;
    return rc == cudaSuccess ? await(&gpu->small[gpu->at]) : rc;
}

// [lock held]
static cudaError_t
upload_small(struct upload *u)
{
    struct dlq_gpu *const gpu = u->gpu;
    cudaError_t rc = make_room(gpu, u->width * u->rows);
    if (rc == cudaSuccess) {
        char *const bytes = gpu->small[gpu->at].bytes + gpu->used;
        gather(bytes, u->src, u->src_pitch, u->width, u->rows);
        gpu->used += u->width * u->rows;
        rc = send(gpu->uploads, u->dst, u->dst_pitch, bytes, u->width, u->rows);
    }
    return rc;
}

int32_t
dlq_gpu_upload(int32_t index, const struct dlq_threads *threads, void *dst, size_t dst_pitch,
               const void *src, size_t src_pitch, size_t width, size_t rows, struct dlq_error *err)
{
    cudaError_t rc = cudaSuccess;
    if (rows == 1 || (dst_pitch == width && src_pitch == width)) {
        width *= rows;
        rows = 1;
        dst_pitch = width;
        src_pitch = width;
    }
    const bool large = width * rows > LARGE;
    struct upload u = {.gpu = dlq_gpu_lock(index, &rc),
                       .index = index,
                       .dst = dst,
                       .src = src,
                       .dst_pitch = dst_pitch,
                       .src_pitch = src_pitch,
                       .width = width,
                       .rows = rows};
    if (u.gpu && !large) {
        rc = upload_small(&u);
    }
    dlq_gpu_unlock(u.gpu);
    if (u.gpu && large) {
        rc = upload_large(&u, threads);
    }
    return dlq_gpu_result(index, "uploading", rc, err);
}

int32_t
dlq_gpu_flush(int32_t index, struct dlq_error *err)
{
    cudaError_t rc = cudaSuccess;
    struct dlq_gpu *const gpu = dlq_gpu_lock(index, &rc);
    if (gpu) {
        rc = cudaStreamSynchronize(gpu->uploads);
    }
    dlq_gpu_unlock(gpu);
    return dlq_gpu_result(index, "uploading", rc, err);
}
