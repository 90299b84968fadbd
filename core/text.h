// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CORE_TEXT_H
#define DLQ_CORE_TEXT_H

#include <stddef.h>
#include <stdint.h>

/// Line and column, both from 1, of a byte of a text; a column is one character.
void
dlq_text_position(const char *text, const char *at, size_t *line, size_t *column);

/// The first byte that is not part of valid UTF-8, or NULL.
const char *
dlq_utf8_invalid(const char *text, size_t len);

/// Bytes that dlq_quote() needs.
#define DLQ_QUOTE_SIZE 160

/// Untrusted text for one line of a message: control characters become "\\xNN", a long text is cut
/// and ends in "...". Writes to `buf` of DLQ_QUOTE_SIZE bytes and returns it.
const char *
dlq_quote(char *buf, const char *text);

/// Make one line of UTF-8 of a text, in place: '?' for each byte of a control character and each
/// that is not valid, as where a text was cut.
void
dlq_text_clean(char *text);

/// Edits (insert, delete, replace one byte) that make `b` from `a`; `limit` + 1 when there are more
/// than `limit`, which is at most 8.
int
dlq_edit_distance(const char *a, const char *b, int limit);

#endif // DLQ_CORE_TEXT_H
