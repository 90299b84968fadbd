// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TESTS_KERNELS_BENCH_H
#define DLQ_TESTS_KERNELS_BENCH_H

#include "../../tools/ceilings.h"
#include "check.h"

/// Measurements: cold weights, medians, ceilings of the machine in the same run, JSON lines.

/// What --bench was asked for.
struct bench_options {
    const char *op;        ///< Only this operation, or one data type of dense; NULL: all
    const char *level;     ///< Only this level, or NULL: the strongest of each kind
    int64_t shapes[16][2]; ///< K, N
    int n_shapes;
    int64_t rows[16];
    int n_rows;
    int threads[8];
    int n_threads;
    int64_t set_bytes; ///< Weights that rotate, past the last-level cache
    double seconds;    ///< At most for one figure
};

extern struct bench_options bench_options;

/// Of one thread count, measured once.
const struct tool_ceilings *
bench_ceilings(int threads, uint32_t cpu_flags);

/// One kernel to time: `call(ctx, copy)` runs it on one of the rotating copies of its weights.
struct bench_case {
    const char *op;
    const char *level;
    int64_t m, k, n;
    int threads;
    int64_t weight_bytes; ///< Of one copy, read once a call
    int copies;
    double peak; ///< operations / s that bound this kernel's arithmetic
    double error;
    void (*call)(void *ctx, int copy);
    void *ctx;
};

/// Times a case and prints one JSON line.
void
bench_run(const struct bench_case *b);

/// Memory on huge pages where the system grants them. Freed with bench_free.
void *
bench_alloc(int64_t bytes);
void
bench_free(void *p);

void
bench_wna16(uint32_t cpu_flags);
void
bench_dense(uint32_t cpu_flags);
void
bench_w8a8(uint32_t cpu_flags);
void
bench_fp(uint32_t cpu_flags);

#endif // DLQ_TESTS_KERNELS_BENCH_H
