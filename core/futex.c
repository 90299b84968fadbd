// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

// For syscall().
#define _GNU_SOURCE

#include "futex.h"

#include "device.h"

#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

// Between two looks at the clock, which costs as much as a few of these.
#define RELAX_ROUNDS 64

int64_t
dlq_now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

void
dlq_futex_wait(atomic_uint *word, unsigned old, int64_t deadline_ns)
{
    struct timespec ts;
    if (deadline_ns >= 0) {
        const int64_t left = deadline_ns - dlq_now_ns();
        if (left <= 0) {
            return;
        }
        ts.tv_sec = (time_t)(left / 1000000000);
        ts.tv_nsec = (long)(left % 1000000000);
    }
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, old, deadline_ns >= 0 ? &ts : NULL, NULL, 0);
}

void
dlq_futex_wake(atomic_uint *word, int n)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}

static void
relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

unsigned
dlq_spin_while(atomic_uint *word, unsigned old, int64_t ns)
{
    const int64_t end = ns > 0 ? dlq_now_ns() + ns : 0;
    unsigned seen = old;
    do {
        for (int i = 0; i < RELAX_ROUNDS; i++) {
            seen = atomic_load_explicit(word, memory_order_acquire);
            if (seen != old) {
                return seen;
            }
            relax();
        }
    } while (ns > 0 && dlq_now_ns() < end);
    return seen;
}

int64_t
dlq_spin_time(int32_t n_threads)
{
    return n_threads <= dlq_device_cpu_cores() ? DLQ_SPIN_NS : 0;
}

// A sleeper counts itself before the kernel compares the value; a waker changes the value before it
// reads the count. One of the two sees the other.
void
dlq_event_sleep(struct dlq_event *event, unsigned old, int64_t deadline_ns)
{
    atomic_fetch_add(&event->sleepers, 1);
    dlq_futex_wait(&event->value, old, deadline_ns);
    atomic_fetch_sub(&event->sleepers, 1);
}

void
dlq_event_wake(struct dlq_event *event, int n)
{
    if (atomic_load(&event->sleepers) > 0) {
        dlq_futex_wake(&event->value, n);
    }
}
