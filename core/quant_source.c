// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "quant_source.h"

#include "alloc.h"
#include "config.h"
#include "error.h"
#include "file.h"
#include "json_reader.h"
#include "path.h"
#include "text.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char config_file[] = "config.json";

static const struct {
    const char *pointer;
    const char *path[2];
    size_t depth;
} sections[] = {
    {"/quantization_config", {"quantization_config"}, 1},
    {"/text_config/quantization_config", {"text_config", "quantization_config"}, 2},
    {"/compression_config", {"compression_config"}, 1},
};

// The last is what auto-round writes beside config.json.
static const char *const files[] = {"quantize_config.json", "quant_config.json",
                                    "hf_quant_config.json", "quantization_config.json"};

// The checkpoint formats that can be told by a key when `quant_method` is missing.
static const struct {
    const char *key;
    const char *value; // Its text in any case, or NULL: any value
    const char *method;
} hints[] = {
    {"w_bit", NULL, "awq"},
    {"q_group_size", NULL, "awq"},
    {"version", "gemm", "awq"},
    {"version", "gemv", "awq"},
    {"version", "gemv_fast", "awq"},
    {"desc_act", NULL, "gptq"},
    {"config_groups", NULL, "compressed-tensors"},
    {"quant_algo", NULL, "modelopt"},
};

// Facts of which two hits may tell different things.
static const struct {
    const char *names[3]; // The first that is there counts
} facts[] = {
    {{"bits", "w_bit", "num_bits"}},
    {{"group_size", "q_group_size"}},
};

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

struct fact {
    bool known;
    int64_t value;
};

// A place that holds a section.
struct hit {
    const char *file;
    const char *pointer;
    const struct dlq_json *node; // Only until the file's tree is freed
    char method[64];
    const char *hint; // Key that the method was inferred from, or NULL
    struct fact facts[COUNT(facts)];
};

struct search {
    const struct dlq_allocator *a;
    const struct dlq_quant_place *place;
    struct dlq_trace *trace;
    struct dlq_error *err;
    struct dlq_quant_found *out;
    bool found;
    struct hit first;
};

static int32_t
fail_config(const struct search *s, const char *file, const char *pointer, const char *problem)
{
    return dlq_fail_native(s->err, DLQ_ECONFIG, DLQ_DOMAIN_CHECKPOINT, 0, "%s%s%s: %s", file,
                           *pointer ? ": " : "", pointer, problem);
}

static int32_t
fail_type(const struct search *s, const char *file, const char *pointer,
          const struct dlq_json *node)
{
    char problem[80];
    snprintf(problem, sizeof(problem), "expected an object, found %s",
             dlq_json_type_name(dlq_json_type(node)));
    return fail_config(s, file, pointer, problem);
}

// hf_quant_config.json has its fields one level deeper.
static const struct dlq_json *
field(const struct dlq_json *node, const char *name)
{
    const struct dlq_json *const member = dlq_json_member(node, name);
    return member ? member : dlq_json_member(dlq_json_member(node, "quantization"), name);
}

static int32_t
infer_method(const struct search *s, struct hit *hit)
{
    for (size_t i = 0; i < COUNT(hints); i++) {
        const struct dlq_json *const node = field(hit->node, hints[i].key);
        const char *text = NULL;
        const bool matches =
            node && (!hints[i].value || (dlq_json_str(node, &text, NULL) == DLQ_OK &&
                                         strcasecmp(text, hints[i].value) == 0));
        if (!matches) {
            continue;
        }
        if (hit->hint && strcmp(hit->method, hints[i].method) != 0) {
            char problem[256];
            snprintf(problem, sizeof(problem),
                     "no quant_method, and its keys disagree: %s says %s, %s says %s", hit->hint,
                     hit->method, hints[i].key, hints[i].method);
            return fail_config(s, hit->file, hit->pointer, problem);
        }
        hit->hint = hints[i].key;
        snprintf(hit->method, sizeof(hit->method), "%s", hints[i].method);
    }
    return hit->hint ? DLQ_OK
                     : fail_config(s, hit->file, hit->pointer,
                                   "no quant_method, and no key that tells the method (expected "
                                   "one of w_bit, q_group_size, version, desc_act, config_groups, "
                                   "quant_algo)");
}

static int32_t
resolve_method(const struct search *s, struct hit *hit)
{
    const struct dlq_json *const node = dlq_json_member(hit->node, "quant_method");
    const char *text = NULL;
    size_t len = 0;
    if (dlq_json_type(node) == DLQ_JSON_NULL) {
        return infer_method(s, hit);
    }
    char problem[320];
    if (dlq_json_str(node, &text, &len) != DLQ_OK) {
        snprintf(problem, sizeof(problem), "quant_method: expected a string, found %s",
                 dlq_json_type_name(dlq_json_type(node)));
        return fail_config(s, hit->file, hit->pointer, problem);
    }
    if (len == 0 || len >= sizeof(hit->method) || strlen(text) != len) {
        char quoted[DLQ_QUOTE_SIZE];
        snprintf(problem, sizeof(problem),
                 "quant_method: expected a name of 1 to 63 bytes, found "
                 "'%s'",
                 dlq_quote(quoted, text));
        return fail_config(s, hit->file, hit->pointer, problem);
    }
    memcpy(hit->method, text, len + 1);
    return DLQ_OK;
}

static void
read_facts(struct hit *hit)
{
    for (size_t i = 0; i < COUNT(facts); i++) {
        struct fact *const fact = &hit->facts[i];
        for (size_t k = 0; !fact->known && k < COUNT(facts[i].names); k++) {
            const char *const name = facts[i].names[k];
            fact->known = name && dlq_json_i64(field(hit->node, name), &fact->value) == DLQ_OK;
        }
    }
}

// A line for each fact in which a later hit differs from the first.
static int32_t
report_differences(struct search *s, const struct hit *other)
{
    const struct hit *const first = &s->first;
    char quoted[2][DLQ_QUOTE_SIZE];
    int32_t rc = DLQ_OK;
    if (strcmp(first->method, other->method) != 0) {
        rc = dlq_trace_add(s->trace, s->err, DLQ_LOG_WARN,
                           "quant_method differs: '%s' in %s%s, '%s' in %s%s; the first is used",
                           dlq_quote(quoted[0], first->method), first->file, first->pointer,
                           dlq_quote(quoted[1], other->method), other->file, other->pointer);
    }
    for (size_t i = 0; rc == DLQ_OK && i < COUNT(facts); i++) {
        const struct fact *const x = &first->facts[i];
        const struct fact *const y = &other->facts[i];
        if (x->known && y->known && x->value != y->value) {
            rc = dlq_trace_add(s->trace, s->err, DLQ_LOG_WARN,
                               "%s differs: %lld in %s%s, %lld in %s%s; the first is used",
                               facts[i].names[0], (long long)x->value, first->file, first->pointer,
                               (long long)y->value, other->file, other->pointer);
        }
    }
    return rc;
}

// Takes a hit: `text` is copied when it is the first.
static int32_t
take(struct search *s, struct hit *hit, const char *text, size_t len)
{
    char quoted[DLQ_QUOTE_SIZE];
    int32_t rc = resolve_method(s, hit);
    if (rc == DLQ_OK) {
        rc = dlq_trace_add(s->trace, s->err, DLQ_LOG_DEBUG, "%s%s: %s, quant_method %s%s%s%s",
                           hit->file, hit->pointer, s->found ? "ignored" : "found",
                           dlq_quote(quoted, hit->method), hit->hint ? " (inferred from " : "",
                           hit->hint ? hit->hint : "", hit->hint ? ")" : "");
    }
    if (rc != DLQ_OK) {
        return rc;
    }
    read_facts(hit);
    if (s->found) {
        return report_differences(s, hit);
    }
    s->found = true;
    s->first = *hit;
    s->out->file = hit->file;
    s->out->pointer = hit->pointer;
    s->out->inferred = hit->hint != NULL;
    s->out->len = len;
    s->out->text = dlq_strndup(s->a, text, len);
    s->out->method = dlq_strdup(s->a, hit->method);
    return s->out->text && s->out->method
               ? DLQ_OK
               : dlq_fail_native(s->err, DLQ_ENOMEM, DLQ_DOMAIN_CHECKPOINT, 0,
                                 "%s: out of memory for its section", hit->file);
}

// Why a place gave nothing.
static int32_t
absent(struct search *s, const char *file, const char *pointer, const char *why)
{
    return dlq_trace_add(s->trace, s->err, DLQ_LOG_DEBUG, "%s%s: %s", file, pointer, why);
}

static int32_t
probe_section(struct search *s, size_t i)
{
    const char *const pointer = sections[i].pointer;
    const struct dlq_json *const node = dlq_json_get(s->place->root, pointer);
    if (dlq_json_type(node) == DLQ_JSON_NULL) {
        return absent(s, config_file, pointer, node ? "null, counts as absent" : "absent");
    }
    if (dlq_json_type(node) != DLQ_JSON_OBJECT) {
        return fail_type(s, config_file, pointer, node);
    }
    struct hit hit = {.file = config_file, .pointer = pointer, .node = node};
    struct dlq_json_span span;
    if (!dlq_json_locate(s->place->config, s->place->len, sections[i].path, sections[i].depth,
                         &span)) {
        return dlq_fail(s->err, DLQ_EINTERNAL, "%s: %s: parsed but not found in the text",
                        config_file, pointer);
    }
    return take(s, &hit, span.at, span.len);
}

// Names one or two edits away: published files have "quantizaion_config" beside the right one.
static int32_t
report_near_misses(struct search *s, const struct dlq_json *object, const char *pointer)
{
    static const char *const names[] = {"quantization_config", "compression_config"};
    int32_t rc = DLQ_OK;
    for (size_t i = 0; rc == DLQ_OK && i < dlq_json_size(object); i++) {
        const char *const key = dlq_json_key(object, i);
        for (size_t k = 0; key && rc == DLQ_OK && k < COUNT(names); k++) {
            const int distance = dlq_edit_distance(key, names[k], 2);
            char quoted[DLQ_QUOTE_SIZE];
            if (distance == 1 || distance == 2) {
                rc = dlq_trace_add(s->trace, s->err, DLQ_LOG_WARN,
                                   "%s%s: the member '%s' resembles %s and is not used",
                                   config_file, pointer, dlq_quote(quoted, key), names[k]);
            }
        }
    }
    return rc;
}

// Once a section has won, a fault in a later one is only worth a warning.
static int32_t
probe(struct search *s, int32_t (*place)(struct search *, size_t), size_t i)
{
    if (!s->found) {
        return place(s, i);
    }
    struct dlq_error *const err = s->err;
    struct dlq_error local = DLQ_ERROR_INIT;
    s->err = &local;
    const int32_t rc = place(s, i);
    s->err = err;
    if (rc == DLQ_OK) {
        return rc;
    }
    if (rc == DLQ_ENOMEM) {
        return dlq_fail_native(err, rc, local.domain, local.native, "%s", local.msg);
    }
    return dlq_trace_add(s->trace, err, DLQ_LOG_WARN, "ignored: %s", local.msg);
}

static int32_t
probe_config(struct search *s)
{
    if (!s->place->config) {
        return s->place->dir ? absent(s, config_file, "", "absent") : DLQ_OK;
    }
    int32_t rc = DLQ_OK;
    for (size_t i = 0; rc == DLQ_OK && i < COUNT(sections); i++) {
        rc = probe(s, probe_section, i);
    }
    if (rc == DLQ_OK) {
        rc = report_near_misses(s, s->place->root, "");
    }
    if (rc == DLQ_OK) {
        rc = report_near_misses(s, dlq_json_member(s->place->root, "text_config"), "/text_config");
    }
    return rc;
}

static int32_t
take_file(struct search *s, const char *file, const struct dlq_json *root, const char *text,
          size_t len)
{
    if (dlq_json_type(root) == DLQ_JSON_NULL) {
        return absent(s, file, "", "null, counts as absent");
    }
    if (dlq_json_type(root) != DLQ_JSON_OBJECT) {
        return fail_type(s, file, "", root);
    }
    struct hit hit = {.file = file, .pointer = "", .node = root};
    return take(s, &hit, text, len);
}

static int32_t
probe_file(struct search *s, size_t i)
{
    char *text = NULL;
    size_t len = 0;
    struct dlq_json *root = NULL;
    char *const path = dlq_path_join(s->a, s->place->dir, files[i]);
    if (!path) {
        return dlq_fail_native(s->err, DLQ_ENOMEM, DLQ_DOMAIN_CHECKPOINT, 0,
                               "%s: out of memory for its path", files[i]);
    }
    int32_t rc = dlq_file_read_optional(s->a, path, DLQ_JSON_MAX_BYTES, &text, &len, s->err);
    if (rc == DLQ_OK && !text) {
        rc = absent(s, files[i], "", "absent");
    } else if (rc == DLQ_OK) {
        rc = dlq_json_parse(s->a, path, text, len, &root, s->err);
        if (rc == DLQ_OK) {
            rc = take_file(s, files[i], root, text, len);
        }
    }
    dlq_json_free(s->a, root);
    dlq_free(s->a, text);
    dlq_free(s->a, path);
    return rc;
}

int32_t
dlq_quant_discover(const struct dlq_allocator *a, const struct dlq_quant_place *place,
                   struct dlq_trace *trace, struct dlq_quant_found *out, struct dlq_error *err)
{
    struct search s = {.a = a, .place = place, .trace = trace, .err = err, .out = out};
    *out = (struct dlq_quant_found){.pointer = ""};
    int32_t rc = probe_config(&s);
    for (size_t i = 0; rc == DLQ_OK && place->dir && i < COUNT(files); i++) {
        rc = probe(&s, probe_file, i);
    }
    if (rc == DLQ_OK && !s.found) {
        out->method = dlq_strdup(a, "");
        rc = out->method ? dlq_trace_add(trace, err, DLQ_LOG_DEBUG,
                                         "no quantization section: the checkpoint is unquantized")
                         : dlq_fail_native(err, DLQ_ENOMEM, DLQ_DOMAIN_CHECKPOINT, 0,
                                           "out of memory for the name of a method");
    }
    if (rc != DLQ_OK) {
        dlq_quant_found_free(a, out);
    }
    return rc;
}

void
dlq_quant_found_free(const struct dlq_allocator *a, struct dlq_quant_found *found)
{
    dlq_free(a, found->method);
    dlq_free(a, found->text);
    *found = (struct dlq_quant_found){.pointer = ""};
}
