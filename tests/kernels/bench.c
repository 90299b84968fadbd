// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "bench.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

struct bench_options bench_options = {
    .set_bytes = (int64_t)256 << 20,
    .seconds = 0.4,
};

static double
now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int
compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

void *
bench_alloc(int64_t bytes)
{
    const size_t page = (size_t)2 << 20;
    const size_t total = ((size_t)bytes + page - 1) / page * page;
    void *p = aligned_alloc(page, total);
    if (p == NULL) {
        fprintf(stderr, "bench: out of memory\n");
        exit(2);
    }
    madvise(p, total, MADV_HUGEPAGE);
    memset(p, 0, total);
    return p;
}

void
bench_free(void *p)
{
    free(p);
}

void
bench_run(const struct bench_case *b)
{
    enum { MAX_SAMPLES = 400 };
    double us[MAX_SAMPLES];
    int n = 0;
    int copy = 0;
    b->call(b->ctx, 0); // page tables, thread start
    const double begin = now();
    while (n < MAX_SAMPLES && (n < 5 || now() - begin < bench_options.seconds)) {
        copy = (copy + 1) % b->copies;
        const double start = now();
        b->call(b->ctx, copy);
        us[n++] = (now() - start) * 1e6;
    }
    qsort(us, (size_t)n, sizeof(*us), compare_doubles);
    const double median = us[n / 2];
    const struct tool_ceilings *c = bench_ceilings(b->threads, 0);
    const double ops = 2.0 * (double)b->m * (double)b->k * (double)b->n;
    const double memory_us = (double)b->weight_bytes / c->read * 1e6;
    const double compute_us = b->peak > 0.0 ? ops / b->peak * 1e6 : 0.0;
    const double floor_us = memory_us > compute_us ? memory_us : compute_us;
    printf("{\"op\": \"%s\", \"isa\": \"%s\", \"m\": %ld, \"k\": %ld, \"n\": %ld, \"threads\": %d, "
           "\"us\": %.1f, \"best_us\": %.1f, \"gbps\": %.1f, \"gops\": %.1f, \"floor_us\": %.1f, "
           "\"floor\": \"%s\", \"ratio\": %.2f, \"err\": %.1e, \"samples\": %d}\n",
           b->op, b->level, (long)b->m, (long)b->k, (long)b->n, b->threads, median, us[0],
           (double)b->weight_bytes / median * 1e-3, ops / median * 1e-3, floor_us,
           memory_us > compute_us ? "memory" : "compute", median / floor_us, b->error, n);
    fflush(stdout);
}
