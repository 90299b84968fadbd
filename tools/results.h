// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TOOLS_RESULTS_H
#define DLQ_TOOLS_RESULTS_H

#include "model.h"
#include "verify.h"

#include <stddef.h>
#include <stdint.h>

/// What dlquant run found: a row a layer and M, and their sums.

struct tool_result {
    const struct tool_layer *layer;
    int64_t m;
    uint32_t dtype;
    char method[64];
    char scheme[64];
    char kernel[96];
    struct tool_times times;
    double gbps;     ///< Bytes of weights, x and y over the time
    uint64_t bytes;  ///< Of the parameters, all ranks
    char digest[17]; ///< Of the outputs of seeded inputs, equal for equal bits; else empty
    double load_s;   ///< Seconds to create, load and process, the slowest rank
    struct tool_verdict verdict;
};

struct tool_results {
    struct tool_result *list;
    size_t count, capacity;
};

/// Append a zeroed row.
struct tool_result *
tool_results_add(struct tool_results *r);

void
tool_results_free(struct tool_results *r);

/// Print one row as a line of JSON.
void
tool_result_json(const struct tool_result *row);

/// Print a table with a row a kind of layer, then the layers that failed.
void
tool_results_table(const struct tool_results *r);

/// Print the sums, as a line of text or of JSON. Returns how many layers failed.
size_t
tool_results_sum(const struct tool_results *r, int32_t ranks, double seconds, bool json);

#endif // DLQ_TOOLS_RESULTS_H
