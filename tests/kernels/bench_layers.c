// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "bench.h"
#include "float16.h"
#include "linear_dense.h"
#include "linear_fp.h"
#include "linear_w8a8.h"
#include "linear_wna16.h"

#include <stdlib.h>
#include <string.h>

// The operations as --bench runs them: weights in the formats that models use, fp32 y, x in fp16
// (bf16 for bf16 layers, fp32 for fp32 layers), the quantization of x included.

// A layer of any operation: copies of its packed weights and how to run one.
struct layer {
    const char *op;
    const char *level;
    int64_t k, n;
    uint32_t x_dtype;
    int64_t bytes; // of one copy
    int n_copies;
    void **copies;
    uint32_t flags;
    struct dlq_k_linear_call call;
    int64_t (*workspace_size)(const struct layer *l, int64_t m, int threads);
    int (*apply)(const struct layer *l, int copy);
    void (*dequantize)(const struct layer *l, int64_t n, float *row);
    double (*peak)(const struct layer *l, const struct tool_ceilings *c);
    union {
        struct dlq_k_wna16 wna16;
        struct dlq_k_dense dense;
        struct dlq_k_w8a8 w8a8;
        struct dlq_k_fp fp;
    } w;
    union {
        struct dlq_k_wna16_ops wna16;
        struct dlq_k_dense_ops dense;
        struct dlq_k_w8a8_ops w8a8;
        struct dlq_k_fp_ops fp;
    } ops;
    enum dlq_k_wna16_arithmetic arithmetic;
    const float *column_scales; // w8a8
};

static void
expect_ok(int result, const char *what)
{
    if (result != DLQ_K_OK) {
        fprintf(stderr, "bench: %s failed with %d\n", what, result);
        exit(2);
    }
}

static void
call_layer(void *ctx, int copy)
{
    const struct layer *l = ctx;
    expect_ok(l->apply(l, copy), l->op);
}

// First copy packed by `pack`, the others copied: each is its own memory.
static void
make_copies(struct layer *l, int64_t bytes)
{
    l->bytes = bytes;
    l->n_copies = (int)(bench_options.set_bytes / bytes) + 1;
    l->n_copies = l->n_copies < 2 ? 2 : l->n_copies;
    l->copies = malloc((size_t)l->n_copies * sizeof(*l->copies));
    for (int i = 0; i < l->n_copies; i++) {
        l->copies[i] = bench_alloc(bytes);
    }
}

static void
duplicate_copies(struct layer *l)
{
    for (int i = 1; i < l->n_copies; i++) {
        memcpy(l->copies[i], l->copies[0], (size_t)l->bytes);
    }
}

// Error of some columns against fp64.
static double
error_of(const struct layer *l)
{
    const int64_t k = l->k;
    float *row = malloc((size_t)k * sizeof(*row));
    double err = 0.0;
    double ref = 0.0;
    for (int64_t n = 0; n < l->n; n += l->n / 32 + 1) {
        l->dequantize(l, n, row);
        for (int64_t m = 0; m < l->call.m && m < 4; m++) {
            double sum = 0.0;
            for (int64_t i = 0; i < k; i++) {
                sum += (double)row[i] * (double)dlq_k_load_f32(l->call.x, l->x_dtype, m * k + i);
            }
            const double d = (double)((const float *)l->call.y)[m * l->n + n] - sum;
            err += d * d;
            ref += sum * sum;
        }
    }
    free(row);
    return sqrt(err / ref);
}

static void
bench_rows(struct layer *l, int64_t m, int threads)
{
    struct check_rng rng = {2};
    void *x = bench_alloc(m * l->k * (int64_t)dlq_k_act_size(l->x_dtype));
    check_fill_x(&rng, CHECK_GAUSSIAN, l->x_dtype, x, m, l->k, l->k);
    void *y = bench_alloc(m * l->n * 4);
    void *workspace = bench_alloc(l->workspace_size(l, m, threads));
    l->call = (struct dlq_k_linear_call){.m = m,
                                         .x = x,
                                         .x_stride = l->k,
                                         .x_dtype = l->x_dtype,
                                         .y = y,
                                         .y_stride = l->n,
                                         .y_dtype = DLQ_F32,
                                         .workspace = workspace,
                                         .parallel = check_threads(threads)};
    call_layer(l, 0);
    const struct bench_case b = {.op = l->op,
                                 .level = l->level,
                                 .m = m,
                                 .k = l->k,
                                 .n = l->n,
                                 .threads = threads,
                                 .weight_bytes = l->bytes,
                                 // Large products are not bound by memory: fewer copies will do.
                                 .copies = m >= 64 && l->n_copies > 4 ? 4 : l->n_copies,
                                 .peak = l->peak(l, bench_ceilings(threads, l->flags)),
                                 .error = error_of(l),
                                 .call = call_layer,
                                 .ctx = l};
    bench_run(&b);
    bench_free(x);
    bench_free(y);
    bench_free(workspace);
}

static void
bench_all_rows(struct layer *l)
{
    for (int t = 0; t < bench_options.n_threads; t++) {
        for (int r = 0; r < bench_options.n_rows; r++) {
            bench_rows(l, bench_options.rows[r], bench_options.threads[t]);
        }
    }
}

static void
free_copies(struct layer *l)
{
    for (int i = 0; i < l->n_copies; i++) {
        bench_free(l->copies[i]);
    }
    free(l->copies);
}

// wna16

static int64_t
wna16_workspace(const struct layer *l, int64_t m, int threads)
{
    return l->ops.wna16.workspace_size(&l->w.wna16, l->arithmetic, m, threads);
}

static int
wna16_apply(const struct layer *l, int copy)
{
    struct dlq_k_wna16 w = l->w.wna16;
    w.data = l->copies[copy];
    return l->ops.wna16.apply(&w, l->arithmetic, &l->call);
}

static void
wna16_dequantize(const struct layer *l, int64_t n, float *row)
{
    dlq_k_wna16_dequantize(&l->w.wna16, n, 1, row);
}

static double
wna16_peak(const struct layer *l, const struct tool_ceilings *c)
{
    const bool amx = strncmp(l->level, "amx", 3) == 0;
    const bool vnni512 = strncmp(l->level, "avx512", 6) == 0;
    const double int8 = amx ? c->amx_int8 : vnni512 ? c->int8 : 0.0;
    if (int8 == 0.0) {
        return c->int16;
    }
    return l->arithmetic == DLQ_K_WNA16_EXACT ? int8 / 2.0 : int8;
}

// Random words are random codes.
static void
wna16_pack(struct layer *l)
{
    const struct dlq_k_wna16_shape shape = {.k = l->k,
                                            .n = l->n,
                                            .group = l->k % 128 == 0 ? 128 : 64,
                                            .bits = 4,
                                            .has_zero_points = true};
    struct check_rng rng = {1};
    const int64_t groups = l->k / shape.group;
    uint32_t *codes = malloc((size_t)(l->k * l->n / 2));
    uint32_t *zeros = malloc((size_t)(groups * l->n / 2));
    uint16_t *scales = malloc((size_t)(groups * l->n * 2));
    for (int64_t i = 0; i < l->k * l->n / 8; i++) {
        codes[i] = check_random(&rng);
    }
    for (int64_t i = 0; i < groups * l->n / 8; i++) {
        zeros[i] = check_random(&rng);
    }
    for (int64_t i = 0; i < groups * l->n; i++) {
        scales[i] = dlq_k_f32_to_f16((float)(0.002 + 0.004 * check_uniform(&rng)));
    }
    expect_ok(dlq_k_wna16_plan(&l->w.wna16, &shape, DLQ_F16, NULL, NULL), "wna16 plan");
    make_copies(l, l->w.wna16.bytes);
    const struct dlq_k_wna16_source source = {.layout = DLQ_K_WNA16_AWQ,
                                              .codes = codes,
                                              .zeros = zeros,
                                              .scales = scales,
                                              .scale_dtype = DLQ_F16};
    expect_ok(dlq_k_wna16_pack(&l->w.wna16, &source, l->copies[0], NULL, NULL), "wna16 pack");
    duplicate_copies(l);
    free(codes);
    free(zeros);
    free(scales);
}

void
bench_wna16(uint32_t cpu_flags)
{
    for (int s = 0; s < bench_options.n_shapes; s++) {
        struct layer l = {.op = "w4a16",
                          .k = bench_options.shapes[s][0],
                          .n = bench_options.shapes[s][1],
                          .x_dtype = DLQ_F16,
                          .flags = cpu_flags,
                          .workspace_size = wna16_workspace,
                          .apply = wna16_apply,
                          .dequantize = wna16_dequantize,
                          .peak = wna16_peak};
        dlq_k_wna16_init(&l.ops.wna16, cpu_flags);
        l.level = l.ops.wna16.name;
        wna16_pack(&l);
        bench_all_rows(&l);
        l.op = "w4a16_int8";
        l.arithmetic = DLQ_K_WNA16_INT8;
        bench_all_rows(&l);
        free_copies(&l);
    }
}

// dense

static int64_t
dense_workspace(const struct layer *l, int64_t m, int threads)
{
    return l->ops.dense.workspace_size(&l->w.dense, m, threads);
}

static int
dense_apply(const struct layer *l, int copy)
{
    struct dlq_k_dense w = l->w.dense;
    w.data = l->copies[copy];
    return l->ops.dense.apply(&w, &l->call);
}

static void
dense_dequantize(const struct layer *l, int64_t n, float *row)
{
    const struct dlq_k_dense *w = &l->w.dense;
    for (int64_t k = 0; k < w->k; k++) {
        const int64_t c = n % 16;
        const int64_t i = w->dtype == DLQ_BF16 ? k / 2 * 32 + 2 * c + k % 2 : k * 16 + c;
        row[k] = dlq_k_load_f32(w->data + n / 16 * w->block_bytes, w->dtype, i);
    }
}

static double
dense_peak(const struct layer *l, const struct tool_ceilings *c)
{
    const bool bf16 = l->w.dense.dtype == DLQ_BF16;
    if (bf16 && strcmp(l->level, "amx_bf16") == 0) {
        return c->amx_bf16;
    }
    return bf16 && strcmp(l->level, "avx512_bf16") == 0 ? c->bf16_dot : c->fma32;
}

void
bench_dense(uint32_t cpu_flags)
{
    static const uint32_t dtypes[] = {DLQ_F32, DLQ_F16, DLQ_BF16};
    static const char *const ops[] = {"dense_fp32", "dense_fp16", "dense_bf16"};
    const char *only = bench_options.op;
    for (int i = 0; i < bench_options.n_shapes * 3; i++) {
        if (only != NULL && strcmp(only, "dense") != 0 && strcmp(only, ops[i % 3]) != 0) {
            continue;
        }
        struct layer l = {.op = ops[i % 3],
                          .k = bench_options.shapes[i / 3][0],
                          .n = bench_options.shapes[i / 3][1],
                          .x_dtype = dtypes[i % 3],
                          .flags = cpu_flags,
                          .workspace_size = dense_workspace,
                          .apply = dense_apply,
                          .dequantize = dense_dequantize,
                          .peak = dense_peak};
        dlq_k_dense_init(&l.ops.dense, cpu_flags);
        l.level = l.ops.dense.name;
        struct check_rng rng = {1};
        void *weights = bench_alloc(l.k * l.n * 4);
        for (int64_t j = 0; j < l.k * l.n; j++) {
            const double v = check_uniform(&rng) - 0.5;
            dlq_k_store_f32(weights, l.x_dtype, j, (float)(0.1 * v));
        }
        expect_ok(dlq_k_dense_plan(&l.w.dense, l.k, l.n, l.x_dtype), "dense plan");
        make_copies(&l, l.w.dense.bytes);
        expect_ok(dlq_k_dense_pack(&l.w.dense, weights, l.k, l.copies[0], NULL), "dense pack");
        duplicate_copies(&l);
        bench_free(weights);
        bench_all_rows(&l);
        free_copies(&l);
    }
}

// w8a8

static int64_t
w8a8_workspace(const struct layer *l, int64_t m, int threads)
{
    return l->ops.w8a8.workspace_size(&l->w.w8a8, m, threads);
}

static int
w8a8_apply(const struct layer *l, int copy)
{
    struct dlq_k_w8a8 w = l->w.w8a8;
    w.data = l->copies[copy];
    return l->ops.w8a8.apply(&w, &l->call);
}

static void
w8a8_dequantize(const struct layer *l, int64_t n, float *row)
{
    const struct dlq_k_w8a8 *w = &l->w.w8a8;
    const uint8_t *codes = w->data + n / 16 * w->block_bytes;
    for (int64_t k = 0; k < w->k; k++) {
        row[k] = l->column_scales[n] * (float)(codes[k / 4 * 64 + n % 16 * 4 + k % 4] - 128);
    }
}

static double
w8a8_peak(const struct layer *l, const struct tool_ceilings *c)
{
    return strncmp(l->level, "amx", 3) == 0      ? c->amx_int8
           : strncmp(l->level, "avx512", 6) == 0 ? c->int8
                                                 : c->int16;
}

void
bench_w8a8(uint32_t cpu_flags)
{
    for (int s = 0; s < bench_options.n_shapes; s++) {
        struct layer l = {.op = "w8a8",
                          .k = bench_options.shapes[s][0],
                          .n = bench_options.shapes[s][1],
                          .x_dtype = DLQ_F16,
                          .flags = cpu_flags,
                          .workspace_size = w8a8_workspace,
                          .apply = w8a8_apply,
                          .dequantize = w8a8_dequantize,
                          .peak = w8a8_peak};
        dlq_k_w8a8_init(&l.ops.w8a8, cpu_flags);
        l.level = l.ops.w8a8.name;
        struct check_rng rng = {1};
        int8_t *weights = bench_alloc(l.k * l.n);
        float *scales = bench_alloc(l.n * 4);
        for (int64_t i = 0; i < l.k * l.n; i++) {
            weights[i] = (int8_t)(check_random(&rng) % 255 - 127u);
        }
        for (int64_t i = 0; i < l.n; i++) {
            scales[i] = 0.001f;
        }
        l.column_scales = scales;
        expect_ok(dlq_k_w8a8_plan(&l.w.w8a8, l.k, l.n, DLQ_K_W8A8_TOKEN, 0.0f, 0), "w8a8 plan");
        make_copies(&l, l.w.w8a8.bytes);
        expect_ok(dlq_k_w8a8_pack(&l.w.w8a8, weights, l.k, scales, NULL, l.copies[0], NULL, NULL),
                  "w8a8 pack");
        duplicate_copies(&l);
        bench_free(weights);
        bench_all_rows(&l);
        bench_free(scales);
        free_copies(&l);
    }
}

// fp8 and fp4

static int64_t
fp_workspace(const struct layer *l, int64_t m, int threads)
{
    return l->ops.fp.workspace_size(&l->w.fp, m, threads);
}

static int
fp_apply(const struct layer *l, int copy)
{
    struct dlq_k_fp w = l->w.fp;
    w.data = l->copies[copy];
    return l->ops.fp.apply(&w, &l->call);
}

static void
fp_dequantize(const struct layer *l, int64_t n, float *row)
{
    dlq_k_fp_dequantize(&l->w.fp, n, 1, row);
}

static double
fp_peak(const struct layer *l, const struct tool_ceilings *c)
{
    (void)l;
    return c->fma32;
}

void
bench_fp(uint32_t cpu_flags)
{
    static const struct {
        const char *op;
        uint32_t dtype, scale_dtype;
        int64_t group;
    } formats[] = {{"w8a16_fp8_block", DLQ_F8_E4M3, DLQ_F32, 128},
                   {"w4a16_nvfp4", DLQ_F4_E2M1, DLQ_F8_E4M3, 16},
                   {"w4a16_mxfp4", DLQ_F4_E2M1, DLQ_F8_E8M0, 32}};
    for (int i = 0; i < bench_options.n_shapes * 3; i++) {
        struct layer l = {.op = formats[i % 3].op,
                          .k = bench_options.shapes[i / 3][0],
                          .n = bench_options.shapes[i / 3][1],
                          .x_dtype = DLQ_BF16,
                          .flags = cpu_flags,
                          .workspace_size = fp_workspace,
                          .apply = fp_apply,
                          .dequantize = fp_dequantize,
                          .peak = fp_peak};
        dlq_k_fp_init(&l.ops.fp, cpu_flags);
        l.level = l.ops.fp.name;
        const struct dlq_k_fp_shape shape = {.k = l.k,
                                             .n = l.n,
                                             .dtype = formats[i % 3].dtype,
                                             .scale_dtype = formats[i % 3].scale_dtype,
                                             .group = formats[i % 3].group,
                                             .scale_rows = 1};
        struct check_rng rng = {1};
        uint8_t *codes = bench_alloc(l.k * l.n);
        uint8_t *scales = bench_alloc(l.k * l.n / shape.group * 4);
        for (int64_t j = 0; j < l.k * l.n; j++) {
            codes[j] = (uint8_t)(check_random(&rng) & 0xbfu); // no NaN among fp8
        }
        for (int64_t j = 0; j < l.k * l.n / shape.group; j++) {
            if (shape.scale_dtype == DLQ_F32) {
                ((float *)(void *)scales)[j] = 0.01f;
            } else {
                scales[j] = (uint8_t)((shape.scale_dtype == DLQ_F8_E4M3 ? 32u : 118u) +
                                      check_random(&rng) % 4u);
            }
        }
        expect_ok(dlq_k_fp_plan(&l.w.fp, &shape), "fp plan");
        make_copies(&l, l.w.fp.bytes);
        expect_ok(dlq_k_fp_pack(&l.w.fp, codes, scales, NULL, l.copies[0], NULL, NULL), "fp pack");
        duplicate_copies(&l);
        bench_free(codes);
        bench_free(scales);
        bench_all_rows(&l);
        free_copies(&l);
    }
}
