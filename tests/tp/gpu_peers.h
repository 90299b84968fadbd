// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TESTS_TP_GPU_PEERS_H
#define DLQ_TESTS_TP_GPU_PEERS_H

#include "nccl/peer_sum.h"

#include <cuda_runtime_api.h>

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// gpu_peers: sums and gathering over memory of peers, by ranks that are threads with a stream
/// each, on a GPU each or, where there are too few, several on one.

struct peers_world;

struct peers_rank {
    struct peers_world *w;
    int rank;
    pthread_t thread;
    cudaStream_t stream;
    struct dlq_peer_ends ends;
    char *data; ///< On the GPU: DLQ_PEER_BYTES and PEERS_MARGIN before and behind
    char *host; ///< As large
};

struct peers_world {
    int size;
    int gpus;
    bool alone; ///< Whether each rank has a GPU
    bool early; ///< Whether kernels begin before the one in front has ended
    pthread_barrier_t barrier;
    struct peers_rank ranks[DLQ_PEER_RANKS];
    void (*body)(struct peers_rank *r);
    int failed; ///< Of all ranks together, atomically
};

enum { PEERS_MARGIN = 64 };

/// No sum waits as long, where no rank is lost.
#define PEERS_LIMIT_NS ((int64_t)10 * 1000000000)

/// End the program when a call of CUDA fails.
void
peers_must(cudaError_t rc, const char *what, int line);

#define PEERS_MUST(call) peers_must(call, #call, __LINE__)

/// Wait for the other ranks.
void
peers_meet(const struct peers_rank *r);

/// Run the body on every rank.
void
peers_run(struct peers_world *w, void (*body)(struct peers_rank *r));

/// Whether all went well; prints a line for each rank count and case.
bool
peers_check(struct peers_world *w);

/// Part of that: what ranks gather.
bool
peers_check_gather(struct peers_world *w);

/// Part of that: ranks that wait for one that does not come, until they are told to stop or to
/// their limit.
bool
peers_check_lost(struct peers_world *w);

/// Microseconds by size and way, and of gathering so many bytes.
void
peers_time(struct peers_world *w);

#endif // DLQ_TESTS_TP_GPU_PEERS_H
