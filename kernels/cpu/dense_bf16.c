// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "dense_bf16.h"

#include "rows.h"

// Compiled for AVX2: every level that uses it has that.

enum { INLINE_ELEMENTS = 32768 };

static int64_t
panel_elements(const struct dlq_bf16_run *run)
{
    return run->w->k_padded * run->rows;
}

static void
run_init(struct dlq_bf16_run *run, dlq_bf16_choose choose, const struct dlq_k_dense *w, int64_t m)
{
    *run = (struct dlq_bf16_run){.w = w};
    choose(m, run);
    run->panels = (m + run->rows - 1) / run->rows;
}

int64_t
dlq_bf16_workspace(dlq_bf16_choose choose, const struct dlq_k_dense *w, int64_t max_m)
{
    // Panels of small products may be padded more than those of large ones.
    int64_t most = 0;
    for (int64_t m = max_m > 64 ? max_m - 32 : 1; m <= max_m; m++) {
        struct dlq_bf16_run run;
        run_init(&run, choose, w, m);
        const int64_t bytes = run.panels * panel_elements(&run) * 2;
        most = bytes > most ? bytes : most;
    }
    return dlq_round_up(most, DLQ_K_ALIGN);
}

// Row `row` of a panel: whole lines for tiles, pairs for broadcasts, zeros past k.
static void
load_row(const struct dlq_bf16_run *run, int64_t panel, int row)
{
    const struct dlq_k_dense *w = run->w;
    const int64_t m = panel * run->rows + row;
    uint16_t *out = run->x + panel * panel_elements(run);
    const uint16_t *x = m < run->call->m ? dlq_call_x(run->call, m) : NULL;
    const int step = run->tiles ? 32 : 2;
    for (int64_t k = 0; k < w->k_padded; k += step) {
        uint16_t *to = out + (k / step * run->rows + row) * step;
        const int64_t left = x != NULL ? w->k - k : 0;
        if (left >= step) {
            memcpy(to, x + k, (size_t)step * sizeof(*to));
            continue;
        }
        for (int i = 0; i < step; i++) {
            to[i] = i < left ? x[k + i] : 0;
        }
    }
}

static void
load_task(void *arg, int task)
{
    const struct dlq_bf16_run *run = arg;
    const int64_t end = dlq_task_begin(run->panels, task + 1, run->load_tasks);
    for (int64_t p = dlq_task_begin(run->panels, task, run->load_tasks); p < end; p++) {
        for (int r = 0; r < run->rows; r++) {
            load_row(run, p, r);
        }
    }
}

static void
product_task(void *arg, int task)
{
    const struct dlq_bf16_run *run = arg;
    float c[DLQ_BF16_CHUNK_ROWS * DLQ_BF16_UNIT] __attribute__((aligned(64)));
    const int64_t panel = task / run->col_tasks * run->chunk;
    const int64_t n_panels = run->panels - panel < run->chunk ? run->panels - panel : run->chunk;
    const int column = (int)(task % run->col_tasks);
    const int64_t m0 = panel * run->rows;
    const int64_t left = run->call->m - m0;
    const int64_t end = dlq_task_begin(run->col_units, column + 1, (int)run->col_tasks);
    for (int64_t u = dlq_task_begin(run->col_units, column, (int)run->col_tasks); u < end; u++) {
        const int64_t block = u * 4;
        const int n_blocks = (int)(run->w->blocks - block < 4 ? run->w->blocks - block : 4);
        run->product(run, panel, n_panels, block, n_blocks, c);
        const int64_t columns = run->w->n - block * 16;
        dlq_rows_finish_avx2(run->call, m0,
                             left < n_panels * run->rows ? left : n_panels * run->rows, block * 16,
                             columns < DLQ_BF16_UNIT ? columns : DLQ_BF16_UNIT, c, DLQ_BF16_UNIT);
    }
}

void
dlq_bf16_apply(dlq_bf16_choose choose, const struct dlq_k_dense *w,
               const struct dlq_k_linear_call *call)
{
    struct dlq_bf16_run run;
    run_init(&run, choose, w, call->m);
    const int threads = dlq_k_parallel_threads(call->parallel);
    run.call = call;
    run.x = call->workspace;
    run.load_tasks = call->m * w->k <= INLINE_ELEMENTS ? 1 : threads;
    dlq_k_parallel_run(call->parallel, run.load_tasks, load_task, &run);

    run.col_units = (w->blocks + 3) / 4;
    const int64_t wanted = threads > 1 ? threads * 4 : 1;
    run.col_tasks = run.col_units < wanted ? run.col_units : wanted;
    const int64_t row_tasks = (run.panels + run.chunk - 1) / run.chunk;
    dlq_k_parallel_run(call->parallel, (int)(row_tasks * run.col_tasks), product_task, &run);
}
