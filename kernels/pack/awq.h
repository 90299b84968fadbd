// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_KERNELS_PACK_AWQ_H
#define DLQ_KERNELS_PACK_AWQ_H

#include <stdbool.h>
#include <stdint.h>

/// The gemm packing of AWQ: words along columns with an interleaved nibble order.
///
///     4 bit, word c:  nibble   7   6   5   4   3   2   1   0
///                     column 8c+7 +5  +3  +1  +6  +4  +2  +0
///     8 bit, word c:  byte     3   2   1   0
///                     column 4c+3 +1  +2  +0

/// Column (within its word) that nibble or byte `i` holds: dlq_awq_order(4)[i] or (8)[i].
/// NULL for other widths.
const uint8_t *
dlq_awq_order(int bits);

/// packed[rows, cols / (32 / bits)] to codes q[rows, cols]. bits is 4 or 8 and cols a multiple of
/// 32 / bits; else false.
bool
dlq_awq_unpack(const uint32_t *packed, int bits, int64_t rows, int64_t cols, uint8_t *q);

/// Inverse of dlq_awq_unpack.
bool
dlq_awq_pack(const uint8_t *q, int bits, int64_t rows, int64_t cols, uint32_t *packed);

/// The 8 codes of one 4-bit word as bytes in column order, column 0 in the lowest byte.
static inline uint64_t
dlq_awq_unpack_word4(uint32_t word)
{
    // Even columns are the low half of the word, odd columns the high half: spread each over bytes
    // 0, 2, 4, 6.
    uint64_t even = word & 0xffffu;
    uint64_t odd = word >> 16;
    even = (even | even << 24) & 0x000000ff000000ffu;
    odd = (odd | odd << 24) & 0x000000ff000000ffu;
    even = (even | even << 12) & 0x000f000f000f000fu;
    odd = (odd | odd << 12) & 0x000f000f000f000fu;
    return even | odd << 8;
}

#endif // DLQ_KERNELS_PACK_AWQ_H
