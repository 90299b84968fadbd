// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CT_REGEX_H
#define DLQ_CT_REGEX_H

#include <dlquant/host.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// The part of Python's `re` that checkpoints use, matched at the START of a text and not
/// necessarily to its end, as re.match() does.
///
/// literals  \. and other escaped punctuation  .  [a-z] [^a-z]  \d \D \w \W \s \S \b \B  ^  $
/// ( )  (?: )  (?P<name> )  |  * + ? {m} {m,} {,n} {m,n} with an optional lazy ?  (?= )  (?! )
///
/// Everything else of `re` (back references, lookbehind, flags, ...) is an error that names it.
/// Patterns and texts are untrusted: a program has at most CT_REGEX_MAX instructions, and a match
/// steps through the text once with all alternatives at the same time, so its time is bounded by
/// text length * program length, squared where there are lookaheads. Of a text longer than
/// CT_REGEX_MAX_TEXT that holds without nested lookaheads only.

#define CT_REGEX_MAX 1024
#define CT_REGEX_MAX_TEXT 1024

struct ct_regex;

/// Compile a pattern. On failure NULL is returned and `why` (of `size` bytes) says what is wrong;
/// when memory is short `why` is empty.
struct ct_regex *
ct_regex_compile(const struct dlq_host *host, const char *pattern, char *why, size_t size);

/// Free a compiled pattern; NULL is a no-op.
void
ct_regex_free(const struct dlq_host *host, struct ct_regex *regex);

/// Whether the pattern matches at the start of `text`.
bool
ct_regex_match(const struct ct_regex *regex, const char *text);

#endif // DLQ_CT_REGEX_H
