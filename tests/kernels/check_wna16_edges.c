// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "check_wna16.h"
#include "float16.h"

// The first of two groups as a share of its own, with the ranges of whole rows, against both groups
// with nothing in the second.
static void
check_share(enum dlq_k_wna16_arithmetic arithmetic, int64_t m)
{
    struct check_wna16_problem p = {.m = m,
                                    .k = 128,
                                    .n = 40,
                                    .group = 64,
                                    .bits = 4,
                                    .zeros = true,
                                    .layout = DLQ_K_WNA16_BYTES,
                                    .dtype = DLQ_F32,
                                    .data = CHECK_OUTLIERS_20};
    struct check_wna16_layer whole;
    check_wna16_make(&whole, &p, 7);
    for (int64_t n = 0; n < p.n; n++) {
        memset((uint8_t *)whole.packed_codes + n * 128 + 64,
               ((const uint8_t *)whole.packed_zeros)[n * 2 + 1], 64);
    }
    struct dlq_k_wna16_source source = check_wna16_source(&whole);
    check_that(dlq_k_wna16_pack(&whole.w, &source, whole.data, NULL, NULL) == DLQ_K_OK, "pack");
    uint8_t codes[40 * 64];
    uint8_t zeros[40];
    uint16_t scales[40];
    for (int64_t n = 0; n < p.n; n++) {
        memcpy(codes + n * 64, (const uint8_t *)whole.packed_codes + n * 128, 64);
        zeros[n] = ((const uint8_t *)whole.packed_zeros)[n * 2];
        scales[n] = whole.scales[n * 2];
    }
    p.k = 64;
    const struct dlq_k_wna16_shape shape = check_wna16_shape(&p);
    struct dlq_k_wna16 w;
    source = (struct dlq_k_wna16_source){.layout = DLQ_K_WNA16_BYTES,
                                         .codes = codes,
                                         .zeros = zeros,
                                         .scales = scales,
                                         .scale_dtype = DLQ_F16};
    check_that(dlq_k_wna16_plan(&w, &shape, DLQ_F32, NULL, NULL) == DLQ_K_OK, "plan");
    void *data = check_alloc(w.bytes, 0);
    check_that(dlq_k_wna16_pack(&w, &source, data, NULL, NULL) == DLQ_K_OK, "pack");
    float *ranges = check_alloc(m * 8, 0);
    float *y = check_alloc(m * p.n * 4, 0);
    for (int i = 0; i < check_n_levels; i++) {
        if (!check_have_level(&check_levels[i])) {
            continue;
        }
        struct dlq_k_wna16_ops ops;
        dlq_k_wna16_init(&ops, check_levels[i].flags);
        void *workspace = check_alloc(ops.workspace_size(&whole.w, arithmetic, m, 1), 0);
        struct dlq_k_linear_call call = {.m = m,
                                         .x = whole.op.x,
                                         .x_stride = whole.op.x_stride,
                                         .x_dtype = DLQ_F32,
                                         .y_dtype = DLQ_F32,
                                         .y = y,
                                         .y_stride = p.n,
                                         .workspace = workspace};
        float *expected = check_alloc(m * p.n * 4, 0);
        check_that(ops.apply(&whole.w, arithmetic, &call) == DLQ_K_OK, "whole");
        memcpy(expected, y, (size_t)(m * p.n) * 4);
        dlq_k_row_ranges(check_levels[i].flags, &call, 128, ranges);
        call.ranges = ranges;
        check_that(ops.apply(&w, arithmetic, &call) == DLQ_K_OK, "share");
        check_that(memcmp(expected, y, (size_t)(m * p.n) * 4) == 0,
                   "%s: a share of %ld rows with the ranges of whole rows", ops.name, (long)m);
        check_free(expected);
        check_free(workspace);
    }
    check_free(y);
    check_free(ranges);
    check_free(data);
    check_wna16_free(&whole);
}

// A row far below what a reciprocal can hold.
static void
check_tiny_row(struct check_layer *op)
{
    for (int64_t k = 0; k < op->k; k++) {
        const float v = dlq_k_load_f32(op->x, op->dtype, k);
        dlq_k_store_f32(op->x, op->dtype, k, v * 0x1p-110f);
    }
    struct check_layer one = *op;
    one.m = 1;
    for (int64_t n = 0; n < op->n; n++) {
        dlq_k_store_f32(op->bias, op->dtype, n, 0.0f);
    }
    check_layer_levels(&one);
}

static void
check_rare_rows(uint32_t dtype, int64_t m)
{
    const struct check_wna16_problem p = {.m = m,
                                          .k = 256,
                                          .n = 40,
                                          .group = 64,
                                          .bits = 4,
                                          .zeros = true,
                                          .layout = DLQ_K_WNA16_BYTES,
                                          .dtype = dtype};
    struct check_wna16_layer l;
    check_wna16_make(&l, &p, 99);
    if (dtype != DLQ_F16) {
        check_tiny_row(&l.op);
    }
    check_layer_special(&l.op);
    const struct check_layer i8 = check_wna16_with(&l, DLQ_K_WNA16_I8_TOKEN);
    check_layer_special(&i8);
    check_wna16_free(&l);
}

static void
check_refusals(void)
{
    const struct check_wna16_problem p = {.m = 1,
                                          .k = 64,
                                          .n = 24,
                                          .group = 32,
                                          .bits = 4,
                                          .zeros = true,
                                          .layout = DLQ_K_WNA16_BYTES,
                                          .act_order = true,
                                          .dtype = DLQ_F16};
    struct check_wna16_layer l;
    check_wna16_make(&l, &p, 5);
    struct dlq_k_wna16 w;
    int64_t bad = -1;
    struct dlq_k_wna16_shape shape = check_wna16_shape(&p);
    shape.bits = 9;
    check_that(dlq_k_wna16_plan(&w, &shape, DLQ_F16, NULL, &bad) == DLQ_K_ESHAPE, "bits 9");
    shape.bits = 1;
    check_that(dlq_k_wna16_plan(&w, &shape, DLQ_F16, NULL, &bad) == DLQ_K_ESHAPE, "bits 1");
    shape = check_wna16_shape(&p);
    shape.group = 65;
    check_that(dlq_k_wna16_plan(&w, &shape, DLQ_F16, NULL, &bad) == DLQ_K_ESHAPE, "group > k");
    shape = check_wna16_shape(&p);
    check_that(dlq_k_wna16_plan(&w, &shape, DLQ_F64, NULL, &bad) == DLQ_K_EDTYPE, "fp64 scales");
    l.g_idx[9] = 2;
    check_that(dlq_k_wna16_plan(&w, &shape, DLQ_F16, l.g_idx, &bad) == DLQ_K_EINDEX && bad == 9,
               "g_idx out of range");
    l.g_idx[9] = -1;
    check_that(dlq_k_wna16_plan(&w, &shape, DLQ_F16, l.g_idx, &bad) == DLQ_K_EINDEX && bad == 9,
               "negative g_idx");
    struct dlq_k_wna16_source source = check_wna16_source(&l);
    source.g_idx = NULL;
    check_that(dlq_k_wna16_pack(&l.w, &source, l.data, NULL, &bad) == DLQ_K_ESHAPE,
               "pack without the g_idx of the plan");
    source = check_wna16_source(&l);
    l.g_idx[9] = 0;
    const uint16_t evil[] = {0x7c00, 0xfc00, 0x7e01, 0x7c01};
    for (int i = 0; i < 4; i++) {
        const uint16_t saved = l.scales[17];
        l.scales[17] = evil[i];
        check_that(dlq_k_wna16_plan(&w, &shape, DLQ_F16, l.g_idx, &bad) == DLQ_K_OK, "plan");
        void *data = check_alloc(w.bytes, 0);
        check_that(dlq_k_wna16_pack(&w, &source, data, check_threads(2), &bad) == DLQ_K_ESCALE &&
                       bad == 17 && w.data == NULL,
                   "NaN or infinite scale %04x", evil[i]);
        check_free(data);
        l.scales[17] = saved;
    }
    struct dlq_k_wna16_ops ops;
    dlq_k_wna16_init(&ops, 0);
    struct dlq_k_linear_call call = {.m = 1,
                                     .x = l.op.x,
                                     .x_stride = p.k - 1,
                                     .x_dtype = DLQ_F16,
                                     .y_dtype = DLQ_F16,
                                     .y_stride = p.n};
    check_that(ops.apply(&l.w, DLQ_K_WNA16_EXACT, &call) == DLQ_K_ESHAPE, "short x stride");
    call.x_stride = p.k;
    call.x_dtype = DLQ_I8;
    check_that(ops.apply(&l.w, DLQ_K_WNA16_EXACT, &call) == DLQ_K_EDTYPE, "int8 x");
    call.x_dtype = DLQ_F16;
    call.m = 0;
    for (int i = 0; i < check_n_levels; i++) {
        if (check_have_level(&check_levels[i])) {
            dlq_k_wna16_init(&ops, check_levels[i].flags);
            check_that(ops.apply(&l.w, DLQ_K_WNA16_EXACT, &call) == DLQ_K_OK, "m 0 does nothing");
        }
    }
    check_wna16_free(&l);
}

void
check_wna16_edges(void)
{
    check_rare_rows(DLQ_F16, 9);
    check_rare_rows(DLQ_BF16, 9);
    check_rare_rows(DLQ_F32, 9);
    // So many that a kernel goes over them more than once.
    check_rare_rows(DLQ_F16, 80);
    for (int64_t m = 1; m <= 40; m += 13) {
        check_share(DLQ_K_WNA16_I8_TOKEN, m);
        check_share(DLQ_K_WNA16_I8_TOKEN_AZP, m);
    }
    check_refusals();
}
