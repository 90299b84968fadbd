// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
#include "dense_simt.h"
#include "element.cuh"
#include "gpu_device.cuh"

namespace
{

struct params {
    const void *x;
    const void *w;
    void *y;
    const float *bias;
    int64_t x_stride;
    int64_t y_stride;
    int64_t k;
    int m;
    int n;
    uint32_t w_dtype;
    uint32_t act_dtype;
};

__device__ __forceinline__ void
store_sum(const params &p, int m, int n, float sum)
{
    const float v = p.bias ? __fadd_rn(sum, p.bias[n]) : sum;
    dlq::element_store(p.y, p.act_dtype, (int64_t)m * p.y_stride + n, v);
}

enum { ROWS = 8 }; // of x that one warp takes

// A warp a column: weights are read once for all rows.
__global__ void __launch_bounds__(256) few_rows(const __grid_constant__ params p)
{
    const int n = blockIdx.x * 8 + (threadIdx.x >> 5);
    const int lane = threadIdx.x & 31;
    const int m0 = blockIdx.y * ROWS;
    const int rows = min((int)ROWS, p.m - m0);
    if (n >= p.n) {
        return;
    }
    float sum[ROWS] = {};
    for (int64_t k = lane; k < p.k; k += 32) {
        const float w = dlq::element_load(p.w, p.w_dtype, n * p.k + k);
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            if (r < rows) {
                const int64_t at = (m0 + r) * p.x_stride + k;
                sum[r] = fmaf(dlq::element_load(p.x, p.act_dtype, at), w, sum[r]);
            }
        }
    }
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        for (int d = 16; d > 0; d /= 2) {
            sum[r] += __shfl_xor_sync(~0u, sum[r], d);
        }
        if (lane == r && r < rows) {
            store_sum(p, m0 + r, n, sum[r]);
        }
    }
}

enum { TILE = 64, STEP = 16 };

// 64 x 64 outputs a CTA, 4 x 4 a thread; K goes through shared memory as fp32.
__global__ void __launch_bounds__(256) tiled(const __grid_constant__ params p)
{
    __shared__ float x_tile[STEP][TILE + 4];
    __shared__ float w_tile[STEP][TILE + 4];
    const int m0 = blockIdx.y * TILE;
    const int n0 = blockIdx.x * TILE;
    const int row = threadIdx.x / 16;
    const int col = threadIdx.x % 16;
    float sum[4][4] = {};
    for (int64_t k0 = 0; k0 < p.k; k0 += STEP) {
        const int64_t k = k0 + col;
#pragma unroll
        for (int i = 0; i < TILE; i += 16) {
            const int m = m0 + row + i;
            const int n = n0 + row + i;
            x_tile[col][row + i] =
                m < p.m && k < p.k ? dlq::element_load(p.x, p.act_dtype, m * p.x_stride + k) : 0.0f;
            w_tile[col][row + i] =
                n < p.n && k < p.k ? dlq::element_load(p.w, p.w_dtype, n * p.k + k) : 0.0f;
        }
        __syncthreads();
#pragma unroll
        for (int s = 0; s < STEP; s++) {
            const float4 a = *(const float4 *)&x_tile[s][4 * row];
            const float4 b = *(const float4 *)&w_tile[s][4 * col];
            const float av[4] = {a.x, a.y, a.z, a.w};
            const float bv[4] = {b.x, b.y, b.z, b.w};
#pragma unroll
            for (int i = 0; i < 4; i++) {
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    sum[i][j] = fmaf(av[i], bv[j], sum[i][j]);
                }
            }
        }
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const int m = m0 + 4 * row + i;
            const int n = n0 + 4 * col + j;
            if (m < p.m && n < p.n) {
                store_sum(p, m, n, sum[i][j]);
            }
        }
    }
}

enum { WIDTH = 8 }; // columns of a thread

// y = sums + bias. `whole`: y begins at multiples of 16 bytes in every row.
__global__ void __launch_bounds__(256)
    finish(const __grid_constant__ params p, const float *sums, int64_t pitch, bool whole)
{
    const int n = (blockIdx.x * 256 + threadIdx.x) * WIDTH;
    const int left = min(p.n - n, (int)WIDTH);
    float bias[WIDTH] = {};
    for (int i = 0; p.bias && i < left; i++) {
        bias[i] = p.bias[n + i];
    }
    for (int64_t m = blockIdx.y; m < p.m && left > 0; m += gridDim.y) {
        const float *const from = sums + m * pitch + n;
        float v[WIDTH] = {};
#pragma unroll
        for (int i = 0; i < WIDTH; i += 4) {
            if (i < left) {
                *(float4 *)(v + i) = *(const float4 *)(from + i);
            }
        }
#pragma unroll
        for (int i = 0; i < WIDTH; i++) {
            v[i] = p.bias ? __fadd_rn(v[i], bias[i]) : v[i];
        }
        const int64_t at = m * p.y_stride + n;
        if (whole && left == WIDTH && p.act_dtype != DLQ_F32) {
            alignas(16) uint16_t packed[WIDTH];
#pragma unroll
            for (int i = 0; i < WIDTH; i++) {
                dlq::element_store(packed, p.act_dtype, i, v[i]);
            }
            *(uint4 *)((uint16_t *)p.y + at) = *(const uint4 *)packed;
        } else {
#pragma unroll
            for (int i = 0; i < WIDTH; i++) {
                if (i < left) {
                    dlq::element_store(p.y, p.act_dtype, at + i, v[i]);
                }
            }
        }
    }
}

__global__ void __launch_bounds__(256)
    narrow(const float *bias, int64_t n, uint32_t dtype, void *out, unsigned *rounded)
{
    const int64_t i = (int64_t)blockIdx.x * 256 + threadIdx.x;
    if (i < n) {
        dlq::element_store(out, dtype, i, bias[i]);
        if (__float_as_uint(dlq::element_load(out, dtype, i)) != __float_as_uint(bias[i])) {
            atomicOr(rounded, 1u);
        }
    }
}

params
params_of(const struct dlq_kg_call *call, int64_t k, int64_t n, uint32_t act_dtype)
{
    params p = {};
    p.x = call->x;
    p.y = call->y;
    p.bias = call->bias;
    p.x_stride = call->x_stride;
    p.y_stride = call->y_stride;
    p.k = k;
    p.m = (int)call->m;
    p.n = (int)n;
    p.act_dtype = act_dtype;
    return p;
}

} // namespace

cudaError_t
dlq_dense_simt(const struct dlq_kg_call *call, int64_t k, int64_t n, const void *weights,
               uint32_t w_dtype, uint32_t act_dtype, cudaStream_t stream)
{
    const int64_t most_rows = 65535ll * TILE; // of one launch: the grid's second dimension
    params p = params_of(call, k, n, act_dtype);
    p.w = weights;
    p.w_dtype = w_dtype;
    if (call->m <= 4 * ROWS) {
        const dim3 grid((unsigned)((n + 7) / 8), (unsigned)((call->m + ROWS - 1) / ROWS));
        few_rows<<<grid, 256, 0, stream>>>(p);
        return cudaGetLastError();
    }
    const size_t size = act_dtype == DLQ_F32 ? 4 : 2;
    for (int64_t m0 = 0; m0 < call->m; m0 += most_rows) {
        p.x = (const char *)call->x + (size_t)(m0 * p.x_stride) * size;
        p.y = (char *)call->y + (size_t)(m0 * p.y_stride) * size;
        p.m = (int)(call->m - m0 < most_rows ? call->m - m0 : most_rows);
        const dim3 grid((unsigned)((n + TILE - 1) / TILE), (unsigned)((p.m + TILE - 1) / TILE));
        tiled<<<grid, 256, 0, stream>>>(p);
    }
    return cudaGetLastError();
}

cudaError_t
dlq_dense_finish(const struct dlq_kg_call *call, int64_t n, const float *sums, int64_t pitch,
                 uint32_t act_dtype, cudaStream_t stream)
{
    const params p = params_of(call, 0, n, act_dtype);
    const int64_t per_block = 256 * WIDTH;
    const int64_t rows = call->m < 1024 ? call->m : 1024;
    const dim3 grid((unsigned)((n + per_block - 1) / per_block), (unsigned)rows);
    const size_t size = act_dtype == DLQ_F32 ? 4 : 2;
    const bool whole = (uintptr_t)call->y % 16 == 0 && (size_t)call->y_stride * size % 16 == 0;
    finish<<<grid, 256, 0, stream>>>(p, sums, pitch, whole);
    return cudaGetLastError();
}

cudaError_t
dlq_dense_narrow(const float *bias, int64_t n, uint32_t dtype, void *out, bool *exact)
{
    unsigned rounded = 0;
    const dlq::device_words found(&rounded, sizeof(rounded));
    cudaError_t err = found.error;
    if (err == cudaSuccess) {
        narrow<<<(unsigned)((n + 255) / 256), 256>>>(bias, n, dtype, out, (unsigned *)found.data);
        err = found.read(&rounded, sizeof(rounded));
    }
    *exact = err == cudaSuccess && rounded == 0;
    return err;
}
