// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "collective_module.h"

#include "error.h"
#include "log.h"
#include "registry.h"
#include "runtime_state.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

// Modules are the process's: a communication library is, too.
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const struct dlq_mpi_ops *mpi;   // Guarded by `lock`
static const struct dlq_nccl_ops *nccl; // Guarded by `lock`

#define FAIL(err, ...) dlq_fail_native(err, DLQ_ECOMM, DLQ_DOMAIN_COMM, 0, __VA_ARGS__)

static int32_t
check_table(const char *file, bool complete, const char *version, struct dlq_error *err)
{
    if (!complete) {
        return FAIL(err, "%s: its table is incomplete or of another layout", file);
    }
    if (!version || strcmp(version, dlq_version()) != 0) {
        return FAIL(err, "%s: expected version %s, found %s", file, dlq_version(),
                    version ? version : "NULL");
    }
    return DLQ_OK;
}

static int32_t
open_mpi(struct dlq_registry *reg, struct dlq_error *err)
{
    void *symbol = NULL;
    int32_t rc = dlq_registry_open_module(reg, DLQ_MPI_MODULE, DLQ_MPI_MODULE_SYMBOL, &symbol, err);
    if (rc == DLQ_OK) {
        dlq_mpi_module_fn module;
        memcpy(&module, &symbol, sizeof(module));
        const struct dlq_mpi_ops *const ops = module();
        const bool complete =
            ops && ops->struct_size == sizeof(*ops) && ops->create && ops->abort && ops->destroy;
        rc = check_table(DLQ_MPI_MODULE, complete, complete ? ops->version : NULL, err);
        mpi = rc == DLQ_OK ? ops : NULL;
    }
    return rc;
}

static int32_t
open_nccl(struct dlq_registry *reg, struct dlq_error *err)
{
    void *symbol = NULL;
    int32_t rc =
        dlq_registry_open_module(reg, DLQ_NCCL_MODULE, DLQ_NCCL_MODULE_SYMBOL, &symbol, err);
    if (rc == DLQ_OK) {
        dlq_nccl_module_fn module;
        memcpy(&module, &symbol, sizeof(module));
        const struct dlq_nccl_ops *const ops = module();
        const bool complete = ops && ops->struct_size == sizeof(*ops) && ops->make_id &&
                              ops->create && ops->wait && ops->register_data &&
                              ops->unregister_data && ops->abort && ops->destroy;
        rc = check_table(DLQ_NCCL_MODULE, complete, complete ? ops->version : NULL, err);
        nccl = rc == DLQ_OK ? ops : NULL;
    }
    return rc;
}

static int32_t
load_mpi(struct dlq_registry *reg, const struct dlq_mpi_ops **out, struct dlq_error *err)
{
    struct dlq_error inner = DLQ_ERROR_INIT;
    pthread_mutex_lock(&lock);
    const int32_t rc = mpi ? DLQ_OK : open_mpi(reg, &inner);
    *out = mpi;
    pthread_mutex_unlock(&lock);
    return rc == DLQ_OK ? rc : FAIL(err, "no collectives over MPI: %s", inner.msg);
}

static int32_t
load_nccl(struct dlq_registry *reg, const struct dlq_nccl_ops **out, struct dlq_error *err)
{
    struct dlq_error inner = DLQ_ERROR_INIT;
    pthread_mutex_lock(&lock);
    const int32_t rc = nccl ? DLQ_OK : open_nccl(reg, &inner);
    *out = nccl;
    pthread_mutex_unlock(&lock);
    return rc == DLQ_OK ? rc : FAIL(err, "no collectives over NCCL: %s", inner.msg);
}

// Copy a struct of the caller's size into this library's, the rest being zero.
static int32_t
take_options(const char *name, const void *options, void *own, uint32_t size, struct dlq_error *err)
{
    memset(own, 0, size);
    if (options) {
        uint32_t given;
        memcpy(&given, options, sizeof(given));
        if (given < sizeof(given)) {
            return dlq_fail(err, DLQ_EINVAL, "%s: struct_size: expected at least %u, found %u",
                            name, (unsigned)sizeof(given), (unsigned)given);
        }
        memcpy(own, options, given < size ? given : size);
    }
    memcpy(own, &size, sizeof(size));
    return DLQ_OK;
}

int32_t
dlq_collective_mpi_create(dlq_runtime *rt, const struct dlq_collective_mpi_options *options,
                          dlq_collective_mpi **out, struct dlq_error *err)
{
    struct dlq_collective_mpi_options own;
    int32_t rc = take_options("dlq_collective_mpi_options", options, &own, sizeof(own), err);
    if (rc != DLQ_OK) {
        return rc;
    }
    if (own.timeout_ms < 0 || own.size < 0) {
        return dlq_fail(err, DLQ_EINVAL,
                        "group over MPI: expected a size and a time limit of 0 or more, found %d "
                        "ranks and %d ms",
                        (int)own.size, (int)own.timeout_ms);
    }
    const struct dlq_mpi_ops *ops = NULL;
    rc = load_mpi(&rt->registry, &ops, err);
    return rc == DLQ_OK ? ops->create(&rt->alloc, &own, out, err) : rc;
}

const struct dlq_collective *
dlq_collective_mpi_get(const dlq_collective_mpi *group)
{
    return &group->table;
}

void
dlq_collective_mpi_abort(dlq_collective_mpi *group, const char *reason)
{
    group->ops->abort(group, reason);
}

void
dlq_collective_mpi_destroy(dlq_collective_mpi *group)
{
    if (group) {
        group->ops->destroy(group);
    }
}

int32_t
dlq_collective_nccl_id(dlq_runtime *rt, void *id, struct dlq_error *err)
{
    const struct dlq_nccl_ops *ops = NULL;
    if (!id) {
        return dlq_fail(err, DLQ_EINVAL, "id of a group over NCCL: expected %d bytes, found NULL",
                        DLQ_NCCL_ID_SIZE);
    }
    const int32_t rc = load_nccl(&rt->registry, &ops, err);
    return rc == DLQ_OK ? ops->make_id(id, err) : rc;
}

int32_t
dlq_collective_nccl_create(dlq_runtime *rt, const struct dlq_collective_nccl_options *options,
                           dlq_collective_nccl **out, struct dlq_error *err)
{
    struct dlq_collective_nccl_options own;
    int32_t rc = take_options("dlq_collective_nccl_options", options, &own, sizeof(own), err);
    if (rc != DLQ_OK) {
        return rc;
    }
    if (own.timeout_ms < 0 || own.connect_ms < 0 || own.size < 0) {
        return dlq_fail(err, DLQ_EINVAL,
                        "group over NCCL: expected a size and time limits of 0 or more, found %d "
                        "ranks, %d ms and %d ms to connect",
                        (int)own.size, (int)own.timeout_ms, (int)own.connect_ms);
    }
    if (!own.host && !own.comm && (!own.id || own.rank < 0 || own.rank >= own.size)) {
        return dlq_fail(err, DLQ_EINVAL,
                        "group over NCCL: expected a group on the host, a communicator, or an id "
                        "with a rank and a size, found rank %d of %d",
                        (int)own.rank, (int)own.size);
    }
    const struct dlq_nccl_ops *ops = NULL;
    rc = load_nccl(&rt->registry, &ops, err);
    if (rc == DLQ_OK) {
        rc = ops->create(&rt->alloc, &own, out, err);
    }
    if (rc == DLQ_OK) {
        const struct dlq_collective *const table = &(*out)->table;
        dlq_log_format(&rt->log, DLQ_LOG_INFO, "rank %d of %d over NCCL: sums of few bytes go %s",
                       (int)table->rank, (int)table->size, (*out)->sums);
    }
    return rc;
}

const struct dlq_collective *
dlq_collective_nccl_get(const dlq_collective_nccl *group)
{
    return &group->table;
}

int32_t
dlq_collective_nccl_wait(dlq_collective_nccl *group, void *stream, struct dlq_error *err)
{
    return group->ops->wait(group, stream, err);
}

int32_t
dlq_collective_nccl_register(dlq_collective_nccl *group, void *data, size_t size,
                             struct dlq_error *err)
{
    return group->ops->register_data(group, data, size, err);
}

int32_t
dlq_collective_nccl_unregister(dlq_collective_nccl *group, const void *data, struct dlq_error *err)
{
    return group->ops->unregister_data(group, data, err);
}

void
dlq_collective_nccl_abort(dlq_collective_nccl *group, const char *reason)
{
    group->ops->abort(group, reason);
}

void
dlq_collective_nccl_destroy(dlq_collective_nccl *group)
{
    if (group) {
        group->ops->destroy(group);
    }
}
