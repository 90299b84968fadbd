// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "alloc.h"
#include "error.h"
#include "group.h"

#include <stdio.h>
#include <string.h>

// What ranks compare when they meet.
struct hello {
    char version[24];
    int32_t nccl;
    int32_t size; ///< That the engine expects; 0: any
    int32_t code; ///< Not DLQ_OK: the rank cannot go on
    int32_t has_id;
    uint64_t fingerprint;
    ncclUniqueId id;
    char why[200];
};

#define FAIL(g, err, fmt, ...)                                                                     \
    dlq_fail_native(err, DLQ_ECOMM, DLQ_DOMAIN_COMM, 0, "rank %d of %d, setup: " fmt,              \
                    (int)(g)->rank, (int)(g)->size, __VA_ARGS__)

static int32_t
compare(const struct dlq_nccl_group *g, const struct hello *all, struct dlq_error *err)
{
    const struct hello *const a = &all[0];
    for (int32_t r = 0; r < g->size; r++) {
        if (all[r].code != DLQ_OK) {
            return FAIL(g, err, "rank %d cannot go on: %.199s", (int)r, all[r].why);
        }
    }
    for (int32_t r = 1; r < g->size; r++) {
        const struct hello *const b = &all[r];
        if (strncmp(a->version, b->version, sizeof(a->version)) != 0 || a->nccl != b->nccl) {
            return FAIL(g, err,
                        "the ranks differ: rank 0 has version %.23s on NCCL %d; rank %d has %.23s "
                        "on %d",
                        a->version, (int)a->nccl, (int)r, b->version, (int)b->nccl);
        }
        if (a->size != b->size) {
            return FAIL(g, err, "the ranks differ: rank 0 expects a group of %d; rank %d of %d",
                        (int)a->size, (int)r, (int)b->size);
        }
        if (a->fingerprint != b->fingerprint) {
            return FAIL(g, err, "the ranks differ: rank 0 has fingerprint %#llx; rank %d has %#llx",
                        (unsigned long long)a->fingerprint, (int)r,
                        (unsigned long long)b->fingerprint);
        }
        if (a->has_id != b->has_id || (a->has_id && memcmp(&a->id, &b->id, sizeof(a->id)) != 0)) {
            return FAIL(g, err, "the ranks differ: rank %d has another id than rank 0", (int)r);
        }
    }
    if (a->size != 0 && a->size != g->size) {
        return FAIL(g, err, "expected a group of %d, found %d", (int)a->size, (int)g->size);
    }
    return DLQ_OK;
}

static int32_t
exchange_on_host(const struct dlq_nccl_group *g, char *all, size_t each, struct dlq_error *err)
{
    int64_t *const counts = dlq_calloc(g->alloc, (size_t)g->size, sizeof(*counts));
    if (!counts) {
        return dlq_fail(err, DLQ_ENOMEM, "no memory for a group of %d GPUs", (int)g->size);
    }
    for (int32_t r = 0; r < g->size; r++) {
        counts[r] = (int64_t)each;
    }
    const int32_t rc = g->host->all_gather(g->host->ctx, all + each * (size_t)g->rank, all, counts,
                                           DLQ_U8, NULL, err);
    dlq_free(g->alloc, counts);
    return rc;
}

// In the group's scratch, which has room for what ranks exchange.
static int32_t
exchange_on_gpu(struct dlq_nccl_group *g, char *all, size_t each, struct dlq_error *err)
{
    char *const there = (char *)g->scratch;
    const size_t at = each * (size_t)g->rank;
    cudaStream_t stream = NULL;
    cudaError_t cuda = cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    if (cuda == cudaSuccess) {
        // Not cudaMemcpy(), which may return before the data is there.
        cuda = cudaMemcpyAsync(there + at, all + at, each, cudaMemcpyHostToDevice, stream);
    }
    int32_t rc = dlq_nccl_cuda_result(g, "setup", cuda, err);
    if (rc == DLQ_OK) {
        rc = dlq_nccl_result(
            g, "setup", ncclAllGather(there + at, there, each, ncclInt8, g->comm, stream), err);
    }
    if (rc == DLQ_OK) {
        rc = dlq_nccl_wait(g, stream, "setup", err);
    }
    if (rc == DLQ_OK) {
        cuda = cudaMemcpy(all, there, each * (size_t)g->size, cudaMemcpyDeviceToHost);
        rc = dlq_nccl_cuda_result(g, "setup", cuda, err);
    }
    if (stream) {
        (void)cudaStreamDestroy(stream);
    }
    return rc;
}

int32_t
dlq_nccl_exchange(struct dlq_nccl_group *g, void *all, size_t each, struct dlq_error *err)
{
    return g->host ? exchange_on_host(g, all, each, err) : exchange_on_gpu(g, all, each, err);
}

int32_t
dlq_nccl_meet(struct dlq_nccl_group *g, const struct dlq_collective_nccl_options *options,
              int32_t own, ncclUniqueId *id, struct dlq_error *err)
{
    struct hello *const all = dlq_calloc(g->alloc, (size_t)g->size, sizeof(*all));
    if (!all) {
        return dlq_fail(err, DLQ_ENOMEM, "no memory for a group of %d GPUs", (int)g->size);
    }
    struct hello *const mine = &all[g->rank];
    int version = 0;
    (void)ncclGetVersion(&version);
    *mine = (struct hello){.version = DLQ_VERSION,
                           .nccl = version,
                           .size = options->size,
                           .code = own,
                           .has_id = options->id != NULL,
                           .fingerprint = options->fingerprint,
                           .id = *id};
    snprintf(mine->why, sizeof(mine->why), "%.199s", own != DLQ_OK && err ? err->msg : "");
    struct dlq_error local = DLQ_ERROR_INIT;
    struct dlq_error *const to = own != DLQ_OK ? &local : err;
    int32_t rc = dlq_nccl_exchange(g, all, sizeof(*all), to);
    if (rc == DLQ_OK) {
        rc = compare(g, all, to);
    }
    if (rc == DLQ_OK && !options->id) {
        *id = all[0].id;
    }
    dlq_free(g->alloc, all);
    return own != DLQ_OK ? own : rc;
}
