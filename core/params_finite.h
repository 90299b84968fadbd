// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CORE_PARAMS_FINITE_H
#define DLQ_CORE_PARAMS_FINITE_H

#include "params_copy.h"

#include <stdbool.h>
#include <stdint.h>

/// Finding NaNs and infinities among the elements of a checkpoint tensor.

/// Index of the first of `count` elements, perhaps unaligned, that is not finite; -1: all are.
/// Types without such values are always finite.
int64_t
dlq_param_find_infinite(uint32_t dtype, const void *data, int64_t count);

/// Look at every element of a box whose elements are taken as they are, with the threads of the
/// store. False, with `refused` and `bad_index` set, for the first one that is not finite.
bool
dlq_param_box_is_finite(struct dlq_param_copy *copy, const struct dlq_param_box *box);

#endif // DLQ_CORE_PARAMS_FINITE_H
