// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "avx512_unit.h"
#include "w8a8_fast.h"

// AVX-512 VNNI: packed bytes as they are against broadcast codes of x.

DLQ_AVX512_TILES(true);

struct outputs {
    const struct dlq_w8a8_run *run;
    const struct dlq_w8a8_part *part;
    int64_t block;
    const int32_t *c;
};

// Lines of y come while a panel has its last products, and are written during those of the next.
static void
panel_outputs(const void *ctx, int64_t row, bool done)
{
    const struct outputs *o = ctx;
    const struct dlq_w8a8_run *run = o->run;
    if (done) {
        dlq_w8a8_outputs_avx512(run, o->part, row, run->rows, o->block, o->c);
    } else {
        dlq_bring_outputs(run->call, o->part->panel * run->rows + row, run->rows, o->block * 16,
                          run->w->n);
    }
}

static void
product(const struct dlq_w8a8_run *run, const struct dlq_w8a8_part *part, int64_t block,
        int n_blocks, int32_t *c)
{
    const struct dlq_k_w8a8 *w = run->w;
    const struct outputs outputs = {run, part, block, c};
    const struct dlq_avx512_unit unit = {.weights = dlq_w8a8_codes(w, block),
                                         .next = dlq_w8a8_codes(w, part->next_block),
                                         .block_bytes = w->block_bytes,
                                         .n_blocks = n_blocks,
                                         .steps = w->k_padded / 4,
                                         .x = part->codes,
                                         .panel_bytes = run->panel_bytes,
                                         .n_panels = part->n_panels,
                                         .rows = run->rows,
                                         .c = (uint8_t *)c,
                                         .outputs = part->to_y ? panel_outputs : NULL,
                                         .ctx = &outputs};
    dlq_avx512_unit_run(&tiles, &unit);
}

void
dlq_w8a8_choose_avx512_vnni(int64_t m, struct dlq_w8a8_run *run)
{
    run->format = DLQ_W8A8_TILES;
    run->rows = dlq_panel_rows(m, DLQ_UNIT_ROWS);
    run->offset = 128;
    run->chunk = DLQ_W8A8_CHUNK_ROWS / run->rows;
    run->quantize = dlq_w8a8_quantize_avx512;
    run->product = product;
    run->writes_y = true;
}

DLQ_W8A8_LEVEL(avx512_vnni, dlq_w8a8_choose_avx512_vnni)
