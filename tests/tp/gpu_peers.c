// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

// gpu_peers check|time [RANKS]...

#include "gpu_peers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
peers_must(cudaError_t rc, const char *what, int line)
{
    if (rc != cudaSuccess) {
        printf("not ok line %d: %s: %s\n", line, what, cudaGetErrorString(rc));
        exit(1);
    }
}

void
peers_meet(const struct peers_rank *r)
{
    (void)pthread_barrier_wait(&r->w->barrier);
}

static void *
rank_main(void *arg)
{
    struct peers_rank *const r = arg;
    int gpus = 1;
    PEERS_MUST(cudaGetDeviceCount(&gpus));
    PEERS_MUST(cudaSetDevice(r->rank % gpus));
    peers_meet(r);
    r->w->body(r);
    return NULL;
}

void
peers_run(struct peers_world *w, void (*body)(struct peers_rank *r))
{
    w->body = body;
    for (int r = 0; r < w->size; r++) {
        if (pthread_create(&w->ranks[r].thread, NULL, rank_main, &w->ranks[r]) != 0) {
            exit(1);
        }
    }
    for (int r = 0; r < w->size; r++) {
        pthread_join(w->ranks[r].thread, NULL);
    }
}

static void
reach_others(const struct peers_rank *r)
{
    int own = 0;
    PEERS_MUST(cudaGetDevice(&own));
    for (int i = 0; i < r->w->size && i < r->w->gpus; i++) {
        const cudaError_t rc = i == own ? cudaSuccess : cudaDeviceEnablePeerAccess(i, 0);
        if (rc != cudaErrorPeerAccessAlreadyEnabled) {
            PEERS_MUST(rc);
        }
        (void)cudaGetLastError();
    }
}

static void
make_rank(struct peers_rank *r)
{
    const size_t inbox = dlq_peer_inbox_size(r->w->size);
    const size_t room = DLQ_PEER_BYTES + 2 * PEERS_MARGIN;
    void *memory = NULL;
    reach_others(r);
    r->ends.rank = r->rank;
    r->ends.size = r->w->size;
    r->ends.early = r->w->early;
    r->ends.limit_ns = PEERS_LIMIT_NS;
    PEERS_MUST(cudaStreamCreateWithFlags(&r->stream, cudaStreamNonBlocking));
    PEERS_MUST(cudaMalloc(&memory, inbox));
    PEERS_MUST(cudaMemset(memory, 0, inbox));
    for (int i = 0; i < r->w->size; i++) {
        r->w->ranks[i].ends.inbox[r->rank] = memory;
    }
    // The numbers of turns soon come to their end and begin again.
    uint32_t turns[DLQ_PEER_WORDS] = {0};
    for (int i = 0; i < DLQ_PEER_TURNS; i++) {
        turns[2 * i] = UINT32_MAX - 2;
    }
    PEERS_MUST(cudaMalloc(&memory, sizeof(turns)));
    PEERS_MUST(cudaMemcpy(memory, turns, sizeof(turns), cudaMemcpyHostToDevice));
    r->ends.turns = memory;
    PEERS_MUST(cudaHostAlloc(&memory, sizeof(*r->ends.mail), cudaHostAllocMapped));
    memset(memory, 0, sizeof(*r->ends.mail));
    r->ends.mail = memory;
    PEERS_MUST(cudaMalloc(&memory, room));
    r->data = memory;
    // Pinned: a copy to other memory keeps its thread, and others' calls, until it is done.
    PEERS_MUST(cudaMallocHost(&memory, room));
    r->host = memory;
    PEERS_MUST(cudaDeviceSynchronize());
    peers_meet(r);
}

static void
free_rank(struct peers_rank *r)
{
    PEERS_MUST(cudaDeviceSynchronize());
    peers_meet(r);
    PEERS_MUST(cudaStreamDestroy(r->stream));
    PEERS_MUST(cudaFree(r->ends.inbox[r->rank]));
    PEERS_MUST(cudaFree(r->ends.turns));
    PEERS_MUST(cudaFreeHost(r->ends.mail));
    PEERS_MUST(cudaFree(r->data));
    PEERS_MUST(cudaFreeHost(r->host));
}

// More find no room at the same time, or share one of the queues of a GPU and wait for each other.
enum { MOST_ON_A_GPU = 4 };

// Kernels that wait for their turn keep room from others on the same GPU: it is enough for those of
// two ranks.
static bool
may_begin_early(int size, int gpus)
{
    int major = 0;
    PEERS_MUST(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0));
    return size <= 2 * gpus && major >= 9;
}

static bool
run_ranks(const char *what, int size, int gpus, bool early)
{
    struct peers_world w = {.size = size, .gpus = gpus, .alone = size <= gpus, .early = early};
    (void)pthread_barrier_init(&w.barrier, NULL, (unsigned)size);
    for (int r = 0; r < size; r++) {
        w.ranks[r] = (struct peers_rank){.w = &w, .rank = r};
    }
    peers_run(&w, make_rank);
    bool ok = true;
    if (strcmp(what, "time") == 0) {
        peers_time(&w);
    } else {
        ok = peers_check(&w);
    }
    peers_run(&w, free_rank);
    (void)pthread_barrier_destroy(&w.barrier);
    return ok;
}

int
main(int argc, char **argv)
{
    const char *const what = argc > 1 ? argv[1] : "check";
    // A kernel that is loaded while another waits for it would wait itself.
    (void)setenv("CUDA_MODULE_LOADING", "EAGER", 1);
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    int gpus = 0;
    if (cudaGetDeviceCount(&gpus) != cudaSuccess || gpus == 0) {
        printf("skipped: no GPU\n");
        return 77;
    }
    bool ok = true;
    for (int i = 2; i < argc; i++) {
        const int size = atoi(argv[i]);
        if (size < 2 || size > DLQ_PEER_RANKS) {
            fprintf(stderr, "usage: gpu_peers check|time [RANKS]...\n");
            return 2;
        }
        if (size > MOST_ON_A_GPU * gpus) {
            printf("skipped: %d ranks on %d GPUs, %d on one at most\n", size, gpus, MOST_ON_A_GPU);
            continue;
        }
        const bool early = may_begin_early(size, gpus);
        ok = run_ranks(what, size, gpus, early) && ok;
        if (early && strcmp(what, "check") == 0) {
            ok = run_ranks(what, size, gpus, false) && ok;
        }
    }
    return ok ? 0 : 1;
}
