// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "amx_unit.h"
#include "dense_bf16.h"

// AMX bf16: packed weights are B tiles as they lie in memory.

enum { PANEL = 16 };

static void
product(const struct dlq_bf16_run *run, const struct dlq_bf16_part *part, int64_t block,
        int n_blocks, float *c)
{
    const struct dlq_k_dense *w = run->w;
    struct dlq_amx_unit unit = {.tiles = w->k_padded / 32,
                                .x = (const uint8_t *)part->x,
                                .panel_bytes = w->k_padded * 2 * PANEL,
                                .n_panels = part->n_panels,
                                .c = (uint8_t *)c};
    dlq_amx_unit_blocks(&unit, w->data + block * w->block_bytes, n_blocks,
                        w->data + part->next_block * w->block_bytes, w->block_bytes);
    dlq_amx_unit_run(false, &unit);
}

void
dlq_bf16_choose_amx(int64_t m, struct dlq_bf16_run *run)
{
    (void)m;
    run->rows = PANEL;
    run->chunk = DLQ_BF16_CHUNK_ROWS / PANEL;
    run->product = product;
}
