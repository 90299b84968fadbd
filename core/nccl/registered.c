// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "alloc.h"
#include "error.h"
#include "group.h"

// Weak: NCCL has them from 2.19 on, and an older one is loaded all the same.
ncclResult_t
ncclCommRegister(const ncclComm_t comm, void *buff, size_t size, void **handle)
    __attribute__((weak));

ncclResult_t
ncclCommDeregister(const ncclComm_t comm, void *handle) __attribute__((weak));

struct dlq_nccl_registered {
    void *data;
    void *handle; ///< NULL: NCCL has no use for it
    struct dlq_nccl_registered *next;
};

static struct dlq_nccl_registered **
find(struct dlq_nccl_group *g, const void *data)
{
    struct dlq_nccl_registered **at = &g->registered;
    while (*at && (*at)->data != data) {
        at = &(*at)->next;
    }
    return at;
}

// Nothing of a communicator that was aborted is left to be told.
static ncclResult_t
forget(struct dlq_nccl_group *g, struct dlq_nccl_registered **at)
{
    struct dlq_nccl_registered *const r = *at;
    const ncclResult_t rc =
        g->comm && r->handle ? ncclCommDeregister(g->comm, r->handle) : ncclSuccess;
    *at = r->next;
    dlq_free(g->alloc, r);
    return rc;
}

int32_t
dlq_nccl_register(struct dlq_nccl_group *g, void *data, size_t size, struct dlq_error *err)
{
    if (!data || size == 0) {
        return dlq_fail(err, DLQ_EINVAL,
                        "rank %d of %d, register: expected memory, found %zu bytes at %s",
                        (int)g->rank, (int)g->size, size, data ? "an address" : "NULL");
    }
    if (g->code != DLQ_OK) {
        return dlq_nccl_fail_broken(g, "register", err);
    }
    if (*find(g, data)) {
        return dlq_fail(err, DLQ_EINVAL,
                        "rank %d of %d, register: this memory is registered already", (int)g->rank,
                        (int)g->size);
    }
    struct dlq_nccl_registered *const r = dlq_calloc(g->alloc, 1, sizeof(*r));
    if (!r) {
        return dlq_fail(err, DLQ_ENOMEM, "no memory to register some");
    }
    ncclResult_t rc = ncclSuccess;
    if (ncclCommRegister && ncclCommDeregister) {
        rc = ncclCommRegister(g->comm, data, size, &r->handle);
    }
    if (rc != ncclSuccess) {
        dlq_free(g->alloc, r);
        return dlq_nccl_result(g, "register", rc, err);
    }
    r->data = data;
    r->next = g->registered;
    g->registered = r;
    return DLQ_OK;
}

int32_t
dlq_nccl_unregister(struct dlq_nccl_group *g, const void *data, struct dlq_error *err)
{
    struct dlq_nccl_registered **const at = find(g, data);
    if (!*at) {
        return dlq_fail(err, DLQ_ENOTFOUND,
                        "rank %d of %d, unregister: this memory is not registered", (int)g->rank,
                        (int)g->size);
    }
    return dlq_nccl_result(g, "unregister", forget(g, at), err);
}

void
dlq_nccl_unregister_all(struct dlq_nccl_group *g)
{
    while (g->registered) {
        (void)forget(g, &g->registered);
    }
}
