// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CORE_JSON_READER_H
#define DLQ_CORE_JSON_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// A JSON reader that allocates nothing: for safetensors headers and index files, which may hold
/// millions of entries, and for finding where in a text something stands.
///
/// The text is RFC 8259 JSON; the caller has checked that it is UTF-8. Every function that returns
/// false without a `problem` says "no more"; once `problem` is set, `at` stays at the offending
/// byte.

/// Deepest nesting of arrays and objects.
#define DLQ_JSON_MAX_DEPTH 128

struct dlq_json_reader {
    const char *text;    ///< First byte
    const char *at;      ///< Next byte
    const char *end;     ///< Behind the last byte
    const char *problem; ///< What is wrong at `at`, or NULL; static
    int32_t depth;       ///< Arrays and objects that are open
    bool lenient;        ///< NaN, Infinity and -Infinity are numbers, as Python writes them
};

/// A string as it stands in the text, between its quotes.
struct dlq_json_span {
    const char *at; ///< First byte
    size_t len;     ///< Bytes
    bool escaped;   ///< Holds at least one backslash
};

void
dlq_json_reader_init(struct dlq_json_reader *r, const char *text, size_t len);

/// The byte that begins the next token, 0 at the end of the text.
char
dlq_json_reader_peek(struct dlq_json_reader *r);

/// Go into an array or object; `open` is '[' or '{'.
bool
dlq_json_reader_enter(struct dlq_json_reader *r, char open);

/// Whether another element follows; consumes the comma before it, or the closing bracket `close`
/// when there is none. `*first` is true before the first call and belongs to the reader.
bool
dlq_json_reader_next(struct dlq_json_reader *r, char close, bool *first);

/// A member's name and its colon.
bool
dlq_json_reader_key(struct dlq_json_reader *r, struct dlq_json_span *out);

bool
dlq_json_reader_string(struct dlq_json_reader *r, struct dlq_json_span *out);

/// An integer from 0 to 2^64 - 1, without fraction and exponent.
bool
dlq_json_reader_u64(struct dlq_json_reader *r, uint64_t *out);

/// Pass over one value of any kind.
bool
dlq_json_reader_skip(struct dlq_json_reader *r);

/// Whether nothing but white space follows.
bool
dlq_json_reader_end(struct dlq_json_reader *r);

/// What is behind the escape whose backslash is before `p`, or NULL when it is none. A pair of
/// surrogates is one.
const char *
dlq_json_escape_end(const char *p, const char *end);

/// Write the characters that a span stands for, at most `span->len` bytes and without a terminating
/// zero; `dst` may be `span->at` itself. Returns the number of bytes.
size_t
dlq_json_unescape(const struct dlq_json_span *span, char *dst);

/// Make a zero-terminated string of a span in place: its closing quote, which the reader has
/// passed, gives room for the zero. `text` is the writable text that the span points into. NULL
/// when the string has a zero byte in it.
char *
dlq_json_take(char *text, const struct dlq_json_span *span);

/// Whether a span stands for exactly this text.
bool
dlq_json_span_equal(const struct dlq_json_span *span, const char *text);

/// The value at a path of `n` member names below the root; false when it does not exist. The text
/// must be valid JSON. The span is the value as it stands in the text, quotes and brackets
/// included.
bool
dlq_json_locate(const char *text, size_t len, const char *const *path, size_t n,
                struct dlq_json_span *out);

#endif // DLQ_CORE_JSON_READER_H
