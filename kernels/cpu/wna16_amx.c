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
// A group of 128 is only eight tile products before its scales, so everything else is threaded
// between them: unpacking the weights that come next, storing the sums of the item before, scaling
// those of the item before that into the outputs. Outputs, unpacked weights and sums stay in L1;
// codes of x, of which there is no room for, pass by it.
//
// While tile products run, one port is left for fp32 arithmetic, conversions and shifts, and loads
// of tiles take most of both load ports. Hence a shuffle where one would shift, and nothing loaded
// twice that a register can keep.

enum {
    PANEL = 16,
    FEW_PANELS = 4,        // that a task may always have
    MAX_PANELS = 8,        // of a task
    CODES_BYTES = 3 << 19, // of a task's panels: they stay in L2
    C_ROWS = 128,          // of a pair's outputs: they stay in L1
    PAIR = 32,             // columns of a pair of blocks
    GROUPS_AHEAD = 2,      // that packed weights are brought to L2 before they are unpacked
    MIN_ROWS = 5,          // below, int8 limbs on VNNI read the weights as fast
    CODES_COST = 5,        // products are so fast, codes are not
    HALVES_ROWS = 48       // below, a unit is too short to be halved
};

// Sums of one item: [limb][block][16 rows][16 columns].
typedef int32_t item_sums[2][2][PANEL][16];

struct state {
    const struct dlq_wna16_run *run;
    const struct dlq_wna16_part *part;
    int n_panels;
    int n_pairs;
    int width;                // rows of K of a tile: 64 or 32
    int64_t lines;            // 64-byte lines of packed codes in a group
    bool fix_zeros;           // 8-bit codes with zero points: q - 128 fits a byte, q - z may not
    const uint8_t *packed[4]; // the blocks
    const uint8_t *next[4];   // those of the unit after this one
    int8_t *weights;          // [turn][block of a pair][group_k * 16]
    float *c;                 // [pairs][panels * 16][32]
};

// Scales and zero points of a group's blocks.
struct factors {
    __m512 scales[4];
    __m512i zeros[4]; // z - 128
};

// What the sums of one item need to become outputs.
struct pending {
    const item_sums *sums;
    const float *sx;
    const int32_t *x_sums;
    const __m512 *scales;
    const __m512i *zeros;
    float *c;
};

// What the vector units do during an item.
struct side_work {
    struct pending scale;     // an earlier item
    const uint8_t *packed[2]; // lines of the next group
    const uint8_t *ahead[2];  // of a group to come
    int8_t *weights[2];
    __m512i subtract[2];
    int64_t line, end_line;
};

// Keeps what was loaded in its register: compilers load it again after a piece of assembly.
#define KEEP(v) __asm__ volatile("" : "+v"(v))

DLQ_INLINE void
unpack_lines(const int BITS, struct side_work *work, int64_t until)
{
    const __m512i nibble = _mm512_set1_epi8(15);
    for (int64_t i = work->line; i < until; i++) {
        DLQ_UNROLL for (int b = 0; b < 2; b++)
        {
            __m512i line = _mm512_load_si512(work->packed[b] + i * 64);
            KEEP(line);
            _mm_prefetch((const char *)work->ahead[b] + i * 64, _MM_HINT_T1);
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

// Rows [begin, end) of an item's sums into c.
DLQ_INLINE void
scale_rows(const int L, const bool FIX, const struct pending *item, int begin, int end)
{
    // dword << 8
    const __m512i times_256 = _mm512_set4_epi32(0x0e0d0cff, 0x0a0908ff, 0x060504ff, 0x020100ff);
    __m512 scales[2] = {item->scales[0], item->scales[1]};
    KEEP(scales[0]);
    KEEP(scales[1]);
    DLQ_UNROLL for (int r = begin; r < end; r++)
    {
        __m512 sx = _mm512_set1_ps(item->sx[r]);
        KEEP(sx);
        DLQ_UNROLL for (int b = 0; b < 2; b++)
        {
            __m512i dot = _mm512_load_si512((*item->sums)[0][b][r]);
            if (L == 2) {
                dot = _mm512_add_epi32(_mm512_shuffle_epi8(dot, times_256),
                                       _mm512_load_si512((*item->sums)[1][b][r]));
            }
            if (FIX) {
                const __m512i offset =
                    _mm512_mullo_epi32(item->zeros[b], _mm512_set1_epi32(item->x_sums[r]));
                dot = _mm512_sub_epi32(dot, offset);
            }
            const __m512 t = _mm512_mul_ps(_mm512_cvtepi32_ps(dot), sx);
            float *to = item->c + r * PAIR + b * 16;
            _mm512_store_ps(to, _mm512_fmadd_ps(t, scales[b], _mm512_load_ps(to)));
        }
    }
}

// What goes with one of the 2 * L products of a step: unpacking with those of the first, scaling
// with all.
DLQ_INLINE void
do_piece(const int L, const bool FIX, const int BITS, const int STEPS, struct side_work *work,
         int64_t first_line, int step, int product)
{
    const int n = 2 * L;
    if (step == 0) {
        unpack_lines(BITS, work, first_line + (work->end_line - first_line) * (product + 1) / n);
    }
    const int pieces = STEPS * n;
    const int piece = step * n + product;
    scale_rows(L, FIX, &work->scale, PANEL * piece / pieces, PANEL * (piece + 1) / pieces);
}

// The sums of the item before leave their tile just before it is needed again: stores then cost
// nothing, and what they stored is there when the item after begins to scale it.
#define TURN(t, limb, block)                                                                       \
    do {                                                                                           \
        DLQ_TILE_STORE(t, (*sums)[limb][block], 64);                                               \
        DLQ_TILE_ZERO(t);                                                                          \
    } while (0)

// The tile products of an item, with side work between them.
DLQ_INLINE void
run_item(const int L, const bool FIX, const int BITS, const int STEPS, const struct state *s,
         const uint8_t *a, const int8_t *b0, const int8_t *b1, item_sums *sums,
         struct side_work *work)
{
    const int64_t width = s->width;
    const uint8_t *a_low = a + width * STEPS * PANEL;
    const int64_t first_line = work->line;
    DLQ_UNROLL for (int i = 0; i < STEPS; i++)
    {
        DLQ_TILE_LOAD(6, b0 + i * width * 16, 64);
        DLQ_TILE_STREAM(4, a + i * width * PANEL, width);
        if (i == 0) {
            TURN(0, 0, 0);
        }
        DLQ_TILE_DPBSSD(0, 4, 6);
        do_piece(L, FIX, BITS, STEPS, work, first_line, i, 0);
        DLQ_TILE_LOAD(7, b1 + i * width * 16, 64);
        if (i == 0) {
            TURN(1, 0, 1);
        }
        DLQ_TILE_DPBSSD(1, 4, 7);
        do_piece(L, FIX, BITS, STEPS, work, first_line, i, 1);
        if (L == 2) {
            DLQ_TILE_STREAM(5, a_low + i * width * PANEL, width);
            if (i == 0) {
                TURN(2, 1, 0);
            }
            DLQ_TILE_DPBSSD(2, 5, 6);
            do_piece(L, FIX, BITS, STEPS, work, first_line, i, 2);
            if (i == 0) {
                TURN(3, 1, 1);
            }
            DLQ_TILE_DPBSSD(3, 5, 7);
            do_piece(L, FIX, BITS, STEPS, work, first_line, i, 3);
        }
    }
}
#undef TURN

static void
load_factors(const struct state *s, int64_t group, struct factors *f)
{
    const struct dlq_k_wna16 *w = s->run->w;
    for (int b = 0; b < 2 * s->n_pairs; b++) {
        const uint8_t *scales = s->packed[b] + group * w->group_bytes + dlq_wna16_code_bytes(w);
        f->scales[b] = dlq_load_scales(scales, w->scale_dtype);
        f->zeros[b] = _mm512_sub_epi32(dlq_load_zeros(scales + 16 * dlq_k_act_size(w->scale_dtype)),
                                       _mm512_set1_epi32(128));
    }
}

// Points the unpacking at a pair's blocks in a group. Brings what a group to come has beside codes.
DLQ_INLINE void
next_weights(const struct state *s, int pair, int64_t group, int turn, struct side_work *work)
{
    const struct dlq_k_wna16 *w = s->run->w;
    const int64_t zeros = dlq_wna16_code_bytes(w) + 16 * dlq_k_act_size(w->scale_dtype);
    DLQ_UNROLL for (int b = 0; b < 2; b++)
    {
        const int64_t ahead = group + GROUPS_AHEAD - w->groups;
        work->packed[b] = s->packed[2 * pair + b] + group * w->group_bytes;
        work->ahead[b] = ahead < 0 ? work->packed[b] + GROUPS_AHEAD * w->group_bytes
                                   : s->next[2 * pair + b] + ahead % w->groups * w->group_bytes;
        _mm_prefetch((const char *)work->ahead[b] + dlq_wna16_code_bytes(w), _MM_HINT_T1);
        work->weights[b] = s->weights + (2 * turn + b) * w->group_k * 16;
        const __m512i z =
            s->fix_zeros ? _mm512_set1_epi32(128) : dlq_load_zeros(work->packed[b] + zeros);
        work->subtract[b] = _mm512_mullo_epi32(z, _mm512_set1_epi32(0x01010101));
    }
}

DLQ_INLINE void
run_items(const int L, const bool FIX, const int BITS, const int STEPS, struct state *s)
{
    const struct dlq_wna16_run *run = s->run;
    const struct dlq_k_wna16 *w = run->w;
    const struct dlq_wna16_part *part = s->part;
    // Of the item before and of the one before that, whose groups may be two.
    item_sums sums[2] __attribute__((aligned(64)));
    struct factors factors[4];
    // There are no two items before the first: zeros.
    struct pending last = {.sums = &sums[0],
                           .sx = part->sx + dlq_wna16_slot(part, 0, 0) * PANEL,
                           .x_sums = part->sums + dlq_wna16_slot(part, 0, 0) * PANEL,
                           .scales = factors[3].scales,
                           .zeros = factors[3].zeros,
                           .c = s->c};
    struct side_work work = {.scale = last};
    memset(sums, 0, sizeof(sums));
    memset(factors, 0, sizeof(factors));
    DLQ_TILE_ZERO(0);
    DLQ_TILE_ZERO(1);
    DLQ_TILE_ZERO(2);
    DLQ_TILE_ZERO(3);
    next_weights(s, 0, 0, 0, &work);
    work.line = 0;
    unpack_lines(BITS, &work, s->lines);
    int buffer = 0;
    int turn = 0;
    for (int64_t g = 0; g < w->groups; g++) {
        const int64_t slot = dlq_wna16_slot(part, 0, g);
        struct factors *f = &factors[g & 3];
        load_factors(s, g, f);
        for (int pair = 0; pair < s->n_pairs; pair++, buffer ^= 1) {
            const bool last_pair = pair + 1 == s->n_pairs;
            const int64_t next = last_pair ? g + 1 : g;
            const int64_t lines = next < w->groups ? s->lines : 0;
            const int8_t *b = s->weights + 2 * buffer * w->group_k * 16;
            next_weights(s, last_pair ? 0 : pair + 1, next < w->groups ? next : g, buffer ^ 1,
                         &work);
            for (int p = 0; p < s->n_panels; p++, turn ^= 1) {
                work.line = lines * p / s->n_panels;
                work.end_line = lines * (p + 1) / s->n_panels;
                run_item(L, FIX, BITS, STEPS, s, part->codes + (slot + p) * run->group_bytes, b,
                         b + w->group_k * 16, &sums[turn ^ 1], &work);
                work.scale = last;
                last = (struct pending){.sums = &sums[turn],
                                        .sx = part->sx + (slot + p) * PANEL,
                                        .x_sums = part->sums + (slot + p) * PANEL,
                                        .scales = f->scales + 2 * pair,
                                        .zeros = f->zeros + 2 * pair,
                                        .c = s->c + (pair * s->n_panels + p) * PANEL * PAIR};
            }
        }
    }
    scale_rows(L, FIX, &work.scale, 0, PANEL);
    DLQ_TILE_STORE(0, sums[turn ^ 1][0][0], 64);
    DLQ_TILE_STORE(1, sums[turn ^ 1][0][1], 64);
    if (L == 2) {
        DLQ_TILE_STORE(2, sums[turn ^ 1][1][0], 64);
        DLQ_TILE_STORE(3, sums[turn ^ 1][1][1], 64);
    }
    scale_rows(L, FIX, &last, 0, PANEL);
}
#undef KEEP

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

// All panels of a part times blocks [block, block + n_blocks): two, or four where panels are few.
// `next`: the blocks that follow.
static void
pass_product(const struct dlq_wna16_run *run, const struct dlq_wna16_part *part, int64_t block,
             int n_blocks, int64_t next)
{
    const struct dlq_k_wna16 *w = run->w;
    float c[C_ROWS * PAIR] __attribute__((aligned(64)));
    int8_t weights[2 * 2 * DLQ_WNA16_MAX_GROUP * 16] __attribute__((aligned(64)));
    const int width = w->group_k % 64 == 0 ? 64 : 32;
    struct state s = {.run = run,
                      .part = part,
                      .n_panels = (int)part->n_panels,
                      .n_pairs = (n_blocks + 1) / 2,
                      .width = width,
                      .lines = w->group_k * w->code_bits / 32,
                      .fix_zeros = w->shape.bits == 8 && w->shape.has_zero_points,
                      .weights = weights,
                      .c = c};
    for (int b = 0; b < 4; b++) {
        // A block that is missing repeats the first; its outputs are dropped.
        s.packed[b] = dlq_wna16_codes(w, block + (b < n_blocks ? b : 0), 0);
        s.next[b] = dlq_wna16_codes(w, next + b, 0);
    }
    const int64_t pair_floats = part->n_panels * PANEL * PAIR;
    memset(c, 0, (size_t)(s.n_pairs * pair_floats) * sizeof(*c));
    items_by_steps[w->group_k / width][w->code_bits == 4 ? 0
                                       : s.fix_zeros     ? 2
                                                         : 1][run->limbs - 1](&s);
    for (int pair = 0; pair < s.n_pairs; pair++) {
        dlq_wna16_finish_columns(run, part, 0, part->n_panels, block + 2 * pair,
                                 c + pair * pair_floats, PAIR);
    }
}

static void
amx_product(const struct dlq_wna16_run *run, const struct dlq_wna16_part *part, int64_t block,
            int n_blocks)
{
    const int width = run->w->group_k % 64 == 0 ? 64 : 32;
    struct dlq_tile_config config = {.palette = 1};
    for (int t = 0; t < 8; t++) {
        config.colsb[t] = (uint16_t)(t == 4 || t == 5 ? width : 64);
        config.rows[t] = (uint8_t)(t >= 6 ? width / 4 : PANEL);
    }
    dlq_tile_configure(&config);
    const int step = part->n_panels * PANEL * 2 <= C_ROWS ? 4 : 2;
    for (int b = 0; b < n_blocks; b += step) {
        const bool last = b + step >= n_blocks;
        pass_product(run, part, block + b, last ? n_blocks - b : step,
                     last ? part->next_block : block + b + step);
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
    const int64_t fit = CODES_BYTES / (w->groups * w->group_k * limbs * PANEL);
    run->chunk = fit < FEW_PANELS ? FEW_PANELS : fit > MAX_PANELS ? MAX_PANELS : fit;
    run->codes_cost = CODES_COST;
    run->halves = m > HALVES_ROWS;
    run->quantize = dlq_wna16_quantize_avx512;
    run->product = amx_product;
}

DLQ_WNA16_LEVEL(amx_int8, choose)
