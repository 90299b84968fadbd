// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TESTS_FAKE_STREAM_H
#define DLQ_TESTS_FAKE_STREAM_H

#include "fake_nccl.h"

#include "nccl/peer_sum.h"

#include <pthread.h>
#include <stddef.h>

/// Streams of GPUs that are not there, for the fakes of CUDA and of NCCL.

enum { FAKE_QUEUE = 64 };

enum fake_kind {
    FAKE_WIDEN,
    FAKE_NARROW,
    FAKE_REDUCE,
    FAKE_GATHER,
    FAKE_BROADCAST,
    FAKE_PAIRS, ///< One group of sends and receives
    FAKE_PEERS  ///< A sum over memory of peers, or what it gathers: `recv_bytes` of each rank
};

/// What a stream has to do.
struct fake_op {
    enum fake_kind kind;
    struct ncclComm *comm; ///< Of a collective of NCCL
    const void *from;
    void *to;
    size_t count;
    int type; ///< Of NCCL; for casts whether bf16
    int root;
    const void *send[FAKE_NCCL_RANKS];
    void *recv[FAKE_NCCL_RANKS];
    size_t send_bytes[FAKE_NCCL_RANKS], recv_bytes[FAKE_NCCL_RANKS];
    struct dlq_peer_ends ends;
    bool gathers;
    int64_t begin; ///< When a sum over memory of peers began to wait, in ns; 0: not yet
};

struct CUstream_st {
    struct fake_op queue[FAKE_QUEUE];
    int first, end;
    bool captured;    ///< Not to be asked
    bool invalidated; ///< And was
    struct CUstream_st *next;
};

struct fake_meeting {
    char id[NCCL_UNIQUE_ID_BYTES];
    int size, arrived;
    struct ncclComm *ranks[FAKE_NCCL_RANKS];
    struct fake_meeting *next;
};

struct ncclComm {
    int rank, device;
    bool aborted;
    struct fake_meeting *all;
};

extern pthread_mutex_t fake_lock;   ///< Guards everything here
extern pthread_cond_t fake_changed; ///< Something has been done, or somebody has arrived
extern struct CUstream_st *fake_streams;

/// Nanoseconds of a clock.
int64_t
fake_now(void);

/// The operation that a stream does next, or NULL. [lock held]
struct fake_op *
fake_head(struct CUstream_st *s);

/// Do what can be done. [lock held]
void
fake_progress(void);

void
fake_enqueue(cudaStream_t s, const struct fake_op *op);

#endif // DLQ_TESTS_FAKE_STREAM_H
