// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TESTS_FAKE_NCCL_H
#define DLQ_TESTS_FAKE_NCCL_H

#include <cuda_runtime_api.h>
#include <nccl.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/// GPUs and NCCL on host memory, for ranks that are threads: streams are queues, and a collective
/// is done when it is at the head of the queues of all its ranks, as on a GPU.

enum { FAKE_NCCL_RANKS = 4 };

/// How the next test wants them.
struct fake_nccl {
    int devices;                   ///< cudaSetDevice() of others fails
    int capability;                ///< Its major number, of all devices
    int silent_rank;               ///< ncclCommInitRank() of it never returns; -1: none
    bool released;                 ///< Who waits for others gives up
    int slow_ms;                   ///< ncclCommInitRank() takes so long
    bool hanging_abort;            ///< ncclCommAbort() waits for fake_nccl_release()
    int wrong_rank;                ///< ncclCommInitRank() of it fails; -1: none
    int lonely_device;             ///< No other reaches its memory; -1: none
    int device_without_mail;       ///< cudaHostAlloc() on it fails; -1: none
    int unshared_device;           ///< Other processes cannot open its memory; -1: none
    bool hanging_peers;            ///< Sums over memory of peers never end
    bool wrong_peers;              ///< Sums of integers over it are one too large
    atomic_int peer_sums;          ///< Sums over memory of peers done
    atomic_int peer_gathers;       ///< And what it gathered
    atomic_int opened;             ///< Memory of other processes that is open
    atomic_int async_error;        ///< ncclResult_t of every communicator
    atomic_int calls;              ///< Collectives done, those of a group counting alone
    atomic_int aborted, destroyed; ///< Communicators
    atomic_int allocated;          ///< cudaMalloc() and cudaHostAlloc() that are not freed
};

extern struct fake_nccl fake_nccl;

/// Begin a test: four devices, everything succeeds. No rank may be inside a call.
void
fake_nccl_reset(void);

/// Let every ncclCommInitRank() that waits fail, and wait until what it leaves behind is freed.
void
fake_nccl_release(void);

#endif // DLQ_TESTS_FAKE_NCCL_H
