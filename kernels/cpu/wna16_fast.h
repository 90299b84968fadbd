// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_KERNELS_CPU_WNA16_FAST_H
#define DLQ_KERNELS_CPU_WNA16_FAST_H

#include "call.h"
#include "grid.h"
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

/// How codes of a panel of `rows` rows of x are stored, for one packed group.
enum dlq_wna16_format {
    /// dwords [k / 4][limb: high, low][row]: 4 rows of K a dword. One limb in INT8.
    DLQ_WNA16_LIMBS,
    /// dwords [k / 2][row] of two int16. Rows of K within each 8 (4-bit codes) pair up as (0,2)
    /// (4,6)
    /// (1,3) (5,7), within each 4 (8-bit codes) as (0,2) (1,3): what shifting packed codes yields.
    DLQ_WNA16_PAIRS,
    /// AMX tiles [limb][k / 64][row][64 bytes], or [k / 32][row][32 bytes] when group_k % 64 != 0.
    DLQ_WNA16_TILES,
    /// The limbs of a row of x in one piece: [limb][row][k].
    DLQ_WNA16_LIMB_ROWS,
    /// The int16 of a row of x in one piece, [row][k], rows of K in the order of PAIRS.
    DLQ_WNA16_PAIR_ROWS
};

struct dlq_wna16_run;

/// Panels of x that a task owns. Codes and factors of panel p, group g are in slot
/// p * panel_step + g * group_step: panels that run through a group before the next lie side by
/// side, a panel that runs through all groups alone is one piece.
struct dlq_wna16_part {
    int64_t panel; ///< First
    int64_t n_panels;
    int64_t next_block; ///< Of the product that probably follows the one in flight
    int64_t panel_step;
    int64_t group_step;
    uint8_t *codes; ///< [slot][group_bytes]
    float *sx;      ///< [slot][rows]
    int32_t *sums;  ///< [slot][rows]: sum of codes, for the zero points
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
    int64_t chunk;       ///< Most panels of a part
    int codes_cost;      ///< Of dlq_grid_choose
    bool halves;         ///< The product takes two blocks about as well as four
    int unit_blocks;     ///< That a task takes at a time: 4 or 2
    int64_t group_bytes; ///< Codes of one panel and group
    /// Makes the codes and factors of a part.
    void (*quantize)(const struct dlq_wna16_run *run, const struct dlq_wna16_part *part);
    /// Rows of a part times blocks [block, block + n_blocks), n_blocks <= 4, into y.
    void (*product)(const struct dlq_wna16_run *run, const struct dlq_wna16_part *part,
                    int64_t block, int n_blocks);
    struct dlq_grid grid;
    uint8_t *slots;
    int64_t slot_bytes; ///< 0 where all tasks use one slot
};

static inline int64_t
dlq_wna16_slot(const struct dlq_wna16_part *part, int64_t panel, int64_t group)
{
    return panel * part->panel_step + group * part->group_step;
}

/// Outputs of panels [panel, panel + n_panels) of a part, c[row][columns], into y.
void
dlq_wna16_finish_columns(const struct dlq_wna16_run *run, const struct dlq_wna16_part *part,
                         int64_t panel, int64_t n_panels, int64_t block, const float *c,
                         int64_t columns);

/// The same of a whole unit, c[row][64].
void
dlq_wna16_finish(const struct dlq_wna16_run *run, const struct dlq_wna16_part *part, int64_t panel,
                 int64_t n_panels, int64_t block, const float *c);

/// A level: which kernel runs m rows. `choose` sets format, rows, chunk and product, quantize,
/// codes_cost and halves where they are not the common ones.
struct dlq_wna16_level {
    const char *name;
    void (*choose)(const struct dlq_k_wna16 *w, int limbs, int64_t m, struct dlq_wna16_run *run);
};

/// The two entries of struct dlq_k_wna16_ops for a level.
int64_t
dlq_wna16_fast_workspace(const struct dlq_wna16_level *level, const struct dlq_k_wna16 *w,
                         enum dlq_k_wna16_arithmetic arithmetic, int64_t max_m, int n_threads);
int
dlq_wna16_fast_apply(const struct dlq_wna16_level *level, const struct dlq_k_wna16 *w,
                     enum dlq_k_wna16_arithmetic arithmetic, const struct dlq_k_linear_call *call);

void
dlq_wna16_quantize(const struct dlq_wna16_run *run, const struct dlq_wna16_part *part);

/// What dlq_wna16_quantize needs of an architecture. The codes of dlq_k_w8a8_quantize_share less
/// their zero point; returns their sum. Rows of padding give 0.
struct dlq_w8a8_codes;
int32_t
dlq_wna16_make_codes(const struct dlq_w8a8_codes *c, const float *x, int64_t count, int16_t *q);

/// Codes q[group_k] of one row of a panel into the panel's group.
void
dlq_wna16_store_codes(const struct dlq_wna16_run *run, const int16_t *q, int row, uint8_t *out);

/// The same for tiles and whole rows, which it makes itself where it can.
void
dlq_wna16_quantize_avx512(const struct dlq_wna16_run *run, const struct dlq_wna16_part *part);

/// product() of AVX-512 VNNI for panels of 4 to 6 rows of PAIR_ROWS, at most so many rows of a
/// part: outputs and codes of x pass through L1 with every group.
#define DLQ_WNA16_PAIR_CHUNK 96
void
dlq_wna16_pair_product_avx512(const struct dlq_wna16_run *run, const struct dlq_wna16_part *part,
                              int64_t block, int n_blocks);

/// What every level ends with: its entries of struct dlq_k_wna16_ops and their init function.
#define DLQ_WNA16_LEVEL(NAME, CHOOSE)                                                              \
    static const struct dlq_wna16_level level = {#NAME, CHOOSE};                                   \
                                                                                                   \
    static int64_t workspace_size(const struct dlq_k_wna16 *w,                                     \
                                  enum dlq_k_wna16_arithmetic arithmetic, int64_t max_m,           \
                                  int n_threads)                                                   \
    {                                                                                              \
        return dlq_wna16_fast_workspace(&level, w, arithmetic, max_m, n_threads);                  \
    }                                                                                              \
                                                                                                   \
    static int apply(const struct dlq_k_wna16 *w, enum dlq_k_wna16_arithmetic arithmetic,          \
                     const struct dlq_k_linear_call *call)                                         \
    {                                                                                              \
        return dlq_wna16_fast_apply(&level, w, arithmetic, call);                                  \
    }                                                                                              \
                                                                                                   \
    void dlq_wna16_init_##NAME(struct dlq_k_wna16_ops *ops)                                        \
    {                                                                                              \
        *ops = (struct dlq_k_wna16_ops){level.name, workspace_size, apply, true};                  \
    }

#endif // DLQ_KERNELS_CPU_WNA16_FAST_H
