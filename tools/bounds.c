// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "bounds.h"

#include <dlquant/types.h>

#include <math.h>

/// One row an arithmetic. The norms bound the mean error of a layer; an element may besides differ
/// by `ulps` of its dtype, by the fp32 sum's own error, and by the terms that the flags add.
static const struct {
    const char *name;
    double norm_f16, norm_bf16, norm_f32;
    int sum;    ///< K 2^-23 S: fp32 sums in any order, tensor cores that truncate
    int weight; ///< 8 u sqrt(sum (x w)^2): each weight rounded once, independently
    int limbs;  ///< 8 2^-14 max abs(x) sqrt(sum w^2): what two limbs leave of an activation
    int cut;    ///< 2^-9 S: the bits of both factors beyond the tenth
} table[TOOL_N_ARITH] = {
    [TOOL_EXACT] = {"exact", 3e-4, 2.5e-3, 1e-5, 1, 0, 0, 0},
    [TOOL_ROUNDED] = {"rounded weights", 5e-4, 4e-3, 1e-5, 1, 1, 0, 0},
    [TOOL_LIMBS] = {"two limbs", 5e-4, 4e-3, 2e-4, 1, 0, 1, 0},
    [TOOL_INT8] = {"int8", 0.0, 0.0, 0.0, 0, 0, 0, 0},
    [TOOL_CODES] = {"codes", 0.0, 0.0, 0.0, 1, 0, 0, 0},
    [TOOL_TF32] = {"tf32", 3e-4, 2.5e-3, 1e-3, 1, 0, 0, 1},
};

const char *
tool_arith_name(enum tool_arith arith)
{
    return table[arith].name;
}

double
tool_ulp(uint32_t dtype, double v)
{
    const int digits = dtype == DLQ_F16 ? 11 : dtype == DLQ_BF16 ? 8 : 24;
    const int least = dtype == DLQ_F16 ? -24 : dtype == DLQ_BF16 ? -133 : -149;
    int exponent = 0;
    frexp(v, &exponent);
    exponent -= digits;
    return ldexp(1.0, v == 0.0 || exponent < least ? least : exponent);
}

double
tool_largest(uint32_t dtype)
{
    return dtype == DLQ_F16 ? 65504.0 : dtype == DLQ_BF16 ? 0x1.FEp127 : 0x1.FFFFFEp127;
}

double
tool_bound_norm(enum tool_arith arith, uint32_t dtype)
{
    return dtype == DLQ_F16    ? table[arith].norm_f16
           : dtype == DLQ_BF16 ? table[arith].norm_bf16
                               : table[arith].norm_f32;
}

double
tool_bound_element(const struct tool_bound_facts *facts, const struct tool_sums *sums)
{
    const double u = tool_ulp(facts->dtype, 1.0) / 2.0;
    double bound = tool_ulp(facts->dtype, sums->y);
    if (table[facts->arith].sum) {
        // A group's sum is scaled and added to the row's: fewer, longer roundings.
        const double terms = facts->groups > 1 ? (double)facts->groups + 128.0 : (double)facts->k;
        bound += terms * 0x1p-23 * sums->s;
    }
    if (table[facts->arith].weight) {
        bound += 8.0 * u * sqrt(sums->q);
    }
    if (table[facts->arith].limbs) {
        bound += 8.0 * 0x1p-14 * sums->xmax * sqrt(sums->w2);
    }
    if (table[facts->arith].cut) {
        bound += 0x1p-9 * sums->s;
    }
    if (facts->recomputed) {
        // Dequantized weights are rounded to float once, and the formula's products three times.
        bound += 0x1p-24 * sums->s + 3.0 * 0x1p-24 * sums->y;
    }
    if (facts->ranks > 1) {
        bound += (facts->ranks + 1) * tool_ulp(facts->dtype, sums->partial);
    }
    return bound;
}
