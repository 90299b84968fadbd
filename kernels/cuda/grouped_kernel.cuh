// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// The product of grouped_gemm.h: mma.sync m16n8k16 with the weights as the 16-row operand, so that
// a code is decoded by one warp of a tile (two in the largest) and a scale belongs to whole
// registers. x and codes come through a ring of cp.async stages of `slices` blocks of 64 rows of K.
// A warp adds up a group in one set of accumulators and then moves it, times its scale, to another.
#ifndef DLQ_KERNELS_CUDA_GROUPED_KERNEL_CUH
#define DLQ_KERNELS_CUDA_GROUPED_KERNEL_CUH

#include "grouped_kernels.h"
#include "grouped_operand.cuh"

#include <cuda_bf16.h>
#include <dlquant/types.h>

namespace
{

constexpr int THREADS = 256;

// XScaled: groups of x have scales too.
template <int Code, bool Bf16, bool XScaled, int Rows, int ColumnWarps, int RowWarps, int Slices>
struct tile {
    using operand = grouped_operand<Code, Bf16>;
    static constexpr bool x_scaled = XScaled;
    static constexpr bool bf16 = Bf16;
    static constexpr int rows = Rows, slices = Slices;
    static constexpr int strips = 2 * ColumnWarps, columns = 16 * strips; // 2 strips a warp
    static constexpr int column_warps = ColumnWarps, row_warps = RowWarps;
    static constexpr int warp_rows = Rows / RowWarps, fragments = warp_rows / 8;
    static constexpr int block_bytes = 512 * operand::words; // of a strip
    static constexpr int code_bytes = strips * slices * block_bytes;
    static constexpr int x_bytes = rows * 128; // of a slice
    static constexpr int pitch = columns + 4;  // of the sums in shared memory, in floats
    static_assert(32 * ColumnWarps * RowWarps * Slices == THREADS, "8 warps");
};

template <bool Bf16>
__device__ __forceinline__ void
mma(float c[4], const uint32_t a[4], const uint32_t b[2])
{
    if constexpr (Bf16)
        asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, "
                     "%5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                     : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
    else
        asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, "
                     "%6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                     : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

__device__ __forceinline__ void
commit(void)
{
    asm volatile("cp.async.commit_group;" ::: "memory");
}

// Until at most `stages` - 2 groups of copies are on their way.
__device__ __forceinline__ void
wait_oldest(int stages)
{
    if (stages >= 6)
        asm volatile("cp.async.wait_group 4;" ::: "memory");
    else if (stages == 5)
        asm volatile("cp.async.wait_group 3;" ::: "memory");
    else if (stages == 4)
        asm volatile("cp.async.wait_group 2;" ::: "memory");
    else if (stages == 3)
        asm volatile("cp.async.wait_group 1;" ::: "memory");
    else
        asm volatile("cp.async.wait_group 0;" ::: "memory");
}

__device__ __forceinline__ void
ldmatrix2(uint32_t r[2], uint32_t addr)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(addr)
                 : "memory");
}

__device__ __forceinline__ int
element_bytes(uint32_t scale_dtype)
{
    return scale_dtype == DLQ_F32 ? 4 : 2;
}

// What of K a CTA multiplies, and where it stands.
struct span {
    int first, last; // blocks
    int strip, row;  // first strip of the tile, first row of x
};

template <class T>
__device__ __forceinline__ void
load_codes(const grouped_args &a, const span &s, uint32_t stage, int turn)
{
    constexpr int chunks = T::block_bytes / 16;
#pragma unroll
    for (int i = 0; i < T::code_bytes / 16 / THREADS; i++) {
        const int c = i * THREADS + threadIdx.x, part = c / chunks;
        const int strip = s.strip + part / T::slices;
        const int block = s.first + turn * T::slices + part % T::slices;
        const bool have = strip < a.strips && block < s.last;
        const uint8_t *const src =
            a.codes + ((int64_t)strip * a.k_blocks + block) * T::block_bytes + c % chunks * 16;
        ptx_cp_async16(stage + c * 16, have ? src : a.codes, have ? 16 : 0);
    }
}

// Scales and zero points of the groups that meet each block.
template <class T>
__device__ __forceinline__ void
load_groups(const grouped_args &a, const span &s, uint32_t stage, int turn)
{
    const int padded_n = a.strips * 16, bytes = element_bytes(a.scale_dtype);
    const int shift = bytes == 4 ? __ffs(T::columns / 4) - 1 : __ffs(T::columns / 8) - 1;
    const int row = threadIdx.x >> shift, chunk = threadIdx.x & ((1 << shift) - 1);
    const int slice = row >> 2, at = row & 3, block = s.first + turn * T::slices + slice;
    const int column = s.strip * 16 + chunk * 16 / bytes;
    if (a.scales != nullptr && slice < T::slices && block < s.last && column < padded_n) {
        const int entry = __ldg(a.blocks + block);
        if (at <= __popc(entry & 7))
            ptx_cp_async16(stage + a.scales_at +
                               (slice * a.block_groups + at) * T::columns * bytes + chunk * 16,
                           a.scales + ((int64_t)(entry >> 4) + at) * padded_n * bytes +
                               (int64_t)column * bytes,
                           16);
    }
    if (a.zeros == nullptr)
        return;
    constexpr int zero_chunks = T::columns / 16;
    const int zrow = threadIdx.x / zero_chunks, zchunk = threadIdx.x % zero_chunks;
    const int zslice = zrow >> 2, zat = zrow & 3, zblock = s.first + turn * T::slices + zslice;
    if (zslice < T::slices && zblock < s.last && s.strip + zchunk < a.strips) {
        const int entry = __ldg(a.blocks + zblock);
        if (zat <= __popc(entry & 7))
            ptx_cp_async16(
                stage + a.zeros_at + (zslice * a.block_groups + zat) * T::columns + zchunk * 16,
                a.zeros + ((int64_t)(entry >> 4) + zat) * padded_n + (s.strip + zchunk) * 16, 16);
    }
}

// Rows of 128 bytes, their 16-byte chunks swizzled for ldmatrix.
template <class T>
__device__ __forceinline__ void
load_x(const grouped_args &a, const span &s, uint32_t stage, int turn)
{
#pragma unroll
    for (int i = 0; i < T::slices * T::rows * 8 / THREADS; i++) {
        const int c = i * THREADS + threadIdx.x, chunk = c & 7, row = c / 8 % T::rows,
                  slice = c / 8 / T::rows;
        const int block = s.first + turn * T::slices + slice, k = block * 64 + chunk * 8;
        int left = s.row + row < a.m && block < s.last ? a.x_k - k : 0;
        left = max(0, min(left, 8));
        const uint16_t *const src = a.x + (int64_t)(s.row + row) * a.x_stride + k;
        ptx_cp_async16(stage + a.x_at + c / 8 * 128 + ((chunk ^ (row & 7)) << 4), left ? src : a.x,
                       left * 2);
    }
}

// Scales of columns r and r + 8 of a strip.
template <class T>
__device__ __forceinline__ float2
scale_pair(const grouped_args &a, const uint8_t *row, int strip, int r)
{
    float2 v;
    if (a.scale_dtype == DLQ_F32) {
        v = ((const float2 *)row)[strip * 8 + r];
    } else {
        const uint32_t pair = ((const uint32_t *)row)[strip * 8 + r];
        if (a.scale_dtype == DLQ_BF16)
            v = make_float2(__uint_as_float(pair << 16), __uint_as_float(pair & 0xffff0000u));
        else
            v = __half22float2(*(const __half2 *)&pair);
    }
    if constexpr (T::operand::fold != 1.0f)
        v = make_float2(v.x * T::operand::fold, v.y * T::operand::fold);
    return v;
}

// A warp's share of a tile.
template <class T> struct warp_sums {
    float part[2][T::fragments][4], total[2][T::fragments][4];

    __device__ __forceinline__ void clear()
    {
#pragma unroll
        for (int s = 0; s < 2; s++)
#pragma unroll
            for (int f = 0; f < T::fragments; f++)
#pragma unroll
                for (int e = 0; e < 4; e++)
                    part[s][f][e] = total[s][f][e] = 0.0f;
    }

    // The end of a group. `x`: the scales of the warp's rows of x in it, by fragment.
    __device__ __forceinline__ void promote(const grouped_args &a, const uint8_t *scales, int strip,
                                            int r, const float2 *x)
    {
#pragma unroll
        for (int s = 0; s < 2; s++) {
            float2 scale = make_float2(T::operand::fold, T::operand::fold);
            if (a.scales != nullptr)
                scale = scale_pair<T>(a, scales, strip + s, r);
#pragma unroll
            for (int f = 0; f < T::fragments; f++)
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    float by = e < 2 ? scale.x : scale.y;
                    if constexpr (T::x_scaled)
                        by *= e & 1 ? x[f].y : x[f].x;
                    total[s][f][e] = fmaf(part[s][f][e], by, total[s][f][e]);
                    part[s][f][e] = 0.0f;
                }
        }
    }
};

template <class T>
__device__ __forceinline__ void
load_zeros(const grouped_args &a, const uint8_t *row, int strip, int r, uint32_t z[2][2])
{
#pragma unroll
    for (int s = 0; s < 2; s++) {
        const uint32_t pair = ((const uint16_t *)row)[(strip + s) * 8 + r];
        z[s][0] = T::operand::zero(pair & 255, false);
        z[s][1] = T::operand::zero(pair >> 8, true);
    }
}

// Scales of the warp's rows of x in a block of K, which one group has.
template <class T>
__device__ __forceinline__ void
load_x_scales(const grouped_args &a, int group, int row, float2 x[T::fragments])
{
    const float *const at = a.x_scale + group * a.x_scale_stride + row + 2 * (threadIdx.x & 3);
#pragma unroll
    for (int f = 0; f < T::fragments; f++)
        x[f] = __ldg((const float2 *)(at + 8 * f));
}

// One block of 64 rows of K by one warp.
template <class T>
__device__ __forceinline__ void
multiply_block(const grouped_args &a, const uint8_t *stage, int slice, int entry, int strip,
               int row, const float2 *x_scales, uint32_t z[2][2], warp_sums<T> &sums)
{
    const int lane = threadIdx.x & 31, r = lane >> 2;
    const int scale_row = T::columns * element_bytes(a.scale_dtype);
    const uint8_t *scales = stage + a.scales_at + slice * a.block_groups * scale_row;
    const uint8_t *zeros = stage + a.zeros_at + slice * a.block_groups * T::columns;
    if (a.zeros != nullptr)
        load_zeros<T>(a, zeros, strip, r, z);
    const uint32_t x = ptx_smem(stage) + a.x_at + slice * T::x_bytes;
    uint32_t words[2][4];
#pragma unroll
    for (int step = 0; step < 4; step++) {
        constexpr int per_load = 4 / T::operand::words;
        if (step % per_load == 0)
#pragma unroll
            for (int s = 0; s < 2; s++)
                *(uint4 *)words[s] =
                    *(const uint4 *)(stage + ((strip + s) * T::slices + slice) * T::block_bytes +
                                     step / per_load * 512 + lane * 16);
        uint32_t b[T::fragments][2];
        if constexpr (T::fragments == 1) {
            const int at = row + (lane & 7), chunk = 2 * step + (lane >> 3 & 1);
            ldmatrix2(b[0], x + at * 128 + ((chunk ^ (at & 7)) << 4));
        } else {
#pragma unroll
            for (int f = 0; f < T::fragments; f += 2) {
                const int at = row + f * 8 + (lane >> 4) * 8 + (lane & 7),
                          chunk = 2 * step + (lane >> 3 & 1);
                uint32_t four[4];
                ptx_ldmatrix4(four, x + at * 128 + ((chunk ^ (at & 7)) << 4));
                b[f][0] = four[0], b[f][1] = four[1];
                b[f + 1][0] = four[2], b[f + 1][1] = four[3];
            }
        }
#pragma unroll
        for (int s = 0; s < 2; s++) {
            uint32_t w[4];
            T::operand::make(words[s] + step % per_load * T::operand::words, z[s], w);
#pragma unroll
            for (int f = 0; f < T::fragments; f++)
                mma<T::bf16>(sums.part[s][f], w, b[f]);
        }
        if (entry >> step & 1) {
            sums.promote(a, scales, strip, r, x_scales);
            scales += scale_row;
            zeros += T::columns;
            if (step < 3 && a.zeros != nullptr)
                load_zeros<T>(a, zeros, strip, r, z);
        }
    }
}

// Adds the slices' sums up in shared memory, in their order.
template <class T>
__device__ __forceinline__ void
gather_sums(float *out, const warp_sums<T> &sums, int slice, int strip, int row)
{
    const int lane = threadIdx.x & 31, r = lane >> 2, t = lane & 3;
#pragma unroll 1
    for (int turn = 0; turn < T::slices; turn++) {
        __syncthreads();
        if (turn != slice)
            continue;
#pragma unroll
        for (int s = 0; s < 2; s++)
#pragma unroll
            for (int f = 0; f < T::fragments; f++)
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    float *const at = out + (row + f * 8 + 2 * t + (e & 1)) * T::pitch +
                                      (strip + s) * 16 + r + (e >> 1) * 8;
                    *at = turn == 0 ? sums.total[s][f][e] : *at + sums.total[s][f][e];
                }
    }
    __syncthreads();
}

__device__ __forceinline__ void
store_element(void *y, uint32_t dtype, int64_t at, float v)
{
    if (dtype == DLQ_F16)
        ((__half *)y)[at] = __float2half_rn(v);
    else if (dtype == DLQ_BF16)
        ((__nv_bfloat16 *)y)[at] = __float2bfloat16_rn(v);
    else
        ((float *)y)[at] = v;
}

template <class T>
__device__ __forceinline__ void
store_tile(const grouped_args &a, const span &s, const float *sums)
{
    const int padded_n = a.strips * 16;
    for (int i = threadIdx.x; i < T::rows * T::columns / 4; i += THREADS) {
        const int row = i / (T::columns / 4), column = i % (T::columns / 4) * 4;
        const int m = s.row + row, n = s.strip * 16 + column;
        if (m >= a.m || n >= padded_n)
            continue;
        const float4 v = *(const float4 *)(sums + row * T::pitch + column);
        if (a.partial != nullptr) {
            *(float4 *)(a.partial + ((int64_t)blockIdx.z * a.m + m) * padded_n + n) = v;
            continue;
        }
        const float each[4] = {v.x, v.y, v.z, v.w};
        const float scale = a.row_scale != nullptr ? a.row_scale[m] : 1.0f;
#pragma unroll
        for (int e = 0; e < 4; e++) {
            if (n + e >= a.n)
                break;
            const float factor = a.factors != nullptr ? a.factors[n + e] : 1.0f;
            const float bias = a.bias != nullptr ? a.bias[n + e] : 0.0f;
            store_element(a.y, a.y_dtype, m * a.y_stride + n + e,
                          __fadd_rn(__fmul_rn(each[e], __fmul_rn(scale, factor)), bias));
        }
    }
}

template <class T>
__global__ void
__launch_bounds__(THREADS) grouped(const __grid_constant__ grouped_args a)
{
    extern __shared__ __align__(128) uint8_t ring[];
    const int warp = threadIdx.x >> 5, strip = warp % T::column_warps * 2;
    const int row = warp / T::column_warps % T::row_warps * T::warp_rows;
    const int slice = warp / T::column_warps / T::row_warps;
    span s;
    s.row = blockIdx.x * T::rows;
    s.strip = blockIdx.y * T::strips;
    s.first = blockIdx.z * a.split;
    s.last = min(s.first + a.split, a.k_blocks);
    const int turns = (s.last - s.first + T::slices - 1) / T::slices;
    const uint32_t base = ptx_smem(ring);

    // Weights do not depend on the kernel before this one.
    ptx_pdl_launch();
    for (int i = 0; i < a.stages - 1; i++) {
        load_codes<T>(a, s, base + i * a.stage_at, i);
        load_groups<T>(a, s, base + i * a.stage_at, i);
    }
    ptx_pdl_wait();
    for (int i = 0; i < a.stages - 1; i++) {
        load_x<T>(a, s, base + i * a.stage_at, i);
        commit();
    }

    warp_sums<T> sums;
    sums.clear();
    uint32_t z[2][2];
#pragma unroll
    for (int i = 0; i < 4; i++)
        z[i >> 1][i & 1] = T::operand::zero(a.zero, i & 1);
    int stage = 0, next = a.stages - 1;
    for (int turn = 0; turn < turns; turn++) {
        const int block = s.first + turn * T::slices + slice;
        int entry = block < s.last ? __ldg(a.blocks + block) & 15 : 0;
        // The warp's next block belongs to another group, or there is none.
        if (T::slices > 1 || block + 1 == s.last)
            entry |= 8;
        wait_oldest(a.stages);
        __syncthreads();
        load_codes<T>(a, s, base + next * a.stage_at, turn + a.stages - 1);
        load_groups<T>(a, s, base + next * a.stage_at, turn + a.stages - 1);
        load_x<T>(a, s, base + next * a.stage_at, turn + a.stages - 1);
        commit();
        float2 x_scales[T::fragments];
        if (block < s.last) {
            if constexpr (T::x_scaled)
                load_x_scales<T>(a, __ldg(a.blocks + block) >> 4, s.row + row, x_scales);
            multiply_block<T>(a, ring + stage * a.stage_at, slice, entry, strip, row, x_scales, z,
                              sums);
        }
        stage = stage + 1 == a.stages ? 0 : stage + 1;
        next = next + 1 == a.stages ? 0 : next + 1;
    }
    ptx_cp_async_wait();
    gather_sums<T>((float *)ring, sums, slice, strip, row);
    store_tile<T>(a, s, (const float *)ring);
}

template <class T>
int
start(const struct grouped_launch *launch, const struct grouped_args *args, cudaStream_t stream)
{
    if (args == nullptr)
        return (int)cudaFuncSetAttribute(grouped<T>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                         launch->shared);
    cudaLaunchAttribute attribute;
    attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attribute.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config = {};
    config.gridDim = launch->grid;
    config.blockDim = dim3(THREADS);
    config.dynamicSmemBytes = (size_t)launch->shared;
    config.stream = stream;
    config.attrs = &attribute;
    config.numAttrs = launch->early ? 1 : 0;
    return (int)cudaLaunchKernelEx(&config, grouped<T>, *args);
}

template <int Code, bool Bf16, bool XScaled>
int
start_tile(const struct grouped_launch *launch, const struct grouped_args *args,
           cudaStream_t stream)
{
    switch (launch->tile) {
    case 0:
        return start<tile<Code, Bf16, XScaled, 8, 2, 1, 4>>(launch, args, stream);
    case 1:
        return start<tile<Code, Bf16, XScaled, 16, 2, 1, 4>>(launch, args, stream);
    case 2:
        return start<tile<Code, Bf16, XScaled, 32, 2, 1, 4>>(launch, args, stream);
    case 3:
        return start<tile<Code, Bf16, XScaled, 64, 4, 1, 2>>(launch, args, stream);
    default:
        return start<tile<Code, Bf16, XScaled, 128, 4, 2, 1>>(launch, args, stream);
    }
}

template <int Code>
int
grouped_dispatch(const struct grouped_launch *launch, const struct grouped_args *args,
                 cudaStream_t stream)
{
    if constexpr (Code == DLQ_K_GROUPED_E4M3)
        if (launch->x_scaled)
            return start_tile<Code, true, true>(launch, args, stream);
    return launch->bf16 ? start_tile<Code, true, false>(launch, args, stream)
                        : start_tile<Code, false, false>(launch, args, stream);
}

} // namespace

#endif
