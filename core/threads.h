// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CORE_THREADS_H
#define DLQ_CORE_THREADS_H

#include <dlquant/runtime.h>

#include <stdint.h>

/// The default threads: a few workers that help whoever calls dlq_pool_run().
///
/// A caller takes part in its own call and any number of threads may call at once, as ranks that
/// are threads do; a worker helps whichever call has tasks left. Workers spin for some microseconds
/// after work, for the next layer comes soon, and then sleep. They are not pinned: a pinned thread
/// waits while another core is free. A call from inside a task runs its tasks in turn, on the spot.

struct dlq_pool;

/// Make a pool for `n_threads` threads, the caller counted; 1 makes no thread at all.
int32_t
dlq_pool_create(const struct dlq_allocator *alloc, int32_t n_threads, struct dlq_pool **out,
                struct dlq_error *err);

/// Stop and free; nobody may be in a call. NULL is a no-op.
void
dlq_pool_destroy(struct dlq_pool *pool);

/// parallel_for() of struct dlq_host; `ctx` is the pool.
void
dlq_pool_run(void *ctx, int32_t n_tasks, void (*fn)(void *arg, int32_t task), void *arg);

#endif // DLQ_CORE_THREADS_H
