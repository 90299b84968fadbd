// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TOOLS_VERIFY_H
#define DLQ_TOOLS_VERIFY_H

#include "golden.h"
#include "ranks.h"

#include <stdbool.h>
#include <stdint.h>

/// The verdict over one layer's outputs.

struct tool_verdict {
    bool ok;
    bool compared; ///< False: nothing to compare with, only finiteness was looked at
    double err;    ///< norm(y - y64) / norm(y64), the worst of several comparisons
    double bound;  ///< Of `err`
    double worst;  ///< Largest abs(y - y64) over its bound, 1 is the limit
    int64_t codes; ///< Activation codes compared with recorded ones
    int64_t ties;  ///< Of those, one step apart at a tie, which is allowed
    enum tool_replay_verdict replay; ///< The worst of several
    const char *arith;               ///< tool_arith_name()
    const char *reference;           ///< "golden", "recomputed", "float64" or "finite"
    char why[240];                   ///< What failed; empty when ok
};

/// Judge y [m, N] of the present activations against the float64 product of dequantized weights.
/// Combines with what `v` already says.
int32_t
tool_verify_float64(struct tool_ranks *r, const float *y, const float *bias, struct tool_verdict *v,
                    struct dlq_error *err);

/// Judge the columns [first, first + rec->n) of y, which is the result for the recorded inputs with
/// their rows repeated in turn, against the recording: weights, codes, accumulators, outputs.
int32_t
tool_verify_golden(struct tool_ranks *r, const float *y, const struct tool_recorded *rec,
                   int64_t first, const float *bias, struct tool_verdict *v, struct dlq_error *err);

/// Judge only that all of y is finite.
void
tool_verify_finite(const float *y, int64_t count, struct tool_verdict *v);

/// Judge what tool_replay_check() and tool_replay_overlap() found.
void
tool_verify_replay(enum tool_replay_verdict replay, enum tool_replay_verdict beside,
                   struct tool_verdict *v);

#endif // DLQ_TOOLS_VERIFY_H
