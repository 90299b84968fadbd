// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "check.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

// A pool for tests: workers spin on a generation counter, then yield. Never more than MAX_THREADS.

enum { MAX_THREADS = 64, SPINS = 20000 };

static struct {
    atomic_int generation;
    atomic_int next;
    atomic_int running;
    int n_tasks;
    int active; // workers that take part in this generation
    void (*fn)(void *arg, int task);
    void *arg;
    pthread_t threads[MAX_THREADS];
    int first_seen[MAX_THREADS]; // generation at which a worker was started
    int started;
} pool;

// The first task of a thread is always the same, as hosts with a static partition do it: memory of
// a task stays in that core's cache from call to call.
static void
take_tasks(int first)
{
    if (first < pool.n_tasks) {
        pool.fn(pool.arg, first);
    }
    for (int task = atomic_fetch_add(&pool.next, 1); task < pool.n_tasks;
         task = atomic_fetch_add(&pool.next, 1)) {
        pool.fn(pool.arg, task);
    }
}

static void *
worker(void *arg)
{
    const int index = (int)(intptr_t)arg;
    int seen = pool.first_seen[index];
    while (true) {
        int spins = 0;
        while (atomic_load_explicit(&pool.generation, memory_order_acquire) == seen) {
            if (++spins > SPINS) {
                sched_yield();
            }
        }
        seen = atomic_load_explicit(&pool.generation, memory_order_acquire);
        if (index < pool.active) {
            take_tasks(index + 1);
        }
        atomic_fetch_sub(&pool.running, 1);
    }
    return NULL;
}

static void
pool_run(void *ctx, int n_tasks, void (*fn)(void *arg, int task), void *arg)
{
    const struct dlq_k_parallel *p = ctx;
    while (pool.started < p->n_threads - 1) {
        pool.first_seen[pool.started] = atomic_load(&pool.generation);
        if (pthread_create(&pool.threads[pool.started], NULL, worker,
                           (void *)(intptr_t)pool.started) != 0) {
            fprintf(stderr, "check: no thread\n");
            exit(2);
        }
        pool.started++;
    }
    pool.fn = fn;
    pool.arg = arg;
    pool.n_tasks = n_tasks;
    pool.active = p->n_threads - 1;
    atomic_store(&pool.next, p->n_threads);
    atomic_store(&pool.running, pool.started);
    atomic_fetch_add(&pool.generation, 1);
    take_tasks(0);
    while (atomic_load(&pool.running) != 0) {
        sched_yield();
    }
}

static void
run_in_turn(void *ctx, int n_tasks, void (*fn)(void *arg, int task), void *arg)
{
    (void)ctx;
    for (int task = 0; task < n_tasks; task++) {
        fn(arg, task);
    }
}

const struct dlq_k_parallel *
check_threads(int n)
{
    static struct dlq_k_parallel parallels[MAX_THREADS + 1];
    static struct dlq_k_parallel in_turn;
    if (n < 0) {
        in_turn = (struct dlq_k_parallel){NULL, -n, run_in_turn};
        return &in_turn;
    }
    if (n <= 1) {
        return NULL;
    }
    parallels[n] = (struct dlq_k_parallel){&parallels[n], n, pool_run};
    return &parallels[n];
}
