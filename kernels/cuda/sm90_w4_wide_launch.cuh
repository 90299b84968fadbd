// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// The host side of the wide kernel: its tiles by number, and one launch.
#ifndef DLQ_KERNELS_CUDA_SM90_W4_WIDE_LAUNCH_CUH
#define DLQ_KERNELS_CUDA_SM90_W4_WIDE_LAUNCH_CUH

#include "sm90_w4_wide.cuh"

// How the tiles go to the workers, of whom `*workers` fit, and where partial sums meet. 0 or a
// refusal.
template <class C>
static int
w4_wide_share(struct w4_wide_args *a, const struct dlq_k_w4_gemm *call, int *workers)
{
    const int tiles = a->tiles_n * a->tiles_m, each = *workers / tiles;
    a->whole = a->split == 1 ? tiles : 0;
    if (a->split)
        return 0;
    // The same number of workers for every tile, where that leaves few idle: then each has one
    // part.
    if (each > 1 && a->units % each == 0 && each * tiles * 16 >= *workers * 15)
        *workers = each * tiles;
    // One more round than the remainder keeps the runs long, so that few tiles are shared by more
    // than two.
    if (tiles / *workers > 1)
        a->whole = (tiles / *workers - 1) * *workers;
    const int64_t units = (int64_t)(tiles - a->whole) * a->units;
    if (units < *workers || units > INT32_MAX)
        return DLQ_K_W4_VARIANT;
    a->share = (int)(units / *workers), a->extra = (int)(units % *workers);
    if (!call->workspace || ((uintptr_t)call->workspace & 255) ||
        call->workspace_bytes < (size_t)*workers * C::Mc * C::rows * C::Bn * 4)
        return DLQ_K_W4_WORKSPACE;
    a->partials = (float4 *)call->workspace;
    return w4_flags_of(call->workspace, *workers * C::Mc, &a->flags);
}

template <class C>
static int
w4_wide_maps(const struct dlq_k_w4_gemm *call, const struct w4_wide_args *a, CUtensorMap *x,
             CUtensorMap *w)
{
    int err = dlq_k_tensormap_2d(x, call->x, 2, (uint64_t)call->m, (uint64_t)call->k,
                                 (uint64_t)call->ldx * 2, C::Bn / C::Mc, 64, DLQ_K_SWIZZLE_128);
    if (!err)
        err = dlq_k_tensormap_2d(w, call->packed, 8, (uint64_t)a->strips,
                                 (uint64_t)a->units * (C::unit / 8), (uint64_t)a->units * C::unit,
                                 C::strips, C::unit / 8, DLQ_K_SWIZZLE_NONE);
    return err;
}

template <bool Bf16, int Group, int Bn, int Rw, int Kw, int St, int Mc, int Ctas>
static int
w4_wide_launch(const struct dlq_k_w4_gemm *call, const struct dlq_k_w4_plan *plan, int sms,
               cudaStream_t stream)
{
    using C = w4_wide<Bf16, Group, Bn, Rw, Kw, St, Mc, Ctas>;
    constexpr bool early = Bn == 32 || Bn == 64;
    auto kernel = early && call->pdl ? w4_wide_kernel<Bf16, Group, Bn, Rw, Kw, St, Mc, Ctas, early>
                                     : w4_wide_kernel<Bf16, Group, Bn, Rw, Kw, St, Mc, Ctas, false>;
    static unsigned char granted[2][64];
    struct w4_wide_args a = {};
    a.w = (const char *)call->packed;
    a.y = (char *)call->y;
    a.bias = call->bias;
    a.m = call->m, a.n = call->n;
    a.ldy = call->ldy;
    a.strips = (call->n + 63) / 64 * 4;
    a.units = (call->k + 127) / 128;
    a.tiles_n = (call->n + C::rows * Mc - 1) / (C::rows * Mc);
    a.tiles_m = (call->m + Bn - 1) / Bn;
    a.split = plan->split;
    a.pdl = call->pdl;
    if (a.split < 0 || a.split > 8 || (a.split & (a.split - 1)) || a.split > a.units ||
        (a.split > 1 && (!C::inbox || C::strips % a.split)) || plan->ctas != 1)
        return DLQ_K_W4_VARIANT;
    if (((uintptr_t)call->x & 15) || call->ldx % 8)
        return DLQ_K_W4_ALIGN;
    // A split gives every tile its own cluster; else the CTAs walk the tiles.
    const int tiles = a.tiles_n * a.tiles_m, size = a.split > 1 ? a.split : Mc;
    while (1 << a.log2_size < size)
        a.log2_size++;
    int workers = a.split > 1 || (a.split && tiles < sms / Mc) ? tiles : sms / Mc;
    int err = w4_wide_share<C>(&a, call, &workers);
    if (!err)
        err = dlq::allow_shared((const void *)kernel, 0, granted[early && call->pdl]);
    CUtensorMap x_map, w_map;
    if (!err)
        err = w4_wide_maps<C>(call, &a, &x_map, &w_map);
    if (err)
        return err;
    // Two of one launch on one SM while another idles would double the time.
    const size_t smem = Ctas > 1 && !call->pdl ? 115 * 1024 : C::smem;
    const dlq::launch_config launch(dim3((unsigned)(workers * size)), C::threads, smem, call->pdl,
                                    stream, (unsigned)size);
    return launch.run(kernel, a, x_map, w_map);
}

// The tiles: number, BN, RW, KW, ST, MC, CTAs an SM holds. The measured table names them by number.
#define W4_WIDE_TILES(X)                                                                           \
    X(1, 32, 4, 1, 8, 1, 1)                                                                        \
    X(2, 32, 1, 4, 16, 1, 1)                                                                       \
    X(3, 64, 4, 1, 6, 1, 1)                                                                        \
    X(4, 64, 2, 1, 8, 1, 1)                                                                        \
    X(5, 128, 3, 1, 4, 1, 1)                                                                       \
    X(6, 128, 2, 1, 5, 1, 1)                                                                       \
    X(7, 256, 2, 1, 3, 1, 1)                                                                       \
    X(8, 256, 2, 1, 3, 2, 1)                                                                       \
    X(9, 16, 2, 2, 12, 1, 1)                                                                       \
    X(10, 128, 4, 1, 4, 2, 1)                                                                      \
    X(11, 128, 2, 1, 5, 2, 1)                                                                      \
    X(12, 32, 2, 2, 12, 1, 1)                                                                      \
    X(13, 64, 2, 1, 8, 2, 1)                                                                       \
    X(14, 16, 1, 2, 8, 1, 2)                                                                       \
    X(15, 16, 2, 1, 8, 1, 2)                                                                       \
    X(16, 32, 2, 1, 6, 1, 2)                                                                       \
    X(17, 64, 2, 1, 4, 1, 2)

template <bool Bf16, int Group>
static int
w4_wide_tile(const struct dlq_k_w4_gemm *call, const struct dlq_k_w4_plan *plan, int sms,
             cudaStream_t stream)
{
    switch (plan->tile) {
#define W4_CASE(id, bn, rw, kw, st, mc, ctas)                                                      \
    case id:                                                                                       \
        return w4_wide_launch<Bf16, Group, bn, rw, kw, st, mc, ctas>(call, plan, sms, stream);
        W4_WIDE_TILES(W4_CASE)
#undef W4_CASE
    default:
        return DLQ_K_W4_VARIANT;
    }
}

template <bool Bf16>
static int
w4_wide_group(const struct dlq_k_w4_gemm *call, const struct dlq_k_w4_plan *plan, int sms,
              cudaStream_t stream)
{
    switch (dlq_k_w4_packed_group(call->k, call->group)) {
    case 0:
        return w4_wide_tile<Bf16, 0>(call, plan, sms, stream);
    case 32:
        return w4_wide_tile<Bf16, 32>(call, plan, sms, stream);
    case 64:
        return w4_wide_tile<Bf16, 64>(call, plan, sms, stream);
    case 128:
        return w4_wide_tile<Bf16, 128>(call, plan, sms, stream);
    default:
        return DLQ_K_W4_SHAPE;
    }
}

#endif
