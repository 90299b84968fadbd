// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CORE_NCCL_PEER_SUM_H
#define DLQ_CORE_NCCL_PEER_SUM_H

#include <cuda_runtime_api.h>

#include <stddef.h>
#include <stdint.h>

/// Sums of few elements over memory that GPUs read and write of each other, in one launch. Elements
/// are added in fp32 and in rank order, whichever way they take, so that all ranks have the same
/// bits. Few elements of each rank are gathered in the same way.

#ifdef __cplusplus
extern "C" {
#endif

enum {
    DLQ_PEER_RANKS = 8,       ///< At most so many
    DLQ_PEER_BYTES = 1 << 20, ///< Of one sum, at most
    DLQ_PEER_TURNS = 1024,    ///< Counters of a rank
    DLQ_PEER_WORDS = 2048,    ///< Each with a word that is not 0 once the rank gave up
};

enum dlq_peer_type { DLQ_PEER_F16, DLQ_PEER_BF16, DLQ_PEER_F32, DLQ_PEER_I32 };

enum dlq_peer_way {
    DLQ_PEER_AT_ONCE,  ///< Each rank sends all to all, and adds up all
    DLQ_PEER_IN_SHARES ///< Each rank adds up a share and sends the sums on: two ways, fewer bytes
};

/// What the host and a waiting kernel tell each other, in host memory that the GPU sees.
struct dlq_peer_mail {
    uint32_t stop; ///< Not 0: do not wait any longer
    uint32_t late; ///< 1 + the rank that was waited for when that was found, or the limit passed
};

/// One rank's end. Memory is the caller's; inboxes and `turns` begin as zeroes.
struct dlq_peer_ends {
    void *inbox[DLQ_PEER_RANKS]; ///< Of every rank, dlq_peer_inbox_size(), as this GPU sees them
    uint32_t *turns;             ///< DLQ_PEER_WORDS on this GPU
    struct dlq_peer_mail *mail;  ///< As this GPU sees it
    int32_t rank;
    int32_t size;
    int32_t early; ///< Whether kernels begin before the one in front has ended; from sm_90 on
    /// How long a thread waits for what one rank sends, from its first look on; 0: for ever.
    int64_t limit_ns;
};

/// Bytes of an inbox of a group of `size` ranks.
size_t
dlq_peer_inbox_size(int32_t size);

/// Bytes of the largest sum that goes this way.
size_t
dlq_peer_limit(enum dlq_peer_way way, int32_t size);

/// In place, `data` aligned to its elements, of at most dlq_peer_limit(). Only enqueues; the result
/// is that of the launch. Calls of one rank follow each other on one stream, and all ranks make the
/// same ones. I32 is modulo 2^32. Once a kernel was stopped or has waited longer than its limit,
/// what it leaves is no sum, and those after it end at once and send nothing: others would take it
/// for a sum's.
cudaError_t
dlq_peer_sum(const struct dlq_peer_ends *ends, void *data, int64_t count, enum dlq_peer_type type,
             enum dlq_peer_way way, cudaStream_t stream);

/// `to` becomes all ranks' elements one after the other, of rank r counts[r] of `width` bytes: 2, 4
/// or 8, to which both are aligned. `from` may be this rank's place in `to`; else they do not
/// overlap. The largest part has dlq_peer_limit() of DLQ_PEER_AT_ONCE at most, and 1 element at
/// least. Otherwise as dlq_peer_sum(), with which it takes turns.
cudaError_t
dlq_peer_gather(const struct dlq_peer_ends *ends, const void *from, void *to, const int64_t *counts,
                size_t width, cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif // DLQ_CORE_NCCL_PEER_SUM_H
