// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CORE_NCCL_PEERS_H
#define DLQ_CORE_NCCL_PEERS_H

#include "peer_sum.h"

#include <dlquant/status.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dlq_nccl_group;

/// Memory of all ranks that this one's kernels reach, for few bytes without NCCL. Zeroes:
/// none.
struct dlq_nccl_peers {
    struct dlq_peer_ends ends;   ///< `mail` NULL: nothing is allocated
    size_t at_once;              ///< Bytes of the largest sum that goes this way
    size_t limit;                ///< And of the largest at all; 0: all go over NCCL
    size_t part;                 ///< Of the largest part that is gathered
    bool mapped[DLQ_PEER_RANKS]; ///< Which inboxes are of other processes
};

/// Make, exchange and try this memory, unless DLQ_PEER_SUMS or NCCL_P2P_DISABLE says not to. Where
/// any rank cannot reach another's, all go on without it: an error is only that of a rank that is
/// missing.
int32_t
dlq_nccl_connect_peers(struct dlq_nccl_group *g, struct dlq_error *err);

/// Let kernels that wait for others end.
void
dlq_nccl_stop_peers(struct dlq_nccl_group *g);

/// Whether a kernel has waited longer for a rank than the group's limit.
bool
dlq_nccl_has_late_peer(const struct dlq_nccl_group *g);

/// Stop, and say for which rank a kernel waited, of the stream unless one gave up before; -1: for
/// none.
int32_t
dlq_nccl_late_peer(struct dlq_nccl_group *g, cudaStream_t stream);

/// Release all. After a failure the inbox stays, since kernels of others may still write to it.
void
dlq_nccl_leave_peers(struct dlq_nccl_group *g);

#endif // DLQ_CORE_NCCL_PEERS_H
