// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "check_fp.h"
#include "float16.h"

#include <stdlib.h>

// A share of the rows from `first` on, with what is known of whole rows or groups, against the
// whole layer, in whose weights there is nothing outside the share.
static void
check_against_whole(const struct check_fp_layer *l, const struct dlq_k_fp *share, int64_t first)
{
    const struct check_layer *op = &l->op;
    const int64_t n_groups = dlq_k_fp_act_scales(&l->w);
    float *ranges = check_alloc(op->m * 8, 0);
    float *group_max = check_alloc(op->m * n_groups * 4, 0);
    for (int i = 0; i < check_n_levels; i++) {
        if (!check_have_level(&check_levels[i])) {
            continue;
        }
        struct dlq_k_fp_ops ops;
        dlq_k_fp_init(&ops, check_levels[i].flags);
        void *whole = check_layer_apply(op, &ops, ops.name, op->x, op->m, 1, op->bias);
        void *workspace = check_alloc(ops.workspace_size(&l->w, op->m, 1), 0);
        struct dlq_k_linear_call call = {.m = op->m,
                                         .x = op->x,
                                         .x_stride = op->x_stride,
                                         .x_dtype = DLQ_F32,
                                         .y_dtype = DLQ_F32,
                                         .y = check_alloc(op->m * op->y_stride * 4, 0),
                                         .y_stride = op->y_stride,
                                         .bias = op->bias,
                                         .bias_dtype = DLQ_F32,
                                         .workspace = workspace};
        dlq_k_row_ranges(check_levels[i].flags, &call, op->k, ranges);
        dlq_k_fp_group_max(&l->w, &call, group_max);
        call.x = (const float *)op->x + first;
        call.ranges = ranges;
        call.group_max = group_max + first / dlq_k_fp_act_group(&l->w);
        call.group_max_stride = n_groups;
        check_that(ops.apply(share, &call) == DLQ_K_OK, "share");
        bool same = true;
        for (int64_t j = 0; j < op->m * op->n; j++) {
            const int64_t at = j / op->n * op->y_stride + j % op->n;
            const float a = ((const float *)whole)[at];
            const float b = ((const float *)call.y)[at];
            same = same && (a == b || (a != a && b != b));
        }
        check_that(same, "%s, %s: a share with what whole rows have", l->what, ops.name);
        check_free(call.y);
        check_free(workspace);
        check_free(whole);
    }
    check_free(ranges);
    check_free(group_max);
}

// The end of each row as a share of its own. It begins inside a group of activations, in whose
// other share lie an extreme and a NaN.
static void
check_share(enum dlq_k_fp_activation activation)
{
    enum { M = 7, K = 200, CUT = 70, N = 24 };
    struct dlq_k_fp_shape shape = {.k = K,
                                   .n = N,
                                   .dtype = DLQ_F8_E4M3,
                                   .scale_dtype = DLQ_F32,
                                   .group = K,
                                   .scale_rows = 1,
                                   .activation = activation,
                                   .act_group = 48,
                                   .act_scale = 2.0f};
    struct check_fp_layer l;
    check_fp_make(&l, M, &shape, DLQ_F32);
    uint8_t codes[N * (K - CUT)];
    for (int64_t n = 0; n < N; n++) {
        memset(l.codes + n * K, 0, CUT);
        memcpy(codes + n * (K - CUT), l.codes + n * K + CUT, K - CUT);
    }
    check_that(dlq_k_fp_pack(&l.w, l.codes, l.scales, l.factors, l.data, NULL, NULL) == DLQ_K_OK,
               "pack");
    struct dlq_k_fp w;
    const int64_t group = dlq_k_fp_act_group(&l.w);
    shape.k = K - CUT;
    shape.group = K - CUT;
    shape.act_offset = CUT % group;
    check_that(dlq_k_fp_plan(&w, &shape) == DLQ_K_OK, "plan");
    void *data = check_alloc(w.bytes, 0);
    check_that(dlq_k_fp_pack(&w, codes, l.scales, l.factors, data, NULL, NULL) == DLQ_K_OK, "pack");
    ((float *)l.op.x)[CUT - 1] = 1000.0f;
    ((float *)l.op.x)[2 * l.op.x_stride + CUT - 1] = NAN;
    check_against_whole(&l, &w, CUT);
    if (dlq_k_fp_act_scales(&l.w) > 1) {
        check_that(dlq_k_fp_act_scales(&w) == (CUT % group + K - CUT + group - 1) / group,
                   "%s: groups of a share", l.what);
        shape.act_offset = group;
        check_that(dlq_k_fp_plan(&w, &shape) == DLQ_K_ESHAPE, "an offset of a whole group");
    }
    check_free(data);
    check_fp_free(&l);
}

// Codes of x at every level, seen through a layer that multiplies by one: ties, subnormal codes and
// values past the largest among them.
static void
check_codes(enum dlq_k_fp_activation activation)
{
    enum { K = 192, M = 64 };
    const struct dlq_k_fp_shape shape = {.k = K,
                                         .n = K,
                                         .dtype = DLQ_F8_E4M3,
                                         .scale_dtype = DLQ_F32,
                                         .group = K,
                                         .scale_rows = K,
                                         .activation = activation,
                                         .act_group = 64,
                                         .act_scale = 0.5f};
    static uint8_t codes[K * K];
    static float x[M * K];
    static float y[M * K];
    struct dlq_k_fp w;
    struct check_rng rng = {9};
    const float one = 1.0f;
    for (int64_t i = 0; i < K; i++) {
        codes[i * K + i] = 0x38;
    }
    for (int64_t i = 0; i < M * K; i++) {
        // Few bits of mantissa over many exponents.
        const float v = ldexpf(1.0f + (float)(check_random(&rng) % 32) / 32.0f,
                               (int)(check_random(&rng) % 24) - 16);
        const uint32_t kind = check_random(&rng) % 16;
        x[i] = kind == 0 ? 0.0f : kind % 2 == 0 ? v : -v;
    }
    check_that(dlq_k_fp_plan(&w, &shape) == DLQ_K_OK, "plan");
    void *data = check_alloc(w.bytes, 0);
    check_that(dlq_k_fp_pack(&w, codes, &one, NULL, data, NULL, NULL) == DLQ_K_OK, "pack");
    float tensor_max = 0.0f;
    for (int64_t i = 0; i < M * K && activation == DLQ_K_FP_FP8_TENSOR; i++) {
        tensor_max = fmaxf(tensor_max, fabsf(x[i]));
    }
    for (int i = 0; i < check_n_levels; i++) {
        if (!check_have_level(&check_levels[i])) {
            continue;
        }
        struct dlq_k_fp_ops ops;
        dlq_k_fp_init(&ops, check_levels[i].flags);
        void *workspace = check_alloc(ops.workspace_size(&w, M, 1), 0);
        const struct dlq_k_linear_call call = {.m = M,
                                               .x = x,
                                               .x_stride = K,
                                               .x_dtype = DLQ_F32,
                                               .y_dtype = DLQ_F32,
                                               .y = y,
                                               .y_stride = K,
                                               .workspace = workspace};
        check_that(ops.apply(&w, &call) == DLQ_K_OK, "apply");
        bool same = true;
        for (int64_t m = 0; m < M; m++) {
            float values[K];
            float row_scale = 0.0f;
            dlq_k_fp_quantize_row(&w, x + m * K, DLQ_F32, tensor_max, values, NULL, NULL,
                                  &row_scale);
            for (int64_t k = 0; k < K; k++) {
                same = same && y[m * K + k] == values[k] * row_scale;
            }
        }
        check_that(same, "activation %d, %s: codes", (int)activation, ops.name);
        check_free(workspace);
    }
    check_free(data);
}

static void
check_refusals(void)
{
    struct dlq_k_fp w;
    struct dlq_k_fp_shape shape = {.k = 32,
                                   .n = 16,
                                   .dtype = DLQ_F8_E4M3,
                                   .scale_dtype = DLQ_F32,
                                   .group = 32,
                                   .scale_rows = 1};
    uint8_t codes[32 * 16] = {0};
    float scales[16];
    for (int i = 0; i < 16; i++) {
        scales[i] = 1.0f;
    }
    int64_t bad = -1;
    check_that(dlq_k_fp_plan(&w, &shape) == DLQ_K_OK, "fp8 plan");
    void *data = check_alloc(w.bytes, 0);
    codes[77] = 0xff;
    check_that(dlq_k_fp_pack(&w, codes, scales, NULL, data, NULL, &bad) == DLQ_K_ECODE &&
                   bad == 77 && w.data == NULL,
               "NaN weight");
    codes[77] = 0;
    scales[3] = INFINITY;
    check_that(dlq_k_fp_pack(&w, codes, scales, NULL, data, NULL, &bad) == DLQ_K_ESCALE && bad == 3,
               "infinite scale");
    scales[3] = 1.0f;
    const float factors[16] = {[5] = NAN};
    check_that(dlq_k_fp_pack(&w, codes, scales, factors, data, NULL, &bad) == DLQ_K_ESCALE &&
                   bad == 5,
               "NaN factor");
    check_free(data);
    shape.activation = DLQ_K_FP_FP8_STATIC;
    check_that(dlq_k_fp_plan(&w, &shape) == DLQ_K_ESCALE, "static scale 0");
    shape.activation = DLQ_K_FP_NONE;
    shape.dtype = DLQ_F4_E2M1;
    shape.k = 33;
    shape.group = 33;
    check_that(dlq_k_fp_plan(&w, &shape) == DLQ_K_ESHAPE, "odd k of fp4");
    shape.dtype = DLQ_F16;
    check_that(dlq_k_fp_plan(&w, &shape) == DLQ_K_EDTYPE, "fp16 codes");
}

void
check_fp_edges(void)
{
    for (int a = DLQ_K_FP_FP8_TOKEN; a <= DLQ_K_FP_MXFP8; a++) {
        // A scale that is known beforehand needs nothing of whole rows.
        if (a != DLQ_K_FP_FP8_STATIC) {
            check_share((enum dlq_k_fp_activation)a);
        }
        check_codes((enum dlq_k_fp_activation)a);
    }
    check_refusals();
}
