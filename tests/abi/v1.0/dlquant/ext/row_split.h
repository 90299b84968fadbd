// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQUANT_EXT_ROW_SPLIT_H
#define DLQUANT_EXT_ROW_SPLIT_H

#include <dlquant/abi.h>
#include <dlquant/plugin.h>

#include <stddef.h>
#include <stdint.h>

/// Plugin extension "dlq.row-split/1": a row layer whose ranks must know more than their shares of
/// x. A method that quantizes x needs the extremes of what shares a scale, a whole row or a group
/// that a rank cuts, and one whose sums are integers has no reason to round them before they are
/// added up. With this extension the ranks
/// of a layer give what one rank gives, of integer sums the same bits.
///
/// Where the ranks of a row layer sum their outputs, the host runs in place of apply():
///
///     measure()   statistics of this rank's share of x            [m, n_stats]
///                 ... gathered: those of rank 0, of rank 1, ...   [ranks, m, n_stats]
///     multiply()  sums of this rank                               [m, N], sum_dtype
///                 ... added up over the ranks
///     finish()    y, on every rank
///
/// Without statistics (n_stats 0) the first two lines are left out and `stats` is NULL. Where sums
/// stay in the activation dtype (sum_dtype DLQ_DTYPE_NONE), or the group cannot add up the dtype
/// that the method would like, `sums` is NULL: multiply() writes y as apply() does, the host adds
/// up y, and there is no finish().
///
/// Every rank calls these in the same order. A layer that is told not to sum
/// (DLQ_LINEAR_NO_REDUCE) never talks: it runs apply(), which knows this rank's share alone.

DLQ_BEGIN_DECLS

#define DLQ_EXT_ROW_SPLIT "dlq.row-split/1"

/// What a layer wants.
struct dlq_row_split {
    uint32_t struct_size; ///< Size of this struct as the host knows it
    uint32_t sum_dtype;   ///< Dtype of the sums: DLQ_I32, or DLQ_DTYPE_NONE for y itself
    int32_t n_stats;      ///< Floats of statistics a row, 0 to DLQ_ROW_STATS_MAX
    int32_t reserved;     ///< Zero
};

/// Largest n_stats.
#define DLQ_ROW_STATS_MAX 4096

/// The functions of the extension. `method` is that of a processed layer; `call` is as apply() gets
/// it, its workspace of workspace_size() bytes here. Nothing is kept in the workspace from one
/// function to the next.
struct dlq_ext_row_split {
    uint32_t struct_size; ///< Size of this struct as the plugin knows it
    uint32_t reserved;    ///< Zero

    /// Fill `out`, which is zero but for its size: left so, the layer runs as without the
    /// extension. The same answer on every rank. [any-thread]
    void (*describe)(const void *method, struct dlq_row_split *out);

    /// Bytes of scratch that the functions below need for up to `max_m` rows on `ranks` ranks.
    /// Grows with `max_m`. [any-thread]
    size_t (*workspace_size)(const void *method, int64_t max_m, int32_t ranks);

    /// stats[m, n_stats] of x; y and bias are NULL. Not called where n_stats is 0. [stream]
    int32_t (*measure)(const void *method, const struct dlq_linear_call *call, float *stats,
                       struct dlq_error *err);

    /// sums[m, N] of x, contiguous, with y and bias NULL; without `sums` y and bias as in apply().
    /// [stream]
    int32_t (*multiply)(const void *method, const struct dlq_linear_call *call, const float *stats,
                        int32_t ranks, void *sums, struct dlq_error *err);

    /// y of the ranks' total sums, with the bias, which here is the whole layer's on every rank; x
    /// is NULL. [stream]
    int32_t (*finish)(const void *method, const struct dlq_linear_call *call, const float *stats,
                      int32_t ranks, const void *sums, struct dlq_error *err);
};

DLQ_END_DECLS

#endif // DLQUANT_EXT_ROW_SPLIT_H
