// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "alloc.h"
#include "error.h"
#include "registry.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

// Text for one part of a message: what does not fit is cut and marked.
struct text {
    size_t len;
    char buf[512];
};

static void
text_add(struct text *t, const char *fmt, ...) DLQ_PRINTF(2, 3);

static void
text_add(struct text *t, const char *fmt, ...)
{
    const size_t room = sizeof(t->buf) - t->len;
    va_list args;
    va_start(args, fmt);
    const int n = vsnprintf(t->buf + t->len, room, fmt, args);
    va_end(args);
    if (n < 0 || (size_t)n >= room) {
        t->len = sizeof(t->buf) - 1;
        memcpy(t->buf + sizeof(t->buf) - 4, "...", 4);
    } else {
        t->len += (size_t)n;
    }
}

static int32_t
load_file(struct dlq_registry *reg, const struct dlq_trusted_file *file, const char *origin,
          const char *name, struct dlq_loaded *out, struct dlq_error *err)
{
    bool fresh = false;
    int32_t rc = dlq_loader_open_file(file, reg->alloc, origin, name, reg->host, out, &fresh, err);
    if (rc == DLQ_OK) {
        const struct dlq_plugin *const p = out->plugin;
        if (fresh) {
            dlq_log_format(reg->log, DLQ_LOG_INFO,
                           "plugin %s %s loaded from %s, plugin ABI %u.%u, host ABI %u.%u", p->name,
                           p->version, origin, (unsigned)p->header.abi_major,
                           (unsigned)p->header.abi_minor, DLQ_ABI_MAJOR, DLQ_ABI_MINOR);
        }
        rc = dlq_registry_bind_file(reg, name, origin, out, err);
    }
    return rc;
}

// Say which files of the same name will never be used.
static void
log_hidden(const struct dlq_registry *reg, const char *file, const char *origin, size_t from)
{
    for (size_t i = from; i < reg->search.n; i++) {
        char other[PATH_MAX];
        const int n = snprintf(other, sizeof(other), "%s/%s", reg->search.dirs[i].path, file);
        if (n > 0 && (size_t)n < sizeof(other) && other[0] == '/' && access(other, F_OK) == 0) {
            dlq_log_format(reg->log, DLQ_LOG_INFO, "%s is hidden by %s, which comes first", other,
                           origin);
        }
    }
}

// There is no file for the name: not a status, for a plugin may return any of those.
#define NO_FILE INT32_MIN

// Look for the file of the name itself; NO_FILE with the places in `tried` when there is none.
static int32_t
find_named_file(struct dlq_registry *reg, const char *name, struct text *tried,
                struct dlq_loaded *out, struct dlq_error *err)
{
    char file_name[DLQ_FILE_NAME_SIZE];
    dlq_name_to_file(name, file_name);
    for (size_t i = 0; i < reg->search.n; i++) {
        const struct dlq_search_dir *const dir = &reg->search.dirs[i];
        struct dlq_error reason = DLQ_ERROR_INIT;
        struct dlq_trusted_file file;
        int32_t rc = dlq_trusted_file_open(&file, reg->alloc, dir->path, file_name, &reason);
        if (rc == DLQ_ENOTFOUND) {
            text_add(tried, "%s%s (%s): %s", tried->len ? "; " : "", dir->path, dir->source,
                     reason.msg);
            continue;
        }
        char *const origin = dlq_path_join(reg->alloc, dir->path, file_name);
        if (!origin || rc == DLQ_ENOMEM) {
            rc = dlq_fail(err, DLQ_ENOMEM, "no memory to load plugin '%s'", name);
        } else if (rc != DLQ_OK) {
            rc = dlq_fail_native(err, rc, DLQ_DOMAIN_LOADER, reason.native, "%s: %s", origin,
                                 reason.msg);
        } else if (!dlq_registry_allows(reg, name)) {
            rc =
                dlq_fail_native(err, DLQ_EPERM, DLQ_DOMAIN_LOADER, 0,
                                "%s: refused: '%s' is not among the allowed plugins", origin, name);
        } else {
            rc = load_file(reg, &file, origin, name, out, err);
        }
        if (rc == DLQ_OK) {
            log_hidden(reg, file_name, origin, i + 1);
        } else if (rc != DLQ_ENOMEM && tried->len && err) {
            const struct dlq_error first = *err;
            dlq_fail_native(err, rc, first.domain, first.native, "%s (before it, %s)", first.msg,
                            tried->buf);
        }
        dlq_free(reg->alloc, origin);
        dlq_trusted_file_close(&file, reg->alloc);
        return rc;
    }
    return NO_FILE;
}

static bool
is_added(struct dlq_registry *reg, const char *name)
{
    struct dlq_loaded loaded;
    bool added = false;
    return dlq_registry_lookup(reg, name, &loaded, &added) && added;
}

bool
dlq_registry_may_load(struct dlq_registry *reg, const struct dlq_installed *item)
{
    return !item->problem && item->name && dlq_registry_allows(reg, item->name) &&
           !is_added(reg, item->name);
}

static int32_t
load_installed(struct dlq_registry *reg, const struct dlq_installed *item, const char *name,
               struct dlq_loaded *out, struct dlq_error *err)
{
    struct dlq_trusted_file file;
    int32_t rc =
        dlq_trusted_file_open(&file, reg->alloc, reg->search.dirs[item->dir].path, item->file, err);
    if (rc != DLQ_OK) {
        return dlq_fail_prefix(err, rc, "%s", item->origin);
    }
    rc = load_file(reg, &file, item->origin, name, out, err);
    dlq_trusted_file_close(&file, reg->alloc);
    return rc;
}

// Look for the first installed plugin that lists the name as an alias, or NO_FILE.
static int32_t
find_alias(struct dlq_registry *reg, const struct dlq_catalog *catalog, const char *name,
           struct dlq_loaded *out, struct dlq_error *err)
{
    const struct dlq_installed *first = NULL;
    const struct dlq_installed *forbidden = NULL;
    for (size_t i = 0; i < catalog->n; i++) {
        const struct dlq_installed *const item = &catalog->items[i];
        if (item->problem || !item->name || is_added(reg, item->name) ||
            !dlq_installed_lists(item, "aliases", name)) {
            continue;
        }
        if (!dlq_registry_allows(reg, name) && !dlq_registry_allows(reg, item->name)) {
            forbidden = forbidden ? forbidden : item;
            continue;
        }
        if (first && item->dir > first->dir) {
            dlq_log_format(reg->log, DLQ_LOG_INFO, "alias '%s' of %s is hidden by %s", name,
                           item->origin, first->origin);
        } else if (first && item->ino != first->ino) {
            return dlq_fail(err, DLQ_EEXIST, "plugin name '%s' is an alias of both %s and %s", name,
                            first->origin, item->origin);
        } else if (!first) {
            first = item;
        }
    }
    if (!first && forbidden) {
        return dlq_fail_native(err, DLQ_EPERM, DLQ_DOMAIN_LOADER, 0,
                               "%s: refused: neither '%s' nor '%s' is among the allowed plugins",
                               forbidden->origin, name, forbidden->name);
    }
    if (!first) {
        return NO_FILE;
    }
    return load_installed(reg, first, name, out, err);
}

static void
add_known(struct text *known, const char *name)
{
    text_add(known, "%s%s", known->len ? ", " : "", name);
}

static int32_t
fail_unknown(struct dlq_registry *reg, const struct dlq_catalog *catalog, const char *name,
             const struct text *tried, struct dlq_error *err)
{
    struct text known = {0};
    struct text broken = {0};
    pthread_mutex_lock(&reg->lock);
    for (size_t i = 0; i < reg->n; i++) {
        if (reg->bindings[i].added) {
            add_known(&known, reg->bindings[i].loaded.plugin->name);
        }
    }
    pthread_mutex_unlock(&reg->lock);
    for (size_t i = 0; i < catalog->n; i++) {
        const struct dlq_installed *const item = &catalog->items[i];
        if (!item->problem) {
            add_known(&known, item->name ? item->name : item->file);
        } else if (!item->hidden) {
            // Any of them may be the one that would answer to the name.
            text_add(&broken, "%s%s: %s", broken.len ? "; " : "; not usable: ", item->origin,
                     item->problem);
        }
    }
    return dlq_fail_native(err, DLQ_ENOTFOUND, DLQ_DOMAIN_LOADER, 0,
                           "unknown quantization method '%s'; known: %s%s; looked in: %s", name,
                           known.len ? known.buf : "none", broken.buf,
                           tried->len ? tried->buf : "no directory");
}

int32_t
dlq_registry_find(struct dlq_registry *reg, const char *name, struct dlq_loaded *out,
                  struct dlq_error *err)
{
    if (!dlq_name_valid(name)) {
        char text[DLQ_NAME_MAX + 4];
        return dlq_fail_native(
            err, DLQ_EINVAL, DLQ_DOMAIN_LOADER, 0,
            "plugin name: expected [a-z0-9][a-z0-9_.-]{0,62} without '..', found '%s'",
            name ? dlq_name_printable(name, text) : "NULL");
    }
    bool added = false;
    if (dlq_registry_lookup(reg, name, out, &added)) {
        return DLQ_OK;
    }
    struct text tried = {0};
    struct dlq_catalog catalog = {0};
    if (reg->policy == DLQ_LOAD_NONE) {
        text_add(&tried, "no directory, the load policy forbids files");
        return fail_unknown(reg, &catalog, name, &tried, err);
    }
    int32_t rc = find_named_file(reg, name, &tried, out, err);
    if (rc != NO_FILE) {
        return rc;
    }
    rc = dlq_catalog_scan(&catalog, &reg->search, reg->alloc, err);
    if (rc == DLQ_OK) {
        rc = find_alias(reg, &catalog, name, out, err);
        if (rc == NO_FILE) {
            rc = fail_unknown(reg, &catalog, name, &tried, err);
        }
    }
    dlq_catalog_finish(&catalog);
    return rc;
}

int32_t
dlq_registry_open_module(struct dlq_registry *reg, const char *file_name, const char *symbol,
                         void **out, struct dlq_error *err)
{
    struct text tried = {0};
    if (reg->policy == DLQ_LOAD_NONE) {
        text_add(&tried, "no directory, the load policy forbids files");
    }
    for (size_t i = 0; reg->policy != DLQ_LOAD_NONE && i < reg->search.n; i++) {
        const struct dlq_search_dir *const dir = &reg->search.dirs[i];
        struct dlq_error reason = DLQ_ERROR_INIT;
        struct dlq_trusted_file file;
        int32_t rc = dlq_trusted_file_open(&file, reg->alloc, dir->path, file_name, &reason);
        if (rc == DLQ_ENOTFOUND) {
            text_add(&tried, "%s%s", tried.len ? ", " : "", dir->path);
            continue;
        }
        if (rc == DLQ_OK) {
            rc = dlq_loader_open_module(&file, reg->alloc, symbol, out, &reason);
            dlq_trusted_file_close(&file, reg->alloc);
        }
        return rc == DLQ_OK ? rc
                            : dlq_fail_native(err, rc, DLQ_DOMAIN_LOADER, reason.native,
                                              "%s/%s: %s", dir->path, file_name, reason.msg);
    }
    return dlq_fail_native(err, DLQ_ENOTFOUND, DLQ_DOMAIN_LOADER, 0, "module %s not found in %s",
                           file_name, tried.buf);
}
