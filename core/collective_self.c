// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "error.h"
#include "reduce.h"

#include <dlquant/collective.h>

#include <stdbool.h>
#include <string.h>

// The group of one: every call checks its arguments as a larger group's would, and has nothing to
// do.

static int32_t
self_all_reduce(void *ctx, void *data, int64_t count, uint32_t dtype, uint32_t flags, void *stream,
                struct dlq_error *err)
{
    (void)ctx;
    (void)flags;
    (void)stream;
    if (count < 0 || (!data && count > 0)) {
        return dlq_fail(err, DLQ_EINVAL, "all_reduce: no data or a negative count");
    }
    return dlq_reduce_supports(dtype)
               ? DLQ_OK
               : dlq_fail(err, DLQ_EDTYPE,
                          "all_reduce: expected f16, bf16, f32 or i32, found dtype %#x",
                          (unsigned)dtype);
}

static int32_t
self_all_gather(void *ctx, const void *send, void *recv, const int64_t *counts, uint32_t dtype,
                void *stream, struct dlq_error *err)
{
    (void)ctx;
    const size_t bits = DLQ_DTYPE_BITS(dtype);
    if (!counts || counts[0] < 0 || ((!send || !recv) && counts[0] > 0)) {
        return dlq_fail(err, DLQ_EINVAL, "all_gather: no data or a negative count");
    }
    if (bits == 0 || bits % 8 != 0) {
        return dlq_fail(err, DLQ_EDTYPE, "all_gather: expected whole bytes, found dtype %#x",
                        (unsigned)dtype);
    }
    if (send == recv || counts[0] == 0) {
        return DLQ_OK;
    }
    // The self group knows no device; a stream means that the memory may not be the host's.
    if (stream) {
        return dlq_fail(err, DLQ_EUNSUPPORTED,
                        "all_gather: the group of one gathers device memory in place only");
    }
    memmove(recv, send, (size_t)counts[0] * (bits / 8));
    return DLQ_OK;
}

static int32_t
self_broadcast(void *ctx, void *data, int64_t count, uint32_t dtype, int32_t root, void *stream,
               struct dlq_error *err)
{
    (void)ctx;
    (void)dtype;
    (void)stream;
    if (count < 0 || (!data && count > 0) || root != 0) {
        return dlq_fail(err, DLQ_EINVAL,
                        "broadcast: no data, a negative count, or root %d in a group of 1",
                        (int)root);
    }
    return DLQ_OK;
}

static int32_t
self_barrier(void *ctx, void *stream, struct dlq_error *err)
{
    (void)ctx;
    (void)stream;
    (void)err;
    return DLQ_OK;
}

static const struct dlq_collective self = {
    .struct_size = sizeof(self),
    .rank = 0,
    .size = 1,
    .flags = DLQ_COLLECTIVE_SUMS_I32,
    .all_reduce = self_all_reduce,
    .all_gather = self_all_gather,
    .broadcast = self_broadcast,
    .barrier = self_barrier,
};

const struct dlq_collective *
dlq_collective_self(void)
{
    return &self;
}
