// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CORE_LINEAR_SPLIT_H
#define DLQ_CORE_LINEAR_SPLIT_H

#include "linear_internal.h"

/// Row layers whose ranks agree on more than their outputs: the host's side of ext/row_split.h.

/// Where one call keeps what the ranks exchange.
struct dlq_split_scratch {
    float *stats;     ///< [m, n_stats]
    float *all_stats; ///< [ranks, m, n_stats]
    void *sums;       ///< [m, N], or NULL where y itself is added up
};

/// Ask the method of a processed layer whether it wants this; fills layer->split and split_wants.
int32_t
dlq_layer_find_split(struct dlq_layer *layer, struct dlq_error *err);

/// In place of the method's apply(). Without sums y of `call` is still to be added up over the
/// ranks; with them it is finished.
int32_t
dlq_layer_apply_split(const struct dlq_layer *layer, const struct dlq_linear_call *call,
                      const struct dlq_split_scratch *scratch, struct dlq_error *err);

#endif // DLQ_CORE_LINEAR_SPLIT_H
