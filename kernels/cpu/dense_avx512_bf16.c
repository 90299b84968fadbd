// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "avx512_unit.h"
#include "dense_bf16.h"

// vdpbf16ps: one lane is a column and two rows of K.

DLQ_AVX512_TILES(false);

static void
product(const struct dlq_bf16_run *run, const struct dlq_bf16_part *part, int64_t block,
        int n_blocks, float *c)
{
    const struct dlq_k_dense *w = run->w;
    const struct dlq_avx512_unit unit = {.weights = w->data + block * w->block_bytes,
                                         .next = w->data + part->next_block * w->block_bytes,
                                         .block_bytes = w->block_bytes,
                                         .n_blocks = n_blocks,
                                         .steps = w->k_padded / 2,
                                         .x = (const uint8_t *)part->x,
                                         .panel_bytes = w->k_padded * 2 * run->rows,
                                         .n_panels = part->n_panels,
                                         .rows = run->rows,
                                         .c = (uint8_t *)c};
    dlq_avx512_unit_run(&tiles, &unit);
}

void
dlq_bf16_choose_avx512(int64_t m, struct dlq_bf16_run *run)
{
    run->rows = dlq_panel_rows(m, DLQ_UNIT_ROWS);
    run->chunk = DLQ_BF16_CHUNK_ROWS / run->rows;
    run->product = product;
}
