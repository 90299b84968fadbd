// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "collective_module.h"

#include "error.h"
#include "registry.h"
#include "runtime_state.h"

#include <pthread.h>
#include <string.h>

// Modules are the process's: a communication library is, too.
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const struct dlq_mpi_ops *mpi; // Guarded by `lock`

#define FAIL(err, ...) dlq_fail_native(err, DLQ_ECOMM, DLQ_DOMAIN_COMM, 0, __VA_ARGS__)

static int32_t
check_mpi(const struct dlq_mpi_ops *ops, struct dlq_error *err)
{
    if (!ops || ops->struct_size != sizeof(*ops) || !ops->create || !ops->abort || !ops->destroy) {
        return FAIL(err, "%s: its table is incomplete or of another layout", DLQ_MPI_MODULE);
    }
    if (!ops->version || strcmp(ops->version, dlq_version()) != 0) {
        return FAIL(err, "%s: expected version %s, found %s", DLQ_MPI_MODULE, dlq_version(),
                    ops->version ? ops->version : "NULL");
    }
    return DLQ_OK;
}

static int32_t
load_mpi(struct dlq_registry *reg, const struct dlq_mpi_ops **out, struct dlq_error *err)
{
    int32_t rc = DLQ_OK;
    pthread_mutex_lock(&lock);
    if (!mpi) {
        void *symbol = NULL;
        struct dlq_error inner = DLQ_ERROR_INIT;
        rc = dlq_registry_open_module(reg, DLQ_MPI_MODULE, DLQ_MPI_MODULE_SYMBOL, &symbol, &inner);
        if (rc == DLQ_OK) {
            dlq_mpi_module_fn module;
            memcpy(&module, &symbol, sizeof(module));
            const struct dlq_mpi_ops *const ops = module();
            rc = check_mpi(ops, &inner);
            mpi = rc == DLQ_OK ? ops : NULL;
        }
        if (rc != DLQ_OK) {
            rc = FAIL(err, "no collectives over MPI: %s", inner.msg);
        }
    }
    *out = mpi;
    pthread_mutex_unlock(&lock);
    return rc;
}

int32_t
dlq_collective_mpi_create(dlq_runtime *rt, const struct dlq_collective_mpi_options *options,
                          dlq_collective_mpi **out, struct dlq_error *err)
{
    struct dlq_collective_mpi_options own = {0};
    if (options && options->struct_size < sizeof(options->struct_size)) {
        return dlq_fail(err, DLQ_EINVAL,
                        "dlq_collective_mpi_options: struct_size: expected at least %u, found %u",
                        (unsigned)sizeof(options->struct_size), (unsigned)options->struct_size);
    }
    if (options) {
        const size_t size = options->struct_size;
        memcpy(&own, options, size < sizeof(own) ? size : sizeof(own));
    }
    own.struct_size = sizeof(own);
    if (own.timeout_ms < 0 || own.size < 0) {
        return dlq_fail(err, DLQ_EINVAL,
                        "group over MPI: expected a size and a time limit of 0 or more, found %d "
                        "ranks and %d ms",
                        (int)own.size, (int)own.timeout_ms);
    }
    const struct dlq_mpi_ops *ops = NULL;
    const int32_t rc = load_mpi(&rt->registry, &ops, err);
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
