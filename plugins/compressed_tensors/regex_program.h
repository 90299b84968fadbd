// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CT_REGEX_PROGRAM_H
#define DLQ_CT_REGEX_PROGRAM_H

#include "regex.h"

/// What regex.c compiles patterns to and regex_match.c runs.

#define CT_REGEX_MAX_SETS 128

/// Looks are known by bits of one word.
#define CT_REGEX_MAX_LOOKS 32

enum ct_regex_op {
    OP_SET,   // one byte of sets[x]
    OP_SPLIT, // go on at pc + x and at pc + y
    OP_JUMP,  // go on at pc + x
    OP_BEGIN, // at the start of the text
    OP_END,   // at the end of the text
    OP_WORD,  // at a border of a word (x = 1) or not (x = 0)
    OP_LOOK,  // pc + 1 up to pc + x - 1 matches here or not, as y says; go on at pc + x
    OP_MATCH  // of the program, or of a look
};

struct ct_regex_inst {
    uint8_t op;
    int16_t x;
    int16_t y;
};

struct ct_regex_set {
    uint32_t bits[8]; // one bit a byte
};

struct ct_regex {
    int32_t n_insts;
    int32_t n_sets;
    int32_t n_looks; // repeated looks count once
    struct ct_regex_inst insts[CT_REGEX_MAX];
    struct ct_regex_set sets[CT_REGEX_MAX_SETS];
};

static inline bool
ct_regex_set_has(const struct ct_regex_set *s, unsigned byte)
{
    return (s->bits[byte / 32] >> byte % 32 & 1u) != 0;
}

/// `y` of OP_LOOK: which of the looks it is, and what it wants.
static inline int
ct_regex_look(int index, bool wanted)
{
    return 2 * index + wanted;
}

/// Letters, digits, the underscore, and every byte of a character beyond ASCII.
static inline bool
ct_regex_is_word(unsigned byte)
{
    return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
           (byte >= 'A' && byte <= 'Z') || byte == '_' || byte >= 0x80;
}

#endif // DLQ_CT_REGEX_PROGRAM_H
