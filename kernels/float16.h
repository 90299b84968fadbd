// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_KERNELS_FLOAT16_H
#define DLQ_KERNELS_FLOAT16_H

#include <dlquant/types.h>

#include <math.h>
#include <stdbool.h>
#include <string.h>

/// Conversions between binary32 and the small float formats. All round to nearest, ties to even,
/// keep subnormals, and keep NaN a NaN. None depends on flush-to-zero modes for 16-bit inputs.

static inline uint32_t
dlq_k_f32_bits(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof(u));
    return u;
}

static inline float
dlq_k_f32_from_bits(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof(f));
    return f;
}

/// Whether a float is neither NaN nor infinite, also under -ffast-math.
static inline bool
dlq_k_f32_is_finite(float f)
{
    return (dlq_k_f32_bits(f) & 0x7f800000u) != 0x7f800000u;
}

static inline float
dlq_k_f16_to_f32(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000u) << 16;
    const uint32_t a = h & 0x7fffu;
    if (a >= 0x7c00u) {
        // A signalling NaN becomes quiet, as the hardware conversion does.
        const uint32_t quiet = a > 0x7c00u ? 0x00400000u : 0;
        return dlq_k_f32_from_bits(sign | 0x7f800000u | quiet | (a & 0x3ffu) << 13);
    }
    if (a < 0x400u) {
        return dlq_k_f32_from_bits(sign | dlq_k_f32_bits((float)a * 0x1p-24f));
    }
    return dlq_k_f32_from_bits(sign | ((a << 13) + (112u << 23)));
}

static inline uint16_t
dlq_k_f32_to_f16(float f)
{
    const uint32_t u = dlq_k_f32_bits(f);
    const uint32_t sign = u >> 16 & 0x8000u;
    const uint32_t a = u & 0x7fffffffu;
    if (a > 0x7f800000u) {
        return (uint16_t)(sign | 0x7e00u | (a >> 13 & 0x3ffu));
    }
    if (a >= 0x477ff000u) { // 65520 and above round to infinity
        return (uint16_t)(sign | 0x7c00u);
    }
    if (a < 0x38800000u) {
        // The spacing of floats at 0.5 is 2^-24, that of binary16 subnormals: the addition rounds.
        const float aligned = dlq_k_f32_from_bits(a) + 0.5f;
        return (uint16_t)(sign | (dlq_k_f32_bits(aligned) - 0x3f000000u));
    }
    return (uint16_t)(sign | ((a - (112u << 23) + 0xfffu + (a >> 13 & 1u)) >> 13));
}

static inline float
dlq_k_bf16_to_f32(uint16_t b)
{
    return dlq_k_f32_from_bits((uint32_t)b << 16);
}

static inline uint16_t
dlq_k_f32_to_bf16(float f)
{
    const uint32_t u = dlq_k_f32_bits(f);
    if ((u & 0x7fffffffu) > 0x7f800000u) {
        return (uint16_t)(u >> 16 | 0x40u);
    }
    return (uint16_t)((u + 0x7fffu + (u >> 16 & 1u)) >> 16);
}

/// e4m3fn: bias 7, largest 448, no infinity, NaN 0x7f and 0xff.
static inline float
dlq_k_e4m3_to_f32(uint8_t c)
{
    const uint32_t sign = (uint32_t)(c & 0x80u) << 24;
    const uint32_t a = c & 0x7fu;
    if (a == 0x7fu) {
        return dlq_k_f32_from_bits(sign | 0x7fc00000u);
    }
    if (a < 8u) {
        return dlq_k_f32_from_bits(sign | dlq_k_f32_bits((float)a * 0x1p-9f));
    }
    return dlq_k_f32_from_bits(sign | ((a << 20) + (120u << 23)));
}

/// Saturates at +-448; NaN stays NaN.
static inline uint8_t
dlq_k_f32_to_e4m3(float f)
{
    const uint32_t u = dlq_k_f32_bits(f);
    const uint32_t sign = u >> 24 & 0x80u;
    const uint32_t a = u & 0x7fffffffu;
    if (a > 0x7f800000u) {
        return (uint8_t)(sign | 0x7fu);
    }
    if (a >= 0x43e00000u) { // 448
        return (uint8_t)(sign | 0x7eu);
    }
    if (a < 0x3c800000u) { // below 2^-6: subnormal codes count units of 2^-9
        return (uint8_t)(sign | (uint32_t)lrintf(dlq_k_f32_from_bits(a) * 512.0f));
    }
    return (uint8_t)(sign | (((a + 0x7ffffu + (a >> 20 & 1u)) >> 20) - (120u << 3)));
}

/// e2m1: magnitudes 0, 0.5, 1, 1.5, 2, 3, 4, 6; bit 3 is the sign.
static inline float
dlq_k_e2m1_to_f32(uint8_t c)
{
    static const float magnitude[8] = {0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f};
    const float v = magnitude[c & 7u];
    return (c & 8u) != 0 ? -v : v;
}

/// Saturates at +-6. The format has no NaN: callers must have handled one before.
static inline uint8_t
dlq_k_f32_to_e2m1(float f)
{
    const uint8_t sign = (uint8_t)(dlq_k_f32_bits(f) >> 28 & 8u);
    const float a = fabsf(f);
    const uint8_t code = a <= 0.25f   ? 0
                         : a < 0.75f  ? 1
                         : a <= 1.25f ? 2
                         : a < 1.75f  ? 3
                         : a <= 2.5f  ? 4
                         : a < 3.5f   ? 5
                         : a <= 5.0f  ? 6
                                      : 7;
    return (uint8_t)(sign | code);
}

/// e8m0: 2^(e - 127), 255 is NaN.
static inline float
dlq_k_e8m0_to_f32(uint8_t e)
{
    if (e == 255u) {
        return dlq_k_f32_from_bits(0x7fc00000u);
    }
    return dlq_k_f32_from_bits(e == 0 ? 0x00400000u : (uint32_t)e << 23);
}

/// Element `i` of an array of fp16, bf16 or fp32 as fp32.
static inline float
dlq_k_load_f32(const void *p, uint32_t dtype, int64_t i)
{
    if (dtype == DLQ_F32) {
        return ((const float *)p)[i];
    }
    const uint16_t bits = ((const uint16_t *)p)[i];
    return dtype == DLQ_F16 ? dlq_k_f16_to_f32(bits) : dlq_k_bf16_to_f32(bits);
}

/// Stores a float as fp16, bf16 or fp32 with one rounding.
static inline void
dlq_k_store_f32(void *p, uint32_t dtype, int64_t i, float v)
{
    if (dtype == DLQ_F32) {
        ((float *)p)[i] = v;
        return;
    }
    ((uint16_t *)p)[i] = dtype == DLQ_F16 ? dlq_k_f32_to_f16(v) : dlq_k_f32_to_bf16(v);
}

/// Bytes of one element of fp16, bf16 or fp32.
static inline size_t
dlq_k_act_size(uint32_t dtype)
{
    return dtype == DLQ_F32 ? 4 : 2;
}

#endif // DLQ_KERNELS_FLOAT16_H
