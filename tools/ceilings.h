// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TOOLS_CEILINGS_H
#define DLQ_TOOLS_CEILINGS_H

#include <stdint.h>

/// Ceilings of a CPU: what no kernel can beat. The fastest of a few short loops on all threads at
/// once.

/// Rates a second, of an operation two a multiply-add; 0 where the machine lacks the instructions.
struct tool_ceilings {
    double read;     ///< Bytes
    double fma32;    ///< fp32 FMA
    double bf16_dot; ///< vdpbf16ps
    double int16;    ///< vpmaddwd or vpdpwssd
    double int8;     ///< vpdpbusd
    double amx_int8; ///< tdpbssd
    double amx_bf16; ///< tdpbf16ps
};

/// The threads that loops run on.
struct tool_workers {
    int32_t n;
    void (*run)(void *ctx, int32_t n_tasks, void (*fn)(void *arg, int32_t task), void *arg);
    void *ctx;
};

/// Measure. `data` are `bytes` bytes, aligned to 64, with 8 KiB more behind them, written before:
/// reading them is the test of the memory. `cpu_flags`: mask of enum dlq_cpu_flags.
void
tool_ceilings_measure(struct tool_ceilings *out, const struct tool_workers *workers,
                      uint32_t cpu_flags, const void *data, int64_t bytes);

#endif // DLQ_TOOLS_CEILINGS_H
