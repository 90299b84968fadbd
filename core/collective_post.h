// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CORE_COLLECTIVE_POST_H
#define DLQ_CORE_COLLECTIVE_POST_H

#include <dlquant/status.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// What one rank asks a group for in one call, and whether all ranks ask for the same.

enum dlq_op { DLQ_OP_ALL_REDUCE, DLQ_OP_ALL_GATHER, DLQ_OP_BROADCAST, DLQ_OP_BARRIER };

struct dlq_post {
    enum dlq_op op;
    bool invalid; ///< The rank's own arguments are wrong; it knows why
    uint32_t dtype;
    uint32_t flags;
    int32_t root;
    int64_t count;
    const int64_t *counts; ///< Of all_gather
};

/// "all_reduce" and so on.
const char *
dlq_op_name(enum dlq_op op);

/// Fill `post` and check the rank's own arguments; what is wrong also marks the post, so that the
/// rank can take part in the call and the others learn of it.
int32_t
dlq_post_all_reduce(struct dlq_post *post, const void *data, int64_t count, uint32_t dtype,
                    uint32_t flags, struct dlq_error *err);

/// As above, for rank `rank` of `size`.
int32_t
dlq_post_all_gather(struct dlq_post *post, const void *send, const void *recv,
                    const int64_t *counts, uint32_t dtype, int32_t rank, int32_t size,
                    struct dlq_error *err);

/// As above.
int32_t
dlq_post_broadcast(struct dlq_post *post, const void *data, int64_t count, uint32_t dtype,
                   int32_t root, int32_t size, struct dlq_error *err);

/// Compare the posts of `size` ranks, each `stride` bytes after the one before: DLQ_ECOMM names the
/// first rank whose arguments are wrong or differ from rank 0's. The verdict is the same on every
/// rank; `rank` is only for the message.
int32_t
dlq_posts_check(const struct dlq_post *first, size_t stride, int32_t rank, int32_t size,
                struct dlq_error *err);

#endif // DLQ_CORE_COLLECTIVE_POST_H
