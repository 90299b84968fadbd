// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_KERNELS_CPU_GRID_H
#define DLQ_KERNELS_CPU_GRID_H

#include <stdatomic.h>
#include <stdint.h>

/// How a product is cut into tasks: ranges of rows of y, each for a few threads that share its
/// columns.
///
/// Every task turns its rows of x into codes by itself, in a slot of the workspace that no other
/// task touches. Tasks of the same rows repeat that work, which costs less than codes that one
/// thread writes and all others read, and needs no barrier. Columns are taken one unit at a time,
/// so that a thread that was kept waiting is not waited for.

enum {
    DLQ_GRID_MAX_SHARED = 64,
    DLQ_GRID_CODES = 2 ///< What making codes costs where nothing else was measured
};

struct dlq_grid {
    int row_tasks;                        ///< Ranges of rows
    int col_tasks;                        ///< Tasks that share a range
    int64_t units;                        ///< Of columns
    atomic_int next[DLQ_GRID_MAX_SHARED]; ///< Of each shared range: the next unit
};

/// The grid of `panels` panels of rows times `units` of columns on a number of threads. A task gets
/// at most `most_panels` panels. `codes`: what making the codes of a panel costs, in products of a
/// panel and a unit.
static inline void
dlq_grid_choose(struct dlq_grid *grid, int threads, int64_t panels, int64_t most_panels,
                int64_t units, int codes)
{
    enum { WEIGHTS = 3 }; // reading and unpacking those of a unit, in the same
    const int64_t fewest = (panels + most_panels - 1) / most_panels;
    // More ranges than threads may share them out evenly.
    const int64_t even = fewest > threads ? fewest + threads - 1 : threads;
    const int64_t most = panels < even ? panels : even;
    int64_t best_cost = INT64_MAX;
    grid->units = units;
    for (int64_t rows = fewest; rows <= most; rows++) {
        int64_t cols = rows < threads && rows <= DLQ_GRID_MAX_SHARED ? threads / rows : 1;
        cols = cols < units ? cols : units;
        const int64_t rounds = (rows * cols + threads - 1) / threads;
        const int64_t task_panels = (panels + rows - 1) / rows;
        const int64_t task_units = (units + cols - 1) / cols;
        const int64_t cost = rounds * (task_units * (task_panels + WEIGHTS) + task_panels * codes);
        if (cost < best_cost) {
            best_cost = cost;
            grid->row_tasks = (int)rows;
            grid->col_tasks = (int)cols;
        }
    }
    for (int i = 0; i < DLQ_GRID_MAX_SHARED; i++) {
        atomic_init(&grid->next[i], 0);
    }
}

/// The next unit of columns of a range for the calling task, after `unit`, or -1 first. `units` and
/// above: no more.
static inline int64_t
dlq_grid_next_unit(struct dlq_grid *grid, int row, int64_t unit)
{
    if (grid->col_tasks == 1) {
        return unit + 1;
    }
    return atomic_fetch_add_explicit(&grid->next[row], 1, memory_order_relaxed);
}

/// The unit that the calling task probably gets after `unit`, to bring its weights to the caches.
static inline int64_t
dlq_grid_unit_after(const struct dlq_grid *grid, int64_t unit)
{
    const int64_t next = unit + grid->col_tasks;
    return next < grid->units ? next : unit;
}

/// Units that nobody has taken.
static inline int64_t
dlq_grid_left(struct dlq_grid *grid, int row)
{
    if (grid->col_tasks == 1) {
        return grid->units;
    }
    const int64_t taken = atomic_load_explicit(&grid->next[row], memory_order_relaxed);
    return taken < grid->units ? grid->units - taken : 0;
}

/// A range that a task may help with once it has none of its own, -1 if none has enough left to be
/// worth new codes. Each has its own first, task / col_tasks.
static inline int
dlq_grid_help(struct dlq_grid *grid)
{
    int best = -1;
    int64_t most = 2 * grid->col_tasks;
    for (int row = 0; row < grid->row_tasks && grid->col_tasks > 1; row++) {
        const int64_t left = dlq_grid_left(grid, row);
        best = left > most ? row : best;
        most = left > most ? left : most;
    }
    return best;
}

/// Most panels that all slots of a grid hold together, for any grid of up to `threads` threads.
static inline int64_t
dlq_grid_most_panels(int threads, int64_t panels, int64_t most_panels)
{
    const int64_t in_task = panels < most_panels ? panels : most_panels;
    if (threads <= 1) {
        return in_task;
    }
    // One task a range of rows: fewer than `panels` of them are padded by a panel.
    const int64_t alone = 2 * panels;
    return alone > threads * in_task ? alone : threads * in_task;
}

#endif // DLQ_KERNELS_CPU_GRID_H
