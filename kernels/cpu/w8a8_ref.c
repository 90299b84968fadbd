// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "call.h"
#include "ranges.h"
#include "w8a8.h"

// Plain C over the definitions in w8a8.c. Workspace: codes, accumulators, scales of all rows.

static int64_t
workspace_size(const struct dlq_k_w8a8 *w, int64_t max_m, int n_threads)
{
    (void)n_threads;
    return max_m * (dlq_round_up(w->k, DLQ_K_ALIGN) + dlq_round_up(w->n * 4, DLQ_K_ALIGN));
}

struct job {
    const struct dlq_k_w8a8 *w;
    const struct dlq_k_linear_call *call;
    int32_t *sums;           // What to make instead of y, or NULL
    const int32_t *finished; // What to make y of, or NULL
    int n_tasks;
};

static void
finish_row(const struct job *job, int64_t m, float scale, const int32_t *sums)
{
    const struct dlq_k_linear_call *call = job->call;
    for (int64_t n = 0; n < job->w->n; n++) {
        const float s = dlq_w8a8_tail(job->w, n / 16)->scale[n % 16] * scale;
        const float product = (float)sums[n] * s;
        const float y = call->bias != NULL ? product + dlq_call_bias(call, n) : product;
        dlq_k_store_f32(dlq_call_y(call, m), call->y_dtype, n, y);
    }
}

static void
row_task(void *arg, int task)
{
    const struct job *job = arg;
    const struct dlq_k_w8a8 *w = job->w;
    const struct dlq_k_linear_call *call = job->call;
    const int64_t codes_bytes = dlq_round_up(w->k, DLQ_K_ALIGN);
    const int64_t row_bytes = codes_bytes + dlq_round_up(w->n * 4, DLQ_K_ALIGN);
    const int64_t end = dlq_task_begin(call->m, task + 1, job->n_tasks);
    for (int64_t m = dlq_task_begin(call->m, task, job->n_tasks); m < end; m++) {
        const float *const range = call->ranges != NULL ? call->ranges + 2 * m : NULL;
        if (job->finished != NULL) {
            const float scale = dlq_w8a8_choose_codes(w, range[0], range[1]).scale;
            finish_row(job, m, scale, job->finished + m * w->n);
            continue;
        }
        int8_t *codes = (int8_t *)call->workspace + m * row_bytes;
        int32_t *acc =
            job->sums != NULL ? job->sums + m * w->n : (int32_t *)(void *)(codes + codes_bytes);
        float own[2];
        float scale = 0.0f;
        int32_t azp = 0;
        if (range == NULL) {
            dlq_row_range(dlq_call_x(call, m), call->x_dtype, w->k, own);
        }
        dlq_k_w8a8_quantize_share(w, dlq_call_x(call, m), call->x_dtype,
                                  range != NULL ? range : own, codes, &scale, &azp);
        dlq_k_w8a8_accumulate_row(w, codes, azp, acc);
        if (job->sums == NULL) {
            finish_row(job, m, scale, acc);
        }
    }
}

static int
run(const struct dlq_k_w8a8 *w, const struct dlq_k_linear_call *call, int32_t *sums,
    const int32_t *finished)
{
    const int result = dlq_call_check(call, w->k, w->n);
    if (result != DLQ_K_OK || call->m == 0) {
        return result;
    }
    struct job job = {w, call, sums, finished, dlq_k_parallel_threads(call->parallel)};
    dlq_k_parallel_run(call->parallel, job.n_tasks, row_task, &job);
    return DLQ_K_OK;
}

static int
apply(const struct dlq_k_w8a8 *w, const struct dlq_k_linear_call *call)
{
    return run(w, call, NULL, NULL);
}

static int
accumulate(const struct dlq_k_w8a8 *w, const struct dlq_k_linear_call *call, int32_t *sums)
{
    return run(w, call, sums, NULL);
}

static int
finish(const struct dlq_k_w8a8 *w, const struct dlq_k_linear_call *call, const int32_t *sums)
{
    return run(w, call, NULL, sums);
}

void
dlq_w8a8_init_ref(struct dlq_k_w8a8_ops *ops)
{
    *ops = (struct dlq_k_w8a8_ops){"c", workspace_size, apply, accumulate, finish};
}
