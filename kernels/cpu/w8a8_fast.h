// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_KERNELS_CPU_W8A8_FAST_H
#define DLQ_KERNELS_CPU_W8A8_FAST_H

#include "call.h"
#include "grid.h"
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
    DLQ_W8A8_TILES  ///< [k / 64][row][64 bytes]: AMX tiles, for 16 rows
};

/// What the sums of a row need.
struct dlq_w8a8_row {
    float scale;
    int32_t azp;
    int32_t sum; ///< Of the codes
};

struct dlq_w8a8_run;

/// Panels of x that a task owns.
struct dlq_w8a8_part {
    int64_t panel; ///< First
    int64_t n_panels;
    int64_t next_block;       ///< Of the product that probably follows the one in flight
    bool to_y;                ///< product() writes y; c is for itself
    uint8_t *codes;           ///< [panel][panel_bytes]
    struct dlq_w8a8_row *row; ///< [panel * rows]
    float *buffer;            ///< fp32 row
};

struct dlq_w8a8_run {
    const struct dlq_k_w8a8 *w;
    const struct dlq_k_linear_call *call;
    enum dlq_w8a8_format format;
    int rows;            ///< Of a panel
    int32_t offset;      ///< What the kernel's weights are too large by: 128 for packed bytes
    int64_t panels;      ///< ceil(m / rows)
    int64_t chunk;       ///< Most panels of a part
    int64_t panel_bytes; ///< Codes of a panel
    bool writes_y;       ///< product() can, of four whole blocks
    int32_t *sums;       ///< Where the sums [m, n] go instead of y, or NULL
    /// Makes the codes of a part.
    void (*quantize)(const struct dlq_w8a8_run *run, const struct dlq_w8a8_part *part);
    /// c[n_panels * rows][64] = int32 sums of a part times blocks [block, block + n_blocks).
    void (*product)(const struct dlq_w8a8_run *run, const struct dlq_w8a8_part *part, int64_t block,
                    int n_blocks, int32_t *c);
    struct dlq_grid grid;
    uint8_t *slots;
    int64_t slot_bytes; ///< 0 where all tasks use one slot
};

struct dlq_w8a8_level {
    const char *name;
    /// Sets format, rows, offset, chunk, writes_y, quantize and product for m rows.
    void (*choose)(int64_t m, struct dlq_w8a8_run *run);
};

int64_t
dlq_w8a8_fast_workspace(const struct dlq_w8a8_level *level, const struct dlq_k_w8a8 *w,
                        int64_t max_m, int n_threads);
/// y, or with `sums` the exact sums[m, n] instead.
int
dlq_w8a8_fast_run(const struct dlq_w8a8_level *level, const struct dlq_k_w8a8 *w,
                  const struct dlq_k_linear_call *call, int32_t *sums);

/// Into panels of any format.
void
dlq_w8a8_quantize_avx2(const struct dlq_w8a8_run *run, const struct dlq_w8a8_part *part);

/// The same for tiles, which it makes itself where it can.
void
dlq_w8a8_quantize_avx512(const struct dlq_w8a8_run *run, const struct dlq_w8a8_part *part);

/// Sums of four blocks of rows [row, row + n_rows) of a part to y; c is that of the part.
void
dlq_w8a8_outputs_avx512(const struct dlq_w8a8_run *run, const struct dlq_w8a8_part *part,
                        int64_t row, int64_t n_rows, int64_t block, const int32_t *c);

/// Of each architecture: takes out of the sums c[n_rows][64] of a unit what the kernel's weights
/// are too large by and what zero points add.
void DLQ_SIMD(dlq_w8a8_correct)(const struct dlq_w8a8_run *run, const struct dlq_w8a8_row *rows,
                                int64_t n_rows, int64_t block, int n_blocks, int32_t *c);

/// Of each architecture: exact sums c[n_rows][64] to fp32 outputs before the bias, in place.
void DLQ_SIMD(dlq_w8a8_scale)(const struct dlq_k_w8a8 *w, const struct dlq_w8a8_row *rows,
                              int64_t n_rows, int64_t block, int n_blocks, int32_t *c);

/// finish() of struct dlq_k_w8a8_ops.
int
dlq_w8a8_fast_finish(const struct dlq_k_w8a8 *w, const struct dlq_k_linear_call *call,
                     const int32_t *sums);

/// The choice of the level below AMX, for row counts that AMX leaves to it.
void
dlq_w8a8_choose_avx512_vnni(int64_t m, struct dlq_w8a8_run *run);

/// What every level ends with: its entries of struct dlq_k_w8a8_ops and their init function.
#define DLQ_W8A8_LEVEL(NAME, CHOOSE)                                                               \
    static const struct dlq_w8a8_level level = {#NAME, CHOOSE};                                    \
                                                                                                   \
    static int64_t workspace_size(const struct dlq_k_w8a8 *w, int64_t max_m, int n_threads)        \
    {                                                                                              \
        return dlq_w8a8_fast_workspace(&level, w, max_m, n_threads);                               \
    }                                                                                              \
                                                                                                   \
    static int apply(const struct dlq_k_w8a8 *w, const struct dlq_k_linear_call *call)             \
    {                                                                                              \
        return dlq_w8a8_fast_run(&level, w, call, NULL);                                           \
    }                                                                                              \
                                                                                                   \
    static int accumulate(const struct dlq_k_w8a8 *w, const struct dlq_k_linear_call *call,        \
                          int32_t *sums)                                                           \
    {                                                                                              \
        return dlq_w8a8_fast_run(&level, w, call, sums);                                           \
    }                                                                                              \
                                                                                                   \
    void dlq_w8a8_init_##NAME(struct dlq_k_w8a8_ops *ops)                                          \
    {                                                                                              \
        *ops = (struct dlq_k_w8a8_ops){level.name, workspace_size, apply, accumulate,              \
                                       dlq_w8a8_fast_finish};                                      \
    }

#endif // DLQ_KERNELS_CPU_W8A8_FAST_H
