// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// Starts the kernels of sm90_grouped.cuh, or makes them ready where there are no arguments.
#ifndef DLQ_KERNELS_CUDA_SM90_GROUPED_LAUNCH_CUH
#define DLQ_KERNELS_CUDA_SM90_GROUPED_LAUNCH_CUH

#include "launch.cuh"
#include "sm90_grouped.cuh"
#include "sm90_grouped.h"
#include "tensormap.h"

#include <cuda.h>
#include <cuda_runtime_api.h>

namespace
{

template <class C>
int
make_maps(const struct grouped_args *g, const wide_args &a, CUtensorMap *x, CUtensorMap *codes,
          CUtensorMap *scales)
{
    const uint64_t strip_bytes = (uint64_t)g->k_blocks * C::block;
    int err = dlq_k_tensormap_2d(x, g->x, 2, (uint64_t)g->m, (uint64_t)g->x_k,
                                 (uint64_t)g->x_stride * 2, C::Bn / C::Mc, 64, DLQ_K_SWIZZLE_128);
    if (err == 0)
        err = dlq_k_tensormap_2d(codes, g->codes, 8, (uint64_t)g->strips, strip_bytes / 8,
                                 strip_bytes, C::strips, C::block / 8, DLQ_K_SWIZZLE_NONE);
    if (err == 0 && C::folded)
        err = dlq_k_tensormap_2d(scales, g->scales, 2, (uint64_t)a.groups, (uint64_t)g->strips * 16,
                                 (uint64_t)g->strips * 32, (uint32_t)a.block_rows, C::columns,
                                 DLQ_K_SWIZZLE_NONE);
    return err == 0 ? 0 : -DLQ_K_EUNSUPPORTED;
}

template <class C>
int
start_wide(const struct sm90_grouped_launch *l, const struct grouped_args *g, cudaStream_t stream)
{
    if (g == nullptr)
        return (int)cudaFuncSetAttribute(sm90_grouped<C>,
                                         cudaFuncAttributeMaxDynamicSharedMemorySize, C::shared);
    wide_args a = {};
    a.g = *g;
    a.g.split = (int32_t)l->plan.split;
    a.tiles_n = (g->strips * 16 + C::columns * C::Mc - 1) / (C::columns * C::Mc);
    a.tiles_m = (g->m + C::Bn - 1) / C::Bn;
    a.parts = l->plan.splits;
    a.groups = (int)l->groups;
    a.group_blocks = C::grouped ? (int)(l->group / 64) : 1;
    a.block_rows = C::folded ? (int)(64 / l->group) : 1;
    CUtensorMap x, codes, scales = {};
    const int err = make_maps<C>(g, a, &x, &codes, &scales);
    if (err != 0)
        return err;
    const int tiles = a.tiles_n * a.tiles_m, size = C::Mc > 1 ? C::Mc : a.parts;
    const int most = a.parts > 1 ? tiles : l->multiprocessors / C::Mc;
    const dlq::launch_config launch(dim3((unsigned)((tiles < most ? tiles : most) * size)),
                                    C::threads, C::shared, l->early, stream, (unsigned)size);
    return launch.run(sm90_grouped<C>, a, x, codes, scales);
}

template <int Code, bool Bf16, sm90_grouped_sums Sums>
int
start_wide_tile(const struct sm90_grouped_launch *l, const struct grouped_args *g,
                cudaStream_t stream)
{
    switch (l->plan.tile) {
    case 0:
        return start_wide<wide<Code, Bf16, Sums, 16, 1>>(l, g, stream);
    case 1:
        return start_wide<wide<Code, Bf16, Sums, 32, 1>>(l, g, stream);
    case 2:
        return start_wide<wide<Code, Bf16, Sums, 64, 1>>(l, g, stream);
    case 3:
        return start_wide<wide<Code, Bf16, Sums, 128, 1>>(l, g, stream);
    default:
        if constexpr (Sums == SM90_GROUPED_GROUPS || Sums == SM90_GROUPED_X_SCALED)
            return -DLQ_K_EUNSUPPORTED;
        else
            return start_wide<wide<Code, Bf16, Sums, 256, 2>>(l, g, stream);
    }
}

// In either type of x.
template <int Code, sm90_grouped_sums Sums>
int
start_wide_type(const struct sm90_grouped_launch *l, const struct grouped_args *g,
                cudaStream_t stream)
{
    return l->bf16 ? start_wide_tile<Code, true, Sums>(l, g, stream)
                   : start_wide_tile<Code, false, Sums>(l, g, stream);
}

} // namespace

#endif
