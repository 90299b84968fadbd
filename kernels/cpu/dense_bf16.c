// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "dense_bf16.h"

#include "rows.h"

// Compiled for AVX2: every level that uses it has that.

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
dlq_bf16_workspace(dlq_bf16_choose choose, const struct dlq_k_dense *w, int64_t max_m,
                   int n_threads)
{
    // Panels of small products may be padded more than those of large ones.
    int64_t most = 0;
    for (int64_t m = max_m > 64 ? max_m - 32 : 1; m <= max_m; m++) {
        struct dlq_bf16_run run;
        run_init(&run, choose, w, m);
        const int64_t panels = dlq_grid_most_panels(n_threads, run.panels, run.chunk);
        const int64_t bytes = panels * panel_elements(&run) * 2;
        most = bytes > most ? bytes : most;
    }
    return dlq_round_up(most, DLQ_K_ALIGN);
}

// Row `row` of a panel of a part, zeros past k.
static void
load_row(const struct dlq_bf16_run *run, const struct dlq_bf16_part *part, int64_t panel, int row)
{
    const struct dlq_k_dense *w = run->w;
    const int64_t m = (part->panel + panel) * run->rows + row;
    uint16_t *out = part->x + panel * panel_elements(run);
    const uint16_t *x = m < run->call->m ? dlq_call_x(run->call, m) : NULL;
    for (int64_t k = 0; k < w->k_padded; k += 32) {
        uint16_t *to = out + (k / 32 * run->rows + row) * 32;
        int64_t count = 0;
        if (x != NULL) {
            count = w->k - k < 32 ? w->k - k : 32;
            memcpy(to, x + k, (size_t)count * sizeof(*to));
        }
        memset(to + count, 0, (size_t)(32 - count) * sizeof(*to));
    }
}

static void
run_rows(struct dlq_bf16_run *run, int range, uint16_t *slot)
{
    float c[DLQ_BF16_CHUNK_ROWS * DLQ_BF16_UNIT] __attribute__((aligned(64)));
    const int n_ranges = run->grid.row_tasks;
    struct dlq_bf16_part part = {.panel = dlq_task_begin(run->panels, range, n_ranges), .x = slot};
    part.n_panels = dlq_task_begin(run->panels, range + 1, n_ranges) - part.panel;
    for (int64_t i = 0; i < part.n_panels * run->rows; i++) {
        load_row(run, &part, i / run->rows, (int)(i % run->rows));
    }
    const int64_t m0 = part.panel * run->rows;
    const int64_t left = run->call->m - m0;
    const int64_t n_rows = left < part.n_panels * run->rows ? left : part.n_panels * run->rows;
    for (int64_t u = dlq_grid_next_unit(&run->grid, range, -1); u < run->grid.units;
         u = dlq_grid_next_unit(&run->grid, range, u)) {
        const int64_t block = u * 4;
        const int n_blocks = (int)(run->w->blocks - block < 4 ? run->w->blocks - block : 4);
        part.next_block = 4 * dlq_grid_unit_after(&run->grid, u);
        run->product(run, &part, block, n_blocks, c);
        const int64_t columns = run->w->n - block * 16;
        dlq_rows_finish_avx2(run->call, m0, n_rows, block * 16,
                             columns < DLQ_BF16_UNIT ? columns : DLQ_BF16_UNIT, c, DLQ_BF16_UNIT);
    }
}

static void
task_run(void *arg, int task)
{
    struct dlq_bf16_run *run = arg;
    uint16_t *slot = run->slots + task * run->slot_panels * panel_elements(run);
    int range = task / run->grid.col_tasks;
    range = dlq_grid_left(&run->grid, range) > 0 ? range : dlq_grid_help(&run->grid);
    for (; range >= 0; range = dlq_grid_help(&run->grid)) {
        run_rows(run, range, slot);
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
    dlq_grid_choose(&run.grid, threads, run.panels, run.chunk, (w->blocks + 3) / 4, DLQ_GRID_CODES);
    run.slots = call->workspace;
    run.slot_panels = threads > 1 ? (run.panels + run.grid.row_tasks - 1) / run.grid.row_tasks : 0;
    dlq_k_parallel_run(call->parallel, run.grid.row_tasks * run.grid.col_tasks, task_run, &run);
}
