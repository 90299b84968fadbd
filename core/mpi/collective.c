// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "collective.h"

#include "error.h"
#include "reduce.h"

#include <string.h>

// A message of the first exchange:
//
//   | struct head | counts: size x int64, of all_gather | 0 to 63 bytes | data |
//
// Sums: with little data each rank gets all data of all ranks and adds them up itself. With more,
// a round takes `size` parts, each rank gets its part from all ranks, adds it up and gives the sum
// to all. Both add in rank order with the arithmetic of a group of threads.

struct head {
    uint32_t op;
    uint32_t invalid;
    uint32_t dtype;
    uint32_t flags;
    int32_t root;
    uint32_t has_counts;
    int64_t count;
};

size_t
dlq_mpi_head_size(int32_t size)
{
    return (sizeof(struct head) + (size_t)size * sizeof(int64_t) + 63) / 64 * 64;
}

static char *
in_slot(const struct dlq_mpi_group *g, int32_t r)
{
    return g->in + (size_t)r * g->slot;
}

static char *
out_slot(const struct dlq_mpi_group *g, int32_t r)
{
    return g->out + (size_t)r * g->slot;
}

static size_t
smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void
clear_lanes(struct dlq_mpi_group *g)
{
    memset(g->lanes, 0, (size_t)g->size * sizeof(*g->lanes));
}

static void
copy(void *to, const void *from, size_t bytes)
{
    if (bytes > 0) {
        memcpy(to, from, bytes);
    }
}

// The same message to every rank.
static void
send_to_all(struct dlq_mpi_group *g, size_t bytes)
{
    for (int32_t r = 0; r < g->size; r++) {
        g->lanes[r].out = g->out;
        g->lanes[r].out_bytes = bytes;
    }
}

static void
write_head(struct dlq_mpi_group *g, const struct dlq_post *post)
{
    const bool counts = post->counts && !post->invalid;
    const struct head head = {.op = post->op,
                              .invalid = post->invalid,
                              .dtype = post->dtype,
                              .flags = post->flags,
                              .root = post->root,
                              .has_counts = counts,
                              .count = post->count};
    memcpy(g->out, &head, sizeof(head));
    if (counts) {
        memcpy(g->out + sizeof(head), post->counts, (size_t)g->size * sizeof(int64_t));
    }
}

static void
read_head(struct dlq_mpi_group *g, int32_t r)
{
    struct head head;
    memcpy(&head, in_slot(g, r), sizeof(head));
    g->posts[r] = (struct dlq_post){
        .op = head.op,
        .invalid = head.invalid != 0,
        .dtype = head.dtype,
        .flags = head.flags,
        .root = head.root,
        .count = head.count,
        .counts = head.has_counts ? (const int64_t *)(in_slot(g, r) + sizeof(head)) : NULL,
    };
}

// Tell all ranks what this one was asked for, with `bytes` of its data, and compare. The data of
// rank r are then in its slot behind the head.
static int32_t
enter(struct dlq_mpi_group *g, const struct dlq_post *post, const void *data, size_t bytes,
      struct dlq_error *err)
{
    write_head(g, post);
    copy(g->out + g->head, data, bytes);
    clear_lanes(g);
    send_to_all(g, g->head + bytes);
    for (int32_t r = 0; r < g->size; r++) {
        g->lanes[r].in_bytes = g->slot;
    }
    const int32_t rc = dlq_mpi_exchange(g, dlq_op_name(post->op), err);
    if (rc != DLQ_OK) {
        return rc;
    }
    for (int32_t r = 0; r < g->size; r++) {
        if (r != g->rank) {
            read_head(g, r);
        }
    }
    g->posts[g->rank] = *post;
    return dlq_posts_check(g->posts, sizeof(*g->posts), g->rank, g->size, err);
}

static void
sum_small(struct dlq_mpi_group *g, const struct dlq_post *post, void *data)
{
    for (int32_t r = 0; r < g->size; r++) {
        g->buffers[r] = r == g->rank ? data : in_slot(g, r) + g->head;
    }
    dlq_reduce_sum(g->buffers, g->size, 0, (size_t)post->count, post->dtype,
                   (post->flags & DLQ_REDUCE_FP32) != 0);
}

// Elements of part `r` when `count` elements are cut into parts of `part`.
static size_t
part_size(size_t count, size_t part, int32_t r)
{
    const size_t first = part * (size_t)r;
    return first >= count ? 0 : smaller(part, count - first);
}

// One round of a large sum: `count` elements, at most `part` a rank.
static int32_t
sum_round(struct dlq_mpi_group *g, const struct dlq_post *post, char *data, size_t count,
          size_t part, struct dlq_error *err)
{
    const size_t width = DLQ_DTYPE_BITS(post->dtype) / 8;
    const size_t own = part_size(count, part, g->rank);
    char *const mine = data + part * (size_t)g->rank * width;
    clear_lanes(g);
    for (int32_t r = 0; r < g->size; r++) {
        const size_t bytes = part_size(count, part, r) * width;
        if (r != g->rank) {
            copy(out_slot(g, r), data + part * (size_t)r * width, bytes);
        }
        g->lanes[r] = (struct dlq_mpi_lane){out_slot(g, r), bytes, own * width};
    }
    int32_t rc = dlq_mpi_exchange(g, dlq_op_name(post->op), err);
    if (rc != DLQ_OK) {
        return rc;
    }
    if (own > 0) {
        for (int32_t r = 0; r < g->size; r++) {
            g->buffers[r] = r == g->rank ? mine : in_slot(g, r);
        }
        dlq_reduce_sum(g->buffers, g->size, 0, own, post->dtype,
                       (post->flags & DLQ_REDUCE_FP32) != 0);
        copy(g->out, mine, own * width);
    }
    clear_lanes(g);
    send_to_all(g, own * width);
    for (int32_t r = 0; r < g->size; r++) {
        g->lanes[r].in_bytes = part_size(count, part, r) * width;
    }
    rc = dlq_mpi_exchange(g, dlq_op_name(post->op), err);
    for (int32_t r = 0; rc == DLQ_OK && r < g->size; r++) {
        if (r != g->rank) {
            copy(data + part * (size_t)r * width, in_slot(g, r), g->lanes[r].in_bytes);
        }
    }
    return rc;
}

static int32_t
sum_large(struct dlq_mpi_group *g, const struct dlq_post *post, char *data, struct dlq_error *err)
{
    const size_t width = DLQ_DTYPE_BITS(post->dtype) / 8;
    const size_t count = (size_t)post->count;
    const size_t size = (size_t)g->size;
    int32_t rc = DLQ_OK;
    for (size_t done = 0; done < count && rc == DLQ_OK;) {
        const size_t part = smaller(DLQ_MPI_PAYLOAD / width, (count - done + size - 1) / size);
        const size_t now = smaller(part * size, count - done);
        rc = sum_round(g, post, data + done * width, now, part, err);
        done += now;
    }
    return rc;
}

// Gather what did not fit into the first message, from byte DLQ_MPI_PAYLOAD of each rank on.
static int32_t
gather_rounds(struct dlq_mpi_group *g, const struct dlq_post *post, const char *send, char *recv,
              size_t most, struct dlq_error *err)
{
    const size_t width = DLQ_DTYPE_BITS(post->dtype) / 8;
    for (size_t done = DLQ_MPI_PAYLOAD; done < most; done += DLQ_MPI_PAYLOAD) {
        clear_lanes(g);
        for (int32_t r = 0; r < g->size; r++) {
            const size_t bytes = (size_t)post->counts[r] * width;
            g->lanes[r].in_bytes = bytes > done ? smaller(DLQ_MPI_PAYLOAD, bytes - done) : 0;
        }
        const size_t own = g->lanes[g->rank].in_bytes;
        copy(g->out, own ? send + done : NULL, own);
        send_to_all(g, own);
        const int32_t rc = dlq_mpi_exchange(g, dlq_op_name(post->op), err);
        if (rc != DLQ_OK) {
            return rc;
        }
        char *to = recv + done;
        for (int32_t r = 0; r < g->size; r++) {
            if (r != g->rank) {
                copy(to, in_slot(g, r), g->lanes[r].in_bytes);
            }
            to += (size_t)post->counts[r] * width;
        }
    }
    return DLQ_OK;
}

static int32_t
gather(struct dlq_mpi_group *g, const struct dlq_post *post, const char *send, char *recv,
       struct dlq_error *err)
{
    const size_t width = DLQ_DTYPE_BITS(post->dtype) / 8;
    size_t most = 0;
    char *to = recv;
    for (int32_t r = 0; r < g->size; r++) {
        const size_t bytes = (size_t)post->counts[r] * width;
        most = most > bytes ? most : bytes;
        if (r != g->rank) {
            copy(to, in_slot(g, r) + g->head, smaller(bytes, DLQ_MPI_PAYLOAD));
        } else if (bytes > 0 && to != send) {
            memcpy(to, send, bytes);
        }
        to += bytes;
    }
    return gather_rounds(g, post, send, recv, most, err);
}

static int32_t
spread(struct dlq_mpi_group *g, const struct dlq_post *post, char *data, struct dlq_error *err)
{
    const size_t bytes = (size_t)post->count * (DLQ_DTYPE_BITS(post->dtype) / 8);
    const bool root = g->rank == post->root;
    if (!root) {
        copy(data, in_slot(g, post->root) + g->head, smaller(bytes, DLQ_MPI_PAYLOAD));
    }
    for (size_t done = DLQ_MPI_PAYLOAD; done < bytes; done += DLQ_MPI_PAYLOAD) {
        const size_t now = smaller(DLQ_MPI_PAYLOAD, bytes - done);
        clear_lanes(g);
        if (root) {
            memcpy(g->out, data + done, now);
            send_to_all(g, now);
        } else {
            g->lanes[post->root].in_bytes = now;
        }
        const int32_t rc = dlq_mpi_exchange(g, dlq_op_name(post->op), err);
        if (rc != DLQ_OK) {
            return rc;
        }
        if (!root) {
            memcpy(data + done, in_slot(g, post->root), now);
        }
    }
    return DLQ_OK;
}

// Bytes of this rank's data that go with the first message.
static size_t
first_bytes(const struct dlq_mpi_group *g, const struct dlq_post *post)
{
    const size_t width = DLQ_DTYPE_BITS(post->dtype) / 8;
    const size_t bytes = (size_t)post->count * width;
    if (post->invalid) {
        return 0;
    }
    switch (post->op) {
    case DLQ_OP_ALL_REDUCE:
        return bytes <= DLQ_MPI_PAYLOAD ? bytes : 0;
    case DLQ_OP_ALL_GATHER:
        return smaller((size_t)post->counts[g->rank] * width, DLQ_MPI_PAYLOAD);
    case DLQ_OP_BROADCAST:
        return g->rank == post->root ? smaller(bytes, DLQ_MPI_PAYLOAD) : 0;
    case DLQ_OP_BARRIER:
        break;
    }
    return 0;
}

// A rank with wrong arguments of its own takes part all the same, so that the others learn of it.
static int32_t
call(struct dlq_mpi_group *g, const struct dlq_post *post, const void *send, void *data,
     struct dlq_error *err)
{
    struct dlq_error local = DLQ_ERROR_INIT;
    struct dlq_error *const to = post->invalid ? &local : err;
    if (atomic_exchange(&g->inside, true)) {
        return dlq_fail_native(to, DLQ_ECOMM, DLQ_DOMAIN_COMM, 0,
                               "rank %d of %d, %s: the rank is inside another call", (int)g->rank,
                               (int)g->size, dlq_op_name(post->op));
    }
    const size_t bytes = first_bytes(g, post);
    int32_t rc = enter(g, post, send, bytes, to);
    if (rc == DLQ_OK && post->op == DLQ_OP_ALL_REDUCE) {
        if (bytes > 0) {
            sum_small(g, post, data);
        } else {
            rc = sum_large(g, post, data, to);
        }
    } else if (rc == DLQ_OK && post->op == DLQ_OP_ALL_GATHER) {
        rc = gather(g, post, send, data, to);
    } else if (rc == DLQ_OK && post->op == DLQ_OP_BROADCAST) {
        rc = spread(g, post, data, to);
    }
    atomic_store(&g->inside, false);
    return rc;
}

static int32_t
mpi_all_reduce(void *ctx, void *data, int64_t count, uint32_t dtype, uint32_t flags, void *stream,
               struct dlq_error *err)
{
    (void)stream;
    struct dlq_post post;
    const int32_t own = dlq_post_all_reduce(&post, data, count, dtype, flags, err);
    const int32_t rc = call(ctx, &post, data, data, err);
    return own != DLQ_OK ? own : rc;
}

static int32_t
mpi_all_gather(void *ctx, const void *send, void *recv, const int64_t *counts, uint32_t dtype,
               void *stream, struct dlq_error *err)
{
    (void)stream;
    struct dlq_mpi_group *const g = ctx;
    struct dlq_post post;
    const int32_t own =
        dlq_post_all_gather(&post, send, recv, counts, dtype, g->rank, g->size, err);
    const int32_t rc = call(g, &post, send, recv, err);
    return own != DLQ_OK ? own : rc;
}

static int32_t
mpi_broadcast(void *ctx, void *data, int64_t count, uint32_t dtype, int32_t root, void *stream,
              struct dlq_error *err)
{
    (void)stream;
    struct dlq_mpi_group *const g = ctx;
    struct dlq_post post;
    const int32_t own = dlq_post_broadcast(&post, data, count, dtype, root, g->size, err);
    const int32_t rc = call(g, &post, data, data, err);
    return own != DLQ_OK ? own : rc;
}

static int32_t
mpi_barrier(void *ctx, void *stream, struct dlq_error *err)
{
    (void)stream;
    const struct dlq_post post = {.op = DLQ_OP_BARRIER};
    return call(ctx, &post, NULL, NULL, err);
}

void
dlq_mpi_fill_table(struct dlq_mpi_group *g)
{
    g->base.table = (struct dlq_collective){
        .struct_size = sizeof(struct dlq_collective),
        .rank = g->rank,
        .size = g->size,
        .flags = DLQ_COLLECTIVE_SUMS_I32,
        .ctx = g,
        .all_reduce = mpi_all_reduce,
        .all_gather = mpi_all_gather,
        .broadcast = mpi_broadcast,
        .barrier = mpi_barrier,
    };
}
