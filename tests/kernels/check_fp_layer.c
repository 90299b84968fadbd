// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "check_fp.h"
#include "float16.h"

#include <stdlib.h>

CHECK_LAYER_CALLS(fp)

static struct check_element
element(const struct check_layer *op, int64_t m, int64_t n)
{
    const struct check_fp_layer *l = op->ctx;
    const double b = (double)dlq_k_load_f32(op->bias, op->dtype, n);
    struct check_element e = {b, fabs(b), 0.0, 0.0};
    for (int64_t k = 0; k < op->k; k++) {
        const double v = (double)l->values[m * op->k + k] * (double)l->weights[n * op->k + k] *
                         (double)l->row_scales[m];
        e.y64 += v;
        e.abs_sum += fabs(v);
    }
    return e;
}

static enum check_class
class_of(const struct check_layer *op, const char *level)
{
    (void)op;
    (void)level;
    return CHECK_EXACT;
}

static bool
both_fma(const char *level, const char *below)
{
    return strcmp(level, "c") != 0 && strcmp(below, "c") != 0;
}

static float
scale_at(const struct check_fp_layer *l, int64_t n, int64_t g)
{
    const int64_t i = n / l->w.shape.scale_rows * l->w.groups + g;
    if (l->w.shape.scale_dtype == DLQ_F8_E4M3) {
        return dlq_k_e4m3_to_f32(l->scales[i]);
    }
    if (l->w.shape.scale_dtype == DLQ_F8_E8M0) {
        return dlq_k_e8m0_to_f32(l->scales[i]);
    }
    return dlq_k_load_f32(l->scales, l->w.shape.scale_dtype, i);
}

static void
make_weights(struct check_fp_layer *l, struct check_rng *rng)
{
    const struct dlq_k_fp_shape *shape = &l->w.shape;
    const bool fp4 = shape->dtype == DLQ_F4_E2M1;
    const int64_t n_codes = fp4 ? shape->n * shape->k / 2 : shape->n * shape->k;
    l->codes = check_alloc(n_codes, 0);
    for (int64_t i = 0; i < n_codes; i++) {
        const uint8_t code = (uint8_t)check_random(rng);
        l->codes[i] = !fp4 && (code & 0x7fu) == 0x7fu ? (uint8_t)(code - 1u) : code;
    }
    const int64_t n_scales = (shape->n + shape->scale_rows - 1) / shape->scale_rows * l->w.groups;
    l->scales = check_alloc(n_scales * 4, 0);
    for (int64_t i = 0; i < n_scales; i++) {
        if (shape->scale_dtype == DLQ_F8_E4M3) {
            l->scales[i] = (uint8_t)(check_random(rng) % 0x7fu);
        } else if (shape->scale_dtype == DLQ_F8_E8M0) {
            l->scales[i] = (uint8_t)(117u + check_random(rng) % 12u);
        } else {
            dlq_k_store_f32(l->scales, shape->scale_dtype, i,
                            (float)(0.01 + 0.02 * check_uniform(rng)));
        }
    }
    l->factors = check_alloc(shape->n * 4, 0);
    for (int64_t i = 0; i < shape->n; i++) {
        l->factors[i] = shape->scale_dtype == DLQ_F8_E4M3 ? 1.0f / 512.0f : 0.5f;
    }
}

static void
check_dequantize(struct check_fp_layer *l)
{
    const struct dlq_k_fp_shape *shape = &l->w.shape;
    l->weights = check_alloc(shape->n * shape->k * 4, 0);
    dlq_k_fp_dequantize(&l->w, 0, shape->n, l->weights);
    int64_t wrong = 0;
    for (int64_t n = 0; n < shape->n; n++) {
        for (int64_t k = 0; k < shape->k; k++) {
            const int64_t i = n * shape->k + k;
            const double code =
                shape->dtype == DLQ_F4_E2M1
                    ? (double)dlq_k_e2m1_to_f32((uint8_t)(l->codes[i / 2] >> (i % 2 * 4) & 15))
                    : (double)dlq_k_e4m3_to_f32(l->codes[i]);
            const double v =
                code * (double)scale_at(l, n, k / shape->group) * (double)l->factors[n];
            wrong += fabs((double)l->weights[i] - v) > 0x1p-22 * fabs(v);
        }
    }
    check_that(wrong == 0, "%s: %ld weights wrong", l->what, (long)wrong);
}

// Codes are the nearest ones to x over its scale: no other code is nearer.
static void
check_quantize(struct check_fp_layer *l)
{
    const struct check_layer *op = &l->op;
    const struct dlq_k_fp_shape *shape = &l->w.shape;
    const bool fp4 = shape->activation == DLQ_K_FP_NVFP4 || shape->activation == DLQ_K_FP_MXFP4;
    float tensor_max = 0.0f;
    for (int64_t m = 0; m < op->m; m++) {
        for (int64_t k = 0; k < op->k; k++) {
            const float v = fabsf(dlq_k_load_f32(op->x, op->dtype, m * op->x_stride + k));
            tensor_max = v > tensor_max ? v : tensor_max;
        }
    }
    l->values = check_alloc(op->m * op->k * 4, 0);
    l->row_scales = check_alloc(op->m * 4, 0);
    const int64_t n_scales = dlq_k_fp_act_scales(&l->w);
    uint8_t *codes = check_alloc(op->k, 0);
    float *scales = check_alloc(n_scales * 4, 0);
    const int64_t size = shape->activation == DLQ_K_FP_FP8_GROUP ? shape->act_group
                         : shape->activation == DLQ_K_FP_NVFP4   ? 16
                         : n_scales > 1                          ? 32
                                                                 : op->k;
    int64_t wrong = 0;
    for (int64_t m = 0; m < op->m; m++) {
        const char *x =
            (const char *)op->x + (size_t)(m * op->x_stride) * dlq_k_act_size(op->dtype);
        float *values = l->values + m * op->k;
        dlq_k_fp_quantize_row(&l->w, x, op->dtype, tensor_max, values, codes, scales,
                              &l->row_scales[m]);
        for (int64_t k = 0; k < op->k; k++) {
            const double v = (double)dlq_k_load_f32(x, op->dtype, k);
            const double got = (double)values[k] * (double)l->row_scales[m];
            if (shape->activation == DLQ_K_FP_NONE) {
                wrong += got != v;
                continue;
            }
            // Half of the code's spacing at the value, or of the largest step near saturation.
            const int64_t group = n_scales == 1 ? 0 : k / size;
            double s = (double)scales[group];
            s = shape->activation == DLQ_K_FP_NVFP4 ? s / (double)shape->act_scale : s;
            const double a = fabs(v) / s;
            const double largest = fp4 ? 6.0 : 448.0;
            int exponent = 0;
            frexp(a, &exponent);
            const int least = fp4 ? 1 : -5;
            const double step = ldexp(1.0, (exponent > least ? exponent : least) - (fp4 ? 2 : 4));
            const double expected_error = a > largest ? a - largest : step * 0.5;
            wrong += fabs(got / s - v / s) > expected_error * 1.0001 + a * 0x1p-22;
        }
    }
    check_that(wrong == 0, "%s: %ld codes of x are not the nearest", l->what, (long)wrong);
    check_free(codes);
    check_free(scales);
}

void
check_fp_make(struct check_fp_layer *l, int64_t m, const struct dlq_k_fp_shape *shape,
              uint32_t x_dtype)
{
    struct check_rng rng = {(uint64_t)(m * 7919 + shape->k * 31 + shape->n)};
    *l = (struct check_fp_layer){0};
    check_that(dlq_k_fp_plan(&l->w, shape) == DLQ_K_OK, "fp plan");
    make_weights(l, &rng);
    l->data = check_alloc(l->w.bytes, 0);
    int64_t bad = -1;
    check_that(dlq_k_fp_pack(&l->w, l->codes, l->scales, l->factors, l->data, check_threads(2),
                             &bad) == DLQ_K_OK,
               "fp pack, bad %ld", (long)bad);
    snprintf(l->what, sizeof(l->what), "%s k %ld n %ld g %ld scales %x per %ld act %d",
             shape->dtype == DLQ_F4_E2M1 ? "fp4" : "fp8", (long)shape->k, (long)shape->n,
             (long)shape->group, shape->scale_dtype, (long)shape->scale_rows,
             (int)shape->activation);
    l->op = (struct check_layer){.what = l->what,
                                 .m = m,
                                 .k = shape->k,
                                 .n = shape->n,
                                 .dtype = x_dtype,
                                 .w = &l->w,
                                 .init = init_ops,
                                 .workspace_size = workspace_size,
                                 .apply = apply,
                                 .element = element,
                                 .class_of = class_of,
                                 .same_bits = both_fma,
                                 .rows_depend = shape->activation == DLQ_K_FP_FP8_TENSOR,
                                 .ctx = l};
    check_layer_fill(&l->op, &rng, CHECK_GAUSSIAN);
    check_dequantize(l);
    check_quantize(l);
}

void
check_fp_free(struct check_fp_layer *l)
{
    check_free(l->codes);
    check_free(l->scales);
    check_free(l->factors);
    check_free(l->data);
    check_free(l->weights);
    check_free(l->values);
    check_free(l->row_scales);
    check_layer_free(&l->op);
}
