// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "cudart.h"

#include <cuda.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#undef cudaGetDeviceProperties

// Work of a stream: a copy, or a wait for another stream's work.
struct work {
    struct work *next;
    char *dst;
    const char *src;
    size_t dst_pitch, src_pitch, width, rows;
    struct CUstream_st *other;
    long until;
};

struct CUstream_st {
    struct work *first, **last;
    long enqueued, done;
};

struct CUevent_st {
    struct CUstream_st *stream;
    long until; // Work of the stream that stands before it
};

// In front of every block.
struct head {
    size_t size;
    char pad[256 - sizeof(size_t)];
};

struct cudart_log cudart = {.devices = 2, .driver = 13000};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

// Whether this call is the one that fails.
static bool
fails(void)
{
    pthread_mutex_lock(&lock);
    const bool now = cudart.fail_at > 0 && --cudart.fail_at == 0;
    pthread_mutex_unlock(&lock);
    return now;
}

#define MAY_FAIL()                                                                                 \
    do {                                                                                           \
        if (fails()) {                                                                             \
            return cudaErrorUnknown;                                                               \
        }                                                                                          \
    } while (0)

// [lock held] Do the work of a stream up to a number of it.
static void
run(struct CUstream_st *s, long until)
{
    while (s->done < until) {
        struct work *const w = s->first;
        if (w->other) {
            run(w->other, w->until);
        }
        for (size_t i = 0; i < w->rows; i++) {
            memcpy(w->dst + i * w->dst_pitch, w->src + i * w->src_pitch, w->width);
        }
        s->first = w->next;
        if (!s->first) {
            s->last = &s->first;
        }
        s->done++;
        free(w);
    }
}

static cudaError_t
enqueue(struct CUstream_st *s, const struct work *what)
{
    MAY_FAIL();
    struct work *const w = malloc(sizeof(*w));
    if (!w) {
        return cudaErrorMemoryAllocation;
    }
    *w = *what;
    pthread_mutex_lock(&lock);
    *s->last = w;
    s->last = &w->next;
    s->enqueued++;
    pthread_mutex_unlock(&lock);
    return cudaSuccess;
}

static CUresult
retain(CUcontext *out, CUdevice device)
{
    *out = (CUcontext)(intptr_t)(device + 1);
    return fails() ? CUDA_ERROR_UNKNOWN : CUDA_SUCCESS;
}

static CUresult
push(CUcontext context)
{
    (void)context;
    if (fails()) {
        return CUDA_ERROR_UNKNOWN;
    }
    __atomic_add_fetch(&cudart.pushed, 1, __ATOMIC_RELAXED);
    return CUDA_SUCCESS;
}

static CUresult
pop(CUcontext *context)
{
    *context = NULL;
    __atomic_sub_fetch(&cudart.pushed, 1, __ATOMIC_RELAXED);
    return CUDA_SUCCESS;
}

static CUresult
range(CUdeviceptr *base, size_t *size, CUdeviceptr ptr)
{
    *base = ptr;
    *size = ((struct head *)(uintptr_t)ptr - 1)->size;
    return fails() ? CUDA_ERROR_UNKNOWN : CUDA_SUCCESS;
}

static cudaError_t
entry_point(const char *name, void **out)
{
    void *const functions[] = {(void *)retain, (void *)push, (void *)pop, (void *)range};
    static const char *const names[] = {"cuDevicePrimaryCtxRetain", "cuCtxPushCurrent",
                                        "cuCtxPopCurrent", "cuMemGetAddressRange"};
    MAY_FAIL();
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        if (strcmp(name, names[i]) == 0) {
            *out = functions[i];
        }
    }
    return cudaSuccess;
}

#if CUDART_VERSION >= 12050
cudaError_t
cudaGetDriverEntryPointByVersion(const char *name, void **out, unsigned version,
                                 unsigned long long flags,
                                 enum cudaDriverEntryPointQueryResult *found)
{
    (void)version;
    (void)flags;
    *found = cudaDriverEntryPointSuccess;
    return entry_point(name, out);
}
#else
cudaError_t
cudaGetDriverEntryPoint(const char *name, void **out, unsigned long long flags,
                        enum cudaDriverEntryPointQueryResult *found)
{
    (void)flags;
    *found = cudaDriverEntryPointSuccess;
    return entry_point(name, out);
}
#endif

cudaError_t
cudaGetDeviceCount(int *count)
{
    *count = cudart.devices;
    return cudart.devices ? cudaSuccess : cudart.reason;
}

cudaError_t
cudaDriverGetVersion(int *version)
{
    *version = cudart.driver;
    return cudaSuccess;
}

cudaError_t
cudaGetDeviceProperties(struct cudaDeviceProp *prop, int device)
{
    MAY_FAIL();
    memset(prop, 0, sizeof(*prop));
    strcpy(prop->name, device == 0 ? "First" : "Second");
    prop->major = 9;
    prop->multiProcessorCount = 7;
    prop->totalGlobalMem = 1000;
    return cudaSuccess;
}

cudaError_t
cudaSetDevice(int device)
{
    return device < cudart.devices ? cudaSuccess : cudaErrorInvalidDevice;
}

cudaError_t
cudaGetLastError(void)
{
    return cudaSuccess;
}

const char *
cudaGetErrorString(cudaError_t error)
{
    return error == cudaErrorUnknown ? "unknown error" : "some error";
}

cudaError_t
cudaMalloc(void **out, size_t size)
{
    MAY_FAIL();
    if (cudart.room && cudart.bytes + size > cudart.room) {
        return cudaErrorMemoryAllocation;
    }
    struct head *const h = aligned_alloc(256, (sizeof(*h) + size + 255) / 256 * 256);
    if (!h) {
        return cudaErrorMemoryAllocation;
    }
    h->size = size;
    cudart.bytes += size;
    *out = h + 1;
    return cudaSuccess;
}

cudaError_t
cudaFree(void *ptr)
{
    struct head *const h = (struct head *)ptr - 1;
    cudart.bytes -= h->size;
    free(h);
    return cudaSuccess;
}

cudaError_t
cudaHostAlloc(void **out, size_t size, unsigned flags)
{
    (void)flags;
    MAY_FAIL();
    *out = malloc(size);
    return *out ? cudaSuccess : cudaErrorMemoryAllocation;
}

cudaError_t
cudaDeviceSynchronize(void)
{
    cudart.waits_for_all++;
    return cudaSuccess;
}

cudaError_t
cudaStreamCreateWithFlags(cudaStream_t *out, unsigned flags)
{
    (void)flags;
    MAY_FAIL();
    *out = calloc(1, sizeof(**out));
    if (!*out) {
        return cudaErrorMemoryAllocation;
    }
    (*out)->last = &(*out)->first;
    return cudaSuccess;
}

cudaError_t
cudaStreamDestroy(cudaStream_t stream)
{
    free(stream);
    return cudaSuccess;
}

cudaError_t
cudaStreamSynchronize(cudaStream_t stream)
{
    pthread_mutex_lock(&lock);
    run(stream, stream->enqueued);
    pthread_mutex_unlock(&lock);
    return fails() ? cudaErrorUnknown : cudaSuccess;
}

cudaError_t
cudaEventCreateWithFlags(cudaEvent_t *out, unsigned flags)
{
    (void)flags;
    MAY_FAIL();
    *out = calloc(1, sizeof(**out));
    return *out ? cudaSuccess : cudaErrorMemoryAllocation;
}

cudaError_t
cudaEventCreate(cudaEvent_t *out)
{
    return cudaEventCreateWithFlags(out, 0);
}

cudaError_t
cudaEventDestroy(cudaEvent_t event)
{
    free(event);
    return cudaSuccess;
}

cudaError_t
cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    MAY_FAIL();
    pthread_mutex_lock(&lock);
    event->stream = stream;
    event->until = stream->enqueued;
    pthread_mutex_unlock(&lock);
    return cudaSuccess;
}

cudaError_t
cudaEventSynchronize(cudaEvent_t event)
{
    pthread_mutex_lock(&lock);
    if (event->stream) {
        run(event->stream, event->until);
    }
    pthread_mutex_unlock(&lock);
    return fails() ? cudaErrorUnknown : cudaSuccess;
}

cudaError_t
cudaEventElapsedTime(float *ms, cudaEvent_t from, cudaEvent_t to)
{
    MAY_FAIL();
    *ms = (float)(to->until - from->until);
    return cudaSuccess;
}

cudaError_t
cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags)
{
    (void)flags;
    const struct work w = {.other = event->stream, .until = event->until};
    return event->stream ? enqueue(stream, &w) : cudaSuccess;
}

cudaError_t
cudaMemcpy2DAsync(void *dst, size_t dst_pitch, const void *src, size_t src_pitch, size_t width,
                  size_t rows, enum cudaMemcpyKind kind, cudaStream_t stream)
{
    (void)kind;
    const struct work w = {.dst = dst,
                           .src = src,
                           .dst_pitch = dst_pitch,
                           .src_pitch = src_pitch,
                           .width = width,
                           .rows = rows};
    return enqueue(stream, &w);
}

cudaError_t
cudaMemcpyAsync(void *dst, const void *src, size_t size, enum cudaMemcpyKind kind,
                cudaStream_t stream)
{
    return cudaMemcpy2DAsync(dst, size, src, size, size, 1, kind, stream);
}

cudaError_t
cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode)
{
    (void)stream;
    (void)mode;
    MAY_FAIL();
    return cudaSuccess;
}

cudaError_t
cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph)
{
    *graph = (cudaGraph_t)stream;
    MAY_FAIL();
    return cudaSuccess;
}

cudaError_t
cudaGraphInstantiateWithFlags(cudaGraphExec_t *out, cudaGraph_t graph, unsigned long long flags)
{
    (void)flags;
    *out = (cudaGraphExec_t)graph;
    MAY_FAIL();
    return cudaSuccess;
}

cudaError_t
cudaGraphDestroy(cudaGraph_t graph)
{
    (void)graph;
    return cudaSuccess;
}

cudaError_t
cudaGraphExecDestroy(cudaGraphExec_t graph)
{
    (void)graph;
    return cudaSuccess;
}

cudaError_t
cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream)
{
    (void)graph;
    (void)stream;
    MAY_FAIL();
    return cudaSuccess;
}
