// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "avx2.h"
#include "rows.h"
#include "wna16.h"
#include "wna16_fast.h"

// AVX2, and AVX-VNNI when compiled with DLQ_AVX_VNNI: int16 codes of x times unpacked weights. Few
// rows unpack in registers; many rows share (q - z) unpacked into L1.

enum {
    PREFETCH = 2048,
    MAX_ROWS = 6,
    CHUNK_ROWS = 96, // rows that share unpacked weights
    DIRECT_ROWS = 3, // up to here unpacking in registers wins
#ifdef DLQ_AVX_VNNI
    SPLIT_ROWS = 3 // up to here sums of odd steps have their own registers
#else
    SPLIT_ROWS = 2
#endif
};

DLQ_INLINE __m256
load_scales(const struct dlq_k_wna16 *w, const uint8_t *p, int half)
{
    if (w->scale_dtype == DLQ_F32) {
        return _mm256_loadu_ps((const float *)(const void *)p + half * 8);
    }
    const __m128i bits = _mm_loadu_si128((const __m128i *)(const void *)(p + half * 16));
    if (w->scale_dtype == DLQ_F16) {
        return _mm256_cvtph_ps(bits);
    }
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}

DLQ_INLINE __m256i
load_zeros(const struct dlq_k_wna16 *w, const uint8_t *scales, int half)
{
    const uint8_t *p = scales + 16 * dlq_k_act_size(w->scale_dtype) + half * 8;
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
}

// Codes `shift` of a line as int16: 4-bit codes by shifts of 0, 4, 8, 12, bytes by 0 and 8.
DLQ_INLINE __m256i
unpack(const int BITS, __m256i line, const int step)
{
    const int shift = step * BITS;
    const __m256i low = shift == 0 ? line : _mm256_srli_epi16(line, shift);
    return shift + BITS == 16
               ? low
               : _mm256_and_si256(low, _mm256_set1_epi16((int16_t)((1 << BITS) - 1)));
}

// The same, but that 4-bit codes of odd steps are 16 times too large: their sums are put right at
// the end, which spares shifts.
DLQ_INLINE __m256i
unpack_halves(__m256i line, const int step)
{
    const __m256i pair = step < 2 ? line : _mm256_srli_epi16(line, 8);
    return _mm256_and_si256(pair, _mm256_set1_epi16(step % 2 == 0 ? 0x0f : 0xf0));
}

// MR rows times NB blocks, weights unpacked in registers.
DLQ_INLINE void
direct_tile(const int MR, const int NB, const int BITS, const struct dlq_wna16_run *run,
            const struct dlq_wna16_part *part, int64_t block, float *c)
{
    const struct dlq_k_wna16 *w = run->w;
    const int64_t stride = w->block_bytes;
    const int64_t lines = w->group_k * BITS / 32;
    const uint8_t *p = dlq_wna16_codes(w, block, 0);
    // Twice as many sums wait half as long for each other.
    const bool split = BITS == 4 && MR <= SPLIT_ROWS;
    for (int m = 0; m < MR; m++) {
        memset(c + m * DLQ_WNA16_UNIT, 0, (size_t)NB * 16 * sizeof(*c));
    }
    for (int64_t g = 0; g < w->groups; g++) {
        __m256i acc[DIRECT_ROWS][4][2]; // of all steps, or of even and of odd ones
        DLQ_UNROLL for (int m = 0; m < MR; m++)
        {
            DLQ_UNROLL for (int v = 0; v < 2 * NB; v++)
            {
                acc[m][v][0] = _mm256_setzero_si256();
                acc[m][v][1] = _mm256_setzero_si256();
            }
        }
        const uint8_t *a = part->codes + g * run->group_bytes;
        for (int64_t i = 0; i < lines; i++, p += 64) {
            __m256i line[4];
            DLQ_UNROLL for (int v = 0; v < 2 * NB; v++)
            {
                line[v] = dlq_load256(p + v / 2 * stride + v % 2 * 32);
                if (v % 2 == 0) {
                    _mm_prefetch((const char *)p + v / 2 * stride + PREFETCH, _MM_HINT_T0);
                }
            }
            const int steps = 16 / BITS;
            DLQ_UNROLL for (int step = 0; step < steps; step++)
            {
                __m256i q[4];
                DLQ_UNROLL for (int v = 0; v < 2 * NB; v++)
                {
                    q[v] = split ? unpack_halves(line[v], step) : unpack(BITS, line[v], step);
                }
                DLQ_UNROLL for (int m = 0; m < MR; m++)
                {
                    __m256i x;
                    DLQ_BROADCAST(x, a + 4 * m);
                    DLQ_UNROLL for (int v = 0; v < 2 * NB; v++)
                    {
                        DLQ_DPWSSD(acc[m][v][split ? step % 2 : 0], q[v], x);
                    }
                }
                a += 4 * MR;
            }
        }
        const int64_t factors = g * MR;
        DLQ_UNROLL for (int v = 0; v < 2 * NB; v++)
        {
            const __m256 s = load_scales(w, p + v / 2 * stride, v % 2);
            const __m256i z = load_zeros(w, p + v / 2 * stride, v % 2);
            DLQ_UNROLL for (int m = 0; m < MR; m++)
            {
                const __m256i offset =
                    _mm256_mullo_epi32(z, _mm256_set1_epi32(part->sums[factors + m]));
                const __m256i dot =
                    split ? _mm256_add_epi32(acc[m][v][0], _mm256_srai_epi32(acc[m][v][1], 4))
                          : acc[m][v][0];
                const __m256 exact = _mm256_cvtepi32_ps(_mm256_sub_epi32(dot, offset));
                const __m256 t = _mm256_mul_ps(exact, _mm256_set1_ps(part->sx[factors + m]));
                float *to = c + m * DLQ_WNA16_UNIT + v * 8;
                _mm256_storeu_ps(to, _mm256_fmadd_ps(t, s, _mm256_loadu_ps(to)));
            }
        }
        p += w->group_bytes - dlq_wna16_code_bytes(w);
    }
}

typedef void (*direct_fn)(const struct dlq_wna16_run *run, const struct dlq_wna16_part *part,
                          int64_t block, float *c);
#define DIRECT(MR, NB, BITS)                                                                       \
    static __attribute__((noinline)) void direct_##MR##_##NB##_##BITS(                             \
        const struct dlq_wna16_run *run, const struct dlq_wna16_part *part, int64_t block,         \
        float *c)                                                                                  \
    {                                                                                              \
        direct_tile(MR, NB, BITS, run, part, block, c);                                            \
    }
DIRECT(1, 1, 4)
DIRECT(1, 2, 4)
DIRECT(2, 1, 4)
DIRECT(3, 1, 4)
DIRECT(1, 1, 8)
DIRECT(1, 2, 8)
DIRECT(2, 1, 8)
DIRECT(3, 1, 8)
static const direct_fn direct_one[2][DIRECT_ROWS] = {{direct_1_1_4, direct_2_1_4, direct_3_1_4},
                                                     {direct_1_1_8, direct_2_1_8, direct_3_1_8}};

// One panel.
static void
direct_product(const struct dlq_wna16_run *run, const struct dlq_wna16_part *part, int64_t block,
               int n_blocks)
{
    const int wide = run->w->code_bits == 8;
    const direct_fn two = wide ? direct_1_2_8 : direct_1_2_4;
    float c[DIRECT_ROWS * DLQ_WNA16_UNIT] __attribute__((aligned(32)));
    for (int b = 0; b < n_blocks;) {
        // One row has accumulators to spare: two blocks share its broadcasts.
        if (run->rows == 1 && b + 1 < n_blocks) {
            two(run, part, block + b, c + 16 * b);
            b += 2;
        } else {
            direct_one[wide][run->rows - 1](run, part, block + b, c + 16 * b);
            b++;
        }
    }
    dlq_wna16_finish(run, part, 0, 1, block, c);
}

// (q - z) of a group of one block: dwords [k / 2][16 columns].
static void
unpack_pairs(const struct dlq_k_wna16 *w, int64_t block, int64_t group, int16_t *out)
{
    const uint8_t *p = dlq_wna16_codes(w, block, group);
    const uint8_t *scales = dlq_wna16_scales(w, block, group);
    __m256i z[2];
    for (int h = 0; h < 2; h++) {
        const __m256i z32 = load_zeros(w, scales, h);
        z[h] = _mm256_or_si256(z32, _mm256_slli_epi32(z32, 16));
    }
    const int64_t lines = w->group_k * w->code_bits / 32;
    for (int64_t i = 0; i < lines; i++, p += 64, out += w->code_bits == 4 ? 128 : 64) {
        _mm_prefetch((const char *)p + PREFETCH / 2, _MM_HINT_T0);
        for (int h = 0; h < 2; h++) {
            const __m256i line = dlq_load256(p + h * 32);
            int16_t *to = out + h * 16;
            if (w->code_bits == 8) {
                dlq_store256(to, _mm256_sub_epi16(unpack(8, line, 0), z[h]));
                dlq_store256(to + 32, _mm256_sub_epi16(unpack(8, line, 1), z[h]));
                continue;
            }
            dlq_store256(to, _mm256_sub_epi16(unpack(4, line, 0), z[h]));
            dlq_store256(to + 32, _mm256_sub_epi16(unpack(4, line, 1), z[h]));
            dlq_store256(to + 64, _mm256_sub_epi16(unpack(4, line, 2), z[h]));
            dlq_store256(to + 96, _mm256_sub_epi16(unpack(4, line, 3), z[h]));
        }
    }
}

// One panel and group of one block: c[MR][64] += products, with scales.
DLQ_INLINE void
pair_tile(const int MR, int64_t group_k, const int16_t *w, const uint8_t *a, const float *sx,
          const __m256 *scales, float *c)
{
    __m256i acc[MAX_ROWS][2];
    DLQ_UNROLL for (int m = 0; m < MR; m++)
    {
        acc[m][0] = _mm256_setzero_si256();
        acc[m][1] = _mm256_setzero_si256();
    }
    for (int64_t k = 0; k < group_k; k += 2, w += 32, a += 4 * MR) {
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
    const __m256 s[2] = {scales[0], scales[1]};
    DLQ_UNROLL for (int m = 0; m < MR; m++)
    {
        DLQ_UNROLL for (int h = 0; h < 2; h++)
        {
            float *to = c + m * DLQ_WNA16_UNIT + h * 8;
            const __m256 t = _mm256_mul_ps(_mm256_cvtepi32_ps(acc[m][h]), _mm256_set1_ps(sx[m]));
            _mm256_storeu_ps(to, _mm256_fmadd_ps(t, s[h], _mm256_loadu_ps(to)));
        }
    }
}

typedef void (*pair_fn)(int64_t group_k, const int16_t *w, const uint8_t *a, const float *sx,
                        const __m256 *scales, float *c);
#define PAIR_TILE(MR)                                                                              \
    static __attribute__((noinline)) void pair_##MR(int64_t group_k, const int16_t *w,             \
                                                    const uint8_t *a, const float *sx,             \
                                                    const __m256 *scales, float *c)                \
    {                                                                                              \
        pair_tile(MR, group_k, w, a, sx, scales, c);                                               \
    }
PAIR_TILE(4)
PAIR_TILE(5)
PAIR_TILE(6)

static void
pair_product(const struct dlq_wna16_run *run, const struct dlq_wna16_part *part, int64_t block,
             int n_blocks)
{
    const struct dlq_k_wna16 *w = run->w;
    const pair_fn tile = run->rows == 4 ? pair_4 : run->rows == 5 ? pair_5 : pair_6;
    int16_t weights[DLQ_WNA16_MAX_GROUP * 16] __attribute__((aligned(64)));
    float c[CHUNK_ROWS * DLQ_WNA16_UNIT] __attribute__((aligned(64)));
    memset(c, 0, (size_t)(part->n_panels * run->rows) * DLQ_WNA16_UNIT * sizeof(*c));
    for (int b = 0; b < n_blocks; b++) {
        for (int64_t g = 0; g < w->groups; g++) {
            const uint8_t *p = dlq_wna16_scales(w, block + b, g);
            const __m256 scales[2] = {load_scales(w, p, 0), load_scales(w, p, 1)};
            unpack_pairs(w, block + b, g, weights);
            const int64_t slot = g * part->group_step;
            for (int64_t i = 0; i < part->n_panels; i++) {
                tile(w->group_k, weights, part->codes + (slot + i) * run->group_bytes,
                     part->sx + (slot + i) * run->rows, scales,
                     c + i * run->rows * DLQ_WNA16_UNIT + b * 16);
            }
        }
    }
    dlq_wna16_finish(run, part, 0, part->n_panels, block, c);
}

static void
choose(const struct dlq_k_wna16 *w, int limbs, int64_t m, struct dlq_wna16_run *run)
{
    (void)w;
    (void)limbs;
    run->format = DLQ_WNA16_PAIRS;
    run->rows = m <= DIRECT_ROWS ? (int)m : dlq_panel_rows(m, MAX_ROWS);
    run->chunk = CHUNK_ROWS / run->rows;
    run->product = m <= DIRECT_ROWS ? direct_product : pair_product;
}

#ifdef DLQ_AVX_VNNI
DLQ_WNA16_LEVEL(avx_vnni, choose)
#else
DLQ_WNA16_LEVEL(avx2, choose)
#endif
