// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
#include "grouped_kernel.cuh"

int
grouped_e2m1(const struct grouped_launch *launch, const struct grouped_args *args,
             cudaStream_t stream)
{
    return grouped_dispatch<DLQ_K_GROUPED_E2M1>(launch, args, stream);
}
