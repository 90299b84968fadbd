// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CORE_MPI_EXCHANGE_H
#define DLQ_CORE_MPI_EXCHANGE_H

#include "collective_module.h"
#include "collective_post.h"

#include <mpi.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// One round of messages between all ranks, with a time limit and a name for who is late.
///
/// MPI's own collectives cannot say which rank they wait for, so every round is one message from
/// each rank to each. A rank whose time is up asks all others; each that is inside a call answers.
/// Who does not answer is missing, whoever waits for whom. The one that knows first tells all.
///
/// Messages go from and to the group's own memory: a rank that was only late may still read or
/// write there after the others gave up.

/// Bytes of data in one message.
#define DLQ_MPI_PAYLOAD ((size_t)65536)

enum { DLQ_MPI_REASON = 448 };

/// What ranks tell each other outside the calls.
struct dlq_mpi_notice {
    int32_t kind; ///< enum dlq_mpi_notice_kind
    int32_t code;
    char reason[DLQ_MPI_REASON];
};

enum dlq_mpi_notice_kind {
    DLQ_MPI_ASK = 1,   ///< "My time is up: are you there?", and its answer
    DLQ_MPI_BROKEN = 2 ///< The group is broken, and why
};

/// A message of a round. No bytes: no message.
struct dlq_mpi_lane {
    const char *out;
    size_t out_bytes;
    size_t in_bytes; ///< Most that may come
};

struct dlq_mpi_group {
    struct dlq_collective_mpi base;
    const struct dlq_allocator *alloc;
    MPI_Comm comm;
    int32_t rank;
    int32_t size;
    int32_t timeout_ms;
    bool owns_comm;
    bool owns_mpi; ///< Whoever initialised MPI finalises it
    atomic_bool inside;
    int32_t code; ///< Not DLQ_OK: the group is broken
    char reason[DLQ_MPI_REASON];
    size_t head; ///< Bytes of a slot before the data
    size_t slot; ///< Bytes of a slot
    char *out;   ///< A slot a rank
    char *in;    ///< A slot a rank
    struct dlq_post *posts;
    void **buffers;
    struct dlq_mpi_lane *lanes;
    MPI_Request *requests; ///< Receives, then sends
    MPI_Request *told;     ///< Sends of `ask`, then of `broken`
    bool *answered;
    bool asked;
    struct dlq_mpi_notice ask;
    struct dlq_mpi_notice broken;
};

/// Send and receive as `g->lanes` say; what rank r sent is in the slot `g->in + r * g->slot`.
int32_t
dlq_mpi_exchange(struct dlq_mpi_group *g, const char *what, struct dlq_error *err);

/// Why the group is broken, as the result of the call `what`.
int32_t
dlq_mpi_fail_broken(const struct dlq_mpi_group *g, const char *what, struct dlq_error *err);

/// Break the group, unless it is, and tell the others.
void
dlq_mpi_break(struct dlq_mpi_group *g, int32_t code, const char *reason);

/// Take in what others told outside calls.
void
dlq_mpi_hear(struct dlq_mpi_group *g);

/// Cancel what is under way; false when MPI may still use the group's memory.
bool
dlq_mpi_quiesce(struct dlq_mpi_group *g);

/// Monotonic time in nanoseconds.
int64_t
dlq_mpi_now_ns(void);

/// Between two looks at what MPI has done: give others the core, the longer the wait the more.
void
dlq_mpi_pause(int64_t since_ns);

#endif // DLQ_CORE_MPI_EXCHANGE_H
