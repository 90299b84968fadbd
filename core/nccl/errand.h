// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CORE_NCCL_ERRAND_H
#define DLQ_CORE_NCCL_ERRAND_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/// What NCCL may wait in without a limit, done in a thread of its own and left alone when its time
/// is up. The first member of a struct with what it needs.
struct dlq_errand {
    void (*run)(struct dlq_errand *e);
    void (*clean)(struct dlq_errand *e); ///< Release all of it that nobody waited for, `e` included
    pthread_mutex_t lock;
    pthread_cond_t finished;
    bool done;      ///< Guarded by the lock
    bool abandoned; ///< Guarded by the lock: clean() is the thread's
};

/// Begin, `run` and `clean` being set. False: there is no thread, and nothing to wait for.
bool
dlq_errand_start(struct dlq_errand *e);

/// Whether it is done within the limit, 0 being none. If so the caller releases what it has; if
/// not, `e` is not the caller's any more.
bool
dlq_errand_wait(struct dlq_errand *e, int32_t limit_ms);

#endif // DLQ_CORE_NCCL_ERRAND_H
