// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "avx2.h"
#include "w8a8_fast.h"

// AVX2 without VNNI: int16 times int16 with vpmaddwd, exact. vpmaddubsw would be faster and
// saturates.

enum { MAX_ROWS = 6, DEPTH = 256 }; // DEPTH rows of K of a unit are 32 KiB of int16

// MR rows times one block: weights are dwords [k / 2][16 columns].
DLQ_INLINE void
tile(const int MR, int64_t count, const uint8_t *a, const int16_t *w, bool first, int32_t *c)
{
    __m256i acc[MAX_ROWS][2];
    DLQ_UNROLL for (int m = 0; m < MR; m++)
    {
        DLQ_UNROLL for (int h = 0; h < 2; h++)
        {
            acc[m][h] = first ? _mm256_setzero_si256() : dlq_load256(c + m * DLQ_W8A8_UNIT + h * 8);
        }
    }
    for (int64_t k = 0; k < count; k += 2, a += 4 * MR, w += 32) {
        const __m256i w0 = dlq_load256(w);
        const __m256i w1 = dlq_load256(w + 16);
        DLQ_UNROLL for (int m = 0; m < MR; m++)
        {
            __m256i x;
            DLQ_BROADCAST(x, a + 4 * m);
            DLQ_DPWSSD(acc[m][0], w0, x);
            DLQ_DPWSSD(acc[m][1], w1, x);
        }
    }
    DLQ_UNROLL for (int m = 0; m < MR; m++)
    {
        DLQ_UNROLL for (int h = 0; h < 2; h++)
        {
            dlq_store256(c + m * DLQ_W8A8_UNIT + h * 8, acc[m][h]);
        }
    }
}

typedef void (*tile_fn)(int64_t count, const uint8_t *a, const int16_t *w, bool first, int32_t *c);
#define TILE(MR)                                                                                   \
    static __attribute__((noinline)) void tile_##MR(int64_t count, const uint8_t *a,               \
                                                    const int16_t *w, bool first, int32_t *c)      \
    {                                                                                              \
        tile(MR, count, a, w, first, c);                                                           \
    }
TILE(1)
TILE(2)
TILE(3)
TILE(4)
TILE(5)
TILE(6)
static const tile_fn tiles[MAX_ROWS] = {tile_1, tile_2, tile_3, tile_4, tile_5, tile_6};

// Codes of a block to int16 pairs (0,2) (1,3) of each four rows.
static void
unpack(const uint8_t *p, int64_t count, int16_t *out)
{
    const __m256i byte = _mm256_set1_epi16(255);
    const __m256i half = _mm256_set1_epi16(128);
    for (int64_t k = 0; k < count; k += 4, p += 64, out += 64) {
        _mm_prefetch((const char *)p + 1024, _MM_HINT_T0);
        for (int h = 0; h < 2; h++) {
            const __m256i line = dlq_load256(p + h * 32);
            const __m256i even = _mm256_sub_epi16(_mm256_and_si256(line, byte), half);
            const __m256i odd = _mm256_sub_epi16(_mm256_srli_epi16(line, 8), half);
            dlq_store256(out + h * 16, even);
            dlq_store256(out + 32 + h * 16, odd);
        }
    }
}

static void
product(const struct dlq_w8a8_run *run, const struct dlq_w8a8_part *part, int64_t block,
        int n_blocks, int32_t *c)
{
    int16_t weights[DEPTH * 16] __attribute__((aligned(64)));
    for (int b = 0; b < n_blocks; b++) {
        const uint8_t *codes = dlq_w8a8_codes(run->w, block + b);
        for (int64_t k = 0; k < run->w->k_padded; k += DEPTH) {
            const int64_t left = run->w->k_padded - k;
            const int64_t count = left < DEPTH ? left : DEPTH;
            unpack(codes + k * 16, count, weights);
            for (int64_t p = 0; p < part->n_panels; p++) {
                const uint8_t *a = part->codes + p * run->panel_bytes + k * 2 * run->rows;
                tiles[run->rows - 1](count, a, weights, k == 0,
                                     c + p * run->rows * DLQ_W8A8_UNIT + b * 16);
            }
        }
    }
}

static void
choose(int64_t m, struct dlq_w8a8_run *run)
{
    run->format = DLQ_W8A8_PAIRS;
    run->rows = dlq_panel_rows(m, MAX_ROWS);
    run->offset = 0;
    run->chunk = 96 / run->rows;
    run->quantize = dlq_w8a8_quantize_avx2;
    run->product = product;
}

DLQ_W8A8_LEVEL(avx2, choose)
