// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CORE_LOADER_H
#define DLQ_CORE_LOADER_H

#include "path.h"

#include <dlquant/plugin.h>

#include <stdbool.h>
#include <stddef.h>

/// Plugins that are in this process: the only user of dlopen.
///
/// A plugin is opened once a process, whatever the number of runtimes and names: a file is known by
/// (device, inode), a table by its address. One process-wide lock covers loading and open(). Once
/// open() has run nothing is unloaded, for the plugin may have left threads or pointers behind. A
/// crash in a plugin's own code cannot be survived in its process; `dlquant-plugin-check` looks at
/// unknown plugins in a child process instead.

/// A plugin of this process. Lives until the process ends.
struct dlq_loaded {
    const struct dlq_plugin *plugin; ///< Checked descriptor
    void *ctx;                       ///< What open() gave
};

/// The plugin in a file that was checked to be trusted, loaded and opened when it is not yet.
/// `origin` is the path for messages. It must answer to `requested`; NULL: to any name. `host` is
/// given to open(). `*fresh` tells whether this call opened it.
int32_t
dlq_loader_open_file(const struct dlq_trusted_file *file, const struct dlq_allocator *alloc,
                     const char *origin, const char *requested, const struct dlq_host *host,
                     struct dlq_loaded *out, bool *fresh, struct dlq_error *err);

/// As dlq_loader_open_file(), for a table that is no file.
int32_t
dlq_loader_open_table(const struct dlq_plugin *plugin, const struct dlq_host *host,
                      struct dlq_loaded *out, struct dlq_error *err);

/// Whether the code of a file has been loaded and opened.
bool
dlq_loader_has_file(dev_t dev, ino_t ino);

/// A function of a module of this library, as dlquant-cuda.so is; the module stays loaded.
int32_t
dlq_loader_open_module(const struct dlq_trusted_file *file, const struct dlq_allocator *alloc,
                       const char *symbol, void **out, struct dlq_error *err);

/// Absolute path of the directory that holds this library, or NULL when it is not known. `buf` has
/// `size` bytes.
const char *
dlq_loader_own_dir(char *buf, size_t size);

#endif // DLQ_CORE_LOADER_H
