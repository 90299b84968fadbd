// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "../common/field.h"
#include "ct.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/// The scheme of the KV cache: read with the configuration, handed out by "dlq.kv-cache/1".

static bool
is_known(const struct ct_args *a)
{
    return a->type == CT_FLOAT && a->bits == 8 && a->symmetric && a->dynamic == CT_STATIC &&
           (a->strategy == CT_TENSOR || a->strategy == CT_ATTN_HEAD);
}

static const char known[] = "float8 tensor and float8 attn_head, both symmetric and static, are "
                            "accepted";

int32_t
ct_kv_cache_parse(const struct dlq_fields *f, struct ct_args *out)
{
    const int32_t status =
        ct_args_parse(f, "/kv_cache_scheme/", dlq_field_get(f, "kv_cache_scheme"), out);
    if (status != DLQ_OK || !out->present) {
        return status;
    }
    char text[96];
    ct_args_describe(out, text, sizeof(text));
    if (is_known(out)) {
        dlq_host_log(f->host, DLQ_LOG_INFO, "%s: /kv_cache_scheme: %s, no concern of linear layers",
                     f->method, text);
    } else {
        dlq_host_log(f->host, DLQ_LOG_WARN,
                     "%s: /kv_cache_scheme: %s was found; %s; linear layers run without", f->method,
                     text, known);
    }
    return DLQ_OK;
}

static int32_t
scheme(const void *config, const struct dlq_host *host, struct dlq_kv_cache_scheme *out,
       struct dlq_error *err)
{
    const struct ct_args *const a = &((const struct ct_config *)config)->kv_cache;
    const uint32_t least = DLQ_SIZE_UPTO(struct dlq_kv_cache_scheme, reserved);
    if (out->struct_size < least) {
        return host->fail(err, DLQ_EINVAL,
                          "struct dlq_kv_cache_scheme: struct_size %" PRIu32
                          " was found; at least %" PRIu32 " is expected",
                          out->struct_size, least);
    }
    *out = (struct dlq_kv_cache_scheme){.struct_size = out->struct_size};
    if (!a->present) {
        return DLQ_OK;
    }
    if (!is_known(a)) {
        char text[96];
        return host->fail(err, DLQ_EUNSUPPORTED, "/kv_cache_scheme: %s was found; %s",
                          ct_args_describe(a, text, sizeof(text)), known);
    }
    out->type = DLQ_KV_FLOAT;
    out->num_bits = a->bits;
    out->strategy = a->strategy == CT_TENSOR ? DLQ_KV_TENSOR : DLQ_KV_ATTN_HEAD;
    out->symmetric = 1;
    return DLQ_OK;
}

// Ends of names, in the order in which they are tried. '?' is one of `letters`; the new name gets
// the last one.
static const struct {
    const char *from;
    const char *letters;
    const char *to; ///< NULL: the name stays
} forms[] = {
    {".kv_scale", "", ".attn.k_scale"},
    {".self_attn.?_proj.?_scale", "kv", ".self_attn.attn.?_scale"},
    {".self_attn.qkv_proj.?_scale", "kv", ".self_attn.attn.?_scale"},
    {".self_attn.qkqkv_proj.?_scale", "kv", ".self_attn.attn.?_scale"},
    {".mixer.?_proj.?_scale", "kv", ".mixer.attn.?_scale"},
    {".self_attn.q.scale", "", ".self_attn.attn.q_scale"},
    {".self_attn.?_cache.scale", "kv", ".self_attn.attn.?_scale"},
    {".attn.?_scale", "qkv", NULL},
    {".attn.?_zero_point", "qkv", NULL},
    {".?_scale", "qkv", ".attn.?_scale"},
    {".?_zero_point", "qkv", ".attn.?_zero_point"},
};

// Whether `name` ends in `from`; `*letter` is what stands for the last '?'.
static bool
ends_in(const char *name, const char *from, const char *letters, char *letter)
{
    const size_t len = strlen(name);
    const size_t end = strlen(from);
    for (size_t i = 0; i < end; i++) {
        const char c = len < end ? '\0' : name[len - end + i];
        if (from[i] != '?' ? c != from[i] : c == '\0' || !strchr(letters, c)) {
            return false;
        }
        *letter = from[i] == '?' ? c : *letter;
    }
    return true;
}

static int32_t
scale_name(const char *on_disk, char *buf, size_t size)
{
    for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++) {
        char letter = '\0';
        if (!ends_in(on_disk, forms[i].from, forms[i].letters, &letter)) {
            continue;
        }
        const char *const to = forms[i].to;
        if (!to) {
            return (int32_t)snprintf(buf, size, "%s", on_disk);
        }
        const int stem = (int)(strlen(on_disk) - strlen(forms[i].from));
        const char *const mark = strchr(to, '?');
        if (!mark) {
            return (int32_t)snprintf(buf, size, "%.*s%s", stem, on_disk, to);
        }
        return (int32_t)snprintf(buf, size, "%.*s%.*s%c%s", stem, on_disk, (int)(mark - to), to,
                                 letter, mark + 1);
    }
    return 0;
}

const struct dlq_ext_kv_cache ct_kv_cache = {
    .struct_size = DLQ_SIZE_UPTO(struct dlq_ext_kv_cache, scale_name),
    .scheme = scheme,
    .scale_name = scale_name,
};
