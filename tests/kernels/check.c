// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "check.h"

#include "float16.h"

#include <stdarg.h>
#include <stdlib.h>

// Counters, guarded memory, seeded data and the table of tolerances.

const struct check_level check_levels[] = {
    {"c", 0},
    {"avx2", DLQ_CPU_AVX2},
    {"avx_vnni", DLQ_CPU_AVX2 | DLQ_CPU_AVX_VNNI},
    {"avx512", DLQ_CPU_AVX2 | DLQ_CPU_AVX512},
    {"avx512_vnni", DLQ_CPU_AVX2 | DLQ_CPU_AVX512 | DLQ_CPU_AVX512_VNNI},
    {"avx512_bf16", DLQ_CPU_AVX2 | DLQ_CPU_AVX512 | DLQ_CPU_AVX512_VNNI | DLQ_CPU_AVX512_BF16},
    {"amx_int8", DLQ_CPU_AVX2 | DLQ_CPU_AVX512 | DLQ_CPU_AVX512_VNNI | DLQ_CPU_AMX_INT8},
    {"amx_bf16", DLQ_CPU_AVX2 | DLQ_CPU_AVX512 | DLQ_CPU_AVX512_VNNI | DLQ_CPU_AVX512_BF16 |
                     DLQ_CPU_AMX_INT8 | DLQ_CPU_AMX_BF16},
    {"neon_dotprod", DLQ_CPU_NEON_DOTPROD},
    {"neon_i8mm", DLQ_CPU_NEON_DOTPROD | DLQ_CPU_NEON_I8MM},
};
const int check_n_levels = (int)(sizeof(check_levels) / sizeof(*check_levels));

uint32_t
check_random(struct check_rng *rng)
{
    // splitmix64
    rng->state += 0x9e3779b97f4a7c15u;
    uint64_t z = rng->state;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ z >> 31) >> 32);
}

double
check_uniform(struct check_rng *rng)
{
    return check_random(rng) * 0x1p-32;
}

double
check_gaussian(struct check_rng *rng)
{
    const double u = (check_random(rng) + 1.0) * 0x1p-32;
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * check_uniform(rng));
}

void
check_fill_x(struct check_rng *rng, enum check_data data, uint32_t dtype, void *x, int64_t m,
             int64_t k, int64_t stride)
{
    const int64_t every = data == CHECK_OUTLIERS_20 ? 100 : 1000;
    const double gain = data == CHECK_OUTLIERS_20 ? 20.0 : 100.0;
    const bool outliers = data == CHECK_OUTLIERS_20 || data == CHECK_OUTLIERS_100;
    for (int64_t r = 0; r < m; r++) {
        for (int64_t i = 0; i < stride; i++) {
            double v = data == CHECK_SMALL_INTS ? (double)(check_random(rng) % 3) - 1.0
                                                : check_gaussian(rng);
            v *= outliers && i % every == 7 % k ? gain : 1.0;
            dlq_k_store_f32(x, dtype, r * stride + i, i < k ? (float)v : NAN);
        }
    }
}

enum { GUARD = 512, POISON = 0xFF, GUARD_BYTE = 0xA5 };

struct guarded {
    void *base;
    int64_t bytes;
    int64_t offset;
};

static uint8_t *
guarded_user(const struct guarded *g)
{
    return (uint8_t *)g->base + GUARD + g->offset;
}

void *
check_alloc(int64_t bytes, int64_t offset)
{
    struct guarded g = {NULL, bytes, offset};
    const size_t total = (size_t)((bytes + offset + 2 * GUARD + 63) / 64 * 64);
    g.base = aligned_alloc(64, total);
    if (g.base == NULL) {
        fprintf(stderr, "check: out of memory\n");
        exit(2);
    }
    memset(g.base, GUARD_BYTE, total);
    memcpy(g.base, &g, sizeof(g));
    uint8_t *user = guarded_user(&g);
    memcpy(user - sizeof(g), &g, sizeof(g));
    memset(user, POISON, (size_t)bytes);
    return user;
}

void
check_free(void *p)
{
    struct guarded g;
    memcpy(&g, (uint8_t *)p - sizeof(g), sizeof(g));
    const uint8_t *user = p;
    bool before = memcmp(g.base, &g, sizeof(g)) == 0;
    for (int64_t i = (int64_t)sizeof(g); i < GUARD + g.offset - (int64_t)sizeof(g); i++) {
        before = before && ((const uint8_t *)g.base)[i] == GUARD_BYTE;
    }
    bool after = true;
    for (int64_t i = g.bytes; i < g.bytes + GUARD / 2; i++) {
        after = after && user[i] == GUARD_BYTE;
    }
    check_that(before, "write before a buffer of %ld bytes", (long)g.bytes);
    check_that(after, "write past a buffer of %ld bytes", (long)g.bytes);
    free(g.base);
}

const char *
check_dtype_name(uint32_t dtype)
{
    return dtype == DLQ_F16 ? "fp16" : dtype == DLQ_BF16 ? "bf16" : "fp32";
}

double
check_ulp(uint32_t dtype, double v)
{
    const int digits = dtype == DLQ_F16 ? 11 : dtype == DLQ_BF16 ? 8 : 24;
    const int lowest = dtype == DLQ_F16 ? -24 : dtype == DLQ_BF16 ? -133 : -149;
    int exponent = 0;
    frexp(v, &exponent);
    exponent -= digits;
    return ldexp(1.0, exponent > lowest ? exponent : lowest);
}

// ||y - y64|| / ||y64|| by class and by fp16, bf16, fp32 output.
static const double norm_bounds[][3] = {
    [CHECK_EXACT] = {3e-4, 2.5e-3, 1e-5}, [CHECK_LIMBS] = {5e-4, 4e-3, 2e-4},
    [CHECK_INT8] = {8e-2, 8e-2, 8e-2},    [CHECK_BF16_DOT] = {3e-4, 2.5e-3, 1e-5},
    [CHECK_FORMULA] = {1e-3, 8e-3, 1e-6},
};

static double
element_bound(const struct check_compare *compare, const struct check_element *e)
{
    const double ulp = check_ulp(compare->dtype, e->y64);
    const double sums = (double)compare->k * 0x1p-23 * e->abs_sum;
    // Fixed point with b bits below the maximum: each term is off by a uniform 2^-b max|x| |w| / 2;
    // eight deviations of the sum.
    const double spread = 8.0 * e->x_max * e->weight_norm;
    switch (compare->class) {
    case CHECK_LIMBS:
        return ulp + sums + 0x1p-14 * spread;
    case CHECK_INT8:
        return ulp + sums + 0x1p-6 * spread;
    case CHECK_FORMULA:
        return ulp;
    case CHECK_EXACT:
    case CHECK_BF16_DOT:
        break;
    }
    return ulp + sums;
}

void
check_compare_add(struct check_compare *compare, const struct check_element *e, double y)
{
    const double bound = element_bound(compare, e) + 0x1p-126 * (double)compare->k;
    const double diff = fabs(y - e->y64);
    const double ratio = isnan(diff) ? INFINITY : diff / bound;
    compare->worst = ratio > compare->worst ? ratio : compare->worst;
    compare->err2 += diff * diff;
    compare->ref2 += e->y64 * e->y64;
}

bool
check_compare_ok(const struct check_compare *compare, double *error)
{
    const int column = compare->dtype == DLQ_F16 ? 0 : compare->dtype == DLQ_BF16 ? 1 : 2;
    *error = compare->ref2 > 0.0 ? sqrt(compare->err2 / compare->ref2) : sqrt(compare->err2);
    // A handful of outputs has no average: there the element bound alone decides.
    return compare->worst <= 1.0 &&
           (*error <= norm_bounds[compare->class][column] || compare->k < 64);
}
