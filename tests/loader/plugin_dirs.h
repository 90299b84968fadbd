// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TESTS_PLUGIN_DIRS_H
#define DLQ_TESTS_PLUGIN_DIRS_H

#include "support.h"

#include <dlquant/plugin.h>

/// Two fresh directories a test, so that every plugin file is one that this process has not seen,
/// and runtimes that look there.

struct plugin_dirs {
    char *dir;
    char *other;
    char log[4096]; ///< All lines, each behind its level
    struct dlq_runtime_options options;
    const char *dirs[3];
    dlq_runtime *rt; ///< Of plugin_dirs_start()
};

int
plugin_dirs_set_up(void **state);

int
plugin_dirs_tear_down(void **state);

#define PLUGIN_DIRS_TEST(fn)                                                                       \
    cmocka_unit_test_setup_teardown(fn, plugin_dirs_set_up, plugin_dirs_tear_down)

/// The runtime of a test, with the options as they are; freed when the test ends.
dlq_runtime *
plugin_dirs_start(struct plugin_dirs *s);

/// Another runtime, which logs everything; destroy it.
dlq_runtime *
plugin_dirs_runtime(struct plugin_dirs *s);

/// Look for a plugin in another runtime.
int32_t
plugin_dirs_find(struct plugin_dirs *s, const char *name, struct dlq_error *err);

/// plugin_dirs_find() must fail with a message that is `format` with the file's path in the place
/// of %s.
void
plugin_dirs_refused(struct plugin_dirs *s, const char *name, const char *file, int32_t code,
                    const char *format);

/// Put the plugin that was built as `plugin` into a directory as `file`.
void
plugin_install(const char *plugin, const char *dir, const char *file);

/// plugin_install() with `from` in the bytes replaced by `to` of equal length.
void
plugin_install_changed(const char *plugin, const char *dir, const char *file, const char *from,
                       const char *to);

/// Find a plugin, which must succeed.
const struct dlq_plugin *
plugin_found(dlq_runtime *rt, const char *name);

/// Add a plugin, which must succeed.
void
plugin_added(dlq_runtime *rt, const struct dlq_plugin *plugin);

#endif // DLQ_TESTS_PLUGIN_DIRS_H
