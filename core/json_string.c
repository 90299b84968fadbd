// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "json_reader.h"

#include <string.h>

/// What stands between the quotes of a JSON string.

static int
hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// The four digits behind "\u", or -1.
static int
hex4(const char *p, const char *end)
{
    if (end - p < 4) {
        return -1;
    }
    int value = 0;
    for (int i = 0; i < 4; i++) {
        const int digit = hex_digit(p[i]);
        if (digit < 0) {
            return -1;
        }
        value = value * 16 + digit;
    }
    return value;
}

const char *
dlq_json_escape_end(const char *p, const char *end)
{
    if (p >= end) {
        return NULL;
    }
    if (*p != 'u') {
        return memchr("\"\\/bfnrt", *p, 8) ? p + 1 : NULL;
    }
    const int unit = hex4(p + 1, end);
    if (unit < 0 || (unit >= 0xDC00 && unit <= 0xDFFF)) {
        return NULL;
    }
    p += 5;
    if (unit >= 0xD800 && unit <= 0xDBFF) {
        const int low = end - p >= 6 && p[0] == '\\' && p[1] == 'u' ? hex4(p + 2, end) : -1;
        if (low < 0xDC00 || low > 0xDFFF) {
            return NULL;
        }
        p += 6;
    }
    return p;
}

static char *
put_utf8(char *dst, uint32_t c)
{
    if (c < 0x80) {
        *dst++ = (char)c;
        return dst;
    }
    if (c < 0x800) {
        *dst++ = (char)(0xC0 | c >> 6);
    } else {
        if (c < 0x10000) {
            *dst++ = (char)(0xE0 | c >> 12);
        } else {
            *dst++ = (char)(0xF0 | c >> 18);
            *dst++ = (char)(0x80 | (c >> 12 & 0x3F));
        }
        *dst++ = (char)(0x80 | (c >> 6 & 0x3F));
    }
    *dst++ = (char)(0x80 | (c & 0x3F));
    return dst;
}

size_t
dlq_json_unescape(const struct dlq_json_span *span, char *dst)
{
    if (!span->escaped) {
        memmove(dst, span->at, span->len);
        return span->len;
    }
    const char *p = span->at;
    const char *const end = p + span->len;
    char *out = dst;
    while (p < end) {
        if (*p != '\\') {
            *out++ = *p++;
            continue;
        }
        const char kind = p[1];
        if (kind == 'u') {
            uint32_t c = (uint32_t)hex4(p + 2, end);
            p += 6;
            if (c >= 0xD800 && c <= 0xDBFF) {
                c = 0x10000 + ((c - 0xD800) << 10) + ((uint32_t)hex4(p + 2, end) - 0xDC00);
                p += 6;
            }
            out = put_utf8(out, c);
            continue;
        }
        static const char from[] = "bfnrt";
        static const char to[] = "\b\f\n\r\t";
        const char *const hit = strchr(from, kind);
        *out++ = hit ? to[hit - from] : kind;
        p += 2;
    }
    return (size_t)(out - dst);
}

char *
dlq_json_take(char *text, const struct dlq_json_span *span)
{
    char *const string = text + (span->at - text);
    const size_t len = dlq_json_unescape(span, string);
    string[len] = '\0';
    return strlen(string) == len ? string : NULL;
}

bool
dlq_json_span_equal(const struct dlq_json_span *span, const char *text)
{
    const size_t len = strlen(text);
    if (!span->escaped) {
        return span->len == len && memcmp(span->at, text, len) == 0;
    }
    // An escape is at most six times longer than the character it stands for, and a name that we
    // look for is short.
    char plain[256];
    return span->len <= sizeof(plain) && dlq_json_unescape(span, plain) == len &&
           memcmp(plain, text, len) == 0;
}
