// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "rig.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/// The descriptor that dlq_plugin_query() returns.

void
check_query(const struct check_subject *s, struct check_result *r)
{
    if (!s->query) {
        rig_skip(r, "the table comes from no file");
    } else if (s->query() != s->plugin || s->query() != s->plugin) {
        rig_fail(r, "dlq_plugin_query() returns another pointer when called again");
    }
}

void
check_header(const struct check_subject *s, struct check_result *r)
{
    static const struct dlq_abi_host host = {
        .major = DLQ_ABI_MAJOR,
        .minor = DLQ_ABI_MINOR,
        .plugin_min_minor = DLQ_PLUGIN_MIN_MINOR,
        .need_known = DLQ_NEED_KNOWN,
    };
    const struct dlq_abi_header *const h = &s->plugin->header;
    const enum dlq_abi_verdict verdict =
        dlq_abi_check(h, &host, DLQ_SIZE_UPTO(struct dlq_plugin, get_extension));
    if (verdict != DLQ_ABI_OK) {
        rig_fail(r, "a host of ABI %d.%d refuses the header, verdict %d of enum dlq_abi_verdict",
                 DLQ_ABI_MAJOR, DLQ_ABI_MINOR, (int)verdict);
    } else if (h->host_min_minor > h->abi_minor) {
        rig_fail(r, "host_min_minor %d is above abi_minor %d", h->host_min_minor, h->abi_minor);
    } else if (h->flags != 0) {
        rig_fail(r, "flags is %#x, 0 is expected", h->flags);
    }
}

// [a-z0-9][a-z0-9_.-]{0,62} without ".."
static bool
is_name(const char *name)
{
    const size_t len = name ? strlen(name) : 0;
    return len >= 1 && len <= 63 &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_.-") == len &&
           strchr("_.-", name[0]) == NULL && !strstr(name, "..");
}

// Whether `file` is <name>.so with '-' as '_'.
static bool
is_file_of(const char *file, const char *name)
{
    const char *const slash = strrchr(file, '/');
    const char *base = slash ? slash + 1 : file;
    for (; *name; name++, base++) {
        if (*base != (*name == '-' ? '_' : *name)) {
            return false;
        }
    }
    return strcmp(base, ".so") == 0;
}

void
check_names(const struct check_subject *s, struct check_result *r)
{
    const struct dlq_plugin *const p = s->plugin;
    if (!is_name(p->name)) {
        rig_fail(r, "name '%s' is outside [a-z0-9][a-z0-9_.-]{0,62}", p->name ? p->name : "");
        return;
    }
    for (size_t i = 0; p->aliases && p->aliases[i]; i++) {
        if (!is_name(p->aliases[i])) {
            rig_fail(r, "alias '%s' is outside [a-z0-9][a-z0-9_.-]{0,62}", p->aliases[i]);
        }
        if (strcmp(p->aliases[i], p->name) == 0) {
            rig_fail(r, "alias %zu repeats the name '%s'", i, p->name);
        }
    }
    if (!p->version || p->version[0] == '\0') {
        rig_fail(r, "version is empty");
    }
    if (s->file && !is_file_of(s->file, p->name)) {
        rig_fail(r, "the file is called '%s'; plugin '%s' belongs into <name>.so with '-' as '_'",
                 s->file, p->name);
    }
}

static bool
text_equals(const struct dlq_host *host, const struct dlq_json *node, const char *text)
{
    const char *found = NULL;
    return host->json_str(node, &found, NULL) == DLQ_OK && strcmp(found, text) == 0;
}

static bool
int_equals(const struct dlq_host *host, const struct dlq_json *node, int64_t value)
{
    int64_t found = 0;
    return host->json_i64(node, &found) == DLQ_OK && found == value;
}

static bool
list_has(const struct dlq_host *host, const struct dlq_json *list, const char *text)
{
    for (size_t i = 0; i < host->json_size(list); i++) {
        if (text_equals(host, host->json_at(list, i), text)) {
            return true;
        }
    }
    return false;
}

static void
compare_note(const struct dlq_host *host, const struct dlq_json *note, const struct dlq_plugin *p,
             struct check_result *r)
{
    const struct dlq_json *const aliases = host->json_get(note, "/aliases");
    size_t n_aliases = 0;
    for (; p->aliases && p->aliases[n_aliases]; n_aliases++) {
        if (!list_has(host, aliases, p->aliases[n_aliases])) {
            rig_fail(r, "the note lacks the descriptor's alias '%s'", p->aliases[n_aliases]);
        }
    }
    if (host->json_size(aliases) != n_aliases) {
        rig_fail(r, "the note has %zu aliases, the descriptor %zu", host->json_size(aliases),
                 n_aliases);
    }
    if (!text_equals(host, host->json_get(note, "/name"), p->name)) {
        rig_fail(r, "the note's name is not the descriptor's '%s'", p->name);
    }
    if (!text_equals(host, host->json_get(note, "/version"), p->version)) {
        rig_fail(r, "the note's version is not the descriptor's '%s'", p->version);
    }
    if (!int_equals(host, host->json_get(note, "/abi/0"), p->header.abi_major) ||
        !int_equals(host, host->json_get(note, "/abi/1"), p->header.abi_minor)) {
        rig_fail(r, "the note's abi is not the descriptor's [%d, %d]", p->header.abi_major,
                 p->header.abi_minor);
    }
    const struct dlq_device_support *d = p->config->devices;
    for (; d && d->kind != 0; d++) {
        const char *const name = d->kind == DLQ_DEVICE_CUDA ? "cuda" : "cpu";
        if (!list_has(host, host->json_get(note, "/devices"), name)) {
            rig_fail(r, "the note lacks the descriptor's device %s", name);
        }
    }
    uint32_t dtypes[4];
    rig_act_dtypes(p, dtypes);
    for (size_t i = 0; dtypes[i] != DLQ_DTYPE_NONE; i++) {
        if (!list_has(host, host->json_get(note, "/dtypes"), rig_dtype_name(dtypes[i]))) {
            rig_fail(r, "the note lacks the descriptor's dtype %s", rig_dtype_name(dtypes[i]));
        }
    }
}

void
check_note(const struct check_subject *s, struct check_result *r)
{
    const struct dlq_plugin *const p = s->plugin;
    if (!p->note) {
        rig_skip(r, "the descriptor has no note");
        return;
    }
    struct rig rig;
    if (!rig_open(&rig, s, NULL, 1, r)) {
        return;
    }
    const struct dlq_host *const host = dlq_runtime_host(rig.rt);
    struct dlq_error err = DLQ_ERROR_INIT;
    struct dlq_json *note = NULL;
    if (host->json_parse(host->ctx, p->note, strlen(p->note), &note, &err) == DLQ_OK) {
        compare_note(host, note, p, r);
        host->json_free(host->ctx, note);
    } else {
        rig_fail(r, "the note is no JSON: %s", err.msg);
    }
    rig_close(&rig);
}

void
check_config_ops(const struct check_subject *s, struct check_result *r)
{
    const struct dlq_quant_config_ops *const c = s->plugin->config;
    if (!c || !DLQ_HAS(c, destroy) || !c->create || !c->get_quant_method || !c->describe ||
        !c->destroy || !c->config_filenames) {
        rig_fail(r, "config with config_filenames, create, get_quant_method, describe and destroy "
                    "must be there");
        return;
    }
    const uint32_t all = DLQ_ACT_F16 | DLQ_ACT_BF16 | DLQ_ACT_F32;
    if (c->act_dtypes == 0 || (c->act_dtypes & ~all) != 0) {
        rig_fail(r, "act_dtypes is %#" PRIx32 ", a mask of enum dlq_act_dtypes is expected",
                 c->act_dtypes);
    }
    if (!c->devices || c->devices[0].kind == 0) {
        rig_fail(r, "devices lists no device");
    }
    for (size_t i = 0; c->devices && c->devices[i].kind != 0; i++) {
        if (c->devices[i].kind != DLQ_DEVICE_CPU && c->devices[i].kind != DLQ_DEVICE_CUDA) {
            rig_fail(r, "devices[%zu] has kind %d, which no host knows", i,
                     (int)c->devices[i].kind);
        }
    }
}

void
check_extension(const struct check_subject *s, struct check_result *r)
{
    if (!s->plugin->get_extension) {
        return;
    }
    static const char *const unknown[] = {"", "dlq.", "dlq.inspect", "dlq.inspect/999",
                                          "org.example.nothing/1"};
    struct rig rig;
    if (!rig_open(&rig, s, s->n_cases > 0 ? s->cases : NULL, 1, r)) {
        return;
    }
    // Asked through a configuration, because only the runtime knows what open() returned.
    for (size_t i = 0; rig.config && i < sizeof(unknown) / sizeof(*unknown); i++) {
        if (dlq_quant_config_extension(rig.config, unknown[i])) {
            rig_fail(r, "extension '%s' is unknown and answered all the same", unknown[i]);
        }
    }
    if (!rig.config) {
        rig_skip(r, "needs a configuration");
    }
    rig_close(&rig);
}
