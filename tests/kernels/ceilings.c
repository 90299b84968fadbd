// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "bench.h"

#include <string.h>

// The ceilings of this machine on the pool of the harness, measured once for each thread count.

static void
run_tasks(void *ctx, int32_t n_tasks, void (*fn)(void *arg, int32_t task), void *arg)
{
    dlq_k_parallel_run(ctx, n_tasks, fn, arg);
}

const struct tool_ceilings *
bench_ceilings(int threads, uint32_t cpu_flags)
{
    static struct tool_ceilings known[65];
    static bool done[65];
    if (!done[threads]) {
        struct tool_ceilings *c = &known[threads];
        const struct tool_workers workers = {threads, run_tasks, (void *)check_threads(threads)};
        void *data = bench_alloc(bench_options.set_bytes + 8192);
        memset(data, 1, (size_t)bench_options.set_bytes);
        tool_ceilings_measure(c, &workers, cpu_flags, data, bench_options.set_bytes);
        bench_free(data);
        done[threads] = true;
        printf("{\"ceilings\": {\"threads\": %d, \"read_gbps\": %.1f, \"fma32_gops\": %.0f, "
               "\"bf16_dot_gops\": %.0f, \"int16_gops\": %.0f, \"int8_gops\": %.0f, "
               "\"amx_int8_gops\": %.0f, \"amx_bf16_gops\": %.0f}}\n",
               threads, c->read * 1e-9, c->fma32 * 1e-9, c->bf16_dot * 1e-9, c->int16 * 1e-9,
               c->int8 * 1e-9, c->amx_int8 * 1e-9, c->amx_bf16 * 1e-9);
        fflush(stdout);
    }
    return &known[threads];
}
