// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "gpu.h"

/// Large uploads, all that a thread has posted at once: to wake threads costs as much as a piece.
/// They are cut into pieces that threads take as they are free, each with a pair of buffers of its
/// own.

// Less than this is not worth a piece of its own.
#define LEAST_PIECE ((size_t)256 << 10)

// The large uploads of a device, being done.
struct batch {
    struct dlq_gpu *gpu;
    const struct dlq_gpu_upload *uploads;
    int32_t index;
    size_t threads;
    pthread_mutex_t lock;       ///< Guards all below
    size_t upload, row, column; ///< Where the next piece begins
    size_t taken, left;         ///< Bytes
    cudaError_t failed;         ///< First error
};

static size_t
lesser(size_t a, size_t b)
{
    return a < b ? a : b;
}

// [batch's lock held] Buffers that no other thread fills; there are enough.
static struct dlq_gpu_pair *
take_pair(struct batch *b)
{
    struct dlq_gpu_pair *pair = b->gpu->pairs;
    while (pair->taken) {
        pair++;
    }
    pair->taken = true;
    return pair;
}

// [batch's lock held] Cut off the next piece: small at the beginning, so that the device has
// something to do soon, and at the end, so that no thread is late.
static void
cut_piece(struct batch *b, struct dlq_gpu_upload *piece)
{
    const struct dlq_gpu_upload *const u = &b->uploads[b->upload];
    size_t want = lesser(b->taken, b->left) / b->threads;
    want = want < LEAST_PIECE ? LEAST_PIECE : lesser(want, DLQ_GPU_BUFFER);
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
}

// False when none is left or one has failed.
static bool
take_piece(struct batch *b, struct dlq_gpu_upload *piece)
{
    pthread_mutex_lock(&b->lock);
    const bool some = b->left > 0 && b->failed == cudaSuccess;
    if (some) {
        cut_piece(b, piece);
    }
    pthread_mutex_unlock(&b->lock);
    return some;
}

// Let what this core has written go to the cache that all share, from where the device reads it a
// fifth faster: cldemote, which does nothing on a processor that has it not.
static void
demote(const char *bytes, size_t size)
{
#if defined(__x86_64__)
    for (size_t i = 0; i < size; i += 64) {
        __asm__ volatile(".byte 0x0f, 0x1c, 0x00" : : "a"(bytes + i) : "memory");
    }
#else
    (void)bytes;
    (void)size;
#endif
}

// Wait until the device has emptied the older buffer, fill it and send it.
static cudaError_t
move_piece(struct batch *b, struct dlq_gpu_pair *pair, const struct dlq_gpu_upload *piece)
{
    struct dlq_gpu_buffer *const buffer = &pair->buffers[pair->at];
    cudaError_t rc = cudaEventSynchronize(buffer->emptied);
    pair->at = !pair->at;
    if (rc == cudaSuccess) {
        dlq_gpu_gather(buffer->bytes, piece->src, piece->src_pitch, piece->width, piece->rows);
        demote(buffer->bytes, piece->width * piece->rows);
        rc = dlq_gpu_send(b->gpu->uploads, piece, buffer->bytes);
    }
    return rc == cudaSuccess ? cudaEventRecord(buffer->emptied, b->gpu->uploads) : rc;
}

static void
move_pieces(void *arg, int32_t task)
{
    struct batch *const b = arg;
    struct dlq_gpu_upload piece;
    (void)task;
    cudaError_t rc = dlq_gpu_enter(b->index);
    const bool entered = rc == cudaSuccess;
    pthread_mutex_lock(&b->lock);
    struct dlq_gpu_pair *const pair = take_pair(b);
    pthread_mutex_unlock(&b->lock);
    while (rc == cudaSuccess && take_piece(b, &piece)) {
        rc = move_piece(b, pair, &piece);
    }
    pthread_mutex_lock(&b->lock);
    pair->taken = false;
    if (rc != cudaSuccess && b->failed == cudaSuccess) {
        b->failed = rc;
    }
    pthread_mutex_unlock(&b->lock);
    if (entered) {
        dlq_gpu_leave();
    }
}

cudaError_t
dlq_gpu_move(struct dlq_gpu *gpu, int32_t index, const struct dlq_threads *threads,
             const struct dlq_gpu_upload *uploads, size_t n)
{
    struct batch b = {
        .gpu = gpu, .uploads = uploads, .index = index, .lock = PTHREAD_MUTEX_INITIALIZER};
    for (size_t i = 0; i < n; i++) {
        b.left += uploads[i].width * uploads[i].rows;
    }
    const size_t most = (b.left + LEAST_PIECE - 1) / LEAST_PIECE;
    b.threads = lesser(lesser((size_t)threads->n_threads, DLQ_GPU_THREADS), most);
    threads->run(threads->ctx, (int32_t)b.threads, move_pieces, &b);
    return b.failed;
}
