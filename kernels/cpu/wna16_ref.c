// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "call.h"
#include "ranges.h"
#include "w8a8.h"
#include "wna16.h"
#include "wna16_layout.h"

// Plain C: x as it is, products and sums in fp64, one rounding at the end. Where x becomes int8
// codes, exact sums of a group and fp32 over the groups: the definition that all levels meet.

enum { ROWS = 8 }; // rows of x that share one decoded group

static int64_t
workspace_size(const struct dlq_k_wna16 *w, enum dlq_k_wna16_arithmetic arithmetic, int64_t max_m,
               int n_threads)
{
    (void)arithmetic;
    (void)n_threads;
    // Behind the rows the scale of each.
    return dlq_round_up(max_m * (w->groups * w->group_k + 1) * (int64_t)sizeof(float), DLQ_K_ALIGN);
}

struct job {
    const struct dlq_k_wna16 *w;
    const struct dlq_k_linear_call *call;
    bool i8;
    struct dlq_k_w8a8 quantizer; ///< Where i8
    int n_tasks;
};

static float *
row_scales(const struct job *job)
{
    return (float *)job->call->workspace + job->call->m * job->w->groups * job->w->group_k;
}

static struct dlq_w8a8_codes
choose_codes(const struct job *job, int64_t m)
{
    const struct dlq_k_linear_call *call = job->call;
    float own[2];
    const float *range = own;
    if (call->ranges != NULL) {
        range = call->ranges + 2 * m;
    } else {
        dlq_row_range(dlq_call_x(call, m), call->x_dtype, job->w->shape.k, own);
    }
    return dlq_w8a8_choose_codes(&job->quantizer, range[0], range[1]);
}

// The code of dlq_k_w8a8_quantize_share less its zero point.
static float
code_of(const struct dlq_w8a8_codes *c, float x)
{
    if (c->factor == 0.0f) {
        return 0.0f;
    }
    const float t = rintf(x * c->factor) + (float)c->azp;
    return (t < -128.0f ? -128.0f : t > 127.0f ? 127.0f : t) - (float)c->azp;
}

// x in the order of the packed rows, with zeros for padding.
static void
gather_task(void *arg, int task)
{
    const struct job *job = arg;
    const struct dlq_k_wna16 *w = job->w;
    const int32_t *order = dlq_wna16_order(w);
    const int64_t row_size = w->groups * w->group_k;
    const int64_t end = dlq_task_begin(job->call->m, task + 1, job->n_tasks);
    for (int64_t m = dlq_task_begin(job->call->m, task, job->n_tasks); m < end; m++) {
        const void *x = dlq_call_x(job->call, m);
        float *out = (float *)job->call->workspace + m * row_size;
        struct dlq_w8a8_codes codes = {0};
        if (job->i8) {
            codes = choose_codes(job, m);
            row_scales(job)[m] = codes.scale;
        }
        for (int64_t g = 0; g < w->groups; g++, out += w->group_k) {
            int64_t count = w->group_k;
            const int64_t first = order == NULL ? dlq_wna16_group_rows(w, g, &count) : 0;
            for (int64_t i = 0; i < w->group_k; i++) {
                const int64_t k = order != NULL ? order[g * w->group_k + i]
                                  : i < count   ? first + i
                                                : -1;
                out[i] = k >= 0 ? dlq_k_load_f32(x, job->call->x_dtype, k) : 0.0f;
                out[i] = job->i8 ? code_of(&codes, out[i]) : out[i];
            }
        }
    }
}

// `row_scales`: NULL where x is as it is; else sums are integers, and acc has floats.
static void
accumulate_group(const struct dlq_k_wna16 *w, int64_t block, int64_t group, const float *x,
                 int64_t x_stride, int64_t rows, const float *row_scales, double (*acc)[16])
{
    const uint8_t *codes = dlq_wna16_codes(w, block, group);
    const uint8_t *zeros = dlq_wna16_zeros(w, block, group);
    const uint8_t *scales = dlq_wna16_scales(w, block, group);
    double sum[ROWS][16] = {{0}};
    for (int64_t i = 0; i < w->group_k; i++) {
        double d[16];
        for (int c = 0; c < 16; c++) {
            d[c] = dlq_wna16_code(codes, w->code_bits, i, c) - zeros[c];
        }
        for (int64_t r = 0; r < rows; r++) {
            const double v = x[r * x_stride + i];
            for (int c = 0; c < 16; c++) {
                sum[r][c] += v * d[c];
            }
        }
    }
    for (int c = 0; c < 16; c++) {
        const double s = dlq_k_load_f32(scales, w->scale_dtype, c);
        for (int64_t r = 0; r < rows; r++) {
            if (row_scales == NULL) {
                acc[r][c] += s * sum[r][c];
            } else {
                const float t = (float)sum[r][c] * row_scales[r];
                acc[r][c] = (double)fmaf(t, (float)s, (float)acc[r][c]);
            }
        }
    }
}

static void
product_task(void *arg, int task)
{
    const struct job *job = arg;
    const struct dlq_k_wna16 *w = job->w;
    const struct dlq_k_linear_call *call = job->call;
    const int64_t row_size = w->groups * w->group_k;
    const int64_t end = dlq_task_begin(w->blocks, task + 1, job->n_tasks);
    for (int64_t b = dlq_task_begin(w->blocks, task, job->n_tasks); b < end; b++) {
        for (int64_t m0 = 0; m0 < call->m; m0 += ROWS) {
            const int64_t rows = call->m - m0 < ROWS ? call->m - m0 : ROWS;
            const float *x = (const float *)call->workspace + m0 * row_size;
            const float *scales = job->i8 ? row_scales(job) + m0 : NULL;
            double acc[ROWS][16] = {{0}};
            for (int64_t g = 0; g < w->groups; g++) {
                accumulate_group(w, b, g, x + g * w->group_k, row_size, rows, scales, acc);
            }
            for (int64_t r = 0; r < rows; r++) {
                for (int c = 0; c < 16 && b * 16 + c < w->shape.n; c++) {
                    const double y = acc[r][c] + (double)dlq_call_bias(call, b * 16 + c);
                    dlq_k_store_f32(dlq_call_y(call, m0 + r), call->y_dtype, b * 16 + c, (float)y);
                }
            }
        }
    }
}

static int
apply(const struct dlq_k_wna16 *w, enum dlq_k_wna16_arithmetic arithmetic,
      const struct dlq_k_linear_call *call)
{
    const int result = dlq_call_check(call, w->shape.k, w->shape.n);
    if (result != DLQ_K_OK || call->m == 0) {
        return result;
    }
    struct job job = {.w = w,
                      .call = call,
                      .i8 = dlq_k_wna16_is_i8(arithmetic),
                      .n_tasks = dlq_k_parallel_threads(call->parallel)};
    job.quantizer.activation =
        arithmetic == DLQ_K_WNA16_I8_TOKEN ? DLQ_K_W8A8_TOKEN : DLQ_K_W8A8_TOKEN_AZP;
    dlq_k_parallel_run(call->parallel, job.n_tasks, gather_task, &job);
    dlq_k_parallel_run(call->parallel, job.n_tasks, product_task, &job);
    return DLQ_K_OK;
}

void
dlq_wna16_init_ref(struct dlq_k_wna16_ops *ops)
{
    *ops = (struct dlq_k_wna16_ops){"c", workspace_size, apply, false};
}
