// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "call.h"
#include "dense.h"

// Plain C: products and sums in fp64, one rounding at the end.

enum { ROWS = 4 }; // rows of x that share one pass over a block

static int64_t
workspace_size(const struct dlq_k_dense *w, int64_t max_m, int n_threads)
{
    (void)n_threads;
    return dlq_round_up(max_m * w->k * (int64_t)sizeof(float), DLQ_K_ALIGN);
}

struct job {
    const struct dlq_k_dense *w;
    const struct dlq_k_linear_call *call;
    int n_tasks;
};

static void
widen_task(void *arg, int task)
{
    const struct job *job = arg;
    const int64_t k = job->w->k;
    const int64_t end = dlq_task_begin(job->call->m, task + 1, job->n_tasks);
    for (int64_t m = dlq_task_begin(job->call->m, task, job->n_tasks); m < end; m++) {
        float *out = (float *)job->call->workspace + m * k;
        for (int64_t i = 0; i < k; i++) {
            out[i] = dlq_k_load_f32(dlq_call_x(job->call, m), job->call->x_dtype, i);
        }
    }
}

static float
weight(const struct dlq_k_dense *w, int64_t block, int64_t k, int c)
{
    const void *data = w->data + block * w->block_bytes;
    const int64_t i = w->dtype == DLQ_BF16 ? k / 2 * 32 + 2 * c + k % 2 : k * 16 + c;
    return dlq_k_load_f32(data, w->dtype, i);
}

static void
product_task(void *arg, int task)
{
    const struct job *job = arg;
    const struct dlq_k_dense *w = job->w;
    const struct dlq_k_linear_call *call = job->call;
    const int64_t end = dlq_task_begin(w->blocks, task + 1, job->n_tasks);
    for (int64_t b = dlq_task_begin(w->blocks, task, job->n_tasks); b < end; b++) {
        for (int64_t m0 = 0; m0 < call->m; m0 += ROWS) {
            const int64_t rows = call->m - m0 < ROWS ? call->m - m0 : ROWS;
            const float *x = (const float *)call->workspace + m0 * w->k;
            double acc[ROWS][16] = {{0}};
            for (int64_t k = 0; k < w->k; k++) {
                double row[16];
                for (int c = 0; c < 16; c++) {
                    row[c] = (double)weight(w, b, k, c);
                }
                for (int64_t r = 0; r < rows; r++) {
                    for (int c = 0; c < 16; c++) {
                        acc[r][c] += (double)x[r * w->k + k] * row[c];
                    }
                }
            }
            for (int64_t r = 0; r < rows; r++) {
                for (int c = 0; c < 16 && b * 16 + c < w->n; c++) {
                    const double y = acc[r][c] + (double)dlq_call_bias(call, b * 16 + c);
                    dlq_k_store_f32(dlq_call_y(call, m0 + r), call->y_dtype, b * 16 + c, (float)y);
                }
            }
        }
    }
}

static int
apply(const struct dlq_k_dense *w, const struct dlq_k_linear_call *call)
{
    const int result = dlq_call_check(call, w->k, w->n);
    if (result != DLQ_K_OK || call->m == 0) {
        return result;
    }
    struct job job = {w, call, dlq_k_parallel_threads(call->parallel)};
    dlq_k_parallel_run(call->parallel, job.n_tasks, widen_task, &job);
    dlq_k_parallel_run(call->parallel, job.n_tasks, product_task, &job);
    return DLQ_K_OK;
}

void
dlq_dense_init_ref(struct dlq_k_dense_ops *ops)
{
    *ops = (struct dlq_k_dense_ops){"c", workspace_size, apply};
}
