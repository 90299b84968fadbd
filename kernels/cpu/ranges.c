// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "ranges.h"
#include "call.h"
#include "rows.h"

void
dlq_row_range(const void *x, uint32_t dtype, int64_t count, float range[2])
{
    range[0] = 0.0f;
    range[1] = 0.0f;
    for (int64_t k = 0; k < count; k++) {
        const float v = dlq_k_load_f32(x, dtype, k);
        if (!dlq_k_f32_is_finite(v)) {
            range[0] = 0.0f;
            range[1] = INFINITY;
            return;
        }
        range[0] = v < range[0] ? v : range[0];
        range[1] = v > range[1] ? v : range[1];
    }
}

struct job {
    const struct dlq_k_linear_call *call;
    void (*range_of)(const void *x, uint32_t dtype, int64_t count, float range[2]);
    int64_t k;
    float *ranges;
    int n_tasks;
};

static void
range_task(void *arg, int task)
{
    const struct job *job = arg;
    const int64_t end = dlq_task_begin(job->call->m, task + 1, job->n_tasks);
    for (int64_t m = dlq_task_begin(job->call->m, task, job->n_tasks); m < end; m++) {
        job->range_of(dlq_call_x(job->call, m), job->call->x_dtype, job->k, job->ranges + 2 * m);
    }
}

void
dlq_k_row_ranges(uint32_t cpu_flags, const struct dlq_k_linear_call *call, int64_t k, float *ranges)
{
    enum { INLINE_ELEMENTS = 65536 }; // less than waking threads costs
    struct job job = {.call = call, .range_of = dlq_row_range, .k = k, .ranges = ranges};
#if defined(__x86_64__)
    job.range_of = (cpu_flags & DLQ_CPU_AVX2) != 0 ? dlq_rows_range_avx2 : dlq_row_range;
#else
    (void)cpu_flags;
#endif
    job.n_tasks = call->m * k > INLINE_ELEMENTS ? dlq_k_parallel_threads(call->parallel) : 1;
    dlq_k_parallel_run(call->parallel, job.n_tasks, range_task, &job);
}
