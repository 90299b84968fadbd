// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_KERNELS_PACK_BITS_H
#define DLQ_KERNELS_PACK_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// Unsigned codes of 1 to 8 bits packed into little-endian int32 words.
///
/// DENSE, one bit string, LSB first; a code may straddle two words (b = 3):
///
///     word 0: |0 0 0|1 1 1|2 2 2| ... |9 9 9|10 10   word 1: |10|11 11 11| ...
///
/// PADDED, floor(32 / b) codes a word, the top bits of each word unused (b = 3):
///
///     word 0: |0 0 0|1 1 1| ... |9 9 9|- -           word 1: |10 10 10|11 11 11| ...
///
/// For b = 1, 2, 4 and 8 both are the same.

enum dlq_bits_layout {
    DLQ_BITS_NONE = 0, ///< The width fits neither layout
    DLQ_BITS_DENSE,    ///< One bit string
    DLQ_BITS_PADDED,   ///< Whole codes in each word
    DLQ_BITS_EITHER    ///< The width fits both and they differ: look at the content
};

/// Words that `count` codes take; 0 when `bits` is not 1..8 or count is negative.
int64_t
dlq_bits_words(enum dlq_bits_layout layout, int64_t count, int bits);

/// Which layout packs `count` codes into `words` words.
enum dlq_bits_layout
dlq_bits_detect(int64_t count, int bits, int64_t words);

/// Settles DLQ_BITS_EITHER for one packed row by its content: PADDED when the unused top bits of
/// every full word are zero and the bits past the last code of the dense form are not, DENSE when
/// it is the other way round, EITHER when the content permits both.
enum dlq_bits_layout
dlq_bits_detect_row(const uint32_t *words, int64_t stride, int64_t count, int bits);

/// Code `i` of a packed row whose words lie `stride` apart.
uint32_t
dlq_bits_get(const uint32_t *words, int64_t stride, enum dlq_bits_layout layout, int bits,
             int64_t i);

/// Codes [first, first + count) of a packed row to bytes.
void
dlq_bits_unpack(const uint32_t *words, int64_t stride, enum dlq_bits_layout layout, int bits,
                int64_t first, int64_t count, uint8_t *codes);

/// Packs `count` codes into dlq_bits_words() words `stride` apart; unused bits become zero.
void
dlq_bits_pack(const uint8_t *codes, int64_t count, enum dlq_bits_layout layout, int bits,
              uint32_t *words, int64_t stride);

/// Packs q[rows, cols] along columns, 32 / bits codes a word. bits is 1, 2, 4 or 8 and cols a
/// multiple of 32 / bits; else false.
bool
dlq_pack_cols(const uint8_t *q, int bits, int64_t rows, int64_t cols, uint32_t *packed);

/// Inverse of dlq_pack_cols.
bool
dlq_unpack_cols(const uint32_t *packed, int bits, int64_t rows, int64_t cols, uint8_t *q);

#endif // DLQ_KERNELS_PACK_BITS_H
