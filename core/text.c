// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "text.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

void
dlq_text_position(const char *text, const char *at, size_t *line, size_t *column)
{
    *line = 1;
    *column = 1;
    for (const char *p = text; p < at; p++) {
        if (*p == '\n') {
            *line += 1;
            *column = 1;
        } else if (((unsigned char)*p & 0xC0) != 0x80) {
            *column += 1;
        }
    }
}

// Bytes of the character that begins at `p`, 0 when it is not valid.
static size_t
utf8_length(const unsigned char *p, size_t room)
{
    const unsigned c = p[0];
    if (c < 0x80) {
        return 1;
    }
    const size_t n = c >= 0xC2 && c <= 0xDF   ? 2
                     : (c & 0xF0) == 0xE0     ? 3
                     : c >= 0xF0 && c <= 0xF4 ? 4
                                              : 0;
    if (n == 0 || n > room) {
        return 0;
    }
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    // Overlong forms, surrogates, and characters above U+10FFFF.
    if ((c == 0xE0 && p[1] < 0xA0) || (c == 0xED && p[1] > 0x9F) || (c == 0xF0 && p[1] < 0x90) ||
        (c == 0xF4 && p[1] > 0x8F)) {
        return 0;
    }
    return n;
}

const char *
dlq_utf8_invalid(const char *text, size_t len)
{
    size_t i = 0;
    while (i < len) {
        uint64_t word;
        if (len - i >= sizeof(word)) {
            memcpy(&word, text + i, sizeof(word));
            if ((word & UINT64_C(0x8080808080808080)) == 0) {
                i += sizeof(word);
                continue;
            }
        }
        const size_t n = utf8_length((const unsigned char *)text + i, len - i);
        if (n == 0) {
            return text + i;
        }
        i += n;
    }
    return NULL;
}

// U+0080 to U+009F are control characters too.
static bool
is_control(const char *p)
{
    const unsigned char c = (unsigned char)*p;
    return c < 0x20 || c == 0x7F || (c == 0xC2 && (unsigned char)p[1] < 0xA0);
}

void
dlq_text_clean(char *text)
{
    const size_t len = strlen(text);
    for (size_t i = 0; i < len;) {
        const size_t n = utf8_length((const unsigned char *)text + i, len - i);
        if (n == 0 || is_control(text + i)) {
            memset(text + i, '?', n == 0 ? 1 : n);
        }
        i += n == 0 ? 1 : n;
    }
}

const char *
dlq_quote(char *buf, const char *text)
{
    // Room for one more character in its longest form, dots and the zero.
    const size_t room = DLQ_QUOTE_SIZE - 8;
    const size_t len = strlen(text);
    char *out = buf;
    for (size_t i = 0; i < len;) {
        const size_t n = utf8_length((const unsigned char *)text + i, len - i);
        const unsigned char c = (unsigned char)text[i];
        if ((size_t)(out - buf) + 4 > room) {
            memcpy(out, "...", 3);
            out += 3;
            break;
        }
        if (n > 0 && !is_control(text + i)) {
            memcpy(out, text + i, n);
            out += n;
            i += n;
        } else {
            static const char digits[] = "0123456789abcdef";
            const char hex[4] = {'\\', 'x', digits[c >> 4], digits[c & 15]};
            memcpy(out, hex, sizeof(hex));
            out += sizeof(hex);
            i++;
        }
    }
    *out = '\0';
    return buf;
}

int
dlq_edit_distance(const char *a, const char *b, int limit)
{
    // One row of the table of distances between beginnings of `a` and `b`; names are short.
    enum { MAX = 64 };
    const int la = (int)strnlen(a, MAX);
    const int lb = (int)strnlen(b, MAX);
    if (la == MAX || lb == MAX || la - lb > limit || lb - la > limit) {
        return limit + 1;
    }
    int row[MAX + 1];
    for (int j = 0; j <= lb; j++) {
        row[j] = j;
    }
    for (int i = 1; i <= la; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= lb; j++) {
            const int replace = diagonal + (a[i - 1] != b[j - 1]);
            const int shift = 1 + (row[j] < row[j - 1] ? row[j] : row[j - 1]);
            diagonal = row[j];
            row[j] = replace < shift ? replace : shift;
        }
    }
    return row[lb] <= limit ? row[lb] : limit + 1;
}
