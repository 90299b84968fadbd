// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "fake_stream.h"

#include "float16.h"

#include <dlquant/types.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

pthread_mutex_t fake_lock = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t fake_changed = PTHREAD_COND_INITIALIZER;
struct CUstream_st *fake_streams;

static uint32_t
peer_dtype(int type)
{
    return type == DLQ_PEER_F16 ? DLQ_F16 : type == DLQ_PEER_BF16 ? DLQ_BF16 : DLQ_F32;
}

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

int64_t
fake_now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

struct fake_op *
fake_head(struct CUstream_st *s)
{
    return s->first == s->end ? NULL : &s->queue[s->first % FAKE_QUEUE];
}

static void
reduce(struct fake_op **ops, int n)
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
collective(struct fake_op **ops, int n)
{
    const size_t bytes = ops[0]->count * width(ops[0]->type);
    fake_nccl.calls++;
    for (int to = 0; to < n && ops[0]->kind != FAKE_REDUCE; to++) {
        for (int from = 0; from < n; from++) {
            if (ops[0]->kind == FAKE_GATHER) {
                memmove((char *)ops[to]->to + (size_t)from * bytes, ops[from]->from, bytes);
            } else if (ops[0]->kind == FAKE_PAIRS && ops[to]->recv_bytes[from] > 0) {
                if (ops[to]->recv_bytes[from] != ops[from]->send_bytes[to]) {
                    abort();
                }
                memmove(ops[to]->recv[from], ops[from]->send[to], ops[to]->recv_bytes[from]);
            }
        }
        if (ops[0]->kind == FAKE_BROADCAST) {
            memmove(ops[to]->to, ops[ops[0]->root]->from, bytes);
        }
    }
    if (ops[0]->kind == FAKE_REDUCE) {
        reduce(ops, n);
    }
}

// The fake_streams whose heads are this collective on all ranks, or false.
static bool
find_all(const struct fake_op *op, struct CUstream_st **found, struct fake_op **ops)
{
    int n = 0;
    for (struct CUstream_st *s = fake_streams; s; s = s->next) {
        struct fake_op *const h = fake_head(s);
        if (h && h->comm && h->comm->all == op->comm->all && h->kind == op->kind &&
            !h->comm->aborted) {
            found[h->comm->rank] = s;
            ops[h->comm->rank] = h;
            n++;
        }
    }
    return n == op->comm->all->size;
}

// The streams that wait in this sum over peers.
static bool
find_peers(const struct fake_op *op, struct CUstream_st **found)
{
    int n = 0;
    memset(found, 0, FAKE_NCCL_RANKS * sizeof(*found));
    for (struct CUstream_st *s = fake_streams; s; s = s->next) {
        const struct fake_op *const h = fake_head(s);
        if (h && h->kind == FAKE_PEERS && h->ends.inbox[0] == op->ends.inbox[0]) {
            found[h->ends.rank] = s;
            n++;
        }
    }
    return n == op->ends.size && !fake_nccl.hanging_peers;
}

static void
add_peer(float *sum, uint32_t *integer, const struct fake_op *op, size_t i)
{
    float v = 0;
    if (op->type == DLQ_PEER_I32) {
        *integer += ((const uint32_t *)op->from)[i];
        return;
    }
    const uint32_t dtype = peer_dtype(op->type);
    const size_t w = dtype == DLQ_F32 ? 4 : 2;
    (void)dlq_cast(DLQ_F32, &v, dtype, (const char *)op->from + i * w, 1);
    *sum += v;
}

// In fp32 and in rank order, as the kernel does it.
static void
sum_peers(struct CUstream_st **found, int n)
{
    const struct fake_op *const op = fake_head(found[0]);
    const uint32_t dtype = peer_dtype(op->type);
    const size_t w = dtype == DLQ_F32 || op->type == DLQ_PEER_I32 ? 4 : 2;
    fake_nccl.peer_sums++;
    for (size_t i = 0; i < op->count; i++) {
        float sum = 0;
        uint32_t integer = fake_nccl.wrong_peers;
        for (int r = 0; r < n; r++) {
            add_peer(&sum, &integer, fake_head(found[r]), i);
        }
        for (int r = 0; r < n; r++) {
            char *const to = (char *)fake_head(found[r])->to + i * w;
            if (op->type == DLQ_PEER_I32) {
                memcpy(to, &integer, w);
            } else {
                (void)dlq_cast(dtype, to, DLQ_F32, &sum, 1);
            }
        }
    }
}

static void
gather_peers(struct CUstream_st **found, int n)
{
    const struct fake_op *const op = fake_head(found[0]);
    size_t at = 0;
    fake_nccl.peer_gathers++;
    for (int from = 0; from < n; from++) {
        for (int to = 0; to < n; to++) {
            memmove((char *)fake_head(found[to])->to + at, fake_head(found[from])->from,
                    op->recv_bytes[from]);
        }
        at += op->recv_bytes[from];
    }
}

// Whether a sum of this rank gave up; none after it sends or waits.
static uint32_t *
gone(const struct dlq_peer_ends *ends)
{
    return &ends->turns[1];
}

static bool
is_over(struct fake_op *op)
{
    const int64_t now = fake_now();
    op->begin = op->begin ? op->begin : now;
    return __atomic_load_n(&op->ends.mail->stop, __ATOMIC_SEQ_CST) != 0 ||
           (op->ends.limit_ns > 0 && now - op->begin >= op->ends.limit_ns);
}

// Whether the sum is done with: made, or given up by this rank, which says whom it waited for.
static bool
do_peers(struct CUstream_st *s)
{
    struct fake_op *const op = fake_head(s);
    struct CUstream_st *found[FAKE_NCCL_RANKS];
    if (*gone(&op->ends)) {
        s->first++;
        return true;
    }
    if (find_peers(op, found)) {
        const int n = op->ends.size;
        if (op->gathers) {
            gather_peers(found, n);
        } else {
            sum_peers(found, n);
        }
        for (int r = 0; r < n; r++) {
            found[r]->first++;
        }
        return true;
    }
    if (!is_over(op)) {
        return false;
    }
    *gone(&op->ends) = 1;
    const uint32_t *const turns = op->ends.inbox[op->ends.rank];
    uint32_t late = 0;
    while (turns[late] >= turns[op->ends.rank] && late + 1 < (uint32_t)op->ends.size) {
        late++;
    }
    __atomic_store_n(&op->ends.mail->late, 1 + late, __ATOMIC_SEQ_CST);
    s->first++;
    return true;
}

void
fake_progress(void)
{
    bool again = true;
    while (again) {
        again = false;
        for (struct CUstream_st *s = fake_streams; s; s = s->next) {
            struct fake_op *const op = fake_head(s);
            struct CUstream_st *found[FAKE_NCCL_RANKS];
            struct fake_op *ops[FAKE_NCCL_RANKS];
            if (!op) {
                continue;
            }
            if (op->kind == FAKE_WIDEN) {
                (void)dlq_cast(DLQ_F32, op->to, op->type ? DLQ_BF16 : DLQ_F16, op->from, op->count);
                s->first++;
            } else if (op->kind == FAKE_NARROW) {
                (void)dlq_cast(op->type ? DLQ_BF16 : DLQ_F16, op->to, DLQ_F32, op->from, op->count);
                s->first++;
            } else if (op->kind == FAKE_PEERS) {
                if (!do_peers(s)) {
                    continue;
                }
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
    pthread_cond_broadcast(&fake_changed);
}

void
fake_enqueue(cudaStream_t s, const struct fake_op *op)
{
    pthread_mutex_lock(&fake_lock);
    if (s->end - s->first == FAKE_QUEUE) {
        abort();
    }
    // An inbox holds how often each rank has sent.
    const bool sends = op->kind == FAKE_PEERS && !*gone(&op->ends);
    for (int r = 0; sends && r < op->ends.size; r++) {
        ((uint32_t *)op->ends.inbox[r])[op->ends.rank]++;
    }
    s->queue[s->end++ % FAKE_QUEUE] = *op;
    fake_progress();
    pthread_mutex_unlock(&fake_lock);
}
