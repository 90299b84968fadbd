// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "awq.h"

#include <stddef.h>

static const uint8_t order4[8] = {0, 2, 4, 6, 1, 3, 5, 7};
static const uint8_t order8[4] = {0, 2, 1, 3};

const uint8_t *
dlq_awq_order(int bits)
{
    return bits == 4 ? order4 : bits == 8 ? order8 : NULL;
}

bool
dlq_awq_unpack(const uint32_t *packed, int bits, int64_t rows, int64_t cols, uint8_t *q)
{
    const uint8_t *order = dlq_awq_order(bits);
    const int per_word = order != NULL ? 32 / bits : 1;
    if (order == NULL || rows < 0 || cols < 0 || cols % per_word != 0) {
        return false;
    }
    const uint32_t mask = (1u << bits) - 1u;
    for (int64_t w = 0; w < rows * (cols / per_word); w++) {
        for (int i = 0; i < per_word; i++) {
            q[w * per_word + order[i]] = (uint8_t)(packed[w] >> i * bits & mask);
        }
    }
    return true;
}

bool
dlq_awq_pack(const uint8_t *q, int bits, int64_t rows, int64_t cols, uint32_t *packed)
{
    const uint8_t *order = dlq_awq_order(bits);
    const int per_word = order != NULL ? 32 / bits : 1;
    if (order == NULL || rows < 0 || cols < 0 || cols % per_word != 0) {
        return false;
    }
    const uint32_t mask = (1u << bits) - 1u;
    for (int64_t w = 0; w < rows * (cols / per_word); w++) {
        uint32_t word = 0;
        for (int i = 0; i < per_word; i++) {
            word |= (q[w * per_word + order[i]] & mask) << i * bits;
        }
        packed[w] = word;
    }
    return true;
}
