// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "check_layer.h"
#include "float16.h"
#include "linear_dense.h"

#include <stdlib.h>

// Unquantized layers: every level against fp64 products of the same weights.

struct layer {
    struct dlq_k_dense w;
    void *weights; // [n, k + 1]
    void *data;
    struct check_layer op;
    char what[96];
};

CHECK_LAYER_CALLS(dense)

static struct check_element
element(const struct check_layer *op, int64_t m, int64_t n)
{
    const struct layer *l = op->ctx;
    const double b = (double)dlq_k_load_f32(op->bias, op->dtype, n);
    struct check_element e = {b, fabs(b), 0.0, 0.0};
    for (int64_t k = 0; k < op->k; k++) {
        const double x = (double)dlq_k_load_f32(op->x, op->dtype, m * op->x_stride + k);
        const double v = (double)dlq_k_load_f32(l->weights, l->w.dtype, n * (op->k + 1) + k);
        e.y64 += x * v;
        e.abs_sum += fabs(x * v);
    }
    return e;
}

static enum check_class
class_of(const struct check_layer *op, const char *level)
{
    (void)op;
    return strstr(level, "bf16") != NULL ? CHECK_BF16_DOT : CHECK_EXACT;
}

// avx2 and avx512 add the same products in the same order.
static bool
both_fma(const char *level, const char *below)
{
    return strcmp(level, "avx512") == 0 && strcmp(below, "avx2") == 0;
}

static void
layer_init(struct layer *l, int64_t m, int64_t k, int64_t n, uint32_t w_dtype, uint32_t x_dtype,
           enum check_data data)
{
    struct check_rng rng = {(uint64_t)(m * 7919 + k * 31 + n)};
    *l = (struct layer){0};
    l->weights = check_alloc(n * (k + 1) * (int64_t)dlq_k_act_size(w_dtype), 0);
    for (int64_t i = 0; i < n * (k + 1); i++) {
        const double v = data == CHECK_SMALL_INTS ? (double)(check_random(&rng) % 3) - 1.0
                                                  : 0.05 * check_gaussian(&rng);
        dlq_k_store_f32(l->weights, w_dtype, i, (float)v);
    }
    check_that(dlq_k_dense_plan(&l->w, k, n, w_dtype) == DLQ_K_OK, "dense plan");
    l->data = check_alloc(l->w.bytes, 0);
    check_that(dlq_k_dense_pack(&l->w, l->weights, k + 1, l->data, check_threads(2)) == DLQ_K_OK,
               "dense pack");
    snprintf(l->what, sizeof(l->what), "dense %s k %ld n %ld data %d", check_dtype_name(w_dtype),
             (long)k, (long)n, (int)data);
    l->op = (struct check_layer){.what = l->what,
                                 .m = m,
                                 .k = k,
                                 .n = n,
                                 .dtype = x_dtype,
                                 .w = &l->w,
                                 .init = init_ops,
                                 .workspace_size = workspace_size,
                                 .apply = apply,
                                 .element = element,
                                 .class_of = class_of,
                                 .same_bits = both_fma,
                                 .ctx = l};
    check_layer_fill(&l->op, &rng, data);
}

static void
layer_free(struct layer *l)
{
    check_free(l->weights);
    check_free(l->data);
    check_layer_free(&l->op);
}

// A rank's part of the columns gives the bits of the whole layer.
static void
check_column_split(const struct layer *l)
{
    const struct check_layer *op = &l->op;
    const size_t w_size = dlq_k_act_size(l->w.dtype);
    const int64_t half = op->n / 2;
    struct dlq_k_dense part;
    check_that(dlq_k_dense_plan(&part, op->k, half, l->w.dtype) == DLQ_K_OK, "plan of a part");
    void *data = check_alloc(part.bytes, 0);
    const char *from = (const char *)l->weights + (size_t)((op->n - half) * (op->k + 1)) * w_size;
    check_that(dlq_k_dense_pack(&part, from, op->k + 1, data, NULL) == DLQ_K_OK, "pack of a part");
    struct check_layer part_op = *op;
    part_op.w = &part;
    part_op.n = half;
    part_op.y_stride = half + 5;
    for (int i = 0; i < check_n_levels; i++) {
        if (!check_have_level(&check_levels[i])) {
            continue;
        }
        struct dlq_k_dense_ops ops;
        dlq_k_dense_init(&ops, check_levels[i].flags);
        const size_t size = dlq_k_act_size(op->dtype);
        void *whole = check_layer_apply(op, &ops, ops.name, op->x, op->m, 1, NULL);
        void *y = check_layer_apply(&part_op, &ops, ops.name, op->x, op->m, 1, NULL);
        bool same = true;
        for (int64_t r = 0; r < op->m; r++) {
            const char *a = (const char *)whole + (size_t)(r * op->y_stride + op->n - half) * size;
            const char *b = (const char *)y + (size_t)(r * part_op.y_stride) * size;
            same = same && memcmp(a, b, (size_t)half * size) == 0;
        }
        check_that(same, "%s, %s: a column split changes bits", op->what, ops.name);
        check_free(whole);
        check_free(y);
    }
    check_free(data);
}

void
check_dense(void)
{
    static const int64_t rows[] = {1, 2, 3, 4, 5, 6, 7, 8, 16, 17, 33, 50, 100};
    static const int64_t shapes[][2] = {{64, 64},   {128, 40},  {33, 17},  {1, 5},
                                        {300, 72},  {512, 100}, {31, 130}, {257, 64},
                                        {1000, 24}, {96, 256},  {64, 488}};
    static const uint32_t dtypes[] = {DLQ_F32, DLQ_F16, DLQ_BF16};
    int turn = 0;
    for (size_t s = 0; s < sizeof(shapes) / sizeof(*shapes); s++) {
        for (size_t r = 0; r < sizeof(rows) / sizeof(*rows); r++, turn++) {
            struct layer l;
            // Mostly equal dtypes of x and W, as layers have them, and every mixture sometimes.
            const uint32_t w_dtype = dtypes[turn % 3];
            const uint32_t x_dtype = turn % 4 != 3 ? w_dtype : dtypes[(turn / 4) % 3];
            layer_init(&l, rows[r], shapes[s][0], shapes[s][1], w_dtype, x_dtype,
                       (enum check_data)(turn % 4));
            check_layer_levels(&l.op);
            if (r % 4 == 0 && shapes[s][1] > 1) {
                check_column_split(&l);
            }
            layer_free(&l);
        }
    }
    for (int i = 0; i < 3; i++) {
        struct layer l;
        layer_init(&l, 9, 100, 40, dtypes[i], dtypes[i], CHECK_GAUSSIAN);
        check_layer_special(&l.op);
        layer_free(&l);
    }
    struct dlq_k_dense w;
    check_that(dlq_k_dense_plan(&w, 0, 4, DLQ_F32) == DLQ_K_ESHAPE, "k 0");
    check_that(dlq_k_dense_plan(&w, 4, -1, DLQ_F32) == DLQ_K_ESHAPE, "n -1");
    check_that(dlq_k_dense_plan(&w, 4, 4, DLQ_I8) == DLQ_K_EDTYPE, "int8 weights");
}
