// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "float16.h"

#include "float16_avx2.h"

#include <stdbool.h>
#include <string.h>

// Two ways lead from one type to another. The general one takes any source apart into sign, integer
// and power of two and rounds that once into the target, so that no pair of types rounds twice. The
// pairs that whole models are cast between have loops of their own that compilers vectorize; the
// tests compare the two.

enum kind { FINITE, INFINITE, NOT_A_NUMBER };

// (-1)^negative * mantissa * 2^exponent
struct number {
    enum kind kind;
    bool negative;
    uint64_t mantissa;
    int exponent;
};

struct format {
    uint32_t dtype;
    int8_t exponent_bits;
    int8_t mantissa_bits;
    bool has_infinity; // Else the largest exponent is ordinary, and all ones is a NaN
};

static const struct format formats[] = {
    {DLQ_F16, 5, 10, true},  {DLQ_BF16, 8, 7, true},     {DLQ_F32, 8, 23, true},
    {DLQ_F64, 11, 52, true}, {DLQ_F8_E4M3, 4, 3, false}, {DLQ_F8_E5M2, 5, 2, true},
};

static const struct format *
find_format(uint32_t dtype)
{
    for (size_t i = 0; i < sizeof(formats) / sizeof(*formats); i++) {
        if (formats[i].dtype == dtype) {
            return &formats[i];
        }
    }
    return NULL;
}

static bool
is_integer(uint32_t dtype)
{
    const uint32_t code = DLQ_DTYPE_CODE(dtype);
    return dtype == DLQ_BOOL || (dtype != DLQ_DTYPE_NONE && code <= DLQ_DTYPE_CODE(DLQ_U8));
}

static bool
is_signed(uint32_t dtype)
{
    return DLQ_DTYPE_CODE(dtype) == DLQ_DTYPE_CODE(DLQ_I8);
}

static uint64_t
load_bits(const void *src, size_t size)
{
    uint8_t u8;
    uint16_t u16;
    uint32_t u32;
    uint64_t u64;
    switch (size) {
    case 1:
        memcpy(&u8, src, 1);
        return u8;
    case 2:
        memcpy(&u16, src, 2);
        return u16;
    case 4:
        memcpy(&u32, src, 4);
        return u32;
    default:
        memcpy(&u64, src, 8);
        return u64;
    }
}

static void
store_bits(void *dst, size_t size, uint64_t bits)
{
    const uint8_t u8 = (uint8_t)bits;
    const uint16_t u16 = (uint16_t)bits;
    const uint32_t u32 = (uint32_t)bits;
    switch (size) {
    case 1:
        memcpy(dst, &u8, 1);
        break;
    case 2:
        memcpy(dst, &u16, 2);
        break;
    case 4:
        memcpy(dst, &u32, 4);
        break;
    default:
        memcpy(dst, &bits, 8);
        break;
    }
}

static struct number
decode_float(const struct format *f, uint64_t bits)
{
    const int m = f->mantissa_bits;
    const int top = (1 << f->exponent_bits) - 1;
    const int bias = top >> 1;
    const uint64_t fraction = bits & ((UINT64_C(1) << m) - 1);
    const int exponent = (int)(bits >> m) & top;
    struct number x = {FINITE, bits >> (m + f->exponent_bits) & 1, fraction, 1 - bias - m};
    if (exponent == top && f->has_infinity) {
        x.kind = fraction ? NOT_A_NUMBER : INFINITE;
    } else if (exponent == top && fraction == (UINT64_C(1) << m) - 1) {
        x.kind = NOT_A_NUMBER;
    } else if (exponent > 0) {
        x.mantissa |= UINT64_C(1) << m;
        x.exponent += exponent - 1;
    }
    return x;
}

static struct number
decode_integer(uint32_t dtype, uint64_t bits)
{
    const uint32_t width = DLQ_DTYPE_BITS(dtype);
    const bool negative = is_signed(dtype) && (bits >> (width - 1) & 1);
    if (dtype == DLQ_BOOL) {
        bits = bits != 0;
    } else if (negative) {
        bits = (~bits + 1) & (UINT64_MAX >> (64 - width));
    }
    return (struct number){FINITE, negative, bits, 0};
}

static struct number
decode_e8m0(uint64_t bits)
{
    return (struct number){bits == 255 ? NOT_A_NUMBER : FINITE, false, 1, (int)bits - 127};
}

// `mantissa` / 2^shift, rounded to nearest even.
static uint64_t
round_shift(uint64_t mantissa, int shift)
{
    if (shift <= 0) {
        return mantissa << -shift;
    }
    if (shift > 64) {
        return 0;
    }
    const uint64_t kept = shift == 64 ? 0 : mantissa >> shift;
    const uint64_t lost = shift == 64 ? mantissa : mantissa & ((UINT64_C(1) << shift) - 1);
    const uint64_t half = UINT64_C(1) << (shift - 1);
    return kept + (lost > half || (lost == half && (kept & 1)));
}

static uint64_t
encode_float(const struct format *f, struct number x)
{
    const int m = f->mantissa_bits;
    const uint64_t top = (UINT64_C(1) << f->exponent_bits) - 1;
    const int bias = (int)(top >> 1);
    const uint64_t sign = (uint64_t)x.negative << (m + f->exponent_bits);
    const uint64_t infinity = f->has_infinity ? top << m : (top << m | ((UINT64_C(1) << m) - 1));
    if (x.kind == NOT_A_NUMBER) {
        return sign | infinity | (f->has_infinity ? UINT64_C(1) << (m - 1) : 0);
    }
    if (x.kind == INFINITE) {
        return sign | infinity;
    }
    if (x.mantissa == 0) {
        return sign;
    }
    // The exponent field that puts the leading bit at bit `m`; 1 at least, where subnormals begin.
    const int width = 64 - __builtin_clzll(x.mantissa);
    int field = x.exponent + width - 1 + bias;
    if (field < 1) {
        field = 1;
    }
    if (field > (int)top + 1) {
        return sign | infinity;
    }
    // A carry out of the mantissa moves into the exponent, as it should; a subnormal has no leading
    // bit, so that one less is added.
    const uint64_t fraction = round_shift(x.mantissa, field - bias - m - x.exponent);
    const uint64_t bits = ((uint64_t)(field - 1) << m) + fraction;
    return sign | (bits < infinity ? bits : infinity);
}

// Whether the value is one of the integer type.
static bool
encode_integer(uint32_t dtype, struct number x, uint64_t *bits)
{
    const uint32_t width = DLQ_DTYPE_BITS(dtype);
    uint64_t limit = UINT64_MAX >> (64 - width);
    if (is_signed(dtype)) {
        limit = (limit >> 1) + x.negative;
    } else if (x.negative) {
        limit = 0;
    }
    uint64_t value = x.mantissa;
    if (x.kind != FINITE) {
        return false;
    }
    for (; x.exponent < 0 && value != 0; x.exponent++, value >>= 1) {
        if (value & 1) {
            return false;
        }
    }
    for (; x.exponent > 0 && value != 0; x.exponent--, value <<= 1) {
        if (value > limit / 2) {
            return false;
        }
    }
    *bits = x.negative ? ~value + 1 : value;
    return value <= limit;
}

bool
dlq_cast_supported(uint32_t dst_dtype, uint32_t src_dtype)
{
    if (dst_dtype == src_dtype) {
        return DLQ_DTYPE_BITS(src_dtype) != 0 && DLQ_DTYPE_BITS(src_dtype) % 8 == 0;
    }
    return (find_format(src_dtype) || is_integer(src_dtype) || src_dtype == DLQ_F8_E8M0) &&
           (find_format(dst_dtype) || (is_integer(dst_dtype) && dst_dtype != DLQ_BOOL));
}

static int32_t
cast_any(char *dst, uint32_t dst_dtype, const char *src, uint32_t src_dtype, size_t count)
{
    const struct format *const from = find_format(src_dtype);
    const struct format *const to = find_format(dst_dtype);
    const size_t src_size = DLQ_DTYPE_BITS(src_dtype) / 8;
    const size_t dst_size = DLQ_DTYPE_BITS(dst_dtype) / 8;
    for (size_t i = 0; i < count; i++) {
        uint64_t bits = load_bits(src + i * src_size, src_size);
        const struct number x = from                       ? decode_float(from, bits)
                                : src_dtype == DLQ_F8_E8M0 ? decode_e8m0(bits)
                                                           : decode_integer(src_dtype, bits);
        if (to) {
            bits = encode_float(to, x);
        } else if (!encode_integer(dst_dtype, x, &bits)) {
            return DLQ_EOVERFLOW;
        }
        store_bits(dst + i * dst_size, dst_size, bits);
    }
    return DLQ_OK;
}

static uint32_t
float_bits(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof(bits));
    return bits;
}

static float
bits_float(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof(f));
    return f;
}

// Subnormals are not shifted into place but converted from an integer: every intermediate value is
// a normal float, so that a process which flushes subnormals to zero gets them right.
float
dlq_f16_to_f32(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000) << 16;
    const uint32_t magnitude = h & 0x7FFFu;
    const uint32_t normal = (magnitude << 13) + (112u << 23);
    const uint32_t special = (magnitude << 13) | 0x7F800000u;
    const uint32_t subnormal = float_bits((float)(int32_t)magnitude * 0x1p-24f);
    // A NaN becomes quiet, as the processor's own conversion makes it.
    const uint32_t quiet = magnitude > 0x7C00 ? 0x00400000u : 0;
    const uint32_t bits = magnitude >= 0x7C00   ? special | quiet
                          : magnitude >= 0x0400 ? normal
                                                : subnormal;
    return bits_float(sign | bits);
}

uint16_t
dlq_f32_to_f16(float f)
{
    const uint32_t bits = float_bits(f);
    const uint32_t sign = bits >> 16 & 0x8000;
    const uint32_t magnitude = bits & 0x7FFFFFFFu;
    // 65520 and above round to infinity.
    const uint32_t clamped = magnitude < 0x477FF000u ? magnitude : 0x477FF000u;
    const uint32_t normal = (clamped + 0xFFF + (clamped >> 13 & 1) - (112u << 23)) >> 13;
    // Below 2^-14 the spacing is 2^-24, which is also that of floats in [0.5, 1).
    const float small = bits_float(magnitude < 0x38800000u ? magnitude : 0);
    const uint32_t subnormal = float_bits(small + 0.5f) - float_bits(0.5f);
    const uint32_t nan = 0x7E00u | (magnitude >> 13 & 0x3FF);
    const uint32_t half = magnitude > 0x7F800000u    ? nan
                          : magnitude >= 0x38800000u ? normal
                                                     : subnormal;
    return (uint16_t)(sign | half);
}

float
dlq_bf16_to_f32(uint16_t h)
{
    // A NaN becomes quiet, as arithmetic would make it.
    const uint32_t quiet = (h & 0x7FFFu) > 0x7F80 ? 0x40 : 0;
    return bits_float((h | quiet) << 16);
}

uint16_t
dlq_f32_to_bf16(float f)
{
    const uint32_t bits = float_bits(f);
    const uint32_t rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
    const uint32_t nan = bits >> 16 | 0x40;
    return (uint16_t)((bits & 0x7FFFFFFFu) > 0x7F800000u ? nan : rounded);
}

// memcpy in and out: sources are unaligned. Compilers make plain vector loads of it.
static float
load_f32(const char *src, uint32_t dtype, size_t i)
{
    uint16_t h;
    float f;
    if (dtype == DLQ_F32) {
        memcpy(&f, src + 4 * i, 4);
        return f;
    }
    memcpy(&h, src + 2 * i, 2);
    return dtype == DLQ_F16 ? dlq_f16_to_f32(h) : dlq_bf16_to_f32(h);
}

static void
store_f32(char *dst, uint32_t dtype, size_t i, float f)
{
    if (dtype == DLQ_F32) {
        memcpy(dst + 4 * i, &f, 4);
        return;
    }
    const uint16_t h = dtype == DLQ_F16 ? dlq_f32_to_f16(f) : dlq_f32_to_bf16(f);
    memcpy(dst + 2 * i, &h, 2);
}

#define PAIR(to, from)                                                                             \
    if (dst_dtype == (to) && src_dtype == (from)) {                                                \
        for (size_t i = 0; i < count; i++) {                                                       \
            store_f32(dst, to, i, load_f32(src, from, i));                                         \
        }                                                                                          \
        return true;                                                                               \
    }

// The three types that weights and scales come in. F32 lies between the other two without loss, so
// that only the store rounds.
static bool
cast_fast(char *dst, uint32_t dst_dtype, const char *src, uint32_t src_dtype, size_t count)
{
    PAIR(DLQ_F16, DLQ_F32)
    PAIR(DLQ_BF16, DLQ_F32)
    PAIR(DLQ_F32, DLQ_F16)
    PAIR(DLQ_F32, DLQ_BF16)
    PAIR(DLQ_F16, DLQ_BF16)
    PAIR(DLQ_BF16, DLQ_F16)
    return false;
}

int32_t
dlq_cast(uint32_t dst_dtype, void *dst, uint32_t src_dtype, const void *src, size_t count)
{
    if (!dlq_cast_supported(dst_dtype, src_dtype)) {
        return DLQ_EDTYPE;
    }
    if (dst_dtype == src_dtype) {
        if (count > 0) {
            memcpy(dst, src, count * (DLQ_DTYPE_BITS(src_dtype) / 8));
        }
        return DLQ_OK;
    }
    const size_t done = dlq_cast_avx2(dst, dst_dtype, src, src_dtype, count);
    char *const to = (char *)dst + done * (DLQ_DTYPE_BITS(dst_dtype) / 8);
    const char *const from = (const char *)src + done * (DLQ_DTYPE_BITS(src_dtype) / 8);
    return cast_fast(to, dst_dtype, from, src_dtype, count - done)
               ? DLQ_OK
               : cast_any(to, dst_dtype, from, src_dtype, count - done);
}
