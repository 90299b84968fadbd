// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "regex_emit.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool
ct_regex_fail(struct ct_regex_parser *c, const char *fmt, ...)
{
    if (!c->failed) {
        char text[128];
        va_list args;
        va_start(args, fmt);
        vsnprintf(text, sizeof(text), fmt, args);
        va_end(args);
        snprintf(c->why, c->why_size, "%s at position %zu", text, (size_t)(c->p - c->pattern));
        c->failed = true;
    }
    return false;
}

bool
ct_regex_emit(struct ct_regex_parser *c, enum ct_regex_op op, int x, int y)
{
    if (c->out->n_insts == CT_REGEX_MAX) {
        return ct_regex_fail(c, "the pattern is too large");
    }
    c->out->insts[c->out->n_insts++] = (struct ct_regex_inst){(uint8_t)op, (int16_t)x, (int16_t)y};
    return true;
}

bool
ct_regex_insert(struct ct_regex_parser *c, int32_t pos, enum ct_regex_op op, int x, int y)
{
    if (!ct_regex_emit(c, op, x, y)) {
        return false;
    }
    struct ct_regex_inst *const insts = c->out->insts;
    memmove(insts + pos + 1, insts + pos, (size_t)(c->out->n_insts - 1 - pos) * sizeof(*insts));
    insts[pos] = (struct ct_regex_inst){(uint8_t)op, (int16_t)x, (int16_t)y};
    return true;
}

void
ct_regex_set_add(struct ct_regex_set *s, unsigned byte)
{
    s->bits[byte / 32] |= 1u << byte % 32;
}

// Whether `byte` belongs to \d, \w or \s.
static bool
in_class(char class, unsigned byte)
{
    switch (class) {
    case 'd':
        return byte >= '0' && byte <= '9';
    case 'w':
        return ct_regex_is_word(byte);
    default:
        return byte == ' ' || (byte >= '\t' && byte <= '\r');
    }
}

void
ct_regex_set_add_class(struct ct_regex_set *s, char class)
{
    const bool negated = class >= 'A' && class <= 'Z';
    const char lower = (char)(negated ? class - 'A' + 'a' : class);
    for (unsigned b = 1; b < 256; b++) {
        if (in_class(lower, b) != negated) {
            ct_regex_set_add(s, b);
        }
    }
}

bool
ct_regex_emit_set(struct ct_regex_parser *c, const struct ct_regex_set *s)
{
    struct ct_regex *const r = c->out;
    int32_t i = 0;
    while (i < r->n_sets && memcmp(&r->sets[i], s, sizeof(*s)) != 0) {
        i++;
    }
    if (i == CT_REGEX_MAX_SETS) {
        return ct_regex_fail(c, "the pattern has too many different character sets");
    }
    r->sets[i] = *s;
    r->n_sets += i == r->n_sets;
    return ct_regex_emit(c, OP_SET, i, 0);
}

bool
ct_regex_emit_byte(struct ct_regex_parser *c, unsigned byte)
{
    struct ct_regex_set s = {{0}};
    ct_regex_set_add(&s, byte);
    return ct_regex_emit_set(c, &s);
}

bool
ct_regex_emit_repeat(struct ct_regex_parser *c, int32_t start, int min, int max)
{
    struct ct_regex_inst piece[CT_REGEX_MAX];
    const int32_t len = c->out->n_insts - start;
    memcpy(piece, c->out->insts + start, (size_t)len * sizeof(*piece));
    c->out->n_insts = start;
    const int copies = max < 0 ? (min > 0 ? min : 1) : max;
    for (int i = 0; i < copies; i++) {
        // An optional copy can be left out together with all behind it; the jump is set below.
        const int32_t begin = c->out->n_insts;
        if (i >= min && !ct_regex_emit(c, OP_SPLIT, 1, 0)) {
            return false;
        }
        if (c->out->n_insts + len > CT_REGEX_MAX) {
            return ct_regex_fail(c, "the pattern is too large");
        }
        memcpy(c->out->insts + c->out->n_insts, piece, (size_t)len * sizeof(*piece));
        c->out->n_insts += len;
        if (max < 0 && i == copies - 1) {
            // The last copy loops: back to the SPLIT of "*", or by a SPLIT behind it for "+".
            const int back = begin - c->out->n_insts;
            if (!(min > 0 ? ct_regex_emit(c, OP_SPLIT, back, 1)
                          : ct_regex_emit(c, OP_JUMP, back, 0))) {
                return false;
            }
        }
        if (i >= min) {
            c->out->insts[begin].y = (int16_t)(c->out->n_insts - begin);
        }
    }
    return true;
}
