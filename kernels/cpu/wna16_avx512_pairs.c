// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "avx512.h"
#include "wna16_fast.h"

// AVX-512 VNNI for more than a few rows: int16 codes of x against (q - z).

enum { PAIR_ROWS = 6 }; // of a tile, at most

// A packed group of four blocks against the int16 codes of the panels of a part.
struct pair_group {
    const uint8_t *packed; // of the first block
    const uint8_t *next;   // what is used after it
    int64_t stride;        // from a block to the next
    int64_t next_stride;
    int64_t bytes;    // of the codes of a block
    const uint8_t *x; // [n_panels][x_bytes]
    int64_t x_bytes;
    int64_t row_bytes; // of a row of x
    int64_t rows;      // of a panel
    const float *sx;   // [n_panels][rows]
    float *c;          // [n_panels][rows][64]
    __mmask16 begun;   // c holds sums: all lanes, or none in the first group
    __m512 scales[4];
    __m512i zeros[4]; // as pairs of int16
};

#define AND_LINE(d, p, mask)                                                                       \
    __asm__ volatile("vpandd %1, %2, %0" : "=v"(d) : "m"(*(const __m512i *)(p)), "v"(mask))
#define SHIFT_LINE(d, p, BY)                                                                       \
    __asm__ volatile("vpsrlw $" #BY ", %1, %0" : "=v"(d) : "m"(*(const __m512i *)(p)))
#define LESS_LINE(d, line) __asm__ volatile("vpsubw %1, %0, %0" : "+v"(d) : "m"(line))

// (q - z) of two rows of K, in the order of DLQ_WNA16_PAIRS, as int16 pairs. Lines are read again
// for each: registers are full of sums.
DLQ_INLINE __m512i
unpack_pair(const int BITS, const int PAIR, const uint8_t *line, __m512i mask)
{
    __m512i v;
    if (PAIR == 0) {
        AND_LINE(v, line, mask);
    } else if (PAIR * BITS == 4) {
        SHIFT_LINE(v, line, 4);
    } else if (PAIR * BITS == 8) {
        SHIFT_LINE(v, line, 8);
    } else {
        SHIFT_LINE(v, line, 12);
    }
    if (PAIR != 0 && (PAIR + 1) * BITS < 16) {
        v = _mm512_and_si512(v, mask);
    }
    return v;
}

// c += products, with scales, of MR rows of panels [first, end). Each panel unpacks in registers:
// conversions, shifts and logic have the ports that dot products leave, and what was unpacked need
// not be stored.
DLQ_INLINE void
pair_tiles(const int MR, const int BITS, const struct pair_group *g, int64_t first, int64_t end)
{
    const int64_t row_bytes = g->row_bytes;
    const __m512i mask = _mm512_set1_epi16(BITS == 4 ? 15 : 255);
    const int64_t stride = g->stride;
    const __mmask16 begun = g->begun;
    for (int64_t i = first; i < end; i++) {
        const uint8_t *x = g->x + i * g->x_bytes;
        const float *sx = g->sx + i * g->rows;
        float *c = g->c + i * g->rows * DLQ_WNA16_UNIT;
        const uint8_t *packed = g->packed;
        const uint8_t *next = g->next + (2 * i & 3) * g->next_stride;
        __m512i acc[PAIR_ROWS][4];
        DLQ_UNROLL for (int m = 0; m < MR; m++)
        {
            DLQ_UNROLL for (int b = 0; b < 4; b++)
            {
                acc[m][b] = _mm512_setzero_si512();
            }
        }
        for (const uint8_t *last = packed + g->bytes; packed < last; packed += 64, next += 64) {
            _mm_prefetch((const char *)next, _MM_HINT_T1);
            _mm_prefetch((const char *)next + g->next_stride, _MM_HINT_T1);
            const int pairs = 16 / BITS;
            DLQ_UNROLL for (int pair = 0; pair < pairs; pair++)
            {
                __m512i v[4];
                DLQ_UNROLL for (int b = 0; b < 4; b++)
                {
                    v[b] = unpack_pair(BITS, pair, packed + b * stride, mask);
                    LESS_LINE(v[b], g->zeros[b]);
                }
                DLQ_UNROLL for (int m = 0; m < MR; m++)
                {
                    __m512i codes;
                    DLQ_BROADCAST(codes, x + m * row_bytes);
                    DLQ_UNROLL for (int b = 0; b < 4; b++)
                    {
                        DLQ_DPWSSD(acc[m][b], v[b], codes);
                    }
                }
                x += 4;
            }
        }
        DLQ_UNROLL for (int m = 0; m < MR; m++)
        {
            const __m512 s = _mm512_set1_ps(sx[m]);
            DLQ_UNROLL for (int b = 0; b < 4; b++)
            {
                float *to = c + m * DLQ_WNA16_UNIT + b * 16;
                const __m512 t = _mm512_mul_ps(_mm512_cvtepi32_ps(acc[m][b]), s);
                _mm512_store_ps(to,
                                _mm512_fmadd_ps(t, g->scales[b], _mm512_maskz_load_ps(begun, to)));
            }
        }
    }
}
#undef AND_LINE
#undef SHIFT_LINE
#undef LESS_LINE

typedef void (*pair_fn)(const struct pair_group *g, int64_t first, int64_t end);
#define PAIR_TILES(MR, BITS)                                                                       \
    static __attribute__((noinline)) void pair_##MR##_##BITS(const struct pair_group *g,           \
                                                             int64_t first, int64_t end)           \
    {                                                                                              \
        pair_tiles(MR, BITS, g, first, end);                                                       \
    }
PAIR_TILES(2, 4)
PAIR_TILES(4, 4)
PAIR_TILES(5, 4)
PAIR_TILES(6, 4)
PAIR_TILES(2, 8)
PAIR_TILES(4, 8)
PAIR_TILES(5, 8)
PAIR_TILES(6, 8)

// For tiles of at least so many rows, 1 to PAIR_ROWS.
static pair_fn
pair_tiles_of(int64_t rows, int code_bits)
{
    static const pair_fn fns[][2] = {
        {pair_2_4, pair_2_8}, {pair_4_4, pair_4_8}, {pair_5_4, pair_5_8}, {pair_6_4, pair_6_8}};
    return fns[rows <= 2 ? 0 : rows <= 4 ? 1 : rows - 3][code_bits == 8];
}

// Points at a packed group of `n_blocks` blocks. Where some of four are missing, they are copied to
// `copy`, of which what is missing may be anything.
static void
pair_group_init(const struct dlq_wna16_run *run, const struct dlq_wna16_part *part, int64_t block,
                int n_blocks, int64_t group, uint8_t *copy, struct pair_group *g)
{
    const struct dlq_k_wna16 *w = run->w;
    g->packed = dlq_wna16_codes(w, block, group);
    g->stride = w->block_bytes;
    g->next = group + 1 < w->groups ? g->packed + w->group_bytes
                                    : dlq_wna16_codes(w, part->next_block, 0);
    for (int b = 0; b < n_blocks; b++) {
        const uint8_t *p = dlq_wna16_codes(w, block + b, group);
        g->scales[b] = dlq_load_scales(p + g->bytes, w->scale_dtype);
        const __m512i z = dlq_load_zeros(dlq_wna16_zeros(w, block + b, group));
        g->zeros[b] = _mm512_or_si512(z, _mm512_slli_epi32(z, 16));
        for (int64_t i = g->bytes; i < w->group_bytes; i += 64) {
            _mm_prefetch((const char *)g->next + b * w->block_bytes + i, _MM_HINT_T1);
        }
        if (n_blocks < 4) {
            memcpy(copy + b * g->bytes, p, (size_t)g->bytes);
        }
    }
    if (n_blocks < 4) {
        g->packed = copy;
        g->stride = g->bytes;
    }
    g->begun = group != 0 ? 0xffff : 0;
    const int64_t slot = group * part->group_step;
    g->x = part->codes + slot * run->group_bytes;
    g->sx = part->sx + slot * run->rows;
}

// Sums c[rows][64] to y. dlq_wna16_finish has more instructions than a processor looks ahead: no
// products of the next panel would run beside it.
DLQ_INLINE void
store_panel(const uint32_t DTYPE, const struct dlq_k_linear_call *call, int64_t m0, int64_t rows,
            int64_t n0, const float *c)
{
    for (int64_t m = m0; m < m0 + rows; m++, c += DLQ_WNA16_UNIT) {
        void *y = dlq_call_y(call, m);
        DLQ_UNROLL for (int b = 0; b < 4; b++)
        {
            dlq_store16(y, DTYPE, n0 + 16 * b, _mm512_load_ps(c + 16 * b));
        }
    }
}

static void
finish_panel(const struct dlq_wna16_run *run, const struct dlq_wna16_part *part, int64_t panel,
             int64_t block, const float *c)
{
    const struct dlq_k_linear_call *call = run->call;
    const int64_t m0 = (part->panel + panel) * run->rows;
    const int64_t n0 = block * 16;
    const int64_t rows = call->m - m0 < run->rows ? call->m - m0 : run->rows;
    if (call->bias != NULL || n0 + DLQ_WNA16_UNIT > run->w->shape.n) {
        dlq_wna16_finish(run, part, panel, 1, block, c);
    } else if (call->y_dtype == DLQ_F32) {
        store_panel(DLQ_F32, call, m0, rows, n0, c);
    } else if (call->y_dtype == DLQ_F16) {
        store_panel(DLQ_F16, call, m0, rows, n0, c);
    } else {
        store_panel(DLQ_BF16, call, m0, rows, n0, c);
    }
}

void
dlq_wna16_pair_product_avx512(const struct dlq_wna16_run *run, const struct dlq_wna16_part *part,
                              int64_t block, int n_blocks)
{
    const struct dlq_k_wna16 *w = run->w;
    const int64_t rows = run->rows;
    // The last panel of y may be short.
    const int64_t rows_left = run->call->m - (part->panel + part->n_panels - 1) * rows;
    const int64_t whole = part->n_panels - (rows_left < rows);
    const pair_fn fn = pair_tiles_of(rows, w->code_bits);
    const pair_fn last_fn = rows_left < rows ? pair_tiles_of(rows_left, w->code_bits) : fn;
    float c[DLQ_WNA16_PAIR_CHUNK * DLQ_WNA16_UNIT] __attribute__((aligned(64)));
    uint8_t copy[DLQ_WNA16_MAX_GROUP * DLQ_WNA16_UNIT] __attribute__((aligned(64)));
    struct pair_group g = {.next_stride = w->block_bytes,
                           .bytes = dlq_wna16_code_bytes(w),
                           .x_bytes = run->group_bytes,
                           .row_bytes = 2 * w->group_k,
                           .rows = rows,
                           .c = c};
    memset(copy, 0, n_blocks < 4 ? sizeof(copy) : 0);
    for (int64_t group = 0; group < w->groups; group++) {
        pair_group_init(run, part, block, n_blocks, group, copy, &g);
        if (group + 1 < w->groups) {
            fn(&g, 0, whole);
            last_fn(&g, whole, part->n_panels);
        }
    }
    // Lines of y come while a panel has its last products, and are written during those of the
    // next.
    for (int64_t i = 0; i < part->n_panels; i++) {
        dlq_bring_outputs(run->call, (part->panel + i) * rows, rows, block * 16, w->shape.n);
        (i < whole ? fn : last_fn)(&g, i, i + 1);
        finish_panel(run, part, i, block, c + i * rows * DLQ_WNA16_UNIT);
    }
}
