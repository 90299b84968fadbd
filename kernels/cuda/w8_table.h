// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// The measured choices: for a type and weight shape, up to how many tokens which configuration, and
// for which of the two devices that were measured.
#ifndef DLQ_KERNELS_CUDA_W8_TABLE_H
#define DLQ_KERNELS_CUDA_W8_TABLE_H

#include "w8.h"

enum {
    DLQ_K_W8_FAST_MEMORY = 1, // 4 TB/s and more: an H200
    DLQ_K_W8_SLOW_MEMORY = 2  // less: an H100
};

struct dlq_k_w8_choice {
    int devices; // bits of them
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
