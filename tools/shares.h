// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TOOLS_SHARES_H
#define DLQ_TOOLS_SHARES_H

#include "ranks.h"

#include <dlquant/ext/row_split.h>

#include <stdbool.h>
#include <stdint.h>

/// What the ranks of a row layer tell each other about rows of x before they quantize their shares.

/// How the ranks of a layer share its rows.
struct tool_shares {
    struct dlq_row_split wants; ///< All zero where they share nothing but y
    bool cut;                   ///< x is split over several ranks
};

struct tool_shares
tool_shares_of(const struct tool_ranks *r);

/// Whether every rank quantizes its share as the whole row is quantized.
bool
tool_shares_whole(const struct tool_shares *s);

/// Codes, scales and zero points of the present x of every rank. `out[i]` are those of rank i.
struct tool_codes {
    void *codes; ///< [m, k] of the rank, as quantize() of dlq.inspect/1 gives them
    float *scales;
    int32_t *zeros;
    int64_t k, m;
    int64_t offset; ///< Of the rank's first column in whole rows
    int64_t groups; ///< Scales a row
    int64_t group;  ///< Inputs that share one
    int64_t before; ///< Inputs of the first group that lie on the rank before
    int32_t kind;   ///< enum dlq_code_kind
};

/// Quantize m rows, `x[i]` [m, k of rank i] in the layer's dtype, as every rank does. On success
/// free `*out` with tool_codes_free().
int32_t
tool_shares_quantize(const struct tool_ranks *r, void *const *x, int64_t m, struct tool_codes **out,
                     struct dlq_error *err);

void
tool_codes_free(const struct tool_ranks *r, struct tool_codes *codes);

#endif // DLQ_TOOLS_SHARES_H
