// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CT_REGEX_EMIT_H
#define DLQ_CT_REGEX_EMIT_H

#include "regex_program.h"

#include <stdbool.h>
#include <stddef.h>

/// How the compiler of regex.c writes instructions. Their jumps are relative, so that a piece of
/// program can be moved and repeated as it is. Functions that return bool have failed on false.

struct ct_regex_parser {
    struct ct_regex *out;
    const char *p;
    const char *pattern;
    int depth;
    char *why;
    size_t why_size;
    bool failed;
};

/// Write the first reason of a failure, with the place in the pattern.
bool
ct_regex_fail(struct ct_regex_parser *c, const char *fmt, ...) DLQ_PRINTF(2, 3);

bool
ct_regex_emit(struct ct_regex_parser *c, enum ct_regex_op op, int x, int y);

/// Make room for one instruction at `pos`. Jumps inside the moved piece stay right.
bool
ct_regex_insert(struct ct_regex_parser *c, int32_t pos, enum ct_regex_op op, int x, int y);

void
ct_regex_set_add(struct ct_regex_set *s, unsigned byte);

/// The bytes of d, w, s or their opposites D, W, S.
void
ct_regex_set_add_class(struct ct_regex_set *s, char class);

bool
ct_regex_emit_set(struct ct_regex_parser *c, const struct ct_regex_set *s);

bool
ct_regex_emit_byte(struct ct_regex_parser *c, unsigned byte);

/// Repeat the piece that begins at `start`, min to max times; max -1: without end.
bool
ct_regex_emit_repeat(struct ct_regex_parser *c, int32_t start, int min, int max);

#endif // DLQ_CT_REGEX_EMIT_H
