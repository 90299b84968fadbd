// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_KERNELS_CPU_DENSE_BF16_H
#define DLQ_KERNELS_CPU_DENSE_BF16_H

#include "call.h"
#include "dense.h"
#include "grid.h"

/// bf16 x times bf16 weights without widening: the driver that vdpbf16ps and AMX share.
///
/// Sums are fp32 chains of pairs of rows of K, in ascending order.

/// Columns that kernels handle together: 4 blocks.
#define DLQ_BF16_UNIT 64

/// Most rows of a task.
#define DLQ_BF16_CHUNK_ROWS 128

struct dlq_bf16_run;

/// Panels of x that a task owns.
struct dlq_bf16_part {
    int64_t panel; ///< First
    int64_t n_panels;
    int64_t next_block; ///< Of the product that probably follows the one in flight
    uint16_t *x;        ///< [panel][k / 32][row][32]: AMX tiles, for 16 rows
};

struct dlq_bf16_run {
    const struct dlq_k_dense *w;
    const struct dlq_k_linear_call *call;
    int rows;       ///< Of a panel
    int64_t panels; ///< ceil(m / rows)
    int64_t chunk;  ///< Most panels of a part
    /// c[n_panels * rows][64] = sums of a part times blocks [block, block + n_blocks).
    void (*product)(const struct dlq_bf16_run *run, const struct dlq_bf16_part *part, int64_t block,
                    int n_blocks, float *c);
    struct dlq_grid grid;
    uint16_t *slots;
    int64_t slot_panels; ///< 0 where all tasks use one slot
};

/// Sets rows, chunk and product for m rows.
typedef void (*dlq_bf16_choose)(int64_t m, struct dlq_bf16_run *run);

int64_t
dlq_bf16_workspace(dlq_bf16_choose choose, const struct dlq_k_dense *w, int64_t max_m,
                   int n_threads);

/// Runs a checked call with m > 0, x and weights bf16.
void
dlq_bf16_apply(dlq_bf16_choose choose, const struct dlq_k_dense *w,
               const struct dlq_k_linear_call *call);

/// The choices of the two levels.
void
dlq_bf16_choose_avx512(int64_t m, struct dlq_bf16_run *run);
void
dlq_bf16_choose_amx(int64_t m, struct dlq_bf16_run *run);

#endif // DLQ_KERNELS_CPU_DENSE_BF16_H
