// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CORE_PARAMS_INTERNAL_H
#define DLQ_CORE_PARAMS_INTERNAL_H

#include "params.h"

/// What params.c and params_load.c need of each other.

/// Give a parameter its storage as declared; it has none.
int32_t
dlq_params_allocate(struct dlq_params *params, struct dlq_param *param, struct dlq_error *err);

/// Write the sentinel into the whole storage.
int32_t
dlq_params_fill(struct dlq_params *params, struct dlq_param *param, struct dlq_error *err);

#endif // DLQ_CORE_PARAMS_INTERNAL_H
