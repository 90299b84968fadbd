// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "gpu.h"

#include <cuda_runtime_api.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

const struct dlq_device gpu_first = {DLQ_DEVICE_CUDA, 0};

bool
gpu_is_there(void)
{
    int devices = 0;
    if (cudaGetDeviceCount(&devices) == cudaSuccess && devices > 0) {
        return true;
    }
    printf("1..0 # skip no CUDA device\n");
    return false;
}

void
gpu_begin(struct gpu_world *w, int32_t n_threads)
{
    const struct dlq_runtime_options options = {.struct_size = sizeof(options),
                                                .n_threads = n_threads};
    struct dlq_error err = DLQ_ERROR_INIT;
    *w = (struct gpu_world){.device = gpu_first};
    if (dlq_runtime_create(&options, &w->rt, &err) != DLQ_OK ||
        dlq_device_use(w->rt, gpu_first, &err) != DLQ_OK) {
        fprintf(stderr, "gpu_core: %s\n", err.msg);
        exit(2);
    }
}

void
gpu_end(struct gpu_world *w)
{
    dlq_runtime_destroy(w->rt);
}

double
gpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int
compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

double
gpu_median(double *v, int n)
{
    qsort(v, (size_t)n, sizeof(*v), compare_doubles);
    return v[n / 2];
}

double
gpu_pinned_rate(void)
{
    enum { REPEATS = 9 };
    const size_t size = (size_t)256 << 20;
    double rates[REPEATS] = {0};
    void *host = NULL;
    void *device = NULL;
    if (cudaHostAlloc(&host, size, cudaHostAllocDefault) == cudaSuccess &&
        cudaMalloc(&device, size) == cudaSuccess) {
        memset(host, 1, size);
        for (int i = 0; i < REPEATS; i++) {
            const double t = gpu_seconds();
            (void)cudaMemcpy(device, host, size, cudaMemcpyHostToDevice);
            rates[i] = (double)size / (gpu_seconds() - t);
        }
    }
    (void)cudaFree(device);
    (void)cudaFreeHost(host);
    return gpu_median(rates, REPEATS);
}

size_t
gpu_memory_used(void)
{
    size_t left = 0;
    size_t all = 0;
    return cudaMemGetInfo(&left, &all) == cudaSuccess ? all - left : 0;
}
