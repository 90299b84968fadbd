// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
#include "sm90_grouped_launch.cuh"

int
sm90_grouped_e2m1(const struct sm90_grouped_launch *l, const struct grouped_args *g,
                  cudaStream_t stream)
{
    return l->sums == SM90_GROUPED_POWERS
               ? start_wide_tile<DLQ_K_GROUPED_E2M1, true, SM90_GROUPED_POWERS>(l, g, stream)
               : start_wide_type<DLQ_K_GROUPED_E2M1, SM90_GROUPED_FOLDED>(l, g, stream);
}
