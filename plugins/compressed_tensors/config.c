// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "../common/field.h"
#include "../common/layer.h"
#include "ct.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/// Reads the quantization section of compressed-tensors checkpoints, of new and old writers.

static const char name[] = "compressed-tensors";

enum { MAX_GROUPS = 256, WHERE_SIZE = 128 };

static const struct {
    const char *text;
    enum ct_format format;
} formats[] = {
    {"dense", CT_FORMAT_DENSE},
    {"int-quantized", CT_FORMAT_INT},
    {"float-quantized", CT_FORMAT_FLOAT},
    {"naive-quantized", CT_FORMAT_NAIVE},
    {"pack-quantized", CT_FORMAT_PACK},
    {"nvfp4-pack-quantized", CT_FORMAT_NVFP4},
    {"mxfp4-pack-quantized", CT_FORMAT_MXFP4},
    {"mxfp8-quantized", CT_FORMAT_MXFP8},
    {"mixed-precision", CT_FORMAT_MIXED},
    {"fakequant", CT_FORMAT_NONE}, // what the library writes for a format that was never set
};

const char *
ct_format_name(enum ct_format format)
{
    for (size_t i = 0; i < sizeof(formats) / sizeof(*formats); i++) {
        if (formats[i].format == format && format != CT_FORMAT_NONE) {
            return formats[i].text;
        }
    }
    return "without format";
}

int32_t
ct_format_parse(const struct dlq_fields *f, const char *key, enum ct_format *out)
{
    const char *text = NULL;
    const int32_t status = dlq_field_str(f, key, &text);
    if (status != DLQ_OK || !text) {
        return status;
    }
    for (size_t i = 0; i < sizeof(formats) / sizeof(*formats); i++) {
        if (strcasecmp(text, formats[i].text) == 0) {
            *out = formats[i].format;
            return DLQ_OK;
        }
    }
    char clip[DLQ_CLIP_SIZE];
    dlq_text_clip(text, clip);
    if (strcasecmp(text, "marlin-24") == 0 || strncasecmp(text, "sparse-", 7) == 0) {
        return f->host->fail(f->err, DLQ_EUNSUPPORTED,
                             "%s%s: '%s' is 2:4 sparsity, which has no kernel; a checkpoint saved "
                             "as pack-quantized or int-quantized would run",
                             f->where, key, clip);
    }
    return dlq_field_fail(f, key,
                          "'%s' is unknown; dense, int-, float-, naive-, pack-, "
                          "nvfp4-pack-, mxfp4-pack-, mxfp8-quantized and mixed-precision "
                          "are accepted",
                          clip);
}

int32_t
ct_patterns_parse(const struct dlq_fields *f, const char *key, struct ct_patterns *out)
{
    const struct dlq_host *const host = f->host;
    const struct dlq_json *list = NULL;
    size_t n = 0;
    const int32_t found = dlq_field_texts(f, key, &list, &n);
    if (found != DLQ_OK || n == 0) {
        return found;
    }
    out->items = dlq_host_calloc(host, n * sizeof(*out->items), f->err);
    if (!out->items) {
        return DLQ_ENOMEM;
    }
    for (out->n = 0; out->n < n; out->n++) {
        struct ct_pattern *const p = &out->items[out->n];
        const int32_t status = dlq_field_element(f, key, list, out->n, &p->text);
        if (status != DLQ_OK) {
            return status;
        }
        if (strncmp(p->text, "re:", 3) == 0) {
            char why[160];
            p->regex = ct_regex_compile(host, p->text + 3, why, sizeof(why));
            if (!p->regex && why[0] == '\0') {
                return host->fail(f->err, DLQ_ENOMEM, "no memory for a pattern");
            }
            if (!p->regex) {
                char clip[DLQ_CLIP_SIZE];
                return host->fail(f->err, DLQ_ECONFIG, "%s%s/%zu: '%s': %s", f->where, key, out->n,
                                  dlq_text_clip(p->text, clip), why);
            }
        }
    }
    return DLQ_OK;
}

static bool
is_attention(const char *target)
{
    const size_t len = strlen(target);
    return len >= 9 && strcmp(target + len - 9, "Attention") == 0;
}

static int32_t
parse_targets(const struct dlq_fields *f, const char *key, struct ct_group *g)
{
    const int32_t status = ct_patterns_parse(f, key, &g->targets);
    if (status != DLQ_OK) {
        return status;
    }
    if (g->targets.n == 0) {
        return dlq_field_fail(f, key, "at least one target is expected");
    }
    g->attention = true;
    for (size_t i = 0; i < g->targets.n; i++) {
        g->attention = g->attention && is_attention(g->targets.items[i].text);
    }
    return DLQ_OK;
}

// The arguments of one side of a scheme, under "<where><key>/".
static int32_t
parse_args(const struct dlq_fields *f, const char *key, struct ct_args *out)
{
    char where[WHERE_SIZE + 32];
    snprintf(where, sizeof(where), "%s%s/", f->where, key);
    return ct_args_parse(f, where, dlq_field_get(f, key), out);
}

static int32_t
parse_scheme(const struct dlq_fields *f, struct ct_group *g)
{
    static const char *const known[] = {
        "targets", "weights", "input_activations", "output_activations", "format", NULL};
    int32_t status = parse_targets(f, "targets", g);
    status = status == DLQ_OK ? parse_args(f, "weights", &g->weights) : status;
    status = status == DLQ_OK ? parse_args(f, "input_activations", &g->input) : status;
    status = status == DLQ_OK ? parse_args(f, "output_activations", &g->output) : status;
    status = status == DLQ_OK ? ct_format_parse(f, "format", &g->format) : status;
    if (status == DLQ_OK && g->format == CT_FORMAT_MIXED) {
        return dlq_field_fail(f, "format", "mixed-precision stands at the top only");
    }
    if (status == DLQ_OK && g->input.present && g->input.strategy == CT_CHANNEL) {
        return dlq_field_fail(f, "input_activations", "strategy channel is for weights only");
    }
    if (status == DLQ_OK && g->weights.present && g->weights.dynamic != CT_STATIC) {
        return dlq_field_fail(f, "weights", "weights cannot be dynamic");
    }
    if (status == DLQ_OK) {
        dlq_field_warn_unknown(f, known);
    }
    return status;
}

static int32_t
parse_group(const struct dlq_fields *top, const struct dlq_json *groups, size_t index,
            struct ct_group *g)
{
    const struct dlq_host *const host = top->host;
    const struct dlq_json *const node = host->json_at(groups, index);
    char clip[DLQ_CLIP_SIZE];
    char where[WHERE_SIZE];
    g->name = host->json_key(groups, index);
    snprintf(where, sizeof(where), "/config_groups/%s/", dlq_text_clip(g->name, clip));
    struct dlq_fields f = *top;
    f.where = where;
    f.node = node;
    if (host->json_type(node) == DLQ_JSON_OBJECT) {
        return parse_scheme(&f, g);
    }
    where[strlen(where) - 1] = '\0';
    if (host->json_type(node) != DLQ_JSON_ARRAY) {
        return dlq_field_fail(&f, "",
                              "a scheme or the targets of a preset are expected, %s was "
                              "found",
                              dlq_field_type_name(host->json_type(node)));
    }
    g->preset = true;
    if (!ct_preset_find(g->name, g)) {
        return dlq_field_fail(&f, "", "there is no preset of that name");
    }
    // The member of config_groups is the list of targets itself.
    f.node = groups;
    f.where = "/config_groups/";
    return parse_targets(&f, g->name, g);
}

// Formats that imply how scales are stored, whether or not scale_dtype says so.
static void
settle_scales(struct ct_group *g, enum ct_format top)
{
    const enum ct_format format = g->format != CT_FORMAT_NONE ? g->format : top;
    struct ct_args *const sides[] = {&g->weights, &g->input};
    for (size_t i = 0; i < sizeof(sides) / sizeof(*sides); i++) {
        const bool grouped = sides[i]->group > 0 && sides[i]->type == CT_FLOAT;
        if (grouped && (format == CT_FORMAT_MXFP4 || format == CT_FORMAT_MXFP8)) {
            sides[i]->scale = CT_SCALE_U8;
        } else if (grouped && format == CT_FORMAT_NVFP4) {
            sides[i]->scale = CT_SCALE_E4M3;
        }
    }
}

static int32_t
parse_groups(const struct dlq_fields *f, struct ct_config *config)
{
    const struct dlq_host *const host = f->host;
    const struct dlq_json *const groups = dlq_field_get(f, "config_groups");
    if (!groups || host->json_type(groups) != DLQ_JSON_OBJECT) {
        return dlq_field_fail(f, "config_groups", "an object is expected, %s was found",
                              groups ? dlq_field_type_name(host->json_type(groups)) : "nothing");
    }
    const size_t n = host->json_size(groups);
    if (n > MAX_GROUPS) {
        return dlq_field_fail(f, "config_groups", "%zu groups; at most %d are accepted", n,
                              MAX_GROUPS);
    }
    if (n == 0) {
        return DLQ_OK;
    }
    config->groups = dlq_host_calloc(host, n * sizeof(*config->groups), f->err);
    if (!config->groups) {
        return DLQ_ENOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        config->n_groups = i + 1;
        const int32_t status = parse_group(f, groups, i, &config->groups[i]);
        if (status != DLQ_OK) {
            return status;
        }
        settle_scales(&config->groups[i], config->format);
    }
    return DLQ_OK;
}

// Sections that change results and that no scheme here understands.
static int32_t
check_sections(const struct dlq_fields *f)
{
    const struct dlq_host *const host = f->host;
    const struct dlq_json *const transform = dlq_field_get(f, "transform_config");
    const struct dlq_json *const groups = host->json_get(transform, "/config_groups");
    const bool empty =
        host->json_type(transform) == DLQ_JSON_OBJECT &&
        (host->json_size(transform) == 0 || (groups && host->json_size(groups) == 0));
    if (transform && !empty) {
        return host->fail(f->err, DLQ_EUNSUPPORTED,
                          "/transform_config: transforms of activations are not supported; null or "
                          "{} is accepted");
    }
    const struct dlq_json *const sparsity = dlq_field_get(f, "sparsity_config");
    const struct dlq_json *const targets = host->json_get(sparsity, "/targets");
    const char *format = "dense";
    host->json_str(host->json_get(sparsity, "/format"), &format, NULL);
    if (sparsity && (host->json_size(targets) > 0 || strcmp(format, "dense") != 0)) {
        char clip[DLQ_CLIP_SIZE];
        return host->fail(f->err, DLQ_EUNSUPPORTED,
                          "/sparsity_config: format '%s' with %zu targets: sparse weights are not "
                          "supported; null, {} or format dense without targets is accepted",
                          dlq_text_clip(format, clip), host->json_size(targets));
    }
    return DLQ_OK;
}

// Switches of this plugin, which no writer sets.
static int32_t
parse_switches(const struct dlq_fields *f, struct ct_config *config)
{
    const char *targets = "dlquant";
    const char *fused = "all";
    const char *packing = "by width";
    int32_t status = dlq_field_str(f, "targets", &targets);
    status = status == DLQ_OK ? dlq_field_str(f, "fused", &fused) : status;
    status = status == DLQ_OK ? dlq_field_str(f, "packing", &packing) : status;
    config->vllm_order = strcmp(targets, "vllm") == 0;
    config->fused_any = strcmp(fused, "any") == 0;
    config->packing_padded = strcmp(packing, "padded") == 0;
    config->packing_dense = strcmp(packing, "dense") == 0;
    return status;
}

static int32_t
check_method_name(const struct dlq_fields *f)
{
    const char *method = name;
    const int32_t status = dlq_field_str(f, "quant_method", &method);
    if (status != DLQ_OK || strcasecmp(method, name) == 0 ||
        strcasecmp(method, "compressed_tensors") == 0) {
        return status;
    }
    char clip[DLQ_CLIP_SIZE];
    return dlq_field_fail(f, "quant_method", "'%s' was found; compressed-tensors is accepted",
                          dlq_text_clip(method, clip));
}

int32_t
ct_config_parse(const struct dlq_host *host, const char *text, size_t len, struct ct_config *config,
                struct dlq_error *err)
{
    static const char *const known[] = {
        "quant_method",
        "config_groups",
        "format",
        "ignore",
        "kv_cache_scheme",
        "run_compressed",
        "sparsity_config",
        "transform_config",
        "total_num_heads",
        "quantization_status",
        "global_compression_ratio",
        "total_num_kv_heads",
        "version",
        "targets",
        "fused",
        "packing",
        NULL,
    };
    if (len == 0) {
        return host->fail(err, DLQ_ECONFIG,
                          "none was found; a quantization section with config_groups is expected");
    }
    int32_t status = host->json_parse(host->ctx, text, len, &config->root, err);
    if (status != DLQ_OK) {
        return status;
    }
    const struct dlq_fields f = {host, config->root, name, "/", err};
    if (host->json_type(config->root) != DLQ_JSON_OBJECT) {
        return host->fail(err, DLQ_ECONFIG, "/: an object is expected, %s was found",
                          dlq_field_type_name(host->json_type(config->root)));
    }
    status = check_method_name(&f);
    status = status == DLQ_OK ? ct_format_parse(&f, "format", &config->format) : status;
    status = status == DLQ_OK ? check_sections(&f) : status;
    status = status == DLQ_OK ? parse_groups(&f, config) : status;
    status = status == DLQ_OK ? ct_patterns_parse(&f, "ignore", &config->ignore) : status;
    status = status == DLQ_OK ? ct_kv_cache_parse(&f, &config->kv_cache) : status;
    status = status == DLQ_OK ? parse_switches(&f, config) : status;
    if (status == DLQ_OK) {
        dlq_field_warn_unknown(&f, known);
    }
    return status;
}

static void
clear_patterns(const struct dlq_host *host, struct ct_patterns *patterns)
{
    for (size_t i = 0; i < patterns->n; i++) {
        ct_regex_free(host, patterns->items[i].regex);
    }
    dlq_host_free(host, patterns->items);
}

void
ct_config_clear(const struct dlq_host *host, struct ct_config *config)
{
    for (size_t i = 0; i < config->n_groups; i++) {
        clear_patterns(host, &config->groups[i].targets);
    }
    clear_patterns(host, &config->ignore);
    dlq_host_free(host, config->groups);
    host->json_free(host->ctx, config->root);
    memset(config, 0, sizeof(*config));
}
