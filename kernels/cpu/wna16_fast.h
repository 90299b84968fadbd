// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_KERNELS_CPU_WNA16_FAST_H
#define DLQ_KERNELS_CPU_WNA16_FAST_H

#include "call.h"
#include "wna16_layout.h"

/// The fixed-point form of x and the driver that every fast level shares.
///
/// For each row m and packed group g:  x[m, k] is about q[m, k] * sx[m, g], |q| <= 32639 (127 with
/// the INT8 arithmetic). The product is
///
///     sum[g]  = sum over k of q[m, k] * (code[n, k] - zero[n, g])       exact in int32
///     c       = 0; for g in order:  c = fma(float(sum[g]) * sx[m, g], scale[n, g], c)
///     y[m, n] = round(c + bias[n])
///
/// With the I8 arithmetics q is exactly the code less its zero point and sx the row's scale.
///
/// Every level computes exactly this, hence the same bits: levels differ only in how they sum
/// integers.

/// 127 * 257: both int8 limbs of a code, high = (q + 128) >> 8 and low = q - 256 * high, fit.
#define DLQ_WNA16_LIMIT 32639.0f
#define DLQ_WNA16_LIMIT_INT8 127.0f

/// Columns that kernels handle together: 4 blocks.
#define DLQ_WNA16_UNIT 64

/// Most rows of a panel.
#define DLQ_WNA16_MAX_ROWS 16

/// How codes of a panel of `rows` rows of x are stored, one packed group after the other.
enum dlq_wna16_format {
    /// dwords [k / 4][limb: high, low][row]: 4 rows of K a dword. One limb in INT8.
    DLQ_WNA16_LIMBS,
    /// dwords [k / 2][row] of two int16. Rows of K within each 8 (4-bit codes) pair up as (0,2)
    /// (4,6)
    /// (1,3) (5,7), within each 4 (8-bit codes) as (0,2) (1,3): what shifting packed codes yields.
    DLQ_WNA16_PAIRS,
    /// AMX tiles [limb][k / 64][row][64 bytes], or [k / 32][row][32 bytes] when group_k % 64 != 0.
    DLQ_WNA16_TILES
};

/// One product in flight.
struct dlq_wna16_run {
    const struct dlq_k_wna16 *w;
    const struct dlq_k_linear_call *call;
    enum dlq_wna16_format format;
    enum dlq_k_wna16_arithmetic arithmetic;
    int limbs;           ///< 2, or 1 where codes fit a byte
    int rows;            ///< Rows of a panel
    int64_t panels;      ///< ceil(m / rows)
    int64_t chunk;       ///< Panels that one call of `product` gets at most
    int64_t group_bytes; ///< Codes of one panel and group
    uint8_t *codes;      ///< [panel][group][group_bytes]
    float *sx;           ///< [panel][group][rows]
    int32_t *sums;       ///< [panel][group][rows]: sum of codes, for the zero points
    /// Rows of panels [panel, panel + n_panels) times blocks [block, block + n_blocks), n_blocks <=
    /// 4, into y.
    void (*product)(const struct dlq_wna16_run *run, int64_t panel, int64_t n_panels, int64_t block,
                    int n_blocks);
    int64_t col_tasks;
    int64_t col_units;
    int quantize_tasks;
};

static inline const uint8_t *
dlq_wna16_panel_codes(const struct dlq_wna16_run *run, int64_t panel, int64_t group)
{
    return run->codes + (panel * run->w->groups + group) * run->group_bytes;
}

static inline int64_t
dlq_wna16_panel_index(const struct dlq_wna16_run *run, int64_t panel, int64_t group)
{
    return (panel * run->w->groups + group) * run->rows;
}

/// A level: which kernel runs m rows. `choose` sets format, rows, chunk and product.
struct dlq_wna16_level {
    const char *name;
    void (*choose)(const struct dlq_k_wna16 *w, int limbs, int64_t m, struct dlq_wna16_run *run);
};

/// The two entries of struct dlq_k_wna16_ops for a level.
int64_t
dlq_wna16_fast_workspace(const struct dlq_wna16_level *level, const struct dlq_k_wna16 *w,
                         enum dlq_k_wna16_arithmetic arithmetic, int64_t max_m);
int
dlq_wna16_fast_apply(const struct dlq_wna16_level *level, const struct dlq_k_wna16 *w,
                     enum dlq_k_wna16_arithmetic arithmetic, const struct dlq_k_linear_call *call);

/// Quantizes one panel into run->codes, sx and sums. AVX2.
void
dlq_wna16_quantize_panel(const struct dlq_wna16_run *run, int64_t panel);

#endif // DLQ_KERNELS_CPU_WNA16_FAST_H
