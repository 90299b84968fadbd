// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "amx.h"
#include "avx512.h"
#include "rows.h"
#include "wna16.h"
#include "wna16_fast.h"

// AMX int8: (q - z) as signed bytes against both int8 limbs of x. For one panel of 16 rows and two
// blocks the tiles are
//
//              block 0   block 1            A tiles: tmm4 = high limb, tmm5 = low limb
//     high     tmm0      tmm1               B tiles: tmm6 = block 0,   tmm7 = block 1
//     low      tmm2      tmm3
//
// A group of 128 is only eight tile products before its scales, so everything else hides behind
// them: while the tiles of one item (a panel and a pair of blocks) multiply, the vector units scale
// the sums of the item before and unpack a slice of the next group's weights.

enum {
    PANEL = 16,
    CHUNK = 4,       // panels that share unpacked weights: their sums stay in L1
    PREFETCH = 1024, // bytes ahead of the packed weights
    MIN_ROWS = 5     // below, int8 limbs on VNNI read the weights as fast
};

// Sums of one item: [limb][block][16 rows][16 columns].
typedef int32_t item_sums[2][2][PANEL][16];

struct state {
    const struct dlq_wna16_run *run;
    int64_t panel, n_panels, block;
    int n_blocks;
    int n_items;    // a group: panels times pairs of blocks
    int width;      // rows of K of a tile: 64 or 32
    bool fix_zeros; // 8-bit codes with zero points: q - 128 fits a byte, q - z may not
    int8_t (*weights)[4][DLQ_WNA16_MAX_GROUP * 16]; // two groups
    __m512 (*scales)[4];                            // of two groups
    __m512i (*zeros)[4];                            // z - 128 of two groups
    float *c;                                       // [panels * 16][64]
};

// Slice `slice` of `n_slices` of the weights of a group.
static void
unpack_slice(const struct state *s, int64_t group, int slice, int n_slices)
{
    const struct dlq_k_wna16 *w = s->run->w;
    const __m512i nibble = _mm512_set1_epi8(15);
    const int64_t lines = w->group_k * w->code_bits / 32;
    const int64_t begin = lines * s->n_blocks * slice / n_slices;
    const int64_t end = lines * s->n_blocks * (slice + 1) / n_slices;
    for (int64_t at = begin; at < end;) {
        const int b = (int)(at / lines);
        const int64_t stop = (b + 1) * lines < end ? (b + 1) * lines : end;
        const uint8_t *p = dlq_wna16_codes(w, s->block + b, group) + at % lines * 64;
        int8_t *out = s->weights[group & 1][b] + at % lines * (512 / w->code_bits);
        const __m512i z32 = s->fix_zeros ? _mm512_set1_epi32(128)
                                         : dlq_load_zeros(dlq_wna16_zeros(w, s->block + b, group));
        const __m512i z = _mm512_mullo_epi32(z32, _mm512_set1_epi32(0x01010101));
        if (w->code_bits == 8) {
            for (; at < stop; at++, p += 64, out += 64) {
                _mm_prefetch((const char *)p + PREFETCH, _MM_HINT_T0);
                _mm512_store_si512(out, _mm512_sub_epi8(_mm512_load_si512(p), z));
            }
            continue;
        }
        for (; at < stop; at++, p += 64, out += 128) {
            _mm_prefetch((const char *)p + PREFETCH, _MM_HINT_T0);
            const __m512i line = _mm512_load_si512(p);
            const __m512i low = _mm512_and_si512(line, nibble);
            const __m512i high = _mm512_and_si512(_mm512_srli_epi16(line, 4), nibble);
            _mm512_store_si512(out, _mm512_sub_epi8(low, z));
            _mm512_store_si512(out + 64, _mm512_sub_epi8(high, z));
        }
    }
}

static void
load_factors(const struct state *s, int64_t group)
{
    const struct dlq_k_wna16 *w = s->run->w;
    for (int b = 0; b < s->n_blocks; b++) {
        s->scales[group & 1][b] =
            dlq_load_scales(dlq_wna16_scales(w, s->block + b, group), w->scale_dtype);
        s->zeros[group & 1][b] = _mm512_sub_epi32(
            dlq_load_zeros(dlq_wna16_zeros(w, s->block + b, group)), _mm512_set1_epi32(128));
    }
}

// Scales the sums of an item into c.
DLQ_INLINE void
scale_item(const int L, const bool FIX, const struct state *s, int64_t group, int item,
           const item_sums *sums)
{
    const int pair = item % 2;
    const int64_t panel = item / 2;
    const int n = s->n_blocks - 2 * pair < 2 ? s->n_blocks - 2 * pair : 2;
    const int64_t factors = dlq_wna16_panel_index(s->run, s->panel + panel, group);
    const float *sx = s->run->sx + factors;
    const int32_t *x_sums = s->run->sums + factors;
    for (int b = 0; b < n; b++) {
        const __m512 scale = s->scales[group & 1][2 * pair + b];
        const __m512i zero = s->zeros[group & 1][2 * pair + b];
        float *c = s->c + panel * PANEL * DLQ_WNA16_UNIT + (2 * pair + b) * 16;
        _Pragma("GCC unroll 4") for (int r = 0; r < PANEL; r++)
        {
            __m512i dot = _mm512_load_si512((*sums)[0][b][r]);
            if (L == 2) {
                dot = _mm512_add_epi32(_mm512_slli_epi32(dot, 8),
                                       _mm512_load_si512((*sums)[1][b][r]));
            }
            if (FIX) {
                const __m512i offset = _mm512_mullo_epi32(zero, _mm512_set1_epi32(x_sums[r]));
                dot = _mm512_sub_epi32(dot, offset);
            }
            const __m512 t = _mm512_mul_ps(_mm512_cvtepi32_ps(dot), _mm512_set1_ps(sx[r]));
            float *to = c + r * DLQ_WNA16_UNIT;
            _mm512_store_ps(to, _mm512_fmadd_ps(t, scale, _mm512_load_ps(to)));
        }
    }
}

// Issues the tile products of an item. Both blocks of a pair are always there: a missing one
// repeats the first and is dropped later.
DLQ_INLINE void
multiply_item(const int L, const struct state *s, int64_t group, int item)
{
    const struct dlq_k_wna16 *w = s->run->w;
    const int pair = item % 2;
    const int second = 2 * pair + 1 < s->n_blocks ? 2 * pair + 1 : 2 * pair;
    const uint8_t *a = dlq_wna16_panel_codes(s->run, s->panel + item / 2, group);
    const uint8_t *a_low = a + w->group_k * PANEL;
    const int8_t *b0 = s->weights[group & 1][2 * pair];
    const int8_t *b1 = s->weights[group & 1][second];
    const int width = s->width;
    DLQ_TILE_ZERO(0);
    DLQ_TILE_ZERO(1);
    if (L == 2) {
        DLQ_TILE_ZERO(2);
        DLQ_TILE_ZERO(3);
    }
    for (int64_t k = 0; k < w->group_k; k += width) {
        DLQ_TILE_LOAD(6, b0 + k * 16, 64);
        DLQ_TILE_LOAD(4, a + k * PANEL, width);
        DLQ_TILE_DPBSSD(0, 4, 6);
        DLQ_TILE_LOAD(7, b1 + k * 16, 64);
        DLQ_TILE_DPBSSD(1, 4, 7);
        if (L == 2) {
            DLQ_TILE_LOAD(5, a_low + k * PANEL, width);
            DLQ_TILE_DPBSSD(2, 5, 6);
            DLQ_TILE_DPBSSD(3, 5, 7);
        }
    }
}

DLQ_INLINE void
store_item(const int L, item_sums *sums)
{
    DLQ_TILE_STORE(0, (*sums)[0][0], 64);
    DLQ_TILE_STORE(1, (*sums)[0][1], 64);
    if (L == 2) {
        DLQ_TILE_STORE(2, (*sums)[1][0], 64);
        DLQ_TILE_STORE(3, (*sums)[1][1], 64);
    }
}

DLQ_INLINE void
run_items(const int L, const bool FIX, const struct state *s)
{
    const int64_t groups = s->run->w->groups;
    item_sums sums[2] __attribute__((aligned(64)));
    const int64_t total = groups * s->n_items;
    unpack_slice(s, 0, 0, 1);
    load_factors(s, 0);
    int64_t group = 0;
    int item = 0;
    int64_t last_group = 0;
    int last_item = 0;
    for (int64_t i = 0; i < total; i++) {
        multiply_item(L, s, group, item);
        if (i > 0) {
            scale_item(L, FIX, s, last_group, last_item, &sums[(i - 1) & 1]);
        }
        if (group + 1 < groups) {
            unpack_slice(s, group + 1, item, s->n_items);
        }
        store_item(L, &sums[i & 1]);
        last_group = group;
        last_item = item;
        if (++item == s->n_items) {
            item = 0;
            if (++group < groups) {
                load_factors(s, group);
            }
        }
    }
    scale_item(L, FIX, s, last_group, last_item, &sums[(total - 1) & 1]);
}

static __attribute__((noinline)) void
run_two_limbs(const struct state *s)
{
    run_items(2, false, s);
}

static __attribute__((noinline)) void
run_one_limb(const struct state *s)
{
    run_items(1, false, s);
}

static __attribute__((noinline)) void
run_two_limbs_fix(const struct state *s)
{
    run_items(2, true, s);
}

static __attribute__((noinline)) void
run_one_limb_fix(const struct state *s)
{
    run_items(1, true, s);
}

static void
amx_product(const struct dlq_wna16_run *run, int64_t panel, int64_t n_panels, int64_t block,
            int n_blocks)
{
    const struct dlq_k_wna16 *w = run->w;
    float c[CHUNK * PANEL * DLQ_WNA16_UNIT] __attribute__((aligned(64)));
    int8_t weights[2][4][DLQ_WNA16_MAX_GROUP * 16] __attribute__((aligned(64)));
    __m512 scales[2][4];
    __m512i zeros[2][4];
    const int width = w->group_k % 64 == 0 ? 64 : 32;
    const struct state s = {.run = run,
                            .panel = panel,
                            .n_panels = n_panels,
                            .block = block,
                            .n_blocks = n_blocks,
                            .n_items = (int)n_panels * 2,
                            .width = width,
                            .fix_zeros = w->shape.bits == 8 && w->shape.has_zero_points,
                            .weights = weights,
                            .scales = scales,
                            .zeros = zeros,
                            .c = c};
    struct dlq_tile_config config = {.palette = 1};
    for (int t = 0; t < 8; t++) {
        config.colsb[t] = (uint16_t)(t == 4 || t == 5 ? width : 64);
        config.rows[t] = (uint8_t)(t >= 6 ? width / 4 : PANEL);
    }
    memset(c, 0, (size_t)n_panels * PANEL * DLQ_WNA16_UNIT * sizeof(*c));
    dlq_tile_configure(&config);
    if (run->limbs == 2) {
        (s.fix_zeros ? run_two_limbs_fix : run_two_limbs)(&s);
    } else {
        (s.fix_zeros ? run_one_limb_fix : run_one_limb)(&s);
    }
    dlq_tile_release();
    const int64_t m0 = panel * PANEL;
    const int64_t left = run->call->m - m0;
    const int64_t rows = left < n_panels * PANEL ? left : n_panels * PANEL;
    const int64_t columns = w->shape.n - block * 16;
    dlq_rows_finish_avx2(run->call, m0, rows, block * 16,
                         columns < DLQ_WNA16_UNIT ? columns : DLQ_WNA16_UNIT, c, DLQ_WNA16_UNIT);
}

static void
choose(const struct dlq_k_wna16 *w, int limbs, int64_t m, struct dlq_wna16_run *run)
{
    if (m < MIN_ROWS || w->group_k % 32 != 0) {
        dlq_wna16_choose_avx512_vnni(w, limbs, m, run);
        return;
    }
    run->format = DLQ_WNA16_TILES;
    run->rows = PANEL;
    run->chunk = CHUNK;
    run->product = amx_product;
}

static const struct dlq_wna16_level level = {"amx_int8", choose};

static int64_t
workspace_size(const struct dlq_k_wna16 *w, enum dlq_k_wna16_arithmetic arithmetic, int64_t max_m,
               int n_threads)
{
    (void)n_threads;
    return dlq_wna16_fast_workspace(&level, w, arithmetic, max_m);
}

static int
apply(const struct dlq_k_wna16 *w, enum dlq_k_wna16_arithmetic arithmetic,
      const struct dlq_k_linear_call *call)
{
    return dlq_wna16_fast_apply(&level, w, arithmetic, call);
}

void
dlq_wna16_init_amx_int8(struct dlq_k_wna16_ops *ops)
{
    *ops = (struct dlq_k_wna16_ops){level.name, workspace_size, apply, true};
}
