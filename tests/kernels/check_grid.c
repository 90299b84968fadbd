// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "check.h"
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
}
