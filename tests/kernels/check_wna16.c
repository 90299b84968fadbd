// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "check_wna16.h"

// Weight-only integer layers: every level against fp64 products of the checkpoint's own values.

static void
check_dequantize(const struct check_wna16_layer *l)
{
    const struct check_wna16_problem *p = &l->p;
    float *rows = check_alloc(p->k * p->n * 4, 0);
    dlq_k_wna16_dequantize(&l->w, 0, p->n, rows);
    int64_t wrong = 0;
    for (int64_t n = 0; n < p->n; n++) {
        for (int64_t k = 0; k < p->k; k++) {
            wrong += rows[n * p->k + k] != check_wna16_weight(l, n, k);
        }
    }
    check_that(wrong == 0, "dequantize: %ld of %ld wrong", (long)wrong, (long)(p->k * p->n));
    check_free(rows);
}

static void
check_problem(const struct check_wna16_problem *p, uint64_t seed)
{
    struct check_wna16_layer l;
    check_wna16_make(&l, p, seed);
    check_dequantize(&l);
    check_layer_levels(&l.op);
    const struct check_layer int8 = check_wna16_with(&l, DLQ_K_WNA16_INT8);
    check_layer_levels(&int8);
    const struct check_layer i8 =
        check_wna16_with(&l, seed % 2 ? DLQ_K_WNA16_I8_TOKEN : DLQ_K_WNA16_I8_TOKEN_AZP);
    check_layer_levels(&i8);
    check_wna16_free(&l);
}

void
check_wna16(void)
{
    static const int64_t rows[] = {1, 2, 3, 4, 5, 7, 8, 13, 16, 17, 31, 33, 43, 48, 70};
    static const struct {
        int64_t k, n, group;
    } shapes[] = {{128, 64, 128}, {256, 136, 64}, {172, 24, 43},    {100, 40, 25},  {384, 48, 32},
                  {1056, 8, 48},  {576, 80, 64},  {1024, 32, 1024}, {640, 56, 640}, {33, 16, 33},
                  {8, 16, 4},     {192, 72, 96},  {1408, 104, 128}};
    static const enum dlq_k_wna16_source_layout layouts[] = {
        DLQ_K_WNA16_AWQ, DLQ_K_WNA16_K_DENSE, DLQ_K_WNA16_BYTES, DLQ_K_WNA16_K_PADDED,
        DLQ_K_WNA16_GPTQ};
    static const uint32_t dtypes[] = {DLQ_F16, DLQ_BF16, DLQ_F32};
    uint64_t seed = 1;
    for (size_t s = 0; s < sizeof(shapes) / sizeof(*shapes); s++) {
        for (size_t r = 0; r < sizeof(rows) / sizeof(*rows); r++) {
            // Walk the other choices so that each meets several shapes and row counts.
            const size_t turn = s * 5 + r * 3;
            struct check_wna16_problem p = {
                .m = rows[r], .k = shapes[s].k, .n = shapes[s].n, .group = shapes[s].group};
            p.layout = layouts[turn % 5];
            p.bits = p.layout == DLQ_K_WNA16_AWQ || turn % 4 < 2 ? 4 : 2 + (int)(turn % 7);
            p.zeros = turn % 3 != 1;
            p.act_order = turn % 7 == 3;
            p.dtype = dtypes[(s + r) % 3];
            p.data = (enum check_data)(turn % 4);
            check_problem(&p, seed++);
        }
    }
    // Columns that nothing divides, one at a time.
    for (int64_t n = 1; n <= 17; n += 4) {
        const struct check_wna16_problem p = {.m = 6,
                                              .k = 96,
                                              .n = n,
                                              .group = 32,
                                              .bits = 4,
                                              .zeros = true,
                                              .layout = DLQ_K_WNA16_K_DENSE,
                                              .dtype = DLQ_F32};
        check_problem(&p, seed++);
    }
    check_wna16_edges();
}
