// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "model.h"
#include "output.h"
#include "run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/// dlquant run: every linear layer of a checkpoint through its plugin.

/// Refuse what cannot run before any weight is read.
static int
plan_all(struct tool_run *run)
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
    return tool_group_self(run->group) > 0 ? tool_exit_code(&first, TOOL_STAGE_METHOD)
                                           : tool_report(&first, TOOL_STAGE_METHOD);
}

/// A runtime and a configuration for each rank, the threads shared out.
static int
take_seats(struct tool_run *run)
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
fingerprint(const struct tool_run *run)
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
join(struct tool_run *run)
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
agree(struct tool_run *run)
{
    struct dlq_error err = DLQ_ERROR_INIT;
    return tool_group_agree(run->group, fingerprint(run), &err) == DLQ_OK
               ? TOOL_OK
               : tool_report(&err, TOOL_STAGE_METHOD);
}

static void
leave_seats(struct tool_run *run)
{
    for (int32_t i = 1; run->seats && i < run->size; ++i) {
        dlq_quant_config_destroy(run->seats[i].config);
        dlq_runtime_destroy(run->seats[i].rt);
    }
    free(run->seats);
}

static int
open_all(struct tool_run *run)
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
run_all(struct tool_run *run)
{
    const struct tool_model *model = run->session.model;
    const double start = tool_seconds();
    for (size_t i = 0; i < model->n_layers; ++i) {
        struct dlq_error err = DLQ_ERROR_INIT;
        tool_progress(i, model->n_layers, model->layers[i].prefix);
        const int32_t status = tool_run_layer(run, &model->layers[i], &err);
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
    // Whatever happens while ranks leave each other, here is what they found.
    (void)fflush(stdout);
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
    struct tool_run run = {.opt = opt, .size = opt->tp[0], .device = opt->device};
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
    .usage = "CKPT [--golden DIR | --check] [--device cpu|cuda|cuda:N] [--tp N|mpi] [--m ROWS] "
             "[--dtype fp16|bf16|fp32] [--threads N] [--timeout S] [--integers] [--no-fuse] "
             "[--no-times] "
             "[--json]",
    .summary = "Load every linear layer, run it and judge the result",
    .options =
        "check device dtype golden integers json m no-fuse no-times plugin-dir threads timeout tp ",
    .run = cmd_run,
};
