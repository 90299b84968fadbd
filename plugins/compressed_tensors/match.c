// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "../common/field.h"
#include "../common/layer.h"
#include "ct.h"

#include <stdio.h>
#include <string.h>

/// Which group a layer belongs to.
///
/// A pattern matches by exact path, by "re:" at the start of the path, or by class, every linear
/// layer being a "Linear". Paths are tried as given, then in the forms of dlq_path_form(); the
/// first form that any pattern hits counts. Ignore comes before targets. Among targets exact beats
/// regex beats class, then the order of the file decides. Fused parts must agree.

enum kind { EXACT, REGEX, CLASS, N_KINDS };

static const char *const kind_names[] = {"exact", "regex", "class"};

/// What one path matched.
struct hit {
    bool ignored;
    bool exact;                   ///< An entry that spells the path out decided
    const struct ct_group *group; ///< NULL with ignored false: no rule
    char rule[256];
};

static bool
matches_kind(const struct ct_pattern *p, enum kind kind, const char *path,
             const struct dlq_layer_info *info)
{
    switch (kind) {
    case EXACT:
        return !p->regex && p->text[0] != '\0' && strcmp(p->text, path) == 0;
    case REGEX:
        return p->regex && ct_regex_match(p->regex, path);
    default:
        return !p->regex &&
               (strcmp(p->text, "Linear") == 0 || strcmp(p->text, info->class_name) == 0);
    }
}

// The first pattern of a list that matches the path in that way; marks every one that does.
static struct ct_pattern *
find_pattern(const struct ct_patterns *patterns, enum kind kind, const char *path,
             const struct dlq_layer_info *info)
{
    struct ct_pattern *found = NULL;
    for (size_t i = 0; i < patterns->n; i++) {
        struct ct_pattern *const p = &patterns->items[i];
        if (matches_kind(p, kind, path, info)) {
            p->hit = true;
            found = found ? found : p;
        }
    }
    return found;
}

static const char *
form_note(int form)
{
    static const char *const notes[] = {"", " with 'model.' changed",
                                        " with 'model.language_model.' changed"};
    return notes[form];
}

static bool
find_ignore(const struct ct_config *config, const struct dlq_layer_info *info, const char *path,
            struct hit *out)
{
    for (int kind = EXACT; kind < N_KINDS; kind++) {
        for (int form = 0; form < (kind == CLASS ? 1 : DLQ_PATH_FORMS); form++) {
            char buf[DLQ_PATH_SIZE];
            const char *const text = dlq_path_form(path, form, buf);
            const struct ct_pattern *const p =
                text ? find_pattern(&config->ignore, (enum kind)kind, text, info) : NULL;
            if (p) {
                char clip[DLQ_CLIP_SIZE];
                snprintf(out->rule, sizeof(out->rule), "/ignore/%td '%s' (%s%s)",
                         p - config->ignore.items, dlq_text_clip(p->text, clip), kind_names[kind],
                         form_note(form));
                out->ignored = true;
                out->exact = kind == EXACT;
                return true;
            }
        }
    }
    return false;
}

static bool
is_lm_head(const struct dlq_layer_info *info, const char *path)
{
    return strcmp(dlq_path_last(path), "lm_head") == 0 ||
           strcmp(info->class_name, "ParallelLMHead") == 0;
}

// Record the first group of that kind; a second one is noted as an overlap.
static bool
note_target(struct hit *out, const struct ct_group *g, const struct ct_pattern *p, enum kind kind,
            int form)
{
    char group[DLQ_CLIP_SIZE];
    char text[DLQ_CLIP_SIZE];
    dlq_text_clip(g->name, group);
    if (!out->group) {
        out->group = g;
        out->exact = kind == EXACT;
        snprintf(out->rule, sizeof(out->rule), "/config_groups/%s/%s%td '%s' (%s%s)", group,
                 g->preset ? "" : "targets/", p - g->targets.items, dlq_text_clip(p->text, text),
                 kind_names[kind], form_note(form));
        return true;
    }
    const size_t used = strlen(out->rule);
    snprintf(out->rule + used, sizeof(out->rule) - used, "; %s matches too", group);
    return true;
}

// Groups that match in one way and form, in the order of the file.
static void
find_groups(const struct ct_config *config, const struct dlq_layer_info *info, const char *path,
            enum kind kind, int form, struct hit *out)
{
    for (size_t i = 0; i < config->n_groups; i++) {
        const struct ct_group *const g = &config->groups[i];
        const struct ct_pattern *const p =
            g->attention ? NULL : find_pattern(&g->targets, kind, path, info);
        // A head is no plain "Linear": only a target that names it counts.
        const bool counts =
            p && !(kind == CLASS && is_lm_head(info, path) && strcmp(p->text, "Linear") == 0);
        if (counts) {
            note_target(out, g, p, kind, form);
        }
    }
}

// vLLM's order: the first group of the file that matches in any way.
static void
find_groups_in_file_order(const struct ct_config *config, const struct dlq_layer_info *info,
                          const char *path, struct hit *out)
{
    for (size_t i = 0; i < config->n_groups && !out->group; i++) {
        struct ct_config one = *config;
        one.groups = &config->groups[i];
        one.n_groups = 1;
        for (int kind = EXACT; kind < N_KINDS && !out->group; kind++) {
            for (int form = 0; form < DLQ_PATH_FORMS && !out->group; form++) {
                char buf[DLQ_PATH_SIZE];
                const char *const text = dlq_path_form(path, form, buf);
                if (text) {
                    find_groups(&one, info, text, (enum kind)kind, form, out);
                }
            }
        }
    }
}

static void
find_target(const struct ct_config *config, const struct dlq_layer_info *info, const char *path,
            struct hit *out)
{
    if (config->vllm_order) {
        find_groups_in_file_order(config, info, path, out);
        return;
    }
    // The first form that an exact text or a regex hits; inside it exact beats regex.
    for (int form = 0; form < DLQ_PATH_FORMS && !out->group; form++) {
        char buf[DLQ_PATH_SIZE];
        const char *const text = dlq_path_form(path, form, buf);
        for (int kind = EXACT; text && kind < CLASS && !out->group; kind++) {
            find_groups(config, info, text, (enum kind)kind, form, out);
        }
    }
    if (!out->group) {
        find_groups(config, info, path, CLASS, 0, out);
    }
}

static void
match_path(const struct ct_config *config, const struct dlq_layer_info *info, const char *path,
           struct hit *out)
{
    *out = (struct hit){0};
    if (!find_ignore(config, info, path, out)) {
        find_target(config, info, path, out);
    }
    if (!out->ignored && !out->group) {
        snprintf(out->rule, sizeof(out->rule), "no rule matches");
    }
}

// An exact entry for the fused name itself speaks for all parts.
static bool
match_whole(const struct ct_config *config, const struct dlq_layer_info *info, struct hit *out)
{
    match_path(config, info, info->prefix, out);
    return out->exact;
}

static bool
same(const struct hit *a, const struct hit *b)
{
    return a->group == b->group && (a->ignored == b->ignored || !a->group);
}

static int32_t
fail_mixed(const struct ct_config *config, const struct dlq_host *host,
           const struct dlq_layer_info *info, struct dlq_error *err)
{
    char text[900];
    int n = snprintf(text, sizeof(text), "%s: fused parts differ:", info->prefix);
    for (int32_t i = 0; i < info->n_parts && n < (int)sizeof(text); i++) {
        struct hit hit;
        char clip[DLQ_CLIP_SIZE];
        match_path(config, info, info->parts[i]->prefix, &hit);
        n += snprintf(text + n, sizeof(text) - (size_t)n, "%s %s is %s by %s", i > 0 ? ";" : "",
                      info->parts[i]->prefix,
                      hit.group ? dlq_text_clip(hit.group->name, clip) : "not quantized", hit.rule);
    }
    return host->fail(err, DLQ_EUNSUPPORTED, "%s", text);
}

// A path comes from the checkpoint, and the time to match it grows with its length.
static int32_t
check_paths(const struct dlq_host *host, const struct dlq_layer_info *info, struct dlq_error *err)
{
    size_t longest = strlen(info->prefix);
    for (int32_t i = 0; i < info->n_parts; i++) {
        const size_t len = strlen(info->parts[i]->prefix);
        longest = len > longest ? len : longest;
    }
    if (longest <= CT_REGEX_MAX_TEXT) {
        return DLQ_OK;
    }
    char clip[DLQ_CLIP_SIZE];
    return host->fail(err, DLQ_EUNSUPPORTED,
                      "%s: a path of %zu bytes was found; at most %d are accepted",
                      dlq_text_clip(info->prefix, clip), longest, CT_REGEX_MAX_TEXT);
}

int32_t
ct_match_layer(struct ct_config *config, const struct dlq_host *host,
               const struct dlq_layer_info *info, struct ct_match *out, struct dlq_error *err)
{
    *out = (struct ct_match){0};
    const int32_t status = check_paths(host, info, err);
    if (status != DLQ_OK) {
        return status;
    }
    struct hit first;
    bool decided = info->n_parts > 1 && match_whole(config, info, &first);
    for (int32_t i = 0; i < info->n_parts && !decided; i++) {
        struct hit hit;
        match_path(config, info, info->parts[i]->prefix, &hit);
        if (i == 0) {
            first = hit;
        } else if (config->fused_any && !first.group && hit.group) {
            first = hit;
        } else if (!config->fused_any && !same(&first, &hit)) {
            snprintf(out->rule, sizeof(out->rule), "fused parts differ");
            return fail_mixed(config, host, info, err);
        }
    }
    out->group = first.group;
    snprintf(out->rule, sizeof(out->rule), "%s", first.rule);
    if (out->group && !out->group->weights.present) {
        const size_t used = strlen(out->rule);
        snprintf(out->rule + used, sizeof(out->rule) - used, "; its weights are not quantized");
        out->group = NULL;
    }
    return DLQ_OK;
}
