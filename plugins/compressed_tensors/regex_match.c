// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "regex_program.h"

#include <string.h>

/// A machine that runs all alternatives at once (Thompson 1968), so that no pattern makes it go
/// back. What a look finds at a place is kept: looks inside looks would ask again and again.

/// The instructions that are alive at one place of the text.
struct threads {
    int32_t n;
    int16_t pc[CT_REGEX_MAX];
    uint8_t seen[CT_REGEX_MAX];
};

/// One text that is matched, and what looks have found in it, a bit for each of them.
struct match {
    const struct ct_regex *r;
    const char *text;
    uint32_t known[CT_REGEX_MAX_TEXT + 1];
    uint32_t holds[CT_REGEX_MAX_TEXT + 1];
};

static bool
run(struct match *m, int32_t start, const char *at);

static bool
at_word_border(const char *text, const char *at)
{
    const bool before = at > text && ct_regex_is_word((unsigned char)at[-1]);
    return before != ct_regex_is_word((unsigned char)*at);
}

// Whether the look at `pc` lets pass here.
static bool
look(struct match *m, int32_t pc, const char *at)
{
    const int32_t y = m->r->insts[pc].y;
    const bool wanted = y % 2 == 1;
    const uint32_t bit = 1u << y / 2;
    const size_t place = (size_t)(at - m->text);
    const bool kept = place <= CT_REGEX_MAX_TEXT;
    if (kept && (m->known[place] & bit) != 0) {
        return ((m->holds[place] & bit) != 0) == wanted;
    }
    const bool found = run(m, pc + 1, at);
    if (kept) {
        m->known[place] |= bit;
        m->holds[place] |= found ? bit : 0;
    }
    return found == wanted;
}

// Follow everything that takes no byte. Returns true when a MATCH is reached.
static bool
add(struct match *m, struct threads *t, int32_t start, const char *at)
{
    const struct ct_regex *const r = m->r;
    const char *const text = m->text;
    int16_t stack[CT_REGEX_MAX + 1];
    int32_t top = 0;
    stack[top++] = (int16_t)start;
    while (top > 0) {
        const int32_t pc = stack[--top];
        if (t->seen[pc]) {
            continue;
        }
        t->seen[pc] = 1;
        const struct ct_regex_inst *const i = &r->insts[pc];
        int32_t next = -1;
        switch (i->op) {
        case OP_MATCH:
            return true;
        case OP_SET:
            t->pc[t->n++] = (int16_t)pc;
            break;
        case OP_SPLIT:
            // At most one entry more a new instruction: the stack cannot overflow.
            if (!t->seen[pc + i->y]) {
                stack[top++] = (int16_t)(pc + i->y);
            }
            next = pc + i->x;
            break;
        case OP_JUMP:
            next = pc + i->x;
            break;
        case OP_BEGIN:
            next = at == text ? pc + 1 : -1;
            break;
        case OP_END:
            next = *at == '\0' ? pc + 1 : -1;
            break;
        case OP_WORD:
            next = at_word_border(text, at) == (i->x == 1) ? pc + 1 : -1;
            break;
        default: // OP_LOOK
            next = look(m, pc, at) ? pc + i->x : -1;
        }
        if (next >= 0 && !t->seen[next]) {
            stack[top++] = (int16_t)next;
        }
    }
    return false;
}

static bool
run(struct match *m, int32_t start, const char *at)
{
    const struct ct_regex *const r = m->r;
    struct threads lists[2];
    struct threads *now = &lists[0];
    struct threads *next = &lists[1];
    now->n = 0;
    memset(now->seen, 0, (size_t)r->n_insts);
    if (add(m, now, start, at)) {
        return true;
    }
    for (; *at != '\0' && now->n > 0; at++) {
        next->n = 0;
        memset(next->seen, 0, (size_t)r->n_insts);
        for (int32_t i = 0; i < now->n; i++) {
            const struct ct_regex_inst *const inst = &r->insts[now->pc[i]];
            if (ct_regex_set_has(&r->sets[inst->x], (unsigned char)*at) &&
                add(m, next, now->pc[i] + 1, at + 1)) {
                return true;
            }
        }
        struct threads *const swap = now;
        now = next;
        next = swap;
    }
    return false;
}

bool
ct_regex_match(const struct ct_regex *regex, const char *text)
{
    struct match m;
    m.r = regex;
    m.text = text;
    if (regex->n_looks > 0) {
        memset(m.known, 0, sizeof(m.known));
        memset(m.holds, 0, sizeof(m.holds));
    }
    return run(&m, 0, text);
}
