// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "alloc.h"
#include "float16.h"
#include "nccl/group.h"
#include "nccl_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

const struct dlq_nccl_ops *
dlq_nccl_module(void);

static void
sum_all_dtypes(struct seat *s)
{
    const struct dlq_collective *const c = dlq_collective_nccl_get(s->group);
    static const uint32_t dtypes[] = {DLQ_F16, DLQ_BF16, DLQ_F32};
    assert_int_equal(c->rank, s->rank);
    assert_int_equal(c->size, RANKS);
    for (int d = 0; d < 3; d++) {
        for (uint32_t flags = 0; flags <= DLQ_REDUCE_FP32; flags++) {
            float values[5];
            uint32_t data[5];
            for (int i = 0; i < 5; i++) {
                values[i] = (float)((s->rank + 1) * (i + 1));
            }
            (void)dlq_cast(dtypes[d], data, DLQ_F32, values, 5);
            seat_settle(s, c->all_reduce(c->ctx, data, 5, dtypes[d], flags, s->stream, &s->err));
            (void)dlq_cast(DLQ_F32, values, dtypes[d], data, 5);
            for (int i = 0; i < 5; i++) {
                if (s->rc == DLQ_OK && values[i] != (float)(6 * (i + 1))) {
                    s->rc = -1;
                }
            }
            if (s->rc != DLQ_OK) {
                return;
            }
        }
    }
    // Integers are added as they are, whatever the flags say; 2^24 + 1 is no fp32.
    int32_t sum = s->rank == 0 ? (1 << 24) + 1 : 0;
    assert_true(c->flags & DLQ_COLLECTIVE_SUMS_I32);
    seat_settle(s, c->all_reduce(c->ctx, &sum, 1, DLQ_I32, DLQ_REDUCE_FP32, s->stream, &s->err));
    s->rc = s->rc == DLQ_OK && sum != (1 << 24) + 1 ? -2 : s->rc;
}

static void
sums_of_all_dtypes_are_exact(void **state)
{
    (void)state;
    struct world w;
    world_begin(&w);
    world_run(&w, sum_all_dtypes);
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
ranks_that_differ_are_found_before_nccl_waits(void **state)
{
    (void)state;
    struct world w;
    world_begin(&w);
    w.options[2].fingerprint = 7;
    world_run(&w, NULL);
    world_assert(&w, DLQ_ECOMM, "rank 0 has fingerprint 0; rank 2 has 0x7");
    world_end(&w);
    world_begin(&w);
    w.options[1].size = 9;
    world_run(&w, NULL);
    world_assert(&w, DLQ_ECOMM, "rank 0 expects a group of 0; rank 1 of 9");
    world_end(&w);
    world_begin(&w);
    for (int32_t r = 0; r < RANKS; r++) {
        w.options[r].size = 2;
    }
    world_run(&w, NULL);
    world_assert(&w, DLQ_ECOMM, "expected a group of 2, found 3");
    world_end(&w);
    world_begin(&w);
    char ids[2][DLQ_NCCL_ID_SIZE] = {{1}, {2}};
    for (int32_t r = 0; r < RANKS; r++) {
        w.options[r].id = ids[r == 1];
    }
    world_run(&w, NULL);
    world_assert(&w, DLQ_ECOMM, "rank 1 has another id than rank 0");
    world_end(&w);
    assert_int_equal(fake_nccl.allocated, 0);
}

static void
a_rank_without_its_device_is_named(void **state)
{
    (void)state;
    struct world w;
    world_begin(&w);
    w.options[1].device = 9;
    world_run(&w, NULL);
    assert_int_equal(w.seats[1].rc, DLQ_EDEVICE);
    assert_non_null(strstr(w.seats[1].err.msg, "setup: CUDA device 9: invalid device ordinal"));
    w.seats[1].rc = DLQ_ECOMM;
    snprintf(w.seats[1].err.msg, sizeof(w.seats[1].err.msg), "rank 1 cannot go on");
    world_assert(&w, DLQ_ECOMM, "rank 1 cannot go on");
    world_end(&w);
}

static void
a_rank_that_is_lost_while_nccl_connects_is_a_timeout(void **state)
{
    (void)state;
    struct world w;
    world_begin(&w);
    fake_nccl.silent_rank = 0;
    for (int32_t r = 0; r < RANKS; r++) {
        w.options[r].timeout_ms = SHORT_MS;
    }
    world_run(&w, NULL);
    world_assert(
        &w, DLQ_ETIMEOUT,
        "setup: NCCL did not connect the ranks within the time limit (300 ms); on the host: "
        "all ranks are there");
    // The threads that were left alone free what they use.
    fake_nccl_release();
    assert_int_equal(atomic_load(&fake_nccl.allocated), 0);
    world_end(&w);
}

static void
connecting_has_a_limit_of_its_own(void **state)
{
    (void)state;
    struct world w;
    world_begin(&w);
    fake_nccl.silent_rank = 0;
    for (int32_t r = 0; r < RANKS; r++) {
        w.options[r].timeout_ms = LONG_MS;
        w.options[r].connect_ms = SHORT_MS;
    }
    world_run(&w, NULL);
    world_assert(&w, DLQ_ETIMEOUT,
                 "setup: NCCL did not connect the ranks within the time limit (300 ms)");
    fake_nccl_release();
    world_end(&w);
}

static void
a_short_limit_of_waits_is_none_of_connecting(void **state)
{
    (void)state;
    struct world w;
    world_begin(&w);
    fake_nccl.slow_ms = 2 * SHORT_MS;
    for (int32_t r = 0; r < RANKS; r++) {
        w.options[r].timeout_ms = SHORT_MS;
        w.options[r].connect_ms = LONG_MS;
    }
    world_run(&w, NULL);
    world_assert(&w, DLQ_OK, NULL);
    world_end(&w);
}

static void
a_failure_of_nccl_is_told(void **state)
{
    (void)state;
    struct world w;
    world_begin_with(&w, HOST_MS);
    fake_nccl.wrong_rank = 1;
    for (int32_t r = 0; r < RANKS; r++) {
        w.options[r].timeout_ms = r == 1 ? LONG_MS : SHORT_MS;
    }
    world_run(&w, NULL);
    assert_int_equal(w.seats[1].rc, DLQ_ECOMM);
    assert_non_null(strstr(w.seats[1].err.msg, "ncclCommInitRank: NCCL: unhandled system error"));
    assert_int_equal(w.seats[0].rc, DLQ_ETIMEOUT);
    assert_non_null(strstr(w.seats[0].err.msg, "missing after the time limit: rank 1"));
    fake_nccl_release();
    world_end(&w);
}

// An id that the engine carried itself, and no group on the host.
static void
an_id_alone_will_do(void **state)
{
    (void)state;
    struct world w;
    world_begin(&w);
    ncclUniqueId id;
    struct dlq_error err = DLQ_ERROR_INIT;
    test_assert_ok(dlq_nccl_module()->make_id(&id, &err), &err);
    for (int32_t r = 0; r < RANKS; r++) {
        w.options[r].host = NULL;
        w.options[r].id = &id;
        w.options[r].rank = r;
        w.options[r].size = RANKS;
        w.options[r].fingerprint = 5;
    }
    world_run(&w, sum_all_dtypes);
    world_assert(&w, DLQ_OK, "");
    world_end(&w);
    world_begin(&w);
    test_assert_ok(dlq_nccl_module()->make_id(&id, &err), &err);
    for (int32_t r = 0; r < RANKS; r++) {
        w.options[r].host = NULL;
        w.options[r].id = &id;
        w.options[r].rank = r;
        w.options[r].size = RANKS;
        w.options[r].fingerprint = r == 1;
    }
    world_run(&w, NULL);
    world_assert(&w, DLQ_ECOMM, "rank 0 has fingerprint 0; rank 1 has 0x1");
    world_end(&w);
}

static void
stall_without_a_host(struct seat *s)
{
    const struct dlq_collective *const c = dlq_collective_nccl_get(s->group);
    static float data[RANKS];
    if (s->rank != 1) {
        seat_hurry(s);
        seat_settle(s, c->all_reduce(c->ctx, &data[s->rank], 1, DLQ_F32, 0, s->stream, &s->err));
    }
}

// The engine's communicators stay as they are, also after a failure.
static void
an_engines_communicator_is_adopted_and_left_alone(void **state)
{
    (void)state;
    struct world w;
    world_begin(&w);
    world_run(&w, NULL);
    world_assert(&w, DLQ_OK, "");
    struct world adopted = w;
    for (int32_t r = 0; r < RANKS; r++) {
        adopted.options[r].comm = ((struct dlq_nccl_group *)w.seats[r].group)->comm;
        adopted.options[r].host = NULL;
        adopted.seats[r] = (struct seat){.w = &adopted, .rank = r, .err = DLQ_ERROR_INIT};
    }
    world_run(&adopted, stall_without_a_host);
    assert_int_equal(adopted.seats[1].rc, DLQ_OK);
    assert_int_equal(adopted.seats[0].rc, DLQ_ETIMEOUT);
    assert_non_null(strstr(adopted.seats[0].err.msg, "it is unknown which rank"));
    assert_int_equal(fake_nccl.aborted, 0);
    for (int32_t r = 0; r < RANKS; r++) {
        dlq_collective_nccl_destroy(adopted.seats[r].group);
    }
    assert_int_equal(fake_nccl.destroyed, 0);
    world_end(&w);
    for (int32_t r = 0; r < RANKS; r++) {
        (void)cudaStreamDestroy(adopted.seats[r].stream);
    }
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
        cmocka_unit_test(ranks_that_differ_are_found_before_nccl_waits),
        cmocka_unit_test(a_rank_without_its_device_is_named),
        cmocka_unit_test(a_rank_that_is_lost_while_nccl_connects_is_a_timeout),
        cmocka_unit_test(connecting_has_a_limit_of_its_own),
        cmocka_unit_test(a_short_limit_of_waits_is_none_of_connecting),
        cmocka_unit_test(a_failure_of_nccl_is_told),
        cmocka_unit_test(an_id_alone_will_do),
        cmocka_unit_test(an_engines_communicator_is_adopted_and_left_alone),
        cmocka_unit_test(wrong_arguments_are_refused),
        cmocka_unit_test(an_nccl_without_registered_memory_will_do),
    };
    return cmocka_run_group_tests_name("collective_nccl", tests, NULL, NULL);
}
