// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "registry.h"

#include "alloc.h"
#include "error.h"
#include "plugin_check.h"

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
copy_allowed(struct dlq_registry *reg, const char *const *allowed, struct dlq_error *err)
{
    size_t n = 0;
    while (allowed && allowed[n]) {
        n++;
    }
    reg->allowed = n ? dlq_calloc(reg->alloc, n, sizeof(*reg->allowed)) : NULL;
    if (n && !reg->allowed) {
        return dlq_fail(err, DLQ_ENOMEM, "no memory for the list of allowed plugins");
    }
    for (; reg->n_allowed < n; reg->n_allowed++) {
        char text[DLQ_NAME_MAX + 4];
        const char *const name = allowed[reg->n_allowed];
        if (!dlq_name_valid(name)) {
            return dlq_fail(err, DLQ_EINVAL,
                            "allowed: expected [a-z0-9][a-z0-9_.-]{0,62} without '..', found '%s'",
                            dlq_name_printable(name, text));
        }
        reg->allowed[reg->n_allowed] = dlq_strdup(reg->alloc, name);
        if (!reg->allowed[reg->n_allowed]) {
            return dlq_fail(err, DLQ_ENOMEM, "no memory for the list of allowed plugins");
        }
    }
    return DLQ_OK;
}

int32_t
dlq_registry_init(struct dlq_registry *reg, const struct dlq_runtime_options *options,
                  const struct dlq_allocator *alloc, const struct dlq_log *log,
                  const struct dlq_host *host, struct dlq_error *err)
{
    *reg = (struct dlq_registry){
        .alloc = alloc, .log = log, .host = host, .policy = options->load_policy};
    if (options->load_policy < DLQ_LOAD_INSTALLED || options->load_policy > DLQ_LOAD_NONE) {
        return dlq_fail(err, DLQ_EINVAL, "load_policy: expected 0 to %d, found %d", DLQ_LOAD_NONE,
                        (int)options->load_policy);
    }
    char own[4096];
    pthread_mutex_init(&reg->lock, NULL);
    int32_t rc =
        dlq_search_init(&reg->search, alloc, options->plugin_dirs, dlq_search_environment(),
                        dlq_loader_own_dir(own, sizeof(own)), DLQ_PLUGIN_DIR, err);
    if (rc == DLQ_OK) {
        rc = copy_allowed(reg, options->allowed, err);
    }
    if (rc != DLQ_OK) {
        dlq_registry_finish(reg);
    }
    return rc;
}

void
dlq_registry_finish(struct dlq_registry *reg)
{
    for (size_t i = 0; i < reg->n; i++) {
        dlq_free(reg->alloc, reg->bindings[i].name);
        dlq_free(reg->alloc, reg->bindings[i].origin);
    }
    dlq_free(reg->alloc, reg->bindings);
    for (size_t i = 0; i < reg->n_allowed; i++) {
        dlq_free(reg->alloc, reg->allowed[i]);
    }
    dlq_free(reg->alloc, reg->allowed);
    dlq_search_finish(&reg->search, reg->alloc);
    pthread_mutex_destroy(&reg->lock);
}

static bool
allowed(const struct dlq_registry *reg, const char *name)
{
    if (reg->policy != DLQ_LOAD_LISTED) {
        return reg->policy == DLQ_LOAD_INSTALLED;
    }
    for (size_t i = 0; i < reg->n_allowed; i++) {
        if (!strcmp(reg->allowed[i], name)) {
            return true;
        }
    }
    return false;
}

// The binding that a name has. An added plugin answers to all its names, a file to those that were
// asked for: which file another name leads to is a question for the search order. [lock held]
static const struct dlq_binding *
lookup(const struct dlq_registry *reg, const char *name)
{
    for (size_t i = 0; i < reg->n; i++) {
        const struct dlq_binding *const b = &reg->bindings[i];
        if (b->added ? dlq_plugin_answers_to(b->loaded.plugin, name) : !strcmp(b->name, name)) {
            return b;
        }
    }
    return NULL;
}

// [lock held]
static int32_t
bind(struct dlq_registry *reg, const char *name, const char *origin, bool added,
     const struct dlq_loaded *loaded, struct dlq_error *err)
{
    struct dlq_binding *const bindings =
        dlq_grow(reg->alloc, reg->bindings, reg->n, &reg->capacity, reg->n + 1, sizeof(*bindings));
    if (bindings) {
        reg->bindings = bindings;
        struct dlq_binding b = {.name = dlq_strdup(reg->alloc, name),
                                .origin = dlq_strdup(reg->alloc, origin),
                                .loaded = *loaded,
                                .added = added};
        if (b.name && b.origin) {
            bindings[reg->n++] = b;
            return DLQ_OK;
        }
        dlq_free(reg->alloc, b.name);
        dlq_free(reg->alloc, b.origin);
    }
    return dlq_fail(err, DLQ_ENOMEM, "no memory to register plugin '%s'", name);
}

// Whether a name of `plugin` belongs to another plugin already. [lock held]
static int32_t
check_names_free(const struct dlq_registry *reg, const struct dlq_plugin *plugin,
                 const char *origin, bool added, struct dlq_error *err)
{
    for (size_t i = 0; i < reg->n; i++) {
        const struct dlq_binding *const b = &reg->bindings[i];
        const struct dlq_plugin *const other = b->loaded.plugin;
        if (!added && other == plugin) {
            continue;
        }
        const char *taken = dlq_plugin_answers_to(other, plugin->name) ? plugin->name : NULL;
        // Two files may list the same alias: which one answers to it is decided when it is asked
        // for. A table answers to all its names at once.
        for (const char *const *a = plugin->aliases; added && !taken && a && *a; a++) {
            taken = dlq_plugin_answers_to(other, *a) ? *a : NULL;
        }
        if (taken && (added || !strcmp(other->name, taken))) {
            return dlq_fail(err, DLQ_EEXIST, "plugin name '%s' of %s is taken by '%s' of %s", taken,
                            origin, other->name, b->origin);
        }
    }
    return DLQ_OK;
}

int32_t
dlq_registry_add(struct dlq_registry *reg, const struct dlq_plugin *plugin, struct dlq_error *err)
{
    int32_t rc = dlq_plugin_check(plugin, "added plugin", err);
    if (rc != DLQ_OK) {
        return rc;
    }
    pthread_mutex_lock(&reg->lock);
    rc = check_names_free(reg, plugin, "an added plugin", true, err);
    pthread_mutex_unlock(&reg->lock);
    struct dlq_loaded loaded;
    if (rc == DLQ_OK) {
        rc = dlq_loader_open_table(plugin, reg->host, &loaded, err);
    }
    if (rc == DLQ_OK) {
        // Somebody else may have taken a name while open() ran.
        pthread_mutex_lock(&reg->lock);
        rc = check_names_free(reg, plugin, "an added plugin", true, err);
        if (rc == DLQ_OK) {
            rc = bind(reg, plugin->name, "added", true, &loaded, err);
        }
        pthread_mutex_unlock(&reg->lock);
    }
    if (rc == DLQ_OK) {
        dlq_log_format(reg->log, DLQ_LOG_INFO,
                       "plugin %s %s added, plugin ABI %u.%u, host ABI %u.%u", plugin->name,
                       plugin->version, (unsigned)plugin->header.abi_major,
                       (unsigned)plugin->header.abi_minor, DLQ_ABI_MAJOR, DLQ_ABI_MINOR);
    }
    return rc;
}

// Bind the name to a plugin that was loaded for it, unless another thread was faster.
static int32_t
bind_file(struct dlq_registry *reg, const char *name, const char *origin, struct dlq_loaded *loaded,
          struct dlq_error *err)
{
    int32_t rc = DLQ_OK;
    pthread_mutex_lock(&reg->lock);
    const struct dlq_binding *const b = lookup(reg, name);
    if (b) {
        *loaded = b->loaded;
    } else {
        rc = check_names_free(reg, loaded->plugin, origin, false, err);
        if (rc == DLQ_OK) {
            rc = bind(reg, name, origin, false, loaded, err);
        }
    }
    pthread_mutex_unlock(&reg->lock);
    return rc;
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
        rc = bind_file(reg, name, origin, out, err);
    }
    return rc;
}

// Say which files of the same name will never be used.
static void
log_hidden(const struct dlq_registry *reg, const char *file, const char *origin, size_t from)
{
    for (size_t i = from; i < reg->search.n; i++) {
        char *const other = dlq_path_join(reg->alloc, reg->search.dirs[i].path, file);
        if (other && other[0] == '/' && access(other, F_OK) == 0) {
            dlq_log_format(reg->log, DLQ_LOG_INFO, "%s is hidden by %s, which comes first", other,
                           origin);
        }
        dlq_free(reg->alloc, other);
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
        } else if (!allowed(reg, name)) {
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
    pthread_mutex_lock(&reg->lock);
    const struct dlq_binding *const b = lookup(reg, name);
    const bool added = b && b->added;
    pthread_mutex_unlock(&reg->lock);
    return added;
}

bool
dlq_registry_may_load(struct dlq_registry *reg, const struct dlq_installed *item)
{
    return !item->problem && item->name && allowed(reg, item->name) && !is_added(reg, item->name);
}

int32_t
dlq_registry_load_installed(struct dlq_registry *reg, const struct dlq_installed *item,
                            const char *name, struct dlq_loaded *out, struct dlq_error *err)
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
    for (size_t i = 0; i < catalog->n; i++) {
        const struct dlq_installed *const item = &catalog->items[i];
        if (item->problem || !item->name || is_added(reg, item->name) ||
            !dlq_installed_lists(item, "aliases", name)) {
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
    if (!first) {
        return NO_FILE;
    }
    if (!allowed(reg, name) && !allowed(reg, first->name)) {
        return dlq_fail_native(err, DLQ_EPERM, DLQ_DOMAIN_LOADER, 0,
                               "%s: refused: neither '%s' nor '%s' is among the allowed plugins",
                               first->origin, name, first->name);
    }
    return dlq_registry_load_installed(reg, first, name, out, err);
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
    pthread_mutex_lock(&reg->lock);
    for (size_t i = 0; i < reg->n; i++) {
        if (reg->bindings[i].added) {
            add_known(&known, reg->bindings[i].loaded.plugin->name);
        }
    }
    pthread_mutex_unlock(&reg->lock);
    for (size_t i = 0; i < catalog->n; i++) {
        if (!catalog->items[i].problem) {
            const char *const item = catalog->items[i].name;
            add_known(&known, item ? item : catalog->items[i].file);
        }
    }
    return dlq_fail_native(err, DLQ_ENOTFOUND, DLQ_DOMAIN_LOADER, 0,
                           "unknown quantization method '%s'; known: %s; looked in: %s", name,
                           known.len ? known.buf : "none",
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
    pthread_mutex_lock(&reg->lock);
    const struct dlq_binding *const b = lookup(reg, name);
    if (b) {
        *out = b->loaded;
    }
    pthread_mutex_unlock(&reg->lock);
    if (b) {
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
