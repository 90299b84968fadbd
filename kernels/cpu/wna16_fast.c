// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "wna16_fast.h"
#include "rows.h"

// Each task makes fixed point of its rows of x, then runs them through its columns of y.

// Units that a task should at least get: whole ones leave the fast threads waiting for the slow.
enum { FEW_UNITS = 8 };

static int64_t
factor_bytes(const struct dlq_wna16_run *run, int64_t panels)
{
    return dlq_round_up(panels * run->w->groups * run->rows * 4, DLQ_K_ALIGN);
}

static int64_t
part_bytes(const struct dlq_wna16_run *run, int64_t panels)
{
    return panels * run->w->groups * run->group_bytes + 2 * factor_bytes(run, panels);
}

static void
run_init(struct dlq_wna16_run *run, const struct dlq_wna16_level *level,
         const struct dlq_k_wna16 *w, enum dlq_k_wna16_arithmetic arithmetic, int64_t m)
{
    // A code less its zero point takes nine bits.
    const bool one_limb = arithmetic == DLQ_K_WNA16_INT8 || arithmetic == DLQ_K_WNA16_I8_TOKEN;
    *run = (struct dlq_wna16_run){.w = w,
                                  .arithmetic = arithmetic,
                                  .limbs = one_limb ? 1 : 2,
                                  .unit_blocks = 4,
                                  .codes_cost = DLQ_GRID_CODES,
                                  .quantize = dlq_wna16_quantize};
    level->choose(w, run->limbs, m, run);
    run->panels = (m + run->rows - 1) / run->rows;
    const bool pairs = run->format == DLQ_WNA16_PAIRS || run->format == DLQ_WNA16_PAIR_ROWS;
    const int bytes = pairs ? 2 : run->limbs;
    run->group_bytes = dlq_round_up(w->group_k * bytes * run->rows, DLQ_K_ALIGN);
}

int64_t
dlq_wna16_fast_workspace(const struct dlq_wna16_level *level, const struct dlq_k_wna16 *w,
                         enum dlq_k_wna16_arithmetic arithmetic, int64_t max_m, int n_threads)
{
    // Panels of small products may be padded more than those of large ones: ask each row count up
    // to where the choice no longer changes.
    int64_t most = 0;
    for (int64_t m = max_m > 64 ? max_m - 32 : 1; m <= max_m; m++) {
        struct dlq_wna16_run run;
        run_init(&run, level, w, arithmetic, m);
        const int64_t panels = dlq_grid_most_panels(n_threads, run.panels, run.chunk);
        // Factors of each slot are rounded up.
        const int64_t slots = run.panels > n_threads ? run.panels : n_threads;
        const int64_t bytes = part_bytes(&run, panels) + slots * 2 * DLQ_K_ALIGN;
        most = bytes > most ? bytes : most;
    }
    return most;
}

void
dlq_wna16_finish_columns(const struct dlq_wna16_run *run, const struct dlq_wna16_part *part,
                         int64_t panel, int64_t n_panels, int64_t block, const float *c,
                         int64_t columns)
{
    const int64_t m0 = (part->panel + panel) * run->rows;
    const int64_t left = run->call->m - m0;
    const int64_t left_columns = run->w->shape.n - block * 16;
    DLQ_ROWS(finish)
    (run->call, m0, left < n_panels * run->rows ? left : n_panels * run->rows, block * 16,
     left_columns < columns ? left_columns : columns, c, columns);
}

void
dlq_wna16_finish(const struct dlq_wna16_run *run, const struct dlq_wna16_part *part, int64_t panel,
                 int64_t n_panels, int64_t block, const float *c)
{
    dlq_wna16_finish_columns(run, part, panel, n_panels, block, c, DLQ_WNA16_UNIT);
}

static void
run_rows(struct dlq_wna16_run *run, int row, uint8_t *slot)
{
    const int n_rows = run->grid.row_tasks;
    const int64_t most_panels = (run->panels + n_rows - 1) / n_rows;
    struct dlq_wna16_part part = {.panel = dlq_task_begin(run->panels, row, n_rows), .codes = slot};
    part.n_panels = dlq_task_begin(run->panels, row + 1, n_rows) - part.panel;
    const bool whole = run->format == DLQ_WNA16_LIMBS || run->format == DLQ_WNA16_LIMB_ROWS;
    part.panel_step = whole ? run->w->groups : 1;
    part.group_step = whole ? 1 : part.n_panels;
    uint8_t *factors = slot + most_panels * run->w->groups * run->group_bytes;
    part.sx = (float *)(void *)factors;
    part.sums = (int32_t *)(void *)(factors + factor_bytes(run, most_panels));
    run->quantize(run, &part);
    for (int64_t u = dlq_grid_next_unit(&run->grid, row, -1); u < run->grid.units;
         u = dlq_grid_next_unit(&run->grid, row, u)) {
        const int64_t block = u * run->unit_blocks;
        const int64_t left = run->w->blocks - block;
        part.next_block = dlq_grid_unit_after(&run->grid, u) * run->unit_blocks;
        run->product(run, &part, block, left < run->unit_blocks ? (int)left : run->unit_blocks);
    }
}

static void
task_run(void *arg, int task)
{
    struct dlq_wna16_run *run = arg;
    uint8_t *slot = run->slots + task * run->slot_bytes;
    int row = task / run->grid.col_tasks;
    row = dlq_grid_left(&run->grid, row) > 0 ? row : dlq_grid_help(&run->grid);
    for (; row >= 0; row = dlq_grid_help(&run->grid)) {
        run_rows(run, row, slot);
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
    const int threads = dlq_k_parallel_threads(call->parallel);
    run.call = call;
    dlq_grid_choose(&run.grid, threads, run.panels, run.chunk, (w->blocks + 3) / 4, run.codes_cost);
    if (run.halves && threads > 1 && run.grid.units <= FEW_UNITS * run.grid.col_tasks) {
        run.unit_blocks = 2;
        run.grid.units = (w->blocks + 1) / 2;
    }
    run.slots = call->workspace;
    run.slot_bytes =
        threads > 1 ? part_bytes(&run, (run.panels + run.grid.row_tasks - 1) / run.grid.row_tasks)
                    : 0;
    dlq_k_parallel_run(call->parallel, run.grid.row_tasks * run.grid.col_tasks, task_run, &run);
    return DLQ_K_OK;
}
