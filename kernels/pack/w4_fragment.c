// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
#include "w4_fragment.h"

#include <string.h>

// Nibble of an AWQ word that holds column j of its eight.
static const uint8_t awq_nibble[8] = {0, 4, 1, 5, 2, 6, 3, 7};

struct geometry {
    int group; // of the packed form
    int strips, units;
    size_t unit_bytes;
};

// A position in the packed form: the word's byte offset, the nibble in it, and the byte offset of
// the row's pair.
struct place {
    size_t word, pair;
    int nibble;
};

int
dlq_k_w4_packed_group(int k, int group)
{
    if (group == 0 || group == k)
        return 0;
    if (group == 32 || group == 64)
        return group;
    return group > 0 && group % 128 == 0 ? 128 : -1;
}

static int
geometry_init(struct geometry *geo, int n, int k, int group)
{
    if (n < 1 || k < 1)
        return -1;
    geo->group = dlq_k_w4_packed_group(k, group);
    if (geo->group < 0)
        return -1;
    geo->strips = (n + 63) / 64 * 4;
    geo->units = (k + 127) / 128;
    geo->unit_bytes = DLQ_K_W4_UNIT_WEIGHTS;
    if (geo->group)
        geo->unit_bytes += (size_t)(128 / geo->group) * DLQ_K_W4_PAIRS;
    return 0;
}

static size_t
strips_bytes(const struct geometry *geo)
{
    return (size_t)geo->strips * (size_t)geo->units * geo->unit_bytes;
}

size_t
dlq_k_w4_packed_bytes(int n, int k, int group)
{
    struct geometry geo;
    if (geometry_init(&geo, n, k, group))
        return 0;
    return strips_bytes(&geo) + (geo.group ? 0 : (size_t)geo.strips * DLQ_K_W4_PAIRS);
}

static struct place
place_of(const struct geometry *geo, int row, int col)
{
    const int strip = row / 16, r = row % 8, high_row = row % 16 / 8;
    const int unit = col / 128, block = col % 128 / 64, j = col % 64 / 16;
    const int t = col % 8 / 2, odd = col % 2, high_col = col % 16 / 8;
    const size_t base = ((size_t)strip * (size_t)geo->units + (size_t)unit) * geo->unit_bytes;
    struct place at;
    at.word = base + (size_t)(block * 512 + (4 * r + t) * 16 + 4 * j);
    at.nibble = 4 * odd + 2 * high_col + high_row;
    const size_t pairs = geo->group ? base + DLQ_K_W4_UNIT_WEIGHTS +
                                          (size_t)(col % 128 / geo->group) * DLQ_K_W4_PAIRS
                                    : strips_bytes(geo) + (size_t)strip * DLQ_K_W4_PAIRS;
    at.pair = pairs + (size_t)(8 * r + 4 * high_row);
    return at;
}

// fp16 and bf16 bits of the integers 0..15.
static uint16_t
integer_bits(unsigned value, int bf16)
{
    if (value == 0)
        return 0;
    unsigned top = 0;
    while (value >> (top + 1))
        top++;
    const unsigned below = value - (1u << top);
    return (uint16_t)(bf16 ? (127 + top) << 7 | below << (7 - top)
                           : (15 + top) << 10 | below << (10 - top));
}

struct reader {
    unsigned (*code)(const struct dlq_k_w4_source *s, int row, int col);
    unsigned (*zero)(const struct dlq_k_w4_source *s, int groups, int row, int g);
    uint16_t (*scale)(const struct dlq_k_w4_source *s, int groups, int row, int g);
};

static unsigned
awq_code(const struct dlq_k_w4_source *s, int row, int col)
{
    return s->weights[(size_t)col * (size_t)(s->n / 8) + (size_t)(row / 8)] >>
               4 * awq_nibble[row % 8] &
           15;
}

static unsigned
awq_zero(const struct dlq_k_w4_source *s, int groups, int row, int g)
{
    (void)groups;
    return s->zeros[(size_t)g * (size_t)(s->n / 8) + (size_t)(row / 8)] >> 4 * awq_nibble[row % 8] &
           15;
}

static uint16_t
awq_scale(const struct dlq_k_w4_source *s, int groups, int row, int g)
{
    (void)groups;
    return s->scales[(size_t)g * (size_t)s->n + (size_t)row];
}

static unsigned
ct_code(const struct dlq_k_w4_source *s, int row, int col)
{
    return s->weights[(size_t)row * (size_t)((s->k + 7) / 8) + (size_t)(col / 8)] >> 4 * (col % 8) &
           15;
}

static unsigned
ct_zero(const struct dlq_k_w4_source *s, int groups, int row, int g)
{
    return s->zeros[(size_t)(row / 8) * (size_t)groups + (size_t)g] >> 4 * (row % 8) & 15;
}

static uint16_t
ct_scale(const struct dlq_k_w4_source *s, int groups, int row, int g)
{
    return s->scales[(size_t)row * (size_t)groups + (size_t)g];
}

static int
pack(const struct dlq_k_w4_source *s, const struct reader *read, unsigned char *out)
{
    struct geometry geo;
    if (geometry_init(&geo, s->n, s->k, s->group))
        return -1;
    const int size = geo.group ? s->group : s->k, groups = (s->k + size - 1) / size;
    memset(out, 0, dlq_k_w4_packed_bytes(s->n, s->k, s->group));
    for (int row = 0; row < s->n; row++) {
        for (int col = 0; col < geo.units * 128; col++) {
            // Inputs past k still belong to the last group when that group reaches over the end.
            const int g = col / size;
            if (g >= groups)
                break;
            const struct place at = place_of(&geo, row, col);
            const unsigned zero = s->zeros ? read->zero(s, groups, row, g) : 8;
            const unsigned code = col < s->k ? read->code(s, row, col) : zero;
            const uint16_t pair[2] = {read->scale(s, groups, row, g), integer_bits(zero, s->bf16)};
            out[at.word + (size_t)(at.nibble / 2)] |= (unsigned char)(code << 4 * (at.nibble % 2));
            memcpy(out + at.pair, pair, sizeof pair);
        }
    }
    return 0;
}

int
dlq_k_w4_pack_awq(const struct dlq_k_w4_source *source, void *out)
{
    static const struct reader awq = {awq_code, awq_zero, awq_scale};
    return source->n % 8 ? -1 : pack(source, &awq, out);
}

int
dlq_k_w4_pack_ct(const struct dlq_k_w4_source *source, void *out)
{
    static const struct reader ct = {ct_code, ct_zero, ct_scale};
    return pack(source, &ct, out);
}

void
dlq_k_w4_packed_at(const void *packed, int n, int k, int group, int row, int col, unsigned *code,
                   uint16_t *scale, uint16_t *zero)
{
    struct geometry geo;
    if (geometry_init(&geo, n, k, group))
        return;
    const struct place at = place_of(&geo, row, col);
    const unsigned char *bytes = packed;
    *code = bytes[at.word + (size_t)(at.nibble / 2)] >> 4 * (at.nibble % 2) & 15u;
    memcpy(scale, bytes + at.pair, sizeof *scale);
    memcpy(zero, bytes + at.pair + 2, sizeof *zero);
}
