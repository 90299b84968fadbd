// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "cast.h"
#include "collective_post.h"
#include "group.h"

// A rank whose own arguments are wrong enqueues nothing; the others find it missing when they wait.

static ncclDataType_t
nccl_type(uint32_t dtype)
{
    return dtype == DLQ_F16    ? ncclHalf
           : dtype == DLQ_BF16 ? ncclBfloat16
           : dtype == DLQ_I32  ? ncclInt32
                               : ncclFloat;
}

static size_t
width_of(uint32_t dtype)
{
    return DLQ_DTYPE_BITS(dtype) / 8;
}

// Sum a run of 16-bit elements that fits the scratch, rounding once.
static int32_t
sum_wide(struct dlq_nccl_group *g, char *data, int64_t count, uint32_t dtype, cudaStream_t stream,
         struct dlq_error *err)
{
    const int bf16 = dtype == DLQ_BF16;
    int32_t rc = dlq_nccl_cuda_result(g, "all_reduce",
                                      dlq_nccl_widen(data, g->scratch, count, bf16, stream), err);
    if (rc == DLQ_OK) {
        rc = dlq_nccl_result(g, "all_reduce",
                             ncclAllReduce(g->scratch, g->scratch, (size_t)count, ncclFloat,
                                           ncclSum, g->comm, stream),
                             err);
    }
    if (rc == DLQ_OK) {
        rc = dlq_nccl_cuda_result(g, "all_reduce",
                                  dlq_nccl_narrow(g->scratch, data, count, bf16, stream), err);
    }
    return rc;
}

static enum dlq_peer_type
peer_type(uint32_t dtype)
{
    return dtype == DLQ_F16    ? DLQ_PEER_F16
           : dtype == DLQ_BF16 ? DLQ_PEER_BF16
           : dtype == DLQ_I32  ? DLQ_PEER_I32
                               : DLQ_PEER_F32;
}

static int32_t
nccl_all_reduce(void *ctx, void *data, int64_t count, uint32_t dtype, uint32_t flags, void *stream,
                struct dlq_error *err)
{
    struct dlq_nccl_group *const g = ctx;
    struct dlq_post post;
    int32_t rc = dlq_post_all_reduce(&post, data, count, dtype, flags, err);
    if (rc != DLQ_OK || count == 0) {
        return rc;
    }
    rc = dlq_nccl_check(g, stream, "all_reduce", err);
    if (rc != DLQ_OK) {
        return rc;
    }
    const size_t bytes = (size_t)count * width_of(dtype);
    if (bytes <= g->peers.limit) {
        const enum dlq_peer_way way =
            bytes <= g->peers.at_once ? DLQ_PEER_AT_ONCE : DLQ_PEER_IN_SHARES;
        return dlq_nccl_cuda_result(
            g, "all_reduce",
            dlq_peer_sum(&g->peers.ends, data, count, peer_type(dtype), way, stream), err);
    }
    const bool narrow = dtype == DLQ_F16 || dtype == DLQ_BF16;
    if (!narrow || !(flags & DLQ_REDUCE_FP32)) {
        return dlq_nccl_result(
            g, "all_reduce",
            ncclAllReduce(data, data, (size_t)count, nccl_type(dtype), ncclSum, g->comm, stream),
            err);
    }
    for (int64_t done = 0; done < count && rc == DLQ_OK; done += DLQ_NCCL_STEP) {
        const int64_t rest = count - done;
        rc = sum_wide(g, (char *)data + (size_t)done * width_of(dtype),
                      rest < DLQ_NCCL_STEP ? rest : DLQ_NCCL_STEP, dtype, stream, err);
    }
    return rc;
}

// Every rank sends to every other: one step over a switch, whatever the counts.
static ncclResult_t
gather_parts(const struct dlq_nccl_group *g, const char *send, char *recv, const int64_t *counts,
             size_t width, cudaStream_t stream)
{
    const size_t own = (size_t)counts[g->rank] * width;
    ncclResult_t rc = ncclGroupStart();
    if (rc != ncclSuccess) {
        return rc;
    }
    for (int32_t r = 0; r < g->size && rc == ncclSuccess; r++) {
        const size_t bytes = (size_t)counts[r] * width;
        const bool in_place = r == g->rank && send == recv;
        if (own > 0 && !in_place) {
            rc = ncclSend(send, own, ncclInt8, r, g->comm, stream);
        }
        if (rc == ncclSuccess && bytes > 0 && !in_place) {
            rc = ncclRecv(recv, bytes, ncclInt8, r, g->comm, stream);
        }
        recv += bytes;
    }
    const ncclResult_t end = ncclGroupEnd();
    return rc == ncclSuccess ? end : rc;
}

static int32_t
nccl_all_gather(void *ctx, const void *send, void *recv, const int64_t *counts, uint32_t dtype,
                void *stream, struct dlq_error *err)
{
    struct dlq_nccl_group *const g = ctx;
    struct dlq_post post;
    int32_t rc = dlq_post_all_gather(&post, send, recv, counts, dtype, g->rank, g->size, err);
    if (rc != DLQ_OK) {
        return rc;
    }
    rc = dlq_nccl_check(g, stream, "all_gather", err);
    if (rc != DLQ_OK) {
        return rc;
    }
    const size_t width = width_of(dtype);
    bool equal = true;
    int64_t most = counts[0];
    for (int32_t r = 1; r < g->size; r++) {
        equal = equal && counts[r] == counts[0];
        most = counts[r] > most ? counts[r] : most;
    }
    if (most == 0) {
        return DLQ_OK;
    }
    if (width > 1 && (size_t)most * width <= g->peers.part) {
        return dlq_nccl_cuda_result(
            g, "all_gather", dlq_peer_gather(&g->peers.ends, send, recv, counts, width, stream),
            err);
    }
    const ncclResult_t result =
        equal ? ncclAllGather(send, recv, (size_t)counts[0] * width, ncclInt8, g->comm, stream)
              : gather_parts(g, send, recv, counts, width, stream);
    return dlq_nccl_result(g, "all_gather", result, err);
}

static int32_t
nccl_broadcast(void *ctx, void *data, int64_t count, uint32_t dtype, int32_t root, void *stream,
               struct dlq_error *err)
{
    struct dlq_nccl_group *const g = ctx;
    struct dlq_post post;
    int32_t rc = dlq_post_broadcast(&post, data, count, dtype, root, g->size, err);
    if (rc != DLQ_OK || count == 0) {
        return rc;
    }
    rc = dlq_nccl_check(g, stream, "broadcast", err);
    if (rc != DLQ_OK) {
        return rc;
    }
    return dlq_nccl_result(
        g, "broadcast",
        ncclBroadcast(data, data, (size_t)count * width_of(dtype), ncclInt8, root, g->comm, stream),
        err);
}

static int32_t
nccl_barrier(void *ctx, void *stream, struct dlq_error *err)
{
    struct dlq_nccl_group *const g = ctx;
    const int32_t rc = dlq_nccl_check(g, stream, "barrier", err);
    if (rc != DLQ_OK) {
        return rc;
    }
    if (g->peers.limit > 0) {
        return dlq_nccl_cuda_result(
            g, "barrier",
            dlq_peer_sum(&g->peers.ends, g->scratch, 1, DLQ_PEER_F32, DLQ_PEER_AT_ONCE, stream),
            err);
    }
    return dlq_nccl_result(
        g, "barrier", ncclAllReduce(g->scratch, g->scratch, 1, ncclFloat, ncclSum, g->comm, stream),
        err);
}

void
dlq_nccl_fill_table(struct dlq_nccl_group *g)
{
    g->base.table = (struct dlq_collective){
        .struct_size = sizeof(struct dlq_collective),
        .rank = g->rank,
        .size = g->size,
        .flags = DLQ_COLLECTIVE_SUMS_I32,
        .ctx = g,
        .all_reduce = nccl_all_reduce,
        .all_gather = nccl_all_gather,
        .broadcast = nccl_broadcast,
        .barrier = nccl_barrier,
    };
}
