// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "error.h"
#include "linear_setup.h"

// A bias that rank 0 adds to its share is added once only if somebody sums the shares: without the
// sum the caller must take the bias instead.
static int32_t
check_bias(const struct dlq_linear_setup *setup, struct dlq_error *err)
{
    const uint32_t flags = setup->desc.flags;
    if ((flags & DLQ_LINEAR_NO_REDUCE) && (flags & DLQ_LINEAR_BIAS) &&
        !(flags & DLQ_LINEAR_SKIP_BIAS_ADD)) {
        return dlq_fail(err, DLQ_EINVAL,
                        "layer '%s': a bias that is added needs the sum over ranks; with no_reduce "
                        "expected skip_bias_add",
                        setup->desc.prefix);
    }
    return DLQ_OK;
}

int32_t
dlq_linear_row_create(dlq_runtime *rt, const struct dlq_linear_desc *desc, dlq_linear **out,
                      struct dlq_error *err)
{
    struct dlq_linear_setup setup;
    int32_t rc = dlq_linear_begin(rt, desc, DLQ_ROW, &setup, err);
    if (rc == DLQ_OK && setup.desc.n_output_sizes != 0) {
        rc = dlq_fail(err, DLQ_EINVAL, "layer '%s': output_sizes: a %s has one part, found %d",
                      setup.desc.prefix, setup.class_name, setup.desc.n_output_sizes);
    }
    if (rc == DLQ_OK) {
        rc = check_bias(&setup, err);
    }
    if (rc == DLQ_OK) {
        rc = dlq_linear_take_sizes(&setup, err);
    }
    return rc == DLQ_OK ? dlq_linear_finish(&setup, out, err) : rc;
}
