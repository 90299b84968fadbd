// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// Checks of activation quantization: exact codes, scales and zero points against plain C.
#include "gpu_w8.cuh"
#include "gpu_w8_ref.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <math.h>
#include <string.h>

namespace
{

enum { ROWS = 7 };

// A row of each kind: random, zero, tiny, NaN, Inf, one-sided, with an outlier.
float
element(int row, int64_t i)
{
    const float u = (float)((i * 2654435761u + row * 40503u) % 65536) / 32768.0f - 1.0f;
    switch (row) {
    case 1:
        return i % 2 ? -0.0f : 0.0f;
    case 2:
        return u * 0x1p-20f;
    case 3:
        return i == 5 % (i + 1) ? NAN : u;
    case 4:
        return i == 0 ? -INFINITY : u;
    case 5:
        return 3.0f + u;
    case 6:
        return i == 11 ? 6000.0f : u;
    default:
        return u * 4.0f;
    }
}

uint32_t
store(void *p, int64_t at, float v, uint32_t dtype)
{
    if (dtype == DLQ_F32)
        ((float *)p)[at] = v;
    else if (dtype == DLQ_F16)
        ((__half *)p)[at] = __float2half_rn(v);
    else
        ((__nv_bfloat16 *)p)[at] = __float2bfloat16_rn(v);
    return 0;
}

float
loaded(const void *p, int64_t at, uint32_t dtype)
{
    if (dtype == DLQ_F32)
        return ((const float *)p)[at];
    return dtype == DLQ_F16 ? __half2float(((const __half *)p)[at])
                            : __bfloat162float(((const __nv_bfloat16 *)p)[at]);
}

bool
same(float a, float b)
{
    return (isnan(a) && isnan(b)) || memcmp(&a, &b, sizeof a) == 0;
}

// Returns the number of rows that differ.
int
check_one(int kind, uint32_t dtype, int64_t k, int64_t pad)
{
    const int64_t ldx = k + pad, ldq = (k + 15) / 16 * 16 + 16, groups = (k + 127) / 128;
    const float s0 = 0.017f, ub = 3.0f;
    const int32_t z0 = -9;
    const bool is_static = kind == DLQ_K_ACT_I8_STATIC || kind == DLQ_K_ACT_I8_STATIC_ASYM ||
                           kind == DLQ_K_ACT_F8_STATIC;
    const bool grouped = kind >= DLQ_K_ACT_F8_GROUP128;
    void *x, *q;
    float *scale, *st;
    int32_t *zero;
    CUDA_OK(cudaMallocHost(&x, (size_t)(ROWS * ldx * 4)));
    CUDA_OK(cudaMallocHost(&q, (size_t)(ROWS * ldq)));
    CUDA_OK(cudaMallocHost(&scale, (size_t)(groups * (ROWS + 1) * 4)));
    CUDA_OK(cudaMallocHost(&st, 16));
    CUDA_OK(cudaMallocHost(&zero, ROWS * 4));
    st[0] = s0;
    memcpy(&st[1], &z0, 4);
    memset(q, 0xAA, (size_t)(ROWS * ldq));
    for (int r = 0; r < ROWS; r++)
        for (int64_t i = 0; i < ldx; i++)
            store(x, r * ldx + i, i < k ? element(r, i) : NAN, dtype);
    struct dlq_k_quantize_act a = {};
    a.x = x;
    a.q = q;
    a.scale = scale;
    a.zero = kind == DLQ_K_ACT_I8_TOKEN_ASYM || kind == DLQ_K_ACT_I8_STATIC_ASYM ? zero : NULL;
    a.static_scale = is_static ? st : NULL;
    a.static_zero = kind == DLQ_K_ACT_I8_STATIC_ASYM ? (const int32_t *)(st + 1) : NULL;
    a.m = ROWS;
    a.k = k;
    a.ldx = ldx;
    a.ldq = ldq;
    a.scale_ld = ROWS + 1;
    a.upper_bound = pad ? ub : 0.0f;
    a.x_dtype = dtype;
    a.kind = kind;
    CUDA_OK(dlq_k_quantize_act_run(&a, 0));
    CUDA_OK(cudaDeviceSynchronize());
    float *row = (float *)malloc((size_t)k * 4), *rs = (float *)malloc((size_t)groups * 4);
    uint8_t *rq = (uint8_t *)malloc((size_t)k);
    int bad = 0;
    for (int r = 0; r < ROWS; r++) {
        int32_t rz;
        for (int64_t i = 0; i < k; i++)
            row[i] = loaded(x, r * ldx + i, dtype);
        ref_quantize_row(kind, row, k, s0, z0, a.upper_bound, rq, rs, &rz);
        const uint8_t *got = (const uint8_t *)q + r * ldq;
        bool ok = memcmp(got, rq, (size_t)k) == 0 && (!a.zero || zero[r] == rz);
        for (int64_t i = k; i < ldq; i++)
            ok &= got[i] == (i < (k + 15) / 16 * 16 ? 0 : 0xAA);
        for (int64_t g = 0; g < (grouped ? groups : 1); g++)
            ok &= same(grouped ? scale[g * (ROWS + 1) + r] : scale[r], rs[g]);
        if (!ok && bad++ == 0) {
            int64_t i = 0;
            while (i < k && got[i] == rq[i])
                i++;
            printf("  quantize kind %d dtype %x k %lld row %d: code[%lld] %d not %d, scale %g "
                   "not %g\n",
                   kind, dtype, (long long)k, r, (long long)i, i < k ? got[i] : 0,
                   i < k ? rq[i] : 0, scale[r], rs[0]);
        }
    }
    free(row);
    free(rs);
    free(rq);
    cudaFreeHost(x);
    cudaFreeHost(q);
    cudaFreeHost(scale);
    cudaFreeHost(st);
    cudaFreeHost(zero);
    return bad;
}

} // namespace

int
check_quantize(void)
{
    static const int64_t ks[] = {1, 7, 16, 33, 128, 200, 4096, 14336, 16400, 28672, 40000};
    static const uint32_t dtypes[] = {DLQ_F16, DLQ_BF16, DLQ_F32};
    int passed = 0, failed = 0;
    for (int kind = DLQ_K_ACT_I8_TOKEN; kind <= DLQ_K_ACT_F8_GROUP128_POW2; kind++)
        for (uint32_t dtype : dtypes)
            for (int64_t k : ks)
                for (int64_t pad = 0; pad <= 3; pad += 3)
                    if (check_one(kind, dtype, k, pad) == 0)
                        passed++;
                    else
                        failed++;
    printf("quantize: %d passed, %d failed\n", passed, failed);
    return failed;
}
