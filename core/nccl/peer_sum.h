// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CORE_NCCL_PEER_SUM_H
#define DLQ_CORE_NCCL_PEER_SUM_H

#include <cuda_runtime_api.h>

#include <stddef.h>
#include <stdint.h>

/// Sums of few elements over memory that GPUs read and write of each other: one launch, in which
/// every rank sends its elements to all others and adds up what came, in fp32 and in rank order, so
/// that all have the same bits.

#ifdef __cplusplus
extern "C" {
#endif

enum {
    DLQ_PEER_RANKS = 8,          ///< At most so many
    DLQ_PEER_THREADS = 256,      ///< Of a block; each sums 8 bytes
    DLQ_PEER_BLOCKS = 128,       ///< At most so many
    DLQ_PEER_BYTES = 256 * 1024, ///< Of one sum, at most
};

enum dlq_peer_type { DLQ_PEER_F16, DLQ_PEER_BF16, DLQ_PEER_F32, DLQ_PEER_I32 };

/// What the host and a waiting kernel tell each other, in host memory that the GPU sees.
struct dlq_peer_mail {
    uint32_t stop; ///< Not 0: do not wait any longer
    uint32_t late; ///< 1 + the rank that was waited for when that was found
};

/// One rank's end. Memory is the caller's; inboxes and `turns` begin as zeroes.
struct dlq_peer_ends {
    void *inbox[DLQ_PEER_RANKS]; ///< Of every rank, dlq_peer_inbox_size(), as this GPU sees them
    uint32_t *turns;             ///< DLQ_PEER_BLOCKS on this GPU: calls so far, by block
    struct dlq_peer_mail *mail;  ///< As this GPU sees it
    int32_t rank;
    int32_t size;
};

/// Bytes of an inbox of a group of `size` ranks.
size_t
dlq_peer_inbox_size(int32_t size);

/// In place, `data` aligned to its elements, of at most DLQ_PEER_BYTES. Only enqueues; the result
/// is that of the launch. Calls of one rank follow each other on one stream, and all ranks make the
/// same ones. I32 is modulo 2^32.
cudaError_t
dlq_peer_sum(const struct dlq_peer_ends *ends, void *data, int64_t count, enum dlq_peer_type type,
             cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif // DLQ_CORE_NCCL_PEER_SUM_H
