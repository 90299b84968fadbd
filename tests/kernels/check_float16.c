// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "check.h"
#include "float16.h"

// The conversions of float16.h, exhaustively where the format has at most 16 bits.

static double
decode(unsigned code, int exponent_bits, int mantissa_bits)
{
    const int bias = (1 << (exponent_bits - 1)) - 1;
    const int exponent = (int)(code >> mantissa_bits & ((1u << exponent_bits) - 1u));
    const double mantissa = ldexp((double)(code & ((1u << mantissa_bits) - 1u)), -mantissa_bits);
    const double magnitude =
        exponent == 0 ? ldexp(mantissa, 1 - bias) : ldexp(1.0 + mantissa, exponent - bias);
    return (code >> (exponent_bits + mantissa_bits)) != 0 ? -magnitude : magnitude;
}

// Between two neighbouring codes: the middle goes to the even code, its neighbours to the nearer.
static void
check_middle(const char *what, unsigned lower, float a, float b, unsigned (*encode)(float))
{
    const float middle = (float)(((double)a + (double)b) / 2.0);
    const unsigned even = lower % 2 == 0 ? lower : lower + 1;
    check_that(encode(middle) == even, "%s: middle of codes %x and %x", what, lower, lower + 1);
    check_that(encode(nextafterf(middle, a)) == lower, "%s: below the middle of %x", what, lower);
    check_that(encode(nextafterf(middle, b)) == lower + 1, "%s: above the middle of %x", what,
               lower);
}

static unsigned
encode_f16(float f)
{
    return dlq_k_f32_to_f16(f);
}

static unsigned
encode_bf16(float f)
{
    return dlq_k_f32_to_bf16(f);
}

static unsigned
encode_e4m3(float f)
{
    return dlq_k_f32_to_e4m3(f);
}

static unsigned
encode_e2m1(float f)
{
    return dlq_k_f32_to_e2m1(f);
}

static void
check_16_bits(void)
{
    for (unsigned code = 0; code < 0x10000u; code++) {
        const float h = dlq_k_f16_to_f32((uint16_t)code);
        const float b = dlq_k_bf16_to_f32((uint16_t)code);
        if ((code & 0x7c00u) != 0x7c00u) {
            check_that((double)h == decode(code, 5, 10) && (signbit(h) != 0) == (code >> 15 != 0),
                       "fp16 %04x", code);
        }
        if ((code & 0x7f80u) != 0x7f80u) {
            check_that((double)b == decode(code, 8, 7) && (signbit(b) != 0) == (code >> 15 != 0),
                       "bf16 %04x", code);
        }
        // Every value survives; signalling NaN come back quiet.
        const bool h_nan = (code & 0x7fffu) > 0x7c00u;
        const bool b_nan = (code & 0x7fffu) > 0x7f80u;
        check_that(isnan(h) == h_nan && isnan(b) == b_nan, "NaN of code %04x", code);
        check_that(dlq_k_f32_to_f16(h) == (h_nan ? (code | 0x200u) : code), "fp16 back %04x", code);
        check_that(dlq_k_f32_to_bf16(b) == (b_nan ? (code | 0x40u) : code), "bf16 back %04x", code);
    }
    for (unsigned code = 0; code < 0x7bffu; code++) {
        check_middle("fp16", code, dlq_k_f16_to_f32((uint16_t)code),
                     dlq_k_f16_to_f32((uint16_t)(code + 1)), encode_f16);
    }
    for (unsigned code = 1; code < 0x7f7fu; code++) {
        check_middle("bf16", code, dlq_k_bf16_to_f32((uint16_t)code),
                     dlq_k_bf16_to_f32((uint16_t)(code + 1)), encode_bf16);
    }
    check_that(dlq_k_f32_to_f16(65519.0f) == 0x7bff && dlq_k_f32_to_f16(65520.0f) == 0x7c00 &&
                   dlq_k_f32_to_f16(-1e30f) == 0xfc00,
               "fp16 overflow");
}

static void
check_8_bits(void)
{
    for (unsigned code = 0; code < 0x100u; code++) {
        const float v = dlq_k_e4m3_to_f32((uint8_t)code);
        if ((code & 0x7fu) == 0x7fu) {
            check_that(isnan(v) && (dlq_k_f32_to_e4m3(v) & 0x7fu) == 0x7fu, "e4m3 NaN");
        } else {
            check_that((double)v == decode(code, 4, 3) && dlq_k_f32_to_e4m3(v) == code, "e4m3 %02x",
                       code);
        }
        const float e = dlq_k_e8m0_to_f32((uint8_t)code);
        check_that(code == 255 ? isnan(e) : (double)e == ldexp(1.0, (int)code - 127), "e8m0 %02x",
                   code);
    }
    for (unsigned code = 0; code < 0x7eu; code++) {
        check_middle("e4m3", code, dlq_k_e4m3_to_f32((uint8_t)code),
                     dlq_k_e4m3_to_f32((uint8_t)(code + 1)), encode_e4m3);
    }
    check_that(dlq_k_f32_to_e4m3(1e9f) == 0x7e && dlq_k_f32_to_e4m3(-INFINITY) == 0xfe,
               "e4m3 saturates");
    static const double values[] = {0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0};
    for (unsigned code = 0; code < 16u; code++) {
        const float v = dlq_k_e2m1_to_f32((uint8_t)code);
        check_that((double)fabsf(v) == values[code & 7u] && dlq_k_f32_to_e2m1(v) == code, "e2m1 %x",
                   code);
    }
    for (unsigned code = 0; code < 7u; code++) {
        check_middle("e2m1", code, (float)values[code], (float)values[code + 1], encode_e2m1);
    }
    check_that(dlq_k_f32_to_e2m1(100.0f) == 7 && dlq_k_f32_to_e2m1(-INFINITY) == 15,
               "e2m1 saturates");
}

void
check_float16(void)
{
    check_16_bits();
    check_8_bits();
}
