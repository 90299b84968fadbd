// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// Between the choice of a grouped product (grouped_gemm.cu) and its kernels, one file a code
// (grouped_<code>.cu).
#ifndef DLQ_KERNELS_CUDA_GROUPED_KERNELS_H
#define DLQ_KERNELS_CUDA_GROUPED_KERNELS_H

#include <cuda_runtime_api.h>
#include <stdint.h>

// Tiles, by rows of x: a CTA of 8 warps computes `rows` x `columns`; `slices` of its warps take
// blocks of K in turn.
enum { GROUPED_TILES = 5 };

struct grouped_tile {
    int rows, columns, slices;
};

static const struct grouped_tile grouped_tiles[GROUPED_TILES] = {
    {8, 64, 4}, {16, 64, 4}, {32, 64, 4}, {64, 128, 2}, {128, 128, 1}};

struct grouped_args {
    const uint8_t *codes, *scales, *zeros; // scales, zeros: NULL without
    const int32_t *blocks;
    const float *factors, *row_scale, *bias; // each may be NULL
    const uint16_t *x;
    int64_t x_stride;
    const float *x_scale; // [groups][x_scale_stride], or NULL
    int64_t x_scale_stride;
    int64_t y_stride;
    void *y;
    float *partial;   // [splits][m][padded n] instead of y, or NULL
    int32_t x_k;      // elements of a row of x
    int32_t m;        // rows of x
    int32_t n;        // columns of y
    int32_t strips;   // packed
    int32_t k_blocks; // packed
    int32_t split;    // blocks of K for each blockIdx.z
    int32_t zero;     // without `zeros`
    uint32_t scale_dtype;
    uint32_t y_dtype;
    int32_t block_groups;                        // rows of scales and zeros held for a block
    int32_t stages;                              // of the ring in shared memory
    int32_t x_at, scales_at, zeros_at, stage_at; // bytes in a stage; stage_at: of a whole one
};

struct grouped_launch {
    int tile;
    bool bf16, fine; // fine: groups end within blocks
    bool x_scaled;   // e4m3 and bf16 only, not fine
    dim3 grid;
    int shared; // bytes
    bool early;
};

// Enqueues; or, with `args` NULL, raises the kernels' limits of shared memory to `launch->shared`.
int
grouped_u4(const struct grouped_launch *launch, const struct grouped_args *args,
           cudaStream_t stream);
int
grouped_u8(const struct grouped_launch *launch, const struct grouped_args *args,
           cudaStream_t stream);
int
grouped_e4m3(const struct grouped_launch *launch, const struct grouped_args *args,
             cudaStream_t stream);
int
grouped_e2m1(const struct grouped_launch *launch, const struct grouped_args *args,
             cudaStream_t stream);

#endif
