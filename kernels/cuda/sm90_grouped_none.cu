// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// sm90_grouped.h in a build without sm_90a.
#include "sm90_grouped.h"

bool
sm90_grouped_takes(const struct dlq_k_grouped *, bool, bool, enum sm90_grouped_sums *)
{
    return false;
}

bool
sm90_grouped_choose(const struct dlq_k_grouped *, int64_t, enum sm90_grouped_sums, int,
                    struct sm90_grouped_plan *)
{
    return false;
}

int
sm90_grouped_run(int32_t, const struct sm90_grouped_launch *, const struct grouped_args *,
                 cudaStream_t)
{
    return -DLQ_K_EUNSUPPORTED;
}
