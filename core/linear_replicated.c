// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "linear_setup.h"

int32_t
dlq_linear_replicated_create(dlq_runtime *rt, const struct dlq_linear_desc *desc, dlq_linear **out,
                             struct dlq_error *err)
{
    return dlq_linear_create_sized(rt, desc, DLQ_REPLICATED, out, err);
}
