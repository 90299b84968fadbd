// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// The Marlin layout of kernels/pack/marlin.h on NVIDIA GPUs, compute capability 8.0 and up:
// packing, and y = x W^T (+ bias) with W of 4 bits (zero points, or 8) or 8 bits (128).
//
// Every function returns 0, a cudaError_t (above 0), or a negative number when the shape or
// pointers do not suit it. None of them allocates, synchronizes or reads the environment; all can
// be captured into a graph, and equal inputs give equal bits.
#ifndef DLQ_KERNELS_CUDA_MARLIN_H
#define DLQ_KERNELS_CUDA_MARLIN_H

#ifdef __cplusplus
extern "C" {
#endif

#include "../pack/marlin.h"

#include <cuda_runtime_api.h>

// DLQ_K_MARLIN_PLAN: the plan does not take this shape or device.
enum {
    DLQ_K_MARLIN_SHAPE = -1,
    DLQ_K_MARLIN_PLAN = -2,
    DLQ_K_MARLIN_ALIGN = -3,
    DLQ_K_MARLIN_WORKSPACE = -4
};

// ---- packing: the GPU forms of kernels/pack/marlin.h, same arguments, same bytes. A permutation
// is not checked.

int
dlq_k_marlin_repack_awq(const uint32_t *qweight, int64_t k, int64_t n, int bits, uint32_t *out,
                        cudaStream_t stream);
int
dlq_k_marlin_repack_gptq(const uint32_t *qweight, const int32_t *perm, int64_t k, int64_t n,
                         int bits, uint32_t *out, cudaStream_t stream);
int
dlq_k_marlin_repack_ct(const uint32_t *qweight, const int32_t *perm, int64_t k, int64_t n, int bits,
                       uint32_t *out, cudaStream_t stream);
// Scales of 16 bits.
int
dlq_k_marlin_permute_scales(const uint16_t *scales, int64_t k, int64_t n, int64_t group,
                            uint16_t *out, cudaStream_t stream);
int
dlq_k_marlin_zero_points(const uint8_t *zp, int64_t rows, int64_t n, int bits, uint32_t *out,
                         cudaStream_t stream);
int
dlq_k_marlin_zero_points_from_awq(const uint32_t *packed, int64_t rows, int64_t n, int bits,
                                  uint32_t *out, cudaStream_t stream);

// How a checkpoint stores a layer, as kernels/linear_wna16.h names it.
enum dlq_k_marlin_from {
    DLQ_K_MARLIN_AWQ = 0, // weights [k, n / pf], zeros [groups, n / pf] in AWQ's order; n % 8 == 0
    DLQ_K_MARLIN_GPTQ,    // weights [k / pf, n], zeros [groups, ceil(n / pf)]; k % pf == 0
    DLQ_K_MARLIN_CT       // weights [n, ceil(k / pf)], zeros [ceil(n / pf), groups]
};

// Device memory of a layer as the checkpoint has it.
struct dlq_k_marlin_source {
    int from;                // enum dlq_k_marlin_from
    int zero_add;            // added to every stored zero point: 1 for GPTQ v1
    const uint32_t *weights; // codes
    const uint32_t *zeros;   // NULL without zero points
    const uint16_t *scales;  // in the type of x. AWQ, GPTQ: [groups, n]; CT: [n, groups]
    const int32_t *order;    // act order: the source row of each row, from dlq_marlin_sort_rows
};

// Packs a planned layer into `out`, 256-byte aligned, layer->bytes of it, all written.
int
dlq_k_marlin_pack(const struct dlq_marlin_layer *layer, const struct dlq_k_marlin_source *source,
                  void *out, cudaStream_t stream);

// ---- the product

// How a product is cut. Zero in any field: the planner's choice.
struct dlq_k_marlin_plan {
    int tile;   // 1 .. DLQ_K_MARLIN_TILES
    int ctas;   // of a multiprocessor
    int split;  // of one tile, at most: CTAs that add up their sums
    int stages; // of the ring, 2 .. 4
};

#define DLQ_K_MARLIN_TILES 7

struct dlq_k_marlin_gemm {
    const struct dlq_marlin_layer *layer;
    const void *packed; // 256-byte aligned
    int m;
    int bf16;       // x, y and scales: 0 fp16, 1 bf16
    int capability; // major * 10 + minor
    int sms;        // multiprocessors
    int pdl;        // 1: let this kernel's start overlap the end of the one before it (sm_90 on)
    const void *x;  // [m, k], rows ldx elements apart
    int64_t ldx;
    void *y; // [m, n], rows ldy elements apart
    int64_t ldy;
    const float *bias; // [n] or NULL
    void *workspace;   // 256-byte aligned, of at least dlq_k_marlin_workspace_bytes
    size_t workspace_bytes;
    // dlq_k_marlin_counters(sms) integers, 8-byte aligned, that are zero now and will be zero again
    // afterwards, for one stream at a time; NULL: such a place in the workspace is set to zero by
    // every call.
    int *counters;
};

// Integers of `counters` on a device of that many multiprocessors.
int64_t
dlq_k_marlin_counters(int sms);

// Bytes of workspace any call with up to max_m tokens needs; grows with max_m.
size_t
dlq_k_marlin_workspace_bytes(const struct dlq_marlin_layer *layer, int max_m, int sms);

// The plan that `plan` (or NULL) stands for; 0 or DLQ_K_MARLIN_PLAN.
int
dlq_k_marlin_resolve(const struct dlq_k_marlin_gemm *call, const struct dlq_k_marlin_plan *plan,
                     struct dlq_k_marlin_plan *out);

// 1 when a plan's kernel rounds each weight (q - z) * s to the type of x before it is used, 0 when
// scales are applied to fp32 sums.
int
dlq_k_marlin_rounds(const struct dlq_marlin_layer *layer, const struct dlq_k_marlin_plan *plan);

// y = x W^T (+ bias). Every shape and alignment of x and y; summation order depends on m, sms and
// the plan alone.
int
dlq_k_marlin_gemm(const struct dlq_k_marlin_gemm *call, const struct dlq_k_marlin_plan *plan,
                  cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif
