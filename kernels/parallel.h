// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_KERNELS_PARALLEL_H
#define DLQ_KERNELS_PARALLEL_H

#include <stddef.h>

/// Threads that a kernel borrows from its caller. Kernels never create threads, and no result
/// depends on how many there are or on the order in which tasks run.
struct dlq_k_parallel {
    void *ctx;     ///< Handed to `run`
    int n_threads; ///< Tasks that run at the same time, at least 1
    /// Runs fn(arg, 0) .. fn(arg, n_tasks - 1), each once, in any order, and returns when all did.
    void (*run)(void *ctx, int n_tasks, void (*fn)(void *arg, int task), void *arg);
};

/// How many tasks run at once; NULL is one.
static inline int
dlq_k_parallel_threads(const struct dlq_k_parallel *p)
{
    return p != NULL && p->n_threads > 1 ? p->n_threads : 1;
}

/// Runs the tasks on the caller's threads, or inline when there is one thread or one task.
static inline void
dlq_k_parallel_run(const struct dlq_k_parallel *p, int n_tasks, void (*fn)(void *arg, int task),
                   void *arg)
{
    if (n_tasks > 1 && dlq_k_parallel_threads(p) > 1) {
        p->run(p->ctx, n_tasks, fn, arg);
        return;
    }
    for (int task = 0; task < n_tasks; task++) {
        fn(arg, task);
    }
}

#endif // DLQ_KERNELS_PARALLEL_H
