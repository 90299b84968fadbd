// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TESTS_THREAD_GROUP_H
#define DLQ_TESTS_THREAD_GROUP_H

#include <dlquant/collective.h>
#include <dlquant/runtime.h>

#include <stdint.h>

/// Groups of threads on a runtime that is the state of a test.

enum { THREAD_GROUP_RANKS = 5 };

/// One rank: a thread with its end of the group, running `body`, and what that needs.
struct thread_rank {
    const struct dlq_collective *c;
    dlq_collective_threads *group;
    void (*body)(struct thread_rank *self);
    int32_t rc;
    struct dlq_error err;
    int64_t count;
    uint32_t dtype;
    uint32_t flags;
    void *data;
};

/// A test whose state is a runtime.
#define THREAD_GROUP_TEST(fn)                                                                      \
    cmocka_unit_test_setup_teardown(fn, thread_group_set_up, thread_group_tear_down)

int
thread_group_set_up(void **state);

int
thread_group_tear_down(void **state);

dlq_collective_threads *
thread_group_make(dlq_runtime *rt, int32_t size, int32_t timeout_ms);

/// Run ranks[0..n) of a group as threads and wait for them.
void
thread_group_run(dlq_collective_threads *group, struct thread_rank *ranks, int32_t n);

/// The body that adds up `data`, and keeps how that went.
void
thread_rank_sum(struct thread_rank *self);

#endif // DLQ_TESTS_THREAD_GROUP_H
