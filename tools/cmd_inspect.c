// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "model.h"
#include "output.h"
#include "planned.h"
#include "tool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/// dlquant inspect: what a checkpoint holds, from its headers.

/// Layers that share a line.
struct line {
    const struct tool_layer *layer;
    const struct tool_planned *planned;
    size_t count;
    uint64_t bytes;
};

static bool
same_line(const struct line *line, const struct tool_layer *layer, const struct tool_planned *p)
{
    return line->layer->k == layer->k && line->layer->n == layer->n &&
           line->layer->kind == layer->kind && strcmp(line->layer->label, layer->label) == 0 &&
           line->planned->status == p->status && strcmp(line->planned->method, p->method) == 0 &&
           strcmp(line->planned->e.scheme, p->e.scheme) == 0;
}

static void
print_layers(const struct tool_model *model, const struct tool_planned *planned)
{
    static const char *const columns[] = {"layer",  "kind",   ">count",   ">N x K", "method",
                                          "scheme", "kernel", ">on disk", NULL};
    struct line *lines = tool_alloc(model->n_layers, sizeof(*lines));
    size_t n_lines = 0;
    for (size_t i = 0; i < model->n_layers; ++i) {
        // Models repeat their blocks, so that the line is nearly always one of the last.
        size_t l = n_lines;
        while (l > 0 && !same_line(&lines[l - 1], &model->layers[i], &planned[i])) {
            --l;
        }
        if (l == 0) {
            lines[n_lines] = (struct line){&model->layers[i], &planned[i], 0, 0};
            l = ++n_lines;
        }
        ++lines[l - 1].count;
        lines[l - 1].bytes += model->layers[i].bytes;
    }
    struct tool_table *t = tool_table_new(columns);
    for (size_t l = 0; l < n_lines; ++l) {
        const struct tool_planned *p = lines[l].planned;
        tool_table_cell(t, "%s", lines[l].layer->label);
        tool_table_cell(t, "%s", tool_kind_name(lines[l].layer->kind));
        tool_table_cell(t, "%zu", lines[l].count);
        tool_table_cell(t, "%lld x %lld", (long long)lines[l].layer->n,
                        (long long)lines[l].layer->k);
        tool_table_cell(t, "%s", p->status == DLQ_OK ? p->method : "UNSUPPORTED");
        tool_table_cell(t, "%s", p->e.scheme);
        tool_table_cell(t, "%s", p->e.kernel);
        tool_table_cell(t, "%s", tool_bytes(lines[l].bytes));
    }
    tool_table_print(t);
    free(lines);
}

static void
explain_all(const struct tool_session *s, const struct tool_planned *planned)
{
    const struct tool_model *model = s->model;
    printf("\nconfiguration:\n");
    for (size_t i = 0; dlq_checkpoint_trace(s->ckpt, i); ++i) {
        tool_print_line(stdout, "  %s", dlq_checkpoint_trace(s->ckpt, i));
    }
    char text[2048];
    if (s->config && dlq_quant_config_describe(s->config, text, sizeof(text)) > 0) {
        tool_print_line(stdout, "  %s", text);
    }
    printf("\nlayers:\n");
    for (size_t i = 0; i < model->n_layers; ++i) {
        const struct tool_planned *p = &planned[i];
        tool_print_line(stdout, "  %s: %s", model->layers[i].prefix,
                        p->status == DLQ_OK ? p->rule : p->err.msg);
        if (p->e.note[0]) {
            tool_print_line(stdout, "      %s", p->e.note);
        }
    }
    printf("\nno linear layers:\n");
    for (size_t i = 0; i < model->n_skipped; ++i) {
        tool_print_line(stdout, "  %s: %s, %s", model->skipped[i].name, model->skipped[i].reason,
                        tool_bytes(model->skipped[i].bytes));
    }
}

static void
print_json(const struct tool_model *model, const struct tool_planned *planned)
{
    for (size_t i = 0; i < model->n_layers; ++i) {
        const struct tool_layer *layer = &model->layers[i];
        const struct tool_planned *p = &planned[i];
        tool_json_begin();
        tool_json_str("layer", layer->prefix);
        tool_json_str("kind", tool_kind_name(layer->kind));
        tool_json_int("k", layer->k);
        tool_json_int("n", layer->n);
        tool_json_open("parts", '[');
        for (int32_t part = 0; part < layer->n_parts; ++part) {
            tool_json_int(NULL, layer->sizes[part]);
        }
        tool_json_close(']');
        tool_json_bool("fused_on_disk", layer->fused_on_disk);
        tool_json_bool("bias", layer->has_bias);
        tool_json_int("tensors", layer->n_tensors);
        tool_json_int("bytes", (int64_t)layer->bytes);
        tool_json_bool("ok", p->status == DLQ_OK);
        if (p->status == DLQ_OK) {
            tool_json_str("method", p->method);
            tool_json_str("scheme", p->e.scheme);
            tool_json_str("kernel", p->e.kernel);
            tool_json_str("rule", p->rule);
        } else {
            tool_json_str("why", p->err.msg);
        }
        tool_json_end();
    }
}

/// The sums; returns the number of layers that cannot run.
static size_t
print_sums(const struct tool_session *s, const struct tool_planned *planned, const char *path,
           bool json)
{
    const struct tool_model *model = s->model;
    size_t refused = 0;
    uint64_t linear = 0, rest = 0;
    for (size_t i = 0; i < model->n_layers; ++i) {
        refused += planned[i].status != DLQ_OK;
        linear += model->layers[i].bytes;
    }
    for (size_t i = 0; i < model->n_skipped; ++i) {
        rest += model->skipped[i].bytes;
    }
    const char *method = s->source.quant_method[0] ? s->source.quant_method : "none";
    const char *plugin = s->config ? dlq_quant_config_name(s->config) : NULL;
    if (json) {
        tool_json_begin();
        tool_json_str("path", path);
        tool_json_str("quant_method", method);
        tool_json_str("plugin", plugin);
        tool_json_str("config_file", s->source.file);
        tool_json_str("config_pointer", s->source.pointer);
        tool_json_int("tensors", (int64_t)dlq_checkpoint_n_tensors(s->ckpt));
        tool_json_int("layers", (int64_t)model->n_layers);
        tool_json_int("unsupported", (int64_t)refused);
        tool_json_int("linear_bytes", (int64_t)linear);
        tool_json_int("other_bytes", (int64_t)rest);
        tool_json_end();
        return refused;
    }
    printf("\n%zu tensors, %zu linear layers of %s, %s in other tensors\n",
           dlq_checkpoint_n_tensors(s->ckpt), model->n_layers, tool_bytes(linear),
           tool_bytes(rest));
    tool_print_line(stdout, "quant_method %s%s%s%s%s%s%s", method, s->source.file ? " from " : "",
                    s->source.file ? s->source.file : "", s->source.file ? " " : "",
                    s->source.file && s->source.pointer ? s->source.pointer : "",
                    plugin ? ", run by plugin " : "", plugin ? plugin : "");
    return refused;
}

static int
cmd_inspect(const struct tool_options *opt)
{
    struct tool_session s;
    int rc = tool_session_open(&s, opt);
    if (rc != TOOL_OK) {
        tool_session_close(&s);
        return rc;
    }
    struct dlq_error err = DLQ_ERROR_INIT;
    const int32_t status = tool_session_configure(&s, opt, &err);
    struct tool_planned *planned = tool_alloc(s.model->n_layers, sizeof(*planned));
    for (size_t i = 0; i < s.model->n_layers; ++i) {
        if (status == DLQ_OK) {
            tool_plan_layer(&s, opt, &s.model->layers[i], 0, 1, NULL, &planned[i]);
        } else {
            planned[i].status = status;
            planned[i].err = err;
        }
    }
    if (opt->json) {
        print_json(s.model, planned);
    } else {
        print_layers(s.model, planned);
    }
    if (opt->explain && !opt->json) {
        explain_all(&s, planned);
    }
    const size_t refused = print_sums(&s, planned, opt->path, opt->json);
    if (status != DLQ_OK) {
        rc = tool_report(&err, TOOL_STAGE_METHOD);
    } else if (refused > 0) {
        size_t i = 0;
        while (planned[i].status == DLQ_OK) {
            ++i;
        }
        rc = tool_report(&planned[i].err, TOOL_STAGE_METHOD);
    }
    free(planned);
    tool_session_close(&s);
    return rc;
}

const struct tool_command tool_cmd_inspect = {
    .name = "inspect",
    .usage = "CKPT [--explain] [--device cpu|cuda|sm80|sm90] [--dtype fp16|bf16|fp32] [--no-fuse] "
             "[--json]",
    .summary = "Show method, scheme and rule of every linear layer, from the headers alone",
    .options = "device dtype explain json no-fuse plugin-dir ",
    .run = cmd_inspect,
};
