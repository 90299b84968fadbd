// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "bounds.h"
#include "reference.h"

#include <dlquant/types.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void
ulp_is_the_distance_to_the_next_value(void **state)
{
    (void)state;
    assert_true(tool_ulp(DLQ_F16, 1.0) == 0x1p-10);
    assert_true(tool_ulp(DLQ_F16, 1.999) == 0x1p-10);
    assert_true(tool_ulp(DLQ_F16, -2.0) == 0x1p-9);
    assert_true(tool_ulp(DLQ_F16, 65504.0) == 32.0);
    assert_true(tool_ulp(DLQ_BF16, 1.0) == 0x1p-7);
    assert_true(tool_ulp(DLQ_F32, 1.0) == 0x1p-23);
}

static void
ulp_of_small_values_is_the_least_subnormal(void **state)
{
    (void)state;
    assert_true(tool_ulp(DLQ_F16, 0.0) == 0x1p-24);
    assert_true(tool_ulp(DLQ_F16, 0x1p-20) == 0x1p-24);
    assert_true(tool_ulp(DLQ_BF16, 0.0) == 0x1p-133);
    assert_true(tool_ulp(DLQ_F32, 0x1p-140) == 0x1p-149);
}

static void
each_term_of_an_element_is_in_its_arithmetic_only(void **state)
{
    (void)state;
    const struct tool_sums sums = {
        .s = 64.0, .q = 16.0, .w2 = 4.0, .xmax = 8.0, .partial = 2.0, .y = 1.0};
    struct tool_bound_facts f = {.dtype = DLQ_F16, .k = 1024, .groups = 1, .ranks = 1};
    const double ulp = 0x1p-10;
    const double sum = 1024.0 * 0x1p-23 * 64.0;
    f.arith = TOOL_EXACT;
    assert_true(tool_bound_element(&f, &sums) == ulp + sum);
    f.arith = TOOL_ROUNDED;
    assert_true(tool_bound_element(&f, &sums) == ulp + sum + 8.0 * 0x1p-11 * 4.0);
    f.arith = TOOL_LIMBS;
    assert_true(tool_bound_element(&f, &sums) == ulp + sum + 8.0 * 0x1p-14 * 8.0 * 2.0);
    f.arith = TOOL_INT8;
    assert_true(tool_bound_element(&f, &sums) == ulp);
    f.arith = TOOL_CODES;
    assert_true(tool_bound_element(&f, &sums) == ulp + sum);
    f.arith = TOOL_TF32;
    assert_true(tool_bound_element(&f, &sums) == ulp + sum + 0x1p-9 * 64.0);
}

static void
ranks_add_their_roundings(void **state)
{
    (void)state;
    const struct tool_sums sums = {.partial = 2.0, .y = 1.0};
    struct tool_bound_facts f = {.arith = TOOL_INT8, .dtype = DLQ_F16, .k = 8, .ranks = 4};
    assert_true(tool_bound_element(&f, &sums) == 0x1p-10 + 5.0 * 0x1p-9);
}

static void
groups_shorten_the_sum(void **state)
{
    (void)state;
    const struct tool_sums sums = {.s = 1.0};
    struct tool_bound_facts f = {.arith = TOOL_CODES, .dtype = DLQ_F32, .k = 4096, .ranks = 1};
    f.groups = 32;
    assert_true(tool_bound_element(&f, &sums) == 0x1p-149 + (32.0 + 128.0) * 0x1p-23);
}

static void
norms_grow_with_the_coarseness_of_the_dtype(void **state)
{
    (void)state;
    for (int a = TOOL_EXACT; a <= TOOL_LIMBS; ++a) {
        const enum tool_arith arith = (enum tool_arith)a;
        assert_true(tool_bound_norm(arith, DLQ_F32) < tool_bound_norm(arith, DLQ_F16));
        assert_true(tool_bound_norm(arith, DLQ_F16) < tool_bound_norm(arith, DLQ_BF16));
    }
    assert_true(tool_bound_norm(TOOL_EXACT, DLQ_F16) == 3e-4);
    assert_true(tool_bound_norm(TOOL_LIMBS, DLQ_F32) == 2e-4);
    assert_true(tool_bound_norm(TOOL_INT8, DLQ_F16) == 0.0);
    assert_true(tool_bound_norm(TOOL_TF32, DLQ_F32) == 1e-3);
}

static void
groups_are_powers_of_two_with_a_short_last_one(void **state)
{
    (void)state;
    assert_int_equal(tool_group_size(256, 2), 128);
    assert_int_equal(tool_group_size(172, 2), 128);
    assert_int_equal(tool_group_size(768, 48), 16);
    assert_int_equal(tool_group_size(86, 43), 2);
    assert_int_equal(tool_group_size(172, 1), 172);
    assert_int_equal(tool_group_size(90, 2), 64);
    assert_int_equal(tool_group_size(129, 3), 64);
    assert_int_equal(tool_group_size(129, 43), 3);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ulp_is_the_distance_to_the_next_value),
        cmocka_unit_test(ulp_of_small_values_is_the_least_subnormal),
        cmocka_unit_test(each_term_of_an_element_is_in_its_arithmetic_only),
        cmocka_unit_test(ranks_add_their_roundings),
        cmocka_unit_test(groups_shorten_the_sum),
        cmocka_unit_test(groups_are_powers_of_two_with_a_short_last_one),
        cmocka_unit_test(norms_grow_with_the_coarseness_of_the_dtype),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
