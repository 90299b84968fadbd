// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// A CTA computes Rows tokens x Columns weight rows; K passes through a ring of stages of 128 bytes
// in shared memory, filled by cp.async. A block of DLQ_K_W8_TILES is copied as it lies: its pieces
// of 16 bytes are swizzled already, and those of x are put down in the same way, so that ldmatrix
// meets no bank twice.
//
// Few tokens: the four warps of a CTA take a quarter of each stage's K each and add their sums in
// the end, and K is split over blockIdx.z until the device is full; partial sums go to the
// workspace and a second kernel adds them. int32 sums are the same in any order.
#include "element.cuh"
#include "launch.cuh"
#include "ptx.cuh"
#include "sm80_w8.h"

namespace
{

enum { BLOCK_K = 128, BLOCK_BYTES = 64 * BLOCK_K };

struct params {
    const int8_t *x;
    const uint8_t *w;
    void *y;
    const float *x_scale;
    const float *w_scale;
    const float *bias;
    const int32_t *x_zero;
    const int32_t *w_sum;
    const int32_t *w_zero;
    const int32_t *x_sum;
    int32_t *partial; // [splits][m][pitch] instead of y, or NULL
    int64_t ldx;
    int64_t ldy;
    int m;
    int n;
    int pitch;
    int k_blocks; // that hold codes
    int k_padded; // blocks of K in the weights
    int split;    // blocks of K for each blockIdx.z
    int splits;
    uint32_t y_dtype;
};

__device__ __forceinline__ void
mma(int32_t c[4], const uint32_t a[4], uint32_t b0, uint32_t b1)
{
    asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, "
                 "%7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

__device__ __forceinline__ void
commit(void)
{
    asm volatile("cp.async.commit_group;" ::: "memory");
}

template <int N>
__device__ __forceinline__ void
wait_groups(void)
{
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

// What belongs to one row of y.
struct token {
    float scale;
    int32_t zero;
    int32_t sum;
};

__device__ __forceinline__ token
token_load(const params &p, int m)
{
    token t = {0.0f, 0, 0};
    if (m < p.m) {
        t.scale = p.x_scale ? p.x_scale[m] : 0.0f;
        t.zero = p.x_zero ? p.x_zero[m] : 0;
        t.sum = p.w_zero ? p.x_sum[m] : 0;
    }
    return t;
}

__device__ __forceinline__ void
store(const params &p, const token &t, int m, int n, int32_t acc)
{
    if (m >= p.m || n >= p.n) {
        return;
    }
    if (p.w_zero) {
        acc -= p.w_zero[n] * t.sum;
    }
    if (p.x_zero) {
        acc -= t.zero * p.w_sum[n];
    }
    const int64_t at = (int64_t)m * p.ldy + n;
    if (p.y_dtype == DLQ_I32) {
        ((int32_t *)p.y)[at] = acc;
        return;
    }
    float v = __fmul_rn(__int2float_rn(acc), __fmul_rn(p.w_scale[n], t.scale));
    v = p.bias ? __fadd_rn(v, p.bias[n]) : v;
    dlq::element_store(p.y, p.y_dtype, at, v);
}

template <int Rows_, int Columns_, int WarpsM_, int WarpsN_, int WarpsK_, int Stages_> struct tile {
    static constexpr int rows = Rows_, columns = Columns_;
    static constexpr int warps_m = WarpsM_, warps_n = WarpsN_, warps_k = WarpsK_;
    static constexpr int stages = Stages_;
    static constexpr int threads = 32 * warps_m * warps_n * warps_k;
    static constexpr int w_bytes = columns * BLOCK_K;
    static constexpr int stage_bytes = w_bytes + rows * BLOCK_K;
    static constexpr int shared = stages * stage_bytes;
    static constexpr int rows16 = rows / warps_m / 16;     // of a warp
    static constexpr int columns8 = columns / warps_n / 8; // of a warp
    static constexpr int sums = rows16 * columns8 * 4;     // of a thread
    static_assert(columns8 % 2 == 0, "one ldmatrix feeds two blocks of 8 columns");
    static_assert((warps_k - 1) * warps_m * warps_n * sums * 128 <= shared, "sums fit the ring");
};

template <class T>
__device__ __forceinline__ void
load_stage(const params &p, uint32_t at, int m0, int n0, int kb)
{
#pragma unroll
    for (int i = threadIdx.x; i < T::w_bytes / 16; i += T::threads) {
        const int64_t block = (int64_t)(n0 / 64 + i / 512) * p.k_padded + kb;
        ptx_cp_async16(at + i * 16, p.w + block * BLOCK_BYTES + i % 512 * 16, 16);
    }
#pragma unroll
    for (int i = threadIdx.x; i < T::rows * 8; i += T::threads) {
        const int row = i / 8;
        const int piece = i % 8;
        const int64_t k = (int64_t)kb * BLOCK_K + piece * 16;
        const bool there = m0 + row < p.m && k < p.ldx;
        const int8_t *const src = p.x + (there ? (m0 + row) * p.ldx + k : 0);
        ptx_cp_async16(at + T::w_bytes + row * BLOCK_K + ((piece ^ (row & 7)) << 4), src,
                       there ? 16 : 0);
    }
}

// The products of 32 bytes of K.
template <class T>
__device__ __forceinline__ void
multiply(int32_t (*acc)[T::columns8][4], uint32_t at, int warp_m, int warp_n, int step)
{
    const int lane = threadIdx.x & 31;
    uint32_t a[T::rows16][4];
#pragma unroll
    for (int i = 0; i < T::rows16; i++) {
        const int row = (warp_m * T::rows16 + i) * 16 + (lane & 15);
        const int piece = step * 2 + (lane >> 4);
        ptx_ldmatrix4(a[i], at + T::w_bytes + row * BLOCK_K + ((piece ^ (row & 7)) << 4));
    }
#pragma unroll
    for (int j = 0; j < T::columns8; j += 2) {
        uint32_t b[4];
        const int row = (warp_n * T::columns8 + j) * 8 + (lane & 7) + ((lane >> 4) << 3);
        const int piece = step * 2 + (lane >> 3 & 1);
        ptx_ldmatrix4(b, at + row * BLOCK_K + ((piece ^ (row & 7)) << 4));
#pragma unroll
        for (int i = 0; i < T::rows16; i++) {
            mma(acc[i][j], a[i], b[0], b[1]);
            mma(acc[i][j + 1], a[i], b[2], b[3]);
        }
    }
}

// Adds the sums of the warps that share outputs; true in the warp that has them all.
template <class T>
__device__ __forceinline__ bool
reduce(int32_t *acc, uint8_t *shared, int warp_k, int warp_mn)
{
    if (T::warps_k == 1) {
        return true;
    }
    constexpr int group = T::warps_m * T::warps_n;
    int32_t *const buffer = (int32_t *)shared + (threadIdx.x & 31);
    __syncthreads();
    if (warp_k > 0) {
#pragma unroll
        for (int i = 0; i < T::sums; i++) {
            buffer[(((warp_k - 1) * group + warp_mn) * T::sums + i) * 32] = acc[i];
        }
    }
    __syncthreads();
    if (warp_k > 0) {
        return false;
    }
#pragma unroll
    for (int w = 0; w < T::warps_k - 1; w++) {
#pragma unroll
        for (int i = 0; i < T::sums; i++) {
            acc[i] += buffer[((w * group + warp_mn) * T::sums + i) * 32];
        }
    }
    return true;
}

template <class T>
__device__ __forceinline__ void
store_all(const params &p, const int32_t (*acc)[T::columns8][4], int m0, int n0)
{
    const int lane = threadIdx.x & 31;
#pragma unroll
    for (int i = 0; i < T::rows16; i++) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int m = m0 + 16 * i + 8 * half + (lane >> 2);
            const token t = p.partial ? token{} : token_load(p, m);
#pragma unroll
            for (int j = 0; j < T::columns8; j++) {
                const int n = n0 + 8 * j + 2 * (lane & 3);
                const int32_t *const v = acc[i][j] + 2 * half;
                if (!p.partial) {
                    store(p, t, m, n, v[0]);
                    store(p, t, m, n + 1, v[1]);
                } else if (m < p.m) {
                    const int64_t row = (int64_t)blockIdx.z * p.m + m;
                    *(int2 *)(p.partial + row * p.pitch + n) = make_int2(v[0], v[1]);
                }
            }
        }
    }
}

template <class T>
__global__ void
__launch_bounds__(T::threads) product(const __grid_constant__ params p)
{
    extern __shared__ __align__(128) uint8_t shared[];
    const uint32_t ring = ptx_smem(shared);
    const int warp = threadIdx.x >> 5;
    const int warp_k = warp % T::warps_k;
    const int warp_mn = warp / T::warps_k;
    const int warp_m = warp_mn / T::warps_n;
    const int warp_n = warp_mn % T::warps_n;
    const int m0 = blockIdx.y * T::rows;
    const int n0 = blockIdx.x * T::columns;
    const int first = blockIdx.z * p.split;
    const int end = min(first + p.split, p.k_blocks);
    int32_t acc[T::rows16][T::columns8][4] = {};
    ptx_pdl_launch();
    ptx_pdl_wait();
#pragma unroll
    for (int s = 0; s < T::stages - 1; s++) {
        if (first + s < end) {
            load_stage<T>(p, ring + s * T::stage_bytes, m0, n0, first + s);
        }
        commit();
    }
    for (int kb = first; kb < end; kb++) {
        wait_groups<T::stages - 2>();
        __syncthreads();
        const int ahead = kb + T::stages - 1;
        if (ahead < end) {
            load_stage<T>(p, ring + (ahead - first) % T::stages * T::stage_bytes, m0, n0, ahead);
        }
        commit();
        const uint32_t at = ring + (kb - first) % T::stages * T::stage_bytes;
#pragma unroll
        for (int step = 0; step < 4; step += T::warps_k) {
            multiply<T>(acc, at, warp_m, warp_n, step + warp_k);
        }
    }
    wait_groups<0>();
    if (reduce<T>(&acc[0][0][0], shared, warp_k, warp_mn)) {
        store_all<T>(p, acc, m0 + warp_m * T::rows16 * 16, n0 + warp_n * T::columns8 * 8);
    }
}

__global__ void __launch_bounds__(256) finish(const __grid_constant__ params p)
{
    const int n = blockIdx.x * 256 + threadIdx.x;
    const int m = blockIdx.y;
    ptx_pdl_launch();
    ptx_pdl_wait();
    if (n >= p.n) {
        return;
    }
    int32_t acc = 0;
    for (int s = 0; s < p.splits; s++) {
        acc += p.partial[((int64_t)s * p.m + m) * p.pitch + n];
    }
    store(p, token_load(p, m), m, n, acc);
}

using tile16 = tile<16, 64, 1, 1, 4, 6>;
using tile32 = tile<32, 64, 1, 1, 4, 5>;
using tile64 = tile<64, 64, 2, 2, 1, 4>;
using tile128 = tile<128, 128, 2, 4, 1, 3>;

struct variant {
    const void *kernel;
    int rows, columns, threads, shared;
};

template <class T>
variant
variant_of(void)
{
    return {(const void *)product<T>, T::rows, T::columns, T::threads, T::shared};
}

variant
choose(int64_t m, int64_t n, int32_t multiprocessors)
{
    if (m <= 32) {
        return m <= 16 ? variant_of<tile16>() : variant_of<tile32>();
    }
    const int64_t large = (m + 127) / 128 * ((n + 127) / 128);
    return m <= 64 || large < multiprocessors ? variant_of<tile64>() : variant_of<tile128>();
}

enum { SPLIT_ROWS = 64, SPLIT_MOST = 16, SPLIT_BLOCKS = 4 };

// Parts of K: about two CTAs a multiprocessor, each with some blocks to do.
int
splits_of(const variant &v, int64_t m, int64_t n, int64_t k_blocks, int32_t multiprocessors)
{
    if (m > SPLIT_ROWS) {
        return 1;
    }
    const int64_t units = (n + v.columns - 1) / v.columns;
    int64_t splits = 2 * (int64_t)multiprocessors / units;
    splits = splits < k_blocks / SPLIT_BLOCKS ? splits : k_blocks / SPLIT_BLOCKS;
    return splits < 1 ? 1 : splits > SPLIT_MOST ? (int)SPLIT_MOST : (int)splits;
}

int64_t
blocks_of(int64_t k)
{
    return (k + BLOCK_K - 1) / BLOCK_K;
}

int64_t
pitch_of(int64_t n)
{
    return (n + 127) / 128 * 128;
}

cudaError_t
launch(const void *kernel, dim3 grid, int threads, int shared, params *p, bool early,
       cudaStream_t stream)
{
    const dlq::launch_config launch(grid, (unsigned)threads, (size_t)shared, early, stream);
    void *args[] = {p};
    return cudaLaunchKernelExC(&launch.config, kernel, args);
}

} // namespace

extern "C" int
dlq_k_w8_mma_prepare(void)
{
    const variant all[] = {variant_of<tile16>(), variant_of<tile32>(), variant_of<tile64>(),
                           variant_of<tile128>()};
    for (const variant &v : all) {
        const cudaError_t error =
            cudaFuncSetAttribute(v.kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, v.shared);
        if (error != cudaSuccess) {
            return (int)error;
        }
    }
    return 0;
}

extern "C" int64_t
dlq_k_w8_mma_workspace(int64_t n, int64_t k, int64_t max_m, int32_t multiprocessors)
{
    int64_t most = 0;
    // A tile's parts grow with the rows that it takes.
    for (int64_t rows = 16, m = 0; m < max_m && rows <= SPLIT_ROWS; rows *= 2) {
        m = max_m < rows ? max_m : rows;
        const variant v = choose(m, n, multiprocessors);
        const int splits = splits_of(v, m, n, blocks_of(k), multiprocessors);
        const int64_t bytes = splits > 1 ? splits * m * pitch_of(n) * 4 : 0;
        most = bytes > most ? bytes : most;
    }
    return most;
}

extern "C" int
dlq_k_w8_mma_run(const struct dlq_k_w8_mma *g, cudaStream_t stream)
{
    const variant v = choose(g->m, g->n, g->multiprocessors);
    const int64_t rows_a_launch = 65535ll * v.rows;
    params p = {};
    p.w = (const uint8_t *)g->w;
    p.w_scale = g->w_scale;
    p.bias = g->bias;
    p.w_sum = g->w_sum;
    p.w_zero = g->w_zero;
    p.ldx = g->ldx;
    p.ldy = g->ldy;
    p.n = (int)g->n;
    p.pitch = (int)pitch_of(g->n);
    p.k_blocks = (int)blocks_of(g->k);
    p.k_padded = (int)((g->k + 255) / 256 * 2);
    p.splits = splits_of(v, g->m, g->n, p.k_blocks, g->multiprocessors);
    p.split = (p.k_blocks + p.splits - 1) / p.splits;
    p.partial = p.splits > 1 ? g->workspace : nullptr;
    p.y_dtype = g->y_dtype;
    const size_t y_size = g->y_dtype == DLQ_F16 || g->y_dtype == DLQ_BF16 ? 2 : 4;
    cudaError_t error = cudaSuccess;
    for (int64_t m = 0; m < g->m && error == cudaSuccess; m += rows_a_launch) {
        const int64_t rows = g->m - m < rows_a_launch ? g->m - m : rows_a_launch;
        p.m = (int)rows;
        p.x = g->x + m * g->ldx;
        p.y = (char *)g->y + (size_t)(m * g->ldy) * y_size;
        p.x_scale = g->x_scale ? g->x_scale + m : nullptr;
        p.x_zero = g->x_zero ? g->x_zero + m : nullptr;
        p.x_sum = g->x_sum ? g->x_sum + m : nullptr;
        const dim3 grid((unsigned)((g->n + v.columns - 1) / v.columns),
                        (unsigned)((rows + v.rows - 1) / v.rows), (unsigned)p.splits);
        error = launch(v.kernel, grid, v.threads, v.shared, &p, g->early, stream);
    }
    if (error == cudaSuccess && p.partial) {
        const dim3 grid((unsigned)((g->n + 255) / 256), (unsigned)g->m);
        error = launch((const void *)finish, grid, 256, 0, &p, g->early, stream);
    }
    return (int)error;
}
