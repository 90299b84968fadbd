// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CORE_PLUGIN_CHECK_H
#define DLQ_CORE_PLUGIN_CHECK_H

#include <dlquant/ext/row_split.h>
#include <dlquant/plugin.h>

#include <stdbool.h>
#include <stdint.h>

/// Whether what a plugin hands over can be used: the negotiation, sizes, names and mandatory
/// pointers. Each refusal names the field, what was expected and what was found.

/// The numbers that this host negotiates with.
extern const struct dlq_abi_host dlq_abi_this_host;

/// Check a descriptor, which may be NULL. `origin` (a path, or "added") begins the message.
int32_t
dlq_plugin_check(const struct dlq_plugin *plugin, const char *origin, struct dlq_error *err);

/// Check the functions that a plugin chose for a layer; `plugin` has passed dlq_plugin_check().
int32_t
dlq_plugin_check_method(const struct dlq_plugin *plugin, const struct dlq_linear_method_ops *ops,
                        struct dlq_error *err);

/// Check the functions of the extension DLQ_EXT_ROW_SPLIT, whose struct_size holds all of them.
int32_t
dlq_plugin_check_row_split(const struct dlq_plugin *plugin, const struct dlq_ext_row_split *ext,
                           struct dlq_error *err);

/// Whether the plugin lists `name` as its own or an alias.
bool
dlq_plugin_answers_to(const struct dlq_plugin *plugin, const char *name);

/// Report a failed call into a plugin: "<name>: <what>: <message>", with `inner`'s native number. A
/// plugin that set no message gets the status' own sentence. Returns `rc`, or DLQ_EPLUGIN when that
/// is no status.
int32_t
dlq_plugin_failed(const struct dlq_plugin *plugin, const char *what, int32_t rc,
                  const struct dlq_error *inner, struct dlq_error *err);

#endif // DLQ_CORE_PLUGIN_CHECK_H
