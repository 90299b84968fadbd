// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// A thread takes 8 elements at a time. A CTA has a row where a scale is of the whole row and keeps
// it in registers between finding the range and rounding, unless it is very long; where it is not,
// neighbouring threads share a group. Groups of other sizes than 8 times a power of two pass a warp
// each. The largest magnitude is found on the bits of abs(x), where infinity and NaN are above
// every number.
extern "C" {
#include "quantize_fp.h"
}

#include "divide.cuh"
#include "element.cuh"
#include "launch.cuh"
#include "ptx.cuh"

#include <cuda_fp8.h>

namespace
{

constexpr uint32_t INF_BITS = 0x7f800000u;
constexpr float FLOOR_TOKEN = 1.0f / (448.0f * 512.0f);

__device__ __forceinline__ float
not_a_number(void)
{
    return __uint_as_float(0x7fc00000u);
}

__device__ __forceinline__ float
max_of(uint32_t bits)
{
    return bits >= INF_BITS ? not_a_number() : __uint_as_float(bits);
}

__device__ __forceinline__ uint8_t
to_e4m3(float v)
{
    return __nv_cvt_float_to_fp8(v, __NV_SATFINITE, __NV_E4M3);
}

__device__ __forceinline__ float
from_e4m3(uint8_t code)
{
    const uint32_t sign = (uint32_t)(code & 0x80u) << 24;
    const uint32_t a = code & 0x7fu;
    const float v = a < 8u ? (float)a * 0x1p-9f : __uint_as_float((a << 20) + (120u << 23));
    return a == 0x7fu ? not_a_number() : __uint_as_float(sign | __float_as_uint(v));
}

__device__ __forceinline__ uint8_t
to_e2m1(float v)
{
    const float a = fabsf(v);
    const int code = a <= 0.25f   ? 0
                     : a < 0.75f  ? 1
                     : a <= 1.25f ? 2
                     : a < 1.75f  ? 3
                     : a <= 2.5f  ? 4
                     : a < 3.5f   ? 5
                     : a <= 5.0f  ? 6
                                  : 7;
    return (uint8_t)(__float_as_uint(v) >> 28 & 8u | (unsigned)code);
}

__device__ __forceinline__ float
from_e2m1(uint8_t code)
{
    const int a = code & 7;
    const float v = a < 4 ? (float)a * 0.5f : (float)(2 + (a & 1)) * (a < 6 ? 1.0f : 2.0f);
    return code & 8 ? -v : v;
}

// 2^e of the largest magnitude after its mantissa is rounded up from 1.75, over the format's.
__device__ __forceinline__ float
mx_scale(float max, int offset)
{
    const int raw = (int)((__float_as_uint(max) + (1u << 21)) >> 23) - offset;
    const int exponent = min(raw < 0 ? 0 : raw, 254);
    return __uint_as_float(exponent == 0 ? 0x00400000u : (uint32_t)exponent << 23);
}

// How the elements of one row or group become codes.
struct rule {
    float scale;
    float multiply;   // by this, unless 0,
    float divide;     // then by 1 / this, unless 0
    float reciprocal; // of it
    bool bad;         // there is a NaN or an infinity
};

template <int Mode>
__device__ __forceinline__ rule
rule_of(const dlq_k_quantize_fp &a, float max)
{
    rule r = {1.0f, 0.0f, 0.0f, 0.0f, max != max};
    switch (Mode) {
    case DLQ_K_FP_FP8_TOKEN:
        r.scale = __fdiv_rn(max, 448.0f);
        r.scale = r.divide = r.scale < FLOOR_TOKEN ? FLOOR_TOKEN : r.scale;
        break;
    case DLQ_K_FP_FP8_TENSOR:
        r.scale = *a.tensor_scale;
        r.multiply = __fdiv_rn(1.0f, r.scale);
        r.bad = r.bad || r.scale != r.scale;
        break;
    case DLQ_K_FP_FP8_STATIC:
        r.scale = a.act_scale;
        r.multiply = __fdiv_rn(1.0f, a.act_scale);
        break;
    case DLQ_K_FP_FP8_GROUP:
        r.scale = r.divide = __fdiv_rn(max < 1e-10f ? 1e-10f : max, 448.0f);
        break;
    case DLQ_K_FP_NVFP4:
        r.scale = from_e4m3(to_e4m3(__fdiv_rn(__fmul_rn(max, a.act_scale), 6.0f)));
        r.scale = r.divide = r.scale == 0.0f ? 0.125f : r.scale;
        r.multiply = a.act_scale;
        break;
    case DLQ_K_FP_MXFP4:
        r.scale = r.divide = mx_scale(max, 2);
        break;
    default:
        r.scale = r.divide = mx_scale(max, 8);
        break;
    }
    r.reciprocal = __frcp_rn(r.divide);
    return r;
}

enum { WIDTH = 8 }; // elements of a thread

template <int Mode>
__device__ __forceinline__ uint8_t
code_of(const rule &r, float x)
{
    float v = r.multiply != 0.0f ? __fmul_rn(x, r.multiply) : x;
    v = r.divide != 0.0f ? dlq::divided(v, r.divide, r.reciprocal) : v;
    return Mode == DLQ_K_FP_NVFP4 || Mode == DLQ_K_FP_MXFP4 ? to_e2m1(v) : to_e4m3(v);
}

// `apart`: the scale of a group is kept apart as that of a row is.
template <int Mode>
__device__ __forceinline__ float
value_of(const rule &r, uint8_t code, bool apart)
{
    constexpr bool fp4 = Mode == DLQ_K_FP_NVFP4 || Mode == DLQ_K_FP_MXFP4;
    const float value = fp4 ? from_e2m1(code) : from_e4m3(code);
    const float scaled = Mode <= DLQ_K_FP_FP8_STATIC || apart ? value : __fmul_rn(value, r.scale);
    return r.bad ? not_a_number() : scaled;
}

// Elements k .. k + 7 of row m, zero beyond the row. `whole`: rows begin at multiples of 16 bytes.
__device__ __forceinline__ void
load(const dlq_k_quantize_fp &a, int64_t m, int64_t k, bool whole, float v[WIDTH])
{
    const int64_t at = m * a.x_stride + k;
    if (!whole || k + WIDTH > a.k) {
#pragma unroll
        for (int i = 0; i < WIDTH; i++) {
            v[i] = k + i < a.k ? dlq::element_load(a.x, a.x_dtype, at + i) : 0.0f;
        }
        return;
    }
    if (a.x_dtype == DLQ_F32) {
        *(float4 *)v = *(const float4 *)((const float *)a.x + at);
        *(float4 *)(v + 4) = *(const float4 *)((const float *)a.x + at + 4);
        return;
    }
    const uint4 raw = *(const uint4 *)((const uint16_t *)a.x + at);
    const uint32_t words[4] = {raw.x, raw.y, raw.z, raw.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const uint32_t w = words[i];
        if (a.x_dtype == DLQ_F16) {
            const float2 pair = __half22float2(*(const __half2 *)&w);
            v[2 * i] = pair.x;
            v[2 * i + 1] = pair.y;
        } else {
            v[2 * i] = __uint_as_float(w << 16);
            v[2 * i + 1] = __uint_as_float(w & 0xffff0000u);
        }
    }
}

__device__ __forceinline__ uint32_t
magnitude(const float v[WIDTH])
{
    uint32_t max = 0;
#pragma unroll
    for (int i = 0; i < WIDTH; i++) {
        max = ::max(max, __float_as_uint(v[i]) & 0x7fffffffu);
    }
    return max;
}

// Rounds and stores elements k .. k + 7. Rows of values begin at multiples of 16 bytes and are
// padded to 8 elements.
template <int Mode>
__device__ __forceinline__ void
put(const dlq_k_quantize_fp &a, const rule &r, int64_t m, int64_t k, const float x[WIDTH])
{
    uint8_t code[WIDTH];
#pragma unroll
    for (int i = 0; i < WIDTH; i++) {
        code[i] = code_of<Mode>(r, x[i]);
    }
    if (a.codes) {
        for (int i = 0; i < WIDTH && k + i < a.k; i++) {
            a.codes[m * a.k + k + i] = code[i];
        }
    }
    if (!a.values) {
        return;
    }
    alignas(16) uint8_t out[WIDTH * 4];
    if constexpr (Mode == DLQ_K_FP_FP8_GROUP) {
        if (!a.group_scale) {
#pragma unroll
            for (int i = 0; i < WIDTH; i++) {
                dlq::element_store(out, DLQ_F32, i, value_of<Mode>(r, code[i], false));
            }
            float *const to = (float *)a.values + m * a.stride + k;
            *(uint4 *)to = *(const uint4 *)out;
            *(uint4 *)(to + 4) = *(const uint4 *)(out + 16);
            return;
        }
    }
#pragma unroll
    for (int i = 0; i < WIDTH; i++) {
        dlq::element_store(out, DLQ_BF16, i,
                           value_of<Mode>(r, code[i], Mode == DLQ_K_FP_FP8_GROUP));
    }
    *(uint4 *)((uint16_t *)a.values + m * a.stride + k) = *(const uint4 *)out;
}

__device__ __forceinline__ uint32_t
max_of_block(uint32_t max)
{
    __shared__ uint32_t warps[32];
    max = __reduce_max_sync(~0u, max);
    if ((threadIdx.x & 31) == 0) {
        warps[threadIdx.x >> 5] = max;
    }
    __syncthreads();
    const unsigned lane = threadIdx.x & 31;
    return __reduce_max_sync(~0u, lane < blockDim.x >> 5 ? warps[lane] : 0);
}

// Chunks: of 8 elements that each thread keeps; 0 reads x again for the rounding.
template <int Mode, int Chunks>
__global__ void __launch_bounds__(512) rows(const __grid_constant__ dlq_k_quantize_fp a, bool whole)
{
    constexpr int kept = Chunks > 0 ? Chunks : 1;
    const int64_t m = blockIdx.x;
    const int64_t first = threadIdx.x * WIDTH;
    const int64_t step = (int64_t)blockDim.x * WIDTH;
    ptx_pdl_launch();
    ptx_pdl_wait();
    float v[kept][WIDTH];
    uint32_t max = 0;
    if (Chunks > 0) {
#pragma unroll
        for (int i = 0; i < kept; i++) {
            load(a, m, first + i * step, whole, v[i]);
        }
#pragma unroll
        for (int i = 0; i < kept; i++) {
            max = ::max(max, magnitude(v[i]));
        }
    } else {
        for (int64_t k = first; k < a.k; k += step) {
            load(a, m, k, whole, v[0]);
            max = ::max(max, magnitude(v[0]));
        }
    }
    const rule r = rule_of<Mode>(a, max_of(max_of_block(max)));
    if (threadIdx.x == 0) {
        a.row_scale[m] = r.scale;
        if (a.scales) {
            a.scales[m] = r.scale;
        }
    }
    if (Chunks > 0) {
#pragma unroll
        for (int i = 0; i < kept; i++) {
            if (first + i * step < a.k) {
                put<Mode>(a, r, m, first + i * step, v[i]);
            }
        }
    } else {
        for (int64_t k = first; k < a.k; k += step) {
            load(a, m, k, whole, v[0]);
            put<Mode>(a, r, m, k, v[0]);
        }
    }
}

template <int Mode>
__device__ __forceinline__ void
put_scales(const dlq_k_quantize_fp &a, const rule &r, int64_t m, int64_t g, int64_t count)
{
    if (a.scales && g < count) {
        a.scales[m * count + g] = r.scale;
    }
    if (Mode == DLQ_K_FP_FP8_GROUP && a.group_scale && g < count) {
        a.group_scale[g * a.group_stride + m] = r.scale;
    }
    if (g == 0) {
        a.row_scale[m] = Mode == DLQ_K_FP_NVFP4 ? __fdiv_rn(1.0f, a.act_scale) : 1.0f;
    }
}

// `lanes` threads, a power of two up to 32, share a group of 8 times as many elements.
template <int Mode>
__global__ void __launch_bounds__(256)
    groups(const __grid_constant__ dlq_k_quantize_fp a, bool whole, int lanes)
{
    const int64_t k = ((int64_t)blockIdx.x * 256 + threadIdx.x) * WIDTH;
    const int64_t size = lanes * WIDTH;
    ptx_pdl_launch();
    ptx_pdl_wait();
    for (int64_t m = blockIdx.y; m < a.m; m += gridDim.y) {
        float v[WIDTH];
        load(a, m, k, whole, v);
        uint32_t max = magnitude(v);
        for (int d = lanes / 2; d > 0; d /= 2) {
            max = ::max(max, __shfl_xor_sync(~0u, max, d));
        }
        const rule r = rule_of<Mode>(a, max_of(max));
        if ((threadIdx.x & (lanes - 1)) == 0) {
            put_scales<Mode>(a, r, m, k / size, (a.k + size - 1) / size);
        }
        if (k < a.k) {
            put<Mode>(a, r, m, k, v);
        }
    }
}

// A warp a group of any size.
__global__ void __launch_bounds__(256) odd_groups(const __grid_constant__ dlq_k_quantize_fp a)
{
    constexpr int mode = DLQ_K_FP_FP8_GROUP;
    const int64_t count = (a.k + a.act_group - 1) / a.act_group;
    const int64_t g = (int64_t)blockIdx.x * 8 + threadIdx.x / 32;
    const int64_t first = g * a.act_group + threadIdx.x % 32;
    const int64_t end = min((g + 1) * a.act_group, a.k); // at most `first` beyond the row
    ptx_pdl_launch();
    ptx_pdl_wait();
    for (int64_t m = blockIdx.y; m < a.m; m += gridDim.y) {
        uint32_t max = 0;
        for (int64_t k = first; k < end; k += 32) {
            const float v = dlq::element_load(a.x, a.x_dtype, m * a.x_stride + k);
            max = ::max(max, __float_as_uint(v) & 0x7fffffffu);
        }
        const rule r = rule_of<mode>(a, max_of(__reduce_max_sync(~0u, max)));
        if (threadIdx.x % 32 == 0) {
            put_scales<mode>(a, r, m, g, count);
        }
        for (int64_t k = first; k < end; k += 32) {
            const float v = dlq::element_load(a.x, a.x_dtype, m * a.x_stride + k);
            const uint8_t code = code_of<mode>(r, v);
            if (a.codes) {
                a.codes[m * a.k + k] = code;
            }
            if (a.values) {
                ((float *)a.values)[m * a.stride + k] = value_of<mode>(r, code, false);
            }
        }
    }
}

// Words of a.tensor_scale: the scale, the largest magnitude, CTAs that are done.
__global__ void __launch_bounds__(512)
    tensor_scale(const __grid_constant__ dlq_k_quantize_fp a, bool whole)
{
    uint32_t *const words = (uint32_t *)a.tensor_scale;
    uint32_t max = 0;
    for (int64_t m = blockIdx.x; m < a.m; m += gridDim.x) {
        for (int64_t k = threadIdx.x * WIDTH; k < a.k; k += blockDim.x * WIDTH) {
            float v[WIDTH];
            load(a, m, k, whole, v);
            max = ::max(max, magnitude(v));
        }
    }
    max = max_of_block(max);
    if (threadIdx.x != 0) {
        return;
    }
    atomicMax(words + 1, max);
    __threadfence();
    if (atomicAdd(words + 2, 1u) == gridDim.x - 1) {
        const float s = __fdiv_rn(max_of(atomicMax(words + 1, 0u)), 448.0f);
        a.tensor_scale[0] = s < 0x1p-100f ? FLOOR_TOKEN : s;
    }
}

template <class... Parameters>
int
launch(void (*kernel)(Parameters...), dim3 grid, unsigned threads, bool early, cudaStream_t stream,
       Parameters... parameters)
{
    return dlq::launch_config(grid, threads, 0, early, stream).run(kernel, parameters...);
}

bool
is_whole(const dlq_k_quantize_fp &a)
{
    const uint64_t pitch = (uint64_t)a.x_stride * (a.x_dtype == DLQ_F32 ? 4 : 2);
    return (uintptr_t)a.x % 16 == 0 && pitch % 16 == 0;
}

template <int Mode>
int
launch_rows(const dlq_k_quantize_fp &a, cudaStream_t stream)
{
    const int64_t chunks = (a.k + WIDTH - 1) / WIDTH;
    const bool whole = is_whole(a);
    const dim3 grid((unsigned)a.m);
    if (chunks <= 512) {
        return launch(rows<Mode, 1>, grid, (unsigned)(chunks + 31) / 32 * 32, a.early, stream, a,
                      whole);
    }
    if (chunks <= 2048) {
        return launch(rows<Mode, 4>, grid, (unsigned)(chunks + 127) / 128 * 32, a.early, stream, a,
                      whole);
    }
    return launch(rows<Mode, 0>, grid, 512u, a.early, stream, a, whole);
}

dim3
group_grid(const dlq_k_quantize_fp &a, int64_t blocks)
{
    return dim3((unsigned)blocks, (unsigned)(a.m < 32768 ? a.m : 32768));
}

template <int Mode>
int
launch_groups(const dlq_k_quantize_fp &a, int lanes, cudaStream_t stream)
{
    const int64_t per_block = 256 * WIDTH;
    return launch(groups<Mode>, group_grid(a, (a.k + per_block - 1) / per_block), 256u, a.early,
                  stream, a, is_whole(a), lanes);
}

int
launch_fp8_groups(const dlq_k_quantize_fp &a, cudaStream_t stream)
{
    for (int lanes = 1; lanes <= 32; lanes *= 2) {
        if (a.act_group == lanes * WIDTH) {
            return launch_groups<DLQ_K_FP_FP8_GROUP>(a, lanes, stream);
        }
    }
    const int64_t count = (a.k + a.act_group - 1) / a.act_group;
    return launch(odd_groups, group_grid(a, (count + 7) / 8), 256u, a.early, stream, a);
}

} // namespace

extern "C" int
dlq_k_quantize_fp_tensor_scale(const struct dlq_k_quantize_fp *a, cudaStream_t stream)
{
    const cudaError_t error = cudaMemsetAsync(a->tensor_scale, 0, 12, stream);
    if (error != cudaSuccess) {
        return (int)error;
    }
    return launch(tensor_scale, dim3((unsigned)(a->m < 528 ? a->m : 528)), 512u, false, stream, *a,
                  is_whole(*a));
}

extern "C" int
dlq_k_quantize_fp_run(const struct dlq_k_quantize_fp *a, cudaStream_t stream)
{
    switch (a->activation) {
    case DLQ_K_FP_FP8_TOKEN:
        return launch_rows<DLQ_K_FP_FP8_TOKEN>(*a, stream);
    case DLQ_K_FP_FP8_TENSOR: {
        const int rc = dlq_k_quantize_fp_tensor_scale(a, stream);
        return rc ? rc : launch_rows<DLQ_K_FP_FP8_TENSOR>(*a, stream);
    }
    case DLQ_K_FP_FP8_STATIC:
        return launch_rows<DLQ_K_FP_FP8_STATIC>(*a, stream);
    case DLQ_K_FP_FP8_GROUP:
        return launch_fp8_groups(*a, stream);
    case DLQ_K_FP_NVFP4:
        return launch_groups<DLQ_K_FP_NVFP4>(*a, 2, stream);
    case DLQ_K_FP_MXFP4:
        return launch_groups<DLQ_K_FP_MXFP4>(*a, 4, stream);
    case DLQ_K_FP_MXFP8:
        return launch_groups<DLQ_K_FP_MXFP8>(*a, 4, stream);
    default:
        return (int)cudaErrorInvalidValue;
    }
}
