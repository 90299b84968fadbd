// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "nccl/group.h"
#include "nccl_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct dlq_nccl_ops *
dlq_nccl_module(void);

// `connect_ms` 0: as long as the other waits.
static void
limit_all(struct world *w, int32_t timeout_ms, int32_t connect_ms)
{
    for (int32_t r = 0; r < RANKS; r++) {
        w->options[r].timeout_ms = timeout_ms;
        w->options[r].connect_ms = connect_ms;
    }
}

// As an engine does that shares a new id by itself.
static void
carry_id(struct world *w, ncclUniqueId *id)
{
    struct dlq_error err = DLQ_ERROR_INIT;
    test_assert_ok(dlq_nccl_module()->make_id(id, &err), &err);
    for (int32_t r = 0; r < RANKS; r++) {
        w->options[r].host = NULL;
        w->options[r].id = id;
        w->options[r].rank = r;
        w->options[r].size = RANKS;
    }
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
    limit_all(&w, SHORT_MS, 0);
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
    limit_all(&w, LONG_MS, SHORT_MS);
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
    limit_all(&w, SHORT_MS, LONG_MS);
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
    carry_id(&w, &id);
    for (int32_t r = 0; r < RANKS; r++) {
        w.options[r].fingerprint = 5;
    }
    world_run(&w, seat_sum_all_dtypes);
    world_assert(&w, DLQ_OK, "");
    world_end(&w);
    world_begin(&w);
    carry_id(&w, &id);
    w.options[1].fingerprint = 1;
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

int
main(void)
{
    // Sums as small as these would not reach NCCL.
    (void)setenv("DLQ_PEER_SUMS", "0", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranks_that_differ_are_found_before_nccl_waits),
        cmocka_unit_test(a_rank_without_its_device_is_named),
        cmocka_unit_test(a_rank_that_is_lost_while_nccl_connects_is_a_timeout),
        cmocka_unit_test(connecting_has_a_limit_of_its_own),
        cmocka_unit_test(a_short_limit_of_waits_is_none_of_connecting),
        cmocka_unit_test(a_failure_of_nccl_is_told),
        cmocka_unit_test(an_id_alone_will_do),
        cmocka_unit_test(an_engines_communicator_is_adopted_and_left_alone),
    };
    return cmocka_run_group_tests_name("nccl_join", tests, NULL, NULL);
}
