// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TOOLS_OUTPUT_H
#define DLQ_TOOLS_OUTPUT_H

#include <dlquant/abi.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/// Tables, the progress bar and JSON lines.

/// Print one line, the names of a checkpoint in it: '?' stands for control characters.
void
tool_print_line(FILE *to, const char *fmt, ...) DLQ_PRINTF(2, 3);

/// A table of text that is printed with aligned columns.
struct tool_table;

/// Make a table with the headings of `columns`, ended by NULL; a heading that begins with '>' is
/// for a column that is aligned to the right.
struct tool_table *
tool_table_new(const char *const *columns);

/// Append a formatted cell; rows fill from left to right.
void
tool_table_cell(struct tool_table *t, const char *fmt, ...) DLQ_PRINTF(2, 3);

/// Print on standard output and free.
void
tool_table_print(struct tool_table *t);

/// Show `done` of `total` and a name on standard error when that is a terminal; a `total` of 0
/// clears the line.
void
tool_progress(size_t done, size_t total, const char *name);

/// One JSON object a line on standard output. A NULL string and a number that is not finite are
/// null. A key of NULL is for elements of an array.
void
tool_json_begin(void);

void
tool_json_str(const char *key, const char *value);

void
tool_json_int(const char *key, int64_t value);

void
tool_json_num(const char *key, double value);

void
tool_json_bool(const char *key, bool value);

void
tool_json_open(const char *key, char bracket);

void
tool_json_close(char bracket);

void
tool_json_end(void);

/// Bytes for people, as "3.4 MiB", in one of a few static buffers.
const char *
tool_bytes(uint64_t n);

#endif // DLQ_TOOLS_OUTPUT_H
