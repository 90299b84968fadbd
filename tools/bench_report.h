// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TOOLS_BENCH_REPORT_H
#define DLQ_TOOLS_BENCH_REPORT_H

#include "bench_run.h"
#include "ceilings.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/// Figures of `dlquant bench` as a table, JSON lines, comma-separated values and a drawing.

/// One figure with what it is compared with; 0 is unknown.
struct tool_figure {
    struct tool_bench_op op;
    int64_t m, k, n;
    int32_t threads;
    struct tool_bench_result result;
    double read, peak; ///< Ceilings: bytes and operations a second
    double floor_us;   ///< What no kernel can beat
    double bar_us;     ///< The fastest peer
    char peer[40];
};

struct tool_figures {
    struct tool_figure *list;
    size_t n, capacity;
    const char *machine; ///< Name of the device
    double load;         ///< Of this machine when the run began
};

/// A new figure, all zero.
struct tool_figure *
tool_figures_add(struct tool_figures *f);

void
tool_figures_free(struct tool_figures *f);

/// Operations a second of the instructions that an operation's kernel is made of.
double
tool_figure_peak(const struct tool_ceilings *c, const struct tool_bench_op *op);

void
tool_figures_table(const struct tool_figures *f);

void
tool_figure_json(const struct tool_figures *f, const struct tool_figure *figure);

/// The columns of docs/data.
void
tool_figures_csv(const struct tool_figures *f, FILE *file);

/// A roofline plot for each operation, side by side, as SVG.
void
tool_figures_svg(const struct tool_figures *f, FILE *file);

#endif // DLQ_TOOLS_BENCH_REPORT_H
