// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CORE_FUTEX_H
#define DLQ_CORE_FUTEX_H

#include <stdatomic.h>
#include <stdint.h>

/// Waiting for another thread: spin a little, then sleep in the kernel.

/// How long a waiter spins before it sleeps: about as long as one wake-up takes.
#define DLQ_SPIN_NS 30000

/// Monotonic time in nanoseconds.
int64_t
dlq_now_ns(void);

/// Wait until `*word` is no longer `value`, or `deadline_ns` of dlq_now_ns() has passed (negative:
/// never). May return early; the caller looks again.
void
dlq_futex_wait(atomic_uint *word, unsigned value, int64_t deadline_ns);

/// Wake up to `n` waiters of `word`, which is only used as an address.
void
dlq_futex_wake(atomic_uint *word, int n);

/// Spin for at most DLQ_SPIN_NS while `*word` is `value`. Returns the last value seen, acquired.
unsigned
dlq_spin_while(atomic_uint *word, unsigned value);

#endif // DLQ_CORE_FUTEX_H
