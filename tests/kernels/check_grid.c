// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "check.h"
#include "cpu/call.h"
#include "cpu/grid.h"

// How products are cut into tasks: what fits, what workspaces were asked for, what is even.

static void
check_one(int threads, int64_t panels, int64_t most_panels, int64_t units, int codes)
{
    struct dlq_grid grid;
    dlq_grid_choose(&grid, threads, panels, most_panels, units, codes);
    const int64_t in_task = (panels + grid.row_tasks - 1) / grid.row_tasks;
    const int64_t tasks = (int64_t)grid.row_tasks * grid.col_tasks;
    const int64_t slots = threads > 1 ? tasks : 1;
    check_that(grid.row_tasks <= panels && in_task <= most_panels && grid.col_tasks <= units &&
                   slots * in_task <= dlq_grid_most_panels(threads, panels, most_panels),
               "%d threads, %ld panels of at most %ld: %d x %d tasks do not fit", threads,
               (long)panels, (long)most_panels, grid.row_tasks, grid.col_tasks);
    check_that(grid.units == units &&
                   (grid.col_tasks == 1 || grid.row_tasks <= DLQ_GRID_MAX_SHARED),
               "%d threads, %ld panels: %d ranges shared by %d", threads, (long)panels,
               grid.row_tasks, grid.col_tasks);
}

// Ranges of rows that nobody shares, for as many threads as they are for.
static void
check_even(int threads, int64_t panels, int64_t most_panels)
{
    struct dlq_grid grid;
    dlq_grid_choose(&grid, threads, panels, most_panels, 64, DLQ_GRID_CODES);
    check_that(grid.row_tasks * grid.col_tasks % threads == 0,
               "%d threads, %ld panels of at most %ld: %d x %d tasks leave threads idle", threads,
               (long)panels, (long)most_panels, grid.row_tasks, grid.col_tasks);
}

// Items of tasks that threads take in turn: none are lost, and threads end within one of another.
static void
check_turns(int threads, int64_t count, int n_tasks)
{
    int64_t of_thread[8] = {0};
    for (int task = 0; task < n_tasks; task++) {
        const int64_t n =
            dlq_task_begin(count, task + 1, n_tasks) - dlq_task_begin(count, task, n_tasks);
        check_that(n == count / n_tasks || n == count / n_tasks + 1, "task %d of %d: %ld of %ld",
                   task, n_tasks, (long)n, (long)count);
        of_thread[task % threads] += n;
    }
    check_that(dlq_task_begin(count, 0, n_tasks) == 0 &&
                   dlq_task_begin(count, n_tasks, n_tasks) == count,
               "%d tasks do not own %ld items", n_tasks, (long)count);
    for (int t = 1; t < threads; t++) {
        check_that(of_thread[0] - of_thread[t] <= 1 && of_thread[t] <= of_thread[0],
                   "%ld items, %d tasks: thread 0 has %ld, thread %d %ld", (long)count, n_tasks,
                   (long)of_thread[0], t, (long)of_thread[t]);
    }
}

void
check_grid(void)
{
    static const int64_t counts[] = {1, 2, 3, 7, 8, 21, 43, 64, 86, 342};
    const int n = (int)(sizeof(counts) / sizeof(*counts));
    for (int threads = 1; threads <= 64; threads += threads < 5 ? 1 : 11) {
        for (int p = 0; p < n; p++) {
            for (int most = 0; most < n; most++) {
                for (int u = 0; u < n; u++) {
                    check_one(threads, counts[p], counts[most], counts[u], DLQ_GRID_CODES);
                    check_one(threads, counts[p], counts[most], counts[u], 5);
                }
            }
        }
    }
    check_even(2, 43, 16);
    check_even(2, 86, 21);
    check_even(3, 86, 21);
    check_turns(2, 86, 6);
    check_turns(2, 3, 6);
    check_turns(3, 86, 9);
    check_turns(8, 343, 24);
}
