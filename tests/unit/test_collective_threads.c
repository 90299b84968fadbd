// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "float16.h"
#include "support.h"
#include "thread_group.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// Values whose sum depends on the order of addition.
static float
value(int32_t rank, int64_t i)
{
    const uint32_t x = ((uint32_t)i * 2654435761u) ^ ((uint32_t)rank * 40503u);
    return ((float)(x >> 8) / 16777216.0f - 0.5f) * (float)(1 << (rank * 3));
}

static void
fill(void *data, uint32_t dtype, int32_t rank, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        const float v = value(rank, i);
        assert_int_equal(
            dlq_cast(dtype, (char *)data + i * (DLQ_DTYPE_BITS(dtype) / 8), DLQ_F32, &v, 1),
            DLQ_OK);
    }
}

// The definition: rank order, rounded after each addition, or once.
static void
expected_sum(void *out, uint32_t dtype, int32_t n, int64_t count, bool fp32)
{
    for (int64_t i = 0; i < count; i++) {
        const size_t at = (size_t)i * (DLQ_DTYPE_BITS(dtype) / 8);
        float sum = 0;
        for (int32_t r = 0; r < n; r++) {
            float v = value(r, i);
            uint32_t bits = 0;
            dlq_cast(dtype, &bits, DLQ_F32, &v, 1);
            dlq_cast(DLQ_F32, &v, dtype, &bits, 1);
            sum = r == 0 ? v : sum + v;
            if (!fp32) {
                dlq_cast(dtype, &bits, DLQ_F32, &sum, 1);
                dlq_cast(DLQ_F32, &sum, dtype, &bits, 1);
            }
        }
        dlq_cast(dtype, (char *)out + at, DLQ_F32, &sum, 1);
    }
}

static void
check_all_reduce(dlq_runtime *rt, int32_t n, int64_t count, uint32_t dtype, uint32_t flags)
{
    const size_t bytes = (size_t)count * (DLQ_DTYPE_BITS(dtype) / 8);
    dlq_collective_threads *const group = thread_group_make(rt, n, 10000);
    struct thread_rank ranks[THREAD_GROUP_RANKS];
    char *const expected = malloc(bytes + 1);
    expected_sum(expected, dtype, n, count, flags != 0);
    for (int32_t r = 0; r < n; r++) {
        ranks[r] = (struct thread_rank){
            .body = thread_rank_sum, .count = count, .dtype = dtype, .flags = flags};
        ranks[r].data = malloc(bytes + 1);
        fill(ranks[r].data, dtype, r, count);
        ((char *)ranks[r].data)[bytes] = 0x5a;
    }
    thread_group_run(group, ranks, n);
    for (int32_t r = 0; r < n; r++) {
        test_assert_ok(ranks[r].rc, &ranks[r].err);
        assert_memory_equal(ranks[r].data, expected, bytes);
        assert_int_equal(((char *)ranks[r].data)[bytes], 0x5a);
        free(ranks[r].data);
    }
    free(expected);
    dlq_collective_threads_destroy(group);
}

static void
all_reduce_adds_integers_modulo_their_width(void **state)
{
    enum { COUNT = 777 };
    dlq_collective_threads *const group = thread_group_make(*state, 3, 10000);
    assert_true(dlq_collective_threads_get(group, 0)->flags & DLQ_COLLECTIVE_SUMS_I32);
    struct thread_rank ranks[3];
    static int32_t data[3][COUNT];
    for (int32_t r = 0; r < 3; r++) {
        for (int32_t i = 0; i < COUNT; i++) {
            data[r][i] = i == 5 ? INT32_MAX : (i - 300) * (r + 1) * 70001;
        }
        ranks[r] = (struct thread_rank){
            .body = thread_rank_sum, .count = COUNT, .dtype = DLQ_I32, .data = data[r]};
    }
    thread_group_run(group, ranks, 3);
    for (int32_t r = 0; r < 3; r++) {
        test_assert_ok(ranks[r].rc, &ranks[r].err);
        for (int32_t i = 0; i < COUNT; i++) {
            assert_int_equal(data[r][i], i == 5 ? INT32_MAX - 2 : (i - 300) * 6 * 70001);
        }
    }
    dlq_collective_threads_destroy(group);
}

static void
all_reduce_adds_in_rank_order_with_equal_bits_everywhere(void **state)
{
    static const uint32_t dtypes[] = {DLQ_F16, DLQ_BF16, DLQ_F32};
    static const int64_t counts[] = {0, 1, 63, 64, 65, 1000, 4097};
    for (size_t d = 0; d < TEST_COUNT(dtypes); d++) {
        for (size_t c = 0; c < TEST_COUNT(counts); c++) {
            check_all_reduce(*state, 4, counts[c], dtypes[d], 0);
            check_all_reduce(*state, 3, counts[c], dtypes[d], DLQ_REDUCE_FP32);
        }
        check_all_reduce(*state, 1, 100, dtypes[d], 0);
        check_all_reduce(*state, 5, 777, dtypes[d], 0);
    }
}

static void
the_fp32_option_rounds_once(void **state)
{
    // 2048 + 1 + 1 in binary16: each addition alone is lost, their sum is not.
    const float parts[] = {2048, 1, 1};
    for (uint32_t flags = 0; flags <= DLQ_REDUCE_FP32; flags++) {
        uint16_t data[3];
        struct thread_rank ranks[3];
        dlq_collective_threads *const group = thread_group_make(*state, 3, 10000);
        for (int r = 0; r < 3; r++) {
            data[r] = dlq_f32_to_f16(parts[r]);
            ranks[r] = (struct thread_rank){.body = thread_rank_sum,
                                            .count = 1,
                                            .dtype = DLQ_F16,
                                            .flags = flags,
                                            .data = &data[r]};
        }
        thread_group_run(group, ranks, 3);
        for (int r = 0; r < 3; r++) {
            assert_true(dlq_f16_to_f32(data[r]) == (flags ? 2050.0f : 2048.0f));
        }
        dlq_collective_threads_destroy(group);
    }
}

static const int64_t gather_counts[] = {3, 0, 5, 1};

static void
body_all_gather(struct thread_rank *self)
{
    self->rc = self->c->all_gather(self->c->ctx, (char *)self->data + 64, self->data, gather_counts,
                                   self->dtype, NULL, &self->err);
}

static void
all_gather_takes_unequal_counts(void **state)
{
    static const uint32_t dtypes[] = {DLQ_F16, DLQ_F32, DLQ_U8};
    for (size_t d = 0; d < TEST_COUNT(dtypes); d++) {
        const size_t width = DLQ_DTYPE_BITS(dtypes[d]) / 8;
        char data[4][128];
        struct thread_rank ranks[4];
        dlq_collective_threads *const group = thread_group_make(*state, 4, 10000);
        for (int r = 0; r < 4; r++) {
            memset(data[r], 0, 64);
            memset(data[r] + 64, 'a' + r, 64);
            ranks[r] =
                (struct thread_rank){.body = body_all_gather, .dtype = dtypes[d], .data = data[r]};
        }
        thread_group_run(group, ranks, 4);
        char expected[64] = {0};
        memset(expected, 'a', 3 * width);
        memset(expected + 3 * width, 'c', 5 * width);
        memset(expected + 8 * width, 'd', width);
        for (int r = 0; r < 4; r++) {
            test_assert_ok(ranks[r].rc, &ranks[r].err);
            assert_memory_equal(data[r], expected, sizeof(expected));
        }
        dlq_collective_threads_destroy(group);
    }
}

static void
body_gather_in_place(struct thread_rank *self)
{
    static const int64_t counts[] = {2, 2, 2};
    float *const all = self->data;
    self->rc = self->c->all_gather(self->c->ctx, all + 2 * self->c->rank, all, counts, DLQ_F32,
                                   NULL, &self->err);
}

static void
a_rank_may_send_from_its_place_in_the_result(void **state)
{
    float data[3][6] = {{1, 2, 0, 0, 0, 0}, {0, 0, 3, 4, 0, 0}, {0, 0, 0, 0, 5, 6}};
    const float expected[] = {1, 2, 3, 4, 5, 6};
    struct thread_rank ranks[3];
    dlq_collective_threads *const group = thread_group_make(*state, 3, 10000);
    for (int r = 0; r < 3; r++) {
        ranks[r] = (struct thread_rank){.body = body_gather_in_place, .data = data[r]};
    }
    thread_group_run(group, ranks, 3);
    for (int r = 0; r < 3; r++) {
        test_assert_ok(ranks[r].rc, &ranks[r].err);
        assert_memory_equal(data[r], expected, sizeof(expected));
    }
    dlq_collective_threads_destroy(group);
}

// Runs four ranks of a body that counts what it finds wrong.
static void
check_body(dlq_runtime *rt, int32_t timeout_ms, void (*body)(struct thread_rank *self))
{
    struct thread_rank ranks[4];
    dlq_collective_threads *const group = thread_group_make(rt, 4, timeout_ms);
    for (int r = 0; r < 4; r++) {
        ranks[r] = (struct thread_rank){.body = body};
    }
    thread_group_run(group, ranks, 4);
    for (int r = 0; r < 4; r++) {
        test_assert_ok(ranks[r].rc, &ranks[r].err);
        assert_int_equal(ranks[r].count, 0);
    }
    dlq_collective_threads_destroy(group);
}

static void
body_broadcast_from_each(struct thread_rank *self)
{
    for (int32_t root = 0; root < self->c->size && self->rc == DLQ_OK; root++) {
        int32_t values[100];
        for (int i = 0; i < 100; i++) {
            values[i] = self->c->rank * 1000 + i;
        }
        self->rc = self->c->broadcast(self->c->ctx, values, 100, DLQ_I32, root, NULL, &self->err);
        for (int i = 0; i < 100; i++) {
            self->count += values[i] != root * 1000 + i;
        }
    }
}

static void
broadcast_gives_everybody_what_the_root_has(void **state)
{
    check_body(*state, 10000, body_broadcast_from_each);
}

static int barrier_cells[THREAD_GROUP_RANKS];

static void
body_barrier(struct thread_rank *self)
{
    // Plain memory: the barrier alone orders the ranks' accesses.
    for (int round = 1; round <= 500 && self->rc == DLQ_OK; round++) {
        barrier_cells[self->c->rank] = round;
        self->rc = self->c->barrier(self->c->ctx, NULL, &self->err);
        for (int r = 0; r < self->c->size; r++) {
            self->count += barrier_cells[r] != round;
        }
        if (self->rc == DLQ_OK) {
            self->rc = self->c->barrier(self->c->ctx, NULL, &self->err);
        }
    }
}

static void
a_barrier_lets_nobody_through_early(void **state)
{
    check_body(*state, 60000, body_barrier);
}

static void
body_barrier_unless_rank_2(struct thread_rank *self)
{
    self->rc = self->c->rank == 2 ? -1 : self->c->barrier(self->c->ctx, NULL, &self->err);
}

static void
a_rank_that_does_not_arrive_is_named_by_all_others(void **state)
{
    struct thread_rank ranks[4];
    struct dlq_error err = DLQ_ERROR_INIT;
    dlq_collective_threads *const group = thread_group_make(*state, 4, 30);
    for (int r = 0; r < 4; r++) {
        ranks[r] = (struct thread_rank){.body = body_barrier_unless_rank_2};
    }
    thread_group_run(group, ranks, 4);
    for (int r = 0; r < 4; r++) {
        if (r != 2) {
            char message[128];
            snprintf(message, sizeof(message),
                     "rank %d of 4, barrier: missing after the time limit: rank 2 (limit 30 ms)",
                     r);
            test_assert_error(ranks[r].rc, &ranks[r].err, DLQ_ETIMEOUT, message);
        }
    }
    // Late: the group is broken for good.
    const struct dlq_collective *const c = dlq_collective_threads_get(group, 2);
    test_assert_error(c->barrier(c->ctx, NULL, &err), &err, DLQ_ETIMEOUT, "rank 2 of 4, barrier: ");
    dlq_collective_threads_destroy(group);
}

static void
body_abort(struct thread_rank *self)
{
    if (self->c->rank == 1) {
        usleep(5000);
        dlq_collective_threads_abort(self->group, 1, "its disk is full");
        dlq_collective_threads_abort(self->group, 0, "too late to matter");
        self->rc = DLQ_ECOMM;
        return;
    }
    self->rc = self->c->barrier(self->c->ctx, NULL, &self->err);
}

static void
a_rank_that_gives_up_wakes_the_others_with_its_reason(void **state)
{
    struct thread_rank ranks[3];
    struct dlq_error err = DLQ_ERROR_INIT;
    dlq_collective_threads *const group = thread_group_make(*state, 3, 0);
    for (int r = 0; r < 3; r++) {
        ranks[r] = (struct thread_rank){.body = body_abort};
    }
    thread_group_run(group, ranks, 3);
    test_assert_error(ranks[0].rc, &ranks[0].err, DLQ_ECOMM, "rank 1 gave up: its disk is full");
    test_assert_error(ranks[2].rc, &ranks[2].err, DLQ_ECOMM, "rank 1 gave up: its disk is full");
    const struct dlq_collective *const c = dlq_collective_threads_get(group, 0);
    test_assert_error(c->barrier(c->ctx, NULL, &err), &err, DLQ_ECOMM, "rank 1 gave up");
    dlq_collective_threads_destroy(group);
}

static void
a_group_is_checked_when_it_is_made(void **state)
{
    struct dlq_error err = DLQ_ERROR_INIT;
    dlq_collective_threads *group = NULL;
    test_assert_error(dlq_collective_threads_create(*state, 0, 0, &group, &err), &err, DLQ_EINVAL,
                      "expected 1 to 1024 ranks");
    test_assert_error(dlq_collective_threads_create(*state, 2, -1, &group, &err), &err, DLQ_EINVAL,
                      "-1 ms");
    assert_null(group);
    group = thread_group_make(*state, 2, 0);
    assert_null(dlq_collective_threads_get(group, -1));
    assert_null(dlq_collective_threads_get(group, 2));
    assert_int_equal(dlq_collective_threads_get(group, 1)->rank, 1);
    assert_int_equal(dlq_collective_threads_get(group, 1)->size, 2);
    dlq_collective_threads_destroy(group);
    dlq_collective_threads_destroy(NULL);
}

static void
body_stress(struct thread_rank *self)
{
    for (int i = 0; i < 300 && self->rc == DLQ_OK; i++) {
        float x[200];
        for (int k = 0; k < 200; k++) {
            x[k] = (float)(self->c->rank + i);
        }
        self->rc = self->c->all_reduce(self->c->ctx, x, 1 + i % 200, DLQ_F32, 0, NULL, &self->err);
        self->count += x[0] != (float)(4 * i + 6);
    }
}

static void
many_calls_in_a_row_stay_in_step(void **state)
{
    check_body(*state, 60000, body_stress);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        THREAD_GROUP_TEST(all_reduce_adds_integers_modulo_their_width),
        THREAD_GROUP_TEST(all_reduce_adds_in_rank_order_with_equal_bits_everywhere),
        THREAD_GROUP_TEST(the_fp32_option_rounds_once),
        THREAD_GROUP_TEST(all_gather_takes_unequal_counts),
        THREAD_GROUP_TEST(a_rank_may_send_from_its_place_in_the_result),
        THREAD_GROUP_TEST(broadcast_gives_everybody_what_the_root_has),
        THREAD_GROUP_TEST(a_barrier_lets_nobody_through_early),
        THREAD_GROUP_TEST(a_rank_that_does_not_arrive_is_named_by_all_others),
        THREAD_GROUP_TEST(a_rank_that_gives_up_wakes_the_others_with_its_reason),
        THREAD_GROUP_TEST(a_group_is_checked_when_it_is_made),
        THREAD_GROUP_TEST(many_calls_in_a_row_stay_in_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
