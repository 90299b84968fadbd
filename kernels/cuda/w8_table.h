// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// The measured choices: for a type and weight shape, up to how many tokens which configuration.
#ifndef DLQ_KERNELS_CUDA_W8_TABLE_H
#define DLQ_KERNELS_CUDA_W8_TABLE_H

#include "w8.h"

struct dlq_k_w8_choice {
    int f8;
    int pdl;
    int n;
    int k;
    int max_m;
    struct dlq_k_w8_config config;
};

// The most outputs of a CTA in any choice for up to max_m tokens in which CTAs share the sums of an
// output; 0 when there is none.
#ifdef __cplusplus
extern "C"
#endif
    int64_t
    dlq_k_w8_shared_outputs(const struct dlq_k_w8_gemm *g, int64_t max_m);

#endif
