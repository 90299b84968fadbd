// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "field.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MAX_UNKNOWN_WARNINGS = 8 };

const char *
dlq_text_clip(const char *text, char buf[DLQ_CLIP_SIZE])
{
    size_t n = 0;
    for (; text[n] != '\0' && n < DLQ_CLIP_SIZE - 4; n++) {
        buf[n] = (unsigned char)text[n] < 0x20 || text[n] == 0x7f ? '?' : text[n];
    }
    if (text[n] != '\0') {
        // Not in the middle of a UTF-8 sequence.
        while (n > 0 && ((unsigned char)text[n] & 0xC0) == 0x80) {
            n--;
        }
        memcpy(buf + n, "...", 3);
        n += 3;
    }
    buf[n] = '\0';
    return buf;
}

const char *
dlq_field_type_name(int32_t type)
{
    switch (type) {
    case DLQ_JSON_BOOL:
        return "a truth value";
    case DLQ_JSON_INT:
        return "an integer";
    case DLQ_JSON_REAL:
        return "a number that is no 64-bit integer";
    case DLQ_JSON_STRING:
        return "a string";
    case DLQ_JSON_ARRAY:
        return "an array";
    case DLQ_JSON_OBJECT:
        return "an object";
    default:
        return "null";
    }
}

void
dlq_host_log(const struct dlq_host *host, int32_t level, const char *fmt, ...)
{
    char line[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    host->log(host->ctx, level, line);
}

const struct dlq_json *
dlq_field_get(const struct dlq_fields *fields, const char *key)
{
    const struct dlq_host *const host = fields->host;
    const size_t n = fields->node ? host->json_size(fields->node) : 0;
    for (size_t i = 0; i < n; i++) {
        if (strcmp(host->json_key(fields->node, i), key) == 0) {
            const struct dlq_json *const value = host->json_at(fields->node, i);
            return host->json_type(value) == DLQ_JSON_NULL ? NULL : value;
        }
    }
    return NULL;
}

int32_t
dlq_field_fail(const struct dlq_fields *fields, const char *key, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    return fields->host->fail(fields->err, DLQ_ECONFIG, "%s%s: %s", fields->where, key, text);
}

static int32_t
wrong_type(const struct dlq_fields *fields, const char *key, const struct dlq_json *value,
           int32_t expected)
{
    return dlq_field_fail(fields, key, "%s is expected, %s was found",
                          dlq_field_type_name(expected),
                          dlq_field_type_name(fields->host->json_type(value)));
}

int32_t
dlq_field_i64(const struct dlq_fields *fields, const char *key, int64_t *out)
{
    const struct dlq_json *const value = dlq_field_get(fields, key);
    if (value && fields->host->json_i64(value, out) != DLQ_OK) {
        return wrong_type(fields, key, value, DLQ_JSON_INT);
    }
    return DLQ_OK;
}

int32_t
dlq_field_bool(const struct dlq_fields *fields, const char *key, bool *out)
{
    const struct dlq_json *const value = dlq_field_get(fields, key);
    int32_t truth = *out;
    if (value && fields->host->json_bool(value, &truth) != DLQ_OK) {
        return wrong_type(fields, key, value, DLQ_JSON_BOOL);
    }
    *out = truth != 0;
    return DLQ_OK;
}

static int32_t
read_text(const struct dlq_fields *fields, const char *key, const struct dlq_json *value,
          const char **out)
{
    const char *text = NULL;
    size_t len = 0;
    if (fields->host->json_str(value, &text, &len) != DLQ_OK) {
        return wrong_type(fields, key, value, DLQ_JSON_STRING);
    }
    if (strlen(text) != len) {
        return dlq_field_fail(fields, key, "the text holds a zero byte");
    }
    *out = text;
    return DLQ_OK;
}

int32_t
dlq_field_str(const struct dlq_fields *fields, const char *key, const char **out)
{
    const struct dlq_json *const value = dlq_field_get(fields, key);
    return value ? read_text(fields, key, value, out) : DLQ_OK;
}

int32_t
dlq_field_texts(const struct dlq_fields *fields, const char *key, const struct dlq_json **array,
                size_t *n)
{
    const struct dlq_host *const host = fields->host;
    *array = dlq_field_get(fields, key);
    *n = 0;
    if (*array && host->json_type(*array) != DLQ_JSON_ARRAY) {
        return dlq_field_fail(fields, key, "an array of strings is expected, %s was found",
                              dlq_field_type_name(host->json_type(*array)));
    }
    *n = *array ? host->json_size(*array) : 0;
    return DLQ_OK;
}

int32_t
dlq_field_element(const struct dlq_fields *fields, const char *key, const struct dlq_json *array,
                  size_t index, const char **out)
{
    char name[128];
    snprintf(name, sizeof(name), "%s/%zu", key, index);
    return read_text(fields, name, fields->host->json_at(array, index), out);
}

static bool
is_listed(const char *const *known, const char *key)
{
    for (; *known; known++) {
        if (strcmp(*known, key) == 0) {
            return true;
        }
    }
    return false;
}

void
dlq_field_warn_unknown(const struct dlq_fields *fields, const char *const *known)
{
    const struct dlq_host *const host = fields->host;
    const size_t n = fields->node ? host->json_size(fields->node) : 0;
    size_t unknown = 0;
    for (size_t i = 0; i < n; i++) {
        const char *const key = host->json_key(fields->node, i);
        if (!is_listed(known, key) && ++unknown <= MAX_UNKNOWN_WARNINGS) {
            char clip[DLQ_CLIP_SIZE];
            dlq_host_log(host, DLQ_LOG_WARN, "%s: %s%s: unknown field, ignored", fields->method,
                         fields->where, dlq_text_clip(key, clip));
        }
    }
    if (unknown > MAX_UNKNOWN_WARNINGS) {
        dlq_host_log(host, DLQ_LOG_WARN, "%s: %s: %zu more unknown fields, ignored", fields->method,
                     fields->where, unknown - MAX_UNKNOWN_WARNINGS);
    }
}
