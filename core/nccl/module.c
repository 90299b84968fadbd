// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "alloc.h"
#include "error.h"
#include "group.h"

#include <dlquant/abi.h>

#include <stdio.h>
#include <string.h>

_Static_assert(sizeof(ncclUniqueId) == DLQ_NCCL_ID_SIZE, "the size of an id is NCCL's");

static int32_t
make_id(void *id, struct dlq_error *err)
{
    ncclUniqueId made;
    const struct dlq_nccl_group nobody = {.size = 1};
    const int32_t rc = dlq_nccl_result(&nobody, "ncclGetUniqueId", ncclGetUniqueId(&made), err);
    if (rc == DLQ_OK) {
        memcpy(id, &made, sizeof(made));
    }
    return rc;
}

// Who this rank is: the engine's communicator, the group on the host or the options say it.
static int32_t
take_place(struct dlq_nccl_group *g, const struct dlq_collective_nccl_options *options,
           struct dlq_error *err)
{
    g->rank = g->host ? g->host->rank : options->rank;
    g->size = g->host ? g->host->size : options->size;
    g->device = options->device;
    if (!options->comm) {
        return DLQ_OK;
    }
    g->comm = options->comm;
    int rank = -1;
    int size = 0;
    int device = -1;
    ncclResult_t rc = ncclCommUserRank(g->comm, &rank);
    rc = rc == ncclSuccess ? ncclCommCount(g->comm, &size) : rc;
    rc = rc == ncclSuccess ? ncclCommCuDevice(g->comm, &device) : rc;
    if (rc == ncclSuccess && g->host && (rank != g->rank || size != g->size)) {
        return dlq_fail(err, DLQ_EINVAL,
                        "group over NCCL: rank %d of %d on the host is rank %d of %d of the "
                        "communicator",
                        (int)g->rank, (int)g->size, rank, size);
    }
    g->rank = rank;
    g->size = size;
    g->device = device;
    return dlq_nccl_result(g, "the engine's communicator", rc, err);
}

static int32_t
make_scratch(struct dlq_nccl_group *g, struct dlq_error *err)
{
    void *scratch = NULL;
    cudaError_t rc = cudaMalloc(&scratch, (size_t)DLQ_NCCL_STEP * sizeof(*g->scratch));
    if (rc == cudaSuccess) {
        g->scratch = scratch;
        rc = cudaMemset(scratch, 0, (size_t)DLQ_NCCL_STEP * sizeof(*g->scratch));
    }
    if (rc == cudaSuccess) {
        // Zeroes are written later than that returns, and not before what other streams do.
        rc = cudaDeviceSynchronize();
    }
    return dlq_nccl_cuda_result(g, "setup", rc, err);
}

static int32_t
set_up(struct dlq_nccl_group *g, const struct dlq_collective_nccl_options *options,
       struct dlq_error *err)
{
    struct dlq_nccl_device scope;
    ncclUniqueId id = {{0}};
    if (options->id) {
        memcpy(&id, options->id, sizeof(id));
    }
    int32_t rc = dlq_nccl_cuda_result(g, "setup", dlq_nccl_enter_device(&scope, g->device), err);
    if (rc == DLQ_OK) {
        rc = make_scratch(g, err);
    }
    if (rc == DLQ_OK && g->host && !options->id && !options->comm && g->rank == 0) {
        rc = make_id(&id, err);
    }
    // With a group on the host all learn of a rank that fails; without, NCCL has to connect first.
    if (g->host) {
        rc = dlq_nccl_meet(g, options, rc, &id, err);
    }
    if (rc == DLQ_OK && !options->comm) {
        rc = dlq_nccl_join(g, &id, err);
    }
    if (rc == DLQ_OK && !g->host) {
        rc = dlq_nccl_meet(g, options, DLQ_OK, &id, err);
    }
    if (rc == DLQ_OK) {
        rc = dlq_nccl_connect_peers(g, err);
    }
    dlq_nccl_leave_device(&scope);
    return rc;
}

static void
leave(dlq_collective_nccl *group)
{
    struct dlq_nccl_group *const g = (struct dlq_nccl_group *)group;
    struct dlq_nccl_device scope;
    (void)dlq_nccl_enter_device(&scope, g->device);
    dlq_nccl_unregister_all(g);
    if (g->comm && g->owns_comm) {
        (void)ncclCommDestroy(g->comm);
    }
    dlq_nccl_leave_peers(g);
    if (g->scratch) {
        (void)cudaFree(g->scratch);
    }
    dlq_nccl_leave_device(&scope);
    dlq_free(g->alloc, g);
}

static void
give_up(dlq_collective_nccl *group, const char *reason)
{
    struct dlq_nccl_group *const g = (struct dlq_nccl_group *)group;
    char text[DLQ_NCCL_REASON];
    snprintf(text, sizeof(text), "rank %d gave up: %.400s", (int)g->rank,
             reason ? reason : "no reason given");
    dlq_nccl_break(g, DLQ_ECOMM, text);
}

static int32_t
wait_for(dlq_collective_nccl *group, void *stream, struct dlq_error *err)
{
    return dlq_nccl_wait((struct dlq_nccl_group *)group, stream, "wait", err);
}

static int32_t
register_data(dlq_collective_nccl *group, void *data, size_t size, struct dlq_error *err)
{
    return dlq_nccl_register((struct dlq_nccl_group *)group, data, size, err);
}

static int32_t
unregister_data(dlq_collective_nccl *group, const void *data, struct dlq_error *err)
{
    return dlq_nccl_unregister((struct dlq_nccl_group *)group, data, err);
}

static int32_t
create(const struct dlq_allocator *alloc, const struct dlq_collective_nccl_options *options,
       dlq_collective_nccl **out, struct dlq_error *err);

static const struct dlq_nccl_ops ops = {
    .struct_size = sizeof(ops),
    .version = DLQ_VERSION,
    .make_id = make_id,
    .create = create,
    .wait = wait_for,
    .register_data = register_data,
    .unregister_data = unregister_data,
    .abort = give_up,
    .destroy = leave,
};

static int32_t
create(const struct dlq_allocator *alloc, const struct dlq_collective_nccl_options *options,
       dlq_collective_nccl **out, struct dlq_error *err)
{
    struct dlq_nccl_group *const g = dlq_calloc(alloc, 1, sizeof(*g));
    // The caller's error may be absent, and the other ranks want to know it.
    struct dlq_error own = DLQ_ERROR_INIT;
    struct dlq_error *const to = err ? err : &own;
    if (!g) {
        return dlq_fail(err, DLQ_ENOMEM, "no memory for a group over NCCL");
    }
    g->base.ops = &ops;
    g->alloc = alloc;
    g->host = options->host;
    g->timeout_ms = options->timeout_ms;
    g->connect_ms = options->connect_ms > 0 ? options->connect_ms : options->timeout_ms;
    int32_t rc = take_place(g, options, to);
    if (rc == DLQ_OK) {
        dlq_nccl_fill_table(g);
        rc = set_up(g, options, to);
    }
    if (rc != DLQ_OK) {
        leave(&g->base);
        return rc;
    }
    *out = &g->base;
    return DLQ_OK;
}

DLQ_EXPORT const struct dlq_nccl_ops *
dlq_nccl_module(void);

const struct dlq_nccl_ops *
dlq_nccl_module(void)
{
    return &ops;
}
