// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TOOLS_GOLDEN_H
#define DLQ_TOOLS_GOLDEN_H

#include <dlquant/dlquant.h>

#include <stdbool.h>
#include <stdint.h>

/// Recorded inputs and outputs of layers: a folder with safetensors that name <layer>.x and so on.

/// What is recorded for one path. NULL: not recorded. All arrays are owned.
struct tool_recorded {
    int64_t m, k, n;
    float *x;            ///< [m, k]
    double *y;           ///< [m, n], before any rounding, bias included
    double *codes;       ///< [m, k] values of the activation codes, zero points not subtracted
    float *scales;       ///< [m, n_scales]
    int64_t n_scales;    ///< Scales of a row
    int32_t *zeros;      ///< [m]
    int32_t *acc;        ///< [m, n] exact accumulators, zero points corrected
    uint32_t x_dtype;    ///< Dtype that x is recorded in
    uint32_t code_dtype; ///< DLQ_I8, DLQ_U8 (e4m3 bits) or DLQ_F16 (e2m1 values)
};

/// Read what `golden` records for `path` with `k` inputs and `n` outputs. DLQ_ENOTFOUND when there
/// is nothing; DLQ_ESHAPE or DLQ_EDTYPE when it does not fit. Free in any case.
int32_t
tool_recorded_read(const dlq_checkpoint *golden, const char *path, int64_t k, int64_t n,
                   struct tool_recorded *out, struct dlq_error *err);

void
tool_recorded_free(struct tool_recorded *r);

/// Whether anything is recorded for `path`.
bool
tool_recorded_exists(const dlq_checkpoint *golden, const char *path);

#endif // DLQ_TOOLS_GOLDEN_H
