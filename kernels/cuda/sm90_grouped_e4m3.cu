// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
#include "sm90_grouped_launch.cuh"

int
sm90_grouped_e4m3(const struct sm90_grouped_launch *l, const struct grouped_args *g,
                  cudaStream_t stream)
{
    switch (l->sums) {
    case SM90_GROUPED_WHOLE:
        return start_wide_type<DLQ_K_GROUPED_E4M3, SM90_GROUPED_WHOLE>(l, g, stream);
    case SM90_GROUPED_POWERS:
        return start_wide_tile<DLQ_K_GROUPED_E4M3, true, SM90_GROUPED_POWERS>(l, g, stream);
    case SM90_GROUPED_RESCALED:
        return start_wide_type<DLQ_K_GROUPED_E4M3, SM90_GROUPED_RESCALED>(l, g, stream);
    case SM90_GROUPED_X_SCALED:
        return start_wide_tile<DLQ_K_GROUPED_E4M3, true, SM90_GROUPED_X_SCALED>(l, g, stream);
    default:
        return start_wide_type<DLQ_K_GROUPED_E4M3, SM90_GROUPED_GROUPS>(l, g, stream);
    }
}
