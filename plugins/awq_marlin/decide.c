// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "../common/field.h"
#include "../common/layer.h"
#include "awq_marlin.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/// Which layers are quantized: the checkpoint's headers first, then the list, then lm_head's flag.

enum verdict { PLAIN, QUANTIZED, BROKEN };

static bool
entry_matches(const struct awq_config *config, const char *path, const char *entry)
{
    char buf[DLQ_PATH_SIZE];
    if (config->substring) {
        return entry[0] != '\0' && strstr(path, entry) != NULL;
    }
    for (int i = 0; i < DLQ_PATH_FORMS; i++) {
        const char *const form = dlq_path_form(path, i, buf);
        if (form && dlq_path_has_components(form, entry)) {
            return true;
        }
    }
    return false;
}

// Index of the first entry that matches; n_skip when none does. All that match are marked.
static size_t
find_skip(struct awq_config *config, const char *path)
{
    size_t first = config->n_skip;
    for (size_t i = 0; i < config->n_skip; i++) {
        if (entry_matches(config, path, config->skip[i].entry)) {
            config->skip[i].hit = true;
            first = first < i ? first : i;
        }
    }
    return first;
}

static bool
is_lm_head(const struct dlq_layer_info *info, const char *path)
{
    return strcmp(dlq_path_last(path), "lm_head") == 0 ||
           strcmp(info->class_name, "ParallelLMHead") == 0;
}

// By the configuration alone.
static enum verdict
decide_by_list(struct awq_config *config, const struct dlq_layer_info *info, const char *path,
               char *rule, size_t size)
{
    // An entry that names the fused layer speaks for all of its parts.
    const size_t part = find_skip(config, path);
    const size_t whole = find_skip(config, info->prefix);
    const size_t i = part < whole ? part : whole;
    if (i < config->n_skip) {
        char clip[DLQ_CLIP_SIZE];
        snprintf(rule, size, "/modules_to_not_convert/%zu '%s' by %s", i,
                 dlq_text_clip(config->skip[i].entry, clip),
                 config->substring ? "substring" : "components");
        return PLAIN;
    }
    if (is_lm_head(info, path) && !config->lm_head) {
        snprintf(rule, size, "/lm_head is false");
        return PLAIN;
    }
    snprintf(rule, size, "no entry of /modules_to_not_convert matches");
    return QUANTIZED;
}

// Unsharded outputs of the tensor that `e` describes.
static int64_t
outputs_of(const struct dlq_layer_info *info, int32_t part, const struct dlq_evidence *e)
{
    return e->part == -1 && info->n_parts > 1 ? info->ckpt_output_size
                                              : info->parts[part]->full_size;
}

static bool
has_shape(const struct dlq_evidence *e, int64_t rows, int64_t cols)
{
    return e->ndim == 2 && e->shape[0] == rows && e->shape[1] == cols;
}

static int64_t
dim(const struct dlq_evidence *e, int32_t i)
{
    return i < e->ndim ? e->shape[i] : 0;
}

// A part with qweight: whether its other tensors and all shapes are what the configuration says.
static enum verdict
check_tensors(const struct awq_config *config, const struct dlq_layer_info *info, int32_t part,
              char *rule, size_t size)
{
    const struct dlq_evidence *const qweight = dlq_evidence_find(info, part, "qweight");
    const struct dlq_evidence *const qzeros = dlq_evidence_find(info, part, "qzeros");
    const struct dlq_evidence *const scales = dlq_evidence_find(info, part, "scales");
    char names[160];
    if (!scales || (config->zero_point && !qzeros)) {
        snprintf(rule, size, "headers: '%s' is missing beside qweight; present: %s",
                 scales ? "qzeros" : "scales",
                 dlq_evidence_names(info, part, names, sizeof(names)));
        return BROKEN;
    }
    if (!config->zero_point && qzeros) {
        snprintf(rule, size, "headers: qzeros is present although /zero_point is false");
        return BROKEN;
    }
    const int64_t k = info->input_size;
    const int64_t n = outputs_of(info, part, qweight);
    if (qweight->dtype != DLQ_I32 || !has_shape(qweight, k, n / 8) || n % 8 != 0) {
        snprintf(rule, size,
                 "headers: qweight is %s [%" PRId64 ", %" PRId64 "]; int32 [K %" PRId64
                 ", N %" PRId64 " / 8] is expected%s",
                 dlq_dtype_name(qweight->dtype), dim(qweight, 0), dim(qweight, 1), k, n,
                 has_shape(qweight, n, k / 8) ? " (this is the layout of version gemv)" : "");
        return BROKEN;
    }
    const int64_t group = config->group_size < 0 || config->group_size > k ? k : config->group_size;
    if (k % group == 0 && !has_shape(scales, k / group, n)) {
        snprintf(rule, size,
                 "headers: scales is [%" PRId64 ", %" PRId64 "]; group_size %" PRId64
                 " over K %" PRId64 " makes [%" PRId64 ", %" PRId64 "]",
                 dim(scales, 0), dim(scales, 1), config->group_size, k, k / group, n);
        return BROKEN;
    }
    snprintf(rule, size, "headers: qweight is present");
    return QUANTIZED;
}

static enum verdict
decide_part(struct awq_config *config, const struct dlq_layer_info *info, int32_t part, char *rule,
            size_t size)
{
    const char *const path = info->parts[part]->prefix;
    // Asked in any case, so that entries which match nothing become known.
    const enum verdict by_list = decide_by_list(config, info, path, rule, size);
    if (dlq_evidence_find(info, part, "qweight")) {
        return check_tensors(config, info, part, rule, size);
    }
    if (dlq_evidence_find(info, part, "weight")) {
        snprintf(rule, size, "headers: weight is present, qweight is not");
        return PLAIN;
    }
    return by_list;
}

static const char *
verdict_name(enum verdict v)
{
    return v == QUANTIZED ? "quantized" : v == PLAIN ? "not quantized" : "broken";
}

static int32_t
refuse(const struct dlq_host *host, struct dlq_decision *out, const char *text,
       struct dlq_error *err)
{
    out->answer = DLQ_UNSUPPORTED;
    host->fail(err, DLQ_EUNSUPPORTED, "%s", text);
    return DLQ_OK;
}

// Parts that disagree: one line with each of them.
static int32_t
refuse_mixed(struct awq_config *config, const struct dlq_host *host,
             const struct dlq_layer_info *info, struct dlq_decision *out, struct dlq_error *err)
{
    char text[900];
    int n = snprintf(text, sizeof(text), "%s: fused parts differ:", info->prefix);
    for (int32_t i = 0; i < info->n_parts && n < (int)sizeof(text); i++) {
        char rule[256];
        const enum verdict v = decide_part(config, info, i, rule, sizeof(rule));
        n += snprintf(text + n, sizeof(text) - (size_t)n, "%s %s is %s (%s)", i > 0 ? ";" : "",
                      info->parts[i]->prefix, verdict_name(v), rule);
    }
    snprintf(out->rule, sizeof(out->rule), "fused parts differ");
    return refuse(host, out, text, err);
}

int32_t
awq_decide(struct awq_config *config, const struct dlq_host *host,
           const struct dlq_layer_info *info, struct dlq_decision *out, struct dlq_error *err)
{
    config->asked = true;
    enum verdict verdict = PLAIN;
    for (int32_t i = 0; i < info->n_parts; i++) {
        char rule[sizeof(out->rule)];
        const enum verdict v = decide_part(config, info, i, rule, sizeof(rule));
        if (v == BROKEN) {
            char text[900];
            memcpy(out->rule, rule, sizeof(rule));
            snprintf(text, sizeof(text), "%s: %s", info->parts[i]->prefix, rule);
            return refuse(host, out, text, err);
        }
        if (i == 0) {
            verdict = v;
            memcpy(out->rule, rule, sizeof(rule));
        } else if (v != verdict) {
            return refuse_mixed(config, host, info, out, err);
        }
    }
    out->answer = verdict == PLAIN ? DLQ_NOT_QUANTIZED : DLQ_METHOD;
    out->scheme[0] = '\0';
    if (verdict == QUANTIZED) {
        awq_scheme_name(config, out->scheme, sizeof(out->scheme));
    }
    return DLQ_OK;
}
