// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "w8a8_fast.h"

#include "rows.h"

enum { INLINE_ELEMENTS = 16384 };

static void
run_init(struct dlq_w8a8_run *run, const struct dlq_w8a8_level *level, const struct dlq_k_w8a8 *w,
         int64_t m)
{
    *run = (struct dlq_w8a8_run){.w = w};
    level->choose(m, run);
    run->panels = (m + run->rows - 1) / run->rows;
    run->panel_bytes = dlq_round_up(
        w->k_padded * run->rows * (run->format == DLQ_W8A8_PAIRS ? 2 : 1), DLQ_K_ALIGN);
}

static int64_t
rows_bytes(const struct dlq_w8a8_run *run, int64_t panels)
{
    return dlq_round_up(panels * run->rows * (int64_t)sizeof(struct dlq_w8a8_row), DLQ_K_ALIGN);
}

static int64_t
part_bytes(const struct dlq_w8a8_run *run, int64_t panels)
{
    return panels * run->panel_bytes + rows_bytes(run, panels) +
           dlq_round_up(run->w->k_padded * (int64_t)sizeof(float), DLQ_K_ALIGN);
}

int64_t
dlq_w8a8_fast_workspace(const struct dlq_w8a8_level *level, const struct dlq_k_w8a8 *w,
                        int64_t max_m, int n_threads)
{
    // Panels of small products may be padded more than those of large ones.
    int64_t most = 0;
    for (int64_t m = max_m > 64 ? max_m - 32 : 1; m <= max_m; m++) {
        struct dlq_w8a8_run run;
        run_init(&run, level, w, m);
        const int64_t panels = dlq_grid_most_panels(n_threads, run.panels, run.chunk);
        // Each slot has its own buffer, and rounds up.
        const int64_t slots = run.panels > n_threads ? run.panels : n_threads;
        const int64_t bytes =
            part_bytes(&run, panels) + slots * (part_bytes(&run, 0) + DLQ_K_ALIGN);
        most = bytes > most ? bytes : most;
    }
    return most;
}

// Exact sums of a unit to y; `row` has the scales of the rows. Overwrites the sums.
static void
finish_unit(const struct dlq_k_w8a8 *w, const struct dlq_k_linear_call *call, int64_t m0,
            int64_t rows, int64_t block, int n_blocks, const struct dlq_w8a8_row *row, int32_t *c)
{
    const int64_t columns = w->n - block * 16;
    DLQ_SIMD(dlq_w8a8_scale)(w, row, rows, block, n_blocks, c);
    DLQ_ROWS(finish)
    (call, m0, rows, block * 16, columns < DLQ_W8A8_UNIT ? columns : DLQ_W8A8_UNIT,
     (const float *)(const void *)c, DLQ_W8A8_UNIT);
}

// A unit's columns of sums [m, n] from or to the unit's own rows.
static void
copy_sums(const struct dlq_k_w8a8 *w, int64_t m0, int64_t rows, int64_t block, const int32_t *from,
          int32_t *to, bool to_unit)
{
    const int64_t left = w->n - block * 16;
    const size_t bytes = (size_t)(left < DLQ_W8A8_UNIT ? left : DLQ_W8A8_UNIT) * sizeof(*from);
    for (int64_t r = 0; r < rows; r++) {
        const int64_t whole = (m0 + r) * w->n + block * 16;
        const int64_t unit = r * DLQ_W8A8_UNIT;
        memcpy(to + (to_unit ? unit : whole), from + (to_unit ? whole : unit), bytes);
    }
}

static void
run_rows(struct dlq_w8a8_run *run, int range, uint8_t *slot)
{
    int32_t c[DLQ_W8A8_CHUNK_ROWS * DLQ_W8A8_UNIT] __attribute__((aligned(64)));
    const int n_ranges = run->grid.row_tasks;
    const int64_t most_panels = (run->panels + n_ranges - 1) / n_ranges;
    struct dlq_w8a8_part part = {.panel = dlq_task_begin(run->panels, range, n_ranges),
                                 .codes = slot};
    part.n_panels = dlq_task_begin(run->panels, range + 1, n_ranges) - part.panel;
    uint8_t *rows = slot + most_panels * run->panel_bytes;
    part.row = (struct dlq_w8a8_row *)(void *)rows;
    part.buffer = (float *)(void *)(rows + rows_bytes(run, most_panels));
    run->quantize(run, &part);

    const int64_t m0 = part.panel * run->rows;
    const int64_t left = run->call->m - m0;
    const int64_t n_rows = left < part.n_panels * run->rows ? left : part.n_panels * run->rows;
    for (int64_t u = dlq_grid_next_unit(&run->grid, range, -1); u < run->grid.units;
         u = dlq_grid_next_unit(&run->grid, range, u)) {
        const int64_t block = u * 4;
        const int n_blocks = (int)(run->w->blocks - block < 4 ? run->w->blocks - block : 4);
        part.next_block = 4 * dlq_grid_unit_after(&run->grid, u);
        part.to_y = run->writes_y && run->sums == NULL && block * 16 + DLQ_W8A8_UNIT <= run->w->n;
        run->product(run, &part, block, n_blocks, c);
        if (part.to_y) {
            continue;
        }
        DLQ_SIMD(dlq_w8a8_correct)(run, part.row, n_rows, block, n_blocks, c);
        if (run->sums != NULL) {
            copy_sums(run->w, m0, n_rows, block, c, run->sums, false);
        } else {
            finish_unit(run->w, run->call, m0, n_rows, block, n_blocks, part.row, c);
        }
    }
}

static void
task_run(void *arg, int task)
{
    struct dlq_w8a8_run *run = arg;
    uint8_t *slot = run->slots + task * run->slot_bytes;
    int range = task / run->grid.col_tasks;
    range = dlq_grid_left(&run->grid, range) > 0 ? range : dlq_grid_help(&run->grid);
    for (; range >= 0; range = dlq_grid_help(&run->grid)) {
        run_rows(run, range, slot);
    }
}

int
dlq_w8a8_fast_run(const struct dlq_w8a8_level *level, const struct dlq_k_w8a8 *w,
                  const struct dlq_k_linear_call *call, int32_t *sums)
{
    const int result = dlq_call_check(call, w->k, w->n);
    if (result != DLQ_K_OK || call->m == 0) {
        return result;
    }
    struct dlq_w8a8_run run;
    run_init(&run, level, w, call->m);
    const int threads = dlq_k_parallel_threads(call->parallel);
    run.call = call;
    run.sums = sums;
    dlq_grid_choose(&run.grid, threads, run.panels, run.chunk, (w->blocks + 3) / 4, DLQ_GRID_CODES);
    run.slots = call->workspace;
    run.slot_bytes =
        threads > 1 ? part_bytes(&run, (run.panels + run.grid.row_tasks - 1) / run.grid.row_tasks)
                    : 0;
    dlq_k_parallel_run(call->parallel, run.grid.row_tasks * run.grid.col_tasks, task_run, &run);
    return DLQ_K_OK;
}

struct finish_job {
    const struct dlq_k_w8a8 *w;
    const struct dlq_k_linear_call *call;
    const int32_t *sums;
    int n_tasks;
};

static void
finish_task(void *arg, int task)
{
    const struct finish_job *job = arg;
    const struct dlq_k_w8a8 *w = job->w;
    const int64_t units = (w->blocks + 3) / 4;
    int32_t c[DLQ_W8A8_UNIT] __attribute__((aligned(64)));
    const int64_t end = dlq_task_begin(units, task + 1, job->n_tasks);
    for (int64_t m = 0; m < job->call->m; m++) {
        const float *range = job->call->ranges + 2 * m;
        const struct dlq_w8a8_row row = {.scale =
                                             dlq_w8a8_choose_codes(w, range[0], range[1]).scale};
        for (int64_t u = dlq_task_begin(units, task, job->n_tasks); u < end; u++) {
            const int n_blocks = (int)(w->blocks - u * 4 < 4 ? w->blocks - u * 4 : 4);
            copy_sums(w, m, 1, u * 4, job->sums, c, true);
            finish_unit(w, job->call, m, 1, u * 4, n_blocks, &row, c);
        }
    }
}

int
dlq_w8a8_fast_finish(const struct dlq_k_w8a8 *w, const struct dlq_k_linear_call *call,
                     const int32_t *sums)
{
    const int result = dlq_call_check(call, w->k, w->n);
    if (result != DLQ_K_OK || call->m == 0) {
        return result;
    }
    struct finish_job job = {w, call, sums, 1};
    job.n_tasks = call->m * w->n <= INLINE_ELEMENTS ? 1 : dlq_k_parallel_threads(call->parallel);
    dlq_k_parallel_run(call->parallel, job.n_tasks, finish_task, &job);
    return DLQ_K_OK;
}
