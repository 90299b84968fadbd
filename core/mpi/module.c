// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "alloc.h"
#include "collective.h"
#include "error.h"
#include "exchange.h"

#include <dlquant/abi.h>

#include <stdio.h>
#include <string.h>

#define FAIL(err, native, ...) dlq_fail_native(err, DLQ_ECOMM, DLQ_DOMAIN_COMM, native, __VA_ARGS__)

// What ranks compare when they meet.
struct hello {
    char version[24];
    int32_t size;
    int32_t timeout_ms;
    uint64_t fingerprint;
};

static int32_t
init_mpi(bool *owns, struct dlq_error *err)
{
    int flag = 0;
    if (MPI_Finalized(&flag) != MPI_SUCCESS || flag) {
        return dlq_fail(err, DLQ_ESTATE, "group over MPI: MPI has been finalised in this process");
    }
    int level = 0;
    if (MPI_Initialized(&flag) == MPI_SUCCESS && flag) {
        return DLQ_OK;
    }
    const int rc = MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &level);
    *owns = rc == MPI_SUCCESS;
    return rc == MPI_SUCCESS ? DLQ_OK : FAIL(err, rc, "MPI_Init_thread failed with %d", rc);
}

static int32_t
make_buffers(struct dlq_mpi_group *g, struct dlq_error *err)
{
    const size_t n = (size_t)g->size;
    g->head = dlq_mpi_head_size(g->size);
    g->slot = g->head + DLQ_MPI_PAYLOAD;
    g->out = g->alloc->alloc(g->alloc->ctx, n * g->slot, 64);
    g->in = g->alloc->alloc(g->alloc->ctx, n * g->slot, 64);
    g->posts = dlq_calloc(g->alloc, n, sizeof(*g->posts));
    g->buffers = dlq_calloc(g->alloc, n, sizeof(*g->buffers));
    g->lanes = dlq_calloc(g->alloc, n, sizeof(*g->lanes));
    g->requests = dlq_calloc(g->alloc, 2 * n, sizeof(*g->requests));
    g->told = dlq_calloc(g->alloc, 2 * n, sizeof(*g->told));
    g->answered = dlq_calloc(g->alloc, n, sizeof(*g->answered));
    if (!g->out || !g->in || !g->posts || !g->buffers || !g->lanes || !g->requests || !g->told ||
        !g->answered) {
        return dlq_fail(err, DLQ_ENOMEM, "no memory for a group of %d processes", (int)g->size);
    }
    for (size_t i = 0; i < 2 * n; i++) {
        g->requests[i] = MPI_REQUEST_NULL;
        g->told[i] = MPI_REQUEST_NULL;
    }
    return DLQ_OK;
}

static void
free_group(struct dlq_mpi_group *g)
{
    dlq_free(g->alloc, g->out);
    dlq_free(g->alloc, g->in);
    dlq_free(g->alloc, g->posts);
    dlq_free(g->alloc, g->buffers);
    dlq_free(g->alloc, g->lanes);
    dlq_free(g->alloc, g->requests);
    dlq_free(g->alloc, g->told);
    dlq_free(g->alloc, g->answered);
    dlq_free(g->alloc, g);
}

static int32_t
compare(const struct dlq_mpi_group *g, const struct hello *a, const struct hello *b, int32_t r,
        struct dlq_error *err)
{
    if (strncmp(a->version, b->version, sizeof(a->version)) != 0) {
        return FAIL(err, 0,
                    "rank %d of %d: the ranks differ: rank 0 has version %.23s; rank %d has %.23s",
                    (int)g->rank, (int)g->size, a->version, (int)r, b->version);
    }
    if (a->size != b->size) {
        return FAIL(err, 0,
                    "rank %d of %d: the ranks differ: rank 0 expects a group of %d; rank %d of %d",
                    (int)g->rank, (int)g->size, (int)a->size, (int)r, (int)b->size);
    }
    if (a->fingerprint != b->fingerprint) {
        return FAIL(err, 0,
                    "rank %d of %d: the ranks differ: rank 0 has fingerprint %#llx; rank %d has "
                    "%#llx",
                    (int)g->rank, (int)g->size, (unsigned long long)a->fingerprint, (int)r,
                    (unsigned long long)b->fingerprint);
    }
    return DLQ_OK;
}

// The one exchange that finds ranks that do not belong together.
static int32_t
meet(struct dlq_mpi_group *g, const struct dlq_collective_mpi_options *options,
     struct dlq_error *err)
{
    struct hello own = {.version = DLQ_VERSION,
                        .size = options->size,
                        .timeout_ms = g->timeout_ms,
                        .fingerprint = options->fingerprint};
    memcpy(g->out, &own, sizeof(own));
    for (int32_t r = 0; r < g->size; r++) {
        g->lanes[r] = (struct dlq_mpi_lane){g->out, sizeof(own), sizeof(own)};
    }
    int32_t rc = dlq_mpi_exchange(g, "setup", err);
    struct hello first = own;
    if (rc == DLQ_OK && g->rank != 0) {
        memcpy(&first, g->in, sizeof(first));
    }
    for (int32_t r = 1; r < g->size && rc == DLQ_OK; r++) {
        struct hello other = own;
        if (r != g->rank) {
            memcpy(&other, g->in + (size_t)r * g->slot, sizeof(other));
        }
        rc = compare(g, &first, &other, r, err);
    }
    if (rc == DLQ_OK && own.size != 0 && own.size != g->size) {
        rc = FAIL(err, 0, "rank %d: expected a group of %d, found %d in the communicator",
                  (int)g->rank, (int)own.size, (int)g->size);
    }
    return rc;
}

// All ranks have met, so this lasts long only when one dies now.
static int32_t
duplicate(struct dlq_mpi_group *g, MPI_Comm *out, struct dlq_error *err)
{
    MPI_Request request = MPI_REQUEST_NULL;
    const int64_t begin = dlq_mpi_now_ns();
    int rc = MPI_Comm_idup(g->comm, out, &request);
    int done = 0;
    while (rc == MPI_SUCCESS && !done) {
        rc = MPI_Test(&request, &done, MPI_STATUS_IGNORE);
        if (rc == MPI_SUCCESS && !done) {
            dlq_mpi_hear(g);
            if (g->code != DLQ_OK) {
                return dlq_mpi_fail_broken(g, "setup", err);
            }
            if (g->timeout_ms > 0 && dlq_mpi_now_ns() - begin > (int64_t)g->timeout_ms * 1000000) {
                return dlq_fail_native(err, DLQ_ETIMEOUT, DLQ_DOMAIN_COMM, 0,
                                       "rank %d of %d, setup: a rank left while the communicator "
                                       "was duplicated (limit %d ms)",
                                       (int)g->rank, (int)g->size, (int)g->timeout_ms);
            }
            dlq_mpi_pause(begin);
        }
    }
    return rc == MPI_SUCCESS ? DLQ_OK : FAIL(err, rc, "MPI_Comm_idup failed with %d", rc);
}

static int32_t
join(struct dlq_mpi_group *g, const struct dlq_collective_mpi_options *options,
     struct dlq_error *err)
{
    MPI_Comm own = MPI_COMM_NULL;
    MPI_Errhandler handler = MPI_ERRHANDLER_NULL;
    (void)MPI_Comm_get_errhandler(g->comm, &handler);
    (void)MPI_Comm_set_errhandler(g->comm, MPI_ERRORS_RETURN);
    int32_t rc = meet(g, options, err);
    if (rc == DLQ_OK) {
        rc = duplicate(g, &own, err);
    }
    (void)MPI_Comm_set_errhandler(g->comm, handler);
    if (handler != MPI_ERRHANDLER_NULL) {
        (void)MPI_Errhandler_free(&handler);
    }
    if (rc == DLQ_OK) {
        g->comm = own;
        g->owns_comm = true;
        (void)MPI_Comm_set_errhandler(own, MPI_ERRORS_RETURN);
    }
    return rc;
}

static void
leave(dlq_collective_mpi *group)
{
    struct dlq_mpi_group *const g = (struct dlq_mpi_group *)group;
    // A rank that died would let MPI_Finalize wait for ever; with a failure behind it the process
    // ends without.
    bool finalize = g->owns_mpi && g->code == DLQ_OK;
    if (finalize && g->owns_comm) {
        finalize = g->base.table.barrier(g, NULL, NULL) == DLQ_OK;
    }
    const bool quiet = dlq_mpi_quiesce(g);
    if (g->owns_comm && g->code == DLQ_OK) {
        (void)MPI_Comm_free(&g->comm);
    }
    if (finalize) {
        (void)MPI_Finalize();
    }
    if (quiet) {
        free_group(g);
    }
}

static void
give_up(dlq_collective_mpi *group, const char *reason)
{
    struct dlq_mpi_group *const g = (struct dlq_mpi_group *)group;
    char text[DLQ_MPI_REASON];
    snprintf(text, sizeof(text), "rank %d gave up: %.400s", (int)g->rank,
             reason ? reason : "no reason given");
    dlq_mpi_break(g, DLQ_ECOMM, text);
}

static int32_t
create(const struct dlq_allocator *alloc, const struct dlq_collective_mpi_options *options,
       dlq_collective_mpi **out, struct dlq_error *err);

static const struct dlq_mpi_ops ops = {
    .struct_size = sizeof(ops),
    .version = DLQ_VERSION,
    .create = create,
    .abort = give_up,
    .destroy = leave,
};

static int32_t
create(const struct dlq_allocator *alloc, const struct dlq_collective_mpi_options *options,
       dlq_collective_mpi **out, struct dlq_error *err)
{
    bool owns = false;
    int32_t rc = init_mpi(&owns, err);
    if (rc != DLQ_OK) {
        return rc;
    }
    const MPI_Comm comm = options->comm ? (MPI_Comm)(intptr_t)options->comm : MPI_COMM_WORLD;
    int rank = -1;
    int size = 0;
    const int mpi = comm == MPI_COMM_NULL ? MPI_ERR_COMM : MPI_Comm_rank(comm, &rank);
    if (mpi != MPI_SUCCESS || MPI_Comm_size(comm, &size) != MPI_SUCCESS) {
        return FAIL(err, mpi, "group over MPI: the communicator is invalid");
    }
    struct dlq_mpi_group *const g = dlq_calloc(alloc, 1, sizeof(*g));
    if (!g) {
        return dlq_fail(err, DLQ_ENOMEM, "no memory for a group over MPI");
    }
    g->base.ops = &ops;
    g->alloc = alloc;
    g->comm = comm;
    g->rank = rank;
    g->size = size;
    g->timeout_ms = options->timeout_ms;
    g->owns_mpi = owns;
    dlq_mpi_fill_table(g);
    rc = make_buffers(g, err);
    if (rc != DLQ_OK) {
        free_group(g);
        return rc;
    }
    rc = join(g, options, err);
    if (rc != DLQ_OK) {
        leave(&g->base);
        return rc;
    }
    *out = &g->base;
    return DLQ_OK;
}

DLQ_EXPORT const struct dlq_mpi_ops *
dlq_mpi_module(void);

const struct dlq_mpi_ops *
dlq_mpi_module(void)
{
    return &ops;
}
