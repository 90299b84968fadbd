// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// 4-bit weights from a checkpoint's form to the fragment layout and back to plain weights, on the
// GPU. The layout is drawn in kernels/pack/w4_fragment.h; the bytes equal those of its CPU
// functions. One warp handles one unit (16 outputs x 128 inputs).
#include "w4_gemm.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

namespace
{

constexpr int warps = 8; // strips of a CTA: neighbours in n share the sectors of an AWQ row

struct pack_args {
    struct dlq_k_w4_source s;
    char *out;
    int size, groups; // of the checkpoint
    int packed_group, strips, units, unit;
};

__device__ __forceinline__ uint16_t
integer_bits(unsigned v, int bf16)
{
    return bf16 ? __bfloat16_as_ushort(__float2bfloat16_rn((float)v))
                : __half_as_ushort(__float2half_rn((float)v));
}

template <bool Awq>
__device__ __forceinline__ unsigned
zero_at(const pack_args &a, int row, int g)
{
    if (!a.s.zeros)
        return 8;
    if (Awq)
        return a.s.zeros[(size_t)g * (a.s.n / 8) + row / 8] >> (row % 2 * 16 + row % 8 / 2 * 4) &
               15;
    return a.s.zeros[(size_t)(row / 8) * a.groups + g] >> 4 * (row % 8) & 15;
}

template <bool Awq>
__device__ __forceinline__ unsigned
code_at(const pack_args &a, int row, int col)
{
    if (row >= a.s.n || col / a.size >= a.groups)
        return 0;
    if (col >= a.s.k)
        return zero_at<Awq>(a, row, col / a.size);
    if (Awq) // column 8c + j is in nibble {0,4,1,5,2,6,3,7}[j]
        return __ldg(a.s.weights + (size_t)col * (a.s.n / 8) + row / 8) >>
                   (row % 2 * 16 + row % 8 / 2 * 4) &
               15;
    return __ldg(a.s.weights + (size_t)row * ((a.s.k + 7) / 8) + col / 8) >> 4 * (col % 8) & 15;
}

template <bool Awq>
__device__ __forceinline__ uint2
pairs_at(const pack_args &a, int row, int g)
{
    uint32_t v[2] = {0, 0};
    for (int high = 0; high < 2; high++) {
        const int n = row + 8 * high;
        if (n >= a.s.n || g >= a.groups)
            continue;
        const uint16_t scale =
            Awq ? a.s.scales[(size_t)g * a.s.n + n] : a.s.scales[(size_t)n * a.groups + g];
        v[high] = scale | (uint32_t)integer_bits(zero_at<Awq>(a, n, g), a.s.bf16) << 16;
    }
    return make_uint2(v[0], v[1]);
}

template <bool Awq> __global__ void __launch_bounds__(32 * warps) pack_kernel(const pack_args a)
{
    const int strip = blockIdx.x * warps + threadIdx.x / 32, unit = blockIdx.y,
              lane = threadIdx.x % 32;
    if (strip >= a.strips)
        return;
    const int r = lane / 4, t = lane % 4;
    char *const out = a.out + ((size_t)strip * a.units + unit) * a.unit;
#pragma unroll
    for (int c = 0; c < 2; c++) {
        uint32_t words[4];
#pragma unroll
        for (int j = 0; j < 4; j++) {
            words[j] = 0;
#pragma unroll
            for (int i = 0; i < 8; i++) {
                const int row = strip * 16 + r + i % 2 * 8,
                          col = unit * 128 + c * 64 + j * 16 + 2 * t + i / 4 + i % 4 / 2 * 8;
                words[j] |= code_at<Awq>(a, row, col) << 4 * i;
            }
        }
        *(uint4 *)(out + c * 512 + lane * 16) = make_uint4(words[0], words[1], words[2], words[3]);
    }
    const int per_unit = a.packed_group ? 128 / a.packed_group : 0;
    if (lane < 8 * per_unit)
        *(uint2 *)(out + DLQ_K_W4_UNIT_WEIGHTS + lane / 8 * DLQ_K_W4_PAIRS + lane % 8 * 8) =
            pairs_at<Awq>(a, strip * 16 + lane % 8,
                          (unit * 128 + lane / 8 * a.packed_group) / a.size);
    if (!a.packed_group && unit == 0 && lane < 8)
        *(uint2 *)(a.out + (size_t)a.strips * a.units * a.unit + (size_t)strip * DLQ_K_W4_PAIRS +
                   lane * 8) = pairs_at<Awq>(a, strip * 16 + lane, 0);
}

template <bool Awq>
int
pack_gpu(const struct dlq_k_w4_source *source, void *out, cudaStream_t stream)
{
    pack_args a;
    a.s = *source;
    a.out = (char *)out;
    a.packed_group = dlq_k_w4_packed_group(source->k, source->group);
    if (source->n < 1 || source->k < 1 || a.packed_group < 0 || (Awq && source->n % 8))
        return DLQ_K_W4_SHAPE;
    if ((uintptr_t)out & 15)
        return DLQ_K_W4_ALIGN;
    a.size = a.packed_group ? source->group : source->k;
    a.groups = (source->k + a.size - 1) / a.size;
    a.strips = (source->n + 63) / 64 * 4;
    a.units = (source->k + 127) / 128;
    a.unit = DLQ_K_W4_UNIT_WEIGHTS + (a.packed_group ? 128 / a.packed_group * DLQ_K_W4_PAIRS : 0);
    pack_kernel<Awq><<<dim3((a.strips + warps - 1) / warps, a.units), 32 * warps, 0, stream>>>(a);
    return (int)cudaGetLastError();
}

struct unpack_args {
    const char *packed;
    uint16_t *out;
    int n, k, group, strips, units, unit;
};

// (q - z) * s, rounded once, of two codes.
template <bool Bf16>
__device__ __forceinline__ uint32_t
weights2(unsigned q0, unsigned q1, float s, float z)
{
    const float w0 = ((float)q0 - z) * s, w1 = ((float)q1 - z) * s;
    if (Bf16)
        return __bfloat16_as_ushort(__float2bfloat16_rn(w0)) |
               (uint32_t)__bfloat16_as_ushort(__float2bfloat16_rn(w1)) << 16;
    return __half_as_ushort(__float2half_rn(w0)) | (uint32_t)__half_as_ushort(__float2half_rn(w1))
                                                       << 16;
}

template <bool Bf16>
__device__ __forceinline__ float
to_float(uint32_t bits)
{
    return Bf16 ? __uint_as_float(bits << 16)
                : __half2float(__ushort_as_half((unsigned short)bits));
}

template <bool Bf16>
__global__ void __launch_bounds__(32 * warps) unpack_kernel(const unpack_args a)
{
    const int at = blockIdx.x * warps + threadIdx.x / 32, lane = threadIdx.x % 32, r = lane / 4,
              t = lane % 4;
    const int strip = at / a.units, unit = at % a.units;
    if (strip >= a.strips)
        return;
    const char *const in = a.packed + (size_t)at * a.unit;
#pragma unroll
    for (int c = 0; c < 2; c++) {
        const uint4 v = *(const uint4 *)(in + c * 512 + lane * 16);
        const uint32_t mine[4] = {v.x, v.y, v.z, v.w};
        // Four lanes hold the words j = 0..3 of a row; afterwards lane t holds all of word t's k:
        // words[i] comes from lane t ^ i.
        uint32_t words[4];
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int j = t ^ i;
            const uint32_t give = j == 0 ? mine[0] : j == 1 ? mine[1] : j == 2 ? mine[2] : mine[3];
            words[i] = __shfl_xor_sync(0xffffffffu, give, i);
        }
        const int col = unit * 128 + c * 64 + t * 16;
        const char *pairs =
            a.group
                ? in + DLQ_K_W4_UNIT_WEIGHTS + (c * 64 + t * 16) / a.group * DLQ_K_W4_PAIRS
                : a.packed + (size_t)a.strips * a.units * a.unit + (size_t)strip * DLQ_K_W4_PAIRS;
        const uint2 sz = *(const uint2 *)(pairs + r * 8);
#pragma unroll
        for (int high = 0; high < 2; high++) {
            const int row = strip * 16 + r + 8 * high;
            const float s = to_float<Bf16>((high ? sz.y : sz.x) & 0xffff),
                        z = to_float<Bf16>((high ? sz.y : sz.x) >> 16);
            uint32_t w[8]; // k 2i, 2i+1 of the 16
#pragma unroll
            for (int from = 0; from < 4; from++) {
                const int i = t ^ from; // the word of lane `from` of the four
                const uint32_t q = (i == 0   ? words[0]
                                    : i == 1 ? words[1]
                                    : i == 2 ? words[2]
                                             : words[3]) >>
                                   4 * high;
                w[from] = weights2<Bf16>(q & 15, q >> 16 & 15, s, z);
                w[4 + from] = weights2<Bf16>(q >> 8 & 15, q >> 24 & 15, s, z);
            }
            if (row >= a.n)
                continue;
            uint16_t *out = a.out + (size_t)row * a.k + col;
            if (col + 16 <= a.k && ((uintptr_t)out & 15) == 0) {
                ((uint4 *)out)[0] = make_uint4(w[0], w[1], w[2], w[3]);
                ((uint4 *)out)[1] = make_uint4(w[4], w[5], w[6], w[7]);
            } else {
#pragma unroll
                for (int i = 0; i < 16; i++)
                    if (col + i < a.k)
                        out[i] = (uint16_t)(w[i / 2] >> 16 * (i % 2));
            }
        }
    }
}

} // namespace

extern "C" int
dlq_k_w4_pack_awq_gpu(const struct dlq_k_w4_source *source, void *out, cudaStream_t stream)
{
    return pack_gpu<true>(source, out, stream);
}

extern "C" int
dlq_k_w4_pack_ct_gpu(const struct dlq_k_w4_source *source, void *out, cudaStream_t stream)
{
    return pack_gpu<false>(source, out, stream);
}

extern "C" int
dlq_k_w4_unpack_gpu(const void *packed, int n, int k, int group, int bf16, void *out,
                    cudaStream_t stream)
{
    unpack_args a = {
        (const char *)packed, (uint16_t *)out, n, k, dlq_k_w4_packed_group(k, group), 0, 0, 0};
    if (n < 1 || k < 1 || a.group < 0)
        return DLQ_K_W4_SHAPE;
    a.strips = (n + 63) / 64 * 4;
    a.units = (k + 127) / 128;
    a.unit = DLQ_K_W4_UNIT_WEIGHTS + (a.group ? 128 / a.group * DLQ_K_W4_PAIRS : 0);
    const unsigned blocks = (unsigned)(((size_t)a.strips * a.units + warps - 1) / warps);
    if (bf16)
        unpack_kernel<true><<<blocks, 32 * warps, 0, stream>>>(a);
    else
        unpack_kernel<false><<<blocks, 32 * warps, 0, stream>>>(a);
    return (int)cudaGetLastError();
}
