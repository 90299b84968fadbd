// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "fake_nccl.h"

#include "float16.h"

#include "nccl/cast.h"

#include <dlquant/types.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { QUEUE = 64 };

enum kind { WIDEN, NARROW, REDUCE, GATHER, BROADCAST, PAIRS };

// What a stream has to do. PAIRS is one group of sends and receives.
struct op {
    enum kind kind;
    struct ncclComm *comm;
    const void *from;
    void *to;
    size_t count;
    int type; // of NCCL; for casts whether bf16
    int root;
    const void *send[FAKE_NCCL_RANKS];
    void *recv[FAKE_NCCL_RANKS];
    size_t send_bytes[FAKE_NCCL_RANKS], recv_bytes[FAKE_NCCL_RANKS];
};

struct CUstream_st {
    struct op queue[QUEUE];
    int first, end;
    struct CUstream_st *next;
};

struct meeting {
    char id[NCCL_UNIQUE_ID_BYTES];
    int size, arrived;
    struct ncclComm *ranks[FAKE_NCCL_RANKS];
    struct meeting *next;
};

struct ncclComm {
    int rank, device;
    bool aborted;
    struct meeting *all;
};

struct fake_nccl fake_nccl;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct CUstream_st *streams;
static struct meeting *meetings;
static int next_id;
static _Thread_local int device;
static _Thread_local struct op group;
static _Thread_local cudaStream_t group_stream;
static _Thread_local bool grouped;

void
fake_nccl_reset(void)
{
    pthread_mutex_lock(&lock);
    while (meetings) {
        struct meeting *const m = meetings;
        meetings = m->next;
        for (int r = 0; r < FAKE_NCCL_RANKS; r++) {
            free(m->ranks[r]);
        }
        free(m);
    }
    fake_nccl = (struct fake_nccl){.devices = FAKE_NCCL_RANKS, .silent_rank = -1, .wrong_rank = -1};
    pthread_mutex_unlock(&lock);
}

void
fake_nccl_release(void)
{
    pthread_mutex_lock(&lock);
    fake_nccl.released = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    for (int i = 0; i < 2000 && atomic_load(&fake_nccl.allocated) > 0; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
}

// --- What streams do ---

static size_t
width(int type)
{
    return type == ncclInt8 ? 1 : type == ncclFloat || type == ncclInt32 ? 4 : 2;
}

static uint32_t
dtype_of(int type)
{
    return type == ncclHalf ? DLQ_F16 : type == ncclBfloat16 ? DLQ_BF16 : DLQ_F32;
}

static struct op *
head(struct CUstream_st *s)
{
    return s->first == s->end ? NULL : &s->queue[s->first % QUEUE];
}

static void
reduce(struct op **ops, int n)
{
    const uint32_t dtype = dtype_of(ops[0]->type);
    const size_t w = width(ops[0]->type);
    for (size_t i = 0; i < ops[0]->count && ops[0]->type == ncclInt32; i++) {
        uint32_t sum = 0;
        for (int r = 0; r < n; r++) {
            sum += ((const uint32_t *)ops[r]->from)[i];
        }
        for (int r = 0; r < n; r++) {
            ((uint32_t *)ops[r]->to)[i] = sum;
        }
    }
    if (ops[0]->type == ncclInt32) {
        return;
    }
    for (size_t i = 0; i < ops[0]->count && dtype == DLQ_F32; i++) {
        float sum = 0;
        for (int r = 0; r < n; r++) {
            sum += ((const float *)ops[r]->from)[i];
        }
        for (int r = 0; r < n; r++) {
            ((float *)ops[r]->to)[i] = sum;
        }
    }
    for (size_t i = 0; i < ops[0]->count && dtype != DLQ_F32; i++) {
        float sum = 0;
        for (int r = 0; r < n; r++) {
            float v;
            (void)dlq_cast(DLQ_F32, &v, dtype, (const char *)ops[r]->from + i * w, 1);
            sum += v;
            (void)dlq_cast(dtype, &v, DLQ_F32, &sum, 1); // every addition is rounded
            (void)dlq_cast(DLQ_F32, &sum, dtype, &v, 1);
        }
        for (int r = 0; r < n; r++) {
            (void)dlq_cast(dtype, (char *)ops[r]->to + i * w, DLQ_F32, &sum, 1);
        }
    }
}

static void
collective(struct op **ops, int n)
{
    const size_t bytes = ops[0]->count * width(ops[0]->type);
    fake_nccl.calls++;
    for (int to = 0; to < n && ops[0]->kind != REDUCE; to++) {
        for (int from = 0; from < n; from++) {
            if (ops[0]->kind == GATHER) {
                memmove((char *)ops[to]->to + (size_t)from * bytes, ops[from]->from, bytes);
            } else if (ops[0]->kind == PAIRS && ops[to]->recv_bytes[from] > 0) {
                if (ops[to]->recv_bytes[from] != ops[from]->send_bytes[to]) {
                    abort();
                }
                memmove(ops[to]->recv[from], ops[from]->send[to], ops[to]->recv_bytes[from]);
            }
        }
        if (ops[0]->kind == BROADCAST) {
            memmove(ops[to]->to, ops[ops[0]->root]->from, bytes);
        }
    }
    if (ops[0]->kind == REDUCE) {
        reduce(ops, n);
    }
}

// The streams whose heads are this collective on all ranks, or false.
static bool
find_all(const struct op *op, struct CUstream_st **found, struct op **ops)
{
    int n = 0;
    for (struct CUstream_st *s = streams; s; s = s->next) {
        struct op *const h = head(s);
        if (h && h->comm && h->comm->all == op->comm->all && h->kind == op->kind &&
            !h->comm->aborted) {
            found[h->comm->rank] = s;
            ops[h->comm->rank] = h;
            n++;
        }
    }
    return n == op->comm->all->size;
}

// Do what can be done. [lock held]
static void
progress(void)
{
    bool again = true;
    while (again) {
        again = false;
        for (struct CUstream_st *s = streams; s; s = s->next) {
            struct op *const op = head(s);
            struct CUstream_st *found[FAKE_NCCL_RANKS];
            struct op *ops[FAKE_NCCL_RANKS];
            if (!op) {
                continue;
            }
            if (op->kind == WIDEN) {
                (void)dlq_cast(DLQ_F32, op->to, op->type ? DLQ_BF16 : DLQ_F16, op->from, op->count);
                s->first++;
            } else if (op->kind == NARROW) {
                (void)dlq_cast(op->type ? DLQ_BF16 : DLQ_F16, op->to, DLQ_F32, op->from, op->count);
                s->first++;
            } else if (op->comm->aborted) {
                s->first++;
            } else if (find_all(op, found, ops)) {
                collective(ops, op->comm->all->size);
                for (int r = 0; r < op->comm->all->size; r++) {
                    found[r]->first++;
                }
            } else {
                continue;
            }
            again = true;
        }
    }
    pthread_cond_broadcast(&changed);
}

static void
enqueue(cudaStream_t s, const struct op *op)
{
    pthread_mutex_lock(&lock);
    if (s->end - s->first == QUEUE) {
        abort();
    }
    s->queue[s->end++ % QUEUE] = *op;
    progress();
    pthread_mutex_unlock(&lock);
}

// --- CUDA ---

cudaError_t
cudaGetDevice(int *out)
{
    *out = device;
    return cudaSuccess;
}

cudaError_t
cudaSetDevice(int index)
{
    if (index >= fake_nccl.devices) {
        return cudaErrorInvalidDevice;
    }
    device = index;
    return cudaSuccess;
}

cudaError_t
cudaMalloc(void **out, size_t size)
{
    *out = malloc(size);
    atomic_fetch_add(&fake_nccl.allocated, 1);
    return *out ? cudaSuccess : cudaErrorMemoryAllocation;
}

cudaError_t
cudaFree(void *ptr)
{
    atomic_fetch_sub(&fake_nccl.allocated, ptr != NULL);
    free(ptr);
    return cudaSuccess;
}

cudaError_t
cudaMemset(void *to, int value, size_t size)
{
    memset(to, value, size);
    return cudaSuccess;
}

cudaError_t
cudaMemcpy(void *to, const void *from, size_t size, enum cudaMemcpyKind kind)
{
    (void)kind;
    memcpy(to, from, size);
    return cudaSuccess;
}

cudaError_t
cudaStreamCreateWithFlags(cudaStream_t *out, unsigned int flags)
{
    (void)flags;
    *out = calloc(1, sizeof(**out));
    pthread_mutex_lock(&lock);
    (*out)->next = streams;
    streams = *out;
    pthread_mutex_unlock(&lock);
    return cudaSuccess;
}

cudaError_t
cudaStreamDestroy(cudaStream_t s)
{
    pthread_mutex_lock(&lock);
    struct CUstream_st **at = &streams;
    while (*at != s) {
        at = &(*at)->next;
    }
    *at = s->next;
    pthread_mutex_unlock(&lock);
    free(s);
    return cudaSuccess;
}

cudaError_t
cudaStreamQuery(cudaStream_t s)
{
    pthread_mutex_lock(&lock);
    progress();
    const bool done = !head(s);
    pthread_mutex_unlock(&lock);
    return done ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t
cudaStreamSynchronize(cudaStream_t s)
{
    pthread_mutex_lock(&lock);
    progress();
    while (head(s)) {
        pthread_cond_wait(&changed, &lock);
    }
    pthread_mutex_unlock(&lock);
    return cudaSuccess;
}

cudaError_t
cudaGetLastError(void)
{
    return cudaSuccess;
}

const char *
cudaGetErrorString(cudaError_t rc)
{
    return rc == cudaErrorInvalidDevice ? "invalid device ordinal" : "another error";
}

cudaError_t
dlq_nccl_widen(const void *from, float *to, int64_t count, int bf16, cudaStream_t stream)
{
    const struct op op = {
        .kind = WIDEN, .from = from, .to = to, .count = (size_t)count, .type = bf16};
    enqueue(stream, &op);
    return cudaSuccess;
}

cudaError_t
dlq_nccl_narrow(const float *from, void *to, int64_t count, int bf16, cudaStream_t stream)
{
    const struct op op = {
        .kind = NARROW, .from = from, .to = to, .count = (size_t)count, .type = bf16};
    enqueue(stream, &op);
    return cudaSuccess;
}

// --- NCCL ---

ncclResult_t
ncclGetVersion(int *version)
{
    *version = NCCL_VERSION_CODE;
    return ncclSuccess;
}

ncclResult_t
ncclGetUniqueId(ncclUniqueId *id)
{
    pthread_mutex_lock(&lock);
    memset(id, 0, sizeof(*id));
    id->internal[0] = (char)++next_id;
    pthread_mutex_unlock(&lock);
    return ncclSuccess;
}

ncclResult_t
ncclCommInitRank(ncclComm_t *comm, int size, ncclUniqueId id, int rank)
{
    pthread_mutex_lock(&lock);
    if (rank == fake_nccl.wrong_rank) {
        pthread_mutex_unlock(&lock);
        return ncclSystemError;
    }
    while (rank == fake_nccl.silent_rank && !fake_nccl.released) {
        pthread_cond_wait(&changed, &lock);
    }
    struct meeting *m = meetings;
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
    **comm = (struct ncclComm){.rank = rank, .device = device, .all = m};
    m->ranks[rank] = *comm;
    m->arrived++;
    pthread_cond_broadcast(&changed);
    while (m->arrived < m->size && !fake_nccl.released) {
        pthread_cond_wait(&changed, &lock);
    }
    const bool all = m->arrived == m->size && !fake_nccl.released;
    pthread_mutex_unlock(&lock);
    return all ? ncclSuccess : ncclSystemError;
}

static ncclResult_t
leave(ncclComm_t comm, atomic_int *count)
{
    pthread_mutex_lock(&lock);
    comm->aborted = true;
    atomic_fetch_add(count, 1);
    progress();
    pthread_mutex_unlock(&lock);
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
    const struct op op = {
        .kind = REDUCE, .comm = comm, .from = from, .to = to, .count = count, .type = (int)type};
    enqueue(stream, &op);
    return ncclSuccess;
}

ncclResult_t
ncclAllGather(const void *from, void *to, size_t count, ncclDataType_t type, ncclComm_t comm,
              cudaStream_t stream)
{
    const struct op op = {
        .kind = GATHER, .comm = comm, .from = from, .to = to, .count = count, .type = (int)type};
    enqueue(stream, &op);
    return ncclSuccess;
}

ncclResult_t
ncclBroadcast(const void *from, void *to, size_t count, ncclDataType_t type, int root,
              ncclComm_t comm, cudaStream_t stream)
{
    const struct op op = {.kind = BROADCAST,
                          .comm = comm,
                          .from = from,
                          .to = to,
                          .count = count,
                          .type = (int)type,
                          .root = root};
    enqueue(stream, &op);
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
    group = (struct op){.kind = PAIRS, .type = ncclInt8};
    grouped = true;
    return ncclSuccess;
}

ncclResult_t
ncclGroupEnd(void)
{
    grouped = false;
    if (group.comm) {
        enqueue(group_stream, &group);
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
