// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TESTS_TP_TWO_RANKS_H
#define DLQ_TESTS_TP_TWO_RANKS_H

#include <dlquant/collective.h>
#include <dlquant/linear.h>

#include <stdint.h>

/// Layers of two ranks that are threads.
struct two_ranks {
    dlq_collective_threads *group;
    dlq_linear *layers[2]; ///< Owned
    struct dlq_linear_io io[2];
    struct dlq_error err[2];
    int32_t rc[2];
};

/// Make the group; the layers are the caller's to make.
void
two_ranks_begin(struct two_ranks *t, dlq_runtime *rt);

void
two_ranks_end(struct two_ranks *t);

/// Apply each layer to its `io`, both at the same time.
void
two_ranks_apply(struct two_ranks *t);

#endif // DLQ_TESTS_TP_TWO_RANKS_H
