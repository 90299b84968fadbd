// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "plugin_check.h"

#include "error.h"
#include "path.h"

#include <string.h>

// More aliases than this is a list without its end.
#define MAX_ALIASES 64

#define MAX_VERSION 63

const struct dlq_abi_host dlq_abi_this_host = {
    .major = DLQ_ABI_MAJOR,
    .minor = DLQ_ABI_MINOR,
    .plugin_min_minor = DLQ_PLUGIN_MIN_MINOR,
    .need_known = DLQ_NEED_KNOWN,
};

#define REFUSE(err, ...) dlq_fail_native(err, DLQ_EABI, DLQ_DOMAIN_LOADER, 0, __VA_ARGS__)
#define BROKEN(err, ...) dlq_fail_native(err, DLQ_EPLUGIN, DLQ_DOMAIN_LOADER, 0, __VA_ARGS__)

static int32_t
check_header(const struct dlq_abi_header *h, const char *origin, struct dlq_error *err)
{
    const struct dlq_abi_host *const host = &dlq_abi_this_host;
    const uint32_t min_size = DLQ_SIZE_UPTO(struct dlq_plugin, get_extension);
    switch (dlq_abi_check(h, host, min_size)) {
    case DLQ_ABI_OK:
        return DLQ_OK;
    case DLQ_ABI_MAGIC:
        return REFUSE(err, "%s: magic: expected 0x%08x, found 0x%08x", origin, DLQ_PLUGIN_MAGIC,
                      (unsigned)h->magic);
    case DLQ_ABI_MAJOR_DIFFERS:
        return REFUSE(err, "%s: abi_major: expected %u, found %u", origin, (unsigned)host->major,
                      (unsigned)h->abi_major);
    case DLQ_ABI_HOST_TOO_OLD:
        return REFUSE(err,
                      "%s: host_min_minor: expected at most %u, the minor of this host, found %u",
                      origin, (unsigned)host->minor, (unsigned)h->host_min_minor);
    case DLQ_ABI_PLUGIN_TOO_OLD:
        return REFUSE(err, "%s: abi_minor: expected at least %u, found %u", origin,
                      (unsigned)host->plugin_min_minor, (unsigned)h->abi_minor);
    case DLQ_ABI_NEED_UNKNOWN:
        return REFUSE(err, "%s: need: expected bits of 0x%llx, found 0x%llx", origin,
                      (unsigned long long)host->need_known, (unsigned long long)h->need);
    case DLQ_ABI_STRUCT_SIZE:
        return REFUSE(err, "%s: struct_size: expected at least %u, found %u", origin,
                      (unsigned)min_size, (unsigned)h->struct_size);
    }
    return REFUSE(err, "%s: not negotiable", origin);
}

static int32_t
check_names(const struct dlq_plugin *plugin, const char *origin, struct dlq_error *err)
{
    char text[DLQ_NAME_MAX + 4];
    if (!dlq_name_valid(plugin->name)) {
        return BROKEN(err, "%s: name: expected [a-z0-9][a-z0-9_.-]{0,62} without '..', found '%s'",
                      origin, dlq_name_printable(plugin->name ? plugin->name : "NULL", text));
    }
    for (int i = 0; plugin->aliases && plugin->aliases[i]; i++) {
        if (i == MAX_ALIASES) {
            return BROKEN(err, "%s: aliases: expected at most %d before a NULL", origin,
                          MAX_ALIASES);
        }
        if (!dlq_name_valid(plugin->aliases[i])) {
            return BROKEN(
                err, "%s: aliases[%d]: expected [a-z0-9][a-z0-9_.-]{0,62} without '..', found '%s'",
                origin, i, dlq_name_printable(plugin->aliases[i], text));
        }
    }
    if (!plugin->version || strnlen(plugin->version, MAX_VERSION + 1) > MAX_VERSION) {
        return BROKEN(err, "%s: version: expected at most %d bytes, found %s", origin, MAX_VERSION,
                      plugin->version ? "more" : "NULL");
    }
    return DLQ_OK;
}

static int32_t
check_pointers(const char *who, const char *const *names, const bool *present, int n,
               struct dlq_error *err)
{
    for (int i = 0; i < n; i++) {
        if (!present[i]) {
            return BROKEN(err, "%s: %s: expected a pointer, found NULL", who, names[i]);
        }
    }
    return DLQ_OK;
}

static int32_t
check_config(const struct dlq_quant_config_ops *ops, const char *origin, struct dlq_error *err)
{
    static const char *const names[] = {
        "config->devices",          "config->config_filenames", "config->create",
        "config->get_quant_method", "config->describe",         "config->destroy",
    };
    const uint32_t min_size = DLQ_SIZE_UPTO(struct dlq_quant_config_ops, destroy);
    if (!ops) {
        return BROKEN(err, "%s: config: expected a pointer, found NULL", origin);
    }
    if (ops->struct_size < min_size) {
        return REFUSE(err, "%s: config->struct_size: expected at least %u, found %u", origin,
                      (unsigned)min_size, (unsigned)ops->struct_size);
    }
    const bool present[] = {
        ops->devices != NULL,          ops->config_filenames != NULL, ops->create != NULL,
        ops->get_quant_method != NULL, ops->describe != NULL,         ops->destroy != NULL,
    };
    return check_pointers(origin, names, present, (int)(sizeof(present) / sizeof(*present)), err);
}

int32_t
dlq_plugin_check(const struct dlq_plugin *plugin, const char *origin, struct dlq_error *err)
{
    if (!plugin) {
        return BROKEN(err, "%s: " DLQ_PLUGIN_SYMBOL "() returned NULL", origin);
    }
    if ((uintptr_t)plugin % _Alignof(struct dlq_plugin) != 0) {
        return BROKEN(err, "%s: descriptor at %p is not aligned to %zu bytes", origin,
                      (const void *)plugin, _Alignof(struct dlq_plugin));
    }
    int32_t rc = check_header(&plugin->header, origin, err);
    if (rc == DLQ_OK) {
        rc = check_names(plugin, origin, err);
    }
    if (rc == DLQ_OK) {
        rc = check_config(plugin->config, origin, err);
    }
    return rc;
}

int32_t
dlq_plugin_check_method(const struct dlq_plugin *plugin, const struct dlq_linear_method_ops *ops,
                        struct dlq_error *err)
{
    static const char *const names[] = {
        "ops->can_implement", "ops->create_weights", "ops->apply", "ops->explain", "ops->destroy",
    };
    const uint32_t min_size = DLQ_SIZE_UPTO(struct dlq_linear_method_ops, destroy);
    if (!ops) {
        return BROKEN(err, "%s: ops: expected a pointer, found NULL", plugin->name);
    }
    if (ops->struct_size < min_size) {
        return REFUSE(err, "%s: ops->struct_size: expected at least %u, found %u", plugin->name,
                      (unsigned)min_size, (unsigned)ops->struct_size);
    }
    const bool present[] = {
        ops->can_implement != NULL, ops->create_weights != NULL, ops->apply != NULL,
        ops->explain != NULL,       ops->destroy != NULL,
    };
    return check_pointers(plugin->name, names, present, (int)(sizeof(present) / sizeof(*present)),
                          err);
}

int32_t
dlq_plugin_check_row_split(const struct dlq_plugin *plugin, const struct dlq_ext_row_split *ext,
                           struct dlq_error *err)
{
    static const char *const names[] = {
        DLQ_EXT_ROW_SPLIT "->describe", DLQ_EXT_ROW_SPLIT "->workspace_size",
        DLQ_EXT_ROW_SPLIT "->measure",  DLQ_EXT_ROW_SPLIT "->multiply",
        DLQ_EXT_ROW_SPLIT "->finish",
    };
    const bool present[] = {
        ext->describe != NULL, ext->workspace_size != NULL, ext->measure != NULL,
        ext->multiply != NULL, ext->finish != NULL,
    };
    return check_pointers(plugin->name, names, present, (int)(sizeof(present) / sizeof(*present)),
                          err);
}

bool
dlq_plugin_answers_to(const struct dlq_plugin *plugin, const char *name)
{
    if (!strcmp(plugin->name, name)) {
        return true;
    }
    for (const char *const *alias = plugin->aliases; alias && *alias; alias++) {
        if (!strcmp(*alias, name)) {
            return true;
        }
    }
    return false;
}

int32_t
dlq_plugin_failed(const struct dlq_plugin *plugin, const char *what, int32_t rc,
                  const struct dlq_error *inner, struct dlq_error *err)
{
    if (rc < DLQ_OK || rc > DLQ_EINTERNAL) {
        return dlq_fail_native(err, DLQ_EPLUGIN, DLQ_DOMAIN_PLUGIN, rc,
                               "%s: %s returned %d, which is no status", plugin->name, what,
                               (int)rc);
    }
    return dlq_fail_native(err, rc, DLQ_DOMAIN_PLUGIN, inner->native, "%s: %s: %.*s", plugin->name,
                           what, (int)sizeof(inner->msg) - 1,
                           inner->msg[0] ? inner->msg : dlq_status_string(rc));
}
