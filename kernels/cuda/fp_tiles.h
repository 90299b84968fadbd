// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// e4m3 weights with one scale a row as DLQ_K_W8_TILES (w8.h), followed by the fp32 scale of each
// row and the static scale of x. Functions return 0, minus an enum dlq_k_result or a cudaError_t;
// pointers are device memory.
#ifndef DLQ_KERNELS_CUDA_FP_TILES_H
#define DLQ_KERNELS_CUDA_FP_TILES_H

extern "C" {
#include "../gpu_call.h"
}

// Where the weights are.
struct dlq_fp_tiles_source {
    const void *codes;    // [n][k] bytes
    const void *scales;   // [ceil(n / scale_rows)]
    uint32_t scale_dtype; // as shape.scale_dtype of linear_fp.h
    int64_t scale_rows;   // that share a scale
    const float *factors; // [n], or NULL for 1
};

int64_t
dlq_fp_tiles_bytes(int64_t n, int64_t k);

const float *
dlq_fp_tiles_scales(const void *data, int64_t n, int64_t k);

const float *
dlq_fp_tiles_act_scale(const void *data, int64_t n, int64_t k);

// DLQ_K_ESCALE and DLQ_K_ECODE as dlq_k_fp_pack(), `bad` not NULL. Waits; prepares the kernels of
// the current device.
int
dlq_fp_tiles_pack(void *data, int64_t n, int64_t k, const struct dlq_fp_tiles_source *source,
                  float act_scale, int64_t *bad);

// out[rows][k] = W[n0 .. n0 + rows, :].
int
dlq_fp_tiles_unpack(const void *data, int64_t n, int64_t k, int64_t n0, int64_t rows, float *out);

// e4m3 codes [n][k] of integers of `bits`: bytes, or words of unsigned codes along k (see
// pack/bits.h). DLQ_K_ECODE with the index of the first that `bits` do not hold. Waits.
int
dlq_fp_tiles_from_integers(uint8_t *e4m3, const void *codes, int64_t n, int64_t k, int bits,
                           bool packed, bool dense, int64_t *bad);

#endif
