// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "errand.h"

#include <time.h>

static void
forget(struct dlq_errand *e)
{
    pthread_cond_destroy(&e->finished);
    pthread_mutex_destroy(&e->lock);
}

static void *
thread_main(void *arg)
{
    struct dlq_errand *const e = arg;
    e->run(e);
    pthread_mutex_lock(&e->lock);
    e->done = true;
    const bool abandoned = e->abandoned;
    pthread_cond_signal(&e->finished);
    pthread_mutex_unlock(&e->lock);
    if (abandoned) {
        forget(e);
        e->clean(e);
    }
    return NULL;
}

bool
dlq_errand_start(struct dlq_errand *e)
{
    pthread_t thread;
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&e->lock, NULL);
    pthread_cond_init(&e->finished, &attr);
    pthread_condattr_destroy(&attr);
    e->done = false;
    e->abandoned = false;
    if (pthread_create(&thread, NULL, thread_main, e) != 0) {
        forget(e);
        return false;
    }
    pthread_detach(thread);
    return true;
}

bool
dlq_errand_wait(struct dlq_errand *e, int32_t limit_ms)
{
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += limit_ms / 1000;
    end.tv_nsec += limit_ms % 1000 * 1000000L;
    if (end.tv_nsec >= 1000000000) {
        end.tv_nsec -= 1000000000;
        ++end.tv_sec;
    }
    int rc = 0;
    pthread_mutex_lock(&e->lock);
    while (!e->done && rc == 0) {
        rc = limit_ms > 0 ? pthread_cond_timedwait(&e->finished, &e->lock, &end)
                          : pthread_cond_wait(&e->finished, &e->lock);
    }
    const bool done = e->done;
    e->abandoned = !done;
    pthread_mutex_unlock(&e->lock);
    if (done) {
        forget(e);
    }
    return done;
}
