// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CORE_FUTEX_H
#define DLQ_CORE_FUTEX_H

#include <stdatomic.h>
#include <stdint.h>

/// Waiting for another thread: spin a little, then sleep in the kernel.

/// How long a waiter spins before it sleeps: about as long as one wake-up takes.
#define DLQ_SPIN_NS 30000

/// A number that threads wait to see changed. Zeroes are a good start.
struct dlq_event {
    atomic_uint value;    ///< Changed by whoever calls dlq_event_wake() next
    atomic_uint sleepers; ///< Threads that are, or are about to be, asleep
};

/// Monotonic time in nanoseconds.
int64_t
dlq_now_ns(void);

/// Spin for at most `ns` while `*word` is `old`. Returns the last value seen, acquired.
unsigned
dlq_spin_while(atomic_uint *word, unsigned old, int64_t ns);

/// How long one of `n_threads` threads that work together should spin: not at all when they are
/// more than the cores, for then a spinning one keeps another from working.
int64_t
dlq_spin_time(int32_t n_threads);

/// Sleep until the value is no longer `old`, or `deadline_ns` of dlq_now_ns() has passed (negative:
/// never). May return early; the caller looks again.
void
dlq_event_sleep(struct dlq_event *event, unsigned old, int64_t deadline_ns);

/// Wake up to `n` sleepers after the value was changed.
void
dlq_event_wake(struct dlq_event *event, int n);

/// dlq_event_sleep() on a bare word, for which somebody calls dlq_futex_wake().
void
dlq_futex_wait(atomic_uint *word, unsigned old, int64_t deadline_ns);

/// Wake up to `n` sleepers of `word`, which is only used as an address.
void
dlq_futex_wake(atomic_uint *word, int n);

#endif // DLQ_CORE_FUTEX_H
