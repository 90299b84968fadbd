// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "convert.h"
#include "cuts.h"
#include "golden.h"
#include "model.h"
#include "output.h"
#include "ranks.h"
#include "results.h"
#include "tool.h"
#include "verify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/// dlquant run: every linear layer of a checkpoint through its plugin.

struct run {
    const struct tool_options *opt;
    struct tool_session session;
    dlq_runtime *rt;          ///< Of the group of processes; NULL: ranks are threads
    int32_t size;             ///< Ranks
    struct dlq_device device; ///< Of the first rank that is here
    struct tool_cuts cuts;
    struct tool_seat *seats; ///< One a rank; the first is the session's
    struct tool_group *group;
    dlq_checkpoint *golden;
    uint32_t dtype;
    struct tool_results results;
};

/// The biases of a layer's parts side by side; NULL when it has none.
static float *
read_bias(const struct run *run, const struct tool_layer *layer)
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
add_result(struct run *run, const struct tool_ranks *ranks, int64_t m, const float *y,
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
    row->gbps = ((double)row->bytes + act) / row->times.us * 1e-3;
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
run_seeded(struct run *run, struct tool_ranks *ranks, const float *bias, bool check, int64_t m,
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
    int32_t status = tool_ranks_apply(ranks, x, m, 1, y, err);
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

/// Recorded inputs of one part. The first part is timed, all are judged.
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
run_golden(struct run *run, struct tool_ranks *ranks, const float *bias, int64_t m, int *found,
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
                status = run_recorded(ranks, &rec, first, rows, *found == 0, bias, &verdict, err);
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
run_rows(struct run *run, struct tool_ranks *ranks, const float *bias, struct dlq_error *err)
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

static int32_t
run_layer(struct run *run, const struct tool_layer *layer, struct dlq_error *err)
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

/// Refuse what cannot run before any weight is read.
static int
plan_all(struct run *run)
{
    struct tool_cuts *cuts = &run->cuts;
    tool_cuts_find(&run->session, run->opt, run->size, cuts);
    if (cuts->n_refused == 0) {
        return TOOL_OK;
    }
    struct dlq_error first = cuts->first_refused->err;
    first.code = cuts->first_refused->status;
    if (cuts->n_refused > 1) {
        char *msg = tool_format("%.900s (and %zu more layers)", first.msg, cuts->n_refused - 1);
        snprintf(first.msg, sizeof(first.msg), "%s", msg);
        free(msg);
    }
    // All processes found the same; one says it.
    return tool_group_self(run->group) > 0 ? tool_exit_code(first.code, TOOL_STAGE_METHOD)
                                           : tool_report(&first, TOOL_STAGE_METHOD);
}

/// A runtime and a configuration for each rank, the threads shared out.
static int
take_seats(struct run *run)
{
    // A process needs those of others only to judge them.
    const int32_t self = tool_group_self(run->group);
    const bool judges = self == 0 && (run->opt->check || run->golden);
    const int32_t size = self < 0 || judges ? run->size : 1;
    struct dlq_error err = DLQ_ERROR_INIT;
    run->seats = tool_alloc((size_t)run->size, sizeof(*run->seats));
    run->seats[0] = (struct tool_seat){run->session.rt, run->session.config};
    const struct dlq_host *host = dlq_runtime_host(run->session.rt);
    struct tool_options opt = *run->opt;
    opt.n_threads = host->n_threads(host->ctx) / size;
    opt.n_threads = opt.n_threads < 1 ? 1 : opt.n_threads;
    for (int32_t i = 1; i < size; ++i) {
        struct tool_session s = {.source = run->session.source};
        int32_t status = tool_runtime(&opt, &s.rt, &err);
        if (status == DLQ_OK) {
            status = tool_session_configure(&s, &opt, &err);
        }
        run->seats[i] = (struct tool_seat){s.rt, s.config};
        if (status != DLQ_OK) {
            return tool_report(&err, TOOL_STAGE_METHOD);
        }
    }
    if (self < 0 && tool_group_create(run->session.rt, run->device, size, run->opt->timeout_ms,
                                      &run->group, &err) != DLQ_OK) {
        return tool_report(&err, TOOL_STAGE_METHOD);
    }
    return TOOL_OK;
}

static uint64_t
hash(uint64_t h, const void *data, size_t size)
{
    for (size_t i = 0; i < size; ++i) {
        h = (h ^ ((const unsigned char *)data)[i]) * 0x100000001B3u;
    }
    return h;
}

/// What all processes have to have in common.
static uint64_t
fingerprint(const struct run *run)
{
    const struct tool_options *opt = run->opt;
    const struct tool_model *model = run->session.model;
    const int32_t numbers[] = {(int32_t)run->dtype, opt->check,    run->golden != NULL,
                               opt->no_fuse,        opt->integers, opt->n_m};
    uint64_t h = hash(0xCBF29CE484222325u, numbers, sizeof(numbers));
    h = hash(h, opt->m, (size_t)opt->n_m * sizeof(opt->m[0]));
    h = hash(h, run->session.source.text, run->session.source.len);
    for (size_t i = 0; i < model->n_layers; ++i) {
        const struct tool_layer *layer = &model->layers[i];
        h = hash(h, layer->prefix, strlen(layer->prefix));
        h = hash(h, &layer->k, sizeof(layer->k));
        h = hash(h, layer->sizes, sizeof(layer->sizes));
    }
    return h;
}

/// Join the processes that mpirun started.
static int
join(struct run *run)
{
    struct dlq_error err = DLQ_ERROR_INIT;
    if (tool_runtime(run->opt, &run->rt, &err) != DLQ_OK ||
        tool_group_join(run->rt, &run->device, run->opt->timeout_ms, &run->group, &err) != DLQ_OK) {
        return tool_report(&err, TOOL_STAGE_METHOD);
    }
    run->size = tool_group_ranks(run->group);
    return TOOL_OK;
}

static int
agree(struct run *run)
{
    struct dlq_error err = DLQ_ERROR_INIT;
    return tool_group_agree(run->group, fingerprint(run), &err) == DLQ_OK
               ? TOOL_OK
               : tool_report(&err, TOOL_STAGE_METHOD);
}

static void
leave_seats(struct run *run)
{
    for (int32_t i = 1; run->seats && i < run->size; ++i) {
        dlq_quant_config_destroy(run->seats[i].config);
        dlq_runtime_destroy(run->seats[i].rt);
    }
    free(run->seats);
}

static int
open_all(struct run *run)
{
    struct dlq_error err = DLQ_ERROR_INIT;
    int rc = tool_session_open(&run->session, run->opt);
    if (rc != TOOL_OK) {
        return rc;
    }
    if (run->session.model->n_layers == 0) {
        fprintf(stderr, "dlquant: %s: no linear layers among %zu tensors\n", run->opt->path,
                dlq_checkpoint_n_tensors(run->session.ckpt));
        fprintf(stderr, "hint: dlquant inspect --explain lists what was left out and why\n");
        return TOOL_INPUT;
    }
    if (run->opt->golden &&
        dlq_checkpoint_open(run->session.rt, run->opt->golden, DLQ_CHECKPOINT_NO_CONFIG,
                            &run->golden, &err) != DLQ_OK) {
        return tool_report(&err, TOOL_STAGE_INPUT);
    }
    if (tool_session_configure(&run->session, run->opt, &err) != DLQ_OK) {
        return tool_report(&err, TOOL_STAGE_METHOD);
    }
    run->dtype = run->opt->dtype ? run->opt->dtype : run->session.model->dtype;
    rc = tool_group_self(run->group) < 0 ? TOOL_OK : agree(run);
    if (rc == TOOL_OK) {
        rc = plan_all(run);
    }
    return rc == TOOL_OK ? take_seats(run) : rc;
}

static int
run_all(struct run *run)
{
    const struct tool_model *model = run->session.model;
    const double start = tool_seconds();
    for (size_t i = 0; i < model->n_layers; ++i) {
        struct dlq_error err = DLQ_ERROR_INIT;
        tool_progress(i, model->n_layers, model->layers[i].prefix);
        const int32_t status = run_layer(run, &model->layers[i], &err);
        if (status != DLQ_OK) {
            tool_progress(0, 0, NULL);
            err.code = status;
            return tool_report(&err, err.domain == DLQ_DOMAIN_CHECKPOINT ? TOOL_STAGE_INPUT
                                                                         : TOOL_STAGE_METHOD);
        }
    }
    tool_progress(0, 0, NULL);
    if (tool_group_self(run->group) > 0) {
        return TOOL_OK;
    }
    if (!run->opt->json) {
        tool_results_table(&run->results);
    }
    const size_t failed =
        tool_results_sum(&run->results, run->size, tool_seconds() - start, run->opt->json);
    return failed == 0 ? TOOL_OK : TOOL_FAILED;
}

static int
cmd_run(const struct tool_options *opt)
{
    if (opt->n_tp != 1) {
        fprintf(stderr, "dlquant run: --tp takes one number of ranks\n"
                        "hint: dlquant plan CKPT --tp 1,2,4,8 compares several\n");
        return TOOL_USAGE;
    }
    struct run run = {.opt = opt, .size = opt->tp[0], .device = opt->device};
    int rc = opt->mpi ? join(&run) : TOOL_OK;
    if (rc == TOOL_OK) {
        rc = open_all(&run);
    }
    if (rc == TOOL_OK) {
        rc = run_all(&run);
    }
    if (rc != TOOL_OK && rc != TOOL_FAILED && tool_group_self(run.group) >= 0) {
        tool_group_abort(run.group, tool_group_self(run.group), "dlquant run ended with an error");
    }
    tool_results_free(&run.results);
    leave_seats(&run);
    tool_cuts_free(&run.cuts);
    dlq_checkpoint_close(run.golden);
    tool_group_destroy(run.group);
    tool_session_close(&run.session);
    dlq_runtime_destroy(run.rt);
    return rc;
}

const struct tool_command tool_cmd_run = {
    .name = "run",
    .usage =
        "CKPT [--golden DIR | --check] [--device cpu|cuda|cuda:N] [--tp N|mpi] [--m ROWS] "
        "[--dtype fp16|bf16|fp32] [--threads N] [--timeout S] [--integers] [--no-fuse] [--json]",
    .summary = "Load every linear layer, run it and judge the result",
    .options = "check device dtype golden integers json m no-fuse plugin-dir threads timeout tp ",
    .run = cmd_run,
};
