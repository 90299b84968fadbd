// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "results.h"

#include "output.h"
#include "tool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tool_result *
tool_results_add(struct tool_results *r)
{
    if (r->count == r->capacity) {
        const size_t capacity = r->capacity ? 2 * r->capacity : 64;
        struct tool_result *list = tool_alloc(capacity, sizeof(*list));
        if (r->list) {
            memcpy(list, r->list, r->count * sizeof(*list));
        }
        free(r->list);
        r->list = list;
        r->capacity = capacity;
    }
    return &r->list[r->count++];
}

void
tool_results_free(struct tool_results *r)
{
    free(r->list);
    *r = (struct tool_results){0};
}

void
tool_result_json(const struct tool_result *row)
{
    const struct tool_verdict *v = &row->verdict;
    tool_json_begin();
    tool_json_str("layer", row->layer->prefix);
    tool_json_str("method", row->method);
    tool_json_str("scheme", row->scheme);
    tool_json_str("kernel", row->kernel);
    tool_json_int("m", row->m);
    tool_json_int("k", row->layer->k);
    tool_json_int("n", row->layer->n);
    tool_json_str("dtype", tool_dtype_name(row->dtype));
    if (row->times.us > 0.0) {
        tool_json_num("us", row->times.us);
        tool_json_num("host_us", row->times.host_us);
        tool_json_num("gbps", row->gbps);
    }
    tool_json_int("bytes", (int64_t)row->bytes);
    tool_json_str("reference", v->reference);
    if (v->compared) {
        tool_json_str("arithmetic", v->arith);
        tool_json_num("err", v->err);
        tool_json_num("bound", v->bound);
        tool_json_num("worst", v->worst);
    } else {
        tool_json_str("err", NULL);
        tool_json_str("bound", NULL);
    }
    if (v->codes > 0) {
        tool_json_int("codes", v->codes);
        tool_json_int("ties", v->ties);
    }
    if (v->replay != TOOL_REPLAY_NONE) {
        tool_json_str("graph", v->replay == TOOL_REPLAY_EQUAL ? "equal" : "differs");
    }
    if (row->digest[0]) {
        tool_json_str("digest", row->digest);
    }
    tool_json_bool("ok", v->ok);
    if (!v->ok) {
        tool_json_str("why", v->why);
    }
    tool_json_end();
}

/// Layers that share a line of the table.
struct line {
    const struct tool_result *first;
    size_t count, ok;
    double us, host_us, gbps, err, bound, worst;
    int64_t ties;
    bool compared;
    enum tool_replay_verdict replay;
};

static bool
same_line(const struct tool_result *a, const struct tool_result *b)
{
    return a->m == b->m && a->layer->k == b->layer->k && a->layer->n == b->layer->n &&
           strcmp(a->layer->label, b->layer->label) == 0 && strcmp(a->method, b->method) == 0 &&
           strcmp(a->scheme, b->scheme) == 0 && strcmp(a->kernel, b->kernel) == 0;
}

static void
line_add(struct line *line, const struct tool_result *row)
{
    const struct tool_verdict *v = &row->verdict;
    line->us += row->times.us;
    line->host_us += row->times.host_us;
    line->replay = v->replay > line->replay ? v->replay : line->replay;
    line->gbps += row->gbps;
    line->ok += v->ok;
    line->ties += v->ties;
    ++line->count;
    if (v->compared && (!line->compared || v->err * line->bound > line->err * v->bound)) {
        line->err = v->err;
        line->bound = v->bound;
    }
    line->worst = v->worst > line->worst ? v->worst : line->worst;
    line->compared |= v->compared;
}

/// A mean of a line, "-" where nothing was timed.
static void
print_mean(struct tool_table *t, const struct line *line, int digits, double sum)
{
    if (line->us > 0.0) {
        tool_table_cell(t, "%.*f", digits, sum / (double)line->count);
    } else {
        tool_table_cell(t, "-");
    }
}

static void
print_line(struct tool_table *t, const struct line *line, bool graphs)
{
    static const char *const replays[] = {"-", "equal", "DIFFERS"};
    const struct tool_result *row = line->first;
    tool_table_cell(t, "%s", row->layer->label);
    tool_table_cell(t, "%s", row->scheme[0] ? row->scheme : row->method);
    tool_table_cell(t, "%s", row->kernel);
    tool_table_cell(t, "%lld x %lld", (long long)row->layer->n, (long long)row->layer->k);
    tool_table_cell(t, "%lld", (long long)row->m);
    print_mean(t, line, 1, line->us);
    if (graphs) {
        print_mean(t, line, 1, line->host_us);
        tool_table_cell(t, "%s", replays[line->replay]);
    }
    print_mean(t, line, 2, line->gbps);
    if (line->compared) {
        tool_table_cell(t, "%.2g", line->err);
        tool_table_cell(t, "%.2g", line->bound);
    } else {
        tool_table_cell(t, "-");
        tool_table_cell(t, "-");
    }
    if (line->ok == line->count) {
        tool_table_cell(t, "%zu ok", line->count);
    } else {
        tool_table_cell(t, "%zu of %zu FAILED", line->count - line->ok, line->count);
    }
}

void
tool_results_table(const struct tool_results *r)
{
    static const char *const plain[] = {"layer", "scheme", "kernel", ">N x K", ">M", ">us",
                                        ">GB/s", ">error", ">bound", "result", NULL};
    static const char *const with_graphs[] = {"layer",  "scheme",   "kernel", ">N x K", ">M",
                                              ">us",    ">host us", "graph",  ">GB/s",  ">error",
                                              ">bound", "result",   NULL};
    bool graphs = false;
    for (size_t i = 0; i < r->count; ++i) {
        graphs |= r->list[i].verdict.replay != TOOL_REPLAY_NONE;
    }
    struct line *lines = tool_alloc(r->count, sizeof(*lines));
    size_t n_lines = 0;
    for (size_t i = 0; i < r->count; ++i) {
        size_t l = 0;
        while (l < n_lines && !same_line(lines[l].first, &r->list[i])) {
            ++l;
        }
        if (l == n_lines) {
            lines[n_lines++].first = &r->list[i];
        }
        line_add(&lines[l], &r->list[i]);
    }
    struct tool_table *t = tool_table_new(graphs ? with_graphs : plain);
    for (size_t l = 0; l < n_lines; ++l) {
        print_line(t, &lines[l], graphs);
    }
    tool_table_print(t);
    free(lines);
    for (size_t i = 0; i < r->count; ++i) {
        if (!r->list[i].verdict.ok) {
            tool_print_line(stdout, "FAILED %s, M = %lld: %s", r->list[i].layer->prefix,
                            (long long)r->list[i].m, r->list[i].verdict.why);
        }
    }
}

size_t
tool_results_sum(const struct tool_results *r, int32_t ranks, double seconds, bool json)
{
    size_t layers = 0, failed = 0, compared = 0, replays = 0;
    int64_t codes = 0, ties = 0;
    uint64_t bytes = 0;
    double load = 0.0, us = 0.0, worst = 0.0;
    bool bad = false, seen = false;
    for (size_t i = 0; i < r->count; ++i) {
        const struct tool_result *row = &r->list[i];
        if (i == 0 || row->layer != r->list[i - 1].layer) {
            ++layers;
            bytes += row->bytes;
            load += row->load_s;
            bad = seen = false;
        }
        failed += !row->verdict.ok && !bad;
        bad |= !row->verdict.ok;
        compared += row->verdict.compared && !seen;
        seen |= row->verdict.compared;
        codes += row->verdict.codes;
        ties += row->verdict.ties;
        us += row->times.us;
        replays += row->verdict.replay == TOOL_REPLAY_EQUAL;
        worst = row->verdict.worst > worst ? row->verdict.worst : worst;
    }
    if (json) {
        tool_json_begin();
        tool_json_int("layers", (int64_t)layers);
        tool_json_int("ok", (int64_t)(layers - failed));
        tool_json_int("failed", (int64_t)failed);
        tool_json_int("compared", (int64_t)compared);
        tool_json_int("ranks", ranks);
        tool_json_int("bytes", (int64_t)bytes);
        tool_json_num("us", us);
        tool_json_num("load_s", load);
        tool_json_num("seconds", seconds);
        tool_json_num("worst", worst);
        tool_json_int("codes", codes);
        tool_json_int("ties", ties);
        tool_json_int("replays", (int64_t)replays);
        tool_json_end();
        return failed;
    }
    printf("%zu layers: %zu ok, %zu failed, %zu compared", layers, layers - failed, failed,
           compared);
    if (compared > 0) {
        printf(", worst element at %.0f %% of its bound", 100.0 * worst);
    }
    if (codes > 0) {
        printf(", %lld activation codes equal but for %lld ties", (long long)codes,
               (long long)ties);
    }
    if (replays > 0) {
        printf(", %zu graph replays equal to their calls", replays);
    }
    printf("\n%s of weights on %d rank%s, loaded in %.3f s, %.3f s in all\n", tool_bytes(bytes),
           ranks, ranks == 1 ? "" : "s", load, seconds);
    return failed;
}
