// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "float16.h"
#include "nccl/group.h"
#include "nccl_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void
sums_of_all_dtypes_are_exact(void **state)
{
    (void)state;
    struct world w;
    world_begin(&w);
    world_run(&w, seat_sum_all_dtypes);
    world_assert(&w, DLQ_OK, "");
    world_end(&w);
    assert_int_equal(fake_nccl.destroyed, RANKS);
    assert_int_equal(fake_nccl.aborted, 0);
    assert_int_equal(fake_nccl.allocated, 0);
}

// 2048 + 1 + 1 is 2050 when it is rounded once; fp16 loses each 1 otherwise.
static void
sum_with_and_without_fp32(struct seat *s)
{
    const struct dlq_collective *const c = dlq_collective_nccl_get(s->group);
    const int64_t count = DLQ_NCCL_STEP + 3; // more than the scratch holds
    const float mine = s->rank == 0 ? 2048 : 1;
    uint16_t *const data = calloc((size_t)count, 2);
    for (int64_t i = 0; i < count; i++) {
        (void)dlq_cast(DLQ_F16, &data[i], DLQ_F32, &mine, 1);
    }
    seat_settle(s,
                c->all_reduce(c->ctx, data, count, DLQ_F16, DLQ_REDUCE_FP32, s->stream, &s->err));
    for (int64_t i = 0; i < count && s->rc == DLQ_OK; i += count - 1) {
        float sum = 0;
        (void)dlq_cast(DLQ_F32, &sum, DLQ_F16, &data[i], 1);
        s->rc = sum == 2050 ? DLQ_OK : -1;
    }
    (void)dlq_cast(DLQ_F16, data, DLQ_F32, &mine, 1);
    if (s->rc == DLQ_OK) {
        seat_settle(s, c->all_reduce(c->ctx, data, 1, DLQ_F16, 0, s->stream, &s->err));
        float sum = 0;
        (void)dlq_cast(DLQ_F32, &sum, DLQ_F16, data, 1);
        s->rc = s->rc == DLQ_OK && sum != 2048 ? -2 : s->rc;
    }
    free(data);
}

static void
sums_in_fp32_round_once_and_go_in_steps(void **state)
{
    (void)state;
    struct world w;
    world_begin(&w);
    world_run(&w, sum_with_and_without_fp32);
    world_assert(&w, DLQ_OK, "");
    world_end(&w);
}

static void
gather_unequal_counts(struct seat *s)
{
    const struct dlq_collective *const c = dlq_collective_nccl_get(s->group);
    static const int64_t cases[][RANKS] = {{3, 0, 2}, {2, 2, 2}, {0, 0, 0}, {1, 1, 5}};
    for (size_t k = 0; k < TEST_COUNT(cases) && s->rc == DLQ_OK; k++) {
        for (int in_place = 0; in_place < 2 && s->rc == DLQ_OK; in_place++) {
            uint16_t recv[9];
            uint16_t own[8];
            int64_t before = 0;
            int64_t total = 0;
            for (int32_t r = 0; r < RANKS; r++) {
                before += r < s->rank ? cases[k][r] : 0;
                total += cases[k][r];
            }
            memset(recv, 0xee, sizeof(recv));
            uint16_t *const send = in_place ? recv + before : own;
            for (int64_t i = 0; i < cases[k][s->rank]; i++) {
                send[i] = (uint16_t)(100 * s->rank + i);
            }
            seat_settle(s,
                        c->all_gather(c->ctx, send, recv, cases[k], DLQ_F16, s->stream, &s->err));
            int64_t at = 0;
            for (int32_t r = 0; r < RANKS && s->rc == DLQ_OK; r++) {
                for (int64_t i = 0; i < cases[k][r]; i++, at++) {
                    s->rc = recv[at] == 100 * r + i ? DLQ_OK : -1;
                }
            }
            s->rc = s->rc == DLQ_OK && recv[total] != 0xeeee ? -2 : s->rc;
        }
    }
}

static void
unequal_counts_are_gathered_in_place_and_out_of_it(void **state)
{
    (void)state;
    struct world w;
    world_begin(&w);
    world_run(&w, gather_unequal_counts);
    world_assert(&w, DLQ_OK, "");
    world_end(&w);
}

static void
broadcast_and_barrier(struct seat *s)
{
    const struct dlq_collective *const c = dlq_collective_nccl_get(s->group);
    int32_t value = s->rank;
    seat_settle(s, c->broadcast(c->ctx, &value, 1, DLQ_I32, 2, s->stream, &s->err));
    s->rc = s->rc == DLQ_OK && value != 2 ? -1 : s->rc;
    if (s->rc == DLQ_OK) {
        seat_settle(s, c->barrier(c->ctx, s->stream, &s->err));
    }
}

static void
broadcasts_and_barriers_reach_all(void **state)
{
    (void)state;
    struct world w;
    world_begin(&w);
    world_run(&w, broadcast_and_barrier);
    world_assert(&w, DLQ_OK, "");
    world_end(&w);
}

// Nothing waits on the host: a rank that is alone gets its calls through, and waits afterwards.
static void
enqueue_alone(struct seat *s)
{
    const struct dlq_collective *const c = dlq_collective_nccl_get(s->group);
    static float data[RANKS][2];
    if (s->rank == 1) {
        s->rc = DLQ_ETIMEOUT;
        snprintf(s->err.msg, sizeof(s->err.msg), "stalled: rank 1");
        return;
    }
    seat_hurry(s);
    s->rc = c->all_reduce(c->ctx, data[s->rank], 2, DLQ_F32, 0, s->stream, &s->err);
    assert_int_equal(cudaStreamQuery(s->stream), cudaErrorNotReady);
    seat_settle(s, s->rc);
    // The group is broken for good, and the stream is free.
    struct dlq_error again = DLQ_ERROR_INIT;
    assert_int_equal(c->barrier(c->ctx, s->stream, &again), DLQ_ETIMEOUT);
    assert_non_null(strstr(again.msg, "barrier: not done after the time limit (300 ms)"));
    assert_int_equal(cudaStreamQuery(s->stream), cudaSuccess);
}

static void
a_stalled_rank_is_named(void **state)
{
    (void)state;
    struct world w;
    world_begin_with(&w, HOST_MS);
    world_run(&w, enqueue_alone);
    world_assert(&w, DLQ_ETIMEOUT, "rank 1");
    assert_non_null(strstr(w.seats[0].err.msg, "wait: not done after the time limit (300 ms); on "
                                               "the host: rank 0 of 3, barrier: missing after the "
                                               "time limit: rank 1 (limit 1000 ms)"));
    world_end(&w);
    assert_int_equal(fake_nccl.aborted, 2);
}

static void
lose_rank_1(struct seat *s)
{
    const struct dlq_collective *const c = dlq_collective_nccl_get(s->group);
    static float data[RANKS];
    if (s->rank == 1) {
        s->rc = DLQ_ETIMEOUT;
        snprintf(s->err.msg, sizeof(s->err.msg), "lost: rank 1");
        return;
    }
    seat_hurry(s);
    seat_settle(s, c->all_reduce(c->ctx, &data[s->rank], 1, DLQ_F32, 0, s->stream, &s->err));
}

static void
an_abort_that_hangs_is_left_alone(void **state)
{
    (void)state;
    struct world w;
    world_begin_with(&w, HOST_MS);
    fake_nccl.hanging_abort = true;
    world_run(&w, lose_rank_1);
    world_assert(&w, DLQ_ETIMEOUT, "rank 1");
    assert_int_equal(fake_nccl.aborted, 0);
    world_end(&w);
    fake_nccl_release();
    while (atomic_load(&fake_nccl.aborted) < 2) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

static void
give_up_at_once(struct seat *s)
{
    const struct dlq_collective *const c = dlq_collective_nccl_get(s->group);
    static float data[RANKS];
    if (s->rank == 2) {
        dlq_collective_nccl_abort(s->group, "a damaged file");
        dlq_collective_threads_abort(s->w->host, 2, "a damaged file");
        s->rc = c->all_reduce(c->ctx, data, 1, DLQ_F32, 0, s->stream, &s->err);
        return;
    }
    seat_hurry(s);
    seat_settle(s, c->all_reduce(c->ctx, &data[s->rank], 1, DLQ_F32, 0, s->stream, &s->err));
}

static void
a_rank_that_gives_up_is_named_with_its_reason(void **state)
{
    (void)state;
    struct world w;
    world_begin(&w);
    world_run(&w, give_up_at_once);
    for (int32_t r = 0; r < RANKS; r++) {
        assert_true(w.seats[r].rc == DLQ_ECOMM || w.seats[r].rc == DLQ_ETIMEOUT);
        assert_non_null(strstr(w.seats[r].err.msg, "rank 2 gave up: a damaged file"));
    }
    world_end(&w);
}

static void
see_an_error(struct seat *s)
{
    const struct dlq_collective *const c = dlq_collective_nccl_get(s->group);
    static float data[RANKS];
    (void)c->barrier(c->ctx, s->stream, &s->err);
    fake_nccl.async_error = ncclRemoteError;
    seat_settle(s, c->all_reduce(c->ctx, &data[s->rank], 1, DLQ_F32, 0, s->stream, &s->err));
}

static void
an_error_of_nccl_breaks_the_group(void **state)
{
    (void)state;
    struct world w;
    world_begin(&w);
    world_run(&w, see_an_error);
    world_assert(&w, DLQ_ECOMM, "NCCL: remote process exited; on the host: all ranks are there");
    world_end(&w);
}

static void
wrong_arguments_enqueue_nothing(struct seat *s)
{
    const struct dlq_collective *const c = dlq_collective_nccl_get(s->group);
    const int calls = fake_nccl.calls;
    float data = 0;
    const int64_t counts[] = {1, -1, 1};
    s->rc = DLQ_OK;
    const bool refused =
        c->all_reduce(c->ctx, NULL, 1, DLQ_F32, 0, s->stream, &s->err) == DLQ_EINVAL &&
        c->all_reduce(c->ctx, &data, 1, DLQ_I8, 0, s->stream, &s->err) == DLQ_EDTYPE &&
        c->all_gather(c->ctx, &data, &data, counts, DLQ_F32, s->stream, &s->err) == DLQ_EINVAL &&
        c->broadcast(c->ctx, &data, 1, DLQ_F32, RANKS, s->stream, &s->err) == DLQ_EINVAL;
    if (!refused || fake_nccl.calls != calls) {
        s->rc = -1;
    }
}

static void
wrong_arguments_are_refused(void **state)
{
    (void)state;
    struct world w;
    world_begin(&w);
    world_run(&w, wrong_arguments_enqueue_nothing);
    world_assert(&w, DLQ_OK, "");
    world_end(&w);
}

// This NCCL is older than registered memory.
static void
register_and_sum(struct seat *s)
{
    const struct dlq_collective *const c = dlq_collective_nccl_get(s->group);
    static float data[RANKS];
    s->rc = dlq_collective_nccl_register(s->group, &data[s->rank], sizeof(data[0]), &s->err);
    if (s->rc == DLQ_OK) {
        data[s->rank] = 1;
        seat_settle(s, c->all_reduce(c->ctx, &data[s->rank], 1, DLQ_F32, 0, s->stream, &s->err));
        s->rc = s->rc == DLQ_OK && data[s->rank] != RANKS ? -1 : s->rc;
    }
    if (s->rc == DLQ_OK) {
        s->rc = dlq_collective_nccl_unregister(s->group, &data[s->rank], &s->err);
    }
}

static void
an_nccl_without_registered_memory_will_do(void **state)
{
    (void)state;
    struct world w;
    world_begin(&w);
    world_run(&w, register_and_sum);
    world_assert(&w, DLQ_OK, "");
    world_end(&w);
}

int
main(void)
{
    // Sums as small as these would not reach NCCL.
    (void)setenv("DLQ_PEER_SUMS", "0", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_of_all_dtypes_are_exact),
        cmocka_unit_test(sums_in_fp32_round_once_and_go_in_steps),
        cmocka_unit_test(unequal_counts_are_gathered_in_place_and_out_of_it),
        cmocka_unit_test(broadcasts_and_barriers_reach_all),
        cmocka_unit_test(a_stalled_rank_is_named),
        cmocka_unit_test(an_abort_that_hangs_is_left_alone),
        cmocka_unit_test(a_rank_that_gives_up_is_named_with_its_reason),
        cmocka_unit_test(an_error_of_nccl_breaks_the_group),
        cmocka_unit_test(wrong_arguments_are_refused),
        cmocka_unit_test(an_nccl_without_registered_memory_will_do),
    };
    return cmocka_run_group_tests_name("collective_nccl", tests, NULL, NULL);
}
