// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "bench_bars.h"
#include "bench_op.h"
#include "bench_report.h"
#include "bench_run.h"
#include "output.h"
#include "tool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/// dlquant bench: layers with made-up weights, as fast as this machine runs them.

enum { MAX_OPS = 32 };

/// Weights that rotate at least, beyond every cache.
#define COLD_CPU ((int64_t)256 << 20)
#define COLD_GPU ((int64_t)320 << 20)

struct bench {
    const struct tool_options *opt;
    dlq_runtime *rt;
    struct dlq_device_info device;
    struct tool_bench_op ops[MAX_OPS];
    int n_ops;
    int64_t cold;
    int32_t threads;
    struct tool_ceilings ceilings;
    struct tool_bars bars;
    struct tool_figures figures;
    size_t done, total;
};

static bool
is_gpu(const struct bench *b)
{
    return b->opt->device.kind == DLQ_DEVICE_CUDA;
}

static int
read_ops(struct bench *b)
{
    const char *text = b->opt->ops ? b->opt->ops : TOOL_BENCH_OPS;
    const uint32_t dtype = b->opt->dtype ? b->opt->dtype : (uint32_t)DLQ_F16;
    for (;;) {
        const size_t len = strcspn(text, ",");
        if (b->n_ops == MAX_OPS || !tool_bench_op_parse(text, len, dtype, &b->ops[b->n_ops])) {
            fprintf(stderr, "dlquant bench: unknown operation: %.*s\nhint: %s\n", (int)len, text,
                    TOOL_BENCH_NAMES);
            return TOOL_USAGE;
        }
        ++b->n_ops;
        if (text[len] == '\0') {
            return TOOL_OK;
        }
        text += len + 1;
    }
}

static int
read_bars(struct bench *b)
{
    for (int i = 0; i < b->opt->n_compare; ++i) {
        char why[256] = "";
        if (!tool_bars_read(&b->bars, b->opt->compare[i], why, sizeof(why))) {
            fprintf(stderr, "dlquant bench: %s: %s\nhint: man dlquant, FILES OF FIGURES\n",
                    b->opt->compare[i], why);
            return TOOL_INPUT;
        }
    }
    return TOOL_OK;
}

/// Bytes that no cache of the device holds.
static int64_t
cold_bytes(const struct bench *b)
{
    if (is_gpu(b)) {
        return COLD_GPU;
    }
    const long cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
    const int64_t wanted =
        cache > 0 && 4 * (int64_t)cache > COLD_CPU ? 4 * (int64_t)cache : COLD_CPU;
    const int64_t most = (int64_t)(b->device.memory_bytes / 8);
    return most > 0 && most < wanted ? most : wanted;
}

static void
measure_ceilings(struct bench *b)
{
    const struct dlq_host *host = dlq_runtime_host(b->rt);
    const struct tool_workers workers = {b->threads, host->parallel_for, host->ctx};
    void *data = aligned_alloc(4096, (size_t)b->cold + 8192);
    if (data) {
        memset(data, 1, (size_t)b->cold + 8192);
        tool_ceilings_measure(&b->ceilings, &workers, b->device.cpu_flags, data, b->cold);
        free(data);
    }
    if (!b->opt->json) {
        const struct tool_ceilings *c = &b->ceilings;
        printf(
            "%s, %d threads; read %.1f GB/s; GOP/s: fp32 %.0f, bf16 %.0f, int16 %.0f, int8 %.0f, "
            "AMX int8 %.0f, AMX bf16 %.0f\n",
            b->device.name, b->threads, c->read * 1e-9, c->fma32 * 1e-9, c->bf16_dot * 1e-9,
            c->int16 * 1e-9, c->int8 * 1e-9, c->amx_int8 * 1e-9, c->amx_bf16 * 1e-9);
    }
}

static void
compare(const struct bench *b, struct tool_figure *g)
{
    const struct tool_bar *peer =
        tool_bars_peer(&b->bars, g->op.name, g->m, g->k, g->n, g->threads);
    const double bytes_us = g->read > 0.0 ? g->result.moved / g->read * 1e6 : 0.0;
    const double peak_us =
        g->peak > 0.0 ? 2.0 * (double)g->m * (double)g->k * (double)g->n / g->peak * 1e6 : 0.0;
    g->floor_us = bytes_us > peak_us ? bytes_us : peak_us;
    if (is_gpu(b)) {
        g->floor_us = tool_bars_floor(&b->bars, g->k, g->n, g->op.bits);
    }
    if (peer) {
        g->bar_us = peer->us;
        memcpy(g->peer, peer->peer, sizeof(g->peer));
    }
}

static int32_t
run_rows(struct bench *b, struct tool_bench_layers *layers, int64_t m, bool early, size_t index,
         struct dlq_error *err)
{
    struct tool_bench_result result;
    const int32_t status = tool_bench_layers_run(layers, m, &result, err);
    if (status != DLQ_OK) {
        return status;
    }
    if (early) {
        b->figures.list[index].result.early_us = result.us;
        return DLQ_OK;
    }
    struct tool_figure *g = tool_figures_add(&b->figures);
    g->op = *layers->weights->op;
    g->m = m;
    g->k = layers->weights->k;
    g->n = layers->weights->n;
    g->threads = b->threads;
    g->result = result;
    g->read = b->ceilings.read;
    g->peak = tool_figure_peak(&b->ceilings, &g->op);
    compare(b, g);
    return DLQ_OK;
}

/// All numbers of rows of one shape. Kernels of a GPU that can begin before the one in front has
/// ended are measured a second time so; the layer decides when it is made.
static int32_t
run_shape(struct bench *b, const struct tool_bench_weights *w, const int64_t *rows, int n_rows,
          struct dlq_error *err)
{
    const size_t first = b->figures.n;
    const int passes = is_gpu(b) && b->device.capability >= 90 ? 2 : 1;
    int32_t status = DLQ_OK;
    for (int pass = 0; pass < passes && status == DLQ_OK; ++pass) {
        struct tool_bench_layers layers;
        setenv("DLQ_EARLY_LAUNCH", pass == 0 ? "0" : "1", 1);
        status = tool_bench_layers_make(&layers, b->rt, b->opt->device, w, b->cold,
                                        rows[n_rows - 1], err);
        for (int i = 0; i < n_rows && status == DLQ_OK; ++i) {
            tool_progress(b->done, b->total, w->op->name);
            status = run_rows(b, &layers, rows[i], pass > 0, first + (size_t)i, err);
            b->done += pass + 1 == passes;
        }
        tool_bench_layers_destroy(&layers);
    }
    for (size_t i = first; i < b->figures.n && status == DLQ_OK && b->opt->json; ++i) {
        tool_figure_json(&b->figures, &b->figures.list[i]);
    }
    return status;
}

static int
compare_rows(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a;
    const int64_t y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int
run_all(struct bench *b)
{
    static const int64_t cpu_shapes[][2] = {{4096, 4096}, {4096, 14336}};
    static const int64_t gpu_shapes[][2] = {{4096, 6144},  {4096, 4096},  {4096, 28672},
                                            {14336, 4096}, {8192, 10240}, {8192, 8192},
                                            {8192, 57344}, {28672, 8192}};
    static const int64_t cpu_rows[] = {1, 4, 16, 64, 512};
    static const int64_t gpu_rows[] = {1, 4, 16, 64, 256, 1024, 4096};
    const struct tool_options *opt = b->opt;
    const int64_t(*shapes)[2] = is_gpu(b) ? gpu_shapes : cpu_shapes;
    int n_shapes = is_gpu(b) ? 8 : 2;
    int64_t rows[TOOL_MAX_LIST];
    int n_rows = opt->n_m > 0 ? opt->n_m : is_gpu(b) ? 7 : 5;
    memcpy(rows,
           opt->n_m > 0 ? opt->m
           : is_gpu(b)  ? gpu_rows
                        : cpu_rows,
           (size_t)n_rows * sizeof(*rows));
    qsort(rows, (size_t)n_rows, sizeof(*rows), compare_rows);
    if (opt->n_shapes > 0) {
        shapes = opt->shapes;
        n_shapes = opt->n_shapes;
    }
    b->total = (size_t)(b->n_ops * n_shapes * n_rows);
    for (int i = 0; i < b->n_ops * n_shapes; ++i) {
        struct dlq_error err = DLQ_ERROR_INIT;
        struct tool_bench_weights w;
        const int64_t *shape = shapes[i % n_shapes];
        if (!tool_bench_weights_make(&w, &b->ops[i / n_shapes], shape[0], shape[1])) {
            tool_progress(0, 0, NULL);
            fprintf(stderr,
                    "dlquant bench: %s: %lldx%lld: expected multiples of 8, and of the group\n"
                    "hint: dlquant bench --shapes 4096x4096\n",
                    b->ops[i / n_shapes].name, (long long)shape[0], (long long)shape[1]);
            return TOOL_USAGE;
        }
        const int32_t status = run_shape(b, &w, rows, n_rows, &err);
        tool_bench_weights_free(&w);
        if (status != DLQ_OK) {
            tool_progress(0, 0, NULL);
            err.code = status;
            if (status == DLQ_EINTERNAL) {
                fprintf(stderr, "dlquant bench: %s\n", err.msg);
                return TOOL_FAILED;
            }
            return tool_report(&err, TOOL_STAGE_METHOD);
        }
    }
    tool_progress(0, 0, NULL);
    return TOOL_OK;
}

static int
write_file(const struct bench *b, const char *path,
           void (*write)(const struct tool_figures *f, FILE *file))
{
    FILE *file = path ? fopen(path, "we") : NULL;
    if (!path) {
        return TOOL_OK;
    }
    if (file) {
        write(&b->figures, file);
    }
    const bool bad = !file || ferror(file);
    if (bad || fclose(file) != 0) {
        fprintf(stderr, "dlquant bench: %s: %s\n", path, strerror(errno));
        fprintf(stderr, "hint: --csv and --svg write into folders that exist\n");
        return TOOL_ENVIRONMENT;
    }
    return TOOL_OK;
}

static int
open_device(struct bench *b)
{
    struct dlq_error err = DLQ_ERROR_INIT;
    b->device.struct_size = sizeof(b->device);
    int32_t status = tool_runtime(b->opt, &b->rt, &err);
    if (status == DLQ_OK) {
        status = dlq_runtime_device_info(b->rt, b->opt->device, &b->device, &err);
    }
    if (status != DLQ_OK) {
        err.code = status;
        return tool_report(&err, TOOL_STAGE_INPUT);
    }
    const struct dlq_host *host = dlq_runtime_host(b->rt);
    b->threads = is_gpu(b) ? 0 : host->n_threads(host->ctx);
    b->cold = cold_bytes(b);
    b->figures.machine = b->device.name;
    if (getloadavg(&b->figures.load, 1) != 1) {
        b->figures.load = 0.0;
    }
    return TOOL_OK;
}

static int
cmd_bench(const struct tool_options *opt)
{
    struct bench b = {.opt = opt};
    int rc = read_ops(&b);
    rc = rc == TOOL_OK ? read_bars(&b) : rc;
    rc = rc == TOOL_OK ? open_device(&b) : rc;
    if (rc == TOOL_OK && !is_gpu(&b)) {
        measure_ceilings(&b);
    }
    rc = rc == TOOL_OK ? run_all(&b) : rc;
    if (rc == TOOL_OK && !opt->json) {
        tool_figures_table(&b.figures);
    }
    rc = rc == TOOL_OK ? write_file(&b, opt->csv, tool_figures_csv) : rc;
    rc = rc == TOOL_OK ? write_file(&b, opt->svg, tool_figures_svg) : rc;
    tool_figures_free(&b.figures);
    tool_bars_free(&b.bars);
    dlq_runtime_destroy(b.rt);
    return rc;
}

const struct tool_command tool_cmd_bench = {
    .name = "bench",
    .usage =
        "[--op LIST] [--shapes KxN,...] [--m ROWS] [--device cpu|cuda] [--dtype fp16|bf16|fp32] "
        "[--threads N] [--compare FILE] [--csv FILE] [--svg FILE] [--json]",
    .summary = "Measure layers with made-up weights, and judge them first",
    .options = "compare csv device dtype json m op plugin-dir shapes svg threads ",
    .run = cmd_bench,
};
