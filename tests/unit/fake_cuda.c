// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "fake_stream.h"

#include "nccl/cast.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

// CUDA on host memory: memory is malloc's, and all of it is everybody's.

static _Thread_local int device;

// What is never freed on purpose stays within reach of a leak checker.
struct block {
    _Alignas(16) struct block *next;
};

static struct block *blocks;

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
    struct block *const b = malloc(sizeof(*b) + size);
    if (!b) {
        return cudaErrorMemoryAllocation;
    }
    pthread_mutex_lock(&fake_lock);
    *b = (struct block){.next = blocks};
    blocks = b;
    pthread_mutex_unlock(&fake_lock);
    *out = b + 1;
    atomic_fetch_add(&fake_nccl.allocated, 1);
    return cudaSuccess;
}

cudaError_t
cudaFree(void *ptr)
{
    if (!ptr) {
        return cudaSuccess;
    }
    pthread_mutex_lock(&fake_lock);
    // Waits for what is under way, which may use the memory.
    fake_progress();
    struct block *const b = (struct block *)ptr - 1;
    struct block **at = &blocks;
    while (*at != b) {
        at = &(*at)->next;
    }
    *at = b->next;
    pthread_mutex_unlock(&fake_lock);
    atomic_fetch_sub(&fake_nccl.allocated, 1);
    free(b);
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
cudaMemcpyAsync(void *to, const void *from, size_t size, enum cudaMemcpyKind kind, cudaStream_t s)
{
    const cudaError_t rc = cudaStreamSynchronize(s);
    return rc == cudaSuccess ? cudaMemcpy(to, from, size, kind) : rc;
}

cudaError_t
cudaStreamCreateWithFlags(cudaStream_t *out, unsigned int flags)
{
    (void)flags;
    *out = calloc(1, sizeof(**out));
    pthread_mutex_lock(&fake_lock);
    (*out)->next = fake_streams;
    fake_streams = *out;
    pthread_mutex_unlock(&fake_lock);
    return cudaSuccess;
}

cudaError_t
cudaStreamDestroy(cudaStream_t s)
{
    pthread_mutex_lock(&fake_lock);
    struct CUstream_st **at = &fake_streams;
    while (*at != s) {
        at = &(*at)->next;
    }
    *at = s->next;
    pthread_mutex_unlock(&fake_lock);
    free(s);
    return cudaSuccess;
}

cudaError_t
cudaStreamQuery(cudaStream_t s)
{
    pthread_mutex_lock(&fake_lock);
    fake_progress();
    const bool done = !fake_head(s);
    s->invalidated = s->invalidated || s->captured;
    pthread_mutex_unlock(&fake_lock);
    return s->captured ? cudaErrorStreamCaptureUnsupported : done ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t
cudaStreamSynchronize(cudaStream_t s)
{
    pthread_mutex_lock(&fake_lock);
    fake_progress();
    while (fake_head(s)) {
        // A sum may have a limit.
        struct timespec soon;
        clock_gettime(CLOCK_REALTIME, &soon);
        soon.tv_nsec += 2000000;
        soon.tv_sec += soon.tv_nsec / 1000000000;
        soon.tv_nsec %= 1000000000;
        (void)pthread_cond_timedwait(&fake_changed, &fake_lock, &soon);
        fake_progress();
    }
    pthread_mutex_unlock(&fake_lock);
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
    const struct fake_op op = {
        .kind = FAKE_WIDEN, .from = from, .to = to, .count = (size_t)count, .type = bf16};
    fake_enqueue(stream, &op);
    return cudaSuccess;
}

cudaError_t
dlq_nccl_narrow(const float *from, void *to, int64_t count, int bf16, cudaStream_t stream)
{
    const struct fake_op op = {
        .kind = FAKE_NARROW, .from = from, .to = to, .count = (size_t)count, .type = bf16};
    fake_enqueue(stream, &op);
    return cudaSuccess;
}

cudaError_t
dlq_peer_sum(const struct dlq_peer_ends *ends, void *data, int64_t count, enum dlq_peer_type type,
             enum dlq_peer_way way, cudaStream_t stream)
{
    const size_t bytes = (size_t)count * (type == DLQ_PEER_F16 || type == DLQ_PEER_BF16 ? 2 : 4);
    if (bytes > dlq_peer_limit(way, ends->size)) {
        return cudaErrorInvalidValue;
    }
    const struct fake_op op = {.kind = FAKE_PEERS,
                               .from = data,
                               .to = data,
                               .count = (size_t)count,
                               .type = (int)type,
                               .ends = *ends};
    fake_enqueue(stream, &op);
    return cudaSuccess;
}

cudaError_t
dlq_peer_gather(const struct dlq_peer_ends *ends, const void *from, void *to, const int64_t *counts,
                size_t width, cudaStream_t stream)
{
    struct fake_op op = {
        .kind = FAKE_PEERS, .from = from, .to = to, .ends = *ends, .gathers = true};
    size_t most = 0;
    for (int r = 0; r < ends->size; r++) {
        op.recv_bytes[r] = (size_t)counts[r] * width;
        most = op.recv_bytes[r] > most ? op.recv_bytes[r] : most;
    }
    if (width < 2 || most == 0 || most > dlq_peer_limit(DLQ_PEER_AT_ONCE, ends->size)) {
        return cudaErrorInvalidValue;
    }
    fake_enqueue(stream, &op);
    return cudaSuccess;
}

size_t
dlq_peer_limit(enum dlq_peer_way way, int32_t size)
{
    return way == DLQ_PEER_IN_SHARES || size == 2 ? DLQ_PEER_BYTES : DLQ_PEER_BYTES / 4;
}

size_t
dlq_peer_inbox_size(int32_t size)
{
    return (size_t)size * 64;
}

cudaError_t
cudaDeviceSynchronize(void)
{
    return cudaSuccess;
}

cudaError_t
cudaHostAlloc(void **out, size_t size, unsigned int flags)
{
    if (flags != cudaHostAllocMapped || device == fake_nccl.device_without_mail) {
        return cudaErrorMemoryAllocation;
    }
    return cudaMalloc(out, size);
}

cudaError_t
cudaFreeHost(void *ptr)
{
    return cudaFree(ptr);
}

cudaError_t
cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int index)
{
    (void)index;
    *value = attribute == cudaDevAttrComputeCapabilityMajor ? fake_nccl.capability : 0;
    return cudaSuccess;
}

cudaError_t
cudaDeviceCanAccessPeer(int *can, int from, int to)
{
    *can = from != fake_nccl.lonely_device && to != fake_nccl.lonely_device;
    return cudaSuccess;
}

cudaError_t
cudaDeviceEnablePeerAccess(int peer, unsigned int flags)
{
    (void)flags;
    // Each one finds the way back open.
    return peer < device ? cudaErrorPeerAccessAlreadyEnabled : cudaSuccess;
}

cudaError_t
cudaIpcGetMemHandle(cudaIpcMemHandle_t *handle, void *ptr)
{
    if (device == fake_nccl.unshared_device) {
        return cudaErrorNotSupported;
    }
    memset(handle, 0, sizeof(*handle));
    memcpy(handle, &ptr, sizeof(ptr));
    return cudaSuccess;
}

cudaError_t
cudaIpcOpenMemHandle(void **out, cudaIpcMemHandle_t handle, unsigned int flags)
{
    memcpy(out, &handle, sizeof(*out));
    if (!*out || flags != cudaIpcMemLazyEnablePeerAccess) {
        return cudaErrorInvalidValue;
    }
    atomic_fetch_add(&fake_nccl.opened, 1);
    return cudaSuccess;
}

cudaError_t
cudaIpcCloseMemHandle(void *ptr)
{
    atomic_fetch_sub(&fake_nccl.opened, ptr != NULL);
    return cudaSuccess;
}
