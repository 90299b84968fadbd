// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

// gpu_group [RANKS]...: what an engine gets from a group of GPUs over NCCL, each rank a thread with
// a GPU of its own. All calls, at once and in a graph that is replayed, of groups that were made in
// every way. Modules are found by DLQ_PLUGIN_PATH.

#include "float16.h"

#include <dlquant/dlquant.h>

#include <nccl.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_RANKS = 8,
    TIMEOUT_MS = 20000,
    CONNECT_MS = 60000,
    MARGIN = 256, // Bytes before and behind, which stay as they are
    MOST = (1 << 20) + 3,
    ROOM = MOST * 4 + 2 * MARGIN,
    REPLAYS = 3,
    SKIPPED = 77
};

// How ranks come to be a group.
enum way { BY_HOST, BY_HOST_NCCL_ONLY, BY_HOST_REGISTERED, BY_ID, BY_COMMUNICATOR, WAYS };

static const char *const way_names[WAYS] = {
    "id from the host",
    "id from the host, sums over NCCL alone",
    "id from the host, sums over NCCL alone, registered memory",
    "id of the engine",
    "communicator of the engine",
};

enum op { ALL_REDUCE, ALL_GATHER, BROADCAST };

struct call {
    enum op op;
    uint32_t dtype;
    uint32_t flags;
    int32_t root;
    int64_t count; // Of each rank's elements; of an uneven all_gather the most
    bool uneven;
    bool rounds; // Values whose sum differs when it is rounded more than once
};

struct world {
    int32_t size;
    enum way way;
    dlq_collective_threads *host;
    ncclUniqueId comm_id;
    char id[DLQ_NCCL_ID_SIZE];
    pthread_barrier_t barrier;
};

struct rank {
    struct world *w;
    int32_t index;
    pthread_t thread;
    dlq_runtime *rt;
    dlq_stream *stream;
    dlq_collective_nccl *group;
    ncclComm_t comm;
    char *source, *data; // On the GPU, ROOM bytes each
    char *before, *after, *want;
    float *values;
    int calls, wrong;
};

static void
must(int32_t rc, const struct dlq_error *err, const char *what)
{
    if (rc != DLQ_OK) {
        printf("not ok %s: %s\n", what, err->msg);
        exit(1);
    }
}

static void
must_nccl(ncclResult_t rc, const char *what)
{
    if (rc != ncclSuccess) {
        printf("not ok %s: %s\n", what, ncclGetErrorString(rc));
        exit(1);
    }
}

static struct dlq_device
device_of(const struct rank *r)
{
    return (struct dlq_device){DLQ_DEVICE_CUDA, r->index};
}

static size_t
width_of(const struct call *c)
{
    return DLQ_DTYPE_BITS(c->dtype) / 8;
}

static int64_t
count_of(const struct rank *r, const struct call *c, int32_t rank)
{
    // The last rank gives nothing.
    return c->uneven ? c->count * ((rank + 1) % r->w->size) / r->w->size : c->count;
}

// Sums of these are exact in every dtype, but for those that show how often they are rounded.
static float
value(const struct call *c, int32_t rank, int64_t i)
{
    if (c->rounds) {
        return rank > 0 ? 1.0f : c->dtype == DLQ_F16 ? 2048.0f : 256.0f;
    }
    return (float)((i * 7 + rank * 3 + i / 11) % 15 - 7);
}

static void
cast(const struct rank *r, const struct call *c, char *to, int64_t count)
{
    struct dlq_error err = DLQ_ERROR_INIT;
    must(dlq_cast(c->dtype, to, DLQ_F32, r->values, (size_t)count), &err, "dlq_cast");
}

static void
fill(struct rank *r, const struct call *c)
{
    const int64_t count = count_of(r, c, r->index);
    memset(r->before, 0xab, ROOM);
    for (int64_t i = 0; i < count; i++) {
        r->values[i] = value(c, r->index, i);
    }
    cast(r, c, r->before + MARGIN, count);
}

static void
expect(struct rank *r, const struct call *c)
{
    memcpy(r->want, r->before, ROOM);
    if (c->op == ALL_GATHER) {
        char *to = r->want + MARGIN;
        for (int32_t s = 0; s < r->w->size; s++) {
            const int64_t count = count_of(r, c, s);
            for (int64_t i = 0; i < count; i++) {
                r->values[i] = value(c, s, i);
            }
            cast(r, c, to, count);
            to += (size_t)count * width_of(c);
        }
        return;
    }
    for (int64_t i = 0; i < c->count; i++) {
        r->values[i] = 0;
        for (int32_t s = 0; s < r->w->size; s++) {
            r->values[i] += c->op == ALL_REDUCE || s == c->root ? value(c, s, i) : 0;
        }
    }
    cast(r, c, r->want + MARGIN, c->count);
}

static int32_t
enqueue(struct rank *r, const struct call *c, struct dlq_error *err)
{
    const struct dlq_collective *const t = dlq_collective_nccl_get(r->group);
    void *const stream = dlq_stream_handle(r->stream);
    int64_t counts[MAX_RANKS];
    for (int32_t s = 0; s < r->w->size; s++) {
        counts[s] = count_of(r, c, s);
    }
    int32_t rc = dlq_stream_copy(r->stream, r->data, r->source, ROOM, err);
    if (rc != DLQ_OK) {
        return rc;
    }
    switch (c->op) {
    case ALL_REDUCE:
        rc = t->all_reduce(t->ctx, r->data + MARGIN, c->count, c->dtype, c->flags, stream, err);
        break;
    case ALL_GATHER:
        rc = t->all_gather(t->ctx, r->source + MARGIN, r->data + MARGIN, counts, c->dtype, stream,
                           err);
        break;
    case BROADCAST:
        rc = t->broadcast(t->ctx, r->data + MARGIN, c->count, c->dtype, c->root, stream, err);
        break;
    }
    return rc == DLQ_OK ? t->barrier(t->ctx, stream, err) : rc;
}

static void
compare(struct rank *r)
{
    struct dlq_error err = DLQ_ERROR_INIT;
    must(dlq_collective_nccl_wait(r->group, dlq_stream_handle(r->stream), &err), &err, "wait");
    must(dlq_stream_download(r->stream, r->after, r->data, ROOM, &err), &err, "download");
    r->calls++;
    r->wrong += memcmp(r->after, r->want, ROOM) != 0;
}

static void
check(struct rank *r, const struct call *c)
{
    struct dlq_error err = DLQ_ERROR_INIT;
    dlq_graph *graph = NULL;
    fill(r, c);
    expect(r, c);
    must(dlq_stream_upload(r->stream, r->source, r->before, ROOM, &err), &err, "upload");
    must(enqueue(r, c, &err), &err, "a call");
    compare(r);
    must(dlq_stream_capture_begin(r->stream, &err), &err, "capture");
    must(enqueue(r, c, &err), &err, "a call that is captured");
    must(dlq_stream_capture_end(r->stream, &graph, &err), &err, "end of capture");
    // Making a graph waits for a GPU, on which a rank may wait for this one.
    (void)pthread_barrier_wait(&r->w->barrier);
    for (int i = 0; i < REPLAYS; i++) {
        must(dlq_graph_launch(graph, r->stream, &err), &err, "a replay");
    }
    compare(r);
    dlq_graph_destroy(graph);
}

static void
check_calls(struct rank *r)
{
    static const uint32_t dtypes[] = {DLQ_F16, DLQ_BF16, DLQ_F32, DLQ_I32};
    static const int64_t counts[] = {1, 1001, 65536, MOST};
    for (size_t d = 0; d < sizeof(dtypes) / sizeof(dtypes[0]); d++) {
        struct call c = {.dtype = dtypes[d]};
        for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
            c.count = counts[i];
            c.op = ALL_REDUCE;
            check(r, &c);
            c.flags = DLQ_REDUCE_FP32;
            check(r, &c);
            c.rounds = c.dtype == DLQ_F16 || c.dtype == DLQ_BF16;
            check(r, &c);
            c.rounds = false;
            c.flags = 0;
            c.op = BROADCAST;
            c.root = (int32_t)(i % (size_t)r->w->size);
            check(r, &c);
        }
        c.op = ALL_GATHER;
        for (int uneven = 0; uneven < 2; uneven++) {
            c.uneven = uneven;
            c.count = 1001;
            check(r, &c);
            // All ranks' together fill no more than the room.
            c.count = MOST / r->w->size * (1 + uneven);
            check(r, &c);
        }
    }
}

static void
join(struct rank *r)
{
    const bool by_host = r->w->way <= BY_HOST_REGISTERED;
    struct dlq_error err = DLQ_ERROR_INIT;
    if (r->w->way == BY_COMMUNICATOR) {
        must_nccl(ncclCommInitRank(&r->comm, r->w->size, r->w->comm_id, r->index),
                  "ncclCommInitRank");
    }
    const struct dlq_collective_nccl_options options = {
        .struct_size = sizeof(options),
        .timeout_ms = TIMEOUT_MS,
        .connect_ms = CONNECT_MS,
        .device = r->index,
        .rank = r->index,
        .size = r->w->size,
        .host = by_host ? dlq_collective_threads_get(r->w->host, r->index) : NULL,
        .id = r->w->way == BY_ID ? r->w->id : NULL,
        .comm = r->comm,
    };
    must(dlq_collective_nccl_create(r->rt, &options, &r->group, &err), &err, "joining");
    if (r->w->way == BY_HOST_REGISTERED) {
        must(dlq_collective_nccl_register(r->group, r->data, ROOM, &err), &err, "registering");
    }
}

static void *
rank_main(void *arg)
{
    struct rank *const r = arg;
    struct dlq_error err = DLQ_ERROR_INIT;
    void *memory = NULL;
    must(dlq_runtime_create(NULL, &r->rt, &err), &err, "dlq_runtime_create");
    must(dlq_device_use(r->rt, device_of(r), &err), &err, "dlq_device_use");
    must(dlq_stream_create(r->rt, device_of(r), &r->stream, &err), &err, "dlq_stream_create");
    must(dlq_device_alloc(r->rt, device_of(r), ROOM, &memory, &err), &err, "dlq_device_alloc");
    r->source = memory;
    must(dlq_device_alloc(r->rt, device_of(r), ROOM, &memory, &err), &err, "dlq_device_alloc");
    r->data = memory;
    r->before = malloc(ROOM);
    r->after = malloc(ROOM);
    r->want = malloc(ROOM);
    r->values = malloc(MOST * sizeof(*r->values));
    join(r);
    check_calls(r);
    dlq_collective_nccl_destroy(r->group);
    if (r->comm) {
        // It was never the group's to destroy.
        must_nccl(ncclCommDestroy(r->comm), "ncclCommDestroy");
    }
    free(r->values);
    free(r->want);
    free(r->after);
    free(r->before);
    dlq_device_free(r->rt, device_of(r), r->data);
    dlq_device_free(r->rt, device_of(r), r->source);
    dlq_stream_destroy(r->stream);
    dlq_runtime_destroy(r->rt);
    return NULL;
}

static bool
run(dlq_runtime *rt, int32_t size, enum way way)
{
    struct rank ranks[MAX_RANKS] = {0};
    struct world w = {.size = size, .way = way};
    struct dlq_error err = DLQ_ERROR_INIT;
    const bool nccl_only = way == BY_HOST_NCCL_ONLY || way == BY_HOST_REGISTERED;
    (void)setenv("DLQ_PEER_SUMS", nccl_only ? "0" : "1", 1);
    must(dlq_collective_threads_create(rt, size, TIMEOUT_MS, &w.host, &err), &err, "threads");
    must(dlq_collective_nccl_id(rt, w.id, &err), &err, "dlq_collective_nccl_id");
    must_nccl(ncclGetUniqueId(&w.comm_id), "ncclGetUniqueId");
    (void)pthread_barrier_init(&w.barrier, NULL, (unsigned)size);
    for (int32_t i = 0; i < size; i++) {
        ranks[i] = (struct rank){.w = &w, .index = i};
        if (pthread_create(&ranks[i].thread, NULL, rank_main, &ranks[i]) != 0) {
            exit(1);
        }
    }
    int wrong = 0;
    for (int32_t i = 0; i < size; i++) {
        pthread_join(ranks[i].thread, NULL);
        wrong += ranks[i].wrong;
    }
    printf("%s %d ranks, %s: %d calls of each, %d wrong\n", wrong ? "not ok" : "ok", (int)size,
           way_names[way], ranks[0].calls, wrong);
    pthread_barrier_destroy(&w.barrier);
    dlq_collective_threads_destroy(w.host);
    return wrong == 0;
}

int
main(int argc, char **argv)
{
    struct dlq_error err = DLQ_ERROR_INIT;
    dlq_runtime *rt = NULL;
    int32_t gpus = 0;
    bool ok = true;
    bool any = false;
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    must(dlq_runtime_create(NULL, &rt, &err), &err, "dlq_runtime_create");
    if (dlq_device_count(rt, DLQ_DEVICE_CUDA, &gpus, &err) != DLQ_OK) {
        gpus = 0;
    }
    for (int i = 1; i < argc; i++) {
        const int32_t size = atoi(argv[i]);
        if (size < 1 || size > MAX_RANKS || size > gpus) {
            printf("skipped: %s ranks on %d GPUs\n", argv[i], (int)gpus);
            continue;
        }
        any = true;
        for (int way = BY_HOST; way < WAYS; way++) {
            ok = run(rt, size, (enum way)way) && ok;
        }
    }
    dlq_runtime_destroy(rt);
    return !any ? SKIPPED : ok ? 0 : 1;
}
