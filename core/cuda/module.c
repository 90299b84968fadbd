// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "gpu.h"

#include <stdio.h>
#include <string.h>

#define FAIL(err, native, ...)                                                                     \
    dlq_fail_native(err, DLQ_EDEVICE, DLQ_DOMAIN_DEVICE, (int32_t)(native), __VA_ARGS__)

// A thread's own context stays below ours: making the runtime's device current and putting the old
// one back would start the first device of a machine for threads that never touched it.
static struct {
    CUresult (*retain)(CUcontext *out, CUdevice device);
    CUresult (*push)(CUcontext context);
    CUresult (*pop)(CUcontext *out);
    CUresult (*range)(CUdeviceptr *base, size_t *size, CUdeviceptr ptr);
} cu;

static struct dlq_gpu gpus[DLQ_GPU_MAX];
static CUcontext contexts[DLQ_GPU_MAX];
static struct dlq_device_info infos[DLQ_GPU_MAX];        // A name says that it is known
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; // Guards all but `gpus`

static cudaError_t
find_driver_function(const char *name, void *out)
{
    void *symbol = NULL;
    enum cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
    const cudaError_t rc =
#if CUDART_VERSION >= 12050
        cudaGetDriverEntryPointByVersion(name, &symbol, 12000, cudaEnableDefault, &found);
#else
        cudaGetDriverEntryPoint(name, &symbol, cudaEnableDefault, &found);
#endif
    memcpy(out, &symbol, sizeof(symbol));
    return rc == cudaSuccess && !symbol ? cudaErrorSymbolNotFound : rc;
}

// [lock held]
static cudaError_t
start(int32_t index)
{
    cudaError_t rc = cudaSuccess;
    int n = 0;
    if (!cu.retain) {
        rc = find_driver_function("cuCtxPushCurrent", &cu.push);
        if (rc == cudaSuccess) {
            rc = find_driver_function("cuCtxPopCurrent", &cu.pop);
        }
        if (rc == cudaSuccess) {
            rc = find_driver_function("cuMemGetAddressRange", &cu.range);
        }
        if (rc == cudaSuccess) {
            rc = find_driver_function("cuDevicePrimaryCtxRetain", &cu.retain);
        }
        for (int i = 0; i < DLQ_GPU_MAX && rc == cudaSuccess; i++) {
            pthread_mutex_init(&gpus[i].lock, NULL);
            pthread_mutex_init(&gpus[i].memory, NULL);
        }
    }
    if (rc == cudaSuccess) {
        rc = cudaGetDeviceCount(&n);
    }
    if (rc == cudaSuccess && index >= n) {
        rc = cudaErrorInvalidDevice;
    }
    if (rc == cudaSuccess) {
        rc = (cudaError_t)cu.retain(&contexts[index], index);
    }
    return rc;
}

cudaError_t
dlq_gpu_enter(int32_t index)
{
    cudaError_t rc = cudaSuccess;
    if (index < 0 || index >= DLQ_GPU_MAX) {
        return cudaErrorInvalidDevice;
    }
    pthread_mutex_lock(&lock);
    if (!contexts[index]) {
        rc = start(index);
    }
    pthread_mutex_unlock(&lock);
    return rc == cudaSuccess ? (cudaError_t)cu.push(contexts[index]) : rc;
}

void
dlq_gpu_leave(void)
{
    CUcontext context = NULL;
    (void)cu.pop(&context);
}

cudaError_t
dlq_gpu_size(const void *ptr, size_t *out)
{
    CUdeviceptr base = 0;
    return (cudaError_t)cu.range(&base, out, (CUdeviceptr)(uintptr_t)ptr);
}

int32_t
dlq_gpu_result(int32_t index, const char *what, cudaError_t rc, struct dlq_error *err)
{
    if (rc == cudaSuccess) {
        return DLQ_OK;
    }
    (void)cudaGetLastError();
    return FAIL(err, rc, "CUDA device %d: %s: %s", (int)index, what, cudaGetErrorString(rc));
}

static cudaError_t
make_buffer(struct dlq_gpu_buffer *buffer, char **bytes, size_t size)
{
    buffer->bytes = *bytes;
    *bytes += size;
    return buffer->emptied ? cudaSuccess
                           : cudaEventCreateWithFlags(&buffer->emptied, cudaEventDisableTiming);
}

// A call after one that failed goes on with what that has made.
static cudaError_t
make(struct dlq_gpu *gpu)
{
    const size_t size = DLQ_GPU_SMALL * DLQ_GPU_SMALL_BUFFER + 2 * DLQ_GPU_THREADS * DLQ_GPU_BUFFER;
    cudaError_t rc = cudaSuccess;
    if (!gpu->uploads) {
        rc = cudaStreamCreateWithFlags(&gpu->uploads, cudaStreamNonBlocking);
    }
    if (rc == cudaSuccess && !gpu->pinned) {
        rc = cudaHostAlloc((void **)&gpu->pinned, size, cudaHostAllocPortable);
    }
    char *bytes = gpu->pinned;
    for (int i = 0; i < DLQ_GPU_SMALL && rc == cudaSuccess; i++) {
        rc = make_buffer(&gpu->small[i], &bytes, DLQ_GPU_SMALL_BUFFER);
    }
    for (int i = 0; i < 2 * DLQ_GPU_THREADS && rc == cudaSuccess; i++) {
        rc = make_buffer(&gpu->pairs[i / 2].buffers[i % 2], &bytes, DLQ_GPU_BUFFER);
    }
    gpu->ready = rc == cudaSuccess;
    return rc;
}

struct dlq_gpu *
dlq_gpu_lock(int32_t index, cudaError_t *rc)
{
    *rc = dlq_gpu_enter(index);
    if (*rc != cudaSuccess) {
        return NULL;
    }
    struct dlq_gpu *const gpu = &gpus[index];
    pthread_mutex_lock(&gpu->lock);
    if (!gpu->ready) {
        *rc = make(gpu);
    }
    if (*rc == cudaSuccess) {
        return gpu;
    }
    dlq_gpu_unlock(gpu);
    return NULL;
}

void
dlq_gpu_unlock(struct dlq_gpu *gpu)
{
    if (gpu) {
        pthread_mutex_unlock(&gpu->lock);
        dlq_gpu_leave();
    }
}

struct dlq_gpu *
dlq_gpu_lock_memory(int32_t index, cudaError_t *rc)
{
    *rc = dlq_gpu_enter(index);
    if (*rc != cudaSuccess) {
        return NULL;
    }
    pthread_mutex_lock(&gpus[index].memory);
    return &gpus[index];
}

void
dlq_gpu_unlock_memory(struct dlq_gpu *gpu)
{
    if (gpu) {
        pthread_mutex_unlock(&gpu->memory);
        dlq_gpu_leave();
    }
}

static int32_t
count(int32_t *out, struct dlq_error *err)
{
    int n = 0;
    int driver = 0;
    const cudaError_t rc = cudaGetDeviceCount(&n);
    *out = rc == cudaSuccess ? n : 0;
    if (rc == cudaSuccess && n > 0) {
        return DLQ_OK;
    }
    (void)cudaGetLastError();
    if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) {
        return FAIL(err, rc, "no CUDA device: no NVIDIA driver is installed");
    }
    if (rc == cudaErrorInsufficientDriver) {
        return FAIL(err, rc, "no CUDA device: the driver is of CUDA %d.%d, expected %d.%d or later",
                    driver / 1000, driver % 1000 / 10, CUDART_VERSION / 1000,
                    CUDART_VERSION % 1000 / 10);
    }
    return FAIL(err, rc, "no CUDA device: %s",
                rc == cudaSuccess ? "the driver sees none" : cudaGetErrorString(rc));
}

static int32_t
info(int32_t index, struct dlq_device_info *out, struct dlq_error *err)
{
    int32_t n = 0;
    const int32_t status = count(&n, err);
    if (status != DLQ_OK) {
        return status;
    }
    if (index < 0 || index >= n || index >= DLQ_GPU_MAX) {
        return FAIL(err, cudaErrorInvalidDevice,
                    "no CUDA device %d: expected 0 to %d, found %d device%s", (int)index,
                    (int)n - 1, (int)n, n == 1 ? "" : "s");
    }
    // The driver takes its time, and every layer asks.
    cudaError_t rc = cudaSuccess;
    pthread_mutex_lock(&lock);
    struct dlq_device_info *const known = &infos[index];
    if (known->name[0] == '\0') {
        struct cudaDeviceProp prop;
        rc = cudaGetDeviceProperties(&prop, index);
        if (rc == cudaSuccess) {
            known->capability = prop.major * 10 + prop.minor;
            known->multiprocessors = prop.multiProcessorCount;
            known->memory_bytes = prop.totalGlobalMem;
            snprintf(known->name, sizeof(known->name), "%.63s", prop.name);
        }
    }
    out->capability = known->capability;
    out->multiprocessors = known->multiprocessors;
    out->memory_bytes = known->memory_bytes;
    memcpy(out->name, known->name, sizeof(out->name));
    pthread_mutex_unlock(&lock);
    return dlq_gpu_result(index, "asking for its properties", rc, err);
}

static int32_t
use(int32_t index, struct dlq_error *err)
{
    return dlq_gpu_result(index, "making it current", cudaSetDevice(index), err);
}

DLQ_EXPORT const struct dlq_device_ops *
dlq_device_module(void);

const struct dlq_device_ops *
dlq_device_module(void)
{
    static const struct dlq_device_ops ops = {
        .struct_size = sizeof(ops),
        .kind = DLQ_DEVICE_CUDA,
        .version = DLQ_VERSION,
        .count = count,
        .info = info,
        .use = use,
        .alloc = dlq_gpu_alloc,
        .free = dlq_gpu_free,
        .upload = dlq_gpu_upload,
        .post = dlq_gpu_post,
        .flush = dlq_gpu_flush,
        .copy = dlq_gpu_copy,
        .stream_create = dlq_gpu_stream_create,
        .stream_destroy = dlq_gpu_stream_destroy,
        .stream_synchronize = dlq_gpu_stream_synchronize,
        .transfer = dlq_gpu_transfer,
        .capture_begin = dlq_gpu_capture_begin,
        .capture_end = dlq_gpu_capture_end,
        .graph_launch = dlq_gpu_graph_launch,
        .graph_destroy = dlq_gpu_graph_destroy,
        .event_create = dlq_gpu_event_create,
        .event_destroy = dlq_gpu_event_destroy,
        .event_record = dlq_gpu_event_record,
        .event_elapsed = dlq_gpu_event_elapsed,
    };
    return &ops;
}
