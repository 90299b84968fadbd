// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "check_layer.h"

#include "float16.h"

#include <stdlib.h>

enum { OPS_SIZE = 64 }; // room for any operation's table

void
check_layer_fill(struct check_layer *layer, struct check_rng *rng, enum check_data data)
{
    const int64_t size = (int64_t)dlq_k_act_size(layer->dtype);
    layer->x_stride = layer->k + 3;
    layer->y_stride = layer->n + 5;
    layer->x = check_alloc(layer->m * layer->x_stride * size, 0);
    check_fill_x(rng, data, layer->dtype, layer->x, layer->m, layer->k, layer->x_stride);
    layer->bias = check_alloc(layer->n * size, 0);
    for (int64_t n = 0; n < layer->n; n++) {
        dlq_k_store_f32(layer->bias, layer->dtype, n, (float)check_gaussian(rng));
    }
}

void
check_layer_free(struct check_layer *layer)
{
    check_free(layer->x);
    check_free(layer->bias);
}

void *
check_layer_apply(const struct check_layer *layer, const void *ops, const char *level,
                  const void *x, int64_t m, int threads, const void *bias)
{
    const int64_t size = (int64_t)dlq_k_act_size(layer->dtype);
    void *y = check_alloc(m * layer->y_stride * size, 0);
    const int n_threads = threads < 0 ? -threads : threads;
    void *workspace = check_alloc(layer->workspace_size(ops, layer->w, m, n_threads), 0);
    const struct dlq_k_linear_call call = {.m = m,
                                           .x = x,
                                           .x_stride = layer->x_stride,
                                           .x_dtype = layer->dtype,
                                           .y_dtype = layer->dtype,
                                           .y = y,
                                           .y_stride = layer->y_stride,
                                           .bias = bias,
                                           .bias_dtype = layer->dtype,
                                           .workspace = workspace,
                                           .parallel = check_threads(threads)};
    check_that(layer->apply(ops, layer->w, &call) == DLQ_K_OK, "%s %s: apply", layer->what, level);
    bool padding = true;
    for (int64_t r = 0; r < m; r++) {
        const uint8_t *end = (const uint8_t *)y + (r * layer->y_stride + layer->n) * size;
        for (int64_t i = 0; i < (layer->y_stride - layer->n) * size; i++) {
            padding = padding && end[i] == 0xFF;
        }
    }
    check_that(padding, "%s %s: wrote past the columns of y", layer->what, level);
    check_free(workspace);
    return y;
}

bool
check_layer_same(const struct check_layer *layer, const void *a, const void *b, int64_t m)
{
    const size_t size = dlq_k_act_size(layer->dtype);
    for (int64_t r = 0; r < m; r++) {
        const size_t at = (size_t)(r * layer->y_stride) * size;
        if (memcmp((const char *)a + at, (const char *)b + at, (size_t)layer->n * size) != 0) {
            return false;
        }
    }
    return true;
}

static const void *
row_of(const struct check_layer *layer, const void *base, int64_t stride, int64_t m)
{
    return (const char *)base + (size_t)(m * stride) * dlq_k_act_size(layer->dtype);
}

static void
check_values(const struct check_layer *layer, const char *level, const void *y,
             const struct check_element *truth)
{
    struct check_compare compare = {
        .class = layer->class_of(layer, level), .dtype = layer->dtype, .k = layer->k};
    for (int64_t i = 0; i < layer->m * layer->n; i++) {
        const int64_t at = i / layer->n * layer->y_stride + i % layer->n;
        check_compare_add(&compare, &truth[i], (double)dlq_k_load_f32(y, layer->dtype, at));
    }
    double error = 0.0;
    const bool ok = check_compare_ok(&compare, &error);
    check_that(ok, "%s, %s %s, m %ld: error %.2e, worst element %.2f of its bound", layer->what,
               level, check_dtype_name(layer->dtype), (long)layer->m, error, compare.worst);
}

static void
check_one_level(const struct check_layer *layer, uint32_t flags, const struct check_element *truth,
                void **below, const char **below_name)
{
    uint64_t ops[OPS_SIZE / 8];
    const char *level = layer->init(ops, flags);
    void *y = check_layer_apply(layer, ops, level, layer->x, layer->m, 1, layer->bias);
    check_values(layer, level, y, truth);
    // With -4 the first task finds all columns left, those of other rows too.
    static const int counts[] = {2, 5, -4};
    for (int i = 0; i < 3; i++) {
        const int threads = counts[i];
        void *again =
            check_layer_apply(layer, ops, level, layer->x, layer->m, threads, layer->bias);
        check_that(check_layer_same(layer, y, again, layer->m), "%s, %s: %d threads change bits",
                   layer->what, level, threads);
        check_free(again);
    }
    if (!layer->rows_depend) {
        const int64_t last = layer->m - 1;
        void *alone = check_layer_apply(
            layer, ops, level, row_of(layer, layer->x, layer->x_stride, last), 1, 1, layer->bias);
        check_that(check_layer_same(layer, alone, row_of(layer, y, layer->y_stride, last), 1),
                   "%s, %s, m %ld: a row alone differs from the row in a batch", layer->what, level,
                   (long)layer->m);
        check_free(alone);
    }
    if (*below != NULL && layer->same_bits(level, *below_name)) {
        check_that(check_layer_same(layer, *below, y, layer->m),
                   "%s, %s, m %ld: not the bits of the level below", layer->what, level,
                   (long)layer->m);
    }
    if (*below != NULL) {
        check_free(*below);
    }
    *below = y;
    *below_name = level;
}

void
check_layer_levels(const struct check_layer *layer)
{
    struct check_element *truth = malloc((size_t)(layer->m * layer->n) * sizeof(*truth));
    for (int64_t i = 0; i < layer->m * layer->n; i++) {
        truth[i] = layer->element(layer, i / layer->n, i % layer->n);
    }
    void *below = NULL;
    const char *below_name = NULL;
    for (int i = 0; i < check_n_levels; i++) {
        if (check_have_level(&check_levels[i])) {
            check_one_level(layer, check_levels[i].flags, truth, &below, &below_name);
        }
    }
    check_free(below);
    free(truth);
}

void
check_layer_special(const struct check_layer *layer)
{
    const uint32_t dtype = layer->dtype;
    for (int64_t k = 0; k < layer->k; k++) {
        dlq_k_store_f32(layer->x, dtype, k, k % 2 != 0 ? -0.0f : 0.0f);
    }
    dlq_k_store_f32(layer->x, dtype, 2 * layer->x_stride + layer->k / 3, NAN);
    dlq_k_store_f32(layer->x, dtype, 4 * layer->x_stride + layer->k - 1, INFINITY);
    dlq_k_store_f32(layer->x, dtype, 6 * layer->x_stride, -INFINITY);
    for (int i = 0; i < check_n_levels; i++) {
        if (!check_have_level(&check_levels[i])) {
            continue;
        }
        uint64_t ops[OPS_SIZE / 8];
        const char *level = layer->init(ops, check_levels[i].flags);
        void *y = check_layer_apply(layer, ops, level, layer->x, layer->m, 1, layer->bias);
        for (int64_t n = 0; n < layer->n; n++) {
            const float bias = dlq_k_load_f32(layer->bias, dtype, n);
            const float zero = dlq_k_load_f32(y, dtype, n);
            check_that(layer->rows_depend || zero == bias, "%s, %s: a zero row gives the bias",
                       layer->what, level);
            check_that(isnan(dlq_k_load_f32(y, dtype, 2 * layer->y_stride + n)),
                       "%s, %s: a NaN row gives NaN", layer->what, level);
            for (int64_t r = 4; r <= 6; r += 2) {
                check_that(!isfinite(dlq_k_load_f32(y, dtype, r * layer->y_stride + n)),
                           "%s, %s: an infinite row is not finite", layer->what, level);
            }
            for (int64_t r = 1; r < layer->m && !layer->rows_depend; r += r < 7 ? 2 : 1) {
                check_that(isfinite(dlq_k_load_f32(y, dtype, r * layer->y_stride + n)),
                           "%s, %s: row %ld beside special rows", layer->what, level, (long)r);
            }
        }
        check_free(y);
    }
}
