// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TOOLS_REFERENCE_H
#define DLQ_TOOLS_REFERENCE_H

#include "bounds.h"
#include "golden.h"
#include "ranks.h"

#include <stdint.h>

/// The float64 product of dequantized weights with the activations that a method multiplies.

/// One value an element of y, [m, N] in the checkpoint's order, and one a row or column.
struct tool_reference {
    int64_t m, n;
    double *y, *s, *q, *partial; ///< As struct tool_sums
    double *w2;                  ///< [N]
    double *xmax;                ///< [m]
};

void
tool_reference_free(struct tool_reference *ref);

/// The reference of the present activations of `r`, whose weights are dequantized, with activations
/// quantized as the ranks do; `bias` has N values, or is NULL.
int32_t
tool_reference_make(struct tool_ranks *r, const float *bias, struct tool_reference *out,
                    struct dlq_error *err);

/// The same of recorded activations and, where there are some, recorded codes, for the columns
/// [first, first + rec->n) of y: what the weights alone make of the recording.
void
tool_reference_recorded(const struct tool_ranks *r, const struct tool_recorded *rec, int64_t first,
                        const float *bias, double *y);

/// How a layer computes, from the activation codes of its method and the words of its explanation.
/// Also the number of activation scales a row has.
enum tool_arith
tool_rank_arith(const struct tool_rank *rank, int64_t *groups);

/// Elements that share a scale when a row of `k` has `groups` of them.
int64_t
tool_group_size(int64_t k, int64_t groups);

/// Values of activation codes in one byte each (or fp16) as the method makes them.
double
tool_code_value(int32_t kind, const void *codes, int64_t i);

#endif // DLQ_TOOLS_REFERENCE_H
