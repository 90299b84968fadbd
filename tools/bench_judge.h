// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TOOLS_BENCH_JUDGE_H
#define DLQ_TOOLS_BENCH_JUDGE_H

#include "bench_run.h"

/// Compare sampled elements of y [m, N] with the float64 product of x [m, K], as the layer's method
/// quantizes it, and the weights as they were made. Fills arith, err, bound and worst of `out`.
/// DLQ_EINTERNAL with the element when one is outside its bound.
int32_t
tool_bench_judge(const struct tool_bench_weights *w, dlq_linear *layer, const struct dlq_host *host,
                 const void *x, const void *y, int64_t m, struct tool_bench_result *out,
                 struct dlq_error *err);

#endif // DLQ_TOOLS_BENCH_JUDGE_H
