// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQUANT_RUNTIME_H
#define DLQUANT_RUNTIME_H

#include <dlquant/abi.h>
#include <dlquant/host.h>
#include <dlquant/plugin.h>
#include <dlquant/status.h>
#include <dlquant/types.h>

#include <stddef.h>
#include <stdint.h>

/// The runtime: which plugins exist, where their code may come from, memory, log and threads.
///
/// A process may hold several runtimes, and several ranks may share one. A plugin file is loaded
/// and opened once a process and never unloaded.

DLQ_BEGIN_DECLS

typedef struct dlq_runtime dlq_runtime;
typedef struct dlq_quant_config dlq_quant_config;

/// Name of the method that runs layers which a configuration leaves alone.
#define DLQ_METHOD_UNQUANTIZED "unquantized"

/// Host memory. Both functions may be called from any thread.
struct dlq_allocator {
    uint32_t struct_size;                                 ///< Size of this struct
    uint32_t reserved;                                    ///< Zero
    void *ctx;                                            ///< First argument of both
    void *(*alloc)(void *ctx, size_t size, size_t align); ///< NULL when memory is short
    void (*free)(void *ctx, void *ptr);                   ///< Gives back; NULL is a no-op
};

/// The engine's own threads. run() behaves as parallel_for() of struct dlq_host.
struct dlq_threads {
    uint32_t struct_size; ///< Size of this struct
    int32_t n_threads;    ///< Threads that run() uses at most, 1 or more
    void *ctx;            ///< First argument of run()
    void (*run)(void *ctx, int32_t n_tasks, void (*fn)(void *arg, int32_t task), void *arg);
};

/// Which plugin files a runtime may load.
enum dlq_load_policy {
    DLQ_LOAD_INSTALLED = 0, ///< Any name, from the directories of the search order
    DLQ_LOAD_LISTED = 1,    ///< Only names in `allowed`
    DLQ_LOAD_NONE = 2       ///< No files; only plugins added by dlq_runtime_add_plugin()
};

/// How to make a runtime. Zeroes after struct_size are good defaults.
struct dlq_runtime_options {
    uint32_t struct_size;                  ///< Size of this struct
    int32_t load_policy;                   ///< enum dlq_load_policy
    const char *const *plugin_dirs;        ///< Searched first, ended by NULL; absolute
    const char *const *allowed;            ///< For DLQ_LOAD_LISTED, ended by NULL
    const struct dlq_allocator *allocator; ///< NULL: the system's. Copied
    const struct dlq_threads *threads;     ///< NULL: a pool of its own. Copied
    int32_t n_threads;                     ///< Size of that pool; 0: all cores
    int32_t log_level;                     ///< Highest level for `log`
    void *log_ctx;                         ///< First argument of `log`
    /// NULL: no log. Called from any thread, also while a plugin opens: must not call the runtime.
    void (*log)(void *ctx, int32_t level, const char *line);
    /// Facts of a device that this machine may lack, to plan layers for it (DLQ_LINEAR_PLAN); they
    /// hide those of a real device of its kind and index. NULL: none. Copied
    const struct dlq_device_info *planned_device;
};

/// Make a runtime. On success the caller owns `*out` until dlq_runtime_destroy(). `options` may be
/// NULL. [any-thread] @since 1.0
DLQ_API int32_t
dlq_runtime_create(const struct dlq_runtime_options *options, dlq_runtime **out,
                   struct dlq_error *err);

/// Free a runtime; its layers, configurations and checkpoints must be gone. NULL is a no-op.
/// [setup] @since 1.0
DLQ_API void
dlq_runtime_destroy(dlq_runtime *rt);

/// Register a plugin that is no file: a static build, a test, an engine's own method. It is
/// negotiated and opened as a file would be, and wins over files. DLQ_EEXIST names both origins
/// when one of its names is taken. `plugin` must outlive the process's last runtime. [any-thread]
/// @since 1.0
DLQ_API int32_t
dlq_runtime_add_plugin(dlq_runtime *rt, const struct dlq_plugin *plugin, struct dlq_error *err);

/// The plugin that answers to `name`, loaded when it is not yet. Names are untrusted text: a name
/// outside the grammar never touches a file. The error lists every place tried and why it failed,
/// and the names that are known. [any-thread] @since 1.0
DLQ_API int32_t
dlq_runtime_find(dlq_runtime *rt, const char *name, const struct dlq_plugin **out,
                 struct dlq_error *err);

/// A plugin as dlq_runtime_list() reports it.
struct dlq_plugin_info {
    uint32_t struct_size; ///< Size of this struct as the library knows it
    int32_t loaded;       ///< 1 when its code has been loaded
    const char *name;     ///< Canonical name, or the file's stem when it cannot be read
    const char *version;  ///< Version, or ""
    const char *origin;   ///< Absolute path, or "added" for dlq_runtime_add_plugin()
    const char *note;     ///< JSON of the ELF note, or ""
    const char *problem;  ///< Why it cannot be used, or NULL
    int32_t abi_major;    ///< -1 when unknown
    int32_t abi_minor;    ///< -1 when unknown
};

/// Report every plugin that is loaded or installed, sorted by name then origin, without running any
/// plugin's code. The strings live for the call of `visit` only. [any-thread] @since 1.0
DLQ_API int32_t
dlq_runtime_list(dlq_runtime *rt, void (*visit)(void *ctx, const struct dlq_plugin_info *info),
                 void *ctx, struct dlq_error *err);

/// Facts of a device of this machine. DLQ_EDEVICE says why a device cannot be used.
/// [any-thread] @since 1.0
DLQ_API int32_t
dlq_runtime_device_info(dlq_runtime *rt, struct dlq_device device, struct dlq_device_info *out,
                        struct dlq_error *err);

/// The host table that this runtime gives to plugins. Lives as long as the runtime.
/// [any-thread] @since 1.0
DLQ_API const struct dlq_host *
dlq_runtime_host(dlq_runtime *rt);

/// Library version as "0.1.0". [any-thread] @since 1.0
DLQ_API const char *
dlq_version(void);

/// Make a configuration of method `name` from the JSON text of its quantization section. `len` 0:
/// none. On success the caller owns `*out` until dlq_quant_config_destroy(). [setup] @since 1.0
DLQ_API int32_t
dlq_quant_config_create(dlq_runtime *rt, const char *name, const char *text, size_t len,
                        dlq_quant_config **out, struct dlq_error *err);

/// Make the configuration that text with `quant_method` = `name` asks for on `device`. A loaded or
/// installed plugin that claims the text is preferred to the one of that name, with an INFO line.
/// [setup] @since 1.0
DLQ_API int32_t
dlq_quant_config_choose(dlq_runtime *rt, const char *name, const char *text, size_t len,
                        struct dlq_device device, dlq_quant_config **out, struct dlq_error *err);

/// Free a configuration; its layers must be gone. NULL is a no-op. [setup] @since 1.0
DLQ_API void
dlq_quant_config_destroy(dlq_quant_config *config);

/// Canonical name of the configuration's method. Lives as long as the configuration.
/// [any-thread] @since 1.0
DLQ_API const char *
dlq_quant_config_name(const dlq_quant_config *config);

/// A line for people; returns as snprintf does. [any-thread] @since 1.0
DLQ_API int32_t
dlq_quant_config_describe(const dlq_quant_config *config, char *buf, size_t size);

/// The plugin that the configuration belongs to. [any-thread] @since 1.0
DLQ_API const struct dlq_plugin *
dlq_quant_config_plugin(const dlq_quant_config *config);

/// An extension of the configuration's plugin by id, or NULL. [any-thread] @since 1.0
DLQ_API const void *
dlq_quant_config_extension(const dlq_quant_config *config, const char *id);

/// The plugin's own object of the configuration, for functions of its extensions that take one.
/// Lives as long as the configuration. [any-thread] @since 1.0
DLQ_API const void *
dlq_quant_config_object(const dlq_quant_config *config);

DLQ_END_DECLS

#endif // DLQUANT_RUNTIME_H
