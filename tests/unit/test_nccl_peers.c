// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "float16.h"
#include "nccl/group.h"
#include "nccl_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// Sums over memory of peers: when they are used, when NCCL is instead, and what faults say.

// Sums that the setup makes to try the memory.
enum { TRIALS = 6 };

// Of what process a rank thinks it is; 0: of this one.
static _Thread_local pid_t pretended;
static bool processes;

pid_t
__real_getpid(void);

pid_t
__wrap_getpid(void);

pid_t
__wrap_getpid(void)
{
    return pretended ? pretended : __real_getpid();
}

// A kernel may have no namespaces of processes.
static bool nameless;

ssize_t
__real_readlink(const char *path, char *out, size_t size);

ssize_t
__wrap_readlink(const char *path, char *out, size_t size);

ssize_t
__wrap_readlink(const char *path, char *out, size_t size)
{
    return nameless ? -1 : __real_readlink(path, out, size);
}

static void
seat_as_process(struct seat *s)
{
    pretended = processes ? 1000 + s->rank : 0;
}

static int64_t
limit_of(const struct seat *s)
{
    return (int64_t)((const struct dlq_nccl_group *)s->group)->peers.limit;
}

// 2048 + 1 + 1 is 2050 in fp32, and 2048 in fp16.
static float
sum_of_halves(struct seat *s, int64_t count, uint32_t flags)
{
    const struct dlq_collective *const c = dlq_collective_nccl_get(s->group);
    const float mine = s->rank == 0 ? 2048 : 1;
    uint16_t *const data = calloc((size_t)count, sizeof(*data));
    float sum = 0;
    for (int64_t i = 0; i < count; i++) {
        (void)dlq_cast(DLQ_F16, &data[i], DLQ_F32, &mine, 1);
    }
    seat_settle(s, c->all_reduce(c->ctx, data, count, DLQ_F16, flags, s->stream, &s->err));
    (void)dlq_cast(DLQ_F32, &sum, DLQ_F16, &data[count - 1], 1);
    free(data);
    return sum;
}

static void
sum_below_and_above_the_limit(struct seat *s)
{
    const struct dlq_collective *const c = dlq_collective_nccl_get(s->group);
    const int64_t most = limit_of(s) / 2;
    if (most < 1024 || sum_of_halves(s, most, 0) != 2050 || s->rc != DLQ_OK) {
        s->rc = -1;
    } else if (sum_of_halves(s, most + 1, 0) != 2048 || s->rc != DLQ_OK) {
        s->rc = -2;
    } else if (sum_of_halves(s, most + 1, DLQ_REDUCE_FP32) != 2050 || s->rc != DLQ_OK) {
        s->rc = -3;
    } else {
        int32_t sum = s->rank == 0 ? (1 << 24) + 1 : 0;
        seat_settle(s, c->all_reduce(c->ctx, &sum, 1, DLQ_I32, 0, s->stream, &s->err));
        s->rc = s->rc == DLQ_OK && sum != (1 << 24) + 1 ? -4 : s->rc;
    }
}

static void
small_sums_go_over_peers_and_large_ones_do_not(void **state)
{
    (void)state;
    struct world w;
    world_begin(&w);
    world_run(&w, sum_below_and_above_the_limit);
    world_assert(&w, DLQ_OK, "");
    assert_string_equal(w.seats[0].group->sums, "over memory of peers");
    assert_int_equal(fake_nccl.peer_sums, TRIALS + 2);
    world_end(&w);
    assert_int_equal(fake_nccl.allocated, 0);
    assert_int_equal(fake_nccl.opened, 0);
}

// `each` elements of rank 0, twice as many of rank 1, none of rank 2, with values of their own; in
// place or out of it.
static void
gather(struct seat *s, int64_t each, uint32_t dtype, bool in_place)
{
    const struct dlq_collective *const c = dlq_collective_nccl_get(s->group);
    const int64_t counts[RANKS] = {each, 2 * each, 0};
    const size_t width = DLQ_DTYPE_BITS(dtype) / 8;
    const size_t size = (size_t)(3 * each) * width;
    char *const all = calloc(1, size + 1);
    char *const own = calloc(1, size + 1);
    char *const place = all + (s->rank == 0 ? 0 : (size_t)each * width * (s->rank == 1 ? 1 : 3));
    memset(in_place ? place : own, 'a' + s->rank, (size_t)counts[s->rank] * width);
    seat_settle(
        s, c->all_gather(c->ctx, in_place ? place : own, all, counts, dtype, s->stream, &s->err));
    for (size_t i = 0; i < size && s->rc == DLQ_OK; i++) {
        s->rc = all[i] == (i < size / 3 ? 'a' : 'b') ? DLQ_OK : -1;
    }
    free(own);
    free(all);
}

static void
gather_below_and_above_the_limit(struct seat *s)
{
    const int64_t most = (int64_t)((struct dlq_nccl_group *)s->group)->peers.part;
    gather(s, 5, DLQ_F16, false);
    for (int i = 0; i < 2 && s->rc == DLQ_OK; i++) {
        gather(s, most / 4 / 2, DLQ_F32, i == 0);
    }
    if (s->rc == DLQ_OK) {
        gather(s, 3, DLQ_I64, true);
    }
    const int gathers = fake_nccl.peer_gathers;
    // Bytes, and more than the limit.
    if (s->rc == DLQ_OK) {
        gather(s, 5, DLQ_I8, false);
    }
    if (s->rc == DLQ_OK) {
        gather(s, most / 4 / 2 + 1, DLQ_F32, false);
    }
    s->rc = s->rc == DLQ_OK && gathers != fake_nccl.peer_gathers ? -2 : s->rc;
    if (s->rc == DLQ_OK) {
        gather(s, 0, DLQ_F32, false);
    }
}

static void
few_bytes_are_gathered_over_peers_and_many_are_not(void **state)
{
    (void)state;
    struct world w;
    world_begin(&w);
    world_run(&w, gather_below_and_above_the_limit);
    world_assert(&w, DLQ_OK, "");
    assert_int_equal(fake_nccl.peer_gathers, 4);
    assert_int_equal(fake_nccl.peer_sums, TRIALS);
    world_end(&w);
}

static void
meet(struct seat *s)
{
    const struct dlq_collective *const c = dlq_collective_nccl_get(s->group);
    seat_settle(s, c->barrier(c->ctx, s->stream, &s->err));
}

static void
barriers_are_sums(void **state)
{
    (void)state;
    struct world w;
    world_begin(&w);
    world_run(&w, meet);
    world_assert(&w, DLQ_OK, "");
    assert_int_equal(fake_nccl.peer_sums, TRIALS + 1);
    world_end(&w);
}

static bool
begins_early(const struct world *w)
{
    return ((struct dlq_nccl_group *)w->seats[0].group)->peers.ends.early != 0;
}

static void
sums_begin_early_where_gpus_can_and_nobody_says_no(void **state)
{
    (void)state;
    static const struct {
        int capability;
        const char *variable;
        bool early;
    } cases[] = {{9, NULL, true}, {9, "1", true}, {9, "0", false}, {8, NULL, false}};
    for (size_t i = 0; i < TEST_COUNT(cases); i++) {
        struct world w;
        world_begin(&w);
        fake_nccl.capability = cases[i].capability;
        if (cases[i].variable) {
            (void)setenv("DLQ_EARLY_LAUNCH", cases[i].variable, 1);
        }
        world_run(&w, NULL);
        world_assert(&w, DLQ_OK, "");
        assert_int_equal(begins_early(&w), cases[i].early);
        (void)unsetenv("DLQ_EARLY_LAUNCH");
        world_end(&w);
    }
}

static void
sum_all_dtypes(struct seat *s)
{
    const struct dlq_collective *const c = dlq_collective_nccl_get(s->group);
    static const uint32_t dtypes[] = {DLQ_F16, DLQ_BF16, DLQ_F32};
    for (int d = 0; d < 3 && s->rc == DLQ_OK; d++) {
        float value = (float)(s->rank + 1);
        uint32_t data = 0;
        (void)dlq_cast(dtypes[d], &data, DLQ_F32, &value, 1);
        seat_settle(s, c->all_reduce(c->ctx, &data, 1, dtypes[d], 0, s->stream, &s->err));
        (void)dlq_cast(DLQ_F32, &value, dtypes[d], &data, 1);
        s->rc = s->rc == DLQ_OK && value != 6 ? -1 : s->rc;
    }
}

// Ranks that are processes open each other's memory, and close it.
static void
processes_map_their_peers(void **state)
{
    (void)state;
    struct world w;
    world_begin(&w);
    processes = true;
    world_run(&w, sum_all_dtypes);
    processes = false;
    world_assert(&w, DLQ_OK, "");
    assert_int_equal(fake_nccl.peer_sums, TRIALS + 3);
    assert_int_equal(fake_nccl.opened, RANKS * (RANKS - 1));
    world_end(&w);
    assert_int_equal(fake_nccl.opened, 0);
    assert_int_equal(fake_nccl.allocated, 0);
}

static void
a_kernel_without_namespaces_has_peers(void **state)
{
    (void)state;
    struct world w;
    world_begin(&w);
    nameless = true;
    world_run(&w, sum_all_dtypes);
    nameless = false;
    world_assert(&w, DLQ_OK, "");
    assert_int_equal(fake_nccl.peer_sums, TRIALS + 3);
    world_end(&w);
}

// All sums of the world go over NCCL, with the same result; every rank says why.
static void
assert_without_peers(struct world *w, int trials, const char *why)
{
    world_run(w, sum_all_dtypes);
    world_assert(w, DLQ_OK, "");
    assert_int_equal(fake_nccl.peer_sums, trials);
    for (int32_t r = 0; r < RANKS; r++) {
        assert_int_equal(limit_of(&w->seats[r]), 0);
        assert_non_null(strstr(w->seats[r].group->sums, why));
    }
    assert_int_equal(fake_nccl.opened, 0);
    world_end(w);
}

static void
one_rank_that_others_do_not_reach_is_enough_for_nccl(void **state)
{
    (void)state;
    struct world w;
    world_begin(&w);
    fake_nccl.lonely_device = 1;
    assert_without_peers(&w, 0, "does not reach");
    assert_int_equal(fake_nccl.allocated, 0);
    world_begin(&w);
    fake_nccl.device_without_mail = 2;
    assert_without_peers(&w, 0, "no memory for peers");
    assert_int_equal(fake_nccl.allocated, 0);
    world_begin(&w);
    fake_nccl.unshared_device = 2;
    processes = true;
    assert_without_peers(&w, 0, "does not reach");
    processes = false;
    assert_int_equal(fake_nccl.allocated, 0);
}

static void
memory_that_does_not_work_is_not_used(void **state)
{
    (void)state;
    struct world w;
    world_begin(&w);
    fake_nccl.wrong_peers = true;
    assert_without_peers(&w, 1, "trial");
    assert_int_equal(fake_nccl.allocated, 0);
    world_begin(&w);
    fake_nccl.hanging_peers = true;
    for (int32_t r = 0; r < RANKS; r++) {
        w.options[r].timeout_ms = SHORT_MS;
    }
    assert_without_peers(&w, 0, "trial");
    // Where a kernel was stopped, others may still write.
    assert_int_equal(fake_nccl.allocated, RANKS);
}

static void
variables_switch_it_off(void **state)
{
    (void)state;
    static const char *const off[][2] = {{"DLQ_PEER_SUMS", "0"}, {"NCCL_P2P_DISABLE", "1"}};
    static const char *const on[][2] = {{"DLQ_PEER_SUMS", "1"}, {"NCCL_P2P_DISABLE", "0"}};
    struct world w;
    for (size_t i = 0; i < TEST_COUNT(off); i++) {
        world_begin(&w);
        assert_int_equal(setenv(off[i][0], off[i][1], 1), 0);
        assert_without_peers(&w, 0, "told not to");
        world_begin(&w);
        assert_int_equal(setenv(on[i][0], on[i][1], 1), 0);
        world_run(&w, sum_all_dtypes);
        world_assert(&w, DLQ_OK, "");
        assert_int_equal(fake_nccl.peer_sums, TRIALS + 3);
        world_end(&w);
        assert_int_equal(unsetenv(on[i][0]), 0);
    }
}

// A group on the host that fails from some call on.
struct failing {
    struct dlq_collective table;
    const struct dlq_collective *real;
    int calls;
    int works;
};

static int32_t
gather_or_fail(void *ctx, const void *send, void *recv, const int64_t *counts, uint32_t dtype,
               void *stream, struct dlq_error *err)
{
    struct failing *const f = ctx;
    if (f->calls++ >= f->works) {
        snprintf(err->msg, sizeof(err->msg), "a rank is lost");
        return err->code = DLQ_ETIMEOUT;
    }
    return f->real->all_gather(f->real->ctx, send, recv, counts, dtype, stream, err);
}

// The ranks meet once for NCCL and three times for their memory.
static void
a_rank_that_is_lost_on_the_way_is_an_error(void **state)
{
    (void)state;
    for (int works = 1; works < 4; works++) {
        struct world w;
        struct failing hosts[RANKS];
        world_begin(&w);
        for (int32_t r = 0; r < RANKS; r++) {
            hosts[r] = (struct failing){
                .table = *w.options[r].host, .real = w.options[r].host, .works = works};
            hosts[r].table.ctx = &hosts[r];
            hosts[r].table.all_gather = gather_or_fail;
            w.options[r].host = &hosts[r].table;
        }
        world_run(&w, NULL);
        world_assert(&w, DLQ_ETIMEOUT, "a rank is lost");
        assert_int_equal(hosts[0].calls, works + 1);
        world_end(&w);
        assert_int_equal(fake_nccl.allocated, 0);
    }
}

static void
stall(struct seat *s)
{
    const struct dlq_collective *const c = dlq_collective_nccl_get(s->group);
    static float data[RANKS];
    if (s->rank == 1) {
        s->rc = DLQ_ETIMEOUT;
        snprintf(s->err.msg, sizeof(s->err.msg), "stalled: rank 1");
        return;
    }
    seat_hurry(s);
    seat_settle(s, c->all_reduce(c->ctx, &data[s->rank], 1, DLQ_F32, 0, s->stream, &s->err));
    // The stream is free again.
    if (cudaStreamQuery(s->stream) != cudaSuccess) {
        s->rc = -1;
    }
}

static void
a_stalled_rank_is_named_by_the_host(void **state)
{
    (void)state;
    struct world w;
    world_begin_with(&w, HOST_MS);
    world_run(&w, stall);
    world_assert(&w, DLQ_ETIMEOUT, "rank 1");
    assert_non_null(strstr(w.seats[2].err.msg, "missing on the GPU: rank 1; on the host: "));
    assert_non_null(strstr(w.seats[2].err.msg, "missing after the time limit: rank 1"));
    assert_int_equal(fake_nccl.peer_sums, TRIALS);
    world_end(&w);
    // Kernels of others may still write to the inboxes of the two that broke.
    assert_int_equal(fake_nccl.allocated, 2);
}

static void
a_stalled_rank_is_named_by_the_kernel_without_a_host(void **state)
{
    (void)state;
    struct world w;
    world_begin(&w);
    ncclUniqueId id;
    (void)ncclGetUniqueId(&id);
    for (int32_t r = 0; r < RANKS; r++) {
        w.options[r].host = NULL;
        w.options[r].id = &id;
        w.options[r].rank = r;
        w.options[r].size = RANKS;
    }
    world_run(&w, stall);
    world_assert(&w, DLQ_ETIMEOUT, "rank 1");
    assert_non_null(strstr(w.seats[0].err.msg, "not done after the time limit (300 ms); missing on "
                                               "the GPU: rank 1"));
    world_end(&w);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_sums_go_over_peers_and_large_ones_do_not),
        cmocka_unit_test(few_bytes_are_gathered_over_peers_and_many_are_not),
        cmocka_unit_test(barriers_are_sums),
        cmocka_unit_test(sums_begin_early_where_gpus_can_and_nobody_says_no),
        cmocka_unit_test(processes_map_their_peers),
        cmocka_unit_test(a_kernel_without_namespaces_has_peers),
        cmocka_unit_test(one_rank_that_others_do_not_reach_is_enough_for_nccl),
        cmocka_unit_test(memory_that_does_not_work_is_not_used),
        cmocka_unit_test(variables_switch_it_off),
        cmocka_unit_test(a_rank_that_is_lost_on_the_way_is_an_error),
        cmocka_unit_test(a_stalled_rank_is_named_by_the_host),
        cmocka_unit_test(a_stalled_rank_is_named_by_the_kernel_without_a_host),
    };
    world_prepare = seat_as_process;
    return cmocka_run_group_tests_name("nccl_peers", tests, NULL, NULL);
}
