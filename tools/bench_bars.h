// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TOOLS_BENCH_BARS_H
#define DLQ_TOOLS_BENCH_BARS_H

#include <stddef.h>
#include <stdint.h>

/// Figures of others to compare with: files of comma-separated values whose first line names the
/// columns, in any order and case.
///
/// Peers have op, m, k, n and us (or best_peer_us), and perhaps threads, machine and peer. Floors,
/// what the bytes of weights cost at least, have k, n, w4_bytes_us, w8_bytes_us and w16_bytes_us.

/// One figure.
struct tool_bar {
    char op[40]; ///< Empty for a floor
    char peer[40];
    int64_t m, k, n;
    int32_t threads; ///< 0: not said
    int32_t bits;    ///< Of a floor's weights; else 0
    double us;
};

struct tool_bars {
    struct tool_bar *list;
    size_t n, capacity;
};

/// Add the figures of a file, "PATH" or "PATH:MACHINE" for those of one machine alone. False after
/// writing what is wrong, with the line, to `why`.
int
tool_bars_read(struct tool_bars *bars, const char *path, char *why, size_t size);

void
tool_bars_free(struct tool_bars *bars);

/// The fastest peer of an operation, or NULL.
const struct tool_bar *
tool_bars_peer(const struct tool_bars *bars, const char *op, int64_t m, int64_t k, int64_t n,
               int32_t threads);

/// The floor of weights of `bits`, or 0.
double
tool_bars_floor(const struct tool_bars *bars, int64_t k, int64_t n, int32_t bits);

#endif // DLQ_TOOLS_BENCH_BARS_H
