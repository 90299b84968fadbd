// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// cuBLASLt without linking it: a plugin loads on a machine that lacks it.
#ifndef DLQ_KERNELS_CUDA_CUBLASLT_H
#define DLQ_KERNELS_CUDA_CUBLASLT_H

#include <cublasLt.h>

// The functions of the library that are used, and its version.
struct dlq_cublaslt {
    decltype(&cublasLtCreate) create;
    decltype(&cublasLtDestroy) destroy;
    decltype(&cublasLtMatmul) matmul;
    decltype(&cublasLtMatmulAlgoGetHeuristic) heuristic;
    decltype(&cublasLtMatmulDescInit_internal) desc_init;
    decltype(&cublasLtMatmulDescSetAttribute) desc_set;
    decltype(&cublasLtMatrixLayoutInit_internal) layout_init;
    decltype(&cublasLtMatmulPreferenceInit_internal) preference_init;
    decltype(&cublasLtMatmulPreferenceSetAttribute) preference_set;
    char name[32]; // "dense cublasLt 13.1"
    char tf32[40]; // "dense cublasLt 13.1, tf32"
};

// The library, or NULL where there is none. Opened by the first call and never closed. [any thread]
const struct dlq_cublaslt *
dlq_cublaslt_load(void);

#endif
