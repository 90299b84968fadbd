// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "regex.h"

#include "../common/layer.h"
#include "regex_emit.h"

#include <stdio.h>
#include <string.h>

/// A recursive-descent compiler; regex_emit.c writes its instructions.

enum { MAX_DEPTH = 24, MAX_REPEAT = 256 };

static bool
is_punctuation(char ch)
{
    return ch != '\0' && (unsigned char)ch < 0x80 && !ct_regex_is_word((unsigned char)ch);
}

// After a backslash: the byte it stands for, or -1 after a failure.
static int
escaped_byte(struct ct_regex_parser *c)
{
    const char ch = *c->p;
    if (is_punctuation(ch)) {
        c->p++;
        return (unsigned char)ch;
    }
    switch (ch) {
    case 't':
        c->p++;
        return '\t';
    case 'n':
        c->p++;
        return '\n';
    case 'r':
        c->p++;
        return '\r';
    case '\0':
        ct_regex_fail(c, "a lone backslash");
        return -1;
    default:
        ct_regex_fail(c,
                      ch >= '0' && ch <= '9' ? "back references (\\%c) are not supported"
                                             : "the escape \\%c is not supported",
                      ch);
        return -1;
    }
}

static bool
parse_escape(struct ct_regex_parser *c)
{
    const char ch = *++c->p;
    if (ch == 'b' || ch == 'B') {
        c->p++;
        return ct_regex_emit(c, OP_WORD, ch == 'b', 0);
    }
    if (ch != '\0' && strchr("dDwWsS", ch)) {
        struct ct_regex_set s = {{0}};
        ct_regex_set_add_class(&s, ch);
        c->p++;
        return ct_regex_emit_set(c, &s);
    }
    const int byte = escaped_byte(c);
    return byte >= 0 && ct_regex_emit_byte(c, (unsigned)byte);
}

// One member of a set: a class (returns -2), a byte, or -1 after a failure.
static int
parse_member(struct ct_regex_parser *c, struct ct_regex_set *s)
{
    if ((unsigned char)*c->p >= 0x80) {
        ct_regex_fail(c, "characters beyond ASCII in a set are not supported");
        return -1;
    }
    if (*c->p != '\\') {
        return (unsigned char)*c->p++;
    }
    const char ch = *++c->p;
    if (ch != '\0' && strchr("dDwWsS", ch)) {
        ct_regex_set_add_class(s, ch);
        c->p++;
        return -2;
    }
    return escaped_byte(c);
}

static bool
parse_set(struct ct_regex_parser *c)
{
    struct ct_regex_set s = {{0}};
    const bool negated = *++c->p == '^';
    c->p += negated;
    for (bool first = true; first || *c->p != ']'; first = false) {
        if (*c->p == '\0') {
            return ct_regex_fail(c, "a set without ]");
        }
        const int low = parse_member(c, &s);
        int high = low;
        if (low >= 0 && c->p[0] == '-' && c->p[1] != ']' && c->p[1] != '\0') {
            c->p++;
            high = parse_member(c, &s);
            if (high == -2 || (high >= 0 && high < low)) {
                return ct_regex_fail(c, "a bad range in a set");
            }
        }
        if (low == -1 || high == -1) {
            return false;
        }
        for (int b = low; low >= 0 && high >= 0 && b <= high; b++) {
            ct_regex_set_add(&s, (unsigned)b);
        }
    }
    c->p++;
    if (negated) {
        for (size_t i = 0; i < sizeof(s.bits) / sizeof(*s.bits); i++) {
            s.bits[i] = ~s.bits[i];
        }
    }
    return ct_regex_emit_set(c, &s);
}

static bool
parse_alternatives(struct ct_regex_parser *c);

// Behind "(?P<": a name and ">".
static bool
skip_name(struct ct_regex_parser *c)
{
    const char *const end = strchr(c->p, '>');
    if (!end || end == c->p) {
        return ct_regex_fail(c, "a group name without >");
    }
    c->p = end + 1;
    return true;
}

static bool
parse_group(struct ct_regex_parser *c)
{
    int look = -1;
    c->p++;
    if (strncmp(c->p, "?:", 2) == 0) {
        c->p += 2;
    } else if (strncmp(c->p, "?P<", 3) == 0) {
        c->p += 3;
        if (!skip_name(c)) {
            return false;
        }
    } else if (strncmp(c->p, "?=", 2) == 0 || strncmp(c->p, "?!", 2) == 0) {
        look = c->p[1] == '=';
        c->p += 2;
    } else if (strncmp(c->p, "?<", 2) == 0) {
        return ct_regex_fail(c, "lookbehind (%.3s) is not supported", c->p);
    } else if (*c->p == '?') {
        return ct_regex_fail(c, "flags and other extensions (%.2s) are not supported", c->p);
    }
    if (++c->depth > MAX_DEPTH) {
        return ct_regex_fail(c, "groups are nested too deeply");
    }
    const int32_t start = c->out->n_insts;
    if (look >= 0) {
        if (c->out->n_looks == CT_REGEX_MAX_LOOKS) {
            return ct_regex_fail(c, "the pattern has too many lookaheads");
        }
        if (!ct_regex_emit(c, OP_LOOK, 0, ct_regex_look(c->out->n_looks++, look == 1))) {
            return false;
        }
    }
    if (!parse_alternatives(c)) {
        return false;
    }
    if (*c->p != ')') {
        return ct_regex_fail(c, "a group without )");
    }
    c->p++;
    c->depth--;
    if (look >= 0) {
        if (!ct_regex_emit(c, OP_MATCH, 0, 0)) {
            return false;
        }
        c->out->insts[start].x = (int16_t)(c->out->n_insts - start);
    }
    return true;
}

// What may be repeated. Sets *repeatable to false for anchors and looks.
static bool
parse_atom(struct ct_regex_parser *c, bool *repeatable)
{
    struct ct_regex_set any;
    *repeatable = true;
    switch (*c->p) {
    case '(':
        *repeatable = !(c->p[1] == '?' && (c->p[2] == '!' || c->p[2] == '='));
        return parse_group(c);
    case '[':
        return parse_set(c);
    case '\\':
        *repeatable = c->p[1] != 'b' && c->p[1] != 'B';
        return parse_escape(c);
    case '.':
        c->p++;
        memset(&any, 0xFF, sizeof(any));
        return ct_regex_emit_set(c, &any);
    case '^':
    case '$':
        *repeatable = false;
        return ct_regex_emit(c, *c->p++ == '^' ? OP_BEGIN : OP_END, 0, 0);
    case '*':
    case '+':
    case '?':
        return ct_regex_fail(c, "nothing to repeat");
    default:
        return ct_regex_emit_byte(c, (unsigned char)*c->p++);
    }
}

// A number of at most four digits, or -1.
static int
parse_number(const char **p)
{
    int value = -1;
    for (int digits = 0; **p >= '0' && **p <= '9' && digits < 4; digits++) {
        value = (value < 0 ? 0 : value) * 10 + *(*p)++ - '0';
    }
    return value;
}

// {m}, {m,}, {,n} or {m,n}; false without moving when the brace is a literal, as in Python.
static bool
parse_braces(struct ct_regex_parser *c, int *min, int *max)
{
    const char *p = c->p + 1;
    *min = parse_number(&p);
    *max = *min;
    if (*p == ',') {
        p++;
        *max = parse_number(&p);
        if (*min < 0 && *max < 0) {
            return false;
        }
        *min = *min < 0 ? 0 : *min;
    }
    if (*p != '}' || *min < 0) {
        return false;
    }
    c->p = p + 1;
    return true;
}

static bool
parse_repeat(struct ct_regex_parser *c, int32_t start, bool repeatable)
{
    int min = 0;
    int max = -1;
    switch (*c->p) {
    case '*':
        c->p++;
        break;
    case '+':
        min = 1;
        c->p++;
        break;
    case '?':
        max = 1;
        c->p++;
        break;
    case '{':
        if (!parse_braces(c, &min, &max)) {
            return true;
        }
        break;
    default:
        return true;
    }
    if (!repeatable) {
        return ct_regex_fail(c, "a repeated assertion is not supported");
    }
    if (min > MAX_REPEAT || max > MAX_REPEAT || (max >= 0 && max < min)) {
        return ct_regex_fail(c, "a repeat count out of range");
    }
    if (*c->p == '?') { // lazy: the same texts match
        c->p++;
    } else if (*c->p == '+') {
        return ct_regex_fail(c, "possessive repeats are not supported");
    } else if (*c->p == '*') {
        return ct_regex_fail(c, "multiple repeat");
    }
    return ct_regex_emit_repeat(c, start, min, max);
}

static bool
parse_sequence(struct ct_regex_parser *c)
{
    while (*c->p != '\0' && *c->p != '|' && *c->p != ')') {
        const int32_t start = c->out->n_insts;
        bool repeatable = true;
        if (!parse_atom(c, &repeatable) || !parse_repeat(c, start, repeatable)) {
            return false;
        }
    }
    return true;
}

static bool
parse_alternatives(struct ct_regex_parser *c)
{
    const int32_t start = c->out->n_insts;
    if (!parse_sequence(c)) {
        return false;
    }
    if (*c->p != '|') {
        return true;
    }
    // SPLIT, first, JUMP over the rest, rest.
    c->p++;
    if (!ct_regex_insert(c, start, OP_SPLIT, 1, 0) || !ct_regex_emit(c, OP_JUMP, 0, 0)) {
        return false;
    }
    const int32_t jump = c->out->n_insts - 1;
    c->out->insts[start].y = (int16_t)(jump + 1 - start);
    if (++c->depth > MAX_DEPTH) {
        return ct_regex_fail(c, "too many alternatives");
    }
    if (!parse_alternatives(c)) {
        return false;
    }
    c->depth--;
    c->out->insts[jump].x = (int16_t)(c->out->n_insts - jump);
    return true;
}

struct ct_regex *
ct_regex_compile(const struct dlq_host *host, const char *pattern, char *why, size_t size)
{
    why[0] = '\0';
    struct ct_regex *const regex = dlq_host_calloc(host, sizeof(*regex), NULL);
    if (!regex) {
        return NULL;
    }
    struct ct_regex_parser c = {
        .out = regex, .p = pattern, .pattern = pattern, .why = why, .why_size = size};
    bool ok = parse_alternatives(&c);
    if (ok && *c.p == ')') {
        ok = ct_regex_fail(&c, "a ) without (");
    }
    if (!ok || !ct_regex_emit(&c, OP_MATCH, 0, 0)) {
        ct_regex_free(host, regex);
        return NULL;
    }
    return regex;
}

void
ct_regex_free(const struct dlq_host *host, struct ct_regex *regex)
{
    dlq_host_free(host, regex);
}
