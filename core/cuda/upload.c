// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "gpu.h"

#include <string.h>

/// Host memory to the device through pinned buffers: the host fills one while the device empties
/// those before. Small copies share a buffer, and none waits for the device until the buffers are
/// full.

// Bytes that a thread copies at a time; less than two of them are not worth waking another thread.
#define PIECE ((size_t)256 << 10)

// Runs of one upload that go into a buffer together, one behind the other.
struct fill {
    char *to;
    const char *from;
    size_t pitch; ///< Of `from`
    size_t width;
    size_t bytes; ///< Width times runs
};

static void
fill_piece(void *arg, int32_t task)
{
    const struct fill *const f = arg;
    size_t at = (size_t)task * PIECE;
    const size_t end = f->bytes - at < PIECE ? f->bytes : at + PIECE;
    while (at < end) {
        const size_t row = at / f->width;
        const size_t column = at % f->width;
        const size_t n = f->width - column < end - at ? f->width - column : end - at;
        memcpy(f->to + at, f->from + row * f->pitch + column, n);
        at += n;
    }
}

static void
fill_buffer(const struct dlq_threads *threads, struct fill *f)
{
    const size_t pieces = (f->bytes + PIECE - 1) / PIECE;
    if (pieces > 1 && threads) {
        threads->run(threads->ctx, (int32_t)pieces, fill_piece, f);
        return;
    }
    for (size_t i = 0; i < pieces; i++) {
        fill_piece(f, (int32_t)i);
    }
}

// Go on in the next buffer, once the device has emptied it.
static cudaError_t
turn(struct dlq_gpu *gpu)
{
    cudaError_t rc = cudaEventRecord(gpu->emptied[gpu->at], gpu->uploads);
    gpu->at = (gpu->at + 1) % DLQ_GPU_BUFFERS;
    gpu->used = 0;
    if (rc == cudaSuccess && !gpu->buffer[gpu->at]) {
        rc = cudaHostAlloc((void **)&gpu->buffer[gpu->at], DLQ_GPU_BUFFER, cudaHostAllocPortable);
    }
    return rc == cudaSuccess ? cudaEventSynchronize(gpu->emptied[gpu->at]) : rc;
}

// Room for `want` bytes, or at least for one piece of them or one run.
static cudaError_t
make_room(struct dlq_gpu *gpu, size_t want, size_t run, size_t *room)
{
    cudaError_t rc = cudaSuccess;
    const size_t least = run > PIECE ? run : want < PIECE ? want : PIECE;
    // Copies of aligned memory are faster.
    gpu->used = (gpu->used + 255) & ~(size_t)255;
    if (!gpu->buffer[gpu->at] || gpu->used + least > DLQ_GPU_BUFFER) {
        rc = turn(gpu);
    }
    *room = DLQ_GPU_BUFFER - gpu->used;
    return rc;
}

// Bytes in one run, whatever their number.
static cudaError_t
upload_run(struct dlq_gpu *gpu, const struct dlq_threads *threads, char *dst, const char *src,
           size_t bytes)
{
    cudaError_t rc = cudaSuccess;
    while (bytes > 0 && rc == cudaSuccess) {
        size_t room = 0;
        rc = make_room(gpu, bytes, 0, &room);
        if (rc == cudaSuccess) {
            const size_t n = bytes < room ? bytes : room;
            struct fill f = {gpu->buffer[gpu->at] + gpu->used, src, n, n, n};
            fill_buffer(threads, &f);
            rc = cudaMemcpyAsync(dst, f.to, n, cudaMemcpyHostToDevice, gpu->uploads);
            gpu->used += n;
            dst += n;
            src += n;
            bytes -= n;
        }
    }
    return rc;
}

// Runs that fit a buffer.
static cudaError_t
upload_runs(struct dlq_gpu *gpu, const struct dlq_threads *threads, char *dst, size_t dst_pitch,
            const char *src, size_t src_pitch, size_t width, size_t rows)
{
    cudaError_t rc = cudaSuccess;
    while (rows > 0 && rc == cudaSuccess) {
        size_t room = 0;
        rc = make_room(gpu, width * rows, width, &room);
        if (rc == cudaSuccess) {
            const size_t n = rows < room / width ? rows : room / width;
            struct fill f = {gpu->buffer[gpu->at] + gpu->used, src, src_pitch, width, n * width};
            fill_buffer(threads, &f);
            rc = dst_pitch == width
                     ? cudaMemcpyAsync(dst, f.to, f.bytes, cudaMemcpyHostToDevice, gpu->uploads)
                     : cudaMemcpy2DAsync(dst, dst_pitch, f.to, width, width, n,
                                         cudaMemcpyHostToDevice, gpu->uploads);
            gpu->used += f.bytes;
            dst += n * dst_pitch;
            src += n * src_pitch;
            rows -= n;
        }
    }
    return rc;
}

int32_t
dlq_gpu_upload(int32_t index, const struct dlq_threads *threads, void *dst, size_t dst_pitch,
               const void *src, size_t src_pitch, size_t width, size_t rows, struct dlq_error *err)
{
    struct dlq_gpu_scope scope;
    cudaError_t rc = cudaSuccess;
    struct dlq_gpu *const gpu = dlq_gpu_lock(&scope, index, &rc);
    if (rows == 1 || (dst_pitch == width && src_pitch == width)) {
        width *= rows;
        rows = 1;
    }
    if (gpu && rows > 1 && width <= DLQ_GPU_BUFFER) {
        rc = upload_runs(gpu, threads, dst, dst_pitch, src, src_pitch, width, rows);
        rows = 0;
    }
    for (size_t i = 0; gpu && i < rows && rc == cudaSuccess; i++) {
        rc = upload_run(gpu, threads, (char *)dst + i * dst_pitch,
                        (const char *)src + i * src_pitch, width);
    }
    dlq_gpu_unlock(&scope, gpu);
    return dlq_gpu_result(index, "uploading", rc, err);
}

int32_t
dlq_gpu_flush(int32_t index, struct dlq_error *err)
{
    struct dlq_gpu_scope scope;
    cudaError_t rc = cudaSuccess;
    struct dlq_gpu *const gpu = dlq_gpu_lock(&scope, index, &rc);
    if (gpu) {
        rc = cudaStreamSynchronize(gpu->uploads);
    }
    dlq_gpu_unlock(&scope, gpu);
    return dlq_gpu_result(index, "uploading", rc, err);
}
