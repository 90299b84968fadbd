// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CORE_REGISTRY_H
#define DLQ_CORE_REGISTRY_H

#include "catalog.h"
#include "loader.h"
#include "log.h"
#include "path.h"

#include <dlquant/runtime.h>

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

/// Which plugin answers to which name in one runtime.
///
/// Added tables come first, then names that were asked for before, then files: `<dir>/<name>.so` in
/// search order, then the first installed plugin whose note lists the name as an alias. The first
/// file found decides; when it cannot be used that is an error, not a reason to look further.

/// A name and the plugin that it led to.
struct dlq_binding {
    char *name;
    char *origin; ///< Path, or "added"
    struct dlq_loaded loaded;
    bool added;
};

struct dlq_registry {
    const struct dlq_allocator *alloc; ///< These three are the runtime's
    const struct dlq_log *log;
    const struct dlq_host *host;
    struct dlq_search search;
    int32_t policy; ///< enum dlq_load_policy
    char **allowed; ///< For DLQ_LOAD_LISTED
    size_t n_allowed;
    pthread_mutex_t lock;         ///< Guards the bindings; never held while a plugin runs
    struct dlq_binding *bindings; ///< In order of time
    size_t n;
    size_t capacity;
};

/// Begin with options that were copied to this library's size. `alloc`, `log` and `host` outlive
/// the registry.
int32_t
dlq_registry_init(struct dlq_registry *reg, const struct dlq_runtime_options *options,
                  const struct dlq_allocator *alloc, const struct dlq_log *log,
                  const struct dlq_host *host, struct dlq_error *err);

void
dlq_registry_finish(struct dlq_registry *reg);

/// Whether the load policy lets a file answer to `name`.
bool
dlq_registry_allows(const struct dlq_registry *reg, const char *name);

/// The plugin that a name is bound to, without looking at files.
bool
dlq_registry_lookup(struct dlq_registry *reg, const char *name, struct dlq_loaded *loaded,
                    bool *added);

/// Bind a name to the plugin that was loaded for it from `origin`. When another thread was faster,
/// `*loaded` becomes its plugin.
int32_t
dlq_registry_bind_file(struct dlq_registry *reg, const char *name, const char *origin,
                       struct dlq_loaded *loaded, struct dlq_error *err);

/// See dlq_runtime_add_plugin().
int32_t
dlq_registry_add(struct dlq_registry *reg, const struct dlq_plugin *plugin, struct dlq_error *err);

/// See dlq_runtime_find().
int32_t
dlq_registry_find(struct dlq_registry *reg, const char *name, struct dlq_loaded *out,
                  struct dlq_error *err);

/// See dlq_runtime_list().
int32_t
dlq_registry_list(struct dlq_registry *reg,
                  void (*visit)(void *ctx, const struct dlq_plugin_info *info), void *ctx,
                  struct dlq_error *err);

/// Call `visit` for each plugin other than the one that answers to `name` itself whose note, or
/// being added, lets it claim checkpoints of method `name`, in order of their names, until it
/// returns true. Files are loaded for it; one that cannot be is a WARN line.
int32_t
dlq_registry_claimants(struct dlq_registry *reg, const char *name,
                       bool (*visit)(void *ctx, const struct dlq_loaded *loaded), void *ctx,
                       struct dlq_error *err);

/// Whether an installed plugin may be loaded: usable, permitted, and not behind an added one.
bool
dlq_registry_may_load(struct dlq_registry *reg, const struct dlq_installed *item);

/// Open a module of this library in the directories of the search order; DLQ_LOAD_NONE forbids it.
/// See dlq_loader_open_module().
int32_t
dlq_registry_open_module(struct dlq_registry *reg, const char *file, const char *symbol, void **out,
                         struct dlq_error *err);

#endif // DLQ_CORE_REGISTRY_H
