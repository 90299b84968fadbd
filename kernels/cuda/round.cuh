// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// Sizes in whole pieces, on the host. Neither number is negative, and a piece is not 0.
#ifndef DLQ_KERNELS_CUDA_ROUND_CUH
#define DLQ_KERNELS_CUDA_ROUND_CUH

#include <stdint.h>

namespace dlq
{

inline int64_t
divide_up(int64_t a, int64_t by)
{
    return (a + by - 1) / by;
}

inline int64_t
round_up(int64_t a, int64_t to)
{
    return divide_up(a, to) * to;
}

} // namespace dlq

#endif
