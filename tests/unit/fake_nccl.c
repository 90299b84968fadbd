// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "fake_stream.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

struct fake_nccl fake_nccl;

static struct fake_meeting *meetings;
static int next_id;
static _Thread_local struct fake_op group;
static _Thread_local cudaStream_t group_stream;
static _Thread_local bool grouped;

void
fake_nccl_reset(void)
{
    pthread_mutex_lock(&fake_lock);
    while (meetings) {
        struct fake_meeting *const m = meetings;
        meetings = m->next;
        for (int r = 0; r < FAKE_NCCL_RANKS; r++) {
            free(m->ranks[r]);
        }
        free(m);
    }
    fake_nccl = (struct fake_nccl){.devices = FAKE_NCCL_RANKS,
                                   .capability = 9,
                                   .silent_rank = -1,
                                   .wrong_rank = -1,
                                   .lonely_device = -1,
                                   .device_without_mail = -1,
                                   .unshared_device = -1};
    pthread_mutex_unlock(&fake_lock);
}

void
fake_nccl_release(void)
{
    pthread_mutex_lock(&fake_lock);
    fake_nccl.released = true;
    pthread_cond_broadcast(&fake_changed);
    pthread_mutex_unlock(&fake_lock);
    for (int i = 0; i < 2000 && atomic_load(&fake_nccl.allocated) > 0; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
}

ncclResult_t
ncclGetVersion(int *version)
{
    *version = NCCL_VERSION_CODE;
    return ncclSuccess;
}

ncclResult_t
ncclGetUniqueId(ncclUniqueId *id)
{
    pthread_mutex_lock(&fake_lock);
    memset(id, 0, sizeof(*id));
    id->internal[0] = (char)++next_id;
    pthread_mutex_unlock(&fake_lock);
    return ncclSuccess;
}

static int
device_of_caller(void)
{
    int device = -1;
    (void)cudaGetDevice(&device);
    return device;
}

ncclResult_t
ncclCommInitRank(ncclComm_t *comm, int size, ncclUniqueId id, int rank)
{
    nanosleep(&(struct timespec){.tv_nsec = fake_nccl.slow_ms * 1000000L}, NULL);
    pthread_mutex_lock(&fake_lock);
    if (rank == fake_nccl.wrong_rank) {
        pthread_mutex_unlock(&fake_lock);
        return ncclSystemError;
    }
    while (rank == fake_nccl.silent_rank && !fake_nccl.released) {
        pthread_cond_wait(&fake_changed, &fake_lock);
    }
    struct fake_meeting *m = meetings;
    while (m && memcmp(m->id, id.internal, sizeof(m->id)) != 0) {
        m = m->next;
    }
    if (!m) {
        m = calloc(1, sizeof(*m));
        memcpy(m->id, id.internal, sizeof(m->id));
        m->size = size;
        m->next = meetings;
        meetings = m;
    }
    *comm = calloc(1, sizeof(**comm));
    **comm = (struct ncclComm){.rank = rank, .device = device_of_caller(), .all = m};
    m->ranks[rank] = *comm;
    m->arrived++;
    pthread_cond_broadcast(&fake_changed);
    while (m->arrived < m->size && !fake_nccl.released) {
        pthread_cond_wait(&fake_changed, &fake_lock);
    }
    const bool all = m->arrived == m->size && !fake_nccl.released;
    pthread_mutex_unlock(&fake_lock);
    return all ? ncclSuccess : ncclSystemError;
}

static ncclResult_t
leave(ncclComm_t comm, atomic_int *count)
{
    pthread_mutex_lock(&fake_lock);
    comm->aborted = true;
    atomic_fetch_add(count, 1);
    fake_progress();
    pthread_mutex_unlock(&fake_lock);
    return ncclSuccess;
}

ncclResult_t
ncclCommDestroy(ncclComm_t comm)
{
    return leave(comm, &fake_nccl.destroyed);
}

ncclResult_t
ncclCommAbort(ncclComm_t comm)
{
    pthread_mutex_lock(&fake_lock);
    while (fake_nccl.hanging_abort && !fake_nccl.released) {
        pthread_cond_wait(&fake_changed, &fake_lock);
    }
    pthread_mutex_unlock(&fake_lock);
    return leave(comm, &fake_nccl.aborted);
}

ncclResult_t
ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t *out)
{
    (void)comm;
    *out = (ncclResult_t)atomic_load(&fake_nccl.async_error);
    return ncclSuccess;
}

ncclResult_t
ncclCommCount(const ncclComm_t comm, int *out)
{
    *out = comm->all->size;
    return ncclSuccess;
}

ncclResult_t
ncclCommUserRank(const ncclComm_t comm, int *out)
{
    *out = comm->rank;
    return ncclSuccess;
}

ncclResult_t
ncclCommCuDevice(const ncclComm_t comm, int *out)
{
    *out = comm->device;
    return ncclSuccess;
}

const char *
ncclGetErrorString(ncclResult_t rc)
{
    return rc == ncclRemoteError   ? "remote process exited"
           : rc == ncclSystemError ? "unhandled system error"
                                   : "another error";
}

const char *
ncclGetLastError(ncclComm_t comm)
{
    (void)comm;
    return "";
}

ncclResult_t
ncclAllReduce(const void *from, void *to, size_t count, ncclDataType_t type, ncclRedOp_t sum,
              ncclComm_t comm, cudaStream_t stream)
{
    (void)sum;
    const struct fake_op op = {.kind = FAKE_REDUCE,
                               .comm = comm,
                               .from = from,
                               .to = to,
                               .count = count,
                               .type = (int)type};
    fake_enqueue(stream, &op);
    return ncclSuccess;
}

ncclResult_t
ncclAllGather(const void *from, void *to, size_t count, ncclDataType_t type, ncclComm_t comm,
              cudaStream_t stream)
{
    const struct fake_op op = {.kind = FAKE_GATHER,
                               .comm = comm,
                               .from = from,
                               .to = to,
                               .count = count,
                               .type = (int)type};
    fake_enqueue(stream, &op);
    return ncclSuccess;
}

ncclResult_t
ncclBroadcast(const void *from, void *to, size_t count, ncclDataType_t type, int root,
              ncclComm_t comm, cudaStream_t stream)
{
    const struct fake_op op = {.kind = FAKE_BROADCAST,
                               .comm = comm,
                               .from = from,
                               .to = to,
                               .count = count,
                               .type = (int)type,
                               .root = root};
    fake_enqueue(stream, &op);
    return ncclSuccess;
}

// The header declares these two without a prototype.
ncclResult_t
ncclGroupStart(void);

ncclResult_t
ncclGroupEnd(void);

ncclResult_t
ncclGroupStart(void)
{
    group = (struct fake_op){.kind = FAKE_PAIRS, .type = ncclInt8};
    grouped = true;
    return ncclSuccess;
}

ncclResult_t
ncclGroupEnd(void)
{
    grouped = false;
    if (group.comm) {
        fake_enqueue(group_stream, &group);
    }
    return ncclSuccess;
}

ncclResult_t
ncclSend(const void *from, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
         cudaStream_t stream)
{
    if (!grouped || type != ncclInt8) {
        return ncclInvalidUsage;
    }
    group.comm = comm;
    group_stream = stream;
    group.send[peer] = from;
    group.send_bytes[peer] = count;
    return ncclSuccess;
}

ncclResult_t
ncclRecv(void *to, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
         cudaStream_t stream)
{
    if (!grouped || type != ncclInt8) {
        return ncclInvalidUsage;
    }
    group.comm = comm;
    group_stream = stream;
    group.recv[peer] = to;
    group.recv_bytes[peer] = count;
    return ncclSuccess;
}
