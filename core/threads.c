// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "threads.h"

#include "alloc.h"
#include "error.h"
#include "futex.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>

// Set in `helpers` while the caller sleeps until the last helper has left.
#define CALLER_SLEEPS 0x80000000u

// One call of dlq_pool_run(), on its caller's stack.
struct job {
    struct job *next; // In the pool's list; guarded by its lock
    void (*fn)(void *arg, int32_t task);
    void *arg;
    int32_t n_tasks;
    atomic_int next_task;
    atomic_uint helpers; // Workers that hold a pointer to this job
};

struct dlq_pool {
    const struct dlq_allocator *alloc;
    pthread_mutex_t lock;
    struct job *jobs;       // Those that may have tasks left; guarded by `lock`
    struct dlq_event epoch; // Grows when there may be something to do; workers sleep on it
    atomic_bool stop;
    int64_t spin_ns;
    int32_t n_workers;
    pthread_t workers[];
};

// Whether this thread is inside a task. Its calls run on the spot then.
static _Thread_local bool inside_task;

static void
run_inline(int32_t n_tasks, void (*fn)(void *arg, int32_t task), void *arg)
{
    for (int32_t i = 0; i < n_tasks; i++) {
        fn(arg, i);
    }
}

// Take tasks one by one until none is left.
static void
work(struct job *job)
{
    inside_task = true;
    for (;;) {
        const int32_t task = atomic_fetch_add_explicit(&job->next_task, 1, memory_order_relaxed);
        if (task >= job->n_tasks) {
            break;
        }
        job->fn(job->arg, task);
    }
    inside_task = false;
}

// The job with tasks left that has the fewest helpers, so that ranks get equal help.
static struct job *
join_job(struct dlq_pool *pool)
{
    struct job *best = NULL;
    unsigned fewest = 0;
    pthread_mutex_lock(&pool->lock);
    for (struct job *job = pool->jobs; job; job = job->next) {
        const unsigned helpers = atomic_load_explicit(&job->helpers, memory_order_relaxed);
        if (atomic_load_explicit(&job->next_task, memory_order_relaxed) < job->n_tasks &&
            (!best || helpers < fewest)) {
            best = job;
            fewest = helpers;
        }
    }
    if (best) {
        atomic_fetch_add_explicit(&best->helpers, 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(&pool->lock);
    return best;
}

// The job's memory may be gone as soon as the count is given back.
static void
leave_job(struct job *job)
{
    atomic_uint *const helpers = &job->helpers;
    if (atomic_fetch_sub_explicit(helpers, 1, memory_order_acq_rel) == (CALLER_SLEEPS | 1)) {
        dlq_futex_wake(helpers, 1);
    }
}

static void *
worker(void *arg)
{
    struct dlq_pool *const pool = arg;
    bool spin = false;
    for (;;) {
        // The epoch before whatever is looked at: a change that comes after the look, an order to
        // stop as well as a job, then keeps this thread from going to sleep.
        const unsigned epoch = atomic_load(&pool->epoch.value);
        if (atomic_load(&pool->stop)) {
            return NULL;
        }
        struct job *const job = join_job(pool);
        if (job) {
            work(job);
            leave_job(job);
            spin = true;
            continue;
        }
        // A worker that has just been useful expects the next layer soon; a new one does not.
        if (spin && dlq_spin_while(&pool->epoch.value, epoch, pool->spin_ns) != epoch) {
            continue;
        }
        spin = false;
        dlq_event_sleep(&pool->epoch, epoch, -1);
    }
}

static void
wait_for_helpers(struct job *job, int64_t spin_ns)
{
    unsigned now = atomic_load_explicit(&job->helpers, memory_order_acquire);
    while (now != 0) {
        const unsigned before = now;
        now = dlq_spin_while(&job->helpers, before, spin_ns);
        if (now == before) {
            break;
        }
    }
    if (now != 0) {
        now = atomic_fetch_or(&job->helpers, CALLER_SLEEPS) | CALLER_SLEEPS;
        while (now != CALLER_SLEEPS) {
            dlq_futex_wait(&job->helpers, now, -1);
            now = atomic_load_explicit(&job->helpers, memory_order_acquire);
        }
    }
}

void
dlq_pool_run(void *ctx, int32_t n_tasks, void (*fn)(void *arg, int32_t task), void *arg)
{
    struct dlq_pool *const pool = ctx;
    if (n_tasks <= 1 || pool->n_workers == 0 || inside_task) {
        run_inline(n_tasks, fn, arg);
        return;
    }
    struct job job = {.fn = fn, .arg = arg, .n_tasks = n_tasks};
    pthread_mutex_lock(&pool->lock);
    job.next = pool->jobs;
    pool->jobs = &job;
    pthread_mutex_unlock(&pool->lock);
    atomic_fetch_add(&pool->epoch.value, 1);
    dlq_event_wake(&pool->epoch, n_tasks - 1 < pool->n_workers ? n_tasks - 1 : pool->n_workers);

    work(&job);

    pthread_mutex_lock(&pool->lock);
    struct job **link = &pool->jobs;
    while (*link != &job) {
        link = &(*link)->next;
    }
    *link = job.next;
    pthread_mutex_unlock(&pool->lock);
    wait_for_helpers(&job, pool->spin_ns);
}

// Signals of the process are for the engine's threads.
static int
start_worker(struct dlq_pool *pool, pthread_t *thread)
{
    sigset_t all;
    sigset_t old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    const int rc = pthread_create(thread, NULL, worker, pool);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return rc;
}

int32_t
dlq_pool_create(const struct dlq_allocator *alloc, int32_t n_threads, struct dlq_pool **out,
                struct dlq_error *err)
{
    const size_t n_workers = (size_t)n_threads - 1;
    struct dlq_pool *const pool =
        dlq_calloc(alloc, 1, sizeof(*pool) + n_workers * sizeof(*pool->workers));
    if (!pool) {
        return dlq_fail(err, DLQ_ENOMEM, "no memory for %d threads", (int)n_threads);
    }
    pool->alloc = alloc;
    pool->spin_ns = dlq_spin_time(n_threads);
    pthread_mutex_init(&pool->lock, NULL);
    while (pool->n_workers < n_threads - 1) {
        const int rc = start_worker(pool, &pool->workers[pool->n_workers]);
        if (rc != 0) {
            const int32_t started = pool->n_workers + 1;
            dlq_pool_destroy(pool);
            return dlq_fail_native(err, DLQ_ENOMEM, DLQ_DOMAIN_CORE, rc,
                                   "cannot start thread %d of %d: %s", (int)started + 1,
                                   (int)n_threads, strerror(rc));
        }
        pool->n_workers++;
    }
    *out = pool;
    return DLQ_OK;
}

void
dlq_pool_destroy(struct dlq_pool *pool)
{
    if (!pool) {
        return;
    }
    atomic_store(&pool->stop, true);
    atomic_fetch_add(&pool->epoch.value, 1);
    dlq_event_wake(&pool->epoch, pool->n_workers);
    for (int32_t i = 0; i < pool->n_workers; i++) {
        pthread_join(pool->workers[i], NULL);
    }
    pthread_mutex_destroy(&pool->lock);
    dlq_free(pool->alloc, pool);
}
