// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "linear_setup.h"

int32_t
dlq_linear_column_create(dlq_runtime *rt, const struct dlq_linear_desc *desc, dlq_linear **out,
                         struct dlq_error *err)
{
    struct dlq_linear_setup setup;
    int32_t rc = dlq_linear_begin(rt, desc, DLQ_COLUMN, &setup, err);
    if (rc == DLQ_OK) {
        rc = dlq_linear_take_sizes(&setup, err);
    }
    return rc == DLQ_OK ? dlq_linear_finish(&setup, out, err) : rc;
}
