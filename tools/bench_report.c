// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "bench_report.h"

#include "output.h"
#include "tool.h"

#include <stdlib.h>
#include <string.h>

struct tool_figure *
tool_figures_add(struct tool_figures *f)
{
    if (f->n == f->capacity) {
        const size_t capacity = f->capacity ? 2 * f->capacity : 64;
        struct tool_figure *list = tool_alloc(capacity, sizeof(*list));
        if (f->list) {
            memcpy(list, f->list, f->n * sizeof(*list));
        }
        free(f->list);
        f->list = list;
        f->capacity = capacity;
    }
    return &f->list[f->n++];
}

void
tool_figures_free(struct tool_figures *f)
{
    free(f->list);
    *f = (struct tool_figures){0};
}

static double
larger(double a, double b)
{
    return a > b ? a : b;
}

double
tool_figure_peak(const struct tool_ceilings *c, const struct tool_bench_op *op)
{
    const double int8 = larger(c->amx_int8, larger(c->int8, c->int16));
    switch (op->form) {
    case TOOL_BENCH_AWQ:
    case TOOL_BENCH_PACK:
        // Two int8 limbs an activation, or one int16.
        return larger(int8 / 2.0, c->int16);
    case TOOL_BENCH_INT8:
    case TOOL_BENCH_INT4:
        return int8;
    case TOOL_BENCH_DENSE:
        return op->dtype == DLQ_BF16 ? larger(c->amx_bf16, larger(c->bf16_dot, c->fma32))
                                     : c->fma32;
    case TOOL_BENCH_FP8:
    case TOOL_BENCH_FP8_W:
        break;
    }
    return c->fma32;
}

/// Multiplications and additions of a product.
static double
operations(const struct tool_figure *f)
{
    return 2.0 * (double)f->m * (double)f->k * (double)f->n;
}

/// "83 %" or nothing.
static void
percent_cell(struct tool_table *t, double rate, double ceiling)
{
    if (ceiling > 0.0) {
        tool_table_cell(t, "%.0f %%", 100.0 * rate / ceiling);
    } else {
        tool_table_cell(t, "-");
    }
}

static void
number_cell(struct tool_table *t, const char *format, double v) DLQ_PRINTF(2, 0);

static void
number_cell(struct tool_table *t, const char *format, double v)
{
    char text[32];
    snprintf(text, sizeof(text), format, v);
    tool_table_cell(t, "%s", v > 0.0 ? text : "-");
}

void
tool_figures_table(const struct tool_figures *f)
{
    static const char *const columns[] = {
        "op",     ">K x N",  ">M",     "kernel",   ">us",  ">early", ">GB/s",  ">% read",
        ">GOP/s", ">% peak", ">floor", ">x floor", ">bar", ">x bar", ">error", NULL};
    struct tool_table *t = tool_table_new(columns);
    for (size_t i = 0; i < f->n; ++i) {
        const struct tool_figure *g = &f->list[i];
        const struct tool_bench_result *r = &g->result;
        const double read = r->moved / r->us * 1e6;
        const double rate = operations(g) / r->us * 1e6;
        tool_table_cell(t, "%s", g->op.name);
        tool_table_cell(t, "%lld x %lld", (long long)g->k, (long long)g->n);
        tool_table_cell(t, "%lld", (long long)g->m);
        tool_table_cell(t, "%s", r->kernel);
        tool_table_cell(t, "%.2f", r->us);
        number_cell(t, "%.2f", r->early_us);
        tool_table_cell(t, "%.1f", read * 1e-9);
        percent_cell(t, read, g->read);
        tool_table_cell(t, "%.0f", rate * 1e-9);
        percent_cell(t, rate, g->peak);
        number_cell(t, "%.2f", g->floor_us);
        number_cell(t, "%.2f", g->floor_us > 0.0 ? r->us / g->floor_us : 0.0);
        number_cell(t, "%.1f", g->bar_us);
        number_cell(t, "%.2f", g->bar_us / r->us);
        tool_table_cell(t, "%.1e", r->err);
    }
    tool_table_print(t);
}

void
tool_figure_json(const struct tool_figures *f, const struct tool_figure *g)
{
    const struct tool_bench_result *r = &g->result;
    tool_json_begin();
    tool_json_str("machine", f->machine);
    tool_json_num("load", f->load);
    tool_json_str("op", g->op.name);
    tool_json_int("m", g->m);
    tool_json_int("k", g->k);
    tool_json_int("n", g->n);
    tool_json_int("threads", g->threads);
    tool_json_str("isa", r->kernel);
    tool_json_num("us", r->us);
    tool_json_num("best_us", r->best_us);
    if (r->early_us > 0.0) {
        tool_json_num("early_us", r->early_us);
    }
    if (g->floor_us > 0.0) {
        tool_json_num("floor_us", g->floor_us);
    }
    if (g->bar_us > 0.0) {
        tool_json_num("bar_us", g->bar_us);
        tool_json_str("peer", g->peer);
    }
    tool_json_str("arithmetic", r->arith);
    tool_json_num("err", r->err);
    tool_json_num("worst", r->worst);
    tool_json_end();
}

/// A text without commas.
static void
text_cell(FILE *file, const char *text)
{
    for (; *text; ++text) {
        fputc(*text == ',' ? ';' : *text, file);
    }
    fputc(',', file);
}

static void
time_cell(FILE *file, double us)
{
    if (us > 0.0) {
        fprintf(file, "%.2f", us);
    }
    fputc(',', file);
}

void
tool_figures_csv(const struct tool_figures *f, FILE *file)
{
    fprintf(file, "machine,load,op,isa,m,k,n,threads,us,us_pdl,best_us,floor_us,err\n");
    for (size_t i = 0; i < f->n; ++i) {
        const struct tool_figure *g = &f->list[i];
        const struct tool_bench_result *r = &g->result;
        text_cell(file, f->machine);
        fprintf(file, "%.1f,%s,", f->load, g->op.name);
        text_cell(file, r->kernel);
        fprintf(file, "%lld,%lld,%lld,%d,", (long long)g->m, (long long)g->k, (long long)g->n,
                g->threads);
        time_cell(file, r->us);
        time_cell(file, r->early_us);
        time_cell(file, r->best_us);
        time_cell(file, g->floor_us);
        fprintf(file, "%.1e\n", r->err);
    }
}
