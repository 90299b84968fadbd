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
integers_become_floats_with_one_rounding(void **state)
{
    (void)state;
    const int64_t ints[] = {0, 1, -1, 2048, 2049, 2051, -2049, 65519, 65520, INT64_MAX, INT64_MIN};
    const double halves[] = {0,
                             1,
                             -1,
                             2048,
                             2048,
                             2052,
                             -2048,
                             65504,
                             (double)INFINITY,
                             (double)INFINITY,
                             -(double)INFINITY};
    for (size_t i = 0; i < TEST_COUNT(ints); i++) {
        uint16_t h = 0;
        assert_int_equal(dlq_cast(DLQ_F16, &h, DLQ_I64, &ints[i], 1), DLQ_OK);
        assert_true(to_f64(DLQ_F16, &h) == halves[i]);
    }
    // A double holds 2^60 + 2^36 + 1 only as the middle between two F32.
    const int64_t close = (INT64_C(1) << 60) + (INT64_C(1) << 36) + 1;
    float f = 0;
    assert_int_equal(dlq_cast(DLQ_F32, &f, DLQ_I64, &close, 1), DLQ_OK);
    assert_true(f == 0x1p60f + 0x1p37f);
    const uint8_t bytes[] = {0, 1, 255};
    float floats[3];
    assert_int_equal(dlq_cast(DLQ_F32, floats, DLQ_U8, bytes, 3), DLQ_OK);
    assert_true(floats[0] == 0 && floats[1] == 1 && floats[2] == 255);
    assert_int_equal(dlq_cast(DLQ_F32, floats, DLQ_I8, bytes, 3), DLQ_OK);
    assert_true(floats[2] == -1);
    assert_int_equal(dlq_cast(DLQ_F32, floats, DLQ_BOOL, bytes, 3), DLQ_OK);
    assert_true(floats[2] == 1);
    const uint64_t most = UINT64_MAX;
    double d = 0;
    assert_int_equal(dlq_cast(DLQ_F64, &d, DLQ_U64, &most, 1), DLQ_OK);
    assert_true(d == 0x1p64);
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

static void
integers_must_fit_their_target(void **state)
{
    (void)state;
    const int64_t fits[] = {INT32_MAX, INT32_MIN, -1, 0};
    int32_t narrow[4];
    assert_int_equal(dlq_cast(DLQ_I32, narrow, DLQ_I64, fits, 4), DLQ_OK);
    assert_true(narrow[0] == INT32_MAX && narrow[1] == INT32_MIN && narrow[2] == -1);
    int64_t wide[4];
    assert_int_equal(dlq_cast(DLQ_I64, wide, DLQ_I32, narrow, 4), DLQ_OK);
    assert_memory_equal(wide, fits, sizeof(fits));
    const int64_t beyond[] = {(int64_t)INT32_MAX + 1, (int64_t)INT32_MIN - 1};
    assert_int_equal(dlq_cast(DLQ_I32, narrow, DLQ_I64, &beyond[0], 1), DLQ_EOVERFLOW);
    assert_int_equal(dlq_cast(DLQ_I32, narrow, DLQ_I64, &beyond[1], 1), DLQ_EOVERFLOW);
    const int8_t negative = -1;
    uint8_t u8 = 0;
    assert_int_equal(dlq_cast(DLQ_U8, &u8, DLQ_I8, &negative, 1), DLQ_EOVERFLOW);
    const uint8_t large = 128;
    int8_t i8 = 0;
    assert_int_equal(dlq_cast(DLQ_I8, &i8, DLQ_U8, &large, 1), DLQ_EOVERFLOW);
}

static void
a_float_becomes_an_integer_only_when_it_is_one(void **state)
{
    (void)state;
    const double whole[] = {-1, 0, 3, 2147483647, -2147483648.0, -0.0};
    int32_t ints[6];
    assert_int_equal(dlq_cast(DLQ_I32, ints, DLQ_F64, whole, 6), DLQ_OK);
    assert_true(ints[0] == -1 && ints[2] == 3 && ints[3] == INT32_MAX && ints[4] == INT32_MIN &&
                ints[5] == 0);
    const double others[] = {0.5, 2147483648.0, 1e300, (double)NAN, (double)INFINITY, 0x1p-1074};
    for (size_t i = 0; i < TEST_COUNT(others); i++) {
        assert_int_equal(dlq_cast(DLQ_I32, ints, DLQ_F64, &others[i], 1), DLQ_EOVERFLOW);
    }
    const double big = 0x1p63;
    uint64_t u64 = 0;
    assert_int_equal(dlq_cast(DLQ_U64, &u64, DLQ_F64, &big, 1), DLQ_OK);
    assert_true(u64 == UINT64_C(1) << 63);
}

static void
sources_and_targets_may_be_unaligned(void **state)
{
    (void)state;
    unsigned char from[3 + 4 * 100];
    unsigned char to[1 + 2 * 100 + 1];
    memset(to, 0xEE, sizeof(to));
    for (int i = 0; i < 100; i++) {
        const float f = (float)i / 4;
        memcpy(from + 3 + 4 * i, &f, 4);
    }
    assert_int_equal(dlq_cast(DLQ_F16, to + 1, DLQ_F32, from + 3, 100), DLQ_OK);
    for (int i = 0; i < 100; i++) {
        uint16_t h;
        memcpy(&h, to + 1 + 2 * i, 2);
        assert_true(dlq_f16_to_f32(h) == (float)i / 4);
    }
    assert_int_equal(to[0], 0xEE);
    assert_int_equal(to[sizeof(to) - 1], 0xEE);
}

static void
pairs_without_a_meaning_are_refused_before_anything_is_written(void **state)
{
    (void)state;
    const uint32_t pairs[][2] = {
        {DLQ_F4_E2M1, DLQ_F4_E2M1}, {DLQ_F32, DLQ_F4_E2M1},    {DLQ_F8_E8M0, DLQ_F32},
        {DLQ_BOOL, DLQ_I32},        {DLQ_F32, DLQ_C64},        {DLQ_F8_E4M3FNUZ, DLQ_F32},
        {DLQ_F32, DLQ_DTYPE_NONE},  {DLQ_DTYPE_NONE, DLQ_F32}, {DLQ_DTYPE_NONE, DLQ_DTYPE_NONE},
        {DLQ_F32, 0xFFFF},
    };
    for (size_t i = 0; i < TEST_COUNT(pairs); i++) {
        uint64_t from = 1;
        uint64_t to = 42;
        assert_int_equal(dlq_cast(pairs[i][0], &to, pairs[i][1], &from, 1), DLQ_EDTYPE);
        assert_false(dlq_cast_supported(pairs[i][0], pairs[i][1]));
        assert_true(to == 42);
    }
    const uint8_t codes[2] = {1, 2};
    uint8_t copy[2];
    assert_int_equal(dlq_cast(DLQ_F8_E8M0, copy, DLQ_F8_E8M0, codes, 2), DLQ_OK);
    assert_memory_equal(copy, codes, 2);
    assert_int_equal(dlq_cast(DLQ_F16, NULL, DLQ_F32, NULL, 0), DLQ_OK);
    assert_int_equal(dlq_cast(DLQ_F32, NULL, DLQ_F32, NULL, 0), DLQ_OK);
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
        cmocka_unit_test(integers_become_floats_with_one_rounding),
        cmocka_unit_test(e8m0_is_a_power_of_two),
        cmocka_unit_test(integers_must_fit_their_target),
        cmocka_unit_test(a_float_becomes_an_integer_only_when_it_is_one),
        cmocka_unit_test(sources_and_targets_may_be_unaligned),
        cmocka_unit_test(pairs_without_a_meaning_are_refused_before_anything_is_written),
    };
    return cmocka_run_group_tests_name("float16", tests, NULL, NULL);
}
