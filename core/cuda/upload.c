// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "gpu.h"

#include <string.h>

/// Host memory to the device through pinned buffers, the host filling some while the device empties
/// others. Small uploads share a buffer, and none waits for the device until all are full. Large
/// ones are cut into pieces that threads take as they are free, each with a buffer of its own. To
/// wake the threads costs as much as a piece, so that large uploads wait for each other where they
/// may: those of a whole layer are done together.

// Less than this is not worth waking another thread, nor a piece of its own.
#define LARGE ((size_t)256 << 10)

// The large uploads of a device, being done.
struct batch {
    struct dlq_gpu *gpu;
    int32_t index;
    size_t threads;
    pthread_mutex_t lock;       ///< Guards all below
    size_t upload, row, column; ///< Where the next piece begins
    size_t taken, left;         ///< Bytes
    size_t pieces;              ///< That were taken
    cudaError_t failed;         ///< First error
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

// [buffer's owner] Wait until the device has emptied the buffer, fill it and send it.
static cudaError_t
move_piece(struct dlq_gpu_buffer *buffer, cudaStream_t stream, const struct dlq_gpu_upload *piece)
{
    cudaError_t rc = await(buffer);
    if (rc == cudaSuccess) {
        gather(buffer->bytes, piece->src, piece->src_pitch, piece->width, piece->rows);
        rc = send(stream, piece->dst, piece->dst_pitch, buffer->bytes, piece->width, piece->rows);
    }
    return rc == cudaSuccess ? cudaEventRecord(buffer->emptied, stream) : rc;
}

// The next piece: small at the beginning, so that the device has something to do soon, and at the
// end, so that no thread is late. False when none is left or one has failed.
static bool
take_piece(struct batch *b, struct dlq_gpu_upload *piece, size_t *number)
{
    pthread_mutex_lock(&b->lock);
    const bool some = b->left > 0 && b->failed == cudaSuccess;
    if (some) {
        const struct dlq_gpu_upload *const u = &b->gpu->posted[b->upload];
        size_t want = lesser(b->taken, b->left) / b->threads;
        want = want < LARGE ? LARGE : lesser(want, DLQ_GPU_BUFFER);
        *piece = *u;
        piece->dst += b->row * u->dst_pitch + b->column;
        piece->src += b->row * u->src_pitch + b->column;
        if (b->column > 0 || u->width > want) {
            piece->width = lesser(u->width - b->column, want);
            piece->rows = 1;
            b->column += piece->width;
        } else {
            piece->rows = lesser(u->rows - b->row, want / u->width);
            b->row += piece->rows;
        }
        if (b->column == u->width) {
            b->column = 0;
            b->row++;
        }
        if (b->row == u->rows) {
            b->row = 0;
            b->upload++;
        }
        b->taken += piece->width * piece->rows;
        b->left -= piece->width * piece->rows;
        *number = b->pieces++;
    }
    pthread_mutex_unlock(&b->lock);
    return some;
}

static void
move_pieces(void *arg, int32_t task)
{
    struct batch *const b = arg;
    struct dlq_gpu_upload piece;
    size_t number = 0;
    (void)task;
    cudaError_t rc = dlq_gpu_enter(b->index);
    const bool entered = rc == cudaSuccess;
    while (rc == cudaSuccess && take_piece(b, &piece, &number)) {
        struct dlq_gpu_buffer *const buffer = &b->gpu->large[number % DLQ_GPU_LARGE];
        pthread_mutex_lock(&buffer->lock);
        rc = move_piece(buffer, b->gpu->uploads[number % DLQ_GPU_STREAMS], &piece);
        pthread_mutex_unlock(&buffer->lock);
    }
    if (rc != cudaSuccess) {
        pthread_mutex_lock(&b->lock);
        b->failed = b->failed == cudaSuccess ? rc : b->failed;
        pthread_mutex_unlock(&b->lock);
    }
    if (entered) {
        dlq_gpu_leave();
    }
}

// Let what comes on stream `after` wait for all that is on `before`.
static cudaError_t
join(const struct dlq_gpu *gpu, int before, int after)
{
    const cudaError_t rc = cudaEventRecord(gpu->joint, gpu->uploads[before]);
    return rc == cudaSuccess ? cudaStreamWaitEvent(gpu->uploads[after], gpu->joint, 0) : rc;
}

// [lock held] Do all posted uploads, in the place of one of the first stream.
static cudaError_t
move_posted(struct dlq_gpu *gpu, int32_t index, const struct dlq_threads *threads)
{
    if (gpu->n_posted == 0) {
        return cudaSuccess;
    }
    struct batch b = {.gpu = gpu, .index = index, .lock = PTHREAD_MUTEX_INITIALIZER};
    for (size_t i = 0; i < gpu->n_posted; i++) {
        b.left += gpu->posted[i].width * gpu->posted[i].rows;
    }
    b.threads = lesser((size_t)threads->n_threads, DLQ_GPU_THREADS);
    cudaError_t rc = cudaSuccess;
    for (int i = 1; i < DLQ_GPU_STREAMS && rc == cudaSuccess; i++) {
        rc = join(gpu, 0, i);
    }
    if (rc == cudaSuccess) {
        threads->run(threads->ctx, (int32_t)b.threads, move_pieces, &b);
        rc = b.failed;
    }
    for (int i = 1; i < DLQ_GPU_STREAMS; i++) {
        const cudaError_t joined = join(gpu, i, 0);
        rc = rc == cudaSuccess ? joined : rc;
    }
    gpu->n_posted = 0;
    return rc;
}

// [lock held] What goes to the place of a posted upload comes after it.
static cudaError_t
keep_order(struct dlq_gpu *gpu, int32_t index, const struct dlq_threads *threads, const char *dst)
{
    for (size_t i = 0; i < gpu->n_posted; i++) {
        if (gpu->posted[i].dst == dst) {
            return move_posted(gpu, index, threads);
        }
    }
    return cudaSuccess;
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
        rc = cudaEventRecord(buffer->emptied, gpu->uploads[0]);
        gpu->at = (gpu->at + 1) % DLQ_GPU_SMALL;
    }
    gpu->used = 0;
    return rc == cudaSuccess ? await(&gpu->small[gpu->at]) : rc;
}

// [lock held]
static cudaError_t
upload_small(struct dlq_gpu *gpu, const struct dlq_gpu_upload *u)
{
    cudaError_t rc = make_room(gpu, u->width * u->rows);
    if (rc == cudaSuccess) {
        char *const bytes = gpu->small[gpu->at].bytes + gpu->used;
        gather(bytes, u->src, u->src_pitch, u->width, u->rows);
        gpu->used += u->width * u->rows;
        rc = send(gpu->uploads[0], u->dst, u->dst_pitch, bytes, u->width, u->rows);
    }
    return rc;
}

// An upload; one that `stays` may wait for others.
static int32_t
take(int32_t index, const struct dlq_threads *threads, struct dlq_gpu_upload u, bool stays,
     struct dlq_error *err)
{
    cudaError_t rc = cudaSuccess;
    struct dlq_gpu *const gpu = dlq_gpu_lock(index, &rc);
    if (u.dst_pitch == u.width && u.src_pitch == u.width) {
        u.width *= u.rows;
        u.rows = 1;
    }
    if (gpu) {
        rc = keep_order(gpu, index, threads, u.dst);
    }
    if (gpu && rc == cudaSuccess && u.width * u.rows <= LARGE) {
        rc = upload_small(gpu, &u);
    } else if (gpu && rc == cudaSuccess) {
        gpu->posted[gpu->n_posted++] = u;
        if (!stays || gpu->n_posted == DLQ_GPU_POSTED) {
            rc = move_posted(gpu, index, threads);
        }
    }
    dlq_gpu_unlock(gpu);
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
    cudaError_t rc = cudaSuccess;
    struct dlq_gpu *const gpu = dlq_gpu_lock(index, &rc);
    if (gpu) {
        rc = move_posted(gpu, index, threads);
        // All of them: after a failure the first may not wait for the others.
        for (int i = 0; i < DLQ_GPU_STREAMS; i++) {
            const cudaError_t waited = cudaStreamSynchronize(gpu->uploads[i]);
            rc = rc == cudaSuccess ? waited : rc;
        }
    }
    dlq_gpu_unlock(gpu);
    return dlq_gpu_result(index, "uploading", rc, err);
}
