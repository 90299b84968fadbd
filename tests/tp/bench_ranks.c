// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

// bench_ranks RANKS [K N]...: row layers on that many GPUs, one thread each. For each layer and few
// rows: the multiplication of one rank alone, the sum over the ranks alone, and the layer that does
// both; beside them what gathers so many outputs. Each many times in a graph that is replayed.
// Plugins are found by DLQ_PLUGIN_PATH.

#include <dlquant/dlquant.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_RANKS = 8,
    BATCHES = 9,
    CALLS = 20,
    REPLAYS = 5,
    GROUP = 128,
    MAX_M = 64,
    TIMEOUT_MS = 30000
};

static const int64_t rows[] = {1, 4, 16, 64};

enum { N_ROWS = sizeof(rows) / sizeof(rows[0]) };

static const char w4a16[] =
    "{\"quant_method\": \"compressed-tensors\", \"format\": \"pack-quantized\", \"config_groups\": "
    "{\"group_0\": {\"targets\": [\"Linear\"], \"weights\": {\"num_bits\": 4, \"type\": \"int\", "
    "\"symmetric\": true, \"strategy\": \"group\", \"group_size\": 128}}}, \"ignore\": []}";

// One layer's tensors, unsharded, and the times of all ranks.
struct bench {
    const char *scheme; ///< "W4A16" or "fp16"
    int64_t k, n;
    int32_t *packed;  ///< [n, k / 8]
    uint16_t *scale;  ///< [n, k / GROUP]
    uint16_t *weight; ///< [n, k]
    int32_t ranks;
    dlq_collective_threads *host;
    double gemm[MAX_RANKS][N_ROWS], sum[MAX_RANKS][N_ROWS], both[MAX_RANKS][N_ROWS];
    double gather[MAX_RANKS][N_ROWS];
    char kernel[96];
};

struct rank {
    struct bench *b;
    int32_t index;
    pthread_t thread;
    dlq_runtime *rt;
    dlq_quant_config *config;
    dlq_collective_nccl *nccl;
    dlq_linear *layer;
    dlq_stream *stream;
    dlq_event *begin, *end;
    void *x, *y, *workspace;
    size_t workspace_size;
    int32_t rc;
    struct dlq_error err;
};

static struct dlq_device
device_of(const struct rank *r)
{
    return (struct dlq_device){DLQ_DEVICE_CUDA, r->index};
}

static int32_t
load(struct rank *r, const char *name, uint32_t dtype, int64_t a, int64_t b, void *data)
{
    const struct dlq_tensor t = {.struct_size = sizeof(t),
                                 .dtype = dtype,
                                 .data = data,
                                 .device = {.kind = DLQ_DEVICE_CPU},
                                 .ndim = b ? 2 : 1,
                                 .shape = {a, b},
                                 .strides = {b ? b : 1, 1}};
    return dlq_linear_load_tensor(r->layer, name, dlq_part_fused(), &t, &r->err);
}

static int32_t
make_layer(struct rank *r)
{
    struct bench *b = r->b;
    int32_t rc = DLQ_OK;
    if (b->packed) {
        rc = dlq_quant_config_choose(r->rt, "compressed-tensors", w4a16, strlen(w4a16),
                                     device_of(r), &r->config, &r->err);
    }
    const struct dlq_linear_desc desc = {
        .struct_size = sizeof(desc),
        .prefix = "model.layers.0.mlp.down_proj",
        .input_size = b->k,
        .output_size = b->n,
        .act_dtype = DLQ_F16,
        .device = device_of(r),
        .max_m = MAX_M,
        .config = r->config,
        .collective = r->nccl ? dlq_collective_nccl_get(r->nccl) : NULL,
    };
    if (rc == DLQ_OK) {
        rc = dlq_linear_row_create(r->rt, &desc, &r->layer, &r->err);
    }
    int64_t shape[] = {b->n, b->k};
    if (rc == DLQ_OK && b->packed) {
        rc = load(r, "weight_packed", DLQ_I32, b->n, b->k / 8, b->packed);
        rc = rc == DLQ_OK ? load(r, "weight_scale", DLQ_F16, b->n, b->k / GROUP, b->scale) : rc;
        rc = rc == DLQ_OK ? load(r, "weight_shape", DLQ_I64, 2, 0, shape) : rc;
    } else if (rc == DLQ_OK) {
        rc = load(r, "weight", DLQ_F16, b->n, b->k, b->weight);
    }
    return rc == DLQ_OK ? dlq_linear_process(r->layer, &r->err) : rc;
}

static int32_t
make_buffers(struct rank *r)
{
    const struct dlq_device d = device_of(r);
    const size_t x_size = (size_t)(MAX_M * dlq_linear_x_size(r->layer)) * 2;
    const size_t y_size = (size_t)(MAX_M * r->b->n) * 2;
    r->workspace_size = dlq_linear_workspace_size(r->layer, MAX_M);
    int32_t rc = dlq_stream_create(r->rt, d, &r->stream, &r->err);
    rc = rc == DLQ_OK ? dlq_device_alloc(r->rt, d, x_size, &r->x, &r->err) : rc;
    rc = rc == DLQ_OK ? dlq_device_alloc(r->rt, d, y_size, &r->y, &r->err) : rc;
    rc = rc == DLQ_OK ? dlq_device_alloc(r->rt, d, r->workspace_size, &r->workspace, &r->err) : rc;
    rc = rc == DLQ_OK ? dlq_event_create(r->rt, d, &r->begin, &r->err) : rc;
    rc = rc == DLQ_OK ? dlq_event_create(r->rt, d, &r->end, &r->err) : rc;
    void *const zeroes = calloc(1, x_size > y_size ? x_size : y_size);
    rc = rc == DLQ_OK ? dlq_stream_upload(r->stream, r->x, zeroes, x_size, &r->err) : rc;
    rc = rc == DLQ_OK ? dlq_stream_upload(r->stream, r->y, zeroes, y_size, &r->err) : rc;
    free(zeroes);
    return rc;
}

enum what { GEMM, SUM, BOTH, GATHER };

static int32_t
enqueue(struct rank *r, enum what what, int64_t m)
{
    if (what == SUM) {
        const struct dlq_collective *const c = dlq_collective_nccl_get(r->nccl);
        return c->all_reduce(c->ctx, r->y, m * r->b->n, DLQ_F16, 0, dlq_stream_handle(r->stream),
                             &r->err);
    }
    if (what == GATHER) {
        const struct dlq_collective *const c = dlq_collective_nccl_get(r->nccl);
        const int64_t each = m * r->b->n / r->b->ranks;
        int64_t counts[MAX_RANKS];
        for (int32_t i = 0; i < r->b->ranks; i++) {
            counts[i] = each;
        }
        return c->all_gather(c->ctx, (char *)r->y + r->index * each * 2, r->y, counts, DLQ_F16,
                             dlq_stream_handle(r->stream), &r->err);
    }
    const struct dlq_linear_io io = {
        .struct_size = sizeof(io),
        .flags = what == GEMM ? (uint32_t)DLQ_LINEAR_NO_REDUCE : 0,
        .m = m,
        .x = r->x,
        .y = r->y,
        .stream = dlq_stream_handle(r->stream),
        .workspace = r->workspace,
        .workspace_size = r->workspace_size,
    };
    return dlq_linear_apply(r->layer, &io, &r->err);
}

static int
compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

static int32_t
wait_for(struct rank *r)
{
    int32_t rc = DLQ_OK;
    if (r->nccl) {
        rc = dlq_collective_nccl_wait(r->nccl, dlq_stream_handle(r->stream), &r->err);
    }
    return rc == DLQ_OK ? dlq_stream_synchronize(r->stream, &r->err) : rc;
}

// Median microseconds of a call. A graph of one call would be launched for longer than it runs.
static int32_t
time_graph(struct rank *r, dlq_graph *graph, double *us)
{
    const struct dlq_collective *const host = dlq_collective_threads_get(r->b->host, r->index);
    double times[BATCHES];
    int32_t rc = DLQ_OK;
    for (int i = 0; i < BATCHES && rc == DLQ_OK; i++) {
        rc = host->barrier(host->ctx, NULL, &r->err);
        // The first replay lets the ranks meet on the GPUs and is not in the time.
        rc = rc == DLQ_OK ? dlq_graph_launch(graph, r->stream, &r->err) : rc;
        rc = rc == DLQ_OK ? dlq_event_record(r->begin, r->stream, &r->err) : rc;
        for (int j = 0; j < REPLAYS && rc == DLQ_OK; j++) {
            rc = dlq_graph_launch(graph, r->stream, &r->err);
        }
        rc = rc == DLQ_OK ? dlq_event_record(r->end, r->stream, &r->err) : rc;
        rc = rc == DLQ_OK ? wait_for(r) : rc;
        double ms = 0;
        rc = rc == DLQ_OK ? dlq_event_elapsed(r->begin, r->end, &ms, &r->err) : rc;
        times[i] = ms * 1e3 / (CALLS * REPLAYS);
    }
    qsort(times, BATCHES, sizeof(times[0]), compare_doubles);
    *us = times[BATCHES / 2];
    return rc;
}

static int32_t
measure(struct rank *r, enum what what, int64_t m, double *us)
{
    dlq_graph *graph = NULL;
    int32_t rc = enqueue(r, what, m); // outside of a capture first
    rc = rc == DLQ_OK ? wait_for(r) : rc;
    rc = rc == DLQ_OK ? dlq_stream_capture_begin(r->stream, &r->err) : rc;
    if (rc == DLQ_OK) {
        for (int i = 0; i < CALLS && rc == DLQ_OK; i++) {
            rc = enqueue(r, what, m);
        }
        struct dlq_error second = DLQ_ERROR_INIT;
        const int32_t ended =
            dlq_stream_capture_end(r->stream, &graph, rc == DLQ_OK ? &r->err : &second);
        rc = rc == DLQ_OK ? ended : rc;
    }
    rc = rc == DLQ_OK ? time_graph(r, graph, us) : rc;
    dlq_graph_destroy(graph);
    return rc;
}

static int32_t
measure_all(struct rank *r)
{
    int32_t rc = DLQ_OK;
    for (int i = 0; i < N_ROWS && rc == DLQ_OK; i++) {
        rc = measure(r, GEMM, rows[i], &r->b->gemm[r->index][i]);
        if (rc == DLQ_OK && r->nccl) {
            rc = measure(r, SUM, rows[i], &r->b->sum[r->index][i]);
            rc = rc == DLQ_OK ? measure(r, BOTH, rows[i], &r->b->both[r->index][i]) : rc;
            rc = rc == DLQ_OK ? measure(r, GATHER, rows[i], &r->b->gather[r->index][i]) : rc;
        }
    }
    return rc;
}

static void
leave(struct rank *r)
{
    dlq_linear_destroy(r->layer);
    dlq_event_destroy(r->begin);
    dlq_event_destroy(r->end);
    dlq_stream_destroy(r->stream);
    if (r->rt) {
        dlq_device_free(r->rt, device_of(r), r->x);
        dlq_device_free(r->rt, device_of(r), r->y);
        dlq_device_free(r->rt, device_of(r), r->workspace);
    }
    dlq_collective_nccl_destroy(r->nccl);
    dlq_quant_config_destroy(r->config);
    dlq_runtime_destroy(r->rt);
}

// Which way sums go, of all that is logged: times are of one or the other.
static void
print_way(void *ctx, int32_t level, const char *line)
{
    (void)ctx;
    (void)level;
    if (strstr(line, ": sums of few bytes go ")) {
        printf("# %s\n", line);
    }
}

static void *
rank_main(void *arg)
{
    struct rank *const r = arg;
    const struct dlq_collective_nccl_options join = {
        .struct_size = sizeof(join),
        .timeout_ms = TIMEOUT_MS,
        .device = r->index,
        .host = dlq_collective_threads_get(r->b->host, r->index),
    };
    const struct dlq_runtime_options options = {
        .struct_size = sizeof(options),
        .log_level = DLQ_LOG_INFO,
        .log = r->index == 0 ? print_way : NULL,
    };
    r->err = (struct dlq_error)DLQ_ERROR_INIT;
    r->rc = dlq_runtime_create(&options, &r->rt, &r->err);
    r->rc = r->rc == DLQ_OK ? dlq_device_use(r->rt, device_of(r), &r->err) : r->rc;
    if (r->rc == DLQ_OK && r->b->ranks > 1) {
        r->rc = dlq_collective_nccl_create(r->rt, &join, &r->nccl, &r->err);
    }
    r->rc = r->rc == DLQ_OK ? make_layer(r) : r->rc;
    r->rc = r->rc == DLQ_OK ? make_buffers(r) : r->rc;
    if (r->rc == DLQ_OK) {
        struct dlq_explanation e = {.struct_size = sizeof(e)};
        if (r->index == 0 && dlq_linear_explain(r->layer, &e, NULL) == DLQ_OK) {
            snprintf(r->b->kernel, sizeof(r->b->kernel), "%s", e.kernel);
        }
        r->rc = measure_all(r);
    }
    if (r->rc != DLQ_OK) {
        dlq_collective_threads_abort(r->b->host, r->index, r->err.msg);
    }
    return NULL;
}

static double
slowest(double times[MAX_RANKS][N_ROWS], int32_t ranks, int row)
{
    double us = 0;
    for (int32_t r = 0; r < ranks; r++) {
        us = times[r][row] > us ? times[r][row] : us;
    }
    return us;
}

static void
print(struct bench *b)
{
    for (int i = 0; i < N_ROWS; i++) {
        const double gemm = slowest(b->gemm, b->ranks, i);
        const double sum = slowest(b->sum, b->ranks, i);
        const double both = slowest(b->both, b->ranks, i);
        printf("ranks,%d,%s,K,%lld,N,%lld,m,%lld,gemm,%.2f", (int)b->ranks, b->scheme,
               (long long)b->k, (long long)b->n, (long long)rows[i], gemm);
        if (b->ranks > 1) {
            printf(",sum,%.2f,both,%.2f,ratio,%.3f,gather,%.2f", sum, both, both / (gemm + sum),
                   slowest(b->gather, b->ranks, i));
        }
        printf(",%s\n", b->kernel);
    }
}

static bool
run(struct bench *b)
{
    struct rank ranks[MAX_RANKS] = {0};
    struct dlq_error err = DLQ_ERROR_INIT;
    dlq_runtime *rt = NULL;
    bool ok = dlq_runtime_create(NULL, &rt, &err) == DLQ_OK &&
              dlq_collective_threads_create(rt, b->ranks, TIMEOUT_MS, &b->host, &err) == DLQ_OK;
    for (int32_t r = 0; r < b->ranks && ok; r++) {
        ranks[r] = (struct rank){.b = b, .index = r};
        ok = pthread_create(&ranks[r].thread, NULL, rank_main, &ranks[r]) == 0;
    }
    for (int32_t r = 0; r < b->ranks && ok; r++) {
        pthread_join(ranks[r].thread, NULL);
    }
    for (int32_t r = 0; r < b->ranks; r++) {
        if (ranks[r].rc != DLQ_OK) {
            printf("%s K %lld N %lld: rank %d: %s\n", b->scheme, (long long)b->k, (long long)b->n,
                   (int)r, ranks[r].err.msg);
            ok = false;
        }
        leave(&ranks[r]);
    }
    if (ok) {
        print(b);
    }
    dlq_collective_threads_destroy(b->host);
    dlq_runtime_destroy(rt);
    return ok;
}

static bool
bench(int32_t ranks, int64_t k, int64_t n, bool packed)
{
    struct bench *const b = calloc(1, sizeof(*b));
    *b = (struct bench){.scheme = packed ? "W4A16" : "fp16", .k = k, .n = n, .ranks = ranks};
    uint32_t seed = 1;
    if (packed) {
        b->packed = malloc((size_t)(n * k / 2));
        b->scale = malloc((size_t)(n * k / GROUP) * 2);
        for (int64_t i = 0; i < n * k / 8; i++) {
            seed = seed * 1664525u + 1013904223u;
            b->packed[i] = (int32_t)(seed ^ seed >> 13);
        }
        for (int64_t i = 0; i < n * k / GROUP; i++) {
            b->scale[i] = 0x2000; // 2^-7
        }
    } else {
        b->weight = malloc((size_t)(n * k) * 2);
        for (int64_t i = 0; i < n * k; i++) {
            seed = seed * 1664525u + 1013904223u;
            b->weight[i] = (uint16_t)(0x2000 | (seed >> 16 & 0x83ff));
        }
    }
    const bool ok = run(b);
    free(b->packed);
    free(b->scale);
    free(b->weight);
    free(b);
    return ok;
}

int
main(int argc, char **argv)
{
    const int32_t ranks = argc > 1 ? atoi(argv[1]) : 0;
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    bool ok = ranks >= 1 && ranks <= MAX_RANKS && argc % 2 == 0;
    if (!ok) {
        fprintf(stderr, "usage: bench_ranks RANKS [K N]...\n");
        return 2;
    }
    for (int i = 2; i + 1 < argc; i += 2) {
        ok = bench(ranks, atoll(argv[i]), atoll(argv[i + 1]), true) && ok;
        ok = bench(ranks, atoll(argv[i]), atoll(argv[i + 1]), false) && ok;
    }
    return ok ? 0 : 1;
}
