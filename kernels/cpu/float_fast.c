// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "float_fast.h"

#include "rows.h"

// Two phases, one barrier between them: rows of x to fp32 panels, then column ranges of y. Compiled
// for AVX2: every level that uses it has that.

enum { CHUNK_ROWS = 96, INLINE_ELEMENTS = 16384 };

static int64_t
panel_bytes(int64_t m, int64_t k)
{
    // Panels are padded by less than a panel.
    return dlq_round_up((m + DLQ_FLOAT_ROWS) * k * (int64_t)sizeof(float), DLQ_K_ALIGN);
}

static int64_t
scale_bytes(int64_t m)
{
    return dlq_round_up((m + DLQ_FLOAT_ROWS) * (int64_t)sizeof(float), DLQ_K_ALIGN);
}

int64_t
dlq_float_workspace(int64_t k, int64_t max_m, int n_threads)
{
    const int64_t row = dlq_round_up(k * (int64_t)sizeof(float), DLQ_K_ALIGN);
    return panel_bytes(max_m, k) + scale_bytes(max_m) + row * (n_threads > 1 ? n_threads : 1);
}

static void
load_panel(const struct dlq_float_run *run, int64_t panel, float *row)
{
    const int64_t k = run->source->k;
    float *to = run->a + panel * run->rows * k;
    for (int r = 0; r < run->rows; r++) {
        const int64_t m = panel * run->rows + r;
        if (m < run->call->m) {
            run->source->load_row(run, m, run->rows == 1 ? to : row, &run->row_scales[m]);
        } else {
            memset(row, 0, (size_t)k * sizeof(*row));
        }
        for (int64_t i = 0; run->rows > 1 && i < k; i++) {
            to[i * run->rows + r] = row[i];
        }
    }
}

static void
load_task(void *arg, int task)
{
    const struct dlq_float_run *run = arg;
    float *row = run->rows_of_tasks + task * (dlq_round_up(run->source->k * 4, DLQ_K_ALIGN) / 4);
    const int64_t end = dlq_task_begin(run->panels, task + 1, run->load_tasks);
    for (int64_t p = dlq_task_begin(run->panels, task, run->load_tasks); p < end; p++) {
        load_panel(run, p, row);
    }
}

// Scales of rows and columns as one factor, then bias and rounding.
static void
finish(const struct dlq_float_run *run, int64_t m0, int64_t rows, int64_t block, int n_blocks,
       float *c)
{
    const struct dlq_float_source *source = run->source;
    for (int b = 0; b < n_blocks && source->factors != NULL; b++) {
        const float *factors = source->factors(source->w, block + b);
        for (int64_t r = 0; r < rows; r++) {
            const float row = run->row_scales[m0 + r];
            float *sums = c + r * DLQ_FLOAT_UNIT + b * 16;
            for (int i = 0; i < 16; i++) {
                sums[i] *= row * factors[i];
            }
        }
    }
    const int64_t columns = source->n - block * 16;
    dlq_rows_finish_avx2(run->call, m0, rows, block * 16,
                         columns < DLQ_FLOAT_UNIT ? columns : DLQ_FLOAT_UNIT, c, DLQ_FLOAT_UNIT);
}

static void
multiply_unit(const struct dlq_float_run *run, int64_t first_panel, int64_t n_panels, int64_t unit)
{
    const struct dlq_float_source *source = run->source;
    const dlq_float_tile tile = run->level->tiles[run->rows - 1];
    const int64_t block = unit * 4;
    const int n_blocks = (int)(source->blocks - block < 4 ? source->blocks - block : 4);
    float c[(CHUNK_ROWS + DLQ_FLOAT_ROWS) * DLQ_FLOAT_UNIT] __attribute__((aligned(64)));
    float decoded[4 * DLQ_FLOAT_DEPTH * 16] __attribute__((aligned(64)));
    const bool direct = source->in_place != NULL && n_blocks == 4;
    if (n_blocks < 4) {
        memset(decoded, 0, sizeof(decoded));
    }
    for (int64_t k0 = 0; k0 < source->k; k0 += DLQ_FLOAT_DEPTH) {
        const int64_t left = source->k - k0;
        const int64_t count = left < DLQ_FLOAT_DEPTH ? left : DLQ_FLOAT_DEPTH;
        const float *b = decoded;
        int64_t stride = DLQ_FLOAT_DEPTH * 16;
        if (direct) {
            b = source->in_place(source->w, block, k0);
            stride = source->in_place(source->w, block + 1, k0) - b;
        }
        for (int i = 0; i < n_blocks && !direct; i++) {
            source->decode(source->w, block + i, k0, count, decoded + i * DLQ_FLOAT_DEPTH * 16);
        }
        for (int64_t p = 0; p < n_panels; p++) {
            const float *a = run->a + ((first_panel + p) * source->k + k0) * run->rows;
            tile(count, a, b, stride, k0 == 0, c + p * run->rows * DLQ_FLOAT_UNIT);
        }
    }
    const int64_t m0 = first_panel * run->rows;
    const int64_t rows = run->call->m - m0;
    finish(run, m0, rows < n_panels * run->rows ? rows : n_panels * run->rows, block, n_blocks, c);
}

static void
multiply_task(void *arg, int task)
{
    const struct dlq_float_run *run = arg;
    const int64_t first_panel = task / run->col_tasks * run->chunk;
    const int64_t left = run->panels - first_panel;
    const int column = (int)(task % run->col_tasks);
    const int64_t end = dlq_task_begin(run->col_units, column + 1, (int)run->col_tasks);
    for (int64_t u = dlq_task_begin(run->col_units, column, (int)run->col_tasks); u < end; u++) {
        multiply_unit(run, first_panel, left < run->chunk ? left : run->chunk, u);
    }
}

void
dlq_float_apply(const struct dlq_float_source *source, const struct dlq_float_level *level,
                const struct dlq_k_linear_call *call, float tensor_max)
{
    struct dlq_float_run run = {
        .source = source, .level = level, .call = call, .tensor_max = tensor_max};
    const int threads = dlq_k_parallel_threads(call->parallel);
    run.rows = dlq_panel_rows(call->m, DLQ_FLOAT_ROWS);
    run.panels = (call->m + run.rows - 1) / run.rows;
    run.chunk = CHUNK_ROWS / run.rows;
    run.a = call->workspace;
    run.row_scales = (float *)(void *)((char *)call->workspace + panel_bytes(call->m, source->k));
    run.rows_of_tasks = (float *)(void *)((char *)run.row_scales + scale_bytes(call->m));
    run.load_tasks = call->m * source->k <= INLINE_ELEMENTS ? 1 : threads;
    dlq_k_parallel_run(call->parallel, run.load_tasks, load_task, &run);

    run.col_units = (source->blocks + 3) / 4;
    const int64_t wanted = threads > 1 ? threads * 4 : 1;
    run.col_tasks = run.col_units < wanted ? run.col_units : wanted;
    const int64_t row_tasks = (run.panels + run.chunk - 1) / run.chunk;
    dlq_k_parallel_run(call->parallel, (int)(row_tasks * run.col_tasks), multiply_task, &run);
}
