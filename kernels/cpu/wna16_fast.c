// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "wna16_fast.h"
#include "rows.h"

// Two phases, one barrier between them: rows of x to fixed point, then column ranges of y.

enum { INLINE_ELEMENTS = 16384 }; // less than a barrier costs to quantize on one thread

static int64_t
codes_bytes(const struct dlq_wna16_run *run)
{
    return dlq_round_up(run->panels * run->w->groups * run->group_bytes, DLQ_K_ALIGN);
}

static int64_t
factors_bytes(const struct dlq_wna16_run *run)
{
    return dlq_round_up(run->panels * run->w->groups * run->rows * 4, DLQ_K_ALIGN);
}

static void
run_init(struct dlq_wna16_run *run, const struct dlq_wna16_level *level,
         const struct dlq_k_wna16 *w, enum dlq_k_wna16_arithmetic arithmetic, int64_t m)
{
    // A code less its zero point takes nine bits.
    const bool one_limb = arithmetic == DLQ_K_WNA16_INT8 || arithmetic == DLQ_K_WNA16_I8_TOKEN;
    *run = (struct dlq_wna16_run){.w = w, .arithmetic = arithmetic, .limbs = one_limb ? 1 : 2};
    level->choose(w, run->limbs, m, run);
    run->panels = (m + run->rows - 1) / run->rows;
    const int bytes = run->format == DLQ_WNA16_PAIRS ? 2 : run->limbs;
    run->group_bytes = dlq_round_up(w->group_k * bytes * run->rows, DLQ_K_ALIGN);
}

int64_t
dlq_wna16_fast_workspace(const struct dlq_wna16_level *level, const struct dlq_k_wna16 *w,
                         enum dlq_k_wna16_arithmetic arithmetic, int64_t max_m)
{
    // Panels of small products may be padded more than those of large ones: ask each row count up
    // to where the choice no longer changes.
    int64_t most = 0;
    for (int64_t m = max_m > 64 ? max_m - 32 : 1; m <= max_m; m++) {
        struct dlq_wna16_run run;
        run_init(&run, level, w, arithmetic, m);
        const int64_t bytes = codes_bytes(&run) + 2 * factors_bytes(&run);
        most = bytes > most ? bytes : most;
    }
    return most;
}

static void
quantize_task(void *arg, int task)
{
    const struct dlq_wna16_run *run = arg;
    const int64_t end = dlq_task_begin(run->panels, task + 1, run->quantize_tasks);
    for (int64_t p = dlq_task_begin(run->panels, task, run->quantize_tasks); p < end; p++) {
        dlq_wna16_quantize_panel(run, p);
    }
}

static void
product_task(void *arg, int task)
{
    const struct dlq_wna16_run *run = arg;
    const int64_t first_panel = task / run->col_tasks * run->chunk;
    const int64_t left = run->panels - first_panel;
    const int64_t n_panels = left < run->chunk ? left : run->chunk;
    const int column = (int)(task % run->col_tasks);
    const int64_t end = dlq_task_begin(run->col_units, column + 1, (int)run->col_tasks);
    for (int64_t u = dlq_task_begin(run->col_units, column, (int)run->col_tasks); u < end; u++) {
        const int64_t blocks = run->w->blocks - u * 4;
        run->product(run, first_panel, n_panels, u * 4, (int)(blocks < 4 ? blocks : 4));
    }
}

int
dlq_wna16_fast_apply(const struct dlq_wna16_level *level, const struct dlq_k_wna16 *w,
                     enum dlq_k_wna16_arithmetic arithmetic, const struct dlq_k_linear_call *call)
{
    const int result = dlq_call_check(call, w->shape.k, w->shape.n);
    if (result != DLQ_K_OK || call->m == 0) {
        return result;
    }
    struct dlq_wna16_run run;
    run_init(&run, level, w, arithmetic, call->m);
    run.call = call;
    run.codes = call->workspace;
    run.sx = (float *)(void *)(run.codes + codes_bytes(&run));
    run.sums = (int32_t *)(void *)((uint8_t *)run.sx + factors_bytes(&run));

    const int threads = dlq_k_parallel_threads(call->parallel);
    run.quantize_tasks = call->m * w->shape.k <= INLINE_ELEMENTS ? 1 : threads;
    dlq_k_parallel_run(call->parallel, run.quantize_tasks, quantize_task, &run);

    run.col_units = (w->blocks + 3) / 4;
    const int64_t wanted = threads > 1 ? threads * 4 : 1;
    run.col_tasks = run.col_units < wanted ? run.col_units : wanted;
    const int64_t row_tasks = (run.panels + run.chunk - 1) / run.chunk;
    dlq_k_parallel_run(call->parallel, (int)(row_tasks * run.col_tasks), product_task, &run);
    return DLQ_K_OK;
}
