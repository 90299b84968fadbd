// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_KERNELS_CPU_AMX_H
#define DLQ_KERNELS_CPU_AMX_H

#include <stdint.h>
#include <string.h>

/// For `-include`, in the place of kernels/cpu/amx.h: tiles in memory, so that the AMX kernels are
/// checked on processors without AMX. What they compute is the same to the bit for integers;
/// tdpbf16ps flushes subnormals, which this does not.

struct dlq_tile_config {
    uint8_t palette;
    uint8_t start_row;
    uint8_t reserved[14];
    uint16_t colsb[16];
    uint8_t rows[16];
};

struct dlq_tile {
    uint8_t bytes[16][64];
};

static _Thread_local struct dlq_tile_config dlq_tile_shape;
static _Thread_local struct dlq_tile dlq_tiles[8];

static inline void
dlq_tile_configure(const struct dlq_tile_config *config)
{
    dlq_tile_shape = *config;
    memset(dlq_tiles, 0, sizeof(dlq_tiles));
}

static inline void
dlq_tile_release(void)
{
    memset(&dlq_tile_shape, 0, sizeof(dlq_tile_shape));
    memset(dlq_tiles, 0xff, sizeof(dlq_tiles));
}

static inline void
dlq_tile_load(int t, const void *base, int64_t stride)
{
    memset(&dlq_tiles[t], 0, sizeof(dlq_tiles[t]));
    for (int r = 0; r < dlq_tile_shape.rows[t]; r++) {
        memcpy(dlq_tiles[t].bytes[r], (const uint8_t *)base + r * stride, dlq_tile_shape.colsb[t]);
    }
}

static inline void
dlq_tile_store(int t, void *base, int64_t stride)
{
    for (int r = 0; r < dlq_tile_shape.rows[t]; r++) {
        memcpy((uint8_t *)base + r * stride, dlq_tiles[t].bytes[r], dlq_tile_shape.colsb[t]);
    }
}

/// One element of c += a * b: the dword `i` of a row of a times the dword of row `i` of b.
typedef void (*dlq_tile_dot)(void *c, const uint8_t *a, const uint8_t *b);

static inline void
dlq_tile_product(int c, int a, int b, dlq_tile_dot dot)
{
    for (int m = 0; m < dlq_tile_shape.rows[c]; m++) {
        for (int i = 0; i < dlq_tile_shape.colsb[a] / 4; i++) {
            for (int n = 0; n < dlq_tile_shape.colsb[c] / 4; n++) {
                dot(&dlq_tiles[c].bytes[m][4 * n], &dlq_tiles[a].bytes[m][4 * i],
                    &dlq_tiles[b].bytes[i][4 * n]);
            }
        }
    }
}

static inline void
dlq_tile_dot_signed(void *c, const uint8_t *a, const uint8_t *b)
{
    int32_t sum;
    memcpy(&sum, c, sizeof(sum));
    for (int i = 0; i < 4; i++) {
        sum += (int8_t)a[i] * (int8_t)b[i];
    }
    memcpy(c, &sum, sizeof(sum));
}

static inline void
dlq_tile_dot_unsigned(void *c, const uint8_t *a, const uint8_t *b)
{
    int32_t sum;
    memcpy(&sum, c, sizeof(sum));
    for (int i = 0; i < 4; i++) {
        sum += (int8_t)a[i] * b[i];
    }
    memcpy(c, &sum, sizeof(sum));
}

static inline float
dlq_tile_bf16(const uint8_t *p)
{
    const uint32_t bits = (uint32_t)p[1] << 24 | (uint32_t)p[0] << 16;
    float v;
    memcpy(&v, &bits, sizeof(v));
    return v;
}

static inline void
dlq_tile_dot_bf16(void *c, const uint8_t *a, const uint8_t *b)
{
    float sum;
    memcpy(&sum, c, sizeof(sum));
    sum += dlq_tile_bf16(a) * dlq_tile_bf16(b);
    sum += dlq_tile_bf16(a + 2) * dlq_tile_bf16(b + 2);
    memcpy(c, &sum, sizeof(sum));
}

#define DLQ_TILE_ZERO(t) memset(&dlq_tiles[t], 0, sizeof(dlq_tiles[t]))
#define DLQ_TILE_LOAD(t, base, stride) dlq_tile_load(t, base, stride)
#define DLQ_TILE_STREAM(t, base, stride) dlq_tile_load(t, base, stride)
#define DLQ_TILE_STORE(t, base, stride) dlq_tile_store(t, base, stride)
#define DLQ_TILE_DPBSSD(c, a, b) dlq_tile_product(c, a, b, dlq_tile_dot_signed)
#define DLQ_TILE_DPBSUD(c, a, b) dlq_tile_product(c, a, b, dlq_tile_dot_unsigned)
#define DLQ_TILE_DPBF16PS(c, a, b) dlq_tile_product(c, a, b, dlq_tile_dot_bf16)

#endif // DLQ_KERNELS_CPU_AMX_H
