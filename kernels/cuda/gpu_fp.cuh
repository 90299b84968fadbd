// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// The fp operation's parts: planning and running (gpu_fp.cu), packing (gpu_fp_pack.cu), looking
// inside (gpu_fp_inspect.cu).
//
// Two forms:
//
//     GROUPED  grouped_gemm.h: products of codes and values in bf16 or fp16, exact in fp32, on
//              wgmma for many rows on sm_90
//     TILES    e4m3 by wgmma, which adds 32 products with about 13 bits below the largest; their
//              sum moves to fp32 (w8.h). What is cut off stays within numerics' K 2^-23 of
//              sum |x w| from K = 4096 on, also where all products have one sign. One scale a row
//              on either side, 16-bit y.
//
// Activations become values that bf16 holds exactly. fp32 scales of groups are the product's where
// its groups are the same, else those rows are fp32 and pass as three bf16 parts, as fp32 x does.
#ifndef DLQ_KERNELS_CUDA_GPU_FP_CUH
#define DLQ_KERNELS_CUDA_GPU_FP_CUH

extern "C" {
#include "../gpu_fp.h"

#include "quantize_fp.h"
}

#include "fp_tiles.h"
#include "gpu_device.cuh"
#include "grouped_gemm.h"
#include "w8.h"

namespace dlq
{

namespace fp
{

enum form { GROUPED, TILES };

// What own[] keeps of a packed grouped form; OWN_SIZES: of dlq_k_grouped_sizes().
enum { OWN_EVEN_SCALES, OWN_SIZES };

// The parts of a call's workspace.
struct parts {
    int64_t values, scales, tensor, group_scales, gathered, product, bytes;
    int64_t pitch;       // elements of a row of values
    int64_t group_pitch; // of group_scales, or 0 without
    size_t product_bytes;
    struct dlq_k_grouped grouped; // GROUPED
};

parts
parts_of(const struct dlq_kg_fp *w, int64_t m);

// The grouped layer is a function of the plan and of own[]: it is made again where it is needed.
int
grouped_of(const struct dlq_kg_fp_desc *d, const void *data, struct dlq_k_grouped *out);
struct dlq_k_grouped
grouped_of(const struct dlq_kg_fp *w);

// The quantization of x, but for where its results go.
struct dlq_k_quantize_fp
quantization(const struct dlq_kg_fp *w, const void *x, int64_t x_stride, int64_t m, const parts &p,
             char *workspace);

// Enqueues codes and row scales of x as the tiles' product wants them.
int
quantize_tiles(const struct dlq_kg_fp *w, const void *x, int64_t x_stride, int64_t m,
               const parts &p, char *workspace, cudaStream_t stream);

// Members of struct dlq_kg_fp_ops.
int
pack(struct dlq_kg_fp *w, const struct dlq_kg_fp_source *source, void *data, int64_t *bad);
int
dequantize(const struct dlq_kg_fp *w, int64_t n0, int64_t rows, float *out);
int
quantize(const struct dlq_kg_fp *w, const void *x, int64_t m, uint8_t *codes, float *scales);

} // namespace fp

} // namespace dlq

#endif
