// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "registry.h"

#include "alloc.h"
#include "error.h"
#include "plugin_check.h"

#include <string.h>

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

bool
dlq_registry_allows(const struct dlq_registry *reg, const char *name)
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

int32_t
dlq_registry_bind_file(struct dlq_registry *reg, const char *name, const char *origin,
                       struct dlq_loaded *loaded, struct dlq_error *err)
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

bool
dlq_registry_lookup(struct dlq_registry *reg, const char *name, struct dlq_loaded *loaded,
                    bool *added)
{
    pthread_mutex_lock(&reg->lock);
    const struct dlq_binding *const b = lookup(reg, name);
    if (b) {
        *loaded = b->loaded;
        *added = b->added;
    }
    pthread_mutex_unlock(&reg->lock);
    return b != NULL;
}
