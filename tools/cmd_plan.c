// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "model.h"
#include "output.h"
#include "planned.h"
#include "tool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/// dlquant plan: which numbers of ranks work for a checkpoint, and what each rank gets.

/// Layers of one shape and scheme on one number of ranks.
struct line {
    const struct tool_layer *layer;
    struct tool_planned planned;
    size_t count;
};

struct plan {
    const struct tool_session *s;
    const struct tool_options *opt;
    int32_t size; ///< Ranks
    struct line *lines;
    size_t n_lines;
    size_t refused;
    uint64_t bytes; ///< Of the fullest rank
    struct tool_planned first;
};

static bool
same_line(const struct line *line, const struct tool_layer *layer, const struct tool_planned *p)
{
    const struct tool_planned *q = &line->planned;
    return line->layer->k == layer->k && line->layer->n == layer->n &&
           line->layer->kind == layer->kind && strcmp(line->layer->label, layer->label) == 0 &&
           q->status == p->status && strcmp(q->e.scheme, p->e.scheme) == 0 &&
           strcmp(q->e.kernel, p->e.kernel) == 0;
}

static void
add_layer(struct plan *plan, const struct tool_layer *layer)
{
    struct tool_planned p;
    tool_plan_layer(plan->s, plan->opt, layer, 0, plan->size, &p);
    size_t l = plan->n_lines;
    while (l > 0 && !same_line(&plan->lines[l - 1], layer, &p)) {
        --l;
    }
    if (l == 0) {
        // Other ranks may differ where sizes do not divide: ask once a kind of layer.
        for (int32_t r = 1; r < plan->size && p.status == DLQ_OK; ++r) {
            struct tool_planned other;
            tool_plan_layer(plan->s, plan->opt, layer, r, plan->size, &other);
            if (other.status != DLQ_OK) {
                p = other;
            }
        }
        plan->lines[plan->n_lines] = (struct line){layer, p, 0};
        l = ++plan->n_lines;
    }
    struct line *line = &plan->lines[l - 1];
    ++line->count;
    if (line->planned.status != DLQ_OK) {
        plan->first = plan->refused++ == 0 ? line->planned : plan->first;
    } else {
        plan->bytes += (uint64_t)line->planned.e.weight_bytes;
    }
}

static void
print_table(const struct plan *plan)
{
    static const char *const columns[] = {"layer",  "kind",    ">count", ">N x K a rank", "scheme",
                                          ">group", ">padded", "kernel", ">a rank",       NULL};
    struct tool_table *t = tool_table_new(columns);
    for (size_t l = 0; l < plan->n_lines; ++l) {
        const struct line *line = &plan->lines[l];
        const struct tool_planned *p = &line->planned;
        tool_table_cell(t, "%s", line->layer->label);
        tool_table_cell(t, "%s", tool_kind_name(line->layer->kind));
        tool_table_cell(t, "%zu", line->count);
        if (p->status != DLQ_OK) {
            tool_table_cell(t, "-");
            tool_table_cell(t, "cannot");
            tool_table_cell(t, "-");
            tool_table_cell(t, "-");
            tool_table_cell(t, "-");
            tool_table_cell(t, "-");
            continue;
        }
        tool_table_cell(t, "%lld x %lld", (long long)p->n, (long long)p->k);
        tool_table_cell(t, "%s", p->e.scheme);
        tool_table_cell(t, "%lld", (long long)p->e.group);
        if (p->e.padded_n == p->n && p->e.padded_k == p->k) {
            tool_table_cell(t, "-");
        } else {
            tool_table_cell(t, "%lld x %lld", (long long)p->e.padded_n, (long long)p->e.padded_k);
        }
        tool_table_cell(t, "%s", p->e.kernel);
        tool_table_cell(t, "%s", tool_bytes((uint64_t)p->e.weight_bytes * line->count));
    }
    tool_table_print(t);
    for (size_t l = 0; l < plan->n_lines; ++l) {
        if (plan->lines[l].planned.status != DLQ_OK) {
            printf("cannot: %s\n", plan->lines[l].planned.err.msg);
        } else if (plan->lines[l].planned.e.note[0]) {
            printf("%s: %s\n", plan->lines[l].layer->label, plan->lines[l].planned.e.note);
        }
    }
}

static void
print_json(const struct plan *plan)
{
    for (size_t l = 0; l < plan->n_lines; ++l) {
        const struct line *line = &plan->lines[l];
        const struct tool_planned *p = &line->planned;
        tool_json_begin();
        tool_json_int("tp", plan->size);
        tool_json_str("layer", line->layer->prefix);
        tool_json_int("count", (int64_t)line->count);
        tool_json_str("kind", tool_kind_name(line->layer->kind));
        tool_json_bool("ok", p->status == DLQ_OK);
        if (p->status == DLQ_OK) {
            tool_json_int("n", p->n);
            tool_json_int("k", p->k);
            tool_json_str("method", p->method);
            tool_json_str("scheme", p->e.scheme);
            tool_json_str("kernel", p->e.kernel);
            tool_json_int("group", p->e.group);
            tool_json_int("padded_n", p->e.padded_n);
            tool_json_int("padded_k", p->e.padded_k);
            tool_json_int("bytes", p->e.weight_bytes);
            tool_json_str("note", p->e.note);
        } else {
            tool_json_str("why", p->err.msg);
        }
        tool_json_end();
    }
}

/// One line a number of ranks, kept until all tables are printed.
static char *
verdict_line(const struct plan *plan)
{
    if (plan->refused == 0) {
        return tool_format("tp %d: works, %s of weights a rank", plan->size,
                           tool_bytes(plan->bytes));
    }
    return tool_format("tp %d: cannot, %zu layers refused: %s", plan->size, plan->refused,
                       plan->first.err.msg);
}

static void
json_verdict(const struct plan *plan)
{
    tool_json_begin();
    tool_json_int("tp", plan->size);
    tool_json_bool("works", plan->refused == 0);
    tool_json_int("refused", (int64_t)plan->refused);
    tool_json_int("bytes_a_rank", (int64_t)plan->bytes);
    tool_json_str("why", plan->refused ? plan->first.err.msg : NULL);
    tool_json_end();
}

/// Plan one number of ranks; whether it works. `*verdict` is for the caller to free.
static bool
plan_size(const struct tool_session *s, const struct tool_options *opt, int32_t size,
          char **verdict)
{
    struct plan plan = {.s = s, .opt = opt, .size = size};
    plan.lines = tool_alloc(s->model->n_layers, sizeof(*plan.lines));
    for (size_t i = 0; i < s->model->n_layers; ++i) {
        add_layer(&plan, &s->model->layers[i]);
    }
    if (opt->json) {
        print_json(&plan);
        json_verdict(&plan);
    } else {
        printf("tp %d\n", size);
        print_table(&plan);
        putchar('\n');
    }
    *verdict = verdict_line(&plan);
    const bool works = plan.refused == 0;
    free(plan.lines);
    return works;
}

static int
cmd_plan(const struct tool_options *opt)
{
    struct tool_session s;
    struct dlq_error err = DLQ_ERROR_INIT;
    int rc = tool_session_open(&s, opt);
    if (rc == TOOL_OK && tool_session_configure(&s, opt, &err) != DLQ_OK) {
        rc = tool_report(&err, TOOL_STAGE_METHOD);
    }
    if (rc == TOOL_OK) {
        char *verdicts[TOOL_MAX_LIST];
        int works = 0;
        for (int i = 0; i < opt->n_tp; ++i) {
            works += plan_size(&s, opt, opt->tp[i], &verdicts[i]);
        }
        for (int i = 0; i < opt->n_tp; ++i) {
            if (!opt->json) {
                puts(verdicts[i]);
            }
            free(verdicts[i]);
        }
        rc = works == opt->n_tp ? TOOL_OK : TOOL_UNSUPPORTED;
    }
    tool_session_close(&s);
    return rc;
}

const struct tool_command tool_cmd_plan = {
    .name = "plan",
    .usage = "CKPT [--tp 1,2,4 | 1-16] [--device cpu|cuda|sm80|sm90] [--dtype fp16|bf16|fp32] "
             "[--no-fuse] [--json]",
    .summary = "Show which numbers of ranks work, what each rank gets, or why it cannot",
    .options = "device dtype json no-fuse plugin-dir tp ",
    .run = cmd_plan,
};
