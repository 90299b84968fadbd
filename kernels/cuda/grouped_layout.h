// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// Between planning, packing and running grouped products.
#ifndef DLQ_KERNELS_CUDA_GROUPED_LAYOUT_H
#define DLQ_KERNELS_CUDA_GROUPED_LAYOUT_H

#include "grouped_gemm.h"

// Rows of scales in the checkpoint.
int64_t
grouped_source_groups(const struct dlq_k_grouped_desc *desc);

// Offsets and bytes from padded_k, padded_n and groups.
void
grouped_lay_out(struct dlq_k_grouped *w);

// Loads the kernels of w's code and raises their limits on the current device.
int
grouped_prepare(const struct dlq_k_grouped *w);

#endif
