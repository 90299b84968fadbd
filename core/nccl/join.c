// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "alloc.h"
#include "errand.h"
#include "error.h"
#include "group.h"

// How long NCCL may take to give up what a dead rank may have a part in.
enum { ABORT_MS = 2000 };

// NCCL waits for every rank when it makes a communicator and when a kind of call connects ranks for
// the first time, on the host and without a limit. A communicator that does not wait would start a
// thread in every later call.
struct joining {
    struct dlq_errand errand;
    struct dlq_allocator alloc;
    struct dlq_nccl_group g; // The communicator, sizes and scratch; nothing else is used
    ncclUniqueId id;
    const char *step;
    ncclResult_t nccl;
    cudaError_t cuda;
};

// Send to and receive from every rank, this one too.
static ncclResult_t
connect_pairs(const struct dlq_nccl_group *g, cudaStream_t stream)
{
    char *const data = (char *)g->scratch;
    ncclResult_t rc = ncclGroupStart();
    if (rc != ncclSuccess) {
        return rc;
    }
    for (int32_t r = 0; r < g->size && rc == ncclSuccess; r++) {
        rc = ncclSend(data, 1, ncclInt8, r, g->comm, stream);
        if (rc == ncclSuccess) {
            rc = ncclRecv(data + 1 + r, 1, ncclInt8, r, g->comm, stream);
        }
    }
    const ncclResult_t end = ncclGroupEnd();
    return rc == ncclSuccess ? end : rc;
}

static void
warm_up(struct joining *j, cudaStream_t stream)
{
    const struct dlq_nccl_group *const g = &j->g;
    float *const data = g->scratch;
    char *const bytes = (char *)data;
    j->step = "the first calls";
    j->nccl = ncclAllReduce(data, data, 1, ncclFloat, ncclSum, g->comm, stream);
    if (j->nccl == ncclSuccess) {
        j->nccl =
            ncclAllReduce(data, data, (size_t)DLQ_NCCL_STEP, ncclFloat, ncclSum, g->comm, stream);
    }
    if (j->nccl == ncclSuccess) {
        j->nccl = ncclAllGather(bytes + g->rank, bytes, 1, ncclInt8, g->comm, stream);
    }
    if (j->nccl == ncclSuccess) {
        j->nccl = ncclBroadcast(bytes, bytes, 1, ncclInt8, 0, g->comm, stream);
    }
    if (j->nccl == ncclSuccess) {
        j->nccl = connect_pairs(g, stream);
    }
    if (j->nccl == ncclSuccess) {
        j->cuda = cudaStreamSynchronize(stream);
    }
}

static void
run(struct dlq_errand *e)
{
    struct joining *const j = (struct joining *)e;
    cudaStream_t stream = NULL;
    j->step = "cudaSetDevice";
    j->cuda = cudaSetDevice(j->g.device);
    if (j->cuda == cudaSuccess) {
        j->cuda = cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    }
    if (j->cuda == cudaSuccess) {
        j->step = "ncclCommInitRank";
        j->nccl = ncclCommInitRank(&j->g.comm, j->g.size, j->id, j->g.rank);
        if (j->nccl == ncclSuccess) {
            warm_up(j, stream);
        }
    }
    if (stream) {
        (void)cudaStreamDestroy(stream);
    }
}

static void
clean(struct dlq_errand *e)
{
    struct joining *const j = (struct joining *)e;
    if (j->g.comm) {
        (void)ncclCommAbort(j->g.comm);
    }
    (void)cudaFree(j->g.scratch);
    // The runtime, whose allocator it is, may be gone.
    const struct dlq_allocator alloc = j->alloc;
    dlq_free(&alloc, j);
}

static struct joining *
make_joining(const struct dlq_nccl_group *g, const ncclUniqueId *id)
{
    struct joining *const j = dlq_calloc(g->alloc, 1, sizeof(*j));
    if (j) {
        j->errand.run = run;
        j->errand.clean = clean;
        j->alloc = *g->alloc;
        j->g = *g;
        j->id = *id;
    }
    return j;
}

int32_t
dlq_nccl_join(struct dlq_nccl_group *g, const ncclUniqueId *id, struct dlq_error *err)
{
    struct joining *const j = make_joining(g, id);
    if (!j || !dlq_errand_start(&j->errand)) {
        dlq_free(g->alloc, j);
        return dlq_fail(err, DLQ_ENOMEM, "group over NCCL: no memory, or no thread to join it");
    }
    if (!dlq_errand_wait(&j->errand, g->connect_ms)) {
        char who[DLQ_NCCL_REASON] = "without a group on the host it is unknown which rank";
        g->scratch = NULL;
        if (g->host) {
            (void)dlq_nccl_ask_host(g, DLQ_ETIMEOUT, who, sizeof(who));
        }
        return dlq_fail_native(err, DLQ_ETIMEOUT, DLQ_DOMAIN_COMM, 0,
                               "rank %d of %d, setup: NCCL did not connect the ranks within the "
                               "time limit (%d ms); %s",
                               (int)g->rank, (int)g->size, (int)g->connect_ms, who);
    }
    g->comm = j->g.comm;
    g->owns_comm = g->comm != NULL;
    int32_t rc = dlq_nccl_cuda_result(g, j->step, j->cuda, err);
    if (rc == DLQ_OK) {
        rc = dlq_nccl_result(g, j->step, j->nccl, err);
    }
    dlq_free(g->alloc, j);
    if (rc != DLQ_OK && g->comm) {
        dlq_nccl_abort(g);
    }
    return rc;
}

struct aborting {
    struct dlq_errand errand;
    struct dlq_allocator alloc;
    ncclComm_t comm;
};

static void
run_abort(struct dlq_errand *e)
{
    (void)ncclCommAbort(((struct aborting *)e)->comm);
}

static void
clean_abort(struct dlq_errand *e)
{
    const struct dlq_allocator alloc = ((struct aborting *)e)->alloc;
    dlq_free(&alloc, e);
}

void
dlq_nccl_abort(struct dlq_nccl_group *g)
{
    struct aborting *const a = dlq_calloc(g->alloc, 1, sizeof(*a));
    if (a) {
        a->errand.run = run_abort;
        a->errand.clean = clean_abort;
        a->alloc = *g->alloc;
        a->comm = g->comm;
    }
    if (!a || !dlq_errand_start(&a->errand)) {
        (void)ncclCommAbort(g->comm);
        dlq_free(g->alloc, a);
    } else if (dlq_errand_wait(&a->errand, ABORT_MS)) {
        dlq_free(g->alloc, a);
    }
    g->comm = NULL;
}
