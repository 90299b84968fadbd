// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "bench_run.h"

#include "bench_judge.h"
#include "convert.h"
#include "tool.h"

#include <stdlib.h>
#include <string.h>

enum {
    MAX_COPIES = 256,
    MIN_CALLS = 9,
    MAX_CALLS = 1000,
    REPLAYS = 5,             ///< Timed launches of a graph
    CALL_BUDGET_US = 300000, ///< For the timed calls of one figure
    GRAPH_US = 2000          ///< Work of one graph
};

static int32_t
make_layer(const struct tool_bench_layers *l, int64_t max_m, dlq_linear **out,
           struct dlq_error *err)
{
    const struct tool_bench_weights *w = l->weights;
    const struct dlq_linear_desc desc = {
        .struct_size = sizeof(desc),
        .prefix = w->op->name,
        .input_size = w->k,
        .output_size = w->n,
        .params_dtype = w->op->form == TOOL_BENCH_DENSE ? w->op->dtype : (uint32_t)DLQ_F16,
        .act_dtype = w->op->dtype,
        .device = l->device,
        .max_m = max_m,
        .config = l->config,
    };
    int32_t status = dlq_linear_replicated_create(l->rt, &desc, out, err);
    for (int i = 0; i < w->n_tensors && status == DLQ_OK; ++i) {
        status = dlq_linear_load_tensor(*out, w->tensors[i].name, dlq_part_fused(),
                                        &w->tensors[i].view, err);
    }
    return status == DLQ_OK ? dlq_linear_process(*out, err) : status;
}

int32_t
tool_bench_layers_make(struct tool_bench_layers *l, dlq_runtime *rt, struct dlq_device device,
                       const struct tool_bench_weights *weights, int64_t cold_bytes, int64_t max_m,
                       struct dlq_error *err)
{
    char text[512];
    *l = (struct tool_bench_layers){.rt = rt, .device = device, .weights = weights};
    l->layers = tool_alloc(MAX_COPIES, sizeof(*l->layers));
    const char *method = tool_bench_config(weights->op, text, sizeof(text));
    int32_t status = DLQ_OK;
    if (method) {
        status = dlq_quant_config_choose(rt, method, text, strlen(text), device, &l->config, err);
    }
    for (int64_t held = 0;
         status == DLQ_OK && l->n < MAX_COPIES && (l->n == 0 || held < cold_bytes);
         held += l->bytes) {
        status = make_layer(l, max_m, &l->layers[l->n], err);
        if (status == DLQ_OK) {
            l->bytes = (int64_t)dlq_linear_param_bytes(l->layers[l->n++]);
        }
    }
    return status;
}

void
tool_bench_layers_destroy(struct tool_bench_layers *l)
{
    // A layer that failed on its way stands behind the finished ones.
    for (int i = 0; l->layers && i < MAX_COPIES; ++i) {
        dlq_linear_destroy(l->layers[i]);
    }
    free(l->layers);
    dlq_quant_config_destroy(l->config);
    *l = (struct tool_bench_layers){0};
}

static int
compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

static void
take_times(double *times, int n, struct tool_bench_result *out)
{
    qsort(times, (size_t)n, sizeof(*times), compare_doubles);
    out->us = times[n / 2];
    out->best_us = times[0];
}

static struct dlq_linear_io
io_of(const struct tool_buffers *b, int64_t m)
{
    const struct dlq_linear_io io = {
        .struct_size = sizeof(io),
        .m = m,
        .x = b->x,
        .y = b->y,
        .stream = dlq_stream_handle(b->stream),
        .workspace = b->workspace,
        .workspace_size = b->workspace_size,
    };
    return io;
}

/// Each call by itself, on the CPU.
static int32_t
time_calls(const struct tool_bench_layers *l, const struct dlq_linear_io *io,
           struct tool_bench_result *out, struct dlq_error *err)
{
    double times[MAX_CALLS];
    double spent = 0.0;
    int n = 0;
    int32_t status = DLQ_OK;
    for (int i = 0; status == DLQ_OK && n < MAX_CALLS && (n < MIN_CALLS || spent < CALL_BUDGET_US);
         ++i) {
        const double start = tool_seconds();
        status = dlq_linear_apply(l->layers[i % l->n], io, err);
        const double us = (tool_seconds() - start) * 1e6;
        // The first round meets memory that nobody has touched yet.
        if (i >= l->n || l->n > MIN_CALLS) {
            times[n++] = us;
            spent += us;
        }
    }
    if (status == DLQ_OK) {
        take_times(times, n, out);
    }
    return status;
}

static int32_t
capture_calls(const struct tool_bench_layers *l, struct tool_buffers *b,
              const struct dlq_linear_io *io, int calls, dlq_graph **out, struct dlq_error *err)
{
    int32_t status = dlq_stream_capture_begin(b->stream, err);
    if (status != DLQ_OK) {
        return status;
    }
    for (int i = 0; i < calls && status == DLQ_OK; ++i) {
        status = dlq_linear_apply(l->layers[i % l->n], io, err);
    }
    struct dlq_error second = DLQ_ERROR_INIT;
    const int32_t ended = dlq_stream_capture_end(b->stream, out, status == DLQ_OK ? err : &second);
    return status == DLQ_OK ? ended : status;
}

static int32_t
launch(struct tool_buffers *b, dlq_graph *graph, dlq_event *begin, dlq_event *end, double *us,
       struct dlq_error *err)
{
    double ms = 0.0;
    int32_t status = dlq_event_record(begin, b->stream, err);
    status = status == DLQ_OK ? dlq_graph_launch(graph, b->stream, err) : status;
    status = status == DLQ_OK ? dlq_event_record(end, b->stream, err) : status;
    status = status == DLQ_OK ? tool_buffers_wait(b, err) : status;
    status = status == DLQ_OK ? dlq_event_elapsed(begin, end, &ms, err) : status;
    *us = ms * 1e3;
    return status;
}

/// Graphs of calls, each long enough that what is around it does not count.
static int32_t
time_graph(const struct tool_bench_layers *l, struct tool_buffers *b,
           const struct dlq_linear_io *io, struct tool_bench_result *out, struct dlq_error *err)
{
    dlq_event *begin = NULL;
    dlq_event *end = NULL;
    double times[REPLAYS] = {0};
    int calls = l->n;
    int32_t status = dlq_event_create(b->rt, b->device, &begin, err);
    status = status == DLQ_OK ? dlq_event_create(b->rt, b->device, &end, err) : status;
    // The first graph only finds out how many calls a long enough one has.
    for (int pass = 0; pass < 2 && status == DLQ_OK; ++pass) {
        dlq_graph *graph = NULL;
        double us = 0.0;
        status = capture_calls(l, b, io, calls, &graph, err);
        status = status == DLQ_OK ? launch(b, graph, begin, end, &us, err) : status;
        for (int i = 0; i < REPLAYS && status == DLQ_OK; ++i) {
            status = launch(b, graph, begin, end, &us, err);
            times[i] = us / calls;
        }
        dlq_graph_destroy(graph);
        const double wanted = us > 0.0 ? GRAPH_US / (us / calls) : 1.0;
        if (wanted <= calls) {
            break;
        }
        calls = wanted < MAX_CALLS ? (int)wanted : MAX_CALLS;
    }
    if (status == DLQ_OK) {
        take_times(times, REPLAYS, out);
    }
    dlq_event_destroy(begin);
    dlq_event_destroy(end);
    return status;
}

static int32_t
run_buffers(struct tool_bench_layers *l, struct tool_buffers *b, int64_t m,
            struct tool_bench_result *out, struct dlq_error *err)
{
    const int64_t k = l->weights->k;
    const uint32_t dtype = l->weights->op->dtype;
    float *x = tool_alloc((size_t)(m * k), sizeof(*x));
    tool_fill_inputs(x, m, k, l->weights->op->name);
    tool_to_act(b->host_x, dtype, x, m * k);
    free(x);
    const struct dlq_linear_io io = io_of(b, m);
    int32_t status = tool_buffers_send(b, err);
    status = status == DLQ_OK ? tool_buffers_poison(b, err) : status;
    status = status == DLQ_OK ? dlq_linear_apply(l->layers[l->n - 1], &io, err) : status;
    status = status == DLQ_OK ? tool_buffers_fetch(b, b->host_y, err) : status;
    status = status == DLQ_OK
                 ? tool_bench_judge(l->weights, l->layers[l->n - 1], dlq_runtime_host(l->rt),
                                    b->host_x, b->host_y, m, out, err)
                 : status;
    if (status != DLQ_OK) {
        return status;
    }
    return l->device.kind == DLQ_DEVICE_CPU ? time_calls(l, &io, out, err)
                                            : time_graph(l, b, &io, out, err);
}

int32_t
tool_bench_layers_run(struct tool_bench_layers *l, int64_t m, struct tool_bench_result *out,
                      struct dlq_error *err)
{
    const struct tool_bench_weights *w = l->weights;
    const size_t size = tool_act_size(w->op->dtype);
    struct tool_buffers b;
    struct dlq_explanation e = {.struct_size = sizeof(e)};
    *out = (struct tool_bench_result){0};
    int32_t status = dlq_device_use(l->rt, l->device, err);
    status = status == DLQ_OK ? dlq_linear_explain(l->layers[0], &e, err) : status;
    if (status != DLQ_OK) {
        return status;
    }
    memcpy(out->kernel, e.kernel, sizeof(out->kernel));
    out->moved = (double)l->bytes + (double)m * (double)(w->k + w->n) * (double)size;
    status = tool_buffers_make(&b, l->rt, l->device, (size_t)(m * w->k) * size,
                               (size_t)(m * w->n) * size,
                               dlq_linear_workspace_size(l->layers[0], m), err);
    status = status == DLQ_OK ? run_buffers(l, &b, m, out, err) : status;
    tool_buffers_free(&b);
    return status;
}
