// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "support.h"

#include <dlquant/collective.h>

#include <string.h>

static void
the_group_of_one_has_nothing_to_do(void **state)
{
    const struct dlq_collective *const c = dlq_collective_self();
    struct dlq_error err = DLQ_ERROR_INIT;
    const int64_t counts[] = {3};
    float data[] = {1, 2, 3};
    float recv[3] = {0};
    (void)state;
    assert_int_equal(c->rank, 0);
    assert_int_equal(c->size, 1);
    test_assert_ok(c->all_reduce(c->ctx, data, 3, DLQ_F32, 0, NULL, &err), &err);
    test_assert_ok(c->all_gather(c->ctx, data, recv, counts, DLQ_F32, NULL, &err), &err);
    assert_memory_equal(recv, data, sizeof(data));
    test_assert_ok(c->broadcast(c->ctx, data, 3, DLQ_F32, 0, NULL, &err), &err);
    test_assert_ok(c->barrier(c->ctx, NULL, &err), &err);
    assert_true(data[0] == 1 && data[1] == 2 && data[2] == 3);
    test_assert_error(c->all_reduce(c->ctx, data, 3, DLQ_I64, 0, NULL, &err), &err, DLQ_EDTYPE,
                      "found dtype 0x40");
    test_assert_error(c->all_reduce(c->ctx, NULL, 3, DLQ_F32, 0, NULL, &err), &err, DLQ_EINVAL,
                      "all_reduce: no data");
    test_assert_error(c->broadcast(c->ctx, data, 3, DLQ_F32, 1, NULL, &err), &err, DLQ_EINVAL,
                      "root 1 in a group of 1");
    test_assert_error(c->all_gather(c->ctx, data, recv, NULL, DLQ_F32, NULL, &err), &err,
                      DLQ_EINVAL, "all_gather: no data");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_group_of_one_has_nothing_to_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
