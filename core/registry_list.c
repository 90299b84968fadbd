// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "alloc.h"
#include "error.h"
#include "plugin_check.h"
#include "registry.h"

#include <stdlib.h>
#include <string.h>

// A list that is made under the lock and reported without it, so that the visitor may use the
// runtime. `info` points into `catalog` and into `copies`.
struct listing {
    struct dlq_catalog catalog;
    struct dlq_plugin_info *infos;
    size_t n;
    size_t capacity;
};

static int32_t
listing_add(struct dlq_registry *reg, struct listing *list, const struct dlq_plugin_info *info,
            struct dlq_error *err)
{
    struct dlq_plugin_info *const infos =
        dlq_grow(reg->alloc, list->infos, list->n, &list->capacity, list->n + 1, sizeof(*infos));
    if (!infos) {
        return dlq_fail(err, DLQ_ENOMEM, "no memory for the list of plugins");
    }
    list->infos = infos;
    infos[list->n] = *info;
    infos[list->n].struct_size = sizeof(*info);
    list->n++;
    return DLQ_OK;
}

static bool
has_origin(const struct dlq_catalog *catalog, const char *origin)
{
    for (size_t i = 0; i < catalog->n; i++) {
        if (!strcmp(catalog->items[i].origin, origin)) {
            return true;
        }
    }
    return false;
}

// Bindings that no installed file stands for: added tables, and files that are gone by now.
// Strings of a binding live as long as the registry. [lock held]
static int32_t
list_bindings(struct dlq_registry *reg, struct listing *list, struct dlq_error *err)
{
    int32_t rc = DLQ_OK;
    for (size_t i = 0; rc == DLQ_OK && i < reg->n; i++) {
        const struct dlq_binding *const b = &reg->bindings[i];
        const struct dlq_plugin *const p = b->loaded.plugin;
        bool seen = !b->added && has_origin(&list->catalog, b->origin);
        for (size_t k = 0; !seen && !b->added && k < i; k++) {
            seen = !strcmp(reg->bindings[k].origin, b->origin);
        }
        if (!seen) {
            const struct dlq_plugin_info info = {
                .loaded = 1,
                .name = p->name,
                .version = p->version,
                .origin = b->origin,
                .note = p->note ? p->note : "",
                .abi_major = p->header.abi_major,
                .abi_minor = p->header.abi_minor,
            };
            rc = listing_add(reg, list, &info, err);
        }
    }
    return rc;
}

static int32_t
list_installed(struct dlq_registry *reg, struct listing *list, struct dlq_error *err)
{
    int32_t rc = DLQ_OK;
    for (size_t i = 0; rc == DLQ_OK && i < list->catalog.n; i++) {
        struct dlq_installed *const item = &list->catalog.items[i];
        char *const stem_end = item->file + strlen(item->file) - strlen(".so");
        *stem_end = '\0';
        const struct dlq_plugin_info info = {
            .loaded = dlq_loader_has_file(item->dev, item->ino),
            .name = item->name ? item->name : item->file,
            .version = item->version,
            .origin = item->origin,
            .note = item->text ? item->text : "",
            .problem = item->problem,
            .abi_major = item->abi_major,
            .abi_minor = item->abi_minor,
        };
        rc = listing_add(reg, list, &info, err);
    }
    return rc;
}

static int
compare(const void *a, const void *b)
{
    const struct dlq_plugin_info *const x = a;
    const struct dlq_plugin_info *const y = b;
    const int by_name = strcmp(x->name, y->name);
    return by_name ? by_name : strcmp(x->origin, y->origin);
}

int32_t
dlq_registry_list(struct dlq_registry *reg,
                  void (*visit)(void *ctx, const struct dlq_plugin_info *info), void *ctx,
                  struct dlq_error *err)
{
    struct listing list = {0};
    int32_t rc = DLQ_OK;
    if (reg->policy != DLQ_LOAD_NONE) {
        rc = dlq_catalog_scan(&list.catalog, &reg->search, reg->alloc, err);
    }
    if (rc == DLQ_OK) {
        pthread_mutex_lock(&reg->lock);
        rc = list_bindings(reg, &list, err);
        pthread_mutex_unlock(&reg->lock);
    }
    if (rc == DLQ_OK) {
        rc = list_installed(reg, &list, err);
    }
    if (rc == DLQ_OK) {
        if (list.n > 1) {
            qsort(list.infos, list.n, sizeof(*list.infos), compare);
        }
        for (size_t i = 0; i < list.n; i++) {
            visit(ctx, &list.infos[i]);
        }
    }
    dlq_free(reg->alloc, list.infos);
    dlq_catalog_finish(&list.catalog);
    return rc;
}

// One plugin that may be asked whether it claims a text.
struct claimant {
    const char *name;
    const struct dlq_installed *item; // NULL: added
    struct dlq_loaded loaded;         // Of an added one
};

static int
compare_claimants(const void *a, const void *b)
{
    return strcmp(((const struct claimant *)a)->name, ((const struct claimant *)b)->name);
}

// Added plugins with claims() are asked whatever they are called: their code is here already. Files
// are loaded only when their note announces the claim.
static int32_t
collect_claimants(struct dlq_registry *reg, const struct dlq_catalog *catalog, const char *name,
                  struct claimant **out, size_t *n, struct dlq_error *err)
{
    pthread_mutex_lock(&reg->lock);
    struct claimant *const list = dlq_calloc(reg->alloc, reg->n + catalog->n + 1, sizeof(*list));
    for (size_t i = 0; list && i < reg->n; i++) {
        const struct dlq_binding *const b = &reg->bindings[i];
        if (b->added && strcmp(b->loaded.plugin->name, name) != 0) {
            list[*n] = (struct claimant){.name = b->loaded.plugin->name, .loaded = b->loaded};
            *n += 1;
        }
    }
    pthread_mutex_unlock(&reg->lock);
    if (!list) {
        return dlq_fail(err, DLQ_ENOMEM, "no memory for the plugins that may claim '%s'", name);
    }
    for (size_t i = 0; i < catalog->n; i++) {
        const struct dlq_installed *const item = &catalog->items[i];
        if (dlq_registry_may_load(reg, item) && strcmp(item->name, name) != 0 &&
            (dlq_installed_lists(item, "claims", name) ||
             dlq_installed_lists(item, "aliases", name))) {
            list[*n] = (struct claimant){.name = item->name, .item = item};
            *n += 1;
        }
    }
    if (*n > 1) {
        qsort(list, *n, sizeof(*list), compare_claimants);
    }
    *out = list;
    return DLQ_OK;
}

int32_t
dlq_registry_claimants(struct dlq_registry *reg, const char *name,
                       bool (*visit)(void *ctx, const struct dlq_loaded *loaded), void *ctx,
                       struct dlq_error *err)
{
    struct dlq_catalog catalog = {0};
    struct claimant *list = NULL;
    size_t n = 0;
    int32_t rc = DLQ_OK;
    if (reg->policy != DLQ_LOAD_NONE) {
        rc = dlq_catalog_scan(&catalog, &reg->search, reg->alloc, err);
    }
    if (rc == DLQ_OK) {
        rc = collect_claimants(reg, &catalog, name, &list, &n, err);
    }
    for (size_t i = 0; rc == DLQ_OK && i < n; i++) {
        struct dlq_loaded loaded = list[i].loaded;
        if (list[i].item) {
            struct dlq_error inner = DLQ_ERROR_INIT;
            const int32_t loads = dlq_registry_find(reg, list[i].name, &loaded, &inner);
            if (loads == DLQ_ENOMEM) {
                rc = dlq_fail(err, loads, "%s", inner.msg);
            } else if (loads != DLQ_OK) {
                dlq_log_format(reg->log, DLQ_LOG_WARN, "cannot ask whether it claims '%s': %s",
                               name, inner.msg);
            }
            if (loads != DLQ_OK) {
                continue;
            }
        }
        if (visit(ctx, &loaded)) {
            break;
        }
    }
    dlq_free(reg->alloc, list);
    dlq_catalog_finish(&catalog);
    return rc;
}
