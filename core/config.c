// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "config.h"

#include "alloc.h"
#include "error.h"
#include "json_node.h"
#include "json_reader.h"
#include "text.h"

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The text is read twice. Our own reader goes first: it knows the exact place of a fault, bounds
// depth and number of values before anything is built, and finds the numbers that jansson cannot
// hold. jansson then builds its tree, refuses duplicate names, and the tree is copied into one
// block of nodes in which an element is reached by index.

// A number that jansson does not take: it parses a zero in its place.
struct special {
    size_t ordinal; // Among the numbers of the text
    size_t offset;
    size_t len;
    double value;
};

// What jansson takes at most for one value beside its text: an empty object, its place in an array
// that grows, and what the allocator adds.
#define MAX_VALUE_BYTES ((size_t)320)

static const char out_of_range[] = "a number beyond the range of a double";

struct parse {
    const struct dlq_allocator *a;
    const char *origin;
    const char *text;
    size_t len;
    struct dlq_json_reader r;
    size_t n_values;
    size_t n_numbers;
    struct special *specials;
    size_t n_specials;
    size_t specials_capacity;
    // The copy
    struct dlq_json *nodes;
    size_t n_nodes;
    char *strings;
    size_t number;  // Ordinal of the next number
    size_t special; // Index of the next special number
};

static int32_t
fail_at(const struct parse *p, struct dlq_error *err, const char *at, const char *problem)
{
    size_t line = 0;
    size_t column = 0;
    dlq_text_position(p->text, at, &line, &column);
    return dlq_fail(err, DLQ_EFORMAT, "%s: line %zu, column %zu: %s", p->origin, line, column,
                    problem);
}

static int32_t
fail_memory(const struct parse *p, struct dlq_error *err)
{
    return dlq_fail(err, DLQ_ENOMEM, "%s: out of memory for %zu bytes of JSON", p->origin, p->len);
}

// Whether a token is an integer beyond int64_t.
static bool
is_big_integer(const char *at, size_t len)
{
    uint64_t value = 0;
    const bool negative = *at == '-';
    const uint64_t limit = (uint64_t)INT64_MAX + negative;
    for (size_t i = negative; i < len; i++) {
        if (at[i] < '0' || at[i] > '9') {
            return false;
        }
        const uint64_t digit = (uint64_t)(at[i] - '0');
        if (value > (limit - digit) / 10) {
            for (i++; i < len; i++) {
                if (at[i] < '0' || at[i] > '9') {
                    return false;
                }
            }
            return true;
        }
        value = value * 10 + digit;
    }
    return false;
}

static int32_t
scan_number(struct parse *p, struct dlq_error *err)
{
    const char *const at = p->r.at;
    if (!dlq_json_reader_skip(&p->r)) {
        return fail_at(p, err, p->r.at, p->r.problem);
    }
    const size_t len = (size_t)(p->r.at - at);
    const size_t ordinal = p->n_numbers++;
    const char *const word = at + (*at == '-');
    struct special special = {ordinal, (size_t)(at - p->text), len, 0};
    if (*word == 'N') {
        special.value = (double)NAN;
    } else if (*word == 'I') {
        special.value = word > at ? -(double)INFINITY : (double)INFINITY;
    } else if (!is_big_integer(at, len)) {
        return DLQ_OK;
    }
    struct special *const grown = dlq_grow(p->a, p->specials, p->n_specials, &p->specials_capacity,
                                           p->n_specials + 1, sizeof(*grown));
    if (!grown) {
        return fail_memory(p, err);
    }
    p->specials = grown;
    p->specials[p->n_specials++] = special;
    return DLQ_OK;
}

static int32_t
scan_value(struct parse *p, struct dlq_error *err)
{
    struct dlq_json_reader *const r = &p->r;
    const char c = dlq_json_reader_peek(r);
    if (++p->n_values > DLQ_JSON_MAX_VALUES) {
        return fail_at(p, err, r->at, "more than 1048576 values");
    }
    if (c == '-' || (c >= '0' && c <= '9') || c == 'N' || c == 'I') {
        return scan_number(p, err);
    }
    if (c != '{' && c != '[') {
        return dlq_json_reader_skip(r) ? DLQ_OK : fail_at(p, err, r->at, r->problem);
    }
    const char close = c == '{' ? '}' : ']';
    bool first = true;
    struct dlq_json_span key;
    dlq_json_reader_enter(r, c);
    while (dlq_json_reader_next(r, close, &first)) {
        if (c == '[' || dlq_json_reader_key(r, &key)) {
            const int32_t rc = scan_value(p, err);
            if (rc != DLQ_OK) {
                return rc;
            }
        }
    }
    return r->problem ? fail_at(p, err, r->at, r->problem) : DLQ_OK;
}

static int32_t
scan(struct parse *p, struct dlq_error *err)
{
    if (p->len > DLQ_JSON_MAX_BYTES) {
        return dlq_fail(err, DLQ_EFORMAT, "%s: %zu bytes of JSON, at most %zu are read", p->origin,
                        p->len, DLQ_JSON_MAX_BYTES);
    }
    if (p->len >= 3 && memcmp(p->text, "\xEF\xBB\xBF", 3) == 0) {
        return fail_at(p, err, p->text, "a byte order mark before the JSON value");
    }
    const char *const invalid = dlq_utf8_invalid(p->text, p->len);
    if (invalid) {
        return fail_at(p, err, invalid, "a byte that is not UTF-8");
    }
    dlq_json_reader_init(&p->r, p->text, p->len);
    p->r.lenient = true;
    const int32_t rc = scan_value(p, err);
    if (rc != DLQ_OK) {
        return rc;
    }
    return dlq_json_reader_end(&p->r) ? DLQ_OK : fail_at(p, err, p->r.at, p->r.problem);
}

// jansson stands behind the name that it objects to.
static const char *
name_before(const char *text, const char *at)
{
    const char *p = at - 1;
    while (p > text) {
        p--;
        size_t backslashes = 0;
        while (*p == '"' && p - backslashes > text && p[-1 - (ptrdiff_t)backslashes] == '\\') {
            backslashes++;
        }
        if (*p == '"' && backslashes % 2 == 0) {
            return p;
        }
    }
    return text;
}

static int32_t
fail_jansson(const struct parse *p, const json_error_t *error, struct dlq_error *err)
{
    const size_t offset = error->position > 0 ? (size_t)error->position : 0;
    const char *at = p->text + (offset <= p->len ? offset : p->len);
    char message[120];
    switch (json_error_code(error)) {
    case json_error_duplicate_key:
        at = name_before(p->text, at);
        snprintf(message, sizeof(message), "the member %.80s occurs twice in one object",
                 strrchr(error->text, '\'') ? error->text + strlen("duplicate object key near ")
                                            : "");
        return fail_at(p, err, at, message);
    case json_error_null_byte_in_key:
        return fail_at(p, err, name_before(p->text, at), "a zero byte in a member's name");
    case json_error_numeric_overflow:
        while (at > p->text && at[-1] && strchr("0123456789+-.eE", at[-1])) {
            at--;
        }
        return fail_at(p, err, at, out_of_range);
    default:
        // Everything else was checked before, what is left is memory.
        return fail_memory(p, err);
    }
}

static int32_t
load(struct parse *p, json_t **out, struct dlq_error *err)
{
    char *copy = NULL;
    if (p->n_specials > 0) {
        copy = dlq_strndup(p->a, p->text, p->len);
        if (!copy) {
            return fail_memory(p, err);
        }
    }
    for (size_t i = 0; i < p->n_specials; i++) {
        struct special *const s = &p->specials[i];
        if (s->value == 0) {
            s->value = strtod(copy + s->offset, NULL);
            if (isinf(s->value)) {
                dlq_free(p->a, copy);
                return fail_at(p, err, p->text + s->offset, out_of_range);
            }
        }
        memset(copy + s->offset, ' ', s->len);
        copy[s->offset] = '0';
    }
    // jansson (to 2.14 at least, its issue 362) does not look whether its token buffer could grow
    // and then loses bytes or writes behind its blocks. That buffer is at most a few times the
    // text, and what is built before it grows takes memory too: see that there is room for all of
    // it. Volatile, or clang leaves out a pair of malloc() and free().
    void *volatile room = malloc(4 * p->len + MAX_VALUE_BYTES * p->n_values + 4096);
    if (!room) {
        dlq_free(p->a, copy);
        return fail_memory(p, err);
    }
    free(room);
    const size_t flags = JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY;
    json_error_t error = {0};
    *out = json_loadb(copy ? copy : p->text, p->len, flags, &error);
    dlq_free(p->a, copy);
    return *out ? DLQ_OK : fail_jansson(p, &error, err);
}

static const char *
copy_string(struct parse *p, const char *text, size_t len)
{
    char *const s = p->strings;
    memcpy(s, text, len);
    s[len] = '\0';
    p->strings += len + 1;
    return s;
}

static void
copy_number(struct parse *p, const json_t *from, struct dlq_json *to)
{
    const size_t ordinal = p->number++;
    to->type = DLQ_JSON_REAL;
    if (p->special < p->n_specials && p->specials[p->special].ordinal == ordinal) {
        to->u.f = p->specials[p->special++].value;
    } else if (json_is_integer(from)) {
        to->type = DLQ_JSON_INT;
        to->u.i = json_integer_value(from);
    } else {
        to->u.f = json_real_value(from);
    }
}

static void
copy_value(struct parse *p, json_t *from, struct dlq_json *to);

static void
copy_children(struct parse *p, json_t *from, struct dlq_json *to)
{
    const bool object = json_is_object(from);
    struct dlq_json *const children = p->nodes + p->n_nodes;
    to->type = object ? DLQ_JSON_OBJECT : DLQ_JSON_ARRAY;
    to->size = object ? json_object_size(from) : json_array_size(from);
    to->u.children = children;
    p->n_nodes += to->size;
    void *member = object ? json_object_iter(from) : NULL;
    for (size_t i = 0; i < to->size; i++) {
        if (object) {
            const char *const key = json_object_iter_key(member);
            children[i].key = copy_string(p, key, strlen(key));
            copy_value(p, json_object_iter_value(member), &children[i]);
            member = json_object_iter_next(from, member);
        } else {
            copy_value(p, json_array_get(from, i), &children[i]);
        }
    }
}

static void
copy_value(struct parse *p, json_t *from, struct dlq_json *to)
{
    switch (json_typeof(from)) {
    case JSON_OBJECT:
    case JSON_ARRAY:
        copy_children(p, from, to);
        break;
    case JSON_STRING:
        to->type = DLQ_JSON_STRING;
        to->size = json_string_length(from);
        to->u.s = copy_string(p, json_string_value(from), to->size);
        break;
    case JSON_INTEGER:
    case JSON_REAL:
        copy_number(p, from, to);
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        to->type = DLQ_JSON_BOOL;
        to->u.i = json_is_true(from);
        break;
    case JSON_NULL:
        to->type = DLQ_JSON_NULL;
        break;
    }
}

int32_t
dlq_json_parse(const struct dlq_allocator *a, const char *origin, const char *text, size_t len,
               struct dlq_json **out, struct dlq_error *err)
{
    struct parse p = {.a = a, .origin = origin ? origin : "JSON text", .text = text, .len = len};
    json_t *tree = NULL;
    int32_t rc = scan(&p, err);
    if (rc == DLQ_OK) {
        rc = load(&p, &tree, err);
    }
    if (rc == DLQ_OK) {
        // A string needs no more room than it takes in the text: its zero fits where a quote was.
        const size_t nodes = p.n_values * sizeof(struct dlq_json);
        p.nodes = dlq_calloc(a, 1, nodes + len);
        rc = p.nodes ? DLQ_OK : fail_memory(&p, err);
    }
    if (rc == DLQ_OK) {
        p.strings = (char *)(p.nodes + p.n_values);
        p.n_nodes = 1;
        copy_value(&p, tree, p.nodes);
        *out = p.nodes;
    }
    json_decref(tree);
    dlq_free(a, p.specials);
    return rc;
}

void
dlq_json_free(const struct dlq_allocator *a, struct dlq_json *root)
{
    dlq_free(a, root);
}
