// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

// For dladdr().
#define _GNU_SOURCE

#include "loader.h"

#include "elf_note.h"
#include "error.h"
#include "plugin_check.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

// What this process has loaded. Records are never freed: plugins stay, and so does what tells them
// apart. They come from malloc because they outlive every runtime and its allocator.
struct record {
    struct record *next;
    const struct dlq_plugin *plugin;
    void *ctx;
    void *handle; // NULL for a table
    dev_t dev;
    ino_t ino;
    bool opened; // open() succeeded; until then each request tries again
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct record *records; // Guarded by `lock`

static struct record *
find_file(dev_t dev, ino_t ino)
{
    for (struct record *r = records; r; r = r->next) {
        if (r->handle && r->dev == dev && r->ino == ino) {
            return r;
        }
    }
    return NULL;
}

static struct record *
find_handle(const void *handle)
{
    for (struct record *r = records; r; r = r->next) {
        if (r->handle == handle) {
            return r;
        }
    }
    return NULL;
}

static struct record *
find_table(const struct dlq_plugin *plugin)
{
    for (struct record *r = records; r; r = r->next) {
        if (r->plugin == plugin) {
            return r;
        }
    }
    return NULL;
}

static int32_t
check_requested(const struct dlq_plugin *plugin, const char *origin, const char *requested,
                struct dlq_error *err)
{
    if (!requested || dlq_plugin_answers_to(plugin, requested)) {
        return DLQ_OK;
    }
    return dlq_fail_native(err, DLQ_EPLUGIN, DLQ_DOMAIN_LOADER, 0,
                           "%s: name: expected '%s' as name or alias, found '%s'", origin,
                           requested, plugin->name);
}

// Up to here the plugin has run no code of its own but dlq_plugin_query(), so that a refused one
// may be unloaded again.
static int32_t
load(const struct dlq_trusted_file *file, const char *origin, const char *requested,
     const struct dlq_plugin **plugin, void **handle, struct dlq_error *err)
{
    *handle = dlopen(file->path, RTLD_NOW | RTLD_LOCAL);
    if (!*handle) {
        const char *const reason = dlerror();
        return dlq_fail_native(err, DLQ_EPLUGIN, DLQ_DOMAIN_LOADER, 0, "%s: cannot load: %s",
                               origin, reason ? reason : "unknown reason");
    }
    // The dynamic linker knows a file by its path first. When the file behind the path was replaced
    // after an earlier load, it hands out the old one.
    if (find_handle(*handle) || !dlq_trusted_file_unchanged(file)) {
        return dlq_fail_native(err, DLQ_ESTATE, DLQ_DOMAIN_LOADER, 0,
                               "%s: the file was replaced while in use; restart the process to "
                               "load the new one",
                               origin);
    }
    void *const symbol = dlsym(*handle, DLQ_PLUGIN_SYMBOL);
    if (!symbol) {
        return dlq_fail_native(err, DLQ_EPLUGIN, DLQ_DOMAIN_LOADER, 0,
                               "%s: not a plugin: no symbol " DLQ_PLUGIN_SYMBOL, origin);
    }
    dlq_plugin_query_fn query;
    memcpy(&query, &symbol, sizeof(query));
    *plugin = query();
    const int32_t rc = dlq_plugin_check(*plugin, origin, err);
    return rc == DLQ_OK ? check_requested(*plugin, origin, requested, err) : rc;
}

static int32_t
add_record(const struct dlq_plugin *plugin, void *handle, const struct dlq_trusted_file *file,
           struct record **out, struct dlq_error *err)
{
    struct record *const r = calloc(1, sizeof(*r));
    if (!r) {
        return dlq_fail(err, DLQ_ENOMEM, "no memory for the record of plugin %s", plugin->name);
    }
    r->plugin = plugin;
    r->handle = handle;
    r->dev = file ? file->dev : 0;
    r->ino = file ? file->ino : 0;
    r->next = records;
    records = r;
    *out = r;
    return DLQ_OK;
}

static int32_t
open_once(struct record *r, const char *origin, const struct dlq_host *host, bool *fresh,
          struct dlq_error *err)
{
    *fresh = false;
    if (r->opened) {
        return DLQ_OK;
    }
    if (r->plugin->open) {
        struct dlq_error inner = DLQ_ERROR_INIT;
        void *ctx = NULL;
        const int32_t rc = r->plugin->open(host, &ctx, &inner);
        if (rc != DLQ_OK) {
            return dlq_fail_prefix(err, dlq_plugin_failed(r->plugin, "open", rc, &inner, err), "%s",
                                   origin);
        }
        r->ctx = ctx;
    }
    r->opened = true;
    *fresh = true;
    return DLQ_OK;
}

int32_t
dlq_loader_open_file(const struct dlq_trusted_file *file, const struct dlq_allocator *alloc,
                     const char *origin, const char *requested, const struct dlq_host *host,
                     struct dlq_loaded *out, bool *fresh, struct dlq_error *err)
{
    int32_t rc = dlq_elf_note_read(file->fd, (uint64_t)file->size, alloc, NULL, err);
    if (rc != DLQ_OK) {
        return dlq_fail_prefix(err, rc, "%s", origin);
    }
    pthread_mutex_lock(&lock);
    struct record *r = find_file(file->dev, file->ino);
    if (r) {
        rc = check_requested(r->plugin, origin, requested, err);
    } else {
        const struct dlq_plugin *plugin = NULL;
        void *handle = NULL;
        rc = load(file, origin, requested, &plugin, &handle, err);
        if (rc == DLQ_OK) {
            // An engine may have added the table of a file that it linked or loaded itself.
            r = find_table(plugin);
            if (r) {
                r->handle = handle;
                r->dev = file->dev;
                r->ino = file->ino;
            } else {
                rc = add_record(plugin, handle, file, &r, err);
            }
        }
        if (rc != DLQ_OK && handle) {
            dlclose(handle);
        }
    }
    if (rc == DLQ_OK) {
        rc = open_once(r, origin, host, fresh, err);
    }
    if (rc == DLQ_OK) {
        *out = (struct dlq_loaded){.plugin = r->plugin, .ctx = r->ctx};
    }
    pthread_mutex_unlock(&lock);
    return rc;
}

int32_t
dlq_loader_open_table(const struct dlq_plugin *plugin, const struct dlq_host *host,
                      struct dlq_loaded *out, struct dlq_error *err)
{
    bool fresh = false;
    int32_t rc = dlq_plugin_check(plugin, "added plugin", err);
    if (rc != DLQ_OK) {
        return rc;
    }
    pthread_mutex_lock(&lock);
    struct record *r = find_table(plugin);
    if (!r) {
        rc = add_record(plugin, NULL, NULL, &r, err);
    }
    if (rc == DLQ_OK) {
        rc = open_once(r, "added plugin", host, &fresh, err);
    }
    if (rc == DLQ_OK) {
        *out = (struct dlq_loaded){.plugin = r->plugin, .ctx = r->ctx};
    }
    pthread_mutex_unlock(&lock);
    return rc;
}

bool
dlq_loader_has_file(dev_t dev, ino_t ino)
{
    pthread_mutex_lock(&lock);
    const struct record *const r = find_file(dev, ino);
    const bool found = r && r->opened;
    pthread_mutex_unlock(&lock);
    return found;
}

int32_t
dlq_loader_open_module(const struct dlq_trusted_file *file, const struct dlq_allocator *alloc,
                       const char *symbol, void **out, struct dlq_error *err)
{
    const int32_t rc = dlq_elf_note_read(file->fd, (uint64_t)file->size, alloc, NULL, err);
    if (rc != DLQ_OK) {
        return rc;
    }
    void *const handle = dlopen(file->path, RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
        const char *const reason = dlerror();
        return dlq_fail_native(err, DLQ_EDEVICE, DLQ_DOMAIN_LOADER, 0, "cannot load: %s",
                               reason ? reason : "unknown reason");
    }
    *out = dlq_trusted_file_unchanged(file) ? dlsym(handle, symbol) : NULL;
    if (!*out) {
        dlclose(handle);
        return dlq_fail_native(err, DLQ_EDEVICE, DLQ_DOMAIN_LOADER, 0, "no symbol %s", symbol);
    }
    return DLQ_OK;
}

const char *
dlq_loader_own_dir(char *buf, size_t size)
{
    Dl_info info;
    if (!dladdr((const void *)&lock, &info) || !info.dli_fname || info.dli_fname[0] != '/') {
        return NULL;
    }
    const char *const slash = strrchr(info.dli_fname, '/');
    const size_t len = slash == info.dli_fname ? 1 : (size_t)(slash - info.dli_fname);
    if (len >= size) {
        return NULL;
    }
    memcpy(buf, info.dli_fname, len);
    buf[len] = '\0';
    return buf;
}
