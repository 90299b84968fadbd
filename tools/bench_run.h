// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TOOLS_BENCH_RUN_H
#define DLQ_TOOLS_BENCH_RUN_H

#include "bench_op.h"
#include "buffers.h"

#include <dlquant/dlquant.h>

#include <stdint.h>

/// Copies of one synthetic layer that are run in turn, so that no cache holds the weights of the
/// next call: judged against float64 first, then timed.

struct tool_bench_layers {
    dlq_runtime *rt;
    struct dlq_device device;
    const struct tool_bench_weights *weights;
    dlq_quant_config *config;
    dlq_linear **layers;
    int n;         ///< Of layers
    int64_t bytes; ///< Of one copy's parameters
};

/// What was measured of one number of rows.
struct tool_bench_result {
    char kernel[96];
    double us;         ///< Median of a call, weights cold
    double best_us;    ///< The fastest
    double early_us;   ///< The median with early launches; 0: the device has none
    double err;        ///< norm(y - y64) / norm(y64) of sampled elements
    double bound;      ///< Of err; 0: elements alone have bounds
    double worst;      ///< Largest error of an element in units of its bound
    const char *arith; ///< How the kernel computes
    double moved;      ///< Bytes that a call has to read and write
};

/// Make copies until their weights take `cold_bytes`. Destroy in any case.
int32_t
tool_bench_layers_make(struct tool_bench_layers *l, dlq_runtime *rt, struct dlq_device device,
                       const struct tool_bench_weights *weights, int64_t cold_bytes, int64_t max_m,
                       struct dlq_error *err);

void
tool_bench_layers_destroy(struct tool_bench_layers *l);

/// Judge m rows, then time them. DLQ_EINTERNAL when the result is outside its bounds, with the
/// element in `err`.
int32_t
tool_bench_layers_run(struct tool_bench_layers *l, int64_t m, struct tool_bench_result *out,
                      struct dlq_error *err);

#endif // DLQ_TOOLS_BENCH_RUN_H
