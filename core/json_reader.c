// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "json_reader.h"

#include <string.h>

static bool
fail(struct dlq_json_reader *r, const char *at, const char *problem)
{
    if (!r->problem) {
        r->at = at;
        r->problem = problem;
    }
    return false;
}

void
dlq_json_reader_init(struct dlq_json_reader *r, const char *text, size_t len)
{
    *r = (struct dlq_json_reader){.text = text, .at = text, .end = text + len};
}

char
dlq_json_reader_peek(struct dlq_json_reader *r)
{
    while (r->at < r->end &&
           (*r->at == ' ' || *r->at == '\n' || *r->at == '\r' || *r->at == '\t')) {
        r->at++;
    }
    return r->at < r->end ? *r->at : '\0';
}

bool
dlq_json_reader_enter(struct dlq_json_reader *r, char open)
{
    if (r->problem) {
        return false;
    }
    if (dlq_json_reader_peek(r) != open) {
        return fail(r, r->at, open == '{' ? "expected an object" : "expected an array");
    }
    if (r->depth >= DLQ_JSON_MAX_DEPTH) {
        return fail(r, r->at, "nested deeper than 128 levels");
    }
    r->depth++;
    r->at++;
    return true;
}

bool
dlq_json_reader_next(struct dlq_json_reader *r, char close, bool *first)
{
    if (r->problem) {
        return false;
    }
    const char c = dlq_json_reader_peek(r);
    if (c == close) {
        r->at++;
        r->depth--;
        return false;
    }
    if (*first) {
        *first = false;
        return true;
    }
    if (c != ',') {
        return fail(r, r->at, close == '}' ? "expected ',' or '}'" : "expected ',' or ']'");
    }
    r->at++;
    if (dlq_json_reader_peek(r) == close) {
        return fail(r, r->at, "a comma before the closing bracket");
    }
    return true;
}

bool
dlq_json_reader_string(struct dlq_json_reader *r, struct dlq_json_span *out)
{
    if (r->problem) {
        return false;
    }
    if (dlq_json_reader_peek(r) != '"') {
        return fail(r, r->at, "expected a string");
    }
    const char *const begin = r->at + 1;
    const char *p = begin;
    bool escaped = false;
    while (p < r->end && *p != '"') {
        if ((unsigned char)*p < 0x20) {
            return fail(r, p, "a control character inside a string");
        }
        if (*p == '\\') {
            const char *const next = dlq_json_escape_end(p + 1, r->end);
            if (!next) {
                return fail(r, p, "an invalid escape sequence");
            }
            escaped = true;
            p = next;
        } else {
            p++;
        }
    }
    if (p >= r->end) {
        return fail(r, r->at, "a string without its closing quote");
    }
    *out = (struct dlq_json_span){begin, (size_t)(p - begin), escaped};
    r->at = p + 1;
    return true;
}

bool
dlq_json_reader_key(struct dlq_json_reader *r, struct dlq_json_span *out)
{
    if (!dlq_json_reader_string(r, out)) {
        return false;
    }
    if (dlq_json_reader_peek(r) != ':') {
        return fail(r, r->at, "expected ':' behind a member's name");
    }
    r->at++;
    return true;
}

static bool
is_digit(const struct dlq_json_reader *r, const char *p)
{
    return p < r->end && *p >= '0' && *p <= '9';
}

bool
dlq_json_reader_u64(struct dlq_json_reader *r, uint64_t *out)
{
    if (r->problem) {
        return false;
    }
    dlq_json_reader_peek(r);
    const char *p = r->at;
    if (!is_digit(r, p) || (*p == '0' && is_digit(r, p + 1))) {
        return fail(r, p, "expected an integer from 0 to 2^64 - 1");
    }
    uint64_t value = 0;
    for (; is_digit(r, p); p++) {
        const uint64_t digit = (uint64_t)(*p - '0');
        if (value > (UINT64_MAX - digit) / 10) {
            return fail(r, r->at, "an integer above 2^64 - 1");
        }
        value = value * 10 + digit;
    }
    if (p < r->end && (*p == '.' || *p == 'e' || *p == 'E')) {
        return fail(r, r->at, "expected an integer, found a fraction");
    }
    r->at = p;
    *out = value;
    return true;
}

static bool
skip_word(struct dlq_json_reader *r, const char *word)
{
    const size_t len = strlen(word);
    if ((size_t)(r->end - r->at) < len || memcmp(r->at, word, len) != 0) {
        return fail(r, r->at, "not a JSON value");
    }
    r->at += len;
    return true;
}

static bool
skip_number(struct dlq_json_reader *r)
{
    const char *p = r->at;
    p += *p == '-';
    if (r->lenient && p < r->end && *p == 'I') {
        r->at = p;
        return skip_word(r, "Infinity");
    }
    if (!is_digit(r, p)) {
        return fail(r, r->at, "not a JSON value");
    }
    if (*p == '0' && is_digit(r, p + 1)) {
        return fail(r, r->at, "a number with a leading zero");
    }
    while (is_digit(r, p)) {
        p++;
    }
    if (p < r->end && *p == '.') {
        p++;
        if (!is_digit(r, p)) {
            return fail(r, r->at, "a number without digits behind its point");
        }
        while (is_digit(r, p)) {
            p++;
        }
    }
    if (p < r->end && (*p == 'e' || *p == 'E')) {
        p++;
        p += p < r->end && (*p == '+' || *p == '-');
        if (!is_digit(r, p)) {
            return fail(r, r->at, "a number without digits in its exponent");
        }
        while (is_digit(r, p)) {
            p++;
        }
    }
    r->at = p;
    return true;
}

bool
dlq_json_reader_skip(struct dlq_json_reader *r)
{
    if (r->problem) {
        return false;
    }
    struct dlq_json_span span;
    bool first = true;
    const char c = dlq_json_reader_peek(r);
    switch (c) {
    case '{':
        dlq_json_reader_enter(r, c);
        while (dlq_json_reader_next(r, '}', &first)) {
            if (dlq_json_reader_key(r, &span)) {
                dlq_json_reader_skip(r);
            }
        }
        return !r->problem;
    case '[':
        dlq_json_reader_enter(r, c);
        while (dlq_json_reader_next(r, ']', &first)) {
            dlq_json_reader_skip(r);
        }
        return !r->problem;
    case '"':
        return dlq_json_reader_string(r, &span);
    case 't':
        return skip_word(r, "true");
    case 'f':
        return skip_word(r, "false");
    case 'n':
        return skip_word(r, "null");
    case 'N':
        return r->lenient ? skip_word(r, "NaN") : fail(r, r->at, "NaN is not JSON");
    case 'I':
        return r->lenient ? skip_word(r, "Infinity") : fail(r, r->at, "Infinity is not JSON");
    case '\0':
        return fail(r, r->at, r->at < r->end ? "a zero byte" : "the text ends too early");
    default:
        return skip_number(r);
    }
}

bool
dlq_json_reader_end(struct dlq_json_reader *r)
{
    if (r->problem) {
        return false;
    }
    dlq_json_reader_peek(r);
    return r->at == r->end || fail(r, r->at, "text behind the end of the JSON value");
}

bool
dlq_json_locate(const char *text, size_t len, const char *const *path, size_t n,
                struct dlq_json_span *out)
{
    struct dlq_json_reader r;
    dlq_json_reader_init(&r, text, len);
    r.lenient = true;
    for (size_t i = 0; i < n; i++) {
        bool found = false;
        bool first = true;
        struct dlq_json_span key;
        dlq_json_reader_enter(&r, '{');
        while (!found && dlq_json_reader_next(&r, '}', &first) && dlq_json_reader_key(&r, &key)) {
            found = dlq_json_span_equal(&key, path[i]);
            if (!found) {
                dlq_json_reader_skip(&r);
            }
        }
        if (!found) {
            return false;
        }
    }
    dlq_json_reader_peek(&r);
    const char *const begin = r.at;
    if (!dlq_json_reader_skip(&r)) {
        return false;
    }
    *out = (struct dlq_json_span){begin, (size_t)(r.at - begin), false};
    return true;
}
