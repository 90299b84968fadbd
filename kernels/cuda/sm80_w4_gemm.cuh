// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// y = x W^T on mma.sync, W in the Marlin layout, compute capability 8.0 and up.
//
// Weights are the 16-row operand. A word of the layout is one warp's operand of m16n8k16 (PTX ISA,
// "Matrix fragments for mma.m16n8k16"), r = lane / 4, t = lane % 4:
//
//     4 bit, nibble   0      1       2      3        4        5       6        7
//            n        r      r       r+8    r+8      r        r       r+8      r+8
//            k        2t     2t+8    2t     2t+8     2t+1     2t+9    2t+1     2t+9
//     register        a0.lo  a2.lo   a1.lo  a3.lo    a0.hi    a2.hi   a1.hi    a3.hi
//
//     8 bit: a word for n = r, one for n = r+8; bytes 0, 2 are k 2t, 2t+1 and bytes 1, 3 k 2t+8,
//     2t+9
//
// so that a0 and a2 are masks of the word and a1 and a3 masks of the word shifted by 8. A lane's 16
// bytes are the words of 4 x 16 columns; its scales of those columns are 16 bytes of the permuted
// row of scales, its zero points one word.
//
// A CTA is 8 warps, Wn along columns (64 each), Wt along tokens, Wk along k. Shared memory is a
// ring of stages that cp.async fills:
//
//     stage    weights [Kt / 16][Nt / 64] tiles of 512 (1024) bytes | x [Mt][Kt], 16-byte chunks c
//              of row m at c ^ (m & 7) | scales [Kt / 32][Nt] | zeros [Kt / 32][Nt / 8] words
//
// Work is cut as struct sm80_w4_args says. Where a tile is shared by several CTAs each writes its
// fp32 sums to the workspace and counts itself; the one that comes last adds all in the order of k,
// so that bits do not depend on who that is, and nobody waits.
#ifndef DLQ_KERNELS_CUDA_SM80_W4_GEMM_CUH
#define DLQ_KERNELS_CUDA_SM80_W4_GEMM_CUH

#include "ptx.cuh"
#include "sm80_w4.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

namespace
{

template <int Bits, int Mt, int Wn, int Wt, int Wk, int Kt, int Ctas> struct w4_shape {
    static constexpr int threads = 256;
    static constexpr int columns = Wn * 64;
    static constexpr int tokens = Mt / Wt; // of a warp
    static constexpr int nt = tokens / 8;
    static constexpr int steps = Kt / 16 / Wk; // of a warp in a stage
    static constexpr int words = Bits;         // of a lane in a step
    static constexpr int tile_bytes = 128 * Bits;
    static constexpr int weight_bytes = Kt / 16 * Wn * tile_bytes;
    static constexpr int x_bytes = Mt * Kt * 2;
    static constexpr int scale_bytes = Kt / 32 * columns * 2;
    static constexpr int zero_bytes = Bits == 4 ? Kt / 32 * columns / 2 : 0;
    static constexpr int stage_bytes = weight_bytes + x_bytes + scale_bytes + zero_bytes;
    // Sums of the warps wk > 0, `slices` times a part.
    static constexpr int slices = Wk == 1 ? 1 : Mt <= 16 ? 1 : Mt == 32 ? 2 : 4;
    static constexpr int slice_words = 4 / slices;
    static constexpr int sum_bytes = (Wk - 1) * Mt * columns * 4 / slices;
    static constexpr int owners = Wn * Wt * 32; // threads that hold a tile's sums
    static constexpr int fragments = 4 * nt;    // float4 of each

    static_assert(Wn * Wt * Wk == 8 && steps % 2 == 0 && tokens % 8 == 0, "8 warps");
};

template <bool Bf16>
__device__ __forceinline__ void
w4_mma(float4 &c, const uint32_t a[4], const uint32_t b[2])
{
    if (Bf16)
        asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
            "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
            : "+f"(c.x), "+f"(c.y), "+f"(c.z), "+f"(c.w)
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
    else
        asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
            "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
            : "+f"(c.x), "+f"(c.y), "+f"(c.z), "+f"(c.w)
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

__device__ __forceinline__ __half2
as_half2(uint32_t v)
{
    return *reinterpret_cast<__half2 *>(&v);
}

__device__ __forceinline__ __nv_bfloat162
as_bf162(uint32_t v)
{
    return *reinterpret_cast<__nv_bfloat162 *>(&v);
}

template <class T>
__device__ __forceinline__ uint32_t
as_word(T v)
{
    return *reinterpret_cast<uint32_t *>(&v);
}

template <bool Bf16>
__device__ __forceinline__ float
w4_float(uint16_t bits)
{
    return Bf16 ? __uint_as_float((uint32_t)bits << 16) : __half2float(__ushort_as_half(bits));
}

template <bool Bf16>
__device__ __forceinline__ uint32_t
w4_pair(float low, float high)
{
    return Bf16 ? as_word(__floats2bfloat162_rn(low, high)) : as_word(__floats2half2_rn(low, high));
}

// (q - z) * s of one word's 16 x 16 weights, rounded once. `scale` and `zero` are those of rows r
// (low half) and r+8. fp16: codes become 1024 + q or 1024 + 16 q by an OR, and q - z is exact.
// bf16: a masked code is q * 2^-133 or q * 2^-129, a subnormal number or the first normal ones
// alike, and (q - z) * 2^-6 is exact; the scale takes the 2^6.
template <bool Bf16>
__device__ __forceinline__ void
w4_weights4(uint32_t a[4], uint32_t word, uint32_t scale, uint32_t zero)
{
    const uint32_t word8 = word >> 8;
    if (Bf16) {
        const __nv_bfloat162 up0 = as_bf162(0x7f007f00u),
                             up1 = as_bf162(0x7d007d00u); // 2^127, 2^123
        const __nv_bfloat162 z = __hmul2(as_bf162(zero), as_bf162(0xff00ff00u));
        const __nv_bfloat162 s = __hmul2(as_bf162(scale), as_bf162(0x42804280u));
        const __nv_bfloat162 z0 = __low2bfloat162(z), z1 = __high2bfloat162(z);
        const __nv_bfloat162 s0 = __low2bfloat162(s), s1 = __high2bfloat162(s);
        a[0] = as_word(__hmul2(__hfma2(as_bf162(word & 0x000f000fu), up0, z0), s0));
        a[1] = as_word(__hmul2(__hfma2(as_bf162(word8 & 0x000f000fu), up0, z1), s1));
        a[2] = as_word(__hmul2(__hfma2(as_bf162(word & 0x00f000f0u), up1, z0), s0));
        a[3] = as_word(__hmul2(__hfma2(as_bf162(word8 & 0x00f000f0u), up1, z1), s1));
    } else {
        const __half2 down = as_half2(0x2c002c00u); // 1/16
        const __half2 z = as_half2(zero | 0xe400e400u), zh = __hadd2(z, as_half2(0x63806380u));
        const __half2 s0 = __low2half2(as_half2(scale)), s1 = __high2half2(as_half2(scale));
        const __half2 q0 = as_half2(ptx_and_or<0x000f000fu, 0x64006400u>(word));
        const __half2 q1 = as_half2(ptx_and_or<0x000f000fu, 0x64006400u>(word8));
        const __half2 q2 = as_half2(ptx_and_or<0x00f000f0u, 0x64006400u>(word));
        const __half2 q3 = as_half2(ptx_and_or<0x00f000f0u, 0x64006400u>(word8));
        a[0] = as_word(__hmul2(__hadd2(q0, __low2half2(z)), s0));
        a[1] = as_word(__hmul2(__hadd2(q1, __high2half2(z)), s1));
        a[2] = as_word(__hmul2(__hfma2(q2, down, __low2half2(zh)), s0));
        a[3] = as_word(__hmul2(__hfma2(q3, down, __high2half2(zh)), s1));
    }
}

// (q - 128) * s of the two words of 16 x 16 weights.
template <bool Bf16>
__device__ __forceinline__ void
w4_weights8(uint32_t a[4], uint32_t word0, uint32_t word1, uint32_t scale)
{
    const uint32_t q[4] = {__byte_perm(word0, Bf16 ? 0 : 0x64646464u, 0x4240),
                           __byte_perm(word1, Bf16 ? 0 : 0x64646464u, 0x4240),
                           __byte_perm(word0, Bf16 ? 0 : 0x64646464u, 0x4341),
                           __byte_perm(word1, Bf16 ? 0 : 0x64646464u, 0x4341)};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        if (Bf16) {
            const __nv_bfloat162 s = __hmul2(as_bf162(scale), as_bf162(0x42804280u));
            const __nv_bfloat162 d =
                __hfma2(as_bf162(q[i]), as_bf162(0x7f007f00u), as_bf162(0xc000c000u));
            a[i] = as_word(__hmul2(d, i % 2 ? __high2bfloat162(s) : __low2bfloat162(s)));
        } else {
            const __half2 d = __hadd2(as_half2(q[i]), as_half2(0xe480e480u)); // -1152
            a[i] = as_word(
                __hmul2(d, i % 2 ? __high2half2(as_half2(scale)) : __low2half2(as_half2(scale))));
        }
    }
}

// Where a CTA is in its work: `left` more stages after this one.
struct w4_cursor {
    int left, sk_left; // sk_left: of them, before the whole tiles begin
    int tile, k;

    __device__ __forceinline__ void start(const sm80_w4_args &a)
    {
        tile = k = sk_left = 0;
        if ((int)blockIdx.x < a.sk_ctas) {
            const int total = a.sk_tiles * a.iters, each = total / a.sk_ctas,
                      more = total % a.sk_ctas, c = blockIdx.x;
            const int first = c * each + min(c, more);
            sk_left = each + (c < more);
            tile = first / a.iters;
            k = first % a.iters;
        }
        left = sk_left + a.dp_each * a.iters;
        if (sk_left == 0)
            tile = a.sk_tiles + blockIdx.x;
    }
    __device__ __forceinline__ void next(const sm80_w4_args &a)
    {
        left--;
        k++;
        if (--sk_left == 0) {
            tile = a.sk_tiles + blockIdx.x;
            k = 0;
        } else if (k == a.iters) {
            tile += sk_left > 0 ? 1 : gridDim.x;
            k = 0;
        }
    }
};

// The CTA whose run has stage u of the cut tiles.
__device__ __forceinline__ int
w4_owner(const sm80_w4_args &a, int u)
{
    const int total = a.sk_tiles * a.iters, each = total / a.sk_ctas, more = total % a.sk_ctas;
    return u < more * (each + 1) ? u / (each + 1) : more + (u - more * (each + 1)) / each;
}

template <int Left>
__device__ __forceinline__ void
w4_cp_wait(void)
{
    asm volatile("cp.async.wait_group %0;" ::"n"(Left) : "memory");
}

__device__ __forceinline__ void
w4_wait_stage(int stages)
{
    switch (stages) {
    case 2:
        w4_cp_wait<0>();
        break;
    case 3:
        w4_cp_wait<1>();
        break;
    case 4:
        w4_cp_wait<2>();
        break;
    case 5:
        w4_cp_wait<3>();
        break;
    default:
        w4_cp_wait<4>();
    }
}

template <bool Bf16, int Bits, int Mt, int Wn, int Wt, int Wk, int Kt, int Ctas> struct w4_kernel {
    using S = w4_shape<Bits, Mt, Wn, Wt, Wk, Kt, Ctas>;

    // What one step of a warp multiplies.
    struct fragment {
        uint32_t w[S::words], scale[4], zero, x[S::nt][2];
    };

    static __device__ __forceinline__ void load_weights(const sm80_w4_args &a, uint32_t stage,
                                                        int tile, int kit)
    {
        constexpr int row_chunks = Wn * S::tile_bytes / 16, pass_rows = S::threads / row_chunks;
        const int tn = tile / a.m_tiles, tid = threadIdx.x;
        const int row = tid / row_chunks, chunk = tid % row_chunks,
                  block = chunk * 16 / S::tile_bytes;
        const int64_t row_bytes = (int64_t)a.n_padded * 2 * Bits;
        const bool inside = tn * S::columns + block * 64 < a.n_padded;
        const char *src = a.weights + (kit * (Kt / 16) + row) * row_bytes +
                          (inside ? (int64_t)tn * (row_chunks * 16) + chunk * 16 : 0);
        // A lane of 8-bit weights has 32 bytes: their halves apart, so that no bank is read twice.
        constexpr int tile_chunks = S::tile_bytes / 16;
        const int in_tile = chunk % tile_chunks;
        const int place = Bits == 4 ? chunk : chunk - in_tile + in_tile % 2 * 32 + in_tile / 2;
        const uint32_t dst = stage + (row * row_chunks + place) * 16;
#pragma unroll
        for (int p = 0; p < Kt / 16 / pass_rows; p++)
            ptx_cp_async16(dst + p * (S::threads * 16), src + p * pass_rows * row_bytes,
                           inside ? 16 : 0);
        const int rows = a.group_shift < 31 ? max(1, Kt >> a.group_shift) : 1;
        const int first = a.group_shift < 31 ? kit * Kt >> a.group_shift : 0;
        constexpr int scale_chunks = S::columns / 8, zero_chunks = S::columns / 32;
        if (a.group_shift < 31 && tid < rows * scale_chunks) {
            const int r = tid / scale_chunks, n = tn * S::columns + tid % scale_chunks * 8;
            ptx_cp_async16(stage + S::weight_bytes + S::x_bytes + tid * 16,
                           a.scales + (n < a.n_padded ? (int64_t)(first + r) * a.n_padded + n : 0),
                           n < a.n_padded ? 16 : 0);
        }
        if (Bits == 4 && a.zeros && tid >= 128 && tid - 128 < rows * zero_chunks) {
            const int r = (tid - 128) / zero_chunks,
                      n = tn * S::columns + (tid - 128) % zero_chunks * 32;
            ptx_cp_async16(stage + S::weight_bytes + S::x_bytes + S::scale_bytes + (tid - 128) * 16,
                           a.zeros +
                               (n < a.n_padded ? ((int64_t)(first + r) * a.n_padded + n) / 8 : 0),
                           n < a.n_padded ? 16 : 0);
        }
    }

    static __device__ __forceinline__ void load_x(const sm80_w4_args &a, uint32_t stage, int tile,
                                                  int kit)
    {
        constexpr int chunks = Kt / 8, pass_rows = S::threads / chunks;
        const int tm = tile % a.m_tiles, tid = threadIdx.x;
        const int row = tid / chunks, chunk = tid % chunks, k = kit * Kt + chunk * 8;
        const int bytes = min(max(2 * (a.k - k), 0), 16);
        const uint32_t dst =
            stage + S::weight_bytes + row * (Kt * 2) + ((chunk & ~7) | ((chunk ^ row) & 7)) * 16;
#pragma unroll
        for (int p = 0; p < (Mt + pass_rows - 1) / pass_rows; p++) {
            if (Mt % pass_rows && row + p * pass_rows >= Mt)
                break;
            const int token = tm * Mt + row + p * pass_rows;
            const bool inside = token < a.m && bytes > 0;
            ptx_cp_async16(dst + p * pass_rows * (Kt * 2), a.x + (inside ? token * a.ldx + k : 0),
                           inside ? bytes : 0);
        }
    }

    static __device__ __forceinline__ void load_fragment(const sm80_w4_args &a, fragment &f,
                                                         uint32_t stage, int step, int wn, int wt)
    {
        const int lane = threadIdx.x % 32;
        const uint32_t weights = stage + (step * Wn + wn) * S::tile_bytes + lane * 16;
#pragma unroll
        for (int i = 0; i < Bits / 4; i++) {
            const uint4 v = ptx_lds128(weights + i * 512);
            f.w[4 * i] = v.x, f.w[4 * i + 1] = v.y, f.w[4 * i + 2] = v.z, f.w[4 * i + 3] = v.w;
        }
        const int row = step * 16 >> a.group_shift;
        const uint32_t scales = stage + S::weight_bytes + S::x_bytes;
        if (a.group_shift < 31) {
            const uint4 v = ptx_lds128(scales + row * (S::columns * 2) + wn * 128 + lane / 4 * 16);
            f.scale[0] = v.x, f.scale[1] = v.y, f.scale[2] = v.z, f.scale[3] = v.w;
        } else {
#pragma unroll
            for (int i = 0; i < 4; i++)
                f.scale[i] = Bf16 ? 0x3f803f80u : 0x3c003c00u;
        }
        if (Bits == 4) {
            f.zero = 0x88888888u;
            if (a.zeros)
                asm volatile(
                    "ld.shared.u32 %0, [%1];"
                    : "=r"(f.zero)
                    : "r"(scales + S::scale_bytes + row * (S::columns / 2) + wn * 32 + lane / 4 * 4)
                    : "memory");
        }
        const int token = wt * S::tokens + (S::nt > 1 ? lane / 16 * 8 : 0) + lane % 8;
        const int chunk = step * 2 + lane / 8 % 2;
        const uint32_t x =
            stage + S::weight_bytes + token * (Kt * 2) + ((chunk & ~7) | ((chunk ^ lane) & 7)) * 16;
        if (S::nt == 1) {
            asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
                         : "=r"(f.x[0][0]), "=r"(f.x[0][1])
                         : "r"(x)
                         : "memory");
        } else {
#pragma unroll
            for (int j = 0; j < S::nt / 2; j++) {
                uint32_t v[4];
                ptx_ldmatrix4(v, x + j * 16 * (Kt * 2));
                f.x[2 * j][0] = v[0], f.x[2 * j][1] = v[1];
                f.x[2 * j + 1][0] = v[2], f.x[2 * j + 1][1] = v[3];
            }
        }
    }

    static __device__ __forceinline__ void multiply(float4 (&sum)[4][S::nt], const fragment &f)
    {
#pragma unroll
        for (int w = 0; w < 4; w++) {
            uint32_t weights[4];
            if constexpr (Bits == 4)
                w4_weights4<Bf16>(weights, f.w[w], f.scale[w], f.zero >> 4 * w & 0x000f000fu);
            else
                w4_weights8<Bf16>(weights, f.w[2 * w], f.w[2 * w + 1], f.scale[w]);
#pragma unroll
            for (int j = 0; j < S::nt; j++)
                w4_mma<Bf16>(sum[w][j], weights, f.x[j]);
        }
    }

    // Adds the sums of the warps that share columns and tokens into those of wk = 0.
    static __device__ __forceinline__ void add_warps(float4 (&sum)[4][S::nt], float4 *shared,
                                                     int wk)
    {
        constexpr int count = S::slice_words * S::nt;
        float4 *const mine = shared + threadIdx.x % S::owners;
#pragma unroll
        for (int slice = 0; slice < S::slices; slice++) {
            __syncthreads();
            if (wk > 0) {
#pragma unroll
                for (int i = 0; i < count; i++)
                    mine[((wk - 1) * count + i) * S::owners] =
                        sum[slice * S::slice_words + i / S::nt][i % S::nt];
            }
            __syncthreads();
            if (wk == 0) {
#pragma unroll
                for (int other = 0; other < Wk - 1; other++)
#pragma unroll
                    for (int i = 0; i < count; i++) {
                        const float4 v = mine[(other * count + i) * S::owners];
                        float4 &to = sum[slice * S::slice_words + i / S::nt][i % S::nt];
                        to.x += v.x, to.y += v.y, to.z += v.z, to.w += v.w;
                    }
            }
        }
    }

    // For a tile shared by CTAs first .. last: true in the one that has all sums now.
    static __device__ __forceinline__ bool add_ctas(const sm80_w4_args &a, float4 (&sum)[4][S::nt],
                                                    int wk, int first, int last)
    {
        __shared__ int before;
        constexpr int slot_size = S::fragments * S::owners;
        float4 *const slots = a.partial + threadIdx.x % S::owners;
        if (wk == 0) {
            // A CTA begins at most one tile that it does not end, and ends one that it did not
            // begin.
            const int64_t slot = 2 * (int64_t)blockIdx.x + ((int)blockIdx.x == first);
#pragma unroll
            for (int i = 0; i < S::fragments; i++)
                __stcg(slots + slot * slot_size + i * S::owners, sum[i / S::nt][i % S::nt]);
            __threadfence();
        }
        __syncthreads();
        if (threadIdx.x == 0)
            before = atomicAdd(a.counters + first, 1);
        __syncthreads();
        if (before != last - first)
            return false;
        if (threadIdx.x == 0)
            a.counters[first] = 0;
        if (wk == 0) {
            __threadfence();
#pragma unroll
            for (int i = 0; i < S::fragments; i++)
                sum[i / S::nt][i % S::nt] = make_float4(0, 0, 0, 0);
            for (int c = first; c <= last; c++) {
                const float4 *from = slots + (2 * (int64_t)c + (c == first)) * slot_size;
#pragma unroll
                for (int i = 0; i < S::fragments; i++) {
                    const float4 v = __ldcg(from + i * S::owners);
                    float4 &to = sum[i / S::nt][i % S::nt];
                    to.x += v.x, to.y += v.y, to.z += v.z, to.w += v.w;
                    if (i % 8 == 7) // more loads at once do not fit into the registers
                        asm volatile("" ::: "memory");
                }
            }
        }
        return true;
    }

    static __device__ __forceinline__ void
    store(const sm80_w4_args &a, const float4 (&sum)[4][S::nt], int tile, int wn, int wt)
    {
        const int lane = threadIdx.x % 32, r = lane / 4, t = lane % 4;
        const int n0 = tile / a.m_tiles * S::columns + wn * 64,
                  m0 = tile % a.m_tiles * Mt + wt * S::tokens;
        if (n0 >= a.n)
            return;
#pragma unroll
        for (int w = 0; w < 4; w++)
#pragma unroll
            for (int high = 0; high < 2; high++) {
                const int row = n0 + 16 * w + 8 * high; // of this lane: row + r
                float scale = 1, bias = 0;
                if (a.group_shift == 31) // the channelwise permutation
                    scale = w4_float<Bf16>(
                        a.scales[n0 + w / 2 * 32 + r / 2 * 8 + 2 * (2 * (w % 2) + high) + r % 2]);
                if (a.bias && row + r < a.n)
                    bias = a.bias[row + r];
#pragma unroll
                for (int j = 0; j < S::nt; j++) {
                    const float4 v = sum[w][j];
                    const float v0 = high ? v.z : v.x, v1 = high ? v.w : v.y;
                    // Rows of columns to rows of tokens: lane r, t gets token r, columns 2t, 2t+1.
                    const uint32_t out = ptx_movmatrix_trans(
                        w4_pair<Bf16>(fmaf(v0, scale, bias), fmaf(v1, scale, bias)));
                    const int token = m0 + 8 * j + r, n = row + 2 * t;
                    if (token >= a.m || n >= a.n)
                        continue;
                    uint16_t *y = a.y + token * a.ldy + n;
                    if (a.paired) {
                        *(uint32_t *)y = out;
                    } else {
                        y[0] = (uint16_t)out;
                        if (n + 1 < a.n)
                            y[1] = (uint16_t)(out >> 16);
                    }
                }
            }
    }

    static __device__ __forceinline__ void finish(const sm80_w4_args &a, float4 (&sum)[4][S::nt],
                                                  float4 *shared, int tile, int wn, int wt, int wk)
    {
        if (Wk > 1)
            add_warps(sum, shared, wk);
        bool whole = true;
        if (tile < a.sk_tiles) {
            const int first = w4_owner(a, tile * a.iters),
                      last = w4_owner(a, (tile + 1) * a.iters - 1);
            if (first != last)
                whole = add_ctas(a, sum, wk, first, last);
        }
        if (whole && wk == 0)
            store(a, sum, tile, wn, wt);
    }

    static __device__ __forceinline__ void run(const sm80_w4_args &a, char *smem)
    {
        const int warp = threadIdx.x / 32, wn = warp % Wn, wt = warp / Wn % Wt,
                  wk = warp / (Wn * Wt);
        const uint32_t ring = ptx_smem(smem);
        float4 *const shared = (float4 *)(smem + a.stages * S::stage_bytes);
        w4_cursor load, at;
        load.start(a);
        at = load;
        ptx_pdl_launch();
        if (a.pdl) {
            w4_cursor ahead = load;
            for (int s = 0; s < a.stages - 1 && ahead.left > 0; s++, ahead.next(a))
                load_weights(a, ring + s * S::stage_bytes, ahead.tile, ahead.k);
            ptx_pdl_wait();
        }
        for (int s = 0; s < a.stages - 1; s++) {
            if (load.left > 0) {
                if (!a.pdl)
                    load_weights(a, ring + s * S::stage_bytes, load.tile, load.k);
                load_x(a, ring + s * S::stage_bytes, load.tile, load.k);
                load.next(a);
            }
            asm volatile("cp.async.commit_group;" ::: "memory");
        }
        w4_wait_stage(a.stages);
        __syncthreads();

        float4 sum[4][S::nt];
#pragma unroll
        for (int i = 0; i < S::fragments; i++)
            sum[i / S::nt][i % S::nt] = make_float4(0, 0, 0, 0);
        fragment f[2];
        uint32_t stage = ring, freed = ring + (a.stages - 1) * S::stage_bytes;
        load_fragment(a, f[0], stage, wk * S::steps, wn, wt);
        while (at.left > 0) {
            const uint32_t end = ring + a.stages * S::stage_bytes;
            const uint32_t following =
                stage + S::stage_bytes == end ? ring : stage + S::stage_bytes;
#pragma unroll
            for (int s = 0; s < S::steps; s++) {
                if (s + 1 < S::steps) {
                    load_fragment(a, f[(s + 1) % 2], stage, wk * S::steps + s + 1, wn, wt);
                } else {
                    w4_wait_stage(a.stages);
                    __syncthreads();
                    load_fragment(a, f[0], following, wk * S::steps, wn, wt);
                }
                if (s == 0) {
                    if (load.left > 0) {
                        load_weights(a, freed, load.tile, load.k);
                        load_x(a, freed, load.tile, load.k);
                        load.next(a);
                    }
                    asm volatile("cp.async.commit_group;" ::: "memory");
                }
                multiply(sum, f[s % 2]);
            }
            freed = stage;
            stage = following;
            const int tile = at.tile;
            at.next(a);
            if (at.left == 0 || at.tile != tile) {
                finish(a, sum, shared, tile, wn, wt, wk);
#pragma unroll
                for (int i = 0; i < S::fragments; i++)
                    sum[i / S::nt][i % S::nt] = make_float4(0, 0, 0, 0);
                // Again, rather than kept in registers all that while.
                load_fragment(a, f[0], stage, wk * S::steps, wn, wt);
            }
        }
    }
};

template <bool Bf16, int Bits, int Mt, int Wn, int Wt, int Wk, int Kt, int Ctas>
__global__ void __launch_bounds__(256, Ctas) sm80_marlin_kernel(const sm80_w4_args a)
{
    extern __shared__ __align__(128) char smem[];
    w4_kernel<Bf16, Bits, Mt, Wn, Wt, Wk, Kt, Ctas>::run(a, smem);
}

// The grid is at most what runs at once, `ctas` a multiprocessor.
template <bool Bf16, int Bits, int Mt, int Wn, int Wt, int Wk, int Kt, int Ctas>
int
w4_launch(const sm80_w4_args *a, int grid, cudaStream_t stream)
{
    using S = w4_shape<Bits, Mt, Wn, Wt, Wk, Kt, Ctas>;
    static unsigned char granted[64];
    auto kernel = sm80_marlin_kernel<Bf16, Bits, Mt, Wn, Wt, Wk, Kt, Ctas>;
    const size_t smem = (size_t)a->stages * S::stage_bytes + S::sum_bytes;
    int device = 0;
    cudaError_t err = cudaGetDevice(&device);
    if (err == cudaSuccess &&
        (device >= 64 || !__atomic_load_n(&granted[device], __ATOMIC_RELAXED))) {
        int most = 0;
        err = cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
        if (err == cudaSuccess)
            err = cudaFuncSetAttribute((const void *)kernel,
                                       cudaFuncAttributeMaxDynamicSharedMemorySize, most - 1024);
        if (err == cudaSuccess && device < 64)
            __atomic_store_n(&granted[device], 1, __ATOMIC_RELAXED);
    }
    if (err != cudaSuccess)
        return (int)err;
    cudaLaunchAttribute early = {};
    early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    early.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config = {};
    config.gridDim = dim3((unsigned)grid);
    config.blockDim = dim3(S::threads);
    config.dynamicSmemBytes = smem;
    config.stream = stream;
    config.attrs = &early;
    config.numAttrs = a->pdl ? 1 : 0;
    err = cudaLaunchKernelEx(&config, kernel, *a);
    return (int)err;
}

template <bool Bf16, int Bits>
int
w4_launch_tile(const sm80_w4_args *a, int tile, int grid, cudaStream_t stream)
{
    switch (tile) {
    case 0:
        return w4_launch<Bf16, Bits, 8, 2, 1, 4, 128, 2>(a, grid, stream);
    case 1:
        return w4_launch<Bf16, Bits, 16, 2, 1, 4, 128, 2>(a, grid, stream);
    case 2:
        return w4_launch<Bf16, Bits, 32, 2, 1, 4, 128, 2>(a, grid, stream);
    case 3:
        return w4_launch<Bf16, Bits, 64, 2, 1, 4, 128, 1>(a, grid, stream);
    case 4:
        return w4_launch<Bf16, Bits, 64, 4, 1, 2, 64, 1>(a, grid, stream);
    default:
        return w4_launch<Bf16, Bits, 128, 4, 2, 1, 64, 1>(a, grid, stream);
    }
}

} // namespace

#endif
