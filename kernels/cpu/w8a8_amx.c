// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "amx_unit.h"
#include "w8a8_fast.h"

// AMX int8: packed bytes are B tiles as they lie in memory.

enum { PANEL = 16, MIN_ROWS = 5 };

static void
product(const struct dlq_w8a8_run *run, const struct dlq_w8a8_part *part, int64_t block,
        int n_blocks, int32_t *c)
{
    const struct dlq_k_w8a8 *w = run->w;
    struct dlq_amx_unit unit = {.tiles = w->k_padded / 64,
                                .x = part->codes,
                                .panel_bytes = run->panel_bytes,
                                .n_panels = part->n_panels,
                                .c = (uint8_t *)c};
    dlq_amx_unit_blocks(&unit, dlq_w8a8_codes(w, block), n_blocks,
                        dlq_w8a8_codes(w, part->next_block), w->block_bytes);
    dlq_amx_unit_run(true, &unit);
    if (part->to_y) {
        dlq_w8a8_outputs_avx512(run, part, 0, part->n_panels * PANEL, block, c);
    }
}

static void
choose(int64_t m, struct dlq_w8a8_run *run)
{
    if (m < MIN_ROWS) {
        dlq_w8a8_choose_avx512_vnni(m, run);
        return;
    }
    run->format = DLQ_W8A8_TILES;
    run->rows = PANEL;
    run->offset = 128;
    run->chunk = DLQ_W8A8_CHUNK_ROWS / PANEL;
    run->quantize = dlq_w8a8_quantize_avx512;
    run->product = product;
    run->writes_y = true;
}

DLQ_W8A8_LEVEL(amx_int8, choose)
