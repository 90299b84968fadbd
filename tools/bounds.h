// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TOOLS_BOUNDS_H
#define DLQ_TOOLS_BOUNDS_H

#include <stdint.h>

/// How far a result may be from float64: one table for --check and --golden.

/// How a kernel computes, which decides its bound.
enum tool_arith {
    TOOL_EXACT,   ///< Weights and activations as they are, fp32 sums, one rounding
    TOOL_ROUNDED, ///< Dequantized weights rounded to the activation dtype first
    TOOL_LIMBS,   ///< Activations as two int8 limbs with one scale a row
    TOOL_INT8,    ///< Integer codes on both sides, exact accumulators
    TOOL_CODES,   ///< Activation codes of other forms: fp8, fp4, int8 against group scales
    TOOL_TF32,    ///< fp32 products of weights and activations cut to 10 bits
    TOOL_N_ARITH
};

/// Sums over k that the bound of one element of y needs.
struct tool_sums {
    double s;       ///< Sum of abs(x w)
    double q;       ///< Sum of (x w)^2
    double w2;      ///< Sum of w^2
    double xmax;    ///< Largest abs(x) of the row
    double partial; ///< Largest abs of a rank's partial sum; 0 without one
    double y;       ///< The larger of abs(found) and abs(expected)
};

/// Facts of the layer that the bound of each element shares.
struct tool_bound_facts {
    enum tool_arith arith;
    uint32_t dtype;     ///< Of x and y
    int64_t k;          ///< Inputs
    int64_t groups;     ///< Scales of an activation row; 1 without groups
    int32_t ranks;      ///< Ranks whose rounded sums are added; 1: none
    int32_t recomputed; ///< 1 when the reference was made from rounded weights
};

/// For the manual and messages.
const char *
tool_arith_name(enum tool_arith arith);

/// Distance from one value of `dtype` to the next at `v`.
double
tool_ulp(uint32_t dtype, double v);

/// Largest finite value of `dtype`.
double
tool_largest(uint32_t dtype);

/// Bound of norm(y - y64) / norm(y64); 0 when only elements have one.
double
tool_bound_norm(enum tool_arith arith, uint32_t dtype);

/// Bound of abs(y - y64) for one element.
double
tool_bound_element(const struct tool_bound_facts *facts, const struct tool_sums *sums);

#endif // DLQ_TOOLS_BOUNDS_H
