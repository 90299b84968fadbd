// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
#include "grouped_kernel.cuh"

int
grouped_u8(const struct grouped_launch *launch, const struct grouped_args *args,
           cudaStream_t stream)
{
    return grouped_dispatch<DLQ_K_GROUPED_U8>(launch, args, stream);
}
