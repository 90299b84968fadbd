// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "bench_bars.h"

#include "tool.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_COLUMNS = 32, MAX_LINE = 1024 };

/// What a column means here.
enum column {
    COL_NONE,
    COL_OP,
    COL_M,
    COL_K,
    COL_N,
    COL_THREADS,
    COL_MACHINE,
    COL_PEER,
    COL_US,
    COL_W4,
    COL_W8,
    COL_W16
};

static const struct {
    const char *name;
    enum column column;
} names[] = {
    {"op", COL_OP},
    {"m", COL_M},
    {"k", COL_K},
    {"n", COL_N},
    {"threads", COL_THREADS},
    {"machine", COL_MACHINE},
    {"peer", COL_PEER},
    {"us", COL_US},
    {"best_peer_us", COL_US},
    {"w4_bytes_us", COL_W4},
    {"w8_bytes_us", COL_W8},
    {"w16_bytes_us", COL_W16},
};

/// Cut a line at its commas, in place.
static int
cut(char *line, char *cells[MAX_COLUMNS])
{
    int n = 0;
    line[strcspn(line, "\r\n")] = '\0';
    for (char *at = line; at && n < MAX_COLUMNS;) {
        cells[n++] = at;
        at = strchr(at, ',');
        if (at) {
            *at++ = '\0';
        }
    }
    return n;
}

static enum column
column_of(const char *name)
{
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); ++i) {
        if (strcasecmp(name, names[i].name) == 0) {
            return names[i].column;
        }
    }
    return COL_NONE;
}

static void
push(struct tool_bars *bars, const struct tool_bar *bar)
{
    if (bars->n == bars->capacity) {
        bars->capacity = bars->capacity ? 2 * bars->capacity : 64;
        bars->list = realloc(bars->list, bars->capacity * sizeof(*bars->list));
        if (!bars->list) {
            tool_alloc(SIZE_MAX / 2, 1);
        }
    }
    bars->list[bars->n++] = *bar;
}

static bool
integer(const char *text, int64_t *out)
{
    char *end = NULL;
    errno = 0;
    *out = strtoll(text, &end, 10);
    return end != text && *end == '\0' && errno == 0 && *out > 0;
}

/// A time; an empty cell is none.
static bool
time_of(const char *text, double *out)
{
    char *end = NULL;
    *out = strtod(text, &end);
    return *end == '\0' && *out >= 0.0 && isfinite(*out);
}

/// One line. `us` gets the times of COL_US, COL_W4, COL_W8 and COL_W16.
static bool
read_line(char **cells, const enum column *columns, int n, const char *machine,
          struct tool_bar *bar, double us[4], bool *skip)
{
    bool ok = true;
    int64_t threads = 0;
    *skip = false;
    for (int i = 0; i < n && ok; ++i) {
        switch (columns[i]) {
        case COL_OP:
            snprintf(bar->op, sizeof(bar->op), "%s", cells[i]);
            break;
        case COL_PEER:
            snprintf(bar->peer, sizeof(bar->peer), "%s", cells[i]);
            break;
        case COL_MACHINE:
            *skip = *skip || (machine && strcmp(machine, cells[i]) != 0);
            break;
        case COL_M:
            ok = integer(cells[i], &bar->m);
            break;
        case COL_K:
            ok = integer(cells[i], &bar->k);
            break;
        case COL_N:
            ok = integer(cells[i], &bar->n);
            break;
        case COL_THREADS:
            ok = integer(cells[i], &threads);
            bar->threads = (int32_t)threads;
            break;
        case COL_US:
        case COL_W4:
        case COL_W8:
        case COL_W16:
            ok = time_of(cells[i], &us[columns[i] - COL_US]);
            break;
        case COL_NONE:
            break;
        }
    }
    return ok && bar->k > 0 && bar->n > 0;
}

static void
add_line(struct tool_bars *bars, struct tool_bar *bar, const double us[4])
{
    static const int32_t bits[] = {0, 4, 8, 16};
    for (int i = 0; i < 4; ++i) {
        // A floor is no operation's, and a peer has one.
        if (us[i] > 0.0 && (i == 0) == (bar->op[0] != '\0')) {
            bar->us = us[i];
            bar->bits = bits[i];
            push(bars, bar);
        }
    }
}

static int
read_file(struct tool_bars *bars, FILE *file, const char *machine, char *why, size_t size)
{
    char line[MAX_LINE];
    char *cells[MAX_COLUMNS];
    enum column columns[MAX_COLUMNS];
    const size_t before = bars->n;
    int n_columns = 0;
    for (int number = 1; fgets(line, sizeof(line), file); ++number) {
        const int n = cut(line, cells);
        if (number == 1) {
            for (int i = 0; i < n; ++i) {
                columns[i] = column_of(cells[i]);
            }
            n_columns = n;
            continue;
        }
        struct tool_bar bar = {0};
        double us[4] = {0};
        bool skip = false;
        if (n != n_columns || !read_line(cells, columns, n, machine, &bar, us, &skip)) {
            snprintf(why, size, "line %d: expected %d cells with sizes above 0 and times", number,
                     n_columns);
            return 0;
        }
        if (!skip) {
            add_line(bars, &bar, us);
        }
    }
    if (bars->n == before) {
        snprintf(why, size,
                 "no figures%s%s: expected columns op, m, k, n and us, or k, n and "
                 "w4_bytes_us",
                 machine ? " of machine " : "", machine ? machine : "");
    }
    return bars->n > before;
}

int
tool_bars_read(struct tool_bars *bars, const char *path, char *why, size_t size)
{
    char *copy = tool_format("%s", path);
    FILE *file = fopen(copy, "re");
    char *machine = NULL;
    if (!file && (machine = strrchr(copy, ':')) != NULL) {
        *machine++ = '\0';
        file = fopen(copy, "re");
    }
    int ok = 0;
    if (!file) {
        snprintf(why, size, "%s", strerror(errno));
    } else {
        ok = read_file(bars, file, machine, why, size);
        fclose(file);
    }
    free(copy);
    return ok;
}

void
tool_bars_free(struct tool_bars *bars)
{
    free(bars->list);
    *bars = (struct tool_bars){0};
}

/// Whether a file's operation is ours: by its name, or by the short names of files of CPU figures,
/// which leave out the activations.
static bool
same_op(const char *theirs, const char *ours)
{
    if (strcmp(theirs, ours) == 0) {
        return true;
    }
    if (strcmp(theirs, "w8a8") == 0) {
        return strcmp(ours, "w8a8_int8_rowcol") == 0;
    }
    const size_t len = strlen(ours);
    const char *group = strncmp(theirs, "w4_g", 4) == 0 ? theirs + 2 : NULL;
    return group && strncmp(ours, "w4a16_", 6) == 0 && len > strlen(group) &&
           strcmp(ours + len - strlen(group), group) == 0;
}

const struct tool_bar *
tool_bars_peer(const struct tool_bars *bars, const char *op, int64_t m, int64_t k, int64_t n,
               int32_t threads)
{
    const struct tool_bar *best = NULL;
    for (size_t i = 0; i < bars->n; ++i) {
        const struct tool_bar *b = &bars->list[i];
        if (b->bits == 0 && b->m == m && b->k == k && b->n == n &&
            (b->threads == 0 || b->threads == threads) && same_op(b->op, op) &&
            (!best || b->us < best->us)) {
            best = b;
        }
    }
    return best;
}

double
tool_bars_floor(const struct tool_bars *bars, int64_t k, int64_t n, int32_t bits)
{
    for (size_t i = 0; i < bars->n; ++i) {
        const struct tool_bar *b = &bars->list[i];
        if (b->bits == bits && b->bits != 0 && b->k == k && b->n == n) {
            return b->us;
        }
    }
    return 0.0;
}
