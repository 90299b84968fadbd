// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TESTS_NCCL_WORLD_H
#define DLQ_TESTS_NCCL_WORLD_H

#include "fake_nccl.h"
#include "support.h"

#include <dlquant/collective.h>

#include <pthread.h>

/// The module of NCCL on a fake of NCCL and of CUDA: ranks are threads with a stream each.

enum {
    RANKS = 3,
    LONG_MS = 30000, ///< Never reached, on however slow a machine
    HOST_MS = 1000,  ///< Of the group on the host, where a rank is to be missed
    SHORT_MS = 300
};

struct world;

struct seat {
    struct world *w;
    int32_t rank;
    pthread_t thread;
    dlq_collective_nccl *group;
    cudaStream_t stream;
    struct dlq_error err;
    int32_t rc;
};

/// All ranks of a test.
struct world {
    dlq_runtime *rt;
    dlq_collective_threads *host;
    struct dlq_collective_nccl_options options[RANKS];
    struct seat seats[RANKS];
    void (*body)(struct seat *s);
};

/// What each rank does before it joins; NULL: nothing.
extern void (*world_prepare)(struct seat *s);

/// `host_ms`: time limit of the group on the host.
void
world_begin_with(struct world *w, int32_t host_ms);

void
world_begin(struct world *w);

/// Every rank joins and runs the body; then they leave.
void
world_run(struct world *w, void (*body)(struct seat *s));

void
world_end(struct world *w);

void
world_assert(const struct world *w, int32_t rc, const char *text);

/// Waits are short from here on, when all have joined.
void
seat_hurry(struct seat *s);

/// Wait, and keep the first failure as the rank's result.
void
seat_settle(struct seat *s, int32_t rc);

/// The body that adds up values in every dtype, and keeps whether the sums are exact.
void
seat_sum_all_dtypes(struct seat *s);

#endif // DLQ_TESTS_NCCL_WORLD_H
