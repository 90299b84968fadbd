// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// Grouped products (grouped_gemm.h) by wgmma on sm_90a, for more than a few rows of x. The packed
// form is the same; what these kernels do not take runs on mma.sync.
#ifndef DLQ_KERNELS_CUDA_SM90_GROUPED_H
#define DLQ_KERNELS_CUDA_SM90_GROUPED_H

#include "grouped_gemm.h"
#include "grouped_kernels.h"

// How scales meet sums.
enum sm90_grouped_sums {
    SM90_GROUPED_WHOLE,    // one group a column: after the sum
    SM90_GROUPED_FOLDED,   // groups of 16 or 32, e4m3 scales: the operand's type holds them times
                           // a code
    SM90_GROUPED_POWERS,   // groups of 16 or 32, e8m0 scales: the same in bf16
    SM90_GROUPED_RESCALED, // groups of a multiple of 64, scales of a column alike in size: where a
                           // group begins, the sum so far is divided by its scale over the last
    SM90_GROUPED_GROUPS,   // the same without that likeness: after each group's sum
    SM90_GROUPED_X_SCALED  // the same, where groups of x have scales too
};

// Tiles: 128 columns of y for each CTA x `rows` rows of x, CTAs in clusters of `pair`. Groups' sums
// beside the whole ones leave no registers for the last.
enum { SM90_GROUPED_TILES = 5 };

struct sm90_grouped_tile {
    int rows, pair;
};

static const struct sm90_grouped_tile sm90_grouped_tiles[SM90_GROUPED_TILES] = {
    {16, 1}, {32, 1}, {64, 1}, {128, 1}, {256, 2}};

struct sm90_grouped_plan {
    int32_t tile;
    int32_t splits; // 1, 2, 4 or 8 CTAs that share the sum over K of a tile, where `pair` is 1
    int64_t split;  // blocks of K of one, even but for the last
};

struct sm90_grouped_launch {
    struct sm90_grouped_plan plan;
    enum sm90_grouped_sums sums;
    bool bf16, early;
    int multiprocessors;
    int64_t groups, group; // rows of scales, rows of K of one
};

// Whether products of w with x of a type can run here, and how scales meet their sums then.
bool
sm90_grouped_takes(const struct dlq_k_grouped *w, bool bf16, bool x_scaled,
                   enum sm90_grouped_sums *sums);

// Whether `rows` rows of x are faster here, and how then.
bool
sm90_grouped_choose(const struct dlq_k_grouped *w, int64_t rows, enum sm90_grouped_sums sums,
                    int multiprocessors, struct sm90_grouped_plan *plan);

// Enqueues; or, with `args` NULL, loads the kernel and raises its limit of shared memory. For
// 16-bit y; `partial` and `split` of args are not read. 0, minus an enum dlq_k_result or a
// cudaError_t.
int
sm90_grouped_run(int32_t code, const struct sm90_grouped_launch *launch,
                 const struct grouped_args *args, cudaStream_t stream);

// A product cut up by `plan`: sm90_grouped_run() with the arguments of a call (grouped_gemm.cu).
int
grouped_run_wide(const struct dlq_k_grouped *w, const struct dlq_k_grouped_call *call,
                 enum sm90_grouped_sums sums, const struct sm90_grouped_plan *plan,
                 cudaStream_t stream);

int
sm90_grouped_u4(const struct sm90_grouped_launch *launch, const struct grouped_args *args,
                cudaStream_t stream);
int
sm90_grouped_u8(const struct sm90_grouped_launch *launch, const struct grouped_args *args,
                cudaStream_t stream);
int
sm90_grouped_e4m3(const struct sm90_grouped_launch *launch, const struct grouped_args *args,
                  cudaStream_t stream);
int
sm90_grouped_e2m1(const struct sm90_grouped_launch *launch, const struct grouped_args *args,
                  cudaStream_t stream);

#endif
