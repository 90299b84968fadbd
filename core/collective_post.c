// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "collective_post.h"

#include "error.h"
#include "reduce.h"

#include <dlquant/types.h>

#include <stdio.h>
#include <string.h>

static const char *const op_names[] = {"all_reduce", "all_gather", "broadcast", "barrier"};

const char *
dlq_op_name(enum dlq_op op)
{
    return op >= DLQ_OP_ALL_REDUCE && op <= DLQ_OP_BARRIER ? op_names[op] : "unknown";
}

int32_t
dlq_post_all_reduce(struct dlq_post *post, const void *data, int64_t count, uint32_t dtype,
                    uint32_t flags, struct dlq_error *err)
{
    int32_t rc = DLQ_OK;
    if (count < 0 || (!data && count > 0)) {
        rc = dlq_fail(err, DLQ_EINVAL, "all_reduce: no data or a negative count");
    } else if (!dlq_reduce_supports(dtype)) {
        rc =
            dlq_fail(err, DLQ_EDTYPE, "all_reduce: expected f16, bf16, f32 or i32, found dtype %#x",
                     (unsigned)dtype);
    }
    *post = (struct dlq_post){.op = DLQ_OP_ALL_REDUCE,
                              .invalid = rc != DLQ_OK,
                              .dtype = dtype,
                              .flags = flags,
                              .count = count};
    return rc;
}

static bool
counts_valid(const int64_t *counts, int32_t size)
{
    for (int32_t r = 0; counts && r < size; r++) {
        if (counts[r] < 0) {
            return false;
        }
    }
    return counts != NULL;
}

static int32_t
check_bytes(const char *op, uint32_t dtype, struct dlq_error *err)
{
    return DLQ_DTYPE_BITS(dtype) != 0 && DLQ_DTYPE_BITS(dtype) % 8 == 0
               ? DLQ_OK
               : dlq_fail(err, DLQ_EDTYPE, "%s: expected whole bytes, found dtype %#x", op,
                          (unsigned)dtype);
}

int32_t
dlq_post_all_gather(struct dlq_post *post, const void *send, const void *recv,
                    const int64_t *counts, uint32_t dtype, int32_t rank, int32_t size,
                    struct dlq_error *err)
{
    int32_t rc = DLQ_OK;
    if (!counts_valid(counts, size) || !recv || (!send && counts[rank] > 0)) {
        rc = dlq_fail(err, DLQ_EINVAL, "all_gather: no data or a negative count");
    } else {
        rc = check_bytes("all_gather", dtype, err);
    }
    *post = (struct dlq_post){
        .op = DLQ_OP_ALL_GATHER, .invalid = rc != DLQ_OK, .dtype = dtype, .counts = counts};
    return rc;
}

int32_t
dlq_post_broadcast(struct dlq_post *post, const void *data, int64_t count, uint32_t dtype,
                   int32_t root, int32_t size, struct dlq_error *err)
{
    int32_t rc = DLQ_OK;
    if (count < 0 || (!data && count > 0) || root < 0 || root >= size) {
        rc = dlq_fail(err, DLQ_EINVAL,
                      "broadcast: no data, a negative count, or root %d in a group of %d",
                      (int)root, (int)size);
    } else {
        rc = check_bytes("broadcast", dtype, err);
    }
    *post = (struct dlq_post){.op = DLQ_OP_BROADCAST,
                              .invalid = rc != DLQ_OK,
                              .dtype = dtype,
                              .root = root,
                              .count = count};
    return rc;
}

static const struct dlq_post *
post_at(const struct dlq_post *first, size_t stride, int32_t r)
{
    return (const struct dlq_post *)((const char *)first + (size_t)r * stride);
}

static bool
differ(const struct dlq_post *a, const struct dlq_post *b, int32_t size)
{
    return a->op != b->op || a->dtype != b->dtype || a->flags != b->flags || a->root != b->root ||
           a->count != b->count ||
           (a->counts && memcmp(a->counts, b->counts, (size_t)size * sizeof(int64_t)) != 0);
}

static void
describe(const struct dlq_post *p, int32_t size, char *buf, size_t len)
{
    int n = snprintf(buf, len, "%s of", dlq_op_name(p->op));
    if (p->counts) {
        for (int32_t r = 0; r < size && n >= 0 && (size_t)n < len; r++) {
            n += snprintf(buf + n, len - (size_t)n, "%s%lld", r ? "+" : " ",
                          (long long)p->counts[r]);
        }
    } else {
        n += snprintf(buf + n, len - (size_t)n, " %lld", (long long)p->count);
    }
    if (n >= 0 && (size_t)n < len) {
        snprintf(buf + n, len - (size_t)n, " elements of dtype %#x, flags %#x, root %d",
                 (unsigned)p->dtype, (unsigned)p->flags, (int)p->root);
    }
}

int32_t
dlq_posts_check(const struct dlq_post *first, size_t stride, int32_t rank, int32_t size,
                struct dlq_error *err)
{
    for (int32_t r = 0; r < size; r++) {
        const struct dlq_post *const p = post_at(first, stride, r);
        if (p->invalid) {
            return dlq_fail_native(err, DLQ_ECOMM, DLQ_DOMAIN_COMM, 0,
                                   "rank %d of %d: rank %d called %s with invalid arguments",
                                   (int)rank, (int)size, (int)r, dlq_op_name(p->op));
        }
    }
    int32_t other = 1;
    while (other < size && !differ(first, post_at(first, stride, other), size)) {
        other++;
    }
    if (other == size) {
        return DLQ_OK;
    }
    char one[192];
    char two[192];
    describe(first, size, one, sizeof(one));
    describe(post_at(first, stride, other), size, two, sizeof(two));
    return dlq_fail_native(err, DLQ_ECOMM, DLQ_DOMAIN_COMM, 0,
                           "rank %d of %d: the ranks' calls differ: rank 0 has %s; rank %d has %s",
                           (int)rank, (int)size, one, (int)other, two);
}
