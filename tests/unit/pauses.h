// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TESTS_UNIT_PAUSES_H
#define DLQ_TESTS_UNIT_PAUSES_H

#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

/// For `-include`, before a source of the core: its thread may lose the processor before every
/// atomic step. What happens between two neighbouring steps once in millions of runs then happens
/// in a few.

static inline void
dlq_pause_sometimes(void)
{
    static _Thread_local uint32_t random;
    if (random == 0) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        random = (uint32_t)now.tv_nsec ^ (uint32_t)(uintptr_t)&random;
    }
    random = random * 1664525U + 1013904223U;
    if (random >> 29 == 0) {
        const struct timespec some = {.tv_nsec = random >> 12 & 0xffff};
        nanosleep(&some, NULL);
    } else if (random >> 29 < 4) {
        sched_yield();
    }
}

#undef atomic_load
#undef atomic_store
#undef atomic_fetch_add
#undef atomic_fetch_sub
#undef atomic_fetch_or
#define DLQ_PAUSED(step, ...) (dlq_pause_sometimes(), step(__VA_ARGS__, memory_order_seq_cst))
#define atomic_load(p) DLQ_PAUSED(atomic_load_explicit, p)
#define atomic_store(p, v) DLQ_PAUSED(atomic_store_explicit, p, v)
#define atomic_fetch_add(p, v) DLQ_PAUSED(atomic_fetch_add_explicit, p, v)
#define atomic_fetch_sub(p, v) DLQ_PAUSED(atomic_fetch_sub_explicit, p, v)
#define atomic_fetch_or(p, v) DLQ_PAUSED(atomic_fetch_or_explicit, p, v)

#endif // DLQ_TESTS_UNIT_PAUSES_H
