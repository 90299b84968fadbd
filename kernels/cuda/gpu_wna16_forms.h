// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// The packed forms behind dlq_kg_wna16(). The current device is the layer's; pointers are device
// memory but where said.
#ifndef DLQ_KERNELS_CUDA_GPU_WNA16_FORMS_H
#define DLQ_KERNELS_CUDA_GPU_WNA16_FORMS_H

extern "C" {
#include "../gpu_wna16.h"
}
#include "grouped_gemm.h"

enum wna16_form {
    WNA16_GROUPED = 1, // grouped_gemm.h
    WNA16_FRAGMENT,    // pack/w4_fragment.h
    WNA16_MARLIN       // pack/marlin.h
};

// The grouped form, which every layer has.

// Fails where no form would do.
int
wna16_grouped_plan(struct dlq_kg_wna16 *w);

// As dlq_k_grouped_pack(); the layer is of this form from then on.
int
wna16_grouped_pack(struct dlq_kg_wna16 *w, const struct dlq_k_grouped_source *source, void *data,
                   int64_t *bad);

// As dlq_k_grouped_unpack().
int
wna16_grouped_unpack(const struct dlq_kg_wna16 *w, int64_t n0, int64_t rows, float *out,
                     cudaStream_t stream);

size_t
wna16_grouped_workspace(const struct dlq_kg_wna16 *w, int64_t max_m);

int
wna16_grouped_apply(const struct dlq_kg_wna16 *w, const struct dlq_kg_call *call);

const char *
wna16_grouped_kernel(const struct dlq_kg_wna16 *w, int64_t m);

// As dlq_kg_wna16_ops's quantize: the other forms take x as it is.
int
wna16_grouped_quantize(const struct dlq_kg_wna16 *w, const void *x, int64_t m, int8_t *codes,
                       float *scales, int32_t *zeros);

// The fragment form: 4 bits, fp16 or bf16, groups of 32, 64, multiples of 128 or one a column.

// False where the layer has no such form on this device.
bool
wna16_fragment_plan(struct dlq_kg_wna16 *w);

// As dlq_k_grouped_pack().
int
wna16_fragment_pack(const struct dlq_kg_wna16 *w, const struct dlq_k_grouped_source *source,
                    void *data, int64_t *bad);

// As dlq_k_grouped_unpack().
int
wna16_fragment_unpack(const struct dlq_kg_wna16 *w, int64_t n0, int64_t rows, float *out,
                      cudaStream_t stream);

size_t
wna16_fragment_workspace(const struct dlq_kg_wna16 *w, int64_t max_m);

int
wna16_fragment_apply(const struct dlq_kg_wna16 *w, const struct dlq_kg_call *call);

const char *
wna16_fragment_kernel(const struct dlq_kg_wna16 *w, int64_t m);

// The Marlin form: 4 bits, or 8 without zero points, fp16 or bf16, groups of a multiple of 32 or
// one a column. Functions as those of the fragment form.

bool
wna16_marlin_plan(struct dlq_kg_wna16 *w);

// `*wide`: a zero point is 2^bits, which the grouped form alone can hold.
int
wna16_marlin_pack(const struct dlq_kg_wna16 *w, const struct dlq_k_grouped_source *source,
                  void *data, bool *wide, int64_t *bad);

int
wna16_marlin_unpack(const struct dlq_kg_wna16 *w, int64_t n0, int64_t rows, float *out,
                    cudaStream_t stream);

size_t
wna16_marlin_workspace(const struct dlq_kg_wna16 *w, int64_t max_m);

int
wna16_marlin_apply(const struct dlq_kg_wna16 *w, const struct dlq_kg_call *call);

const char *
wna16_marlin_kernel(const struct dlq_kg_wna16 *w, int64_t m);

#endif
