// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_KERNELS_CPU_FLOAT_FAST_H
#define DLQ_KERNELS_CPU_FLOAT_FAST_H

#include "call.h"

/// fp32 products of rows of x with weights that are decoded to fp32 on the way: the driver that
/// dense, fp8 and fp4 layers share at every x86 level.
///
/// Each output is one chain  c = fma(x[m, k], W[n, k], c)  over k in ascending order from 0, then
/// y = round(c * (row[m] * column[n]) + bias[n]) where rows or columns have scales. Every level
/// computes exactly this for any number of rows, columns and threads.

/// Columns that kernels handle together: 4 blocks.
#define DLQ_FLOAT_UNIT 64

/// Rows of K that are decoded at once: 32 KiB for a unit.
#define DLQ_FLOAT_DEPTH 128

/// Tallest tile.
#define DLQ_FLOAT_ROWS 6

struct dlq_float_run;

/// One kind of layer.
struct dlq_float_source {
    const void *w; ///< The packed layer, for the functions below
    int64_t k, n, blocks;
    /// Weights [k0, k0 + count) of a block to out[count][16].
    void (*decode)(const void *w, int64_t block, int64_t k0, int64_t count, float *out);
    /// The same without a copy, or NULL: fp32 weights are in place.
    const float *(*in_place)(const void *w, int64_t block, int64_t k0);
    /// Row m of x to values[k]; *scale is multiplied into the row's sums.
    void (*load_row)(const struct dlq_float_run *run, int64_t m, float *values, float *scale);
    /// 16 column scales of a block, or NULL when neither rows nor columns have any.
    const float *(*factors)(const void *w, int64_t block);
};

/// A level: tiles of 1..DLQ_FLOAT_ROWS rows by 64 columns.
///
/// c[rows][64] = (first ? 0 : c) + sum over `count` k of a[k][rows] * b, block i of b at
/// b + i * stride, its row k at 16 floats each.
typedef void (*dlq_float_tile)(int64_t count, const float *a, const float *b, int64_t stride,
                               bool first, float *c);
struct dlq_float_level {
    const char *name;
    dlq_float_tile tiles[DLQ_FLOAT_ROWS];
};

/// One product in flight.
struct dlq_float_run {
    const struct dlq_float_source *source;
    const struct dlq_float_level *level;
    const struct dlq_k_linear_call *call;
    float tensor_max; ///< For load_row
    int rows;         ///< Of a panel
    int64_t panels;   ///< ceil(m / rows)
    int64_t chunk;    ///< Panels of a task
    float *a;         ///< [panel][k][rows]
    float *row_scales;
    float *rows_of_tasks; ///< One row of k for each of the load tasks
    int64_t col_tasks;
    int64_t col_units;
    int load_tasks;
};

int64_t
dlq_float_workspace(int64_t k, int64_t max_m, int n_threads);

/// Runs a checked call with m > 0.
void
dlq_float_apply(const struct dlq_float_source *source, const struct dlq_float_level *level,
                const struct dlq_k_linear_call *call, float tensor_max);

extern const struct dlq_float_level dlq_float_level_avx2;
extern const struct dlq_float_level dlq_float_level_avx512;

#endif // DLQ_KERNELS_CPU_FLOAT_FAST_H
