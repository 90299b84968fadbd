// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// Activation quantization to int8 and e4m3: one CTA a token. A thread takes 16 elements at a time
// (one 16-byte store of codes) and keeps them in registers between finding the row's range and
// rounding, so x is read once for up to 2 x 1024 x 16 elements; longer rows are read twice.
//
// The range is found on the bits of abs(x) as integers, where NaN is above Inf is above every
// number, so nothing can hide a NaN.
#include "divide.cuh"
#include "launch.cuh"
#include "ptx.cuh"
#include "w8.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

namespace
{

constexpr uint32_t INF_BITS = 0x7f800000u;

// 16 consecutive elements as loaded.
template <class X> struct chunk {
    uint4 v[sizeof(X)];
};

template <class X>
__device__ __forceinline__ chunk<X>
chunk_load(const X *row, int64_t at, int64_t k, bool aligned)
{
    chunk<X> c;
    if (aligned && at + 16 <= k) {
#pragma unroll
        for (unsigned i = 0; i < sizeof(X); i++)
            c.v[i] = *(const uint4 *)((const uint8_t *)(row + at) + 16 * i);
        return c;
    }
    constexpr int per = 16 / sizeof(X);
#pragma unroll
    for (unsigned i = 0; i < sizeof(X); i++) {
        X part[per];
#pragma unroll
        for (int j = 0; j < per; j++)
            part[j] = at + per * i + j < (uint64_t)k ? row[at + per * i + j] : X(0.0f);
        c.v[i] = *(const uint4 *)part;
    }
    return c;
}

__device__ __forceinline__ void
chunk_floats(const chunk<float> &c, float f[16])
{
#pragma unroll
    for (int i = 0; i < 4; i++) {
        f[4 * i] = __uint_as_float(c.v[i].x);
        f[4 * i + 1] = __uint_as_float(c.v[i].y);
        f[4 * i + 2] = __uint_as_float(c.v[i].z);
        f[4 * i + 3] = __uint_as_float(c.v[i].w);
    }
}

template <class X>
__device__ __forceinline__ void
chunk_floats(const chunk<X> &c, float f[16])
{
    const uint32_t w[8] = {c.v[0].x, c.v[0].y, c.v[0].z, c.v[0].w,
                           c.v[1].x, c.v[1].y, c.v[1].z, c.v[1].w};
#pragma unroll
    for (int i = 0; i < 8; i++) {
        if constexpr (sizeof(X) == 2 && __is_same(X, __half)) {
            const float2 v = __half22float2(*(const __half2 *)&w[i]);
            f[2 * i] = v.x;
            f[2 * i + 1] = v.y;
        } else {
            f[2 * i] = __uint_as_float(w[i] << 16);
            f[2 * i + 1] = __uint_as_float(w[i] & 0xffff0000u);
        }
    }
}

// Order of floats as signed integers.
__device__ __forceinline__ int32_t
ordered(float v)
{
    const int32_t b = __float_as_int(v);
    return b ^ ((b >> 31) & 0x7fffffff);
}

__device__ __forceinline__ float
unordered(int32_t o)
{
    return __int_as_float(o ^ ((o >> 31) & 0x7fffffff));
}

// What is known of a row, or of a group of 128: range of the values with 0, largest abs(x) as bits.
struct range {
    uint32_t amax;
    int32_t lo;
    int32_t hi;
};

template <bool Signed>
__device__ __forceinline__ void
range_add(range *r, const float f[16])
{
#pragma unroll
    for (int i = 0; i < 16; i++) {
        r->amax = max(r->amax, __float_as_uint(f[i]) & 0x7fffffffu);
        if (Signed) {
            r->lo = min(r->lo, ordered(f[i]));
            r->hi = max(r->hi, ordered(f[i]));
        }
    }
}

template <bool Signed>
__device__ __forceinline__ range
range_of_block(range r)
{
    __shared__ range warps[32];
    r.amax = __reduce_max_sync(~0u, r.amax);
    if (Signed) {
        r.lo = __reduce_min_sync(~0u, r.lo);
        r.hi = __reduce_max_sync(~0u, r.hi);
    }
    if ((threadIdx.x & 31) == 0)
        warps[threadIdx.x >> 5] = r;
    __syncthreads();
    const int lane = threadIdx.x & 31;
    const range other = warps[lane < (int)(blockDim.x >> 5) ? lane : 0];
    r.amax = __reduce_max_sync(~0u, other.amax);
    if (Signed) {
        r.lo = __reduce_min_sync(~0u, other.lo);
        r.hi = __reduce_max_sync(~0u, other.hi);
    }
    return r;
}

// How one row or group is rounded.
struct rule {
    float scale;  // stored
    float factor; // x is multiplied by it
    int32_t zero;
    bool blank; // all codes 0
};

__device__ __forceinline__ float
power_of_two_above(float s)
{
    const uint32_t b = __float_as_uint(s);
    return __uint_as_float((b + 0x7fffffu) & INF_BITS);
}

template <int Kind>
__device__ __forceinline__ rule
rule_of(const dlq_k_quantize_act &a, const range &r)
{
    rule u = {0.0f, 0.0f, 0, false};
    const bool finite = r.amax < INF_BITS;
    float amax = __uint_as_float(finite ? r.amax : 0x7fc00000u);
    if constexpr (Kind == DLQ_K_ACT_I8_TOKEN) {
        u.blank = !finite || amax < 0x1p-100f;
        u.scale = finite && u.blank ? 0.0f : __fdiv_rn(amax, 127.0f);
        u.factor = __fdiv_rn(127.0f, amax);
    } else if constexpr (Kind == DLQ_K_ACT_I8_TOKEN_ASYM) {
        // Halved: the whole range may overflow fp32.
        const float lo = unordered(r.lo), half = unordered(r.hi) * 0.5f - lo * 0.5f;
        u.blank = !finite || half < 0x1p-101f;
        u.scale = !finite ? amax : u.blank ? 0.0f : __fdiv_rn(half, 127.5f);
        u.factor = __frcp_rn(u.scale);
        if (!u.blank)
            u.zero = __float2int_rn(__fsub_rn(-128.0f, __fdiv_rn(lo, u.scale)));
    } else if constexpr (Kind == DLQ_K_ACT_F8_TOKEN) {
        if (a.upper_bound > 0.0f && finite)
            amax = fminf(amax, a.upper_bound);
        u.blank = !finite;
        u.scale = finite ? fmaxf(__fdiv_rn(amax, 448.0f), 1.0f / (448.0f * 512.0f)) : amax;
        u.factor = __frcp_rn(u.scale);
    } else if constexpr (Kind == DLQ_K_ACT_F8_GROUP128 || Kind == DLQ_K_ACT_F8_GROUP128_POW2) {
        u.blank = !finite;
        u.scale = finite ? __fdiv_rn(fmaxf(amax, 1e-10f), 448.0f) : amax;
        if (Kind == DLQ_K_ACT_F8_GROUP128_POW2 && finite)
            u.scale = power_of_two_above(fmaxf(u.scale, 1e-10f));
        u.factor = __frcp_rn(u.scale);
    } else {
        u.scale = finite ? *a.static_scale : amax;
        u.blank = !finite || u.scale == 0.0f;
        u.factor = __frcp_rn(u.scale);
        if (Kind == DLQ_K_ACT_I8_STATIC_ASYM && !u.blank)
            u.zero = *a.static_zero;
    }
    return u;
}

template <int Kind>
__device__ __forceinline__ uint32_t
codes4(const float f[4], const rule &u)
{
    constexpr bool f8 = Kind >= DLQ_K_ACT_F8_TOKEN;
    if constexpr (f8) {
        float v[4];
#pragma unroll
        for (int i = 0; i < 4; i++)
            v[i] = Kind == DLQ_K_ACT_F8_STATIC ? __fmul_rn(f[i], u.factor)
                                               : dlq::divided(f[i], u.scale, u.factor);
        const uint32_t lo = __nv_cvt_float2_to_fp8x2({v[0], v[1]}, __NV_SATFINITE, __NV_E4M3);
        const uint32_t hi = __nv_cvt_float2_to_fp8x2({v[2], v[3]}, __NV_SATFINITE, __NV_E4M3);
        return lo | hi << 16;
    } else {
        uint32_t packed = 0;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const float v =
                Kind == DLQ_K_ACT_I8_STATIC ? __fdiv_rn(f[i], u.scale) : __fmul_rn(f[i], u.factor);
            // Far from the int32 limits before the zero point is added.
            const int32_t r = max(-(1 << 20), min(1 << 20, __float2int_rn(v))) + u.zero;
            packed |= (uint32_t)(max(-128, min(127, r)) & 0xff) << (8 * i);
        }
        return packed;
    }
}

template <class X, int Kind>
__device__ __forceinline__ void
chunk_store(const dlq_k_quantize_act &a, uint8_t *row, int64_t at, const chunk<X> &c, const rule &u)
{
    float f[16];
    chunk_floats(c, f);
    uint32_t w[4] = {0, 0, 0, 0};
    if (!u.blank)
#pragma unroll
        for (int i = 0; i < 4; i++)
            w[i] = codes4<Kind>(f + 4 * i, u);
    // A zero point would give the padding codes of its own.
    if (u.zero != 0)
        for (int i = 0; i < 16; i++)
            if (at + i >= a.k)
                w[i >> 2] &= ~(0xffu << (8 * (i & 3)));
    *(uint4 *)(row + at) = make_uint4(w[0], w[1], w[2], w[3]);
}

template <class X, int Kind>
__device__ void
group_store(const dlq_k_quantize_act &a, int64_t m, uint8_t *q, int64_t at, const chunk<X> &c)
{
    range r = {0, 0, 0};
    float f[16];
    chunk_floats(c, f);
    range_add<false>(&r, f);
    for (int d = 1; d < 8; d *= 2)
        r.amax = max(r.amax, __shfl_xor_sync(~0u, r.amax, d));
    const rule u = rule_of<Kind>(a, r);
    if (at >= a.k)
        return;
    if ((threadIdx.x & 7) == 0)
        a.scale[(at >> 7) * a.scale_ld + m] = u.scale;
    chunk_store<X, Kind>(a, q, at, c, u);
}

// Chunks: kept in registers by each thread; 0 reads x again for the rounding.
template <class X, int Kind, int Chunks>
__global__ void __launch_bounds__(1024)
    quantize(const __grid_constant__ dlq_k_quantize_act a, bool aligned)
{
    constexpr bool sign = Kind == DLQ_K_ACT_I8_TOKEN_ASYM;
    constexpr bool grouped = Kind == DLQ_K_ACT_F8_GROUP128 || Kind == DLQ_K_ACT_F8_GROUP128_POW2;
    constexpr int kept = Chunks > 0 ? Chunks : 1;
    const int64_t m = blockIdx.x, step = (int64_t)blockDim.x * 16, first = threadIdx.x * 16;
    const X *x = (const X *)a.x + m * a.ldx;
    uint8_t *q = (uint8_t *)a.q + m * a.ldq;
    ptx_pdl_launch();
    ptx_pdl_wait();
    chunk<X> c[kept];
    if constexpr (grouped) {
        const int64_t end = (a.k + step - 1) / step * step; // all lanes stay for the shuffles
        for (int64_t at = first; at < end; at += step)
            group_store<X, Kind>(a, m, q, at, chunk_load(x, at, a.k, aligned));
        return;
    }
    range r = {0, 0, 0};
    float f[16];
    if constexpr (Chunks > 0) {
#pragma unroll
        for (int i = 0; i < kept; i++)
            c[i] = chunk_load(x, first + i * step, a.k, aligned);
#pragma unroll
        for (int i = 0; i < kept; i++) {
            chunk_floats(c[i], f);
            range_add<sign>(&r, f);
        }
    } else {
        for (int64_t at = first; at < a.k; at += step) {
            chunk_floats(chunk_load(x, at, a.k, aligned), f);
            range_add<sign>(&r, f);
        }
    }
    r = range_of_block<sign>(r);
    const rule u = rule_of<Kind>(a, r);
    if (threadIdx.x == 0) {
        a.scale[m] = u.scale;
        if (a.zero)
            a.zero[m] = u.zero;
    }
    if constexpr (Chunks > 0) {
#pragma unroll
        for (int i = 0; i < kept; i++)
            if (first + i * step < a.k)
                chunk_store<X, Kind>(a, q, first + i * step, c[i], u);
    } else {
        for (int64_t at = first; at < a.k; at += step)
            chunk_store<X, Kind>(a, q, at, chunk_load(x, at, a.k, aligned), u);
    }
}

template <class X, int Kind>
int
launch(const dlq_k_quantize_act &a, cudaStream_t stream)
{
    const int64_t chunks = (a.k + 15) / 16;
    const int kept = chunks <= 1024 ? 1 : chunks <= 2048 ? 2 : 0;
    const int64_t threads = kept ? (chunks + 32 * kept - 1) / (32 * kept) * 32 : 1024;
    const size_t bytes = sizeof(X);
    bool aligned = (uintptr_t)a.x % 16 == 0 && (uint64_t)a.ldx * bytes % 16 == 0;
    const dlq::launch_config launch(dim3((unsigned)a.m), (unsigned)threads, 0, a.pdl, stream);
    if (kept == 1)
        return launch.run(quantize<X, Kind, 1>, a, aligned);
    if (kept == 2)
        return launch.run(quantize<X, Kind, 2>, a, aligned);
    return launch.run(quantize<X, Kind, 0>, a, aligned);
}

template <int Kind>
int
launch_dtype(const dlq_k_quantize_act &a, cudaStream_t stream)
{
    switch (a.x_dtype) {
    case DLQ_F16:
        return launch<__half, Kind>(a, stream);
    case DLQ_BF16:
        return launch<__nv_bfloat16, Kind>(a, stream);
    case DLQ_F32:
        return launch<float, Kind>(a, stream);
    default:
        return DLQ_K_W8_BAD_DTYPE;
    }
}

} // namespace

extern "C" int
dlq_k_quantize_act_run(const struct dlq_k_quantize_act *a, cudaStream_t stream)
{
    const bool is_static = a->kind == DLQ_K_ACT_I8_STATIC || a->kind == DLQ_K_ACT_I8_STATIC_ASYM ||
                           a->kind == DLQ_K_ACT_F8_STATIC;
    const bool grouped = a->kind == DLQ_K_ACT_F8_GROUP128 || a->kind == DLQ_K_ACT_F8_GROUP128_POW2;
    const bool has_zero = a->kind == DLQ_K_ACT_I8_TOKEN_ASYM || a->kind == DLQ_K_ACT_I8_STATIC_ASYM;
    if (a->m < 0 || a->k <= 0 || a->m > INT32_MAX || a->k > (1 << 30) || a->ldq < a->k ||
        (grouped && a->scale_ld < a->m))
        return DLQ_K_W8_BAD_SHAPE;
    if ((uintptr_t)a->q % 16 != 0 || a->ldq % 16 != 0)
        return DLQ_K_W8_BAD_ALIGN;
    if (is_static != (a->static_scale != NULL) ||
        (a->kind == DLQ_K_ACT_I8_STATIC_ASYM) != (a->static_zero != NULL) ||
        has_zero != (a->zero != NULL))
        return DLQ_K_W8_BAD_CONFIG;
    if (a->m == 0)
        return 0;
    switch (a->kind) {
    case DLQ_K_ACT_I8_TOKEN:
        return launch_dtype<DLQ_K_ACT_I8_TOKEN>(*a, stream);
    case DLQ_K_ACT_I8_TOKEN_ASYM:
        return launch_dtype<DLQ_K_ACT_I8_TOKEN_ASYM>(*a, stream);
    case DLQ_K_ACT_I8_STATIC:
        return launch_dtype<DLQ_K_ACT_I8_STATIC>(*a, stream);
    case DLQ_K_ACT_I8_STATIC_ASYM:
        return launch_dtype<DLQ_K_ACT_I8_STATIC_ASYM>(*a, stream);
    case DLQ_K_ACT_F8_TOKEN:
        return launch_dtype<DLQ_K_ACT_F8_TOKEN>(*a, stream);
    case DLQ_K_ACT_F8_STATIC:
        return launch_dtype<DLQ_K_ACT_F8_STATIC>(*a, stream);
    case DLQ_K_ACT_F8_GROUP128:
        return launch_dtype<DLQ_K_ACT_F8_GROUP128>(*a, stream);
    case DLQ_K_ACT_F8_GROUP128_POW2:
        return launch_dtype<DLQ_K_ACT_F8_GROUP128_POW2>(*a, stream);
    default:
        return DLQ_K_W8_BAD_CONFIG;
    }
}
