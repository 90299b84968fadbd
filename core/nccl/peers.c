// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "peers.h"

#include "alloc.h"
#include "group.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    ALLOCATION = 2 << 20, ///< Smaller memory shares an allocation, which processes map as a whole
    TRIAL_MS = 5000,
    LATE_MS = 300
};

// What a rank tells the others of its inbox.
struct offer {
    int32_t ok;
    int32_t device;
    int32_t process;
    char host[40];
    char space[32]; // In which the process has its number
    void *inbox;
    cudaIpcMemHandle_t handle;
};

// Where this process is: numbers of processes are those of a namespace of a host.
static bool
find_self(struct offer *o)
{
    const int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    const bool ok = fd >= 0 && read(fd, o->host, sizeof(o->host)) > 0;
    if (fd >= 0) {
        close(fd);
    }
    o->process = (int32_t)getpid();
    // A kernel without such namespaces has no name for its only one.
    if (readlink("/proc/self/ns/pid", o->space, sizeof(o->space)) < 0) {
        memset(o->space, 0, sizeof(o->space));
    }
    return ok;
}

static bool
is_same_process(const struct offer *a, const struct offer *b)
{
    return a->process == b->process && memcmp(a->space, b->space, sizeof(a->space)) == 0;
}

static bool
is_wanted(const struct dlq_nccl_group *g)
{
    const char *const own = getenv("DLQ_PEER_SUMS");
    const char *const nccl = getenv("NCCL_P2P_DISABLE");
    return g->size > 1 && g->size <= DLQ_PEER_RANKS && !(own && strcmp(own, "0") == 0) &&
           !(nccl && strcmp(nccl, "0") != 0);
}

static size_t
inbox_room(const struct dlq_nccl_group *g)
{
    return (dlq_peer_inbox_size(g->size) + ALLOCATION - 1) / ALLOCATION * ALLOCATION;
}

static bool
begins_early(const struct dlq_nccl_group *g)
{
    const char *const early = getenv("DLQ_EARLY_LAUNCH");
    int major = 0;
    return cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, g->device) ==
               cudaSuccess &&
           major >= 9 && !(early && strcmp(early, "0") == 0);
}

// The inbox, the turns and the mail of this rank.
static cudaError_t
allocate(struct dlq_nccl_group *g)
{
    struct dlq_peer_ends *const e = &g->peers.ends;
    const size_t turns = DLQ_PEER_WORDS * sizeof(*e->turns);
    void *memory = NULL;
    e->rank = g->rank;
    e->size = g->size;
    e->early = begins_early(g);
    cudaError_t rc = cudaHostAlloc(&memory, sizeof(*e->mail), cudaHostAllocMapped);
    if (rc == cudaSuccess) {
        e->mail = memory;
        memset(e->mail, 0, sizeof(*e->mail));
        rc = cudaMalloc(&e->inbox[g->rank], inbox_room(g));
    }
    if (rc == cudaSuccess) {
        rc = cudaMemset(e->inbox[g->rank], 0, inbox_room(g));
    }
    if (rc == cudaSuccess) {
        rc = cudaMalloc(&memory, turns);
    }
    if (rc == cudaSuccess) {
        e->turns = memory;
        rc = cudaMemset(memory, 0, turns);
    }
    return rc == cudaSuccess ? cudaDeviceSynchronize() : rc;
}

static void
make_offer(struct dlq_nccl_group *g, struct offer *o)
{
    o->device = g->device;
    o->ok = find_self(o) && is_wanted(g) && allocate(g) == cudaSuccess;
    o->inbox = g->peers.ends.inbox[g->rank];
    // Not needed where all ranks are threads.
    if (o->ok && cudaIpcGetMemHandle(&o->handle, o->inbox) != cudaSuccess) {
        memset(&o->handle, 0, sizeof(o->handle));
        (void)cudaGetLastError();
    }
}

static bool
reach(struct dlq_nccl_group *g, const struct offer *own, const struct offer *other, int32_t r)
{
    void **const inbox = &g->peers.ends.inbox[r];
    if (memcmp(own->host, other->host, sizeof(own->host)) != 0) {
        return false;
    }
    if (!is_same_process(own, other)) {
        g->peers.mapped[r] = cudaIpcOpenMemHandle(inbox, other->handle,
                                                  cudaIpcMemLazyEnablePeerAccess) == cudaSuccess;
        return g->peers.mapped[r];
    }
    int can = 0;
    if (cudaDeviceCanAccessPeer(&can, own->device, other->device) != cudaSuccess || !can) {
        return false;
    }
    const cudaError_t rc = cudaDeviceEnablePeerAccess(other->device, 0);
    *inbox = other->inbox;
    return rc == cudaSuccess || rc == cudaErrorPeerAccessAlreadyEnabled;
}

static bool
reach_all(struct dlq_nccl_group *g, const struct offer *offers)
{
    bool ok = true;
    for (int32_t r = 0; r < g->size && ok; r++) {
        ok = r == g->rank || reach(g, &offers[g->rank], &offers[r], r);
    }
    (void)cudaGetLastError();
    return ok;
}

static uint32_t
trial_value(int32_t rank, uint32_t i, uint32_t turn)
{
    return (i + turn) * 2654435761u + (uint32_t)rank * 40503u;
}

static bool
has_ended(cudaStream_t stream, int32_t limit_ms)
{
    cudaError_t rc = cudaErrorNotReady;
    for (int32_t i = 0; i < limit_ms * 10 && rc == cudaErrorNotReady; i++) {
        rc = cudaStreamQuery(stream);
        if (rc == cudaErrorNotReady) {
            nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
        }
    }
    return rc == cudaSuccess;
}

// One sum of the largest size, in the group's scratch.
static bool
try_turn(struct dlq_nccl_group *g, uint32_t *values, enum dlq_peer_way way, cudaStream_t stream,
         uint32_t turn)
{
    const size_t size = dlq_peer_limit(way, g->size);
    const uint32_t count = (uint32_t)(size / sizeof(*values));
    for (uint32_t i = 0; i < count; i++) {
        values[i] = trial_value(g->rank, i, turn);
    }
    // Not cudaMemcpy(), which may return before the data is there.
    bool ok =
        cudaMemcpyAsync(g->scratch, values, size, cudaMemcpyHostToDevice, stream) == cudaSuccess &&
        dlq_peer_sum(&g->peers.ends, g->scratch, count, DLQ_PEER_I32, way, stream) == cudaSuccess;
    if (ok && !has_ended(stream, TRIAL_MS)) {
        dlq_nccl_stop_peers(g);
        (void)cudaStreamSynchronize(stream);
        ok = false;
    }
    ok = ok && cudaMemcpy(values, g->scratch, size, cudaMemcpyDeviceToHost) == cudaSuccess;
    for (uint32_t i = 0; i < count && ok; i++) {
        uint32_t sum = 0;
        for (int32_t r = 0; r < g->size; r++) {
            sum += trial_value(r, i, turn);
        }
        ok = values[i] == sum;
    }
    return ok;
}

// Machines exist on which GPUs claim to reach each other's memory and do not.
static bool
try_sums(struct dlq_nccl_group *g)
{
    cudaStream_t stream = NULL;
    uint32_t *const values = dlq_calloc(g->alloc, 1, DLQ_PEER_BYTES);
    bool ok = values && cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess;
    // Slots are used again from the third turn on.
    for (uint32_t turn = 0; turn < 6 && ok; turn++) {
        ok = try_turn(g, values, turn < 3 ? DLQ_PEER_AT_ONCE : DLQ_PEER_IN_SHARES, stream, turn);
    }
    if (stream) {
        (void)cudaStreamDestroy(stream);
    }
    (void)cudaGetLastError();
    dlq_free(g->alloc, values);
    return ok;
}

// Whether all ranks say yes.
static int32_t
agree(struct dlq_nccl_group *g, bool own, bool *all, struct dlq_error *err)
{
    int32_t says[DLQ_PEER_RANKS] = {0};
    says[g->rank] = own;
    const int32_t rc = dlq_nccl_exchange(g, says, sizeof(says[0]), err);
    *all = rc == DLQ_OK;
    for (int32_t r = 0; r < g->size; r++) {
        *all = *all && says[r];
    }
    return rc;
}

// Where NCCL is as fast, on GPUs that NVLink connects. Two send all at once, four from 64 KiB on
// in shares, and more ranks send no more bytes than was measured on four.
static void
set_limits(struct dlq_nccl_group *g)
{
    const size_t kib = 1024;
    // The trial has a limit of its own.
    g->peers.ends.limit_ns = (int64_t)g->timeout_ms * 1000000;
    g->peers.at_once = g->size == 2 ? 1024 * kib : g->size <= 4 ? 32 * kib : 64 * kib;
    g->peers.limit = g->size <= 4 ? 1024 * kib : 64 * kib;
    g->peers.part = g->size == 2 ? 512 * kib : g->size <= 4 ? 256 * kib : 64 * kib;
}

int32_t
dlq_nccl_connect_peers(struct dlq_nccl_group *g, struct dlq_error *err)
{
    struct offer offers[DLQ_PEER_RANKS] = {0};
    g->base.sums = "over NCCL, as for one rank or many";
    if (g->size < 2 || g->size > DLQ_PEER_RANKS) {
        return DLQ_OK;
    }
    make_offer(g, &offers[g->rank]);
    int32_t rc = dlq_nccl_exchange(g, offers, sizeof(offers[0]), err);
    bool ok = rc == DLQ_OK;
    for (int32_t r = 0; r < g->size; r++) {
        ok = ok && offers[r].ok;
    }
    g->base.sums = "over NCCL, for a rank has no memory for peers or was told not to";
    if (ok) {
        rc = agree(g, reach_all(g, offers), &ok, err);
        g->base.sums = "over NCCL, for a GPU does not reach another one's memory";
    }
    if (ok) {
        rc = agree(g, try_sums(g), &ok, err);
        g->base.sums = "over NCCL, for a trial of sums over memory of peers failed";
    }
    if (ok) {
        g->base.sums = "over memory of peers";
        set_limits(g);
    } else {
        dlq_nccl_leave_peers(g);
    }
    return rc;
}

void
dlq_nccl_stop_peers(struct dlq_nccl_group *g)
{
    if (g->peers.ends.mail) {
        __atomic_store_n(&g->peers.ends.mail->stop, 1, __ATOMIC_SEQ_CST);
    }
}

static int32_t
read_late(const struct dlq_nccl_group *g)
{
    const struct dlq_peer_mail *const mail = g->peers.ends.mail;
    return mail ? (int32_t)__atomic_load_n(&mail->late, __ATOMIC_SEQ_CST) - 1 : -1;
}

bool
dlq_nccl_has_late_peer(const struct dlq_nccl_group *g)
{
    return read_late(g) >= 0;
}

int32_t
dlq_nccl_late_peer(struct dlq_nccl_group *g, cudaStream_t stream)
{
    if (g->peers.limit == 0) {
        return -1;
    }
    dlq_nccl_stop_peers(g);
    // A stream that is captured must not be asked.
    if (!dlq_nccl_has_late_peer(g)) {
        (void)has_ended(stream, LATE_MS);
    }
    return read_late(g);
}

void
dlq_nccl_leave_peers(struct dlq_nccl_group *g)
{
    struct dlq_nccl_peers *const p = &g->peers;
    for (int32_t r = 0; r < g->size && r < DLQ_PEER_RANKS; r++) {
        if (p->mapped[r]) {
            (void)cudaIpcCloseMemHandle(p->ends.inbox[r]);
        }
    }
    const bool failed = p->ends.mail && (p->ends.mail->stop != 0 || dlq_nccl_has_late_peer(g));
    if (p->ends.mail && !failed) {
        (void)cudaFree(p->ends.inbox[g->rank]);
    }
    if (p->ends.mail) {
        (void)cudaFree(p->ends.turns);
        (void)cudaFreeHost(p->ends.mail);
    }
    *p = (struct dlq_nccl_peers){0};
}
