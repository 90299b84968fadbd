// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "float16.h"
#include "support.h"

#include <math.h>
#include <string.h>

/// Casts with integers, and which casts there are.

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
        assert_true((double)dlq_f16_to_f32(h) == halves[i]);
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

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_become_floats_with_one_rounding),
        cmocka_unit_test(integers_must_fit_their_target),
        cmocka_unit_test(a_float_becomes_an_integer_only_when_it_is_one),
        cmocka_unit_test(sources_and_targets_may_be_unaligned),
        cmocka_unit_test(pairs_without_a_meaning_are_refused_before_anything_is_written),
    };
    return cmocka_run_group_tests_name("float16_integers", tests, NULL, NULL);
}
