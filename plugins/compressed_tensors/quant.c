// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "../common/field.h"
#include "../common/gpu.h"
#include "../common/layer.h"
#include "ct.h"

#include <stdio.h>
#include <string.h>

/// The configuration as the host sees it: made, asked for each layer, described, destroyed.

static const char name[] = "compressed-tensors";

enum { WHERE_SIZE = 128 };

static int32_t
config_create(void *ctx, const struct dlq_host *host, const char *text, size_t len, void **out,
              struct dlq_error *err)
{
    (void)ctx;
    struct ct_config *const config = dlq_host_calloc(host, sizeof(*config), err);
    if (!config) {
        return DLQ_ENOMEM;
    }
    const int32_t status = ct_config_parse(host, text, len, config, err);
    if (status != DLQ_OK) {
        ct_config_clear(host, config);
        dlq_host_free(host, config);
        return status;
    }
    *out = config;
    return DLQ_OK;
}

static void
report_unmatched(const struct dlq_host *host, const char *where, const struct ct_patterns *patterns)
{
    for (size_t i = 0; i < patterns->n; i++) {
        if (!patterns->items[i].hit) {
            char clip[DLQ_CLIP_SIZE];
            dlq_host_log(host, DLQ_LOG_INFO, "%s: %s/%zu: '%s' matched no layer", name, where, i,
                         dlq_text_clip(patterns->items[i].text, clip));
        }
    }
}

static void
config_destroy(void *config, const struct dlq_host *host)
{
    struct ct_config *const c = config;
    if (c->asked) {
        report_unmatched(host, "/ignore", &c->ignore);
    }
    for (size_t i = 0; c->asked && i < c->n_groups; i++) {
        char where[WHERE_SIZE];
        char clip[DLQ_CLIP_SIZE];
        snprintf(where, sizeof(where), "/config_groups/%s/targets",
                 dlq_text_clip(c->groups[i].name, clip));
        if (!c->groups[i].attention) {
            report_unmatched(host, where, &c->groups[i].targets);
        }
    }
    ct_config_clear(host, c);
    dlq_host_free(host, c);
}

static size_t
count_unmatched(const struct ct_patterns *patterns)
{
    size_t n = 0;
    for (size_t i = 0; i < patterns->n; i++) {
        n += !patterns->items[i].hit;
    }
    return n;
}

/// Text that grows in a buffer of any size, counted as snprintf() does.
struct line {
    char *buf;
    size_t size;
    size_t used;
};

static void
name_unmatched(struct line *l, const char *group, const struct ct_patterns *patterns)
{
    for (size_t i = 0; i < patterns->n; i++) {
        if (!patterns->items[i].hit) {
            char clip[DLQ_CLIP_SIZE];
            const bool room = l->used < l->size;
            const int n = snprintf(room ? l->buf + l->used : NULL, room ? l->size - l->used : 0,
                                   " %s%s%s/%zu '%s'", group ? "/config_groups/" : "/ignore",
                                   group ? group : "", group ? "/targets" : "", i,
                                   dlq_text_clip(patterns->items[i].text, clip));
            l->used += n > 0 ? (size_t)n : 0;
        }
    }
}

static int32_t
config_describe(const void *config, char *buf, size_t size)
{
    const struct ct_config *const c = config;
    char groups[400] = "";
    size_t used = 0;
    size_t unmatched = count_unmatched(&c->ignore);
    for (size_t i = 0; i < c->n_groups; i++) {
        char weights[96];
        char input[96];
        char clip[DLQ_CLIP_SIZE];
        unmatched += count_unmatched(&c->groups[i].targets);
        if (used < sizeof(groups)) {
            const int n =
                snprintf(groups + used, sizeof(groups) - used, "%s%s: %s, activations %s",
                         i > 0 ? "; " : "", dlq_text_clip(c->groups[i].name, clip),
                         ct_args_describe(&c->groups[i].weights, weights, sizeof(weights)),
                         ct_args_describe(&c->groups[i].input, input, sizeof(input)));
            used += n > 0 ? (size_t)n : 0;
        }
    }
    const int head = snprintf(
        buf, size, "compressed-tensors %s; %s; %zu ignored (%zu patterns matched nothing%s)",
        ct_format_name(c->format), c->n_groups > 0 ? groups : "no groups", c->ignore.n, unmatched,
        !c->asked       ? " yet"
        : unmatched > 0 ? ":"
                        : "");
    struct line l = {.buf = buf, .size = size, .used = head > 0 ? (size_t)head : 0};
    if (c->asked && unmatched > 0) {
        l.used -= 1; // the names stand inside the parenthesis
        name_unmatched(&l, NULL, &c->ignore);
        for (size_t i = 0; i < c->n_groups; i++) {
            char clip[DLQ_CLIP_SIZE];
            name_unmatched(&l, dlq_text_clip(c->groups[i].name, clip), &c->groups[i].targets);
        }
        const bool room = l.used < l.size;
        l.used += (size_t)snprintf(room ? buf + l.used : NULL, room ? size - l.used : 0, ")");
    }
    return (int32_t)l.used;
}

static int32_t
refuse(const struct dlq_host *host, struct dlq_decision *out, const struct dlq_error *why,
       struct dlq_error *err)
{
    out->answer = DLQ_UNSUPPORTED;
    host->fail(err, DLQ_EUNSUPPORTED, "%s", why->msg);
    return DLQ_OK;
}

static int32_t
config_get_quant_method(void *config, const struct dlq_host *host,
                        const struct dlq_layer_info *info, struct dlq_decision *out,
                        struct dlq_error *err)
{
    struct ct_config *const c = config;
    struct ct_match match;
    struct dlq_error why = DLQ_ERROR_INIT;
    c->asked = true;
    out->scheme[0] = '\0';
    const int32_t status = ct_match_layer(c, host, info, &match, &why);
    memcpy(out->rule, match.rule, sizeof(out->rule));
    if (status != DLQ_OK) {
        return refuse(host, out, &why, err);
    }
    if (!match.group) {
        out->answer = DLQ_NOT_QUANTIZED;
        return DLQ_OK;
    }
    ct_scheme_describe(match.group, out->scheme, sizeof(out->scheme));
    char reason[256];
    const enum ct_storage storage = ct_storage_of(match.group, c->format, info);
    const struct ct_scheme_ops *ops =
        ct_scheme_choose(match.group, storage, reason, sizeof(reason));
    if (!ops) {
        host->fail(&why, DLQ_EUNSUPPORTED, "%s: %s: %s", info->prefix, match.group->name, reason);
        return refuse(host, out, &why, err);
    }
    ops = dlq_gpu_is(info) && dlq_kg_available() ? ops->gpu : ops;
    struct ct_layer *const layer = dlq_host_calloc(host, ops->size, err);
    if (!layer) {
        return DLQ_ENOMEM;
    }
    layer->ops = ops;
    layer->config = c;
    layer->group = match.group;
    layer->storage = storage;
    layer->act_dtype = info->act_dtype;
    layer->n_threads = host->n_threads(host->ctx);
    layer->cpu_flags = info->device.cpu_flags;
    layer->k = info->input_size_per_partition;
    layer->whole_k = info->input_size;
    out->answer = DLQ_METHOD;
    out->ops = &ct_method_ops;
    out->method = layer;
    return DLQ_OK;
}

static const char *const filenames[] = {"config.json", NULL};

const struct dlq_quant_config_ops ct_config_ops = {
    .struct_size = DLQ_SIZE_UPTO(struct dlq_quant_config_ops, destroy),
    .act_dtypes = DLQ_ACT_F16 | DLQ_ACT_BF16 | DLQ_ACT_F32,
    .devices = dlq_gpu_devices,
    .config_filenames = filenames,
    .create = config_create,
    .get_quant_method = config_get_quant_method,
    .describe = config_describe,
    .destroy = config_destroy,
};
