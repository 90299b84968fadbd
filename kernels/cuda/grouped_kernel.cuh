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
#include "launch.cuh"

#include <cuda_bf16.h>
#include <dlquant/types.h>

namespace
{

constexpr int THREADS = 256;

// What is known of groups: they end with blocks, or within them; or they end with blocks, and x has
// scales for them too.
enum groups { WHOLE, FINE, X_SCALED };

template <int Code, bool Bf16, groups Groups, int Rows, int ColumnWarps, int RowWarps, int Slices>
struct tile {
    using operand = grouped_operand<Code, Bf16>;
    static constexpr bool bf16 = Bf16, fine = Groups == FINE, x_scaled = Groups == X_SCALED;
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
        asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, "
            "%7}, {%8, %9}, {%0, %1, %2, %3};"
            : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
    else
        asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, "
            "%7}, {%8, %9}, {%0, %1, %2, %3};"
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

// 16 bytes, or zeros.
__device__ __forceinline__ void
copy16(uint32_t dst, const void *src, bool have)
{
    asm volatile("{.reg .pred p; setp.eq.u32 p, %2, 0; cp.async.cg.shared.global [%0], [%1], 16, "
                 "p;}" ::"r"(dst),
                 "l"(src), "r"((uint32_t)have)
                 : "memory");
}

__device__ __forceinline__ uint32_t
shared32(uint32_t at)
{
    uint32_t v;
    asm volatile("ld.shared.u32 %0, [%1];" : "=r"(v) : "r"(at) : "memory");
    return v;
}

__device__ __forceinline__ uint32_t
shared16(uint32_t at)
{
    uint16_t v;
    asm volatile("ld.shared.u16 %0, [%1];" : "=h"(v) : "r"(at) : "memory");
    return v;
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

// A thread's share of the copies of a turn. Everything that does not change from turn to turn is
// found once; pointers move on by themselves.
template <class T> struct copies {
    static constexpr int chunks = T::block_bytes / 16; // of a block of a strip
    static constexpr int code_turns = T::code_bytes / 16 / THREADS;
    static constexpr int strip_step = THREADS / chunks / T::slices; // from one of these to the next
    static constexpr int x_turns = T::slices * T::rows * 8 / THREADS;
    static constexpr int x_step = THREADS / 8; // rows from one of these to the next
    static_assert(THREADS % (chunks * T::slices) == 0, "a thread stays in its slice");
    static_assert(code_turns <= 4 && x_turns <= 4, "one chunk a step");

    const uint8_t *codes;
    const uint16_t *x;
    const uint8_t *scales, *zeros; // this thread's chunk of the first group's row
    const int32_t *scale_entry, *zero_entry;
    int64_t strip_bytes, x_apart; // bytes of strip_step strips, elements of x_step rows
    uint32_t target, x_target, scale_target, zero_target; // in the ring
    uint32_t rows, strips; // a bit for each of the turns above that has something
    int code_blocks, x_left, scale_blocks, zero_blocks; // left: blocks, elements of x, blocks
    int scale_row, zero_row;

    __device__ __forceinline__ void begin(const grouped_args &a, const span &s, uint32_t ring)
    {
        const int t = threadIdx.x, part = t / chunks, slice = part % T::slices;
        const int64_t strip_size = (int64_t)a.k_blocks * T::block_bytes;
        const int strip = s.strip + part / T::slices;
        codes = a.codes + strip * strip_size + (int64_t)(s.first + slice) * T::block_bytes +
                t % chunks * 16;
        strip_bytes = strip_step * strip_size;
        code_blocks = s.last - s.first - slice;
        target = ring + t * 16;
        strips = 0;
#pragma unroll
        for (int i = 0; i < code_turns; i++)
            strips |= strip + i * strip_step < a.strips ? 1u << i : 0;

        const int chunk = t & 7, row = t / 8 % T::rows, k = (s.first + t / 8 / T::rows) * 64;
        x = a.x + (s.row + row) * a.x_stride + k + chunk * 8;
        x_apart = x_step % T::rows * a.x_stride;
        x_left = min(a.x_k, s.last * 64) - k - chunk * 8;
        x_target = ring + a.x_at + t / 8 * 128 + ((chunk ^ (row & 7)) << 4);
        rows = 0;
#pragma unroll
        for (int i = 0; i < x_turns; i++)
            rows |= s.row + row + i * x_step % T::rows < a.m ? 1u << i : 0;
        begin_groups(a, s, ring);
    }

    // Scales from the first thread on, zero points from the last one back.
    __device__ __forceinline__ void begin_groups(const grouped_args &a, const span &s,
                                                 uint32_t ring)
    {
        const int padded_n = a.strips * 16, bytes = element_bytes(a.scale_dtype);
        const int held = T::fine ? a.block_groups : 1;
        const int per_row = T::columns * bytes / 16;
        const int row = threadIdx.x / per_row, slice = row / held;
        const int column = s.strip * 16 + threadIdx.x % per_row * 16 / bytes;
        scale_row = row % held;
        scale_blocks = a.scales != nullptr && slice < T::slices && column < padded_n
                           ? s.last - s.first - slice
                           : 0;
        scale_entry = a.blocks + s.first + slice;
        scale_target = ring + a.scales_at + threadIdx.x * 16;
        scales = a.scales + ((int64_t)scale_row * padded_n + column) * bytes;

        constexpr int zero_chunks = T::columns / 16;
        const int back = THREADS - 1 - threadIdx.x, zrow = back / zero_chunks, zslice = zrow / held;
        const int strip = s.strip + back % zero_chunks;
        zero_row = zrow % held;
        zero_blocks = a.zeros != nullptr && zslice < T::slices && strip < a.strips
                          ? s.last - s.first - zslice
                          : 0;
        zero_entry = a.blocks + s.first + zslice;
        zero_target = ring + a.zeros_at + back * 16;
        zeros = a.zeros + (int64_t)zero_row * padded_n + strip * 16;
    }

    // `to`: bytes from the start of the ring to a stage.
    __device__ __forceinline__ void code_chunk(uint32_t to, int i) const
    {
        copy16(target + to + i * THREADS * 16, codes + i * strip_bytes,
               code_blocks > 0 && (strips >> i & 1));
    }

    // Rows of 128 bytes, their 16-byte chunks swizzled for ldmatrix.
    __device__ __forceinline__ void x_chunk(uint32_t to, int i) const
    {
        const int row_turns = T::rows / x_step > 0 ? T::rows / x_step : 1;
        const int slice = i * x_step / T::rows;
        copy16(x_target + to + i * x_step * 128, x + i % row_turns * x_apart + slice * 64,
               x_left - slice * 64 > 0 && (rows >> i & 1));
    }

    __device__ __forceinline__ void group_rows(const grouped_args &a, uint32_t to)
    {
        if (scale_blocks > 0) {
            const int entry = __ldg(scale_entry);
            if (!T::fine || scale_row <= __popc(entry & 7))
                copy16(scale_target + to,
                       scales +
                           (int64_t)(entry >> 4) * (a.strips * 16) * element_bytes(a.scale_dtype),
                       true);
            scale_entry += T::slices;
            scale_blocks -= T::slices;
        }
        if (zero_blocks > 0) {
            const int entry = __ldg(zero_entry);
            if (!T::fine || zero_row <= __popc(entry & 7))
                copy16(zero_target + to, zeros + (int64_t)(entry >> 4) * (a.strips * 16), true);
            zero_entry += T::slices;
            zero_blocks -= T::slices;
        }
    }

    __device__ __forceinline__ void next_weights()
    {
        codes += T::slices * T::block_bytes;
        code_blocks -= T::slices;
    }

    __device__ __forceinline__ void next_rows()
    {
        x += T::slices * 64;
        x_left -= T::slices * 64;
    }

    __device__ __forceinline__ void weights(const grouped_args &a, uint32_t to)
    {
#pragma unroll
        for (int i = 0; i < code_turns; i++)
            code_chunk(to, i);
        group_rows(a, to);
        next_weights();
    }

    __device__ __forceinline__ void all_rows(uint32_t to)
    {
#pragma unroll
        for (int i = 0; i < x_turns; i++)
            x_chunk(to, i);
        next_rows();
    }

    // A quarter of a turn, to be issued between the products of a block.
    __device__ __forceinline__ void quarter(const grouped_args &a, uint32_t to, int q)
    {
        if (q < x_turns)
            x_chunk(to, q);
        if (q < code_turns)
            code_chunk(to, q);
        if (q < 3)
            return;
        group_rows(a, to);
        next_weights();
        next_rows();
        commit();
    }
};

// Scales of columns r and r + 8 of a strip, by the address of its pair 0 in a row.
template <class T>
__device__ __forceinline__ float2
scale_pair(const grouped_args &a, uint32_t row, int pair)
{
    float2 v;
    if (a.scale_dtype == DLQ_F32) {
        const uint2 bits = ptx_lds64(row + pair * 8);
        v = make_float2(__uint_as_float(bits.x), __uint_as_float(bits.y));
    } else {
        const uint32_t bits = shared32(row + pair * 4);
        if (a.scale_dtype == DLQ_BF16)
            v = make_float2(__uint_as_float(bits << 16), __uint_as_float(bits & 0xffff0000u));
        else
            v = __half22float2(*(const __half2 *)&bits);
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
    __device__ __forceinline__ void promote(const grouped_args &a, uint32_t scales, int pair,
                                            const float2 *x)
    {
#pragma unroll
        for (int s = 0; s < 2; s++) {
            float2 scale = make_float2(T::operand::fold, T::operand::fold);
            if (a.scales != nullptr)
                scale = scale_pair<T>(a, scales, pair + 8 * s);
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
load_zeros(uint32_t row, int pair, uint32_t z[2][2])
{
#pragma unroll
    for (int s = 0; s < 2; s++) {
        const uint32_t both = shared16(row + (pair + 8 * s) * 2);
        z[s][0] = T::operand::zero(both & 255, false);
        z[s][1] = T::operand::zero(both >> 8, true);
    }
}

// The operand of x for one step. `at` is this lane's row and chunk in step 0.
template <class T>
__device__ __forceinline__ void
load_fragments(uint32_t at, int step, uint32_t b[T::fragments][2])
{
    if constexpr (T::fragments == 1) {
        ldmatrix2(b[0], at ^ step << 5);
    } else {
#pragma unroll
        for (int f = 0; f < T::fragments; f += 2) {
            uint32_t four[4];
            ptx_ldmatrix4(four, (at ^ step << 5) + f * 1024);
            b[f][0] = four[0], b[f][1] = four[1];
            b[f + 1][0] = four[2], b[f + 1][1] = four[3];
        }
    }
}

// Scales of the warp's rows of x in a group.
template <class T>
__device__ __forceinline__ void
load_x_scales(const grouped_args &a, int group, int row, float2 x[T::fragments])
{
    const float *const at = a.x_scale + group * a.x_scale_stride + row + 2 * (threadIdx.x & 3);
#pragma unroll
    for (int f = 0; f < T::fragments; f++)
        x[f] = __ldg((const float2 *)(at + 8 * f));
}

// Where a warp finds its share of a stage: addresses in stage 0, and this lane's pair of scales.
struct place {
    uint32_t codes, x, scales, zeros;
    int pair;
    int row; // of x
};

// One block of 64 rows of K by one warp, from the stage `at` bytes into the ring, and its share of
// the copies of a later block to the stage `to`. entry: as in the packed form, with bit i where
// sums are moved after step i.
template <class T>
__device__ __forceinline__ void
multiply_block(const grouped_args &a, const place &p, uint32_t at, int entry, bool fresh,
               uint32_t z[2][2], warp_sums<T> &sums, copies<T> &load, uint32_t to)
{
    uint32_t scales = p.scales + at, zeros = p.zeros + at;
    constexpr int per_load = 4 / T::operand::words; // steps of 16 bytes of codes
    uint4 words[2];
    uint32_t b[2][T::fragments][2];
    float2 x_scales[T::fragments];
    load_fragments<T>(p.x + at, 0, b[0]);
    if (T::x_scaled && (entry & 8))
        load_x_scales<T>(a, entry >> 4, p.row, x_scales);
    if (fresh)
        load_zeros<T>(zeros, p.pair, z);
#pragma unroll
    for (int step = 0; step < 4; step++) {
        if (step % per_load == 0)
#pragma unroll
            for (int s = 0; s < 2; s++)
                words[s] = ptx_lds128(p.codes + at + s * T::slices * T::block_bytes +
                                      step / per_load * 512);
        // Ahead of the branch below, which nothing moves across.
        if (step < 3)
            load_fragments<T>(p.x + at, step + 1, b[(step + 1) & 1]);
#pragma unroll
        for (int s = 0; s < 2; s++) {
            uint32_t w[4];
            const uint32_t *const mine = (const uint32_t *)&words[s];
            T::operand::make(mine + step % per_load * T::operand::words, z[s], w);
#pragma unroll
            for (int f = 0; f < T::fragments; f++)
                mma<T::bf16>(sums.part[s][f], w, b[step & 1][f]);
        }
        load.quarter(a, to, step);
        if ((T::fine || step == 3) && (entry >> step & 1)) {
            sums.promote(a, scales, p.pair, x_scales);
            if (T::fine && step < 3) {
                scales += T::columns * element_bytes(a.scale_dtype);
                zeros += T::columns;
                if (a.zeros != nullptr)
                    load_zeros<T>(zeros, p.pair, z);
            }
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
__launch_bounds__(THREADS, T::rows <= 32 ? 2 : 1) grouped(const __grid_constant__ grouped_args a)
{
    extern __shared__ __align__(128) uint8_t ring[];
    const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
    const int strip = warp % T::column_warps * 2;
    const int row = warp / T::column_warps % T::row_warps * T::warp_rows;
    const int slice = warp / T::column_warps / T::row_warps;
    span s;
    s.row = blockIdx.x * T::rows;
    s.strip = blockIdx.y * T::strips;
    s.first = blockIdx.z * a.split;
    s.last = min(s.first + a.split, a.k_blocks);
    const uint32_t base = ptx_smem(ring), end = a.stages * a.stage_at;
    copies<T> load;
    load.begin(a, s, base);

    // Weights do not depend on the kernel before this one.
    ptx_pdl_launch();
    for (uint32_t to = 0; to < end - a.stage_at; to += a.stage_at)
        load.weights(a, to);
    ptx_pdl_wait();
    for (uint32_t to = 0; to < end - a.stage_at; to += a.stage_at) {
        load.all_rows(to);
        commit();
    }

    warp_sums<T> sums;
    sums.clear();
    uint32_t z[2][2];
#pragma unroll
    for (int i = 0; i < 4; i++)
        z[i >> 1][i & 1] = T::operand::zero(a.zero, i & 1);
    place p;
    const int x_row = row + (T::fragments > 1 ? lane >> 4 << 3 : 0) + (lane & 7);
    const int held = T::fine ? a.block_groups : 1;
    p.codes = base + (strip * T::slices + slice) * T::block_bytes + lane * 16;
    p.x = base + a.x_at + slice * T::x_bytes + x_row * 128 + (((lane >> 3 ^ lane) & 1) << 4) +
          ((lane & 6) << 4);
    p.pair = strip * 8 + (lane >> 2);
    p.row = s.row + row;
    p.scales = base + a.scales_at + slice * held * T::columns * element_bytes(a.scale_dtype);
    p.zeros = base + a.zeros_at + slice * held * T::columns;

    const int32_t *entries = a.blocks + s.first + slice;
    bool fresh = a.zeros != nullptr;
    uint32_t at = 0, to = end - a.stage_at;
    for (int block = s.first; block < s.last; block += T::slices) {
        const bool mine = T::slices == 1 || block + slice < s.last;
        int entry = mine ? __ldg(entries) : 0;
        entries += T::slices;
        // The warp's next block belongs to another group, or there is none.
        if (T::slices > 1 || block + 1 == s.last)
            entry |= 8;
        wait_oldest(a.stages);
        __syncthreads();
        if (mine)
            multiply_block<T>(a, p, at, entry, fresh, z, sums, load, to);
        else
#pragma unroll
            for (int q = 0; q < 4; q++)
                load.quarter(a, to, q);
        if (T::slices == 1 && !T::fine)
            fresh = a.zeros != nullptr && (entry & 8);
        to = at;
        at = at + a.stage_at == end ? 0 : at + a.stage_at;
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
    const dlq::launch_config config(launch->grid, THREADS, (size_t)launch->shared, launch->early,
                                    stream);
    return config.run(grouped<T>, *args);
}

template <int Code, bool Bf16, groups Groups>
int
start_tile(const struct grouped_launch *launch, const struct grouped_args *args,
           cudaStream_t stream)
{
    switch (launch->tile) {
    case 0:
        return start<tile<Code, Bf16, Groups, 8, 2, 1, 4>>(launch, args, stream);
    case 1:
        return start<tile<Code, Bf16, Groups, 16, 2, 1, 4>>(launch, args, stream);
    case 2:
        return start<tile<Code, Bf16, Groups, 32, 2, 1, 4>>(launch, args, stream);
    case 3:
        return start<tile<Code, Bf16, Groups, 64, 4, 1, 2>>(launch, args, stream);
    default:
        return start<tile<Code, Bf16, Groups, 128, 4, 2, 1>>(launch, args, stream);
    }
}

template <int Code>
int
grouped_dispatch(const struct grouped_launch *launch, const struct grouped_args *args,
                 cudaStream_t stream)
{
    if constexpr (Code == DLQ_K_GROUPED_E4M3)
        if (launch->x_scaled)
            return start_tile<Code, true, X_SCALED>(launch, args, stream);
    if (launch->fine)
        return launch->bf16 ? start_tile<Code, true, FINE>(launch, args, stream)
                            : start_tile<Code, false, FINE>(launch, args, stream);
    return launch->bf16 ? start_tile<Code, true, WHOLE>(launch, args, stream)
                        : start_tile<Code, false, WHOLE>(launch, args, stream);
}

} // namespace

#endif
