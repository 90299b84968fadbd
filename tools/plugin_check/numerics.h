// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_PLUGIN_CHECK_NUMERICS_H
#define DLQ_PLUGIN_CHECK_NUMERICS_H

#include "rig.h"

/// Spacing of the numbers of an activation dtype at `v`.
double
numerics_ulp(uint32_t dtype, double v);

/// Largest error of one element of y: what an acceptable kernel may round.
double
numerics_bound(const float *x, const float *w, int64_t k, uint32_t dtype, double y);

/// What it may change that a rank which holds a share of K quantizes its rows of x by themselves,
/// with scales of their own: both results are off by up to half a step an element. `kind` is enum
/// dlq_code_kind.
double
numerics_requantization(int32_t kind, const float *x, const float *w, int64_t k);

/// Inputs that share one of `per_row` scales of a row. Formats have groups of 16, 32, 64, ... of
/// which the last may be ragged: the smallest that gives so many scales.
int64_t
numerics_group(int64_t k, int64_t per_row);

/// enum dlq_code_kind of a layer; DLQ_CODES_NONE without the extension.
int32_t
numerics_code_kind(const dlq_linear *layer);

/// m contiguous rows of x in the layer's activation dtype as its method multiplies them: as they
/// are, or what their codes stand for. [m, K of this rank] floats; free() them. NULL sets `r`.
float *
numerics_rows(const dlq_linear *layer, const struct dlq_host *host, const void *x, int64_t m,
              struct check_result *r);

/// The layer's weights as its plugin reports them, [N, K] of this rank; free() them. False sets
/// `r`.
bool
numerics_weights(const dlq_linear *layer, const struct dlq_host *host, float **out,
                 struct check_result *r);

/// Compare y with the float64 product of x, as the method quantizes it, and the layer's weights.
/// False sets `r`.
bool
numerics_compare(const struct rig_io *io, const dlq_linear *layer, const struct dlq_host *host,
                 const float *bias, const char *what, struct check_result *r);

#endif // DLQ_PLUGIN_CHECK_NUMERICS_H
