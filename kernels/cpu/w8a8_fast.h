// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_KERNELS_CPU_W8A8_FAST_H
#define DLQ_KERNELS_CPU_W8A8_FAST_H

#include "call.h"
#include "w8a8.h"

/// The driver that every x86 level of the int8 layers shares: rows of x to int8 panels, exact int32
/// sums by a level's kernel, then corrections, scales and bias.

/// Columns that kernels handle together: 4 blocks.
#define DLQ_W8A8_UNIT 64

/// Most rows of a task.
#define DLQ_W8A8_CHUNK_ROWS 128

/// How the codes of a panel of `rows` rows of x are stored, k_padded long with zeros.
enum dlq_w8a8_format {
    DLQ_W8A8_BYTES, ///< dwords [k / 4][row] of four codes
    DLQ_W8A8_PAIRS, ///< dwords [k / 2][row] of two int16; rows of K pair up as (0,2) (1,3) within
                    ///< four
    DLQ_W8A8_TILES  ///< AMX tiles [k / 64][row][64 bytes]
};

/// What the sums of a row need.
struct dlq_w8a8_row {
    float scale;
    int32_t azp;
    int32_t sum; ///< Of the codes
};

struct dlq_w8a8_run {
    const struct dlq_k_w8a8 *w;
    const struct dlq_k_linear_call *call;
    enum dlq_w8a8_format format;
    int rows;            ///< Of a panel
    int32_t offset;      ///< What the kernel's weights are too large by: 128 for packed bytes
    int64_t panels;      ///< ceil(m / rows)
    int64_t chunk;       ///< Panels of a task
    int64_t panel_bytes; ///< Codes of a panel
    int32_t *sums;       ///< Where the sums [m, n] go instead of y, or NULL
    uint8_t *codes;
    struct dlq_w8a8_row *row; ///< [panels * rows]
    float *row_buffers;       ///< fp32 row of each quantizing task
    /// c[n_panels * rows][64] = int32 sums of panels times blocks [block, block + n_blocks).
    void (*product)(const struct dlq_w8a8_run *run, int64_t panel, int64_t n_panels, int64_t block,
                    int n_blocks, int32_t *c);
    int quantize_tasks;
    int64_t col_tasks;
    int64_t col_units;
};

struct dlq_w8a8_level {
    const char *name;
    /// Sets format, rows, offset, chunk and product for m rows.
    void (*choose)(int64_t m, struct dlq_w8a8_run *run);
};

int64_t
dlq_w8a8_fast_workspace(const struct dlq_w8a8_level *level, const struct dlq_k_w8a8 *w,
                        int64_t max_m, int n_threads);
/// y, or with `sums` the exact sums[m, n] instead.
int
dlq_w8a8_fast_run(const struct dlq_w8a8_level *level, const struct dlq_k_w8a8 *w,
                  const struct dlq_k_linear_call *call, int32_t *sums);

/// finish() of struct dlq_k_w8a8_ops.
int
dlq_w8a8_fast_finish(const struct dlq_k_w8a8 *w, const struct dlq_k_linear_call *call,
                     const int32_t *sums);

/// The choice of the level below AMX, for row counts that AMX leaves to it.
void
dlq_w8a8_choose_avx512_vnni(int64_t m, struct dlq_w8a8_run *run);

#endif // DLQ_KERNELS_CPU_W8A8_FAST_H
