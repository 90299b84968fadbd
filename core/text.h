// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CORE_TEXT_H
#define DLQ_CORE_TEXT_H

#include <stddef.h>

/// Line and column, both from 1, of a byte of a text; a column is one character.
void
dlq_text_position(const char *text, const char *at, size_t *line, size_t *column);

/// The first byte that is not part of valid UTF-8, or NULL.
const char *
dlq_utf8_invalid(const char *text, size_t len);

#endif // DLQ_CORE_TEXT_H
