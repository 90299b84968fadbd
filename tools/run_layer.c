// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "run.h"

#include "convert.h"
#include "golden.h"
#include "model.h"
#include "output.h"
#include "verify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/// One layer of dlquant run: its inputs, its outputs, and what judges them.

/// The biases of a layer's parts side by side; NULL when it has none.
static float *
read_bias(const struct tool_run *run, const struct tool_layer *layer)
{
    if (!layer->has_bias) {
        return NULL;
    }
    float *bias = tool_alloc((size_t)layer->n, sizeof(*bias));
    const int32_t n_tensors = layer->fused_on_disk ? 1 : layer->n_parts;
    int64_t at = 0;
    for (int32_t p = 0; p < n_tensors; ++p) {
        char *name = tool_format("%s.bias", layer->part_prefixes[p]);
        const struct dlq_checkpoint_tensor *t = dlq_checkpoint_find(run->session.ckpt, name);
        free(name);
        const int64_t n = layer->fused_on_disk ? layer->n : layer->sizes[p];
        for (int64_t i = 0; t && t->data && t->ndim == 1 && t->shape[0] == n && i < n; ++i) {
            double v = 0.0;
            tool_element(t->data, t->dtype, i, &v);
            bias[at + i] = (float)v;
        }
        at += n;
    }
    return bias;
}

/// A hash of outputs; a negative zero counts as zero.
static uint64_t
digest(const float *y, int64_t count)
{
    uint64_t h = 0xCBF29CE484222325u;
    for (int64_t i = 0; i < count; ++i) {
        const float v = y[i] + 0.0f;
        uint32_t bits;
        memcpy(&bits, &v, sizeof(bits));
        h = (h ^ bits) * 0x100000001B3u;
    }
    return h;
}

/// `y`: the outputs, for a digest; may be NULL.
static void
add_result(struct tool_run *run, const struct tool_ranks *ranks, int64_t m, const float *y,
           const struct tool_verdict *verdict)
{
    // Of several processes the first has the results.
    if (ranks->self > 0) {
        return;
    }
    struct tool_result *row = tool_results_add(&run->results);
    row->layer = ranks->layer;
    row->m = m;
    row->dtype = run->dtype;
    row->times = tool_ranks_times(ranks);
    row->verdict = *verdict;
    for (int32_t i = 0; i < ranks->size; ++i) {
        const struct tool_rank *rank = &ranks->rank[i];
        row->bytes += rank->bytes;
        row->load_s = rank->load_s > row->load_s ? rank->load_s : row->load_s;
    }
    const double act =
        (double)m * (double)(ranks->layer->k + ranks->layer->n) * (double)tool_act_size(run->dtype);
    row->gbps = run->opt->no_times ? 0.0 : ((double)row->bytes + act) / row->times.us * 1e-3;
    dlq_linear *first = ranks->rank[0].layer;
    struct dlq_explanation e = {.struct_size = sizeof(e)};
    if (dlq_linear_explain(first, &e, NULL) == DLQ_OK) {
        snprintf(row->scheme, sizeof(row->scheme), "%s", e.scheme);
        snprintf(row->kernel, sizeof(row->kernel), "%s", e.kernel);
    }
    snprintf(row->method, sizeof(row->method), "%s", dlq_linear_method_name(first));
    if (y) {
        snprintf(row->digest, sizeof(row->digest), "%016llx",
                 (unsigned long long)digest(y, m * ranks->layer->n));
    }
    if (run->opt->json) {
        tool_result_json(row);
    }
}

/// Seeded inputs, with the float64 product as the judge where the plugin can dequantize.
static int32_t
run_seeded(struct tool_run *run, struct tool_ranks *ranks, const float *bias, bool check, int64_t m,
           struct dlq_error *err)
{
    const struct tool_layer *layer = ranks->layer;
    float *x = tool_alloc((size_t)(m * layer->k), sizeof(*x));
    float *y = tool_alloc((size_t)(m * layer->n), sizeof(*y));
    struct tool_verdict verdict = {.ok = true};
    if (run->opt->integers) {
        tool_fill_integers(x, m * layer->k, layer->prefix);
    } else {
        tool_fill_inputs(x, m, layer->k, layer->prefix);
    }
    int32_t status = tool_ranks_apply(ranks, x, m, !run->opt->no_times, y, err);
    struct tool_ranks *judge = tool_ranks_judge(ranks);
    if (status == DLQ_OK && check && judge) {
        status = tool_verify_float64(judge, y, bias, &verdict, err);
    } else if (status == DLQ_OK) {
        tool_verify_finite(y, m * layer->n, &verdict);
    }
    if (status == DLQ_OK) {
        tool_verify_replay(tool_ranks_replay(ranks), tool_ranks_beside(ranks), &verdict);
        add_result(run, ranks, m, y, &verdict);
    }
    free(x);
    free(y);
    return status;
}

/// Recorded inputs of one part. The first part may be timed, all are judged.
static int32_t
run_recorded(struct tool_ranks *ranks, const struct tool_recorded *rec, int64_t first, int64_t m,
             bool timed, const float *bias, struct tool_verdict *verdict, struct dlq_error *err)
{
    float *x = tool_alloc((size_t)(m * rec->k), sizeof(*x));
    float *y = tool_alloc((size_t)(m * ranks->layer->n), sizeof(*y));
    for (int64_t i = 0; i < m; ++i) {
        memcpy(x + i * rec->k, rec->x + i % rec->m * rec->k, (size_t)rec->k * sizeof(*x));
    }
    int32_t status = tool_ranks_apply(ranks, x, m, timed, y, err);
    struct tool_ranks *judge = tool_ranks_judge(ranks);
    if (status == DLQ_OK && judge) {
        status = tool_verify_golden(judge, y, rec, first, bias, verdict, err);
        tool_verify_replay(tool_ranks_replay(ranks), tool_ranks_beside(ranks), verdict);
    }
    free(x);
    free(y);
    return status;
}

/// All parts of a layer that are recorded; `*found` says how many.
static int32_t
run_golden(struct tool_run *run, struct tool_ranks *ranks, const float *bias, int64_t m, int *found,
           struct dlq_error *err)
{
    const struct tool_layer *layer = ranks->layer;
    const int32_t n_paths = layer->fused_on_disk ? 1 : layer->n_parts;
    struct tool_verdict verdict = {.ok = true};
    int32_t status = DLQ_OK;
    int64_t first = 0;
    int64_t rows = m;
    *found = 0;
    for (int32_t p = 0; p < n_paths && status == DLQ_OK; ++p) {
        const char *path = layer->part_prefixes[p];
        const int64_t n = layer->fused_on_disk ? layer->n : layer->sizes[p];
        if (tool_recorded_exists(run->golden, path)) {
            struct tool_recorded rec;
            status = tool_recorded_read(run->golden, path, layer->k, n, &rec, err);
            if (status == DLQ_OK) {
                rows = m > 0 ? m : rec.m;
                const bool timed = *found == 0 && !run->opt->no_times;
                status = run_recorded(ranks, &rec, first, rows, timed, bias, &verdict, err);
            }
            tool_recorded_free(&rec);
            ++*found;
        }
        first += n;
    }
    if (status == DLQ_OK && *found > 0) {
        add_result(run, ranks, rows, NULL, &verdict);
    }
    return status;
}

static int32_t
run_rows(struct tool_run *run, struct tool_ranks *ranks, const float *bias, struct dlq_error *err)
{
    static const int64_t usual[] = {1, 16};
    const struct tool_options *opt = run->opt;
    const bool judge = opt->check || run->golden;
    int32_t status = judge ? tool_ranks_dequantize(ranks, err) : DLQ_OK;
    if (status != DLQ_OK) {
        return status;
    }
    int found = 0;
    for (int i = 0; run->golden && status == DLQ_OK && i < (opt->n_m ? opt->n_m : 1); ++i) {
        status = run_golden(run, ranks, bias, opt->n_m ? opt->m[i] : 0, &found, err);
    }
    if (status != DLQ_OK || found > 0) {
        return status;
    }
    const int64_t *rows = opt->n_m ? opt->m : usual;
    const int n = opt->n_m ? opt->n_m : run->golden ? 1 : 2;
    for (int i = 0; i < n && status == DLQ_OK; ++i) {
        status = run_seeded(run, ranks, bias, judge, rows[i], err);
    }
    return status;
}

static int64_t
most_rows(const struct tool_options *opt)
{
    int64_t most = 16;
    for (int i = 0; i < opt->n_m; ++i) {
        most = opt->m[i] > most ? opt->m[i] : most;
    }
    return most;
}

int32_t
tool_run_layer(struct tool_run *run, const struct tool_layer *layer, struct dlq_error *err)
{
    struct dlq_linear_desc desc =
        tool_layer_desc(layer, run->dtype, run->device, run->session.config, run->session.ckpt);
    desc.max_m = most_rows(run->opt);
    desc.partition = run->cuts.layers[layer - run->session.model->layers].partition;
    struct tool_ranks ranks;
    const bool judged = run->opt->check || run->golden;
    int32_t status = tool_ranks_create(run->seats, run->group, layer, &desc, judged, &ranks, err);
    if (status == DLQ_OK) {
        float *bias = read_bias(run, layer);
        status = run_rows(run, &ranks, bias, err);
        free(bias);
    }
    tool_ranks_destroy(&ranks);
    return status;
}
