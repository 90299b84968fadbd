// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "output.h"

#include "tool.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_COLUMNS 16

struct tool_table {
    const char *const *columns;
    int n_columns;
    char **cells;
    size_t n_cells, capacity;
};

static void
clean(char *text)
{
    for (; *text; ++text) {
        const unsigned char c = (unsigned char)*text;
        const bool wide = c == 0xC2 && (unsigned char)text[1] < 0xA0; // U+0080 to U+009F
        if (c < 0x20 || c == 0x7F || wide) {
            *text = '?';
            text[wide] = '?';
        }
    }
}

void
tool_print_line(FILE *to, const char *fmt, ...)
{
    char text[4096];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    clean(text);
    fprintf(to, "%s\n", text);
}

struct tool_table *
tool_table_new(const char *const *columns)
{
    struct tool_table *t = tool_alloc(1, sizeof(*t));
    t->columns = columns;
    while (t->n_columns < MAX_COLUMNS && columns[t->n_columns]) {
        ++t->n_columns;
    }
    return t;
}

void
tool_table_cell(struct tool_table *t, const char *fmt, ...)
{
    if (t->n_cells == t->capacity) {
        const size_t capacity = t->capacity ? 2 * t->capacity : 64;
        char **cells = tool_alloc(capacity, sizeof(*cells));
        if (t->cells) {
            memcpy(cells, t->cells, t->n_cells * sizeof(*cells));
        }
        free(t->cells);
        t->cells = cells;
        t->capacity = capacity;
    }
    char text[1200];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    clean(text);
    t->cells[t->n_cells++] = tool_format("%s", text);
}

static void
print_cell(const char *text, int width, bool right, bool last)
{
    if (right) {
        printf("%*s%s", width, text, last ? "\n" : "  ");
    } else if (last) {
        printf("%s\n", text);
    } else {
        printf("%-*s  ", width, text);
    }
}

void
tool_table_print(struct tool_table *t)
{
    int width[MAX_COLUMNS];
    bool right[MAX_COLUMNS];
    for (int c = 0; c < t->n_columns; ++c) {
        right[c] = t->columns[c][0] == '>';
        width[c] = (int)strlen(t->columns[c] + right[c]);
        for (size_t i = (size_t)c; i < t->n_cells; i += (size_t)t->n_columns) {
            const int len = (int)strlen(t->cells[i]);
            width[c] = len > width[c] ? len : width[c];
        }
    }
    for (int c = 0; c < t->n_columns; ++c) {
        print_cell(t->columns[c] + right[c], width[c], right[c], c + 1 == t->n_columns);
    }
    for (size_t i = 0; i < t->n_cells; ++i) {
        const int c = (int)(i % (size_t)t->n_columns);
        print_cell(t->cells[i], width[c], right[c], c + 1 == t->n_columns);
        free(t->cells[i]);
    }
    free(t->cells);
    free(t);
}

void
tool_progress(size_t done, size_t total, const char *name)
{
    static bool shown;
    if (!isatty(STDERR_FILENO)) {
        return;
    }
    if (total == 0) {
        if (shown) {
            fputs("\r\033[K", stderr);
        }
        shown = false;
        return;
    }
    enum { WIDTH = 30 };
    char bar[WIDTH + 1];
    const size_t full = done * WIDTH / total;
    for (size_t i = 0; i < WIDTH; ++i) {
        bar[i] = i < full ? '#' : '.';
    }
    bar[WIDTH] = '\0';
    char text[61];
    snprintf(text, sizeof(text), "%s", name);
    clean(text);
    fprintf(stderr, "\r\033[K[%s] %zu/%zu %s", bar, done, total, text);
    fflush(stderr);
    shown = true;
}

static bool json_comma;

static void
json_text(const char *s)
{
    putchar('"');
    for (; *s; ++s) {
        const unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\') {
            printf("\\%c", c);
        } else if (c < 0x20) {
            printf("\\u%04x", c);
        } else {
            putchar(c);
        }
    }
    putchar('"');
}

static void
json_key(const char *key)
{
    if (json_comma) {
        putchar(',');
    }
    if (key) {
        json_text(key);
        putchar(':');
    }
    json_comma = true;
}

void
tool_json_begin(void)
{
    putchar('{');
    json_comma = false;
}

void
tool_json_str(const char *key, const char *value)
{
    json_key(key);
    if (value) {
        json_text(value);
    } else {
        fputs("null", stdout);
    }
}

void
tool_json_int(const char *key, int64_t value)
{
    json_key(key);
    printf("%lld", (long long)value);
}

void
tool_json_num(const char *key, double value)
{
    json_key(key);
    if (isfinite(value)) {
        printf("%.6g", value);
    } else {
        fputs("null", stdout);
    }
}

void
tool_json_bool(const char *key, bool value)
{
    json_key(key);
    fputs(value ? "true" : "false", stdout);
}

void
tool_json_open(const char *key, char bracket)
{
    json_key(key);
    putchar(bracket);
    json_comma = false;
}

void
tool_json_close(char bracket)
{
    putchar(bracket);
    json_comma = true;
}

void
tool_json_end(void)
{
    puts("}");
    fflush(stdout);
    json_comma = false;
}

const char *
tool_bytes(uint64_t n)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    static char buffers[4][32];
    static unsigned next;
    char *text = buffers[next++ % 4];
    double v = (double)n;
    size_t u = 0;
    while (v >= 1024.0 && u + 1 < sizeof(units) / sizeof(units[0])) {
        v /= 1024.0;
        ++u;
    }
    snprintf(text, sizeof(buffers[0]), u == 0 ? "%.0f %s" : "%.1f %s", v, units[u]);
    return text;
}
