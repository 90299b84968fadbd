// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "cuts.h"
#include "model.h"
#include "output.h"
#include "tool.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/// dlquant plan: which numbers of ranks work for a checkpoint, and what each rank gets.

/// Layers that are alike.
struct line {
    const struct tool_layer *layer;
    const struct tool_cut *cut;
    size_t count;
};

struct plan {
    const struct tool_session *s;
    struct tool_cuts cuts;
    struct line *lines;
    size_t n_lines;
    bool uneven;
    uint64_t bytes; ///< Of the fullest rank
};

static void
add_layer(struct plan *plan, size_t i)
{
    const struct tool_cut *cut = &plan->cuts.layers[i];
    size_t l = plan->n_lines;
    while (l > 0 && plan->lines[l - 1].cut->planned != cut->planned) {
        --l;
    }
    if (l == 0) {
        plan->lines[plan->n_lines] = (struct line){&plan->s->model->layers[i], cut, 0};
        l = ++plan->n_lines;
    }
    ++plan->lines[l - 1].count;
    plan->uneven = plan->uneven || (cut->partition && !cut->refused);
}

static void
add_bytes(struct plan *plan)
{
    for (int32_t r = 0; r < plan->cuts.ranks; ++r) {
        uint64_t bytes = 0;
        for (size_t l = 0; l < plan->n_lines; ++l) {
            const struct line *line = &plan->lines[l];
            if (!line->cut->refused) {
                bytes += (uint64_t)line->cut->planned[r].e.weight_bytes * line->count;
            }
        }
        plan->bytes = bytes > plan->bytes ? bytes : plan->bytes;
    }
}

/// "64", or "48-64" where ranks differ.
static const char *
range_text(const struct plan *plan, const struct tool_planned *p, size_t offset, char buf[48])
{
    int64_t least = INT64_MAX;
    int64_t most = 0;
    for (int32_t r = 0; r < plan->cuts.ranks; ++r) {
        int64_t v;
        memcpy(&v, (const char *)&p[r] + offset, sizeof(v));
        least = v < least ? v : least;
        most = v > most ? v : most;
    }
    snprintf(buf, 48, least == most ? "%lld" : "%lld-%lld", (long long)least, (long long)most);
    return buf;
}

static void
print_sizes(struct tool_table *t, const struct plan *plan, const struct line *line)
{
    const struct tool_planned *p = line->cut->planned;
    char n[48], k[48];
    tool_table_cell(t, "%s x %s", range_text(plan, p, offsetof(struct tool_planned, n), n),
                    range_text(plan, p, offsetof(struct tool_planned, k), k));
    tool_table_cell(t, "%s", p->e.scheme);
    tool_table_cell(t, "%lld", (long long)p->e.group);
    bool padded = false;
    for (int32_t r = 0; r < plan->cuts.ranks; ++r) {
        padded = padded || p[r].e.padded_n != p[r].n || p[r].e.padded_k != p[r].k;
    }
    if (padded) {
        tool_table_cell(t, "%s x %s",
                        range_text(plan, p, offsetof(struct tool_planned, e.padded_n), n),
                        range_text(plan, p, offsetof(struct tool_planned, e.padded_k), k));
    } else {
        tool_table_cell(t, "-");
    }
    tool_table_cell(t, "%s", p->e.kernel);
    int64_t bytes = 0;
    for (int32_t r = 0; r < plan->cuts.ranks; ++r) {
        bytes = p[r].e.weight_bytes > bytes ? p[r].e.weight_bytes : bytes;
    }
    tool_table_cell(t, "%s", tool_bytes((uint64_t)bytes * line->count));
}

static void
print_table(const struct plan *plan)
{
    static const char *const columns[] = {"layer",  "kind",    ">count", ">N x K a rank", "scheme",
                                          ">group", ">padded", "kernel", ">a rank",       NULL};
    struct tool_table *t = tool_table_new(columns);
    for (size_t l = 0; l < plan->n_lines; ++l) {
        const struct line *line = &plan->lines[l];
        tool_table_cell(t, "%s", line->layer->label);
        tool_table_cell(t, "%s", tool_kind_name(line->layer->kind));
        tool_table_cell(t, "%zu", line->count);
        if (!line->cut->refused) {
            print_sizes(t, plan, line);
            continue;
        }
        tool_table_cell(t, "-");
        tool_table_cell(t, "cannot");
        for (int i = 0; i < 4; ++i) {
            tool_table_cell(t, "-");
        }
    }
    tool_table_print(t);
    for (size_t l = 0; l < plan->n_lines; ++l) {
        const struct tool_cut *cut = plan->lines[l].cut;
        if (cut->refused) {
            tool_print_line(stdout, "cannot: %s", cut->refused->err.msg);
        } else if (cut->planned->e.note[0]) {
            tool_print_line(stdout, "%s: %s", plan->lines[l].layer->label, cut->planned->e.note);
        }
    }
}

static void
json_ranks(const struct plan *plan, const struct tool_planned *p)
{
    static const struct {
        const char *key;
        size_t offset;
    } columns[] = {{"n_ranks", offsetof(struct tool_planned, n)},
                   {"k_ranks", offsetof(struct tool_planned, k)},
                   {"bytes_ranks", offsetof(struct tool_planned, e.weight_bytes)}};
    for (size_t c = 0; c < sizeof(columns) / sizeof(columns[0]); ++c) {
        tool_json_open(columns[c].key, '[');
        for (int32_t r = 0; r < plan->cuts.ranks; ++r) {
            int64_t v;
            memcpy(&v, (const char *)&p[r] + columns[c].offset, sizeof(v));
            tool_json_int(NULL, v);
        }
        tool_json_close(']');
    }
}

static void
print_json(const struct plan *plan)
{
    for (size_t l = 0; l < plan->n_lines; ++l) {
        const struct line *line = &plan->lines[l];
        const struct tool_planned *p = line->cut->planned;
        tool_json_begin();
        tool_json_int("tp", plan->cuts.ranks);
        tool_json_str("layer", line->layer->prefix);
        tool_json_int("count", (int64_t)line->count);
        tool_json_str("kind", tool_kind_name(line->layer->kind));
        tool_json_bool("ok", !line->cut->refused);
        if (!line->cut->refused) {
            tool_json_bool("uneven", line->cut->partition != NULL);
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
            json_ranks(plan, p);
        } else {
            tool_json_str("why", line->cut->refused->err.msg);
        }
        tool_json_end();
    }
}

/// One line a number of ranks, kept until all tables are printed.
static char *
verdict_line(const struct plan *plan)
{
    const struct tool_cuts *cuts = &plan->cuts;
    if (cuts->n_refused == 0) {
        return tool_format("tp %d: works%s, %s of weights a rank", cuts->ranks,
                           plan->uneven ? " with unequal shares" : "", tool_bytes(plan->bytes));
    }
    return tool_format("tp %d: cannot, %zu layers refused: %s", cuts->ranks, cuts->n_refused,
                       cuts->first_refused->err.msg);
}

static void
json_verdict(const struct plan *plan)
{
    const struct tool_cuts *cuts = &plan->cuts;
    tool_json_begin();
    tool_json_int("tp", cuts->ranks);
    tool_json_bool("works", cuts->n_refused == 0);
    tool_json_bool("uneven", plan->uneven);
    tool_json_int("refused", (int64_t)cuts->n_refused);
    tool_json_int("bytes_a_rank", (int64_t)plan->bytes);
    tool_json_str("why", cuts->n_refused ? cuts->first_refused->err.msg : NULL);
    tool_json_end();
}

/// Plan one number of ranks; whether it works. `*verdict` is for the caller to free.
static bool
plan_size(const struct tool_session *s, const struct tool_options *opt, int32_t size,
          char **verdict)
{
    struct plan plan = {.s = s};
    tool_cuts_find(s, opt, size, &plan.cuts);
    plan.lines = tool_alloc(s->model->n_layers, sizeof(*plan.lines));
    for (size_t i = 0; i < s->model->n_layers; ++i) {
        add_layer(&plan, i);
    }
    add_bytes(&plan);
    if (opt->json) {
        print_json(&plan);
        json_verdict(&plan);
    } else {
        printf("tp %d\n", size);
        print_table(&plan);
        putchar('\n');
    }
    *verdict = verdict_line(&plan);
    const bool works = plan.cuts.n_refused == 0;
    free(plan.lines);
    tool_cuts_free(&plan.cuts);
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
                tool_print_line(stdout, "%s", verdicts[i]);
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
