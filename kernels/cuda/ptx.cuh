// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// The PTX instructions the kernels use, one thin wrapper each, named after the instruction.
#ifndef DLQ_KERNELS_CUDA_PTX_CUH
#define DLQ_KERNELS_CUDA_PTX_CUH

#include "ptx_copy.cuh"
#include "ptx_mma.cuh"
#include "ptx_sync.cuh"

#endif
