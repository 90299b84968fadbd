// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "call.h"
#include "fp.h"

// Plain C: quantized x and dequantized weights, products and sums in fp64.

static int64_t
row_bytes(const struct dlq_k_fp *w)
{
    return dlq_round_up((w->shape.k + 1) * (int64_t)sizeof(float), DLQ_K_ALIGN);
}

static int64_t
workspace_size(const struct dlq_k_fp *w, int64_t max_m, int n_threads)
{
    (void)n_threads;
    return max_m * row_bytes(w);
}

struct job {
    const struct dlq_k_fp *w;
    const struct dlq_k_linear_call *call;
    float tensor_max;
    int n_tasks;
};

// A row of values, then its scale.
static float *
row_of(const struct job *job, int64_t m)
{
    return (float *)(void *)((char *)job->call->workspace + m * row_bytes(job->w));
}

static void
quantize_task(void *arg, int task)
{
    const struct job *job = arg;
    const int64_t k = job->w->shape.k;
    const int64_t end = dlq_task_begin(job->call->m, task + 1, job->n_tasks);
    for (int64_t m = dlq_task_begin(job->call->m, task, job->n_tasks); m < end; m++) {
        float *row = row_of(job, m);
        dlq_fp_load_row(job->w, job->call, m, job->tensor_max, row, row + k);
    }
}

static void
decode_group(const struct dlq_k_fp *w, int64_t block, int64_t g, int64_t i, double out[16])
{
    const uint8_t *codes = dlq_fp_group(w, block, g);
    for (int c = 0; c < 16; c++) {
        const float v =
            w->shape.dtype == DLQ_F4_E2M1
                ? dlq_k_e2m1_to_f32((uint8_t)(codes[i / 2 * 16 + c] >> (i % 2 * 4) & 15))
                : dlq_k_e4m3_to_f32(codes[i * 16 + c]);
        out[c] = (double)v * (double)dlq_fp_scale(w, block, g, c);
    }
}

static void
product_task(void *arg, int task)
{
    enum { ROWS = 8 }; // rows of x that share decoded weights
    const struct job *job = arg;
    const struct dlq_k_fp *w = job->w;
    const struct dlq_k_linear_call *call = job->call;
    const int64_t end = dlq_task_begin(w->blocks, task + 1, job->n_tasks);
    for (int64_t b = dlq_task_begin(w->blocks, task, job->n_tasks); b < end; b++) {
        const float *factors = dlq_fp_factors(w, b);
        for (int64_t m0 = 0; m0 < call->m; m0 += ROWS) {
            const int64_t rows = call->m - m0 < ROWS ? call->m - m0 : ROWS;
            double acc[ROWS][16] = {{0}};
            for (int64_t k = 0; k < w->shape.k; k++) {
                double v[16];
                decode_group(w, b, k / w->shape.group, k % w->shape.group, v);
                for (int64_t r = 0; r < rows; r++) {
                    const double x = (double)row_of(job, m0 + r)[k];
                    for (int c = 0; c < 16; c++) {
                        acc[r][c] += x * v[c];
                    }
                }
            }
            for (int64_t r = 0; r < rows; r++) {
                const float row_scale = row_of(job, m0 + r)[w->shape.k];
                for (int c = 0; c < 16 && b * 16 + c < w->shape.n; c++) {
                    const float scale = row_scale * factors[c];
                    const double y =
                        acc[r][c] * (double)scale + (double)dlq_call_bias(call, b * 16 + c);
                    dlq_k_store_f32(dlq_call_y(call, m0 + r), call->y_dtype, b * 16 + c, (float)y);
                }
            }
        }
    }
}

static int
apply(const struct dlq_k_fp *w, const struct dlq_k_linear_call *call)
{
    const int result = dlq_call_check(call, w->shape.k, w->shape.n);
    if (result != DLQ_K_OK || call->m == 0) {
        return result;
    }
    struct job job = {w, call, dlq_fp_tensor_max(w, call), dlq_k_parallel_threads(call->parallel)};
    dlq_k_parallel_run(call->parallel, job.n_tasks, quantize_task, &job);
    dlq_k_parallel_run(call->parallel, job.n_tasks, product_task, &job);
    return DLQ_K_OK;
}

void
dlq_fp_init_ref(struct dlq_k_fp_ops *ops)
{
    *ops = (struct dlq_k_fp_ops){"c", workspace_size, apply};
}
