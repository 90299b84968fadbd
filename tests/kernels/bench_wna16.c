// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "bench.h"
#include "float16.h"
#include "linear_wna16.h"

#include <stdlib.h>
#include <string.h>

// wna16: group 128, 4 bit with zero points, fp16 x and y, exact and INT8 arithmetic.

struct layer {
    struct dlq_k_wna16 *copies;
    int n_copies;
    struct dlq_k_wna16_ops ops;
    enum dlq_k_wna16_arithmetic arithmetic;
    struct dlq_k_linear_call call;
};

static void
call_layer(void *ctx, int copy)
{
    const struct layer *l = ctx;
    if (l->ops.apply(&l->copies[copy], l->arithmetic, &l->call) != DLQ_K_OK) {
        fprintf(stderr, "bench: apply failed\n");
        exit(2);
    }
}

// Random words are random codes; every copy is its own memory.
static void
make_copies(struct layer *l, int64_t k, int64_t n)
{
    const struct dlq_k_wna16_shape shape = {
        .k = k, .n = n, .group = k % 128 == 0 ? 128 : 64, .bits = 4, .has_zero_points = true};
    struct check_rng rng = {1};
    const int64_t groups = k / shape.group;
    uint32_t *codes = malloc((size_t)(k * n / 2));
    uint32_t *zeros = malloc((size_t)(groups * n / 2));
    uint16_t *scales = malloc((size_t)(groups * n * 2));
    for (int64_t i = 0; i < k * n / 8; i++) {
        codes[i] = check_random(&rng);
    }
    for (int64_t i = 0; i < groups * n / 8; i++) {
        zeros[i] = check_random(&rng);
    }
    for (int64_t i = 0; i < groups * n; i++) {
        scales[i] = dlq_k_f32_to_f16((float)(0.002 + 0.004 * check_uniform(&rng)));
    }
    struct dlq_k_wna16 w;
    if (dlq_k_wna16_plan(&w, &shape, DLQ_F16, NULL, NULL) != DLQ_K_OK) {
        exit(2);
    }
    l->n_copies = (int)(bench_options.set_bytes / w.bytes) + 1;
    l->n_copies = l->n_copies < 2 ? 2 : l->n_copies;
    l->copies = malloc((size_t)l->n_copies * sizeof(*l->copies));
    const struct dlq_k_wna16_source source = {.layout = DLQ_K_WNA16_AWQ,
                                              .codes = codes,
                                              .zeros = zeros,
                                              .scales = scales,
                                              .scale_dtype = DLQ_F16};
    for (int i = 0; i < l->n_copies; i++) {
        l->copies[i] = w;
        void *data = bench_alloc(w.bytes);
        if (i == 0) {
            dlq_k_wna16_pack(&l->copies[0], &source, data, NULL, NULL);
        } else {
            memcpy(data, l->copies[0].data, (size_t)w.bytes);
            l->copies[i].data = data;
        }
    }
    free(codes);
    free(zeros);
    free(scales);
}

// Error of some columns against fp64.
static double
error_of(const struct layer *l, const void *x, const void *y, int64_t m)
{
    const int64_t k = l->copies[0].shape.k;
    const int64_t n = l->copies[0].shape.n;
    float *row = malloc((size_t)k * sizeof(*row));
    double err = 0.0;
    double ref = 0.0;
    for (int64_t j = 0; j < n; j += n / 32 + 1) {
        dlq_k_wna16_dequantize(&l->copies[0], j, 1, row);
        for (int64_t r = 0; r < m && r < 4; r++) {
            double sum = 0.0;
            for (int64_t i = 0; i < k; i++) {
                sum += (double)row[i] * (double)dlq_k_load_f32(x, DLQ_F16, r * k + i);
            }
            const double d = (double)dlq_k_load_f32(y, DLQ_F32, r * n + j) - sum;
            err += d * d;
            ref += sum * sum;
        }
    }
    free(row);
    return sqrt(err / ref);
}

static void
bench_rows(struct layer *l, const char *op, int64_t m, int threads, uint32_t flags)
{
    const int64_t k = l->copies[0].shape.k;
    const int64_t n = l->copies[0].shape.n;
    struct check_rng rng = {2};
    uint16_t *x = bench_alloc(m * k * 2);
    check_fill_x(&rng, CHECK_GAUSSIAN, DLQ_F16, x, m, k, k);
    void *y = bench_alloc(m * n * 4);
    void *workspace = bench_alloc(l->ops.workspace_size(&l->copies[0], l->arithmetic, m, threads));
    l->call = (struct dlq_k_linear_call){.m = m,
                                         .x = x,
                                         .x_stride = k,
                                         .x_dtype = DLQ_F16,
                                         .y = y,
                                         .y_stride = n,
                                         .y_dtype = DLQ_F32,
                                         .workspace = workspace,
                                         .parallel = check_threads(threads)};
    call_layer(l, 0);
    const struct bench_ceilings *c = bench_ceilings(threads, flags);
    const double one_limb = c->amx_int8 > 0.0 ? c->amx_int8 : c->int8;
    const double two_limbs = one_limb > 0.0 ? one_limb / 2.0 : c->int16;
    const bool exact = l->arithmetic == DLQ_K_WNA16_EXACT;
    const struct bench_case b = {.op = op,
                                 .level = l->ops.name,
                                 .m = m,
                                 .k = k,
                                 .n = n,
                                 .threads = threads,
                                 .weight_bytes = l->copies[0].bytes,
                                 // Large products are not bound by memory: fewer copies will do.
                                 .copies = m >= 64 && l->n_copies > 4 ? 4 : l->n_copies,
                                 .peak = exact || one_limb == 0.0 ? two_limbs : one_limb,
                                 .error = error_of(l, x, y, m),
                                 .call = call_layer,
                                 .ctx = l};
    bench_run(&b);
    bench_free(x);
    bench_free(y);
    bench_free(workspace);
}

void
bench_wna16(uint32_t cpu_flags)
{
    for (int s = 0; s < bench_options.n_shapes; s++) {
        struct layer l = {0};
        dlq_k_wna16_init(&l.ops, cpu_flags);
        make_copies(&l, bench_options.shapes[s][0], bench_options.shapes[s][1]);
        for (int t = 0; t < bench_options.n_threads; t++) {
            for (int r = 0; r < bench_options.n_rows; r++) {
                l.arithmetic = DLQ_K_WNA16_EXACT;
                bench_rows(&l, "w4a16", bench_options.rows[r], bench_options.threads[t], cpu_flags);
                l.arithmetic = DLQ_K_WNA16_INT8;
                bench_rows(&l, "w4a16_int8", bench_options.rows[r], bench_options.threads[t],
                           cpu_flags);
            }
        }
        for (int i = 0; i < l.n_copies; i++) {
            bench_free((void *)(uintptr_t)l.copies[i].data);
        }
        free(l.copies);
    }
}
