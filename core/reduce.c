// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "reduce.h"

#include "float16.h"

#include <dlquant/types.h>

#include <string.h>

// Elements that are added at once: the temporaries stay in the first-level cache.
#define BLOCK 512

bool
dlq_reduce_supports(uint32_t dtype)
{
    return dtype == DLQ_F16 || dtype == DLQ_BF16 || dtype == DLQ_F32 || dtype == DLQ_I32;
}

static void
sum_block(void *const *buffers, int32_t n, size_t offset, size_t count, uint32_t dtype,
          bool round_each)
{
    float acc[BLOCK];
    float term[BLOCK];
    float rounded[BLOCK];
    (void)dlq_cast(DLQ_F32, acc, dtype, (const char *)buffers[0] + offset, count);
    for (int32_t r = 1; r < n; r++) {
        (void)dlq_cast(DLQ_F32, term, dtype, (const char *)buffers[r] + offset, count);
        for (size_t i = 0; i < count; i++) {
            acc[i] += term[i];
        }
        if (round_each) {
            (void)dlq_cast(dtype, rounded, DLQ_F32, acc, count);
            (void)dlq_cast(DLQ_F32, acc, dtype, rounded, count);
        }
    }
    (void)dlq_cast(dtype, rounded, DLQ_F32, acc, count);
    for (int32_t r = 0; r < n; r++) {
        memcpy((char *)buffers[r] + offset, rounded, count * (DLQ_DTYPE_BITS(dtype) / 8));
    }
}

static void
sum_integers(void *const *buffers, int32_t n, size_t first, size_t count)
{
    uint32_t *const sum = (uint32_t *)buffers[0] + first;
    for (int32_t r = 1; r < n; r++) {
        const uint32_t *const term = (const uint32_t *)buffers[r] + first;
        for (size_t i = 0; i < count; i++) {
            sum[i] += term[i];
        }
    }
    for (int32_t r = 1; r < n; r++) {
        memcpy((uint32_t *)buffers[r] + first, sum, count * sizeof(*sum));
    }
}

void
dlq_reduce_sum(void *const *buffers, int32_t n, size_t first, size_t count, uint32_t dtype,
               bool fp32)
{
    const size_t width = DLQ_DTYPE_BITS(dtype) / 8;
    if (dtype == DLQ_I32) {
        sum_integers(buffers, n, first, count);
        return;
    }
    for (size_t done = 0; done < count; done += BLOCK) {
        const size_t left = count - done;
        sum_block(buffers, n, (first + done) * width, left < BLOCK ? left : BLOCK, dtype,
                  !fp32 && dtype != DLQ_F32);
    }
}
