// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// What the check and the bench of the Marlin layout share: made-up layers and products with their
// float64 reference.
#ifndef DLQ_TESTS_KERNELS_GPU_MARLIN_CUH
#define DLQ_TESTS_KERNELS_GPU_MARLIN_CUH

#include "gpu_harness.cuh"
#include "kernels/cuda/marlin.h"

namespace marlin
{

extern int sms, capability; // of the device

template <class T>
T *
device_array(size_t count)
{
    void *p;
    HARNESS_CUDA(cudaMalloc(&p, count * sizeof(T) + 16));
    return (T *)p;
}

template <class T>
T *
to_host(const T *device, size_t count)
{
    T *host = (T *)malloc(count * sizeof(T) + 16);
    HARNESS_CUDA(cudaMemcpy(host, device, count * sizeof(T), cudaMemcpyDeviceToHost));
    return host;
}

template <class T>
T *
to_device(const T *host, size_t count)
{
    T *device = device_array<T>(count);
    HARNESS_CUDA(cudaMemcpy(device, host, count * sizeof(T), cudaMemcpyHostToDevice));
    return device;
}

// The same numbers on every machine.
uint32_t
next_random(void);

void
shuffle(int32_t *perm, int64_t k);

struct problem {
    int n, k, group, bits, bf16, zeros, act_order, from; // group 0: one group
    int64_t size, groups;                                // of the checkpoint
    struct dlq_marlin_layer layer;
    uint8_t *codes, *zero_codes; // [k, n] in the order of the packed rows, [groups, n]
    uint16_t *scales;            // [groups, n]
    int32_t *order;              // [k]: source row of each packed row, or NULL
    char *packed;
    size_t stride;
    int copies;
};

// Random codes, scales and order, packed into `copies` copies side by side.
void
problem_create(struct problem *p, int copies);

void
problem_destroy(struct problem *p);

struct trial {
    const struct problem *p;
    int m, count, shift;
    int64_t ldx, ldy;
    uint16_t *x, *y, *again; // y and again have a row before and after
    float *bias;
    char *workspace;
    size_t workspace_bytes;
    int *counters;
    int *tokens;
    double *reference, *absolute;
    struct harness_error *error;
    unsigned long long *counter;
    struct dlq_k_marlin_gemm call;
    struct dlq_k_marlin_plan plan;
};

// One activation matrix of m rows with its reference at up to `most` (64) of them. `pad` elements
// between rows; `shift` elements from an aligned address.
void
trial_create(struct trial *t, const struct problem *p, int m, int most, int with_bias, int pad,
             int shift);

void
trial_destroy(struct trial *t);

// A harness_call: the product with copy i of the weights.
int
trial_run(void *context, int i, cudaStream_t stream);

// Relative error of two runs with the same bits, the second with given counters and an early launch
// and another copy of the weights; above 1e3 something else is wrong. Below 0: refused.
double
trial_check(struct trial *t, int rounded);

// The checks, of products those of the first `most` shapes; prints failures and counts. 0 when
// nothing failed.
int
check(int most);

} // namespace marlin

#endif
