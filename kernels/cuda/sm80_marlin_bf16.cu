// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
#include "sm80_marlin_gemm.cuh"

extern "C" int
sm80_marlin_launch_bf16(const struct sm80_marlin_args *args, int tile, int bits, int grid,
                        cudaStream_t stream)
{
    return bits == 4 ? marlin_launch_tile<true, 4>(args, tile, grid, stream)
                     : marlin_launch_tile<true, 8>(args, tile, grid, stream);
}
