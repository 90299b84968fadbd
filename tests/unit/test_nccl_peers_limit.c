// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "fake_stream.h"
#include "nccl/group.h"
#include "nccl_world.h"

#include <stdio.h>
#include <string.h>

// Sums over memory of peers that give up on the GPU, and who learns it on the host.

static struct dlq_peer_ends *
ends_of(const struct seat *s)
{
    return &((struct dlq_nccl_group *)s->group)->peers.ends;
}

static void
sums_have_the_time_limit_of_the_group(void **state)
{
    (void)state;
    static const int32_t limits[] = {LONG_MS, 0};
    for (size_t i = 0; i < TEST_COUNT(limits); i++) {
        struct world w;
        world_begin(&w);
        for (int32_t r = 0; r < RANKS; r++) {
            w.options[r].timeout_ms = limits[i];
        }
        world_run(&w, NULL);
        world_assert(&w, DLQ_OK, "");
        assert_int_equal(ends_of(&w.seats[0])->limit_ns, (int64_t)limits[i] * 1000000);
        world_end(&w);
    }
}

// The calls of a group, the first next after a sum that gave up.
enum call { ALL_REDUCE, ALL_GATHER, BROADCAST, BARRIER, CALLS };

static enum call next_call;

static int32_t
call_group(struct seat *s, struct dlq_error *err)
{
    static float data[RANKS][RANKS];
    static const int64_t counts[RANKS] = {1, 1, 1};
    const struct dlq_collective *const c = dlq_collective_nccl_get(s->group);
    float *const own = data[s->rank];
    return next_call == ALL_REDUCE ? c->all_reduce(c->ctx, own, 1, DLQ_F32, 0, s->stream, err)
           : next_call == ALL_GATHER
               ? c->all_gather(c->ctx, &own[s->rank], own, counts, DLQ_F32, s->stream, err)
           : next_call == BROADCAST ? c->broadcast(c->ctx, own, 1, DLQ_F32, 0, s->stream, err)
                                    : c->barrier(c->ctx, s->stream, err);
}

static bool gathers;

// Two sums, or what is gathered, without rank 1, of which the stream gets done by itself: a thread
// that is in a launch behind them goes on.
static bool
sum_without_rank_1(struct seat *s)
{
    static float data[RANKS];
    static float all[RANKS][RANKS];
    const int64_t counts[RANKS] = {1, 1, 1};
    const struct dlq_collective *const c = dlq_collective_nccl_get(s->group);
    if (s->rank == 1) {
        s->rc = DLQ_ETIMEOUT;
        snprintf(s->err.msg, sizeof(s->err.msg), "stalled: rank 1");
        return false;
    }
    ends_of(s)->limit_ns = (int64_t)SHORT_MS * 1000000;
    for (int i = 0; i < 2 && s->rc == DLQ_OK; i++) {
        s->rc = gathers ? c->all_gather(c->ctx, &data[s->rank], all[s->rank], counts, DLQ_F32,
                                        s->stream, &s->err)
                        : c->all_reduce(c->ctx, &data[s->rank], 1, DLQ_F32, 0, s->stream, &s->err);
    }
    (void)cudaStreamSynchronize(s->stream);
    if (s->rc == DLQ_OK && ends_of(s)->mail->stop != 0) {
        s->rc = -1;
    }
    return s->rc == DLQ_OK;
}

// One of those that are left learns it from its next call, which a graph captures, the other one
// from a wait.
static void
find_out(struct seat *s)
{
    if (!sum_without_rank_1(s)) {
        return;
    }
    if (s->rank == 0) {
        s->stream->captured = true;
        s->rc = call_group(s, &s->err);
        s->stream->captured = false;
    } else {
        seat_settle(s, DLQ_OK);
    }
    struct dlq_error again = DLQ_ERROR_INIT;
    if (call_group(s, &again) != DLQ_ETIMEOUT || !strstr(again.msg, "rank 1 (limit") ||
        s->stream->invalidated || cudaStreamQuery(s->stream) != cudaSuccess) {
        s->rc = -2;
    }
}

static void
a_sum_that_gave_up_is_found_by_the_next_call_and_by_a_wait(void **state)
{
    (void)state;
    static const char *const names[CALLS] = {"all_reduce", "all_gather", "broadcast", "barrier"};
    for (int i = 0; i < 2 * CALLS; i++) {
        struct world w;
        next_call = (enum call)(i / 2);
        gathers = i % 2 == 1;
        char first[160];
        world_begin_with(&w, HOST_MS);
        world_run(&w, find_out);
        world_assert(&w, DLQ_ETIMEOUT, "rank 1");
        (void)snprintf(first, sizeof(first),
                       "rank 0 of 3, %s: not done after the time limit (30000 ms); missing on "
                       "the GPU: rank 1; on the host: ",
                       names[next_call]);
        assert_non_null(strstr(w.seats[0].err.msg, first));
        assert_non_null(strstr(w.seats[2].err.msg,
                               "wait: not done after the time limit (30000 "
                               "ms); missing on the GPU: rank 1; on the host: "));
        for (int32_t r = 0; r < RANKS; r += 2) {
            assert_non_null(
                strstr(w.seats[r].err.msg, "missing after the time limit: rank 1 (limit 1000 ms)"));
        }
        // But for those of the setup.
        assert_int_equal(fake_nccl.peer_sums, 6);
        assert_int_equal(fake_nccl.aborted, 2);
        world_end(&w);
    }
}

static void
leave_without_a_look(struct seat *s)
{
    if (sum_without_rank_1(s)) {
        s->rc = DLQ_ETIMEOUT;
        snprintf(s->err.msg, sizeof(s->err.msg), "left: rank %d", (int)s->rank);
    }
}

static void
memory_that_others_may_write_to_stays_after_a_sum_gave_up(void **state)
{
    (void)state;
    struct world w;
    world_begin(&w);
    world_run(&w, leave_without_a_look);
    world_assert(&w, DLQ_ETIMEOUT, ": rank ");
    world_end(&w);
    assert_int_equal(fake_nccl.allocated, 2);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_have_the_time_limit_of_the_group),
        cmocka_unit_test(a_sum_that_gave_up_is_found_by_the_next_call_and_by_a_wait),
        cmocka_unit_test(memory_that_others_may_write_to_stays_after_a_sum_gave_up),
    };
    return cmocka_run_group_tests_name("nccl_peers_limit", tests, NULL, NULL);
}
