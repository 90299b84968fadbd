// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "float16.h"
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __SSE__
#include <xmmintrin.h>
#endif

static double
to_f64(uint32_t dtype, const void *value)
{
    double d = -1;
    assert_int_equal(dlq_cast(DLQ_F64, &d, dtype, value, 1), DLQ_OK);
    return d;
}

// The value of a small float from its definition, by other means than the code under test.
static double
expected_value(unsigned bits, int exponent_bits, int mantissa_bits, bool ieee)
{
    const int top = (1 << exponent_bits) - 1;
    const unsigned fraction = bits & ((1u << mantissa_bits) - 1);
    const int exponent = (int)(bits >> mantissa_bits) & top;
    const double sign = bits >> (mantissa_bits + exponent_bits) & 1 ? -1 : 1;
    if (exponent == top && ieee) {
        return fraction ? (double)NAN : sign * (double)INFINITY;
    }
    if (exponent == top && fraction == (1u << mantissa_bits) - 1) {
        return (double)NAN;
    }
    const double m = fraction + (exponent ? ldexp(1, mantissa_bits) : 0);
    const int e = exponent ? exponent : 1;
    return sign * ldexp(m, e - (top >> 1) - mantissa_bits);
}

static bool
same(double a, double b)
{
    return (isnan(a) && isnan(b)) || (a == b && signbit(a) == signbit(b));
}

static const struct {
    uint32_t dtype;
    int exponent_bits;
    int mantissa_bits;
    bool ieee;
} small_types[] = {
    {DLQ_F16, 5, 10, true},
    {DLQ_BF16, 8, 7, true},
    {DLQ_F8_E4M3, 4, 3, false},
    {DLQ_F8_E5M2, 5, 2, true},
};

static void
every_small_float_has_the_value_of_its_definition(void **state)
{
    (void)state;
    for (size_t k = 0; k < TEST_COUNT(small_types); k++) {
        const uint32_t dtype = small_types[k].dtype;
        const unsigned n = 1u << DLQ_DTYPE_BITS(dtype);
        for (unsigned bits = 0; bits < n; bits++) {
            const uint16_t value = (uint16_t)bits;
            const double want = expected_value(bits, small_types[k].exponent_bits,
                                               small_types[k].mantissa_bits, small_types[k].ieee);
            float f = -1;
            assert_int_equal(dlq_cast(DLQ_F32, &f, dtype, &value, 1), DLQ_OK);
            if (!same(to_f64(dtype, &value), want) || !same((double)f, want)) {
                fail_msg("dtype %x, bits %x: expected %g, found %g and %g", dtype, bits, want,
                         to_f64(dtype, &value), (double)f);
            }
        }
    }
}

static void
every_small_float_survives_the_way_there_and_back(void **state)
{
    (void)state;
    const uint32_t wide[] = {DLQ_F32, DLQ_F64};
    for (size_t k = 0; k < TEST_COUNT(small_types); k++) {
        const uint32_t dtype = small_types[k].dtype;
        for (unsigned bits = 0; bits < 1u << DLQ_DTYPE_BITS(dtype); bits++) {
            for (size_t w = 0; w < TEST_COUNT(wide); w++) {
                const uint16_t value = (uint16_t)bits;
                uint16_t back = 0;
                double buffer = 0;
                assert_int_equal(dlq_cast(wide[w], &buffer, dtype, &value, 1), DLQ_OK);
                assert_int_equal(dlq_cast(dtype, &back, wide[w], &buffer, 1), DLQ_OK);
                if (isnan(to_f64(dtype, &value))) {
                    assert_true(isnan(to_f64(dtype, &back)));
                } else {
                    assert_int_equal(back, value);
                }
            }
        }
    }
}

static uint16_t
round_f64(uint32_t dtype, double d)
{
    uint16_t bits = 0;
    assert_int_equal(dlq_cast(dtype, &bits, DLQ_F64, &d, 1), DLQ_OK);
    return bits;
}

static uint16_t
round_f32(uint32_t dtype, float f)
{
    uint16_t bits = 0;
    assert_int_equal(dlq_cast(dtype, &bits, DLQ_F32, &f, 1), DLQ_OK);
    return bits;
}

// Rounding is a step function: right at every step and between means right everywhere.
static void
every_step_between_neighbours_rounds_to_nearest_even(void **state)
{
    (void)state;
    for (size_t k = 0; k < TEST_COUNT(small_types); k++) {
        const uint32_t dtype = small_types[k].dtype;
        const unsigned sign = 1u << (DLQ_DTYPE_BITS(dtype) - 1);
        for (unsigned bits = 0;; bits++) {
            const uint16_t low = (uint16_t)bits;
            const uint16_t high = (uint16_t)(bits + 1);
            const double a = to_f64(dtype, &low);
            double b = to_f64(dtype, &high);
            const bool last = !isfinite(b);
            if (last) {
                // The largest value: the next one would be as far away as the one before.
                const uint16_t before = (uint16_t)(bits - 1);
                b = a + (a - to_f64(dtype, &before));
            }
            const double middle = (a + b) / 2;
            const uint16_t even = bits % 2 == 0 ? low : high;
            assert_int_equal(round_f64(dtype, middle), even);
            assert_int_equal(round_f64(dtype, nextafter(middle, 0)), low);
            assert_int_equal(round_f64(dtype, nextafter(middle, INFINITY)), high);
            assert_int_equal(round_f64(dtype, -middle), even | sign);
            const float m = (float)middle;
            assert_int_equal(round_f32(dtype, m), even);
            assert_int_equal(round_f32(dtype, nextafterf(m, 0)), low);
            assert_int_equal(round_f32(dtype, nextafterf(m, INFINITY)), high);
            assert_int_equal(round_f32(dtype, -nextafterf(m, INFINITY)), high | sign);
            if (last) {
                break;
            }
        }
    }
}

static bool
fast_equals_general(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof(f));
    double d = (double)f;
    const uint32_t types[] = {DLQ_F16, DLQ_BF16};
    for (size_t k = 0; k < 2; k++) {
        const uint16_t fast = types[k] == DLQ_F16 ? dlq_f32_to_f16(f) : dlq_f32_to_bf16(f);
        uint16_t slow = 0;
        dlq_cast(types[k], &slow, DLQ_F64, &d, 1);
        if (fast != slow && !(isnan(f) && isnan(to_f64(types[k], &fast)))) {
            return false;
        }
    }
    return true;
}

static void
fast_and_general_ways_agree(void **state)
{
    (void)state;
    // A prime, so that all exponents meet all kinds of mantissas.
    for (uint64_t bits = 0; bits <= UINT32_MAX; bits += 1021) {
        if (!fast_equals_general((uint32_t)bits)) {
            fail_msg("bits %08x", (uint32_t)bits);
        }
    }
}

// Long arrays take vector instructions where the processor has them; one element at a time never.
static void
assert_array_equals_elements(uint32_t to, uint32_t from, const unsigned char *src, size_t n)
{
    const size_t to_size = DLQ_DTYPE_BITS(to) / 8;
    const size_t from_size = DLQ_DTYPE_BITS(from) / 8;
    unsigned char *const array = malloc(n * to_size + 2);
    unsigned char *const single = malloc(n * to_size + 2);
    assert_true(array && single);
    memset(array, 0xEE, n * to_size + 2);
    memset(single, 0xEE, n * to_size + 2);
    // Both sides unaligned.
    assert_int_equal(dlq_cast(to, array + 1, from, src, n), DLQ_OK);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(dlq_cast(to, single + 1 + i * to_size, from, src + i * from_size, 1),
                         DLQ_OK);
    }
    assert_memory_equal(array, single, n * to_size + 2);
    free(array);
    free(single);
}

static void
arrays_are_cast_as_their_elements_are(void **state)
{
    (void)state;
    static const uint32_t types[] = {DLQ_F16, DLQ_BF16, DLQ_F32};
    const size_t n = 1 << 17;
    unsigned char *const src = malloc(4 * n + 1);
    assert_non_null(src);
    // All 16-bit patterns; as F32 many, NaNs and subnormals among them.
    for (uint32_t i = 0; i < n; i++) {
        const uint16_t half = (uint16_t)i;
        memcpy(src + 1 + 2 * i, &half, 2);
    }
    for (size_t t = 0; t < 3; t++) {
        for (size_t f = 0; f < 3; f++) {
            if (types[f] == DLQ_F32) {
                for (uint32_t i = 0; i < n; i++) {
                    const uint32_t bits = i * UINT32_C(32749);
                    memcpy(src + 1 + 4 * i, &bits, 4);
                }
            }
            assert_array_equals_elements(types[t], types[f], src + 1, n);
            for (size_t len = 0; len < 40; len++) {
                assert_array_equals_elements(types[t], types[f], src + 1 + 4 * len, len);
            }
        }
    }
    free(src);
}

static void
f64_is_rounded_once(void **state)
{
    (void)state;
    // Just above the middle of 1 and the next F16 by less than F32 can see.
    assert_int_equal(round_f64(DLQ_F16, 1 + 0x1p-11 + 0x1p-40), 0x3C01);
    assert_int_equal(round_f64(DLQ_F16, 1 + 0x1p-11), 0x3C00);
    assert_int_equal(round_f64(DLQ_BF16, 1 + 0x1p-8 + 0x1p-50), 0x3F81);
    float f = 0;
    const double d = 1 + 0x1p-24 + 0x1p-52;
    assert_int_equal(dlq_cast(DLQ_F32, &f, DLQ_F64, &d, 1), DLQ_OK);
    assert_true(f == 1 + 0x1p-23f);
}

static void
f64_to_f32_is_what_the_processor_does(void **state)
{
    (void)state;
    uint64_t seed = 1;
    for (int i = 0; i < 1000000; i++) {
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        double d;
        float f = 0;
        const uint64_t bits = seed ^ seed >> 29;
        memcpy(&d, &bits, sizeof(d));
        if (i % 2) {
            d = ldexp(d / ldexp(1, ilogb(d)), i % 320 - 160);
        }
        dlq_cast(DLQ_F32, &f, DLQ_F64, &d, 1);
        assert_true(same((double)f, (double)(float)d));
    }
}

static void
values_out_of_range_become_infinite_or_nan(void **state)
{
    (void)state;
    assert_int_equal(round_f32(DLQ_F16, 65519.0f), 0x7BFF);
    assert_int_equal(round_f32(DLQ_F16, 65520.0f), 0x7C00);
    assert_int_equal(round_f32(DLQ_F16, -1e30f), 0xFC00);
    assert_int_equal(round_f32(DLQ_F16, INFINITY), 0x7C00);
    assert_int_equal(round_f32(DLQ_BF16, 3.4e38f), 0x7F80);
    assert_int_equal(round_f64(DLQ_BF16, 1e300), 0x7F80);
    assert_int_equal(round_f32(DLQ_F8_E4M3, 448.0f), 0x7E);
    assert_int_equal(round_f32(DLQ_F8_E4M3, 464.0f), 0x7E);
    assert_int_equal(round_f32(DLQ_F8_E4M3, 464.1f), 0x7F);
    assert_int_equal(round_f32(DLQ_F8_E4M3, -INFINITY), 0xFF);
    assert_int_equal(round_f32(DLQ_F8_E5M2, 57344.0f), 0x7B);
    assert_int_equal(round_f32(DLQ_F8_E5M2, 61440.0f), 0x7C);
    const uint16_t nan16 = round_f32(DLQ_F16, NAN);
    assert_true(isnan(dlq_f16_to_f32(nan16)));
    assert_int_equal(round_f32(DLQ_F16, 1e-30f), 0);
    assert_int_equal(round_f32(DLQ_F16, -1e-30f), 0x8000);
}

// An engine may set both for speed; parameters must not depend on it.
static void
subnormals_survive_flush_to_zero_modes(void **state)
{
    (void)state;
#ifdef __SSE__
    const unsigned before = _mm_getcsr();
    _mm_setcsr(before | 0x8040);
    uint32_t wrong = 0;
    for (unsigned bits = 0; bits < 0x400; bits++) {
        const uint16_t h = (uint16_t)bits;
        const float f = dlq_f16_to_f32(h);
        uint16_t b = (uint16_t)bits;
        uint32_t widened;
        dlq_cast(DLQ_F32, &widened, DLQ_BF16, &b, 1);
        wrong += dlq_f32_to_f16(f) != h;
        wrong += widened != bits << 16;
    }
    _mm_setcsr(before);
    assert_int_equal(wrong, 0);
#else
    skip();
#endif
}

static void
e8m0_is_a_power_of_two(void **state)
{
    (void)state;
    for (int e = 0; e < 255; e++) {
        const uint8_t bits = (uint8_t)e;
        assert_true(to_f64(DLQ_F8_E8M0, &bits) == ldexp(1, e - 127));
    }
    const uint8_t nan = 255;
    assert_true(isnan(to_f64(DLQ_F8_E8M0, &nan)));
}

// All 2^32 floats; about a minute, so only when asked for.
static int
exhaustive(void)
{
    for (uint64_t bits = 0; bits <= UINT32_MAX; bits++) {
        if (!fast_equals_general((uint32_t)bits)) {
            fprintf(stderr, "float bits %08x\n", (uint32_t)bits);
            return 1;
        }
    }
    return 0;
}

int
main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "exhaustive") == 0) {
        return exhaustive();
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_small_float_has_the_value_of_its_definition),
        cmocka_unit_test(every_small_float_survives_the_way_there_and_back),
        cmocka_unit_test(every_step_between_neighbours_rounds_to_nearest_even),
        cmocka_unit_test(fast_and_general_ways_agree),
        cmocka_unit_test(arrays_are_cast_as_their_elements_are),
        cmocka_unit_test(f64_is_rounded_once),
        cmocka_unit_test(f64_to_f32_is_what_the_processor_does),
        cmocka_unit_test(values_out_of_range_become_infinite_or_nan),
        cmocka_unit_test(subnormals_survive_flush_to_zero_modes),
        cmocka_unit_test(e8m0_is_a_power_of_two),
    };
    return cmocka_run_group_tests_name("float16", tests, NULL, NULL);
}
