// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "int8_rows.h"

static int64_t
round_up(int64_t bytes)
{
    return (bytes + DLQ_K_ALIGN - 1) / DLQ_K_ALIGN * DLQ_K_ALIGN;
}

static int64_t
rows_bytes(const struct dlq_k_w8a8 *quantizer, int64_t m)
{
    return round_up(m * quantizer->k * (int64_t)sizeof(float));
}

int64_t
ct_int8_rows_workspace(const struct dlq_k_w8a8 *quantizer, int64_t max_m, int n_threads)
{
    return rows_bytes(quantizer, max_m) + n_threads * round_up(quantizer->k);
}

struct job {
    const struct dlq_k_w8a8 *quantizer;
    const struct dlq_k_linear_call *call;
    float *rows;
    int8_t *codes; ///< A run of round_up(k) a task
    int n_tasks;
};

static void
quantize_task(void *arg, int task)
{
    const struct job *const job = arg;
    const struct dlq_k_linear_call *const call = job->call;
    const int64_t k = job->quantizer->k;
    const int64_t element = DLQ_DTYPE_BITS(call->x_dtype) / 8;
    int8_t *const codes = job->codes + task * round_up(k);
    for (int64_t m = task; m < call->m; m += job->n_tasks) {
        const char *const x = (const char *)call->x + m * call->x_stride * element;
        float scale = 0.0F;
        int32_t azp = 0;
        dlq_k_w8a8_quantize_row(job->quantizer, x, call->x_dtype, codes, &scale, &azp);
        for (int64_t i = 0; i < k; i++) {
            job->rows[m * k + i] = (float)(codes[i] - azp) * scale;
        }
    }
}

void
ct_int8_rows_quantize(const struct dlq_k_w8a8 *quantizer, struct dlq_k_linear_call *call,
                      void *workspace)
{
    struct job job = {
        .quantizer = quantizer,
        .call = call,
        .rows = workspace,
        .codes = (int8_t *)workspace + rows_bytes(quantizer, call->m),
        .n_tasks = dlq_k_parallel_threads(call->parallel),
    };
    dlq_k_parallel_run(call->parallel, job.n_tasks, quantize_task, &job);
    call->x = job.rows;
    call->x_stride = quantizer->k;
    call->x_dtype = DLQ_F32;
}

void
ct_int8_rows_inspect(const struct dlq_k_w8a8 *quantizer, uint32_t x_dtype, const void *x, int64_t m,
                     int8_t *codes, float *scales, int32_t *zero_points)
{
    const int64_t k = quantizer->k;
    const int64_t row = k * (int64_t)(DLQ_DTYPE_BITS(x_dtype) / 8);
    for (int64_t i = 0; i < m; i++) {
        int32_t azp = 0;
        dlq_k_w8a8_quantize_row(quantizer, (const char *)x + i * row, x_dtype, codes + i * k,
                                &scales[i], &azp);
        if (zero_points) {
            zero_points[i] = azp;
        }
    }
}
