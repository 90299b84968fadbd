// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
#include "gpu_w8_ref.h"

#include "kernels/cuda/w8.h"

#include <math.h>

// Nearest e4m3 of v, ties to the even code, beyond 448 to 448.
static uint8_t
to_e4m3(float v)
{
    const uint8_t sign = signbit(v) ? 0x80 : 0;
    const float a = fabsf(v);
    if (a >= 448.0f)
        return sign | 0x7e;
    int e;
    frexpf(a, &e);
    // Codes of [2^(e-1), 2^e) are 2^(e-4) apart, all below 2^-6 are 2^-9 apart.
    const int step = a < 0x1p-6f ? -9 : e - 4;
    const int units = (int)rintf(ldexpf(a, -step));
    // Eight units are the first code of the binade; a carry into the next one adds up by itself.
    return sign | (uint8_t)(step == -9 && a < 0x1p-6f ? units : (step + 9) * 8 + units);
}

static uint8_t
to_i8(float v, int32_t zero)
{
    const double r = (double)rintf(v) + zero;
    return (uint8_t)(int8_t)(r > 127 ? 127 : r < -128 ? -128 : r);
}

struct row_range {
    float amax;
    float lo;
    float hi;
    int finite;
};

static struct row_range
range_of(const float *x, int64_t k)
{
    struct row_range r = {0.0f, 0.0f, 0.0f, 1};
    for (int64_t i = 0; i < k; i++) {
        r.finite &= isfinite(x[i]);
        r.amax = fmaxf(r.amax, fabsf(x[i]));
        r.lo = fminf(r.lo, x[i]);
        r.hi = fmaxf(r.hi, x[i]);
    }
    if (!r.finite)
        r.amax = NAN;
    return r;
}

static void
quantize_groups(int kind, const float *x, int64_t k, uint8_t *q, float *scale)
{
    for (int64_t g = 0; g * 128 < k; g++) {
        const int64_t n = k - g * 128 < 128 ? k - g * 128 : 128;
        const struct row_range r = range_of(x + g * 128, n);
        float s = fmaxf(r.amax, 1e-10f) / 448.0f;
        if (kind == DLQ_K_ACT_F8_GROUP128_POW2)
            s = exp2f(ceilf((float)log2((double)fmaxf(s, 1e-10f))));
        scale[g] = r.finite ? s : r.amax;
        for (int64_t i = 0; i < n; i++)
            q[g * 128 + i] = r.finite ? to_e4m3(x[g * 128 + i] / s) : 0;
    }
}

static void
quantize_token_i8(const float *x, int64_t k, const struct row_range *r, uint8_t *q, float *scale)
{
    const int blank = !r->finite || r->amax < 0x1p-100f;
    *scale = !r->finite ? r->amax : blank ? 0.0f : r->amax / 127.0f;
    const float inv = 127.0f / r->amax;
    for (int64_t i = 0; i < k; i++)
        q[i] = blank ? 0 : to_i8(x[i] * inv, 0);
}

static void
quantize_token_asym(const float *x, int64_t k, const struct row_range *r, uint8_t *q, float *scale,
                    int32_t *zero)
{
    const float half = r->hi * 0.5f - r->lo * 0.5f;
    const int blank = !r->finite || half < 0x1p-101f;
    *scale = !r->finite ? r->amax : blank ? 0.0f : half / 127.5f;
    *zero = blank ? 0 : (int32_t)rintf(-128.0f - r->lo / *scale);
    const float inv = 1.0f / *scale;
    for (int64_t i = 0; i < k; i++)
        q[i] = blank ? 0 : to_i8(x[i] * inv, *zero);
}

void
ref_quantize_row(int kind, const float *x, int64_t k, float static_scale, int32_t static_zero,
                 float upper_bound, uint8_t *q, float *scale, int32_t *zero)
{
    *zero = 0;
    if (kind == DLQ_K_ACT_F8_GROUP128 || kind == DLQ_K_ACT_F8_GROUP128_POW2) {
        quantize_groups(kind, x, k, q, scale);
        return;
    }
    const struct row_range r = range_of(x, k);
    if (kind == DLQ_K_ACT_I8_TOKEN) {
        quantize_token_i8(x, k, &r, q, scale);
        return;
    }
    if (kind == DLQ_K_ACT_I8_TOKEN_ASYM) {
        quantize_token_asym(x, k, &r, q, scale, zero);
        return;
    }
    if (kind == DLQ_K_ACT_F8_TOKEN) {
        const float a = upper_bound > 0.0f ? fminf(r.amax, upper_bound) : r.amax;
        const float s = fmaxf(a / 448.0f, 1.0f / (448.0f * 512.0f));
        *scale = r.finite ? s : r.amax;
        for (int64_t i = 0; i < k; i++)
            q[i] = r.finite ? to_e4m3(x[i] / s) : 0;
        return;
    }
    *scale = r.finite ? static_scale : NAN;
    *zero = kind == DLQ_K_ACT_I8_STATIC_ASYM && r.finite ? static_zero : 0;
    const float inv = 1.0f / static_scale;
    for (int64_t i = 0; i < k; i++) {
        if (!r.finite)
            q[i] = 0;
        else if (kind == DLQ_K_ACT_F8_STATIC)
            q[i] = to_e4m3(x[i] * inv);
        else
            q[i] = to_i8(kind == DLQ_K_ACT_I8_STATIC ? x[i] / static_scale : x[i] * inv, *zero);
    }
}
