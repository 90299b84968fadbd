// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "alloc.h"
#include "collective_post.h"
#include "error.h"
#include "futex.h"
#include "reduce.h"
#include "runtime_internal.h"

#include <dlquant/collective.h>

#include <pthread.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

// Ranks that are threads of one process.
//
// A call has three steps. Each rank posts what it was asked for and waits until all have: only here
// can a call time out or be aborted, for nobody has touched another rank's memory yet. Then each
// compares all posts, with the same verdict everywhere, and does its share: rank r of n adds the
// r-th part of the elements for all buffers. Then each waits until all are done, so that the
// buffers belong to their callers again; nothing can be missing by then, so this wait has no limit.

#define MAX_RANKS 1024

// Elements that two ranks never share: a cache line of the smallest type, and more.
#define CHUNK 64

// In `entry` when the group is broken for good.
#define BROKEN 0x80000000u

// What one rank asks for in the present call.
struct post {
    alignas(64) struct dlq_post asked;
    bool present; // Guarded by the group's lock
    const void *send;
    void *data;
};

struct end {
    struct dlq_collective table;
    dlq_collective_threads *group;
};

struct dlq_collective_threads {
    const struct dlq_allocator *alloc;
    int32_t size;
    int32_t timeout_ms;
    int64_t spin_ns;
    pthread_mutex_t lock; // Guards arrived, code and reason
    int32_t arrived;
    int32_t code;
    char reason[512];
    alignas(64) struct dlq_event entry; // Calls that all ranks have entered, and BROKEN
    alignas(64) struct dlq_event exits; // Calls that all ranks have left
    atomic_int inside;                  // Ranks that have not left the present call
    struct end *ends;
    struct post *posts;
    void **buffers; // size * size: a list of the ranks' data for each rank
};

static int32_t
fail_broken(dlq_collective_threads *g, int32_t rank, enum dlq_op op, struct dlq_error *err)
{
    pthread_mutex_lock(&g->lock);
    const int32_t rc = dlq_fail_native(err, g->code, DLQ_DOMAIN_COMM, 0, "rank %d of %d, %s: %s",
                                       (int)rank, (int)g->size, dlq_op_name(op), g->reason);
    pthread_mutex_unlock(&g->lock);
    return rc;
}

// Wake everybody who waits at the entry. [lock held]
static void
break_group(dlq_collective_threads *g, int32_t code)
{
    g->code = code;
    atomic_fetch_or(&g->entry.value, BROKEN);
    dlq_event_wake(&g->entry, g->size);
}

static void
time_out(dlq_collective_threads *g, unsigned call)
{
    pthread_mutex_lock(&g->lock);
    if (atomic_load(&g->entry.value) == call) {
        size_t len = 0;
        for (int32_t r = 0; r < g->size; r++) {
            if (!g->posts[r].present && len < sizeof(g->reason) / 2) {
                len += (size_t)snprintf(g->reason + len, sizeof(g->reason) - len, "%s%d",
                                        len ? ", " : "missing after the time limit: rank ", (int)r);
            }
        }
        snprintf(g->reason + len, sizeof(g->reason) - len, " (limit %d ms)", (int)g->timeout_ms);
        break_group(g, DLQ_ETIMEOUT);
    }
    pthread_mutex_unlock(&g->lock);
}

// Wait until the entry of call number `call` is complete; false when the group broke before.
static bool
wait_entry(dlq_collective_threads *g, unsigned call)
{
    const int64_t deadline =
        g->timeout_ms > 0 ? dlq_now_ns() + (int64_t)g->timeout_ms * 1000000 : -1;
    unsigned now = dlq_spin_while(&g->entry.value, call, g->spin_ns);
    while (now == call) {
        if (deadline >= 0 && dlq_now_ns() >= deadline) {
            time_out(g, call);
        } else {
            dlq_event_sleep(&g->entry, call, deadline);
        }
        now = atomic_load_explicit(&g->entry.value, memory_order_acquire);
    }
    // A break that came after this entry was complete concerns the next call.
    return now != (call | BROKEN);
}

static int32_t
enter(dlq_collective_threads *g, int32_t rank, const struct post *post, struct dlq_error *err)
{
    pthread_mutex_lock(&g->lock);
    const unsigned call = atomic_load(&g->entry.value);
    if (call & BROKEN) {
        pthread_mutex_unlock(&g->lock);
        return fail_broken(g, rank, post->asked.op, err);
    }
    if (g->posts[rank].present) {
        pthread_mutex_unlock(&g->lock);
        return dlq_fail_native(err, DLQ_ECOMM, DLQ_DOMAIN_COMM, 0,
                               "rank %d of %d, %s: the rank is inside another call", (int)rank,
                               (int)g->size, dlq_op_name(post->asked.op));
    }
    g->posts[rank] = *post;
    g->posts[rank].present = true;
    g->arrived++;
    const bool last = g->arrived == g->size;
    if (last) {
        g->arrived = 0;
        for (int32_t r = 0; r < g->size; r++) {
            g->posts[r].present = false;
        }
        atomic_store(&g->entry.value, (call + 1) & ~BROKEN);
        dlq_event_wake(&g->entry, g->size);
    }
    pthread_mutex_unlock(&g->lock);
    return last || wait_entry(g, call) ? DLQ_OK : fail_broken(g, rank, post->asked.op, err);
}

static void
leave(dlq_collective_threads *g)
{
    const unsigned before = atomic_load(&g->exits.value);
    if (atomic_fetch_sub(&g->inside, 1) == 1) {
        atomic_store(&g->inside, g->size);
        atomic_fetch_add(&g->exits.value, 1);
        dlq_event_wake(&g->exits, g->size);
        return;
    }
    while (dlq_spin_while(&g->exits.value, before, g->spin_ns) == before) {
        dlq_event_sleep(&g->exits, before, -1);
    }
}

static void
do_reduce(dlq_collective_threads *g, int32_t rank)
{
    const struct post *const own = &g->posts[rank];
    void **const buffers = g->buffers + (size_t)rank * (size_t)g->size;
    for (int32_t r = 0; r < g->size; r++) {
        buffers[r] = g->posts[r].data;
    }
    const size_t count = (size_t)own->asked.count;
    const size_t chunks = (count + CHUNK - 1) / CHUNK;
    const size_t size = (size_t)g->size;
    const size_t begin = chunks * (size_t)rank / size * CHUNK;
    size_t end = chunks * ((size_t)rank + 1) / size * CHUNK;
    end = end < count ? end : count;
    if (begin < end) {
        dlq_reduce_sum(buffers, g->size, begin, end - begin, own->asked.dtype,
                       (own->asked.flags & DLQ_REDUCE_FP32) != 0);
    }
}

static void
do_gather(dlq_collective_threads *g, int32_t rank)
{
    const struct post *const own = &g->posts[rank];
    const size_t width = DLQ_DTYPE_BITS(own->asked.dtype) / 8;
    char *to = own->data;
    for (int32_t r = 0; r < g->size; r++) {
        const size_t bytes = (size_t)own->asked.counts[r] * width;
        // A rank may send from its place in `recv`, where others are reading just now.
        if (bytes > 0 && to != g->posts[r].send) {
            memcpy(to, g->posts[r].send, bytes);
        }
        to += bytes;
    }
}

static void
do_broadcast(dlq_collective_threads *g, int32_t rank)
{
    const struct post *const own = &g->posts[rank];
    const void *const from = g->posts[own->asked.root].data;
    if (rank != own->asked.root && own->asked.count > 0 && own->data != from) {
        memcpy(own->data, from, (size_t)own->asked.count * (DLQ_DTYPE_BITS(own->asked.dtype) / 8));
    }
}

// A rank with wrong arguments of its own takes part all the same, so that the others learn of it.
static int32_t
call(void *ctx, struct post *post, int32_t own, struct dlq_error *err)
{
    const struct end *const end = ctx;
    dlq_collective_threads *const g = end->group;
    const int32_t rank = end->table.rank;
    struct dlq_error local = DLQ_ERROR_INIT;
    struct dlq_error *const to = own != DLQ_OK ? &local : err;
    int32_t rc = enter(g, rank, post, to);
    if (rc == DLQ_OK) {
        rc = dlq_posts_check(&g->posts[0].asked, sizeof(*g->posts), rank, g->size, to);
        if (rc == DLQ_OK) {
            switch (post->asked.op) {
            case DLQ_OP_ALL_REDUCE:
                do_reduce(g, rank);
                break;
            case DLQ_OP_ALL_GATHER:
                do_gather(g, rank);
                break;
            case DLQ_OP_BROADCAST:
                do_broadcast(g, rank);
                break;
            case DLQ_OP_BARRIER:
                break;
            }
        }
        leave(g);
    }
    return own != DLQ_OK ? own : rc;
}

static int32_t
threads_all_reduce(void *ctx, void *data, int64_t count, uint32_t dtype, uint32_t flags,
                   void *stream, struct dlq_error *err)
{
    (void)stream;
    struct post post = {.data = data};
    const int32_t own = dlq_post_all_reduce(&post.asked, data, count, dtype, flags, err);
    return call(ctx, &post, own, err);
}

static int32_t
threads_all_gather(void *ctx, const void *send, void *recv, const int64_t *counts, uint32_t dtype,
                   void *stream, struct dlq_error *err)
{
    (void)stream;
    const struct end *const end = ctx;
    struct post post = {.send = send, .data = recv};
    const int32_t own = dlq_post_all_gather(&post.asked, send, recv, counts, dtype, end->table.rank,
                                            end->table.size, err);
    return call(ctx, &post, own, err);
}

static int32_t
threads_broadcast(void *ctx, void *data, int64_t count, uint32_t dtype, int32_t root, void *stream,
                  struct dlq_error *err)
{
    (void)stream;
    const struct end *const end = ctx;
    struct post post = {.data = data};
    const int32_t own =
        dlq_post_broadcast(&post.asked, data, count, dtype, root, end->table.size, err);
    return call(ctx, &post, own, err);
}

static int32_t
threads_barrier(void *ctx, void *stream, struct dlq_error *err)
{
    (void)stream;
    struct post post = {.asked = {.op = DLQ_OP_BARRIER}};
    return call(ctx, &post, DLQ_OK, err);
}

int32_t
dlq_collective_threads_create(dlq_runtime *rt, int32_t size, int32_t timeout_ms,
                              dlq_collective_threads **out, struct dlq_error *err)
{
    if (size < 1 || size > MAX_RANKS || timeout_ms < 0) {
        return dlq_fail(err, DLQ_EINVAL,
                        "group of threads: expected 1 to %d ranks and a time limit of 0 or more, "
                        "found %d ranks and %d ms",
                        MAX_RANKS, (int)size, (int)timeout_ms);
    }
    const struct dlq_allocator *const alloc = dlq_runtime_allocator(rt);
    const size_t n = (size_t)size;
    dlq_collective_threads *const g = alloc->alloc(alloc->ctx, sizeof(*g), alignof(struct post));
    if (g) {
        *g = (dlq_collective_threads){.alloc = alloc, .size = size, .timeout_ms = timeout_ms};
        g->spin_ns = dlq_spin_time(size);
        pthread_mutex_init(&g->lock, NULL);
        g->ends = dlq_calloc(alloc, n, sizeof(*g->ends));
        g->posts = alloc->alloc(alloc->ctx, n * sizeof(*g->posts), alignof(struct post));
        g->buffers = dlq_calloc(alloc, n * n, sizeof(*g->buffers));
    }
    if (!g || !g->ends || !g->posts || !g->buffers) {
        dlq_collective_threads_destroy(g);
        return dlq_fail(err, DLQ_ENOMEM, "no memory for a group of %d threads", (int)size);
    }
    memset(g->posts, 0, n * sizeof(*g->posts));
    atomic_store(&g->inside, size);
    for (int32_t r = 0; r < size; r++) {
        g->ends[r] = (struct end){
            .table = {.struct_size = sizeof(struct dlq_collective),
                      .rank = r,
                      .size = size,
                      .flags = DLQ_COLLECTIVE_SUMS_I32,
                      .ctx = &g->ends[r],
                      .all_reduce = threads_all_reduce,
                      .all_gather = threads_all_gather,
                      .broadcast = threads_broadcast,
                      .barrier = threads_barrier},
            .group = g,
        };
    }
    *out = g;
    return DLQ_OK;
}

const struct dlq_collective *
dlq_collective_threads_get(dlq_collective_threads *group, int32_t rank)
{
    return rank >= 0 && rank < group->size ? &group->ends[rank].table : NULL;
}

void
dlq_collective_threads_abort(dlq_collective_threads *group, int32_t rank, const char *reason)
{
    pthread_mutex_lock(&group->lock);
    if (!(atomic_load(&group->entry.value) & BROKEN)) {
        snprintf(group->reason, sizeof(group->reason), "rank %d gave up: %s", (int)rank,
                 reason ? reason : "no reason given");
        break_group(group, DLQ_ECOMM);
    }
    pthread_mutex_unlock(&group->lock);
}

void
dlq_collective_threads_destroy(dlq_collective_threads *group)
{
    if (group) {
        pthread_mutex_destroy(&group->lock);
        dlq_free(group->alloc, group->ends);
        dlq_free(group->alloc, group->posts);
        dlq_free(group->alloc, group->buffers);
        dlq_free(group->alloc, group);
    }
}
