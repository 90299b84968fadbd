// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "support.h"

#include <dlquant/linear.h>

#include <string.h>

static void
assert_heads(int32_t heads, int32_t kv_heads, int32_t ranks, const int64_t *expected)
{
    int64_t b[16];
    struct dlq_error err = DLQ_ERROR_INIT;
    test_assert_ok(dlq_partition_spread_heads(heads, kv_heads, ranks, b, &err), &err);
    assert_memory_equal(b, expected, ((size_t)ranks + 1) * sizeof(*b));
}

static void
units_are_spread_with_the_larger_shares_first(void **state)
{
    (void)state;
    int64_t b[4];
    struct dlq_error err = DLQ_ERROR_INIT;
    test_assert_ok(dlq_partition_spread(8, 3, b, &err), &err);
    assert_memory_equal(b, ((int64_t[]){0, 3, 6, 8}), sizeof(b));
    test_assert_error(dlq_partition_spread(2, 3, b, &err), &err, DLQ_ESHAPE,
                      "partition: 2 units are too few for 3 tensor-parallel ranks");
    test_assert_error(dlq_partition_spread(2, 0, b, &err), &err, DLQ_EINVAL,
                      "partition: expected 1 to 1024 ranks");
    test_assert_error(dlq_partition_spread(2, 1, NULL, &err), &err, DLQ_EINVAL,
                      "room for their bounds");
}

static void
up_to_as_many_ranks_as_kv_heads_cut_between_them(void **state)
{
    (void)state;
    assert_heads(32, 8, 8, (int64_t[]){0, 1, 2, 3, 4, 5, 6, 7, 8});
    assert_heads(28, 4, 3, (int64_t[]){0, 2, 3, 4});
}

static void
more_ranks_than_kv_heads_cut_the_query_heads_of_one(void **state)
{
    (void)state;
    assert_heads(8, 4, 8, (int64_t[]){0, 1, 2, 3, 4, 5, 6, 7, 8});
    // Six ranks on four KV heads of seven query heads: two, two, one and one rank.
    assert_heads(28, 4, 6, (int64_t[]){0, 4, 7, 11, 14, 21, 28});
}

static void
heads_that_are_too_few_or_uneven_are_refused(void **state)
{
    (void)state;
    int64_t b[16];
    struct dlq_error err = DLQ_ERROR_INIT;
    test_assert_error(
        dlq_partition_spread_heads(8, 4, 9, b, &err), &err, DLQ_ESHAPE,
        "8 query heads over 4 key/value heads are too few for 9 tensor-parallel ranks; "
        "up to 8 would work");
    test_assert_error(dlq_partition_spread_heads(9, 4, 2, b, &err), &err, DLQ_ESHAPE,
                      "expected as many query heads for each key/value head, found 9 for 4");
    test_assert_error(dlq_partition_spread_heads(9, 0, 2, b, &err), &err, DLQ_ESHAPE, "found 9");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(units_are_spread_with_the_larger_shares_first),
        cmocka_unit_test(up_to_as_many_ranks_as_kv_heads_cut_between_them),
        cmocka_unit_test(more_ranks_than_kv_heads_cut_the_query_heads_of_one),
        cmocka_unit_test(heads_that_are_too_few_or_uneven_are_refused),
    };
    return cmocka_run_group_tests_name("partition", tests, NULL, NULL);
}
