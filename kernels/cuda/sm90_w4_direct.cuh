// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// W4A16 for one to eight tokens and small weights: as sm90_w4_small.cuh, without what takes time
// before the first byte is asked for and after the last one is there. A CTA owns P strips of 16
// outputs and all of k, its WK warps take U units of 128 k each in turn, straight into registers;
// the sums meet once in shared memory. No ring, no barrier but one, no cluster.
//
//            k ->  step 0                        step 1
//            +---------+---------+-----+---------+---------+----
//   16*P     | warp 0  | warp 1  | ... | WK - 1  | warp 0  | ...     a piece: U units of P strips
//            +---------+---------+-----+---------+---------+----
//
// All of a warp's first piece is on its way before x is asked for; a unit's registers take the
// same unit of the next step as soon as they are read. Each warp brings the x that it needs itself.
#ifndef DLQ_KERNELS_CUDA_SM90_W4_DIRECT_CUH
#define DLQ_KERNELS_CUDA_SM90_W4_DIRECT_CUH

#include "sm90_w4_sums.cuh"

struct w4_direct_args {
    const char *w;
    const char *x;
    char *y;
    const float *bias;
    int m, n, k;
    int64_t ldx, ldy; // in elements
    int strips, units;
    int x_stride; // bytes of a token's row in shared memory
    int pdl;
};

// Group: of the packed form (0: one for all of k).
template <bool Bf16, int Group, int P, int Wk, int U> struct w4_direct {
    static constexpr int threads = 32 * Wk, rows = 16 * P;
    static constexpr int groups = Group ? 128 / Group : 0; // of a unit
    static constexpr int unit = DLQ_K_W4_UNIT_WEIGHTS + groups * DLQ_K_W4_PAIRS;
    static constexpr int red_stride = rows + 4; // floats of a token; spreads them over the banks

    struct piece {
        uint4 words[U][2][P];
        uint2 pairs[U][Group ? groups : 1][P];

        // From this lane's words and pairs of the first unit.
        __device__ __forceinline__ void load(int u, const char *from_words, const char *from_pairs,
                                             int64_t strip_bytes)
        {
#pragma unroll
            for (int p = 0; p < P; p++) {
                words[u][0][p] = ptx_ldg128_once(from_words + p * strip_bytes + u * unit);
                words[u][1][p] = ptx_ldg128_once(from_words + p * strip_bytes + u * unit + 512);
#pragma unroll
                for (int g = 0; g < groups; g++)
                    pairs[u][g][p] =
                        __ldg((const uint2 *)(from_pairs + p * strip_bytes + u * unit +
                                              DLQ_K_W4_UNIT_WEIGHTS + g * DLQ_K_W4_PAIRS));
            }
        }
    };

    // x of this warp's units of every step; zeros behind its end, so that padded codes meet no
    // stray NaN.
    static __device__ __forceinline__ void fetch_x(const w4_direct_args &a, uint32_t xs, int warp)
    {
        const int lane = threadIdx.x % 32;
#pragma unroll 1
        for (int tok = 0; tok < a.m; tok++)
#pragma unroll 1
            for (int first = warp * U; first < a.units; first += Wk * U)
#pragma unroll
                for (int i = lane; i < U * 16; i += 32) {
                    const int k = first * 128 + i * 8;
                    ptx_cp_async16_if(first + i / 16 < a.units, xs + tok * a.x_stride + k * 2,
                                      a.x + (tok * a.ldx + (k < a.k ? k : 0)) * 2,
                                      k < a.k ? 16 : 0);
                }
    }
};

template <bool Bf16, int Group, int P, int Wk, int U, int MinCtas>
__global__ void __launch_bounds__(32 * Wk, MinCtas) w4_direct_kernel(const w4_direct_args a)
{
    using C = w4_direct<Bf16, Group, P, Wk, U>;
    extern __shared__ __align__(16) char smem[];
    float *const red = (float *)smem; // [Wk][m][red_stride]
    const uint32_t xs = ptx_smem(smem) + Wk * a.m * C::red_stride * 4;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int64_t strip_bytes = (int64_t)a.units * C::unit;
    const char *words = a.w + blockIdx.x * P * strip_bytes + warp * U * C::unit + lane * 16;
    const char *pairs = words - lane * 16 + lane / 4 * 8;
    typename C::piece piece;
#pragma unroll
    for (int u = 0; u < U; u++)
        if (warp * U + u < a.units)
            piece.load(u, words, pairs, strip_bytes);
    w4_sums<Bf16, Group, 1, P> s;
    if (Group == 0)
#pragma unroll
        for (int p = 0; p < P; p++)
            s.form[p].set(
                __ldg((const uint2 *)(a.w + a.strips * strip_bytes +
                                      (blockIdx.x * P + p) * DLQ_K_W4_PAIRS + lane / 4 * 8)));
    if (a.pdl) {
        ptx_pdl_launch();
        ptx_pdl_wait();
    }
    C::fetch_x(a, xs, warp);
    s.clear();
    // ldmatrix: lane l gives row l % 8 of matrix l / 8; absent tokens repeat the last one, their
    // sums are not stored.
    const uint32_t row = xs + min(lane % 8, a.m - 1) * a.x_stride + lane / 8 * 16;
    ptx_cp_async_wait();
    __syncwarp();
#pragma unroll 1
    for (int first = warp * U; first < a.units; first += Wk * U) {
        words += Wk * U * C::unit;
        pairs += Wk * U * C::unit;
#pragma unroll
        for (int u = 0; u < U; u++) {
            if (first + u >= a.units)
                break;
            const uint32_t x_at[1] = {row + (first + u) * 256};
#pragma unroll
            for (int c = 0; c < 2; c++)
                s.block(piece.words[u][c], x_at, c,
                        [&](int p, int g) { return piece.pairs[u][g][p]; });
            if (first + Wk * U + u < a.units)
                piece.load(u, words, pairs, strip_bytes);
        }
    }
    if (Group == 0)
        s.fold();
    float *const mine = red + warp * a.m * C::red_stride + lane / 4;
#pragma unroll
    for (int odd = 0; odd < 2; odd++) {
        const int tok = lane % 4 * 2 + odd;
        if (tok < a.m)
#pragma unroll
            for (int p = 0; p < P; p++) {
                mine[tok * C::red_stride + p * 16] = s.acc[p][0][odd];
                mine[tok * C::red_stride + p * 16 + 8] = s.acc[p][0][2 + odd];
            }
    }
    __syncthreads();
    if (threadIdx.x < a.m * (C::rows / 4)) {
        const int tok = threadIdx.x / (C::rows / 4), at = threadIdx.x % (C::rows / 4) * 4;
        float4 sum = make_float4(0, 0, 0, 0);
#pragma unroll
        for (int w = 0; w < Wk; w++) {
            const float4 v = *(const float4 *)(red + (w * a.m + tok) * C::red_stride + at);
            sum.x += v.x, sum.y += v.y, sum.z += v.z, sum.w += v.w;
        }
        w4_store4<Bf16>(a.y, a.ldy, a.bias, a.n, tok, blockIdx.x * C::rows + at, sum);
    }
}

template <bool Bf16, int Group, int P, int Wk, int U, int MinCtas>
static int
w4_direct_launch(const struct dlq_k_w4_gemm *call, const struct dlq_k_w4_plan *plan,
                 cudaStream_t stream)
{
    using C = w4_direct<Bf16, Group, P, Wk, U>;
    auto kernel = w4_direct_kernel<Bf16, Group, P, Wk, U, MinCtas>;
    static unsigned char granted[64];
    struct w4_direct_args a = {};
    a.w = (const char *)call->packed;
    a.x = (const char *)call->x;
    a.y = (char *)call->y;
    a.bias = call->bias;
    a.m = call->m, a.n = call->n, a.k = call->k;
    a.ldx = call->ldx, a.ldy = call->ldy;
    a.strips = (call->n + 63) / 64 * 4; // as packed: a multiple of P
    a.units = (call->k + 127) / 128;
    a.x_stride = a.units * 256 + 16;
    a.pdl = call->pdl;
    const int smem = call->m * (Wk * C::red_stride * 4 + a.x_stride);
    if (plan->split != 1 || plan->ctas != 1 || smem > 226 * 1024)
        return DLQ_K_W4_VARIANT;
    if (((uintptr_t)call->x & 15) || call->ldx % 8 || call->k % 8)
        return DLQ_K_W4_ALIGN;
    const int err = dlq::allow_shared((const void *)kernel, 0, granted);
    if (err)
        return err;
    const dlq::launch_config launch(dim3((unsigned)((call->n + C::rows - 1) / C::rows)), C::threads,
                                    (size_t)smem, call->pdl, stream);
    return launch.run(kernel, a);
}

// The tiles: number, P, WK, U, CTAs an SM must be able to hold. The measured table names them by
// number.
#define W4_DIRECT_TILES(X)                                                                         \
    X(0, 1, 16, 2, 2)                                                                              \
    X(1, 1, 8, 2, 4)                                                                               \
    X(2, 2, 16, 1, 2)                                                                              \
    X(3, 2, 8, 2, 2)                                                                               \
    X(4, 2, 8, 1, 4)                                                                               \
    X(5, 4, 16, 1, 1)

template <bool Bf16, int Group>
static int
w4_direct_tile(const struct dlq_k_w4_gemm *call, const struct dlq_k_w4_plan *plan,
               cudaStream_t stream)
{
    switch (plan->tile) {
#define W4_CASE(id, p, wk, u, ctas)                                                                \
    case id:                                                                                       \
        return w4_direct_launch<Bf16, Group, p, wk, u, ctas>(call, plan, stream);
        W4_DIRECT_TILES(W4_CASE)
#undef W4_CASE
    default:
        return DLQ_K_W4_VARIANT;
    }
}

template <bool Bf16>
static int
w4_direct_group(const struct dlq_k_w4_gemm *call, const struct dlq_k_w4_plan *plan,
                cudaStream_t stream)
{
    switch (dlq_k_w4_packed_group(call->k, call->group)) {
    case 0:
        return w4_direct_tile<Bf16, 0>(call, plan, stream);
    case 32:
        return w4_direct_tile<Bf16, 32>(call, plan, stream);
    case 64:
        return w4_direct_tile<Bf16, 64>(call, plan, stream);
    case 128:
        return w4_direct_tile<Bf16, 128>(call, plan, stream);
    default:
        return DLQ_K_W4_SHAPE;
    }
}

#endif
