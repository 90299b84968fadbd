// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// Data, poison and the reference: one warp an output, integers exact, e4m3 in fp64.
#include "gpu_w8.cuh"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

namespace
{

__host__ __device__ inline uint32_t
hash(uint64_t i, uint32_t seed)
{
    uint64_t x = i * 0x9e3779b97f4a7c15ull + seed * 0xbf58476d1ce4e5b9ull + 0x94d049bb133111ebull;
    x ^= x >> 31;
    x *= 0xbf58476d1ce4e5b9ull;
    x ^= x >> 29;
    x *= 0x94d049bb133111ebull;
    return (uint32_t)(x >> 32);
}

__device__ inline float
uniform(uint64_t i, uint32_t seed)
{
    return (float)(hash(i, seed) >> 8) * 0x1p-24f;
}

__global__ void
codes_kernel(uint8_t *p, size_t n, bool f8, unsigned seed)
{
    for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < n;
         i += (size_t)gridDim.x * blockDim.x) {
        if (!f8) {
            p[i] = (uint8_t)(int8_t)((int)(hash(i, seed) % 255) - 127);
            continue;
        }
        const float r = sqrtf(-2.0f * logf(uniform(i, seed) + 1e-7f));
        const float v = r * cosf(6.2831853f * uniform(i, seed + 1));
        p[i] = (uint8_t)__nv_cvt_float_to_fp8(v * 100.0f, __NV_SATFINITE, __NV_E4M3);
    }
}

__global__ void
floats_kernel(float *p, size_t n, float lo, float hi, unsigned seed)
{
    for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < n;
         i += (size_t)gridDim.x * blockDim.x)
        p[i] = lo + (hi - lo) * uniform(i, seed);
}

__global__ void
bf16_kernel(__nv_bfloat16 *p, size_t n, unsigned seed)
{
    for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < n;
         i += (size_t)gridDim.x * blockDim.x)
        p[i] = __float2bfloat16_rn(2.0f * uniform(i, seed) - 1.0f);
}

__device__ float
e4m3(uint8_t v)
{
    return __half2float(__half(__nv_cvt_fp8_to_halfraw(v, __NV_E4M3)));
}

__device__ float
bias_at(const dlq_k_w8_gemm &g, int64_t n)
{
    if (!g.bias)
        return 0.0f;
    if (g.bias_dtype == DLQ_F32)
        return ((const float *)g.bias)[n];
    return g.bias_dtype == DLQ_BF16 ? __bfloat162float(((const __nv_bfloat16 *)g.bias)[n])
                                    : __half2float(((const __half *)g.bias)[n]);
}

__device__ double
warp_sum(double v)
{
    for (int d = 16; d; d /= 2)
        v += __shfl_xor_sync(~0u, v, d);
    return v;
}

// Spacing of the output type at v.
__device__ double
spacing(double v, bool bf16)
{
    int e;
    frexp(v, &e);
    return bf16 ? ldexp(1.0, e - 8) : ldexp(1.0, max(e - 11, -24));
}

// A sum of e4m3 products and how far a tensor core's may be from it. Hopper's add 32 products to a
// sum at once: each of the 33 is cut off, toward zero, 13 bits below the leading bit of the
// largest, and the new sum 13 bits below its own.
struct f8_sum {
    double value;
    double mass; // sum |x w| of this lane's products
    // Of the values where a part of K may have begun at 0: whichever did, its sum is no larger than
    // value is far from one of these.
    double low, high;
    double added, removed; // at most, where negative and positive products were cut off
    double other;          // at most, either way, where sums were
};

__device__ double
lost(const f8_sum &s)
{
    return fmax(s.added, s.removed) + s.other;
}

__device__ double
reach(const f8_sum &s)
{
    return fmax(s.value - s.low, s.high - s.value);
}

// The sum over all lanes of fractions of 2^24 units, rounded up to whole ones; 0 for negative ones.
__device__ double
sum_positive(float v)
{
    return __reduce_add_sync(~0u, __float2uint_ru(fmaxf(v, 0.0f)));
}

// Adds the products of all lanes.
__device__ void
add_products(f8_sum *s, float x, float w)
{
    const float p = x * w;
    // A subnormal has the exponent of the least normal number.
    const float size = fmaxf(fabsf(x), 0x1p-6f) * fmaxf(fabsf(w), 0x1p-6f);
    const float largest = __uint_as_float(__reduce_max_sync(~0u, __float_as_uint(size)));
    const double before = reach(*s);
    s->value += warp_sum(p);
    s->mass += fabsf(p);
    // The tensor core's sum may be larger by what is lost, here less than 34 * 2^-13 of it.
    const double sum = (fmax(before, reach(*s)) + lost(*s)) * (1.0 + 0x1p-7);
    const float unit = ldexpf(1.0f, ilogbf(fmaxf(__double2float_ru(sum), largest)) - 13);
    const float units = p / unit, cut = (units - truncf(units)) * 0x1p24f;
    s->added += sum_positive(-cut) * unit * 0x1p-24;
    s->removed += sum_positive(cut) * unit * 0x1p-24;
    // The old sum has 14 bits: it loses some only to a product with a greater exponent.
    s->other += largest * 0x1p-13 + unit;
}

// y64 of one output, and in y's unit sum |x w| and how far from y64 y may be before it is rounded.
__device__ double
exact_f8(const dlq_k_w8_gemm &g, const uint8_t *x, const uint8_t *w, int64_t m, int64_t n,
         double *mass, double *limit)
{
    const bool scaled = g.accumulate == DLQ_K_W8_BLOCK_SCALED;
    const int64_t k_blocks = (g.k + 127) / 128;
    // Elements of a tensor core's sum; fast, it may also be of a part of them.
    const int64_t run = g.accumulate == DLQ_K_W8_FAST ? g.k : scaled ? 128 : 32;
    double sum = 0.0, abs_sum = 0.0, away = 0.0;
    for (int64_t k0 = 0; k0 < g.k; k0 += run) {
        const int64_t end = min(k0 + run, g.k);
        f8_sum s = {};
        for (int64_t k = k0; k < end; k += 32) {
            if (k % 128 == 0) {
                s.low = fmin(s.low, s.value);
                s.high = fmax(s.high, s.value);
            }
            const int64_t at = k + (threadIdx.x & 31);
            add_products(&s, at < end ? e4m3(x[at]) : 0.0f, at < end ? e4m3(w[at]) : 0.0f);
        }
        const double scale = scaled ? (double)g.x_scale[k0 / 128 * g.x_scale_ld + m] *
                                          g.w_scale[n / 128 * k_blocks + k0 / 128]
                                    : 1.0;
        sum += s.value * scale;
        abs_sum += s.mass * fabs(scale);
        away += lost(s) * fabs(scale);
    }
    const double s =
        scaled ? 1.0 : (double)g.x_scale[g.x_scale_one ? 0 : m] * g.w_scale[g.w_scale_one ? 0 : n];
    *mass = warp_sum(abs_sum) * fabs(s);
    // Sums are moved to fp32 at most every 32 elements, parts of K meet there, scales are applied.
    *limit = away * fabs(s) + (double)(g.k / 16 + 4) * 0x1p-24 * *mass;
    return sum * s + bias_at(g, n);
}

__device__ uint16_t
formula_i8(const dlq_k_w8_gemm &g, const int8_t *x, const int8_t *w, int64_t m, int64_t n,
           double *exact)
{
    int32_t sum = 0, zero = g.x_zero ? g.x_zero[m] : 0;
    for (int64_t k = threadIdx.x & 31; k < g.k; k += 32)
        sum += ((int32_t)x[k] - zero) * w[k];
    sum = (int32_t)__reduce_add_sync(~0u, sum);
    const float sx = g.x_scale[g.x_scale_one ? 0 : m], sw = g.w_scale[g.w_scale_one ? 0 : n];
    const float y = __fadd_rn(__fmul_rn(__int2float_rn(sum), __fmul_rn(sw, sx)), bias_at(g, n));
    *exact = (double)sum * sw * sx + bias_at(g, n);
    if (g.y_dtype == DLQ_BF16) {
        const __nv_bfloat16 t = __float2bfloat16_rn(y);
        return *(const uint16_t *)&t;
    }
    const __half t = __float2half_rn(y);
    return *(const uint16_t *)&t;
}

// Positive doubles are ordered as their bits are. *most begins with 0 and grows: an old value only
// asks once too often.
__device__ void
keep_most(double *most, double v)
{
    if (v > *most)
        atomicMax((unsigned long long *)most, (unsigned long long)__double_as_longlong(v));
}

__global__ void __launch_bounds__(256)
    judge_kernel(dlq_k_w8_gemm g, const uint8_t *w, int64_t w_ld, int64_t samples, verdict *v)
{
    const int64_t all = g.m * g.n;
    const int64_t warps = (int64_t)gridDim.x * 8;
    for (int64_t i = (int64_t)blockIdx.x * 8 + (threadIdx.x >> 5); i < samples; i += warps) {
        const int64_t at =
            samples == all ? i : (int64_t)((((uint64_t)hash(i, 7) << 32) | hash(i, 9)) % all);
        const int64_t m = at / g.n, n = at % g.n;
        const uint16_t bits = ((const uint16_t *)g.y)[m * g.ldy + n];
        const double y = g.y_dtype == DLQ_BF16 ? (double)__bfloat162float(*(__nv_bfloat16 *)&bits)
                                               : (double)__half2float(*(__half *)&bits);
        const uint8_t *xr = (const uint8_t *)g.x + m * g.ldx, *wr = w + n * w_ld;
        double exact;
        bool wrong;
        if (g.dtype == DLQ_I8) {
            const uint16_t want =
                formula_i8(g, (const int8_t *)xr, (const int8_t *)wr, m, n, &exact);
            // Without a bias a zero may keep its sign.
            wrong = want != bits && (uint16_t)((want | bits) << 1) != 0;
        } else {
            double mass, limit;
            exact = exact_f8(g, xr, wr, m, n, &mass, &limit);
            const double beyond = fabs(y - exact) - spacing(exact, g.y_dtype == DLQ_BF16);
            wrong = !(beyond <= limit);
            if ((threadIdx.x & 31) == 0 && mass > 0.0) {
                keep_most(&v->worst, beyond / mass);
                keep_most(&v->limit, limit / mass);
                keep_most(&v->share, beyond / limit);
            }
        }
        if ((threadIdx.x & 31) == 0) {
            if (wrong)
                atomicAdd(&v->wrong, 1ull);
            if (isfinite(y)) {
                atomicAdd(&v->err2, (y - exact) * (y - exact));
                atomicAdd(&v->ref2, exact * exact);
            }
        }
    }
}

// The poison is a NaN no conversion makes.
__global__ void
scan_kernel(const uint16_t *y, int64_t m, int64_t n, int64_t ldy, const uint16_t *block,
            size_t count, verdict *v)
{
    for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < count;
         i += (size_t)gridDim.x * blockDim.x) {
        const int64_t at = block + i - y;
        const bool inside = at >= 0 && at / ldy < m && at % ldy < n;
        const bool poisoned = block[i] == 0xffff;
        if (inside && poisoned)
            atomicAdd(&v->unwritten, 1ull);
        if (!inside && !poisoned)
            atomicAdd(&v->outside, 1ull);
    }
}

__global__ void
digest_kernel(const uint32_t *p, size_t words, unsigned long long *sum)
{
    unsigned long long s = 0;
    for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < words;
         i += (size_t)gridDim.x * blockDim.x)
        s += (unsigned long long)hash(i, p[i]) * (2 * i + 1);
    atomicAdd(sum, s);
}

} // namespace

void
fill_codes(void *p, size_t bytes, bool f8, unsigned seed)
{
    codes_kernel<<<2048, 256>>>((uint8_t *)p, bytes, f8, seed);
    CUDA_OK(cudaGetLastError());
}

void
fill_floats(float *p, size_t count, float lo, float hi, unsigned seed)
{
    floats_kernel<<<512, 256>>>(p, count, lo, hi, seed);
    CUDA_OK(cudaGetLastError());
}

void
fill_bf16(void *p, size_t count, unsigned seed)
{
    bf16_kernel<<<2048, 256>>>((__nv_bfloat16 *)p, count, seed);
    CUDA_OK(cudaGetLastError());
}

void
poison(const struct problem *p)
{
    CUDA_OK(cudaMemset(p->y_block, 0xff, p->y_bytes + 2 * GUARD));
}

struct verdict
judge(const struct problem *p, const void *w_rows, int64_t w_ld)
{
    static struct verdict *d;
    struct verdict v = {};
    if (!d)
        CUDA_OK(cudaMalloc(&d, sizeof *d));
    CUDA_OK(cudaMemset(d, 0, sizeof *d));
    const int64_t all = p->g.m * p->g.n;
    judge_kernel<<<1056, 256>>>(p->g, (const uint8_t *)w_rows, w_ld, all <= 1 << 18 ? all : 1 << 17,
                                d);
    scan_kernel<<<1056, 256>>>((const uint16_t *)p->g.y, p->g.m, p->g.n, p->g.ldy,
                               (const uint16_t *)p->y_block, (p->y_bytes + 2 * GUARD) / 2, d);
    CUDA_OK(cudaGetLastError());
    CUDA_OK(cudaMemcpy(&v, d, sizeof v, cudaMemcpyDeviceToHost));
    return v;
}

unsigned long long
digest(const struct problem *p)
{
    static unsigned long long *d;
    unsigned long long v = 0;
    if (!d)
        CUDA_OK(cudaMalloc(&d, sizeof *d));
    CUDA_OK(cudaMemset(d, 0, sizeof *d));
    digest_kernel<<<528, 256>>>((const uint32_t *)p->y_block, (p->y_bytes + 2 * GUARD) / 4, d);
    CUDA_OK(cudaMemcpy(&v, d, sizeof v, cudaMemcpyDeviceToHost));
    return v;
}
