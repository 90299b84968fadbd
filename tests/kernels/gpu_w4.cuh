// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// What the parts of gpu_w4 share: a random checkpoint in packed form, activations with their
// float64 reference, and one checked run of a plan.
#ifndef DLQ_TESTS_KERNELS_GPU_W4_CUH
#define DLQ_TESTS_KERNELS_GPU_W4_CUH

#include "gpu_harness.cuh"
#include "kernels/cuda/sm90_w4.h"

#include <string.h>

struct problem {
    int n, k, group, bf16, symmetric, ct; // ct: pack-quantized source
    int size, groups;                     // of the checkpoint
    uint32_t *weights, *zeros;
    uint16_t *scales;
    char *packed;
    size_t packed_bytes;
    int copies;
};

// One activation matrix with its reference at up to `most` (64) tokens.
struct trial {
    const struct problem *p;
    int m, count;
    int64_t ldx, ldy;
    uint16_t *x, *y, *again;
    float *bias;
    void *workspace;
    size_t workspace_bytes;
    int *tokens;
    double *reference, *absolute;
    struct harness_error *error;
    unsigned long long *counter;
    struct dlq_k_w4_gemm call;
    struct dlq_k_w4_plan plan;
};

struct dlq_k_w4_source
source_of(const struct problem *p);
size_t
words_of(const struct problem *p);
size_t
zero_words_of(const struct problem *p);

// Random checkpoint tensors, packed into `copies` copies side by side.
void
problem_create(struct problem *p, int copies);
void
problem_destroy(struct problem *p);

void
trial_create(struct trial *t, const struct problem *p, int m, int most, int with_bias, int pad);
void
trial_destroy(struct trial *t);

// A harness_call of the trial's plan.
int
trial_run(void *context, int i, cudaStream_t stream);

// Relative error of one checked run, the second time with PDL, bit for bit; above 1e3 something
// else is wrong. Below 0: the kernel refused.
double
trial_check(struct trial *t, int rounded);

// The largest relative error that is accepted, with weights rounded or not.
double
bound_of(const struct problem *p, int rounded);
int
is_rounded(const struct trial *t);

// Plans in the order in which they are tried; next_plan is 0 at the end.
static const struct dlq_k_w4_plan first_plan = {1, 0, 0, 1};
int
next_plan(struct dlq_k_w4_plan *plan);

// gpu_w4 check: how many checks failed. `kernel`: whose plans, or DLQ_K_W4_AUTO.
int
check(int kernel);

#endif
