// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "error.h"
#include "group.h"

#include <sched.h>
#include <stdio.h>
#include <time.h>

// After this long a waiting thread sleeps between looks instead of giving up its turn only.
#define YIELD_NS 2000000
#define SLEEP_NS 50000

// Looks at the stream between two looks at NCCL.
#define ERROR_ROUNDS 64

static int64_t
now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void
pause_since(int64_t begin)
{
    if (now_ns() - begin < YIELD_NS) {
        sched_yield();
    } else {
        nanosleep(&(struct timespec){.tv_nsec = SLEEP_NS}, NULL);
    }
}

int32_t
dlq_nccl_fail_broken(const struct dlq_nccl_group *g, const char *what, struct dlq_error *err)
{
    return dlq_fail_native(err, g->code, DLQ_DOMAIN_COMM, 0, "rank %d of %d, %s: %s", (int)g->rank,
                           (int)g->size, what, g->reason);
}

void
dlq_nccl_break(struct dlq_nccl_group *g, int32_t code, const char *reason)
{
    if (g->code != DLQ_OK) {
        return;
    }
    g->code = code;
    snprintf(g->reason, sizeof(g->reason), "%s", reason);
    dlq_nccl_stop_peers(g);
    // An engine's communicator may serve others.
    if (g->comm && g->owns_comm) {
        dlq_nccl_abort(g);
    }
}

// The ranks that are left meet there, and those that do not come are named.
int32_t
dlq_nccl_ask_host(const struct dlq_nccl_group *g, int32_t code, char *text, size_t size)
{
    struct dlq_error why = DLQ_ERROR_INIT;
    const int32_t rc = g->host->barrier(g->host->ctx, NULL, &why);
    snprintf(text, size, "on the host: %.300s", rc == DLQ_OK ? "all ranks are there" : why.msg);
    return rc == DLQ_ETIMEOUT ? DLQ_ETIMEOUT : code;
}

static void
blame(struct dlq_nccl_group *g, cudaStream_t stream, int32_t code, const char *sign)
{
    char reason[DLQ_NCCL_REASON];
    char peer[48] = "";
    char host[320] = "without a group on the host it is unknown which rank";
    // First, so that the GPU gets done with what waits there while the ranks meet on the host.
    const int32_t late = dlq_nccl_late_peer(g, stream);
    if (late >= 0) {
        snprintf(peer, sizeof(peer), "; missing on the GPU: rank %d", (int)late);
    }
    if (g->host) {
        code = dlq_nccl_ask_host(g, code, host, sizeof(host));
    }
    const bool told = g->host || late < 0;
    snprintf(reason, sizeof(reason), "%s%s%s%s", sign, peer, told ? "; " : "", told ? host : "");
    dlq_nccl_break(g, code, reason);
}

static void
blame_limit(struct dlq_nccl_group *g, cudaStream_t stream)
{
    char sign[128];
    snprintf(sign, sizeof(sign), "not done after the time limit (%d ms)", (int)g->timeout_ms);
    blame(g, stream, DLQ_ETIMEOUT, sign);
}

int32_t
dlq_nccl_check(struct dlq_nccl_group *g, cudaStream_t stream, const char *what,
               struct dlq_error *err)
{
    if (g->code == DLQ_OK && dlq_nccl_has_late_peer(g)) {
        blame_limit(g, stream);
    }
    return g->code == DLQ_OK ? DLQ_OK : dlq_nccl_fail_broken(g, what, err);
}

// What NCCL says of itself.
static ncclResult_t
async_error(const struct dlq_nccl_group *g)
{
    ncclResult_t state = ncclSuccess;
    const ncclResult_t rc = ncclCommGetAsyncError(g->comm, &state);
    return rc != ncclSuccess ? rc : state == ncclInProgress ? ncclSuccess : state;
}

int32_t
dlq_nccl_wait(struct dlq_nccl_group *g, cudaStream_t stream, const char *what,
              struct dlq_error *err)
{
    const int64_t begin = now_ns();
    const int64_t limit = (int64_t)g->timeout_ms * 1000000;
    char sign[128];
    for (unsigned n = 1; g->code == DLQ_OK; n++) {
        const cudaError_t state = cudaStreamQuery(stream);
        const ncclResult_t error =
            n % ERROR_ROUNDS == 0 || state == cudaSuccess ? async_error(g) : ncclSuccess;
        if (error != ncclSuccess) {
            snprintf(sign, sizeof(sign), "NCCL: %.100s", ncclGetErrorString(error));
            blame(g, stream, DLQ_ECOMM, sign);
        } else if (dlq_nccl_has_late_peer(g)) {
            blame_limit(g, stream);
        } else if (state == cudaSuccess) {
            return DLQ_OK;
        } else if (state != cudaErrorNotReady) {
            return dlq_nccl_cuda_result(g, what, state, err);
        } else if (limit > 0 && now_ns() - begin >= limit) {
            blame_limit(g, stream);
        } else {
            pause_since(begin);
        }
    }
    return dlq_nccl_fail_broken(g, what, err);
}

int32_t
dlq_nccl_result(const struct dlq_nccl_group *g, const char *what, ncclResult_t rc,
                struct dlq_error *err)
{
    if (rc == ncclSuccess) {
        return DLQ_OK;
    }
    const char *const last = ncclGetLastError(g->comm);
    return dlq_fail_native(err, DLQ_ECOMM, DLQ_DOMAIN_COMM, (int32_t)rc,
                           "rank %d of %d, %s: NCCL: %.100s%s%.300s", (int)g->rank, (int)g->size,
                           what, ncclGetErrorString(rc), last && last[0] ? ": " : "",
                           last ? last : "");
}

int32_t
dlq_nccl_cuda_result(const struct dlq_nccl_group *g, const char *what, cudaError_t rc,
                     struct dlq_error *err)
{
    if (rc == cudaSuccess) {
        return DLQ_OK;
    }
    (void)cudaGetLastError();
    return dlq_fail_native(err, DLQ_EDEVICE, DLQ_DOMAIN_DEVICE, (int32_t)rc,
                           "rank %d of %d, %s: CUDA device %d: %s", (int)g->rank, (int)g->size,
                           what, (int)g->device, cudaGetErrorString(rc));
}

cudaError_t
dlq_nccl_enter_device(struct dlq_nccl_device *scope, int32_t device)
{
    const cudaError_t rc = cudaGetDevice(&scope->before);
    if (rc != cudaSuccess) {
        scope->before = -1;
        return rc;
    }
    return cudaSetDevice(device);
}

void
dlq_nccl_leave_device(const struct dlq_nccl_device *scope)
{
    if (scope->before >= 0) {
        (void)cudaSetDevice(scope->before);
    }
}
