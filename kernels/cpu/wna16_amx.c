// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "amx.h"
#include "avx512.h"
#include "rows.h"
#include "wna16.h"
#include "wna16_fast.h"

// AMX int8: (q - z) as signed bytes against both int8 limbs of x. An item is one panel of 16 rows
// times a pair of blocks, for one group:
//
//              block 0   block 1            A tiles: tmm4 = high limb, tmm5 = low limb
//     high     tmm0      tmm1               B tiles: tmm6 = block 0,   tmm7 = block 1
//     low      tmm2      tmm3
//
// A group of 128 is only eight tile products before its scales, and tile registers are not renamed.
// So everything else is threaded between the products: scaling the sums of the item before and
// unpacking the next group's weights, in as many pieces as there are products; sums are stored as
// soon as they are done.

enum {
    PANEL = 16,
    CHUNK = 8,       // panels that share unpacked weights
    PAIR = 32,       // columns of a pair of blocks
    PREFETCH = 1024, // bytes ahead in the packed weights
    MIN_ROWS = 5     // below, int8 limbs on VNNI read the weights as fast
};

// Sums of one item: [limb][block][16 rows][16 columns].
typedef int32_t item_sums[2][2][PANEL][16];

struct state {
    const struct dlq_wna16_run *run;
    int64_t panel;
    int n_panels;
    int width;                // rows of K of a tile: 64 or 32
    int64_t lines;            // 64-byte lines of packed codes in a group
    bool fix_zeros;           // 8-bit codes with zero points: q - 128 fits a byte, q - z may not
    const uint8_t *packed[2]; // the blocks of the pair
    int8_t *weights;          // [group & 1][block][group_k * 16]
    __m512 scales[2];         // of the group in flight
    __m512i zeros[2];         // z - 128
    float *c;                 // [panels * 16][32]
};

// What the vector units do during an item.
struct side_work {
    const item_sums *sums; // the item before: its sums, factors and place in c
    const float *sx;
    const int32_t *x_sums;
    float *c;
    __m512 scales[2];
    __m512i zeros[2];
    const uint8_t *packed[2]; // lines of the next group
    int8_t *weights[2];
    __m512i subtract[2];
    int64_t line, end_line;
};

DLQ_INLINE void
unpack_lines(const int BITS, struct side_work *work, int64_t until)
{
    const __m512i nibble = _mm512_set1_epi8(15);
    for (int64_t i = work->line; i < until; i++) {
        DLQ_UNROLL for (int b = 0; b < 2; b++)
        {
            const __m512i line = _mm512_load_si512(work->packed[b] + i * 64);
            _mm_prefetch((const char *)work->packed[b] + i * 64 + PREFETCH, _MM_HINT_T0);
            int8_t *out = work->weights[b] + i * (512 / BITS);
            if (BITS == 8) {
                _mm512_store_si512(out, _mm512_sub_epi8(line, work->subtract[b]));
                continue;
            }
            const __m512i low = _mm512_and_si512(line, nibble);
            const __m512i high = _mm512_and_si512(_mm512_srli_epi16(line, 4), nibble);
            _mm512_store_si512(out, _mm512_sub_epi8(low, work->subtract[b]));
            _mm512_store_si512(out + 64, _mm512_sub_epi8(high, work->subtract[b]));
        }
    }
    work->line = until;
}

// Rows [begin, end) of the 2 x 16 rows of an item's sums into c.
DLQ_INLINE void
scale_rows(const int L, const bool FIX, const struct side_work *work, int begin, int end)
{
    const __m512 scales[2] = {work->scales[0], work->scales[1]};
    DLQ_UNROLL for (int i = begin; i < end; i++)
    {
        const int b = i / PANEL;
        const int r = i % PANEL;
        __m512i dot = _mm512_load_si512((*work->sums)[0][b][r]);
        if (L == 2) {
            dot = _mm512_add_epi32(_mm512_slli_epi32(dot, 8),
                                   _mm512_load_si512((*work->sums)[1][b][r]));
        }
        if (FIX) {
            const __m512i offset =
                _mm512_mullo_epi32(work->zeros[b], _mm512_set1_epi32(work->x_sums[r]));
            dot = _mm512_sub_epi32(dot, offset);
        }
        const __m512 t = _mm512_mul_ps(_mm512_cvtepi32_ps(dot), _mm512_set1_ps(work->sx[r]));
        float *to = work->c + r * PAIR + b * 16;
        _mm512_store_ps(to, _mm512_fmadd_ps(t, scales[b], _mm512_load_ps(to)));
    }
}

DLQ_INLINE void
do_piece(const int L, const bool FIX, const int BITS, const int PIECES, struct side_work *work,
         int64_t first_line, int piece)
{
    scale_rows(L, FIX, work, 2 * PANEL * piece / PIECES, 2 * PANEL * (piece + 1) / PIECES);
    unpack_lines(BITS, work, first_line + (work->end_line - first_line) * (piece + 1) / PIECES);
}

// The tile products of an item, with side work between them.
DLQ_INLINE void
run_item(const int L, const bool FIX, const int BITS, const int STEPS, const struct state *s,
         const uint8_t *a, const int8_t *b0, const int8_t *b1, item_sums *sums,
         struct side_work *work)
{
    const int64_t width = s->width;
    const uint8_t *a_low = a + width * STEPS * PANEL;
    const int64_t first_line = work->line;
    const int pieces = STEPS * 2 * L;
    DLQ_TILE_ZERO(0);
    DLQ_TILE_ZERO(1);
    if (L == 2) {
        DLQ_TILE_ZERO(2);
        DLQ_TILE_ZERO(3);
    }
    DLQ_UNROLL for (int i = 0; i < STEPS; i++)
    {
        const int piece = i * 2 * L;
        const bool last = i + 1 == STEPS;
        DLQ_TILE_LOAD(6, b0 + i * width * 16, 64);
        DLQ_TILE_LOAD(4, a + i * width * PANEL, width);
        DLQ_TILE_DPBSSD(0, 4, 6);
        do_piece(L, FIX, BITS, pieces, work, first_line, piece);
        DLQ_TILE_LOAD(7, b1 + i * width * 16, 64);
        DLQ_TILE_DPBSSD(1, 4, 7);
        do_piece(L, FIX, BITS, pieces, work, first_line, piece + 1);
        if (last) {
            DLQ_TILE_STORE(0, (*sums)[0][0], 64);
        }
        if (L == 2) {
            DLQ_TILE_LOAD(5, a_low + i * width * PANEL, width);
            DLQ_TILE_DPBSSD(2, 5, 6);
            do_piece(L, FIX, BITS, pieces, work, first_line, piece + 2);
            if (last) {
                DLQ_TILE_STORE(1, (*sums)[0][1], 64);
            }
            DLQ_TILE_DPBSSD(3, 5, 7);
            do_piece(L, FIX, BITS, pieces, work, first_line, piece + 3);
        } else if (last) {
            DLQ_TILE_STORE(1, (*sums)[0][1], 64);
        }
    }
    if (L == 2) {
        DLQ_TILE_STORE(2, (*sums)[1][0], 64);
        DLQ_TILE_STORE(3, (*sums)[1][1], 64);
    }
}

// Points the unpacking at a group.
static void
next_weights(const struct state *s, int64_t group, struct side_work *work)
{
    const struct dlq_k_wna16 *w = s->run->w;
    const int64_t code_bytes = dlq_wna16_code_bytes(w);
    for (int b = 0; b < 2; b++) {
        const uint8_t *codes = s->packed[b] + group * w->group_bytes;
        const uint8_t *zeros = codes + code_bytes + 16 * dlq_k_act_size(w->scale_dtype);
        const __m512i z = s->fix_zeros ? _mm512_set1_epi32(128) : dlq_load_zeros(zeros);
        work->packed[b] = codes;
        work->weights[b] = s->weights + ((group & 1) * 2 + b) * w->group_k * 16;
        work->subtract[b] = _mm512_mullo_epi32(z, _mm512_set1_epi32(0x01010101));
    }
}

static void
load_factors(struct state *s, int64_t group)
{
    const struct dlq_k_wna16 *w = s->run->w;
    for (int b = 0; b < 2; b++) {
        const uint8_t *scales = s->packed[b] + group * w->group_bytes + dlq_wna16_code_bytes(w);
        s->scales[b] = dlq_load_scales(scales, w->scale_dtype);
        s->zeros[b] = _mm512_sub_epi32(dlq_load_zeros(scales + 16 * dlq_k_act_size(w->scale_dtype)),
                                       _mm512_set1_epi32(128));
    }
}

DLQ_INLINE void
run_items(const int L, const bool FIX, const int BITS, const int STEPS, struct state *s)
{
    const struct dlq_k_wna16 *w = s->run->w;
    item_sums sums[2] __attribute__((aligned(64)));
    memset(sums, 0, sizeof(sums)); // scaling "the item before the first" adds zeros
    struct side_work work = {.sums = &sums[1], .c = s->c, .sx = s->run->sx, .x_sums = s->run->sums};
    next_weights(s, 0, &work);
    unpack_lines(BITS, &work, s->lines);
    int turn = 0;
    for (int64_t g = 0; g < w->groups; g++) {
        const bool more = g + 1 < w->groups;
        const int8_t *b0 = s->weights + (g & 1) * 2 * w->group_k * 16;
        load_factors(s, g);
        if (more) {
            next_weights(s, g + 1, &work);
        }
        for (int p = 0; p < s->n_panels; p++, turn ^= 1) {
            work.line = more ? s->lines * p / s->n_panels : 0;
            work.end_line = more ? s->lines * (p + 1) / s->n_panels : 0;
            run_item(L, FIX, BITS, STEPS, s, dlq_wna16_panel_codes(s->run, s->panel + p, g), b0,
                     b0 + w->group_k * 16, &sums[turn], &work);
            const int64_t factors = dlq_wna16_panel_index(s->run, s->panel + p, g);
            work.sums = &sums[turn];
            work.sx = s->run->sx + factors;
            work.x_sums = s->run->sums + factors;
            work.c = s->c + p * PANEL * PAIR;
            for (int b = 0; b < 2; b++) {
                work.scales[b] = s->scales[b];
                work.zeros[b] = s->zeros[b];
            }
        }
    }
    scale_rows(L, FIX, &work, 0, 2 * PANEL);
}

typedef void (*items_fn)(struct state *s);

#define RUN_ITEMS(L, FIX, BITS, STEPS)                                                             \
    static __attribute__((noinline)) void run_##L##_##FIX##_##BITS##_##STEPS(struct state *s)      \
    {                                                                                              \
        run_items(L, FIX, BITS, STEPS, s);                                                         \
    }
#define RUN_ITEMS_OF(STEPS)                                                                        \
    RUN_ITEMS(1, 0, 4, STEPS)                                                                      \
    RUN_ITEMS(2, 0, 4, STEPS)                                                                      \
    RUN_ITEMS(1, 0, 8, STEPS)                                                                      \
    RUN_ITEMS(2, 0, 8, STEPS) RUN_ITEMS(1, 1, 8, STEPS) RUN_ITEMS(2, 1, 8, STEPS)
RUN_ITEMS_OF(1)
RUN_ITEMS_OF(2)
RUN_ITEMS_OF(3)
RUN_ITEMS_OF(4)
RUN_ITEMS_OF(5)
RUN_ITEMS_OF(7)
#define ROW(STEPS)                                                                                 \
    {                                                                                              \
        {run_1_0_4_##STEPS, run_2_0_4_##STEPS}, {run_1_0_8_##STEPS, run_2_0_8_##STEPS},            \
        {                                                                                          \
            run_1_1_8_##STEPS, run_2_1_8_##STEPS                                                   \
        }                                                                                          \
    }
// By tiles along a group, then 4-bit, 8-bit, 8-bit with zero points, then limbs.
static const items_fn items_by_steps[8][3][2] = {
    [1] = ROW(1), [2] = ROW(2), [3] = ROW(3), [4] = ROW(4), [5] = ROW(5), [7] = ROW(7)};
#undef ROW

static void
pair_product(const struct dlq_wna16_run *run, int64_t panel, int64_t n_panels, int64_t block)
{
    const struct dlq_k_wna16 *w = run->w;
    float c[CHUNK * PANEL * PAIR] __attribute__((aligned(64)));
    int8_t weights[2 * 2 * DLQ_WNA16_MAX_GROUP * 16] __attribute__((aligned(64)));
    const int width = w->group_k % 64 == 0 ? 64 : 32;
    // A single last block is multiplied twice; the copy is dropped.
    const int64_t second = block + 1 < w->blocks ? block + 1 : block;
    struct state s = {.run = run,
                      .panel = panel,
                      .n_panels = (int)n_panels,
                      .width = width,
                      .lines = w->group_k * w->code_bits / 32,
                      .fix_zeros = w->shape.bits == 8 && w->shape.has_zero_points,
                      .packed = {dlq_wna16_codes(w, block, 0), dlq_wna16_codes(w, second, 0)},
                      .weights = weights,
                      .c = c};
    memset(c, 0, (size_t)n_panels * PANEL * PAIR * sizeof(*c));
    items_by_steps[w->group_k / width][w->code_bits == 4 ? 0
                                       : s.fix_zeros     ? 2
                                                         : 1][run->limbs - 1](&s);
    const int64_t m0 = panel * PANEL;
    const int64_t left = run->call->m - m0;
    const int64_t columns = w->shape.n - block * 16;
    dlq_rows_finish_avx2(run->call, m0, left < n_panels * PANEL ? left : n_panels * PANEL,
                         block * 16, columns < PAIR ? columns : PAIR, c, PAIR);
}

static void
amx_product(const struct dlq_wna16_run *run, int64_t panel, int64_t n_panels, int64_t block,
            int n_blocks)
{
    const int width = run->w->group_k % 64 == 0 ? 64 : 32;
    struct dlq_tile_config config = {.palette = 1};
    for (int t = 0; t < 8; t++) {
        config.colsb[t] = (uint16_t)(t == 4 || t == 5 ? width : 64);
        config.rows[t] = (uint8_t)(t >= 6 ? width / 4 : PANEL);
    }
    dlq_tile_configure(&config);
    for (int b = 0; b < n_blocks; b += 2) {
        pair_product(run, panel, n_panels, block + b);
    }
    dlq_tile_release();
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
