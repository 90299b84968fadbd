// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "avx512.h"
#include "rows.h"
#include "wna16.h"
#include "wna16_fast.h"

// AVX-512 VNNI. Few rows, or one limb: bytes of x against codes unpacked in registers, a panel
// through all groups. More rows: int16 codes against (q - z), which needs one accumulator an output
// instead of two and no zero point correction, all panels of a task through a group.

enum {
    GROUPS_AHEAD = 2, // hides the arithmetic of a thread that reads memory alone
    MAX_ROWS = 6,     // rows of a tile
    CHUNK_ROWS = 144, // of a task
    LIMB_ROWS = 4,    // rows of a limb tile
    LIMB_MAX_M = 16   // up to here limbs win where pairs pad as many rows
};

// Rows [0, MR) of one panel times NB blocks, fp32 sums to c[MR][64]. Also brings weights to the
// caches: without LINES those that it comes to itself and then what follows at `next`, else so many
// lines a step of what follows.
DLQ_INLINE void
limb_tile(const int MR, const int NB, const int L, const int BITS, const int LINES,
          const struct dlq_wna16_run *run, const struct dlq_wna16_part *part, int64_t panel,
          int64_t block, const uint8_t *next, float *c)
{
    const struct dlq_k_wna16 *w = run->w;
    const __m512i nibble = _mm512_set1_epi8(15);
    const int64_t block_bytes = w->block_bytes;
    const uint8_t *p = dlq_wna16_codes(w, block, 0);
    const int64_t lines = w->group_k * BITS / 32;
    const int64_t row_bytes = w->group_k;
    __m512 sum[MAX_ROWS][4];
    DLQ_UNROLL for (int m = 0; m < MR; m++)
    {
        DLQ_UNROLL for (int b = 0; b < NB; b++)
        {
            sum[m][b] = _mm512_setzero_ps();
        }
    }
    for (int64_t g = 0; g < w->groups; g++) {
        __m512i acc[MAX_ROWS][4][2];
        DLQ_UNROLL for (int m = 0; m < MR; m++)
        {
            DLQ_UNROLL for (int b = 0; b < NB; b++)
            {
                DLQ_UNROLL for (int l = 0; l < L; l++)
                {
                    acc[m][b][l] = _mm512_setzero_si512();
                }
            }
        }
        const int64_t slot = dlq_wna16_slot(part, panel, g);
        const uint8_t *a = part->codes + slot * run->group_bytes;
        const int64_t after = g + GROUPS_AHEAD - w->groups;
        const uint8_t *ahead = LINES != 0  ? next + g * w->group_bytes
                               : after < 0 ? p + GROUPS_AHEAD * w->group_bytes
                                           : next + after % w->groups * w->group_bytes;
        for (int64_t i = 0; i < lines; i++, p += 64, ahead += 64) {
            __m512i line[4];
            __m512i codes[4];
            DLQ_UNROLL for (int j = 0; j < LINES; j++)
            {
                _mm_prefetch((const char *)(ahead + j * block_bytes), _MM_HINT_T1);
            }
            DLQ_UNROLL for (int b = 0; b < NB; b++)
            {
                if (LINES == 0) {
                    _mm_prefetch((const char *)(ahead + b * block_bytes), _MM_HINT_T0);
                }
                line[b] = _mm512_load_si512(p + b * block_bytes);
                codes[b] = BITS == 4 ? _mm512_and_si512(line[b], nibble) : line[b];
            }
            const int halves = 8 / BITS;
            DLQ_UNROLL for (int half = 0; half < halves; half++)
            {
                DLQ_UNROLL for (int b = 0; b < NB; b++)
                {
                    codes[b] = half == 0 ? codes[b]
                                         : _mm512_and_si512(_mm512_srli_epi16(line[b], 4), nibble);
                }
                DLQ_UNROLL for (int l = 0; l < L; l++)
                {
                    DLQ_UNROLL for (int m = 0; m < MR; m++)
                    {
                        __m512i x;
                        DLQ_BROADCAST(x, a + (l * MR + m) * row_bytes);
                        DLQ_UNROLL for (int b = 0; b < NB; b++)
                        {
                            DLQ_DPBUSD(acc[m][b][l], codes[b], x);
                        }
                    }
                }
                a += 4;
            }
        }
        // What a group has beside codes.
        const int streams = LINES == 0 ? NB : LINES;
        DLQ_UNROLL for (int b = 0; b < streams; b++)
        {
            _mm_prefetch((const char *)(ahead + b * block_bytes), _MM_HINT_T1);
        }
        const int64_t factors = slot * MR;
        DLQ_UNROLL for (int b = 0; b < NB; b++)
        {
            const __m512 s = dlq_load_scales(p + b * block_bytes, w->scale_dtype);
            const __m512i z =
                dlq_load_zeros(p + b * block_bytes + 16 * (w->scale_dtype == DLQ_F32 ? 4 : 2));
            DLQ_UNROLL for (int m = 0; m < MR; m++)
            {
                const __m512i low = acc[m][b][L - 1];
                const __m512i dot =
                    L == 2 ? _mm512_add_epi32(_mm512_slli_epi32(acc[m][b][0], 8), low) : low;
                const __m512i offset =
                    _mm512_mullo_epi32(z, _mm512_set1_epi32(part->sums[factors + m]));
                const __m512 exact = _mm512_cvtepi32_ps(_mm512_sub_epi32(dot, offset));
                sum[m][b] = _mm512_fmadd_ps(
                    _mm512_mul_ps(exact, _mm512_set1_ps(part->sx[factors + m])), s, sum[m][b]);
            }
        }
        p += w->group_bytes - dlq_wna16_code_bytes(w);
    }
    DLQ_UNROLL for (int m = 0; m < MR; m++)
    {
        DLQ_UNROLL for (int b = 0; b < NB; b++)
        {
            _mm512_storeu_ps(c + m * DLQ_WNA16_UNIT + b * 16, sum[m][b]);
        }
    }
}

typedef void (*limb_fn)(const struct dlq_wna16_run *run, const struct dlq_wna16_part *part,
                        int64_t panel, int64_t block, const uint8_t *next, float *c);

#define LIMB_TILE_OF(MR, NB, L, BITS, LINES)                                                       \
    static __attribute__((noinline)) void limb_##MR##_##NB##_##L##_##BITS##_##LINES(               \
        const struct dlq_wna16_run *run, const struct dlq_wna16_part *part, int64_t panel,         \
        int64_t block, const uint8_t *next, float *c)                                              \
    {                                                                                              \
        limb_tile(MR, NB, L, BITS, LINES, run, part, panel, block, next, c);                       \
    }
#define LIMB_TILE(MR, NB, L, LINES)                                                                \
    LIMB_TILE_OF(MR, NB, L, 4, LINES) LIMB_TILE_OF(MR, NB, L, 8, LINES)
#define LIMB_TILES(MR) LIMB_TILE(MR, 1, 1, 0) LIMB_TILE(MR, 1, 2, 0) LIMB_TILE(MR, 4, 1, 0)
LIMB_TILES(1)
LIMB_TILES(2)
LIMB_TILES(3)
LIMB_TILES(4)
LIMB_TILES(5)
LIMB_TILES(6)
LIMB_TILE(1, 4, 2, 0)
LIMB_TILE(2, 4, 2, 0)
LIMB_TILE(3, 4, 2, 0)
// 32 accumulators do not fit: two blocks at a time.
LIMB_TILE(4, 2, 2, 0)
// Heights that several panels have.
LIMB_TILE(3, 4, 2, 1)
LIMB_TILE(3, 4, 2, 2)
LIMB_TILE(4, 2, 2, 1)
LIMB_TILE(4, 4, 1, 1)
LIMB_TILE(4, 4, 1, 2)
LIMB_TILE(5, 4, 1, 1)
LIMB_TILE(5, 4, 1, 2)
LIMB_TILE(6, 4, 1, 1)
LIMB_TILE(6, 4, 1, 2)

#define OF(MR, NB, L, LINES)                                                                       \
    {                                                                                              \
        limb_##MR##_##NB##_##L##_4_##LINES, limb_##MR##_##NB##_##L##_8_##LINES                     \
    }
#define ONE(MR)                                                                                    \
    {                                                                                              \
        OF(MR, 1, 1, 0), OF(MR, 1, 2, 0)                                                           \
    }
// By rows, limbs and width of codes; four blocks by lines too.
static const limb_fn limb_one[MAX_ROWS][2][2] = {ONE(1), ONE(2), ONE(3), ONE(4), ONE(5), ONE(6)};
static const limb_fn limb_four[MAX_ROWS][2][3][2] = {
    {{OF(1, 4, 1, 0)}, {OF(1, 4, 2, 0)}},
    {{OF(2, 4, 1, 0)}, {OF(2, 4, 2, 0)}},
    {{OF(3, 4, 1, 0)}, {OF(3, 4, 2, 0), OF(3, 4, 2, 1), OF(3, 4, 2, 2)}},
    {{OF(4, 4, 1, 0), OF(4, 4, 1, 1), OF(4, 4, 1, 2)}},
    {{OF(5, 4, 1, 0), OF(5, 4, 1, 1), OF(5, 4, 1, 2)}},
    {{OF(6, 4, 1, 0), OF(6, 4, 1, 1), OF(6, 4, 1, 2)}}};
static const limb_fn limb_two[2][2] = {OF(4, 2, 2, 0), OF(4, 2, 2, 1)};
#undef OF
#undef ONE

static void
limb_product(const struct dlq_wna16_run *run, const struct dlq_wna16_part *part, int64_t block,
             int n_blocks)
{
    const struct dlq_k_wna16 *w = run->w;
    const int l = run->limbs - 1;
    const int wide = w->code_bits == 8;
    const int lines = dlq_lines_ahead(part->n_panels);
    const limb_fn one = limb_one[run->rows - 1][l][wide];
    const limb_fn four = limb_four[run->rows - 1][l][lines][wide];
    const limb_fn two = limb_two[lines != 0][wide];
    float c[MAX_ROWS * DLQ_WNA16_UNIT] __attribute__((aligned(64)));
    const uint8_t *next = dlq_wna16_codes(w, part->next_block, 0);
    for (int64_t i = 0; i < part->n_panels; i++) {
        const uint8_t *ahead = next + i * lines % 4 * w->block_bytes;
        if (n_blocks == 4 && four != NULL) {
            four(run, part, i, block, ahead, c);
        } else if (n_blocks == 4 && run->rows == 4) {
            const uint8_t *half = next + 2 * i % 4 * w->block_bytes;
            two(run, part, i, block, lines == 0 ? dlq_wna16_codes(w, block + 2, 0) : half, c);
            two(run, part, i, block + 2, lines == 0 ? next : half + w->block_bytes, c + 32);
        } else {
            for (int b = 0; b < n_blocks; b++) {
                one(run, part, i, block + b, dlq_wna16_codes(w, block + b + 1, 0), c + 16 * b);
            }
        }
        dlq_wna16_finish(run, part, i, 1, block, c);
    }
}

// Height of a limb tile: the fewer padded rows of 3 and 4.
static int
limb_panel_rows(int64_t m)
{
    if (m <= LIMB_ROWS) {
        return (int)m;
    }
    return dlq_round_up(m, 3) < dlq_round_up(m, 4) ? 3 : 4;
}

static bool
limbs_win(int64_t m)
{
    return m <= LIMB_MAX_M &&
           dlq_round_up(m, limb_panel_rows(m)) <= dlq_round_up(m, dlq_panel_rows(m, MAX_ROWS));
}

void
dlq_wna16_choose_avx512_vnni(const struct dlq_k_wna16 *w, int limbs, int64_t m,
                             struct dlq_wna16_run *run)
{
    (void)w;
    run->quantize = dlq_wna16_quantize_avx512;
    if (limbs == 1 || limbs_win(m)) {
        run->format = DLQ_WNA16_LIMB_ROWS;
        run->rows = limbs == 2 || m <= LIMB_ROWS ? limb_panel_rows(m) : dlq_panel_rows(m, MAX_ROWS);
        run->chunk = CHUNK_ROWS / run->rows;
        run->product = limb_product;
        return;
    }
    run->format = DLQ_WNA16_PAIR_ROWS;
    run->rows = dlq_panel_rows(m, MAX_ROWS);
    run->chunk = DLQ_WNA16_PAIR_CHUNK / run->rows;
    run->product = dlq_wna16_pair_product_avx512;
}

DLQ_WNA16_LEVEL(avx512_vnni, dlq_wna16_choose_avx512_vnni)
