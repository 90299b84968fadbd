// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "regex_program.h"

#include <string.h>

/// A machine that runs all alternatives at once (Thompson 1968), so that no pattern makes it go
/// back.

/// The instructions that are alive at one place of the text.
struct threads {
    int32_t n;
    int16_t pc[CT_REGEX_MAX];
    uint8_t seen[CT_REGEX_MAX];
};

static bool
run(const struct ct_regex *r, int32_t start, const char *text, const char *at);

static bool
at_word_border(const char *text, const char *at)
{
    const bool before = at > text && ct_regex_is_word((unsigned char)at[-1]);
    return before != ct_regex_is_word((unsigned char)*at);
}

// Follow everything that takes no byte. Returns true when a MATCH is reached.
static bool
add(const struct ct_regex *r, struct threads *t, int32_t start, const char *text, const char *at)
{
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
            next = run(r, pc + 1, text, at) == (i->y == 1) ? pc + i->x : -1;
        }
        if (next >= 0 && !t->seen[next]) {
            stack[top++] = (int16_t)next;
        }
    }
    return false;
}

static bool
run(const struct ct_regex *r, int32_t start, const char *text, const char *at)
{
    struct threads lists[2];
    struct threads *now = &lists[0];
    struct threads *next = &lists[1];
    now->n = 0;
    memset(now->seen, 0, (size_t)r->n_insts);
    if (add(r, now, start, text, at)) {
        return true;
    }
    for (; *at != '\0' && now->n > 0; at++) {
        next->n = 0;
        memset(next->seen, 0, (size_t)r->n_insts);
        for (int32_t i = 0; i < now->n; i++) {
            const struct ct_regex_inst *const inst = &r->insts[now->pc[i]];
            if (ct_regex_set_has(&r->sets[inst->x], (unsigned char)*at) &&
                add(r, next, now->pc[i] + 1, text, at + 1)) {
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
    return run(regex, 0, text, text);
}
