// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "json_node.h"

#include "config.h"

#include <stdbool.h>
#include <string.h>

static bool
has_children(const struct dlq_json *node)
{
    return node && (node->type == DLQ_JSON_OBJECT || node->type == DLQ_JSON_ARRAY);
}

// Whether `len` bytes of a pointer's token stand for `key`; a "~" is only valid in "~0" and "~1".
static bool
token_is(const char *token, size_t len, const char *key)
{
    size_t k = 0;
    for (size_t i = 0; i < len; i++, k++) {
        char c = token[i];
        if (c == '~') {
            i++;
            if (i == len || (token[i] != '0' && token[i] != '1')) {
                return false;
            }
            c = token[i] == '0' ? '~' : '/';
        }
        if (key[k] != c) {
            return false;
        }
    }
    return key[k] == '\0';
}

static const struct dlq_json *
element(const struct dlq_json *array, const char *token, size_t len)
{
    size_t index = 0;
    if (len == 0 || len > 9 || (len > 1 && token[0] == '0')) {
        return NULL;
    }
    for (size_t i = 0; i < len; i++) {
        if (token[i] < '0' || token[i] > '9') {
            return NULL;
        }
        index = index * 10 + (size_t)(token[i] - '0');
    }
    return dlq_json_at(array, index);
}

static const struct dlq_json *
child(const struct dlq_json *node, const char *token, size_t len)
{
    if (node->type == DLQ_JSON_ARRAY) {
        return element(node, token, len);
    }
    for (size_t i = 0; node->type == DLQ_JSON_OBJECT && i < node->size; i++) {
        if (token_is(token, len, node->u.children[i].key)) {
            return &node->u.children[i];
        }
    }
    return NULL;
}

const struct dlq_json *
dlq_json_get(const struct dlq_json *node, const char *pointer)
{
    while (node && *pointer == '/') {
        const char *const token = pointer + 1;
        const size_t len = strcspn(token, "/");
        node = child(node, token, len);
        pointer = token + len;
    }
    return *pointer == '\0' ? node : NULL;
}

const struct dlq_json *
dlq_json_member(const struct dlq_json *node, const char *name)
{
    for (size_t i = 0; node && node->type == DLQ_JSON_OBJECT && i < node->size; i++) {
        if (strcmp(node->u.children[i].key, name) == 0) {
            return &node->u.children[i];
        }
    }
    return NULL;
}

int32_t
dlq_json_type(const struct dlq_json *node)
{
    return node ? node->type : DLQ_JSON_NULL;
}

const char *
dlq_json_type_name(int32_t type)
{
    static const char *const names[] = {
        [DLQ_JSON_NULL] = "null",       [DLQ_JSON_BOOL] = "a truth value",
        [DLQ_JSON_INT] = "an integer",  [DLQ_JSON_REAL] = "a real number",
        [DLQ_JSON_STRING] = "a string", [DLQ_JSON_ARRAY] = "an array",
        [DLQ_JSON_OBJECT] = "an object"};
    return type >= 0 && type <= DLQ_JSON_OBJECT ? names[type] : "nothing";
}

size_t
dlq_json_size(const struct dlq_json *node)
{
    return has_children(node) ? node->size : 0;
}

const struct dlq_json *
dlq_json_at(const struct dlq_json *node, size_t index)
{
    return index < dlq_json_size(node) ? &node->u.children[index] : NULL;
}

const char *
dlq_json_key(const struct dlq_json *node, size_t index)
{
    const struct dlq_json *const member = dlq_json_at(node, index);
    return member ? member->key : NULL;
}

int32_t
dlq_json_i64(const struct dlq_json *node, int64_t *out)
{
    if (dlq_json_type(node) != DLQ_JSON_INT) {
        return DLQ_EDTYPE;
    }
    *out = node->u.i;
    return DLQ_OK;
}

int32_t
dlq_json_f64(const struct dlq_json *node, double *out)
{
    const int32_t type = dlq_json_type(node);
    if (type != DLQ_JSON_INT && type != DLQ_JSON_REAL) {
        return DLQ_EDTYPE;
    }
    *out = type == DLQ_JSON_INT ? (double)node->u.i : node->u.f;
    return DLQ_OK;
}

int32_t
dlq_json_bool(const struct dlq_json *node, int32_t *out)
{
    if (dlq_json_type(node) != DLQ_JSON_BOOL) {
        return DLQ_EDTYPE;
    }
    *out = (int32_t)node->u.i;
    return DLQ_OK;
}

int32_t
dlq_json_str(const struct dlq_json *node, const char **out, size_t *len)
{
    if (dlq_json_type(node) != DLQ_JSON_STRING) {
        return DLQ_EDTYPE;
    }
    *out = node->u.s;
    if (len) {
        *len = node->size;
    }
    return DLQ_OK;
}
