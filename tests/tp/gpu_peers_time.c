// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "gpu_peers.h"

#include <stdio.h>
#include <stdlib.h>

enum { CALLS = 20, REPLAYS = 5, BATCHES = 9 };

static struct {
    enum dlq_peer_way way;
    bool gathers; // Parts of all ranks, of so many bytes together
    size_t bytes;
    double us[DLQ_PEER_RANKS];
} step;

static int
compare(const void *a, const void *b)
{
    const float x = *(const float *)a;
    const float y = *(const float *)b;
    return (x > y) - (x < y);
}

static void
enqueue(struct peers_rank *r)
{
    if (!step.gathers) {
        PEERS_MUST(dlq_peer_sum(&r->ends, r->data, (int64_t)(step.bytes / 2), DLQ_PEER_F16,
                                step.way, r->stream));
        return;
    }
    const size_t each = step.bytes / 2 / (size_t)r->w->size;
    int64_t counts[DLQ_PEER_RANKS];
    for (int i = 0; i < r->w->size; i++) {
        counts[i] = (int64_t)each;
    }
    PEERS_MUST(dlq_peer_gather(&r->ends, r->data + (size_t)r->rank * each * 2, r->data, counts, 2,
                               r->stream));
}

// The median of batches of replays, each of several sums.
static void
time_one(struct peers_rank *r)
{
    cudaGraph_t graph = NULL;
    cudaGraphExec_t exec = NULL;
    cudaEvent_t begin = NULL;
    cudaEvent_t end = NULL;
    float ms[BATCHES];
    PEERS_MUST(cudaEventCreate(&begin));
    PEERS_MUST(cudaEventCreate(&end));
    PEERS_MUST(cudaMemsetAsync(r->data, 0, DLQ_PEER_BYTES, r->stream));
    PEERS_MUST(cudaStreamBeginCapture(r->stream, cudaStreamCaptureModeThreadLocal));
    for (int i = 0; i < CALLS; i++) {
        enqueue(r);
    }
    PEERS_MUST(cudaStreamEndCapture(r->stream, &graph));
    PEERS_MUST(cudaGraphInstantiate(&exec, graph, 0));
    for (int b = 0; b < BATCHES; b++) {
        peers_meet(r);
        PEERS_MUST(cudaGraphLaunch(exec, r->stream));
        PEERS_MUST(cudaEventRecord(begin, r->stream));
        for (int i = 0; i < REPLAYS; i++) {
            PEERS_MUST(cudaGraphLaunch(exec, r->stream));
        }
        PEERS_MUST(cudaEventRecord(end, r->stream));
        PEERS_MUST(cudaStreamSynchronize(r->stream));
        PEERS_MUST(cudaEventElapsedTime(&ms[b], begin, end));
    }
    qsort(ms, BATCHES, sizeof(ms[0]), compare);
    step.us[r->rank] = (double)ms[BATCHES / 2] * 1e3 / (CALLS * REPLAYS);
    PEERS_MUST(cudaEventDestroy(begin));
    PEERS_MUST(cudaEventDestroy(end));
    PEERS_MUST(cudaGraphExecDestroy(exec));
    PEERS_MUST(cudaGraphDestroy(graph));
}

static double
slowest(const struct peers_world *w)
{
    double us = 0;
    for (int r = 0; r < w->size; r++) {
        us = step.us[r] > us ? step.us[r] : us;
    }
    return us;
}

void
peers_time(struct peers_world *w)
{
    for (step.bytes = 2048; step.bytes <= DLQ_PEER_BYTES; step.bytes *= 2) {
        printf("peers,%d,%zu", w->size, step.bytes);
        for (int way = DLQ_PEER_AT_ONCE; way <= DLQ_PEER_IN_SHARES; way++) {
            step.way = (enum dlq_peer_way)way;
            if (step.bytes <= dlq_peer_limit(step.way, w->size)) {
                peers_run(w, time_one);
                printf(",%.2f", slowest(w));
            } else {
                printf(",");
            }
        }
        step.gathers = true;
        peers_run(w, time_one);
        step.gathers = false;
        printf(",%.2f\n", slowest(w));
    }
}
