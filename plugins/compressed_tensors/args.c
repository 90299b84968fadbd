// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "../common/field.h"
#include "ct.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/// Quantization arguments, normalised as the format's own library does.

struct word {
    const char *text;
    int value;
};

static const struct word types[] = {{"int", CT_INT}, {"float", CT_FLOAT}, {NULL, 0}};

static const struct word strategies[] = {
    {"tensor", CT_TENSOR},       {"channel", CT_CHANNEL},
    {"group", CT_GROUP},         {"tensor_group", CT_TENSOR_GROUP},
    {"block", CT_BLOCK},         {"token", CT_TOKEN},
    {"attn_head", CT_ATTN_HEAD}, {NULL, 0},
};

static const char *
word_of(const struct word *words, int value)
{
    while (words->text && words->value != value) {
        words++;
    }
    return words->text ? words->text : "?";
}

// A word of a list, in any case. `*out` stays as it is when the field is absent.
static int32_t
read_word(const struct dlq_fields *f, const char *key, const struct word *words, int *out,
          bool *found)
{
    const char *text = NULL;
    const int32_t status = dlq_field_str(f, key, &text);
    *found = text != NULL;
    if (status != DLQ_OK || !text) {
        return status;
    }
    char accepted[160] = "";
    for (size_t used = 0; words->text; words++) {
        if (strcasecmp(text, words->text) == 0) {
            *out = words->value;
            return DLQ_OK;
        }
        if (used < sizeof(accepted)) {
            used += (size_t)snprintf(accepted + used, sizeof(accepted) - used, "%s%s",
                                     used > 0 ? ", " : "", words->text);
        }
    }
    char clip[DLQ_CLIP_SIZE];
    return dlq_field_fail(f, key, "'%s' is unknown; one of %s is accepted",
                          dlq_text_clip(text, clip), accepted);
}

static int32_t
read_dynamic(const struct dlq_fields *f, struct ct_args *a)
{
    const struct dlq_json *const node = dlq_field_get(f, "dynamic");
    if (!node || f->host->json_type(node) != DLQ_JSON_STRING) {
        bool dynamic = false;
        const int32_t status = dlq_field_bool(f, "dynamic", &dynamic);
        a->dynamic = dynamic ? CT_DYNAMIC : CT_STATIC;
        return status;
    }
    static const struct word words[] = {{"local", CT_LOCAL}, {NULL, 0}};
    int value = CT_STATIC;
    bool found = false;
    const int32_t status = read_word(f, "dynamic", words, &value, &found);
    a->dynamic = (enum ct_dynamic)value;
    return status;
}

static int32_t
read_actorder(const struct dlq_fields *f, struct ct_args *a)
{
    static const struct word words[] = {
        {"group", CT_ORDER_GROUP},
        {"dynamic", CT_ORDER_GROUP},
        {"weight", CT_ORDER_WEIGHT},
        {"static", CT_ORDER_WEIGHT},
        {NULL, 0},
    };
    const struct dlq_json *const node = dlq_field_get(f, "actorder");
    int value = CT_ORDER_NONE;
    bool found = false;
    int32_t status = DLQ_OK;
    if (node && f->host->json_type(node) == DLQ_JSON_BOOL) {
        bool order = false;
        status = dlq_field_bool(f, "actorder", &order);
        value = order ? CT_ORDER_GROUP : CT_ORDER_NONE;
    } else {
        status = read_word(f, "actorder", words, &value, &found);
    }
    a->actorder = (enum ct_actorder)value;
    return status;
}

static int32_t
read_scale_dtype(const struct dlq_fields *f, struct ct_args *a)
{
    const char *text = NULL;
    const int32_t status = dlq_field_str(f, "scale_dtype", &text);
    if (status == DLQ_OK && text) {
        const char *const dot = strrchr(text, '.');
        const char *const name = dot ? dot + 1 : text;
        a->scale = strcmp(name, "uint8") == 0           ? CT_SCALE_U8
                   : strcmp(name, "float8_e4m3fn") == 0 ? CT_SCALE_E4M3
                                                        : CT_SCALE_FLOAT;
    }
    return status;
}

// [r, c], or the text "RxC".
static int32_t
read_block(const struct dlq_fields *f, struct ct_args *a, bool *found)
{
    const struct dlq_host *const host = f->host;
    const struct dlq_json *const node = dlq_field_get(f, "block_structure");
    *found = node != NULL;
    if (!node) {
        return DLQ_OK;
    }
    const char *text = NULL;
    int end = 0;
    bool ok = false;
    if (host->json_str(node, &text, NULL) == DLQ_OK) {
        int rows = 0;
        int columns = 0;
        ok = strlen(text) <= 16 && sscanf(text, "%9dx%9d%n", &rows, &columns, &end) == 2 &&
             text[end] == '\0';
        a->block[0] = rows;
        a->block[1] = columns;
    } else {
        ok = host->json_type(node) == DLQ_JSON_ARRAY && host->json_size(node) == 2 &&
             host->json_i64(host->json_at(node, 0), &a->block[0]) == DLQ_OK &&
             host->json_i64(host->json_at(node, 1), &a->block[1]) == DLQ_OK;
    }
    if (!ok || a->block[0] <= 0 || a->block[1] <= 0 || a->block[0] > INT32_MAX ||
        a->block[1] > INT32_MAX) {
        return dlq_field_fail(f, "block_structure",
                              "two positive integers [rows, columns] are expected");
    }
    return DLQ_OK;
}

// Strategy and group size complete each other.
static int32_t
settle_group(const struct dlq_fields *f, struct ct_args *a, bool has_strategy)
{
    const bool has_group = dlq_field_get(f, "group_size") != NULL;
    int64_t group = 0;
    int32_t status = dlq_field_i64(f, "group_size", &group);
    if (status != DLQ_OK) {
        return status;
    }
    if (has_group && (group == 0 || group < -1 || group > INT32_MAX)) {
        return dlq_field_fail(f, "group_size",
                              "%" PRId64 " is out of range; -1 or a positive size is accepted",
                              group);
    }
    if (!has_strategy) {
        a->strategy = !has_group ? CT_TENSOR : group > 0 ? CT_GROUP : CT_CHANNEL;
    }
    const bool grouped = a->strategy == CT_GROUP || a->strategy == CT_TENSOR_GROUP;
    if (group > 0 && !grouped) {
        return dlq_field_fail(f, "group_size", "%" PRId64 " contradicts strategy %s", group,
                              word_of(strategies, (int)a->strategy));
    }
    if (grouped && group <= 0) {
        return dlq_field_fail(f, "group_size", "strategy %s needs a positive size",
                              word_of(strategies, (int)a->strategy));
    }
    a->group = grouped ? group : 0;
    return DLQ_OK;
}

static int32_t
check_combination(const struct dlq_fields *f, const struct ct_args *a, bool has_block)
{
    const char *const strategy = word_of(strategies, (int)a->strategy);
    if (has_block != (a->strategy == CT_BLOCK)) {
        return dlq_field_fail(f, "block_structure", "%s strategy %s",
                              has_block ? "contradicts" : "is missing for", strategy);
    }
    if (a->strategy == CT_TOKEN && a->dynamic != CT_DYNAMIC) {
        return dlq_field_fail(f, "dynamic", "strategy token must be dynamic");
    }
    if (a->dynamic == CT_DYNAMIC && a->strategy != CT_TOKEN && a->strategy != CT_TENSOR &&
        a->strategy != CT_TENSOR_GROUP && a->strategy != CT_GROUP) {
        return dlq_field_fail(f, "dynamic", "strategy %s cannot be dynamic", strategy);
    }
    if (a->dynamic == CT_LOCAL && a->strategy != CT_TENSOR_GROUP) {
        return dlq_field_fail(f, "dynamic", "'local' needs strategy tensor_group, not %s",
                              strategy);
    }
    if (a->actorder == CT_ORDER_GROUP && a->strategy != CT_GROUP &&
        a->strategy != CT_TENSOR_GROUP) {
        return dlq_field_fail(f, "actorder", "group needs strategy group, not %s", strategy);
    }
    if (a->type == CT_FLOAT && !a->symmetric) {
        return dlq_field_fail(f, "symmetric", "false, but float codes have no zero point");
    }
    return DLQ_OK;
}

static int32_t
read_bits(const struct dlq_fields *f, struct ct_args *a)
{
    int64_t bits = 8;
    const int32_t status = dlq_field_i64(f, "num_bits", &bits);
    if (status != DLQ_OK) {
        return status;
    }
    const bool ok = a->type == CT_INT ? bits >= 1 && bits <= 8 : bits == 4 || bits == 8;
    if (!ok) {
        return dlq_field_fail(f, "num_bits", "%" PRId64 " is out of range; %s is accepted", bits,
                              a->type == CT_INT ? "1 to 8 for int" : "4 or 8 for float");
    }
    a->bits = (int32_t)bits;
    return DLQ_OK;
}

int32_t
ct_args_parse(const struct dlq_fields *parent, const char *where, const struct dlq_json *node,
              struct ct_args *out)
{
    static const char *const known[] = {
        "num_bits", "type",     "symmetric",   "group_size", "strategy", "block_structure",
        "dynamic",  "actorder", "scale_dtype", "zp_dtype",   "observer", "observer_kwargs",
        NULL,
    };
    *out = (struct ct_args){.symmetric = true, .bits = 8};
    if (!node) {
        return DLQ_OK;
    }
    struct dlq_fields f = *parent;
    f.node = node;
    f.where = where;
    if (f.host->json_type(node) != DLQ_JSON_OBJECT) {
        return dlq_field_fail(&f, "", "an object is expected, %s was found",
                              dlq_field_type_name(f.host->json_type(node)));
    }
    out->present = true;
    int type = CT_INT;
    int strategy = CT_TENSOR;
    bool found = false;
    bool has_strategy = false;
    bool has_block = false;
    int32_t status = read_word(&f, "type", types, &type, &found);
    out->type = (enum ct_type)type;
    status = status == DLQ_OK ? read_bits(&f, out) : status;
    status = status == DLQ_OK ? dlq_field_bool(&f, "symmetric", &out->symmetric) : status;
    status =
        status == DLQ_OK ? read_word(&f, "strategy", strategies, &strategy, &has_strategy) : status;
    out->strategy = (enum ct_strategy)strategy;
    status = status == DLQ_OK ? settle_group(&f, out, has_strategy) : status;
    status = status == DLQ_OK ? read_block(&f, out, &has_block) : status;
    status = status == DLQ_OK ? read_dynamic(&f, out) : status;
    status = status == DLQ_OK ? read_actorder(&f, out) : status;
    status = status == DLQ_OK ? read_scale_dtype(&f, out) : status;
    status = status == DLQ_OK ? check_combination(&f, out, has_block) : status;
    if (status == DLQ_OK) {
        dlq_field_warn_unknown(&f, known);
    }
    return status;
}

const char *
ct_args_describe(const struct ct_args *a, char *buf, size_t size)
{
    if (!a->present) {
        snprintf(buf, size, "none");
        return buf;
    }
    char detail[48] = "";
    if (a->group > 0) {
        snprintf(detail, sizeof(detail), " %" PRId64, a->group);
    } else if (a->strategy == CT_BLOCK) {
        snprintf(detail, sizeof(detail), " [%" PRId64 ", %" PRId64 "]", a->block[0], a->block[1]);
    }
    snprintf(buf, size, "%s%" PRId32 " %s%s%s%s", word_of(types, (int)a->type), a->bits,
             word_of(strategies, (int)a->strategy), detail, a->symmetric ? "" : " asym",
             a->dynamic == CT_DYNAMIC ? " dynamic"
             : a->dynamic == CT_LOCAL ? " local"
                                      : "");
    return buf;
}
