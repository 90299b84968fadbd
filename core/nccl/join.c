// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "alloc.h"
#include "error.h"
#include "group.h"

#include <pthread.h>
#include <time.h>

// NCCL waits for every rank when it makes a communicator and when a kind of call connects ranks for
// the first time, on the host and without a limit. A communicator that does not wait would start a
// thread in every later call. So a thread of its own makes it here, and is left alone with what it
// uses when the time is up.
struct joining {
    pthread_mutex_t lock;
    pthread_cond_t finished;
    bool done;      // Guarded by the lock
    bool abandoned; // Guarded by the lock: whoever is last frees this
    const struct dlq_allocator *alloc;
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
run(struct joining *j)
{
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
free_joining(struct joining *j)
{
    pthread_cond_destroy(&j->finished);
    pthread_mutex_destroy(&j->lock);
    dlq_free(j->alloc, j);
}

static void *
thread_main(void *arg)
{
    struct joining *const j = arg;
    run(j);
    pthread_mutex_lock(&j->lock);
    j->done = true;
    const bool abandoned = j->abandoned;
    pthread_cond_signal(&j->finished);
    pthread_mutex_unlock(&j->lock);
    if (abandoned) {
        if (j->g.comm) {
            (void)ncclCommAbort(j->g.comm);
        }
        (void)cudaFree(j->g.scratch);
        free_joining(j);
    }
    return NULL;
}

static struct joining *
make_joining(const struct dlq_nccl_group *g, const ncclUniqueId *id)
{
    struct joining *const j = dlq_calloc(g->alloc, 1, sizeof(*j));
    if (j) {
        pthread_condattr_t attr;
        pthread_condattr_init(&attr);
        pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        pthread_mutex_init(&j->lock, NULL);
        pthread_cond_init(&j->finished, &attr);
        pthread_condattr_destroy(&attr);
        j->alloc = g->alloc;
        j->g = *g;
        j->id = *id;
    }
    return j;
}

// Whether the thread is done within the limit; if not, all that it uses is its own from here on.
static bool
wait_for(struct joining *j, int32_t timeout_ms)
{
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += timeout_ms / 1000;
    end.tv_nsec += timeout_ms % 1000 * 1000000L;
    if (end.tv_nsec >= 1000000000) {
        end.tv_nsec -= 1000000000;
        ++end.tv_sec;
    }
    int rc = 0;
    pthread_mutex_lock(&j->lock);
    while (!j->done && rc == 0) {
        rc = timeout_ms > 0 ? pthread_cond_timedwait(&j->finished, &j->lock, &end)
                            : pthread_cond_wait(&j->finished, &j->lock);
    }
    const bool done = j->done;
    j->abandoned = !done;
    pthread_mutex_unlock(&j->lock);
    return done;
}

int32_t
dlq_nccl_join(struct dlq_nccl_group *g, const ncclUniqueId *id, struct dlq_error *err)
{
    struct joining *const j = make_joining(g, id);
    pthread_t thread;
    if (!j || pthread_create(&thread, NULL, thread_main, j) != 0) {
        if (j) {
            free_joining(j);
        }
        return dlq_fail(err, DLQ_ENOMEM, "group over NCCL: no memory, or no thread to join it");
    }
    pthread_detach(thread);
    if (!wait_for(j, g->connect_ms)) {
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
    free_joining(j);
    if (rc != DLQ_OK && g->comm) {
        (void)ncclCommAbort(g->comm);
        g->comm = NULL;
    }
    return rc;
}
