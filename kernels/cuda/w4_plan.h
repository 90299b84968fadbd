// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// How a W4A16 product is to run on sm_90a, by what was measured. Needs no CUDA header.
#ifndef DLQ_KERNELS_CUDA_W4_PLAN_H
#define DLQ_KERNELS_CUDA_W4_PLAN_H

#ifdef __cplusplus
extern "C" {
#endif

enum dlq_k_w4_kernel {
    DLQ_K_W4_AUTO,   // by the measured table
    DLQ_K_W4_SMALL,  // m 1..16: mma.sync, sm90_w4_small.cuh
    DLQ_K_W4_WIDE,   // any m: wgmma, sm90_w4_wide.cuh
    DLQ_K_W4_DIRECT, // m 1..8: mma.sync, sm90_w4_direct.cuh
    DLQ_K_W4_KERNELS // how many
};

enum { DLQ_K_W4_TILES = 18 }; // no kernel has more

struct dlq_k_w4_plan {
    int kernel; // enum dlq_k_w4_kernel
    int tile;   // which tile of that kernel
    int split;  // CTAs of a cluster that share the sum over k: 1, 2, 4 or 8; 0 (wide): all
                // multiprocessors get equal parts, partial sums meet in the workspace; direct: 1
    int ctas;   // small: CTAs side by side on an SM, 1 to 4; else 1
};

// The plan measured fastest for the nearest weight shape and the nearest number of tokens not below
// m, with or without programmatic dependent launch. Never DLQ_K_W4_AUTO. [any thread]
struct dlq_k_w4_plan
dlq_k_w4_plan_find(int k, int n, int m, int pdl);

#ifdef __cplusplus
}
#endif

#endif
