// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "nccl/group.h"
#include "nccl_world.h"

#include <string.h>

// Memory of an engine that NCCL is told of, with an NCCL that takes it.

static atomic_int known; // Registrations that were not taken back
static ncclResult_t answer, answer_back;
static float memory[RANKS][2];

ncclResult_t
ncclCommRegister(const ncclComm_t comm, void *buff, size_t size, void **handle)
{
    if (!comm || size != sizeof(memory[0])) {
        return ncclInvalidArgument;
    }
    if (answer == ncclSuccess) {
        *handle = buff;
        known++;
    }
    return answer;
}

ncclResult_t
ncclCommDeregister(const ncclComm_t comm, void *handle)
{
    if (!comm || !handle) {
        return ncclInvalidArgument;
    }
    known--;
    return answer_back;
}

static void
begin(struct world *w)
{
    world_begin(w);
    known = 0;
    answer = answer_back = ncclSuccess;
}

static void
register_own(struct seat *s)
{
    s->rc = dlq_collective_nccl_register(s->group, memory[s->rank], sizeof(memory[0]), &s->err);
}

static void
memory_is_known_until_it_is_taken_back(void **state)
{
    (void)state;
    struct world w;
    begin(&w);
    world_run(&w, register_own);
    world_assert(&w, DLQ_OK, "");
    assert_int_equal(known, RANKS);
    struct dlq_error err = DLQ_ERROR_INIT;
    test_assert_error(
        dlq_collective_nccl_register(w.seats[1].group, memory[1], sizeof(memory[0]), &err), &err,
        DLQ_EINVAL, "rank 1 of 3, register: this memory is registered already");
    test_assert_ok(dlq_collective_nccl_unregister(w.seats[1].group, memory[1], &err), &err);
    assert_int_equal(known, RANKS - 1);
    test_assert_error(dlq_collective_nccl_unregister(w.seats[1].group, memory[1], &err), &err,
                      DLQ_ENOTFOUND, "rank 1 of 3, unregister: this memory is not registered");
    world_end(&w);
    assert_int_equal(known, 0);
}

static void
what_is_no_memory_is_refused(void **state)
{
    (void)state;
    struct world w;
    begin(&w);
    world_run(&w, NULL);
    struct dlq_error err = DLQ_ERROR_INIT;
    dlq_collective_nccl *const group = w.seats[0].group;
    test_assert_error(dlq_collective_nccl_register(group, NULL, 8, &err), &err, DLQ_EINVAL,
                      "expected memory, found 8 bytes at NULL");
    test_assert_error(dlq_collective_nccl_register(group, memory, 0, &err), &err, DLQ_EINVAL,
                      "expected memory, found 0 bytes at an address");
    world_end(&w);
}

static void
failures_of_nccl_are_told(void **state)
{
    (void)state;
    struct world w;
    begin(&w);
    answer = ncclSystemError;
    world_run(&w, register_own);
    world_assert(&w, DLQ_ECOMM, "register: NCCL: unhandled system error");
    answer = ncclSuccess;
    answer_back = ncclSystemError;
    struct dlq_error err = DLQ_ERROR_INIT;
    dlq_collective_nccl *const group = w.seats[0].group;
    test_assert_ok(dlq_collective_nccl_register(group, memory[0], sizeof(memory[0]), &err), &err);
    test_assert_error(dlq_collective_nccl_unregister(group, memory[0], &err), &err, DLQ_ECOMM,
                      "unregister: NCCL: unhandled system error");
    // It is forgotten all the same.
    test_assert_error(dlq_collective_nccl_unregister(group, memory[0], &err), &err, DLQ_ENOTFOUND,
                      "not registered");
    world_end(&w);
}

// The communicator that knew it is gone.
static void
a_broken_group_forgets_without_nccl(void **state)
{
    (void)state;
    struct world w;
    begin(&w);
    world_run(&w, register_own);
    world_assert(&w, DLQ_OK, "");
    struct dlq_error err = DLQ_ERROR_INIT;
    dlq_collective_nccl *const group = w.seats[2].group;
    dlq_collective_nccl_abort(group, "enough");
    test_assert_error(dlq_collective_nccl_register(group, memory[0], sizeof(memory[0]), &err), &err,
                      DLQ_ECOMM, "register: rank 2 gave up: enough");
    test_assert_ok(dlq_collective_nccl_unregister(group, memory[2], &err), &err);
    assert_int_equal(known, RANKS);
    world_end(&w);
    assert_int_equal(known, 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_known_until_it_is_taken_back),
        cmocka_unit_test(what_is_no_memory_is_refused),
        cmocka_unit_test(failures_of_nccl_are_told),
        cmocka_unit_test(a_broken_group_forgets_without_nccl),
    };
    return cmocka_run_group_tests_name("nccl_registered", tests, NULL, NULL);
}
