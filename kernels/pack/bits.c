// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "bits.h"

int64_t
dlq_bits_words(enum dlq_bits_layout layout, int64_t count, int bits)
{
    if (bits < 1 || bits > 8 || count < 0) {
        return 0;
    }
    if (layout == DLQ_BITS_PADDED) {
        const int64_t per_word = 32 / bits;
        return (count + per_word - 1) / per_word;
    }
    // count = 32 a + b takes a * bits whole words and those of the remainder: no overflow for any
    // count.
    return count / 32 * bits + (count % 32 * bits + 31) / 32;
}

enum dlq_bits_layout
dlq_bits_detect(int64_t count, int bits, int64_t words)
{
    if (bits < 1 || bits > 8 || count < 1) {
        return DLQ_BITS_NONE;
    }
    const bool dense = words == dlq_bits_words(DLQ_BITS_DENSE, count, bits);
    const bool padded = words == dlq_bits_words(DLQ_BITS_PADDED, count, bits);
    const bool same = 32 % bits == 0 || count <= 32 / bits;
    if (dense && (same || !padded)) {
        return DLQ_BITS_DENSE;
    }
    return padded ? (dense ? DLQ_BITS_EITHER : DLQ_BITS_PADDED) : DLQ_BITS_NONE;
}

enum dlq_bits_layout
dlq_bits_detect_row(const uint32_t *words, int64_t stride, int64_t count, int bits)
{
    const int64_t n_words = dlq_bits_words(DLQ_BITS_DENSE, count, bits);
    const int used = 32 / bits * bits;
    bool padded = true;
    for (int64_t w = 0; w < n_words && used < 32; w++) {
        padded = padded && words[w * stride] >> used == 0;
    }
    const int tail = (int)(count % 32 * bits % 32);
    const bool dense = n_words == 0 || tail == 0 || words[(n_words - 1) * stride] >> tail == 0;
    if (dense == padded) {
        return DLQ_BITS_EITHER;
    }
    return padded ? DLQ_BITS_PADDED : DLQ_BITS_DENSE;
}

uint32_t
dlq_bits_get(const uint32_t *words, int64_t stride, enum dlq_bits_layout layout, int bits,
             int64_t i)
{
    const uint32_t mask = (1u << bits) - 1u;
    if (layout == DLQ_BITS_PADDED) {
        const int64_t per_word = 32 / bits;
        return words[i / per_word * stride] >> (int)(i % per_word) * bits & mask;
    }
    const int64_t word = i / 32 * bits + i % 32 * bits / 32;
    const int shift = (int)(i % 32 * bits % 32);
    uint64_t v = words[word * stride];
    if (shift + bits > 32) {
        v |= (uint64_t)words[(word + 1) * stride] << 32;
    }
    return (uint32_t)(v >> shift) & mask;
}

void
dlq_bits_unpack(const uint32_t *words, int64_t stride, enum dlq_bits_layout layout, int bits,
                int64_t first, int64_t count, uint8_t *codes)
{
    const uint32_t mask = (1u << bits) - 1u;
    const int64_t per_word = 32 / bits;
    const bool whole = layout == DLQ_BITS_PADDED || 32 % bits == 0;
    int64_t i = 0;
    while (i < count) {
        if (whole && (first + i) % per_word == 0 && count - i >= per_word) {
            const uint32_t word = words[(first + i) / per_word * stride];
            for (int64_t j = 0; j < per_word; j++) {
                codes[i + j] = (uint8_t)(word >> (int)j * bits & mask);
            }
            i += per_word;
        } else {
            codes[i] = (uint8_t)dlq_bits_get(words, stride, layout, bits, first + i);
            i++;
        }
    }
}

void
dlq_bits_pack(const uint8_t *codes, int64_t count, enum dlq_bits_layout layout, int bits,
              uint32_t *words, int64_t stride)
{
    const int64_t n_words = dlq_bits_words(layout, count, bits);
    const int limit = layout == DLQ_BITS_PADDED ? 32 / bits * bits : 32;
    const uint32_t mask = (1u << bits) - 1u;
    uint64_t pending = 0;
    int have = 0;
    int64_t i = 0;
    for (int64_t w = 0; w < n_words; w++) {
        while (i < count && have < limit) {
            pending |= (uint64_t)(codes[i++] & mask) << have;
            have += bits;
        }
        words[w * stride] = (uint32_t)pending;
        pending = have > 32 ? pending >> 32 : 0;
        have = have > 32 ? have - 32 : 0;
    }
}

static bool
is_column_packing(int bits, int64_t rows, int64_t cols)
{
    return (bits == 1 || bits == 2 || bits == 4 || bits == 8) && rows >= 0 && cols >= 0 &&
           cols % (32 / bits) == 0;
}

bool
dlq_pack_cols(const uint8_t *q, int bits, int64_t rows, int64_t cols, uint32_t *packed)
{
    if (!is_column_packing(bits, rows, cols)) {
        return false;
    }
    const int64_t words = cols / (32 / bits);
    for (int64_t r = 0; r < rows; r++) {
        dlq_bits_pack(q + r * cols, cols, DLQ_BITS_DENSE, bits, packed + r * words, 1);
    }
    return true;
}

bool
dlq_unpack_cols(const uint32_t *packed, int bits, int64_t rows, int64_t cols, uint8_t *q)
{
    if (!is_column_packing(bits, rows, cols)) {
        return false;
    }
    const int64_t words = cols / (32 / bits);
    for (int64_t r = 0; r < rows; r++) {
        dlq_bits_unpack(packed + r * words, 1, DLQ_BITS_DENSE, bits, 0, cols, q + r * cols);
    }
    return true;
}
