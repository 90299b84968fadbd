// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "support.h"
#include "thread_group.h"

#include <string.h>

static void
body_barrier(struct thread_rank *self)
{
    self->rc = self->c->barrier(self->c->ctx, NULL, &self->err);
}

static void
check_mismatch(dlq_runtime *rt, struct thread_rank *ranks, const char *first, const char *second)
{
    uint32_t data[3][8] = {{0}};
    dlq_collective_threads *const group = thread_group_make(rt, 3, 10000);
    for (int r = 0; r < 3; r++) {
        ranks[r].data = data[r];
        ranks[r].rc = DLQ_OK;
    }
    thread_group_run(group, ranks, 3);
    for (int r = 0; r < 3; r++) {
        assert_int_equal(ranks[r].rc, DLQ_ECOMM);
        assert_non_null(strstr(ranks[r].err.msg, first));
        test_assert_error(ranks[r].rc, &ranks[r].err, DLQ_ECOMM, second);
        assert_int_equal(data[r][0], 0);
    }
    // Nobody is out of step: the next call works.
    for (int r = 0; r < 3; r++) {
        ranks[r] = (struct thread_rank){
            .body = thread_rank_sum, .count = 4, .dtype = DLQ_F32, .data = data[r]};
    }
    thread_group_run(group, ranks, 3);
    test_assert_ok(ranks[0].rc, &ranks[0].err);
    dlq_collective_threads_destroy(group);
}

static void
calls_that_differ_are_an_error_on_every_rank(void **state)
{
    struct thread_rank ranks[3];
    for (int r = 0; r < 3; r++) {
        ranks[r] = (struct thread_rank){
            .body = thread_rank_sum, .count = r == 2 ? 7 : 8, .dtype = DLQ_F16};
    }
    check_mismatch(*state, ranks, "rank 0 has all_reduce of 8 elements of dtype 0x210",
                   "rank 2 has all_reduce of 7 elements of dtype 0x210");
    for (int r = 0; r < 3; r++) {
        ranks[r] = (struct thread_rank){
            .body = thread_rank_sum, .count = 8, .dtype = r == 1 ? DLQ_BF16 : DLQ_F16};
    }
    check_mismatch(*state, ranks, "dtype 0x210",
                   "rank 1 has all_reduce of 8 elements of dtype 0x410");
    for (int r = 0; r < 3; r++) {
        ranks[r] = (struct thread_rank){.body = thread_rank_sum,
                                        .count = 8,
                                        .dtype = DLQ_F16,
                                        .flags = r == 0 ? DLQ_REDUCE_FP32 : 0};
    }
    check_mismatch(*state, ranks, "flags 0x1", "rank 1 has all_reduce");
    for (int r = 0; r < 3; r++) {
        ranks[r] = (struct thread_rank){
            .body = r == 1 ? body_barrier : thread_rank_sum, .count = 8, .dtype = DLQ_F16};
    }
    check_mismatch(*state, ranks, "rank 0 has all_reduce of 8", "rank 1 has barrier of 0");
}

static void
body_gather_with_own_counts(struct thread_rank *self)
{
    const int64_t counts[] = {1, self->c->rank == 1 ? 2 : 1, 1};
    float send[2] = {0};
    float recv[8];
    self->rc = self->c->all_gather(self->c->ctx, send, recv, counts, DLQ_F32, NULL, &self->err);
}

static void
gathered_counts_that_differ_are_an_error(void **state)
{
    struct thread_rank ranks[3];
    dlq_collective_threads *const group = thread_group_make(*state, 3, 10000);
    for (int r = 0; r < 3; r++) {
        ranks[r] = (struct thread_rank){.body = body_gather_with_own_counts};
    }
    thread_group_run(group, ranks, 3);
    for (int r = 0; r < 3; r++) {
        assert_non_null(strstr(ranks[r].err.msg, "rank 0 has all_gather of 1+1+1 elements"));
        test_assert_error(ranks[r].rc, &ranks[r].err, DLQ_ECOMM,
                          "rank 1 has all_gather of 1+2+1 elements");
    }
    dlq_collective_threads_destroy(group);
}

static void
wrong_arguments_of_one_rank_reach_all(void **state)
{
    struct thread_rank ranks[3];
    float data[3] = {0};
    dlq_collective_threads *const group = thread_group_make(*state, 3, 0);
    for (int r = 0; r < 3; r++) {
        ranks[r] = (struct thread_rank){
            .body = thread_rank_sum, .count = 1, .dtype = r == 1 ? DLQ_I8 : DLQ_F32, .data = data};
    }
    thread_group_run(group, ranks, 3);
    test_assert_error(ranks[0].rc, &ranks[0].err, DLQ_ECOMM,
                      "rank 0 of 3: rank 1 called all_reduce with invalid arguments");
    test_assert_error(ranks[1].rc, &ranks[1].err, DLQ_EDTYPE,
                      "all_reduce: expected f16, bf16, f32 or i32, found dtype 0x8");
    test_assert_error(ranks[2].rc, &ranks[2].err, DLQ_ECOMM, "rank 1 called all_reduce");
    dlq_collective_threads_destroy(group);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        THREAD_GROUP_TEST(calls_that_differ_are_an_error_on_every_rank),
        THREAD_GROUP_TEST(gathered_counts_that_differ_are_an_error),
        THREAD_GROUP_TEST(wrong_arguments_of_one_rank_reach_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
