// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "plugin_dirs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void
keep_line(void *ctx, int32_t level, const char *line)
{
    struct plugin_dirs *const s = ctx;
    const size_t len = strlen(s->log);
    snprintf(s->log + len, sizeof(s->log) - len, "%d %s\n", (int)level, line);
}

int
plugin_dirs_set_up(void **state)
{
    struct plugin_dirs *const s = calloc(1, sizeof(*s));
    s->dir = test_tmpdir();
    s->other = test_tmpdir();
    s->dirs[0] = s->dir;
    s->dirs[1] = s->other;
    s->options = (struct dlq_runtime_options){.struct_size = sizeof(s->options),
                                              .plugin_dirs = s->dirs,
                                              .n_threads = 1,
                                              .log_level = DLQ_LOG_INFO,
                                              .log_ctx = s,
                                              .log = keep_line};
    *state = s;
    return 0;
}

int
plugin_dirs_tear_down(void **state)
{
    struct plugin_dirs *const s = *state;
    dlq_runtime_destroy(s->rt);
    test_tmpdir_remove(s->dir);
    test_tmpdir_remove(s->other);
    free(s);
    return 0;
}

dlq_runtime *
plugin_dirs_start(struct plugin_dirs *s)
{
    struct dlq_error err = DLQ_ERROR_INIT;
    test_assert_ok(dlq_runtime_create(&s->options, &s->rt, &err), &err);
    return s->rt;
}

dlq_runtime *
plugin_dirs_runtime(struct plugin_dirs *s)
{
    struct dlq_error err = DLQ_ERROR_INIT;
    dlq_runtime *rt = NULL;
    s->options.log_level = DLQ_LOG_DEBUG;
    test_assert_ok(dlq_runtime_create(&s->options, &rt, &err), &err);
    return rt;
}

int32_t
plugin_dirs_find(struct plugin_dirs *s, const char *name, struct dlq_error *err)
{
    dlq_runtime *const rt = plugin_dirs_runtime(s);
    const struct dlq_plugin *plugin = NULL;
    const int32_t rc = dlq_runtime_find(rt, name, &plugin, err);
    assert_true((rc == DLQ_OK) == (plugin != NULL));
    dlq_runtime_destroy(rt);
    return rc;
}

void
plugin_dirs_refused(struct plugin_dirs *s, const char *name, const char *file, int32_t code,
                    const char *format)
{
    struct dlq_error err = DLQ_ERROR_INIT;
    char expected[DLQ_ERROR_MSG_SIZE];
    const char *const at = strstr(format, "%s");
    assert_non_null(at);
    snprintf(expected, sizeof(expected), "%.*s%s/%s%s", (int)(at - format), format, s->dir, file,
             at + 2);
    assert_int_equal(plugin_dirs_find(s, name, &err), code);
    assert_int_equal(err.code, code);
    assert_string_equal(err.msg, expected);
    // The same without an error record.
    assert_int_equal(plugin_dirs_find(s, name, NULL), code);
}

void
plugin_install_changed(const char *plugin, const char *dir, const char *file, const char *from,
                       const char *to)
{
    char path[512];
    size_t len = 0;
    snprintf(path, sizeof(path), TINY_DIR "/%s.so", plugin);
    char *const bytes = test_read(path, &len);
    const size_t n = strlen(from);
    for (size_t i = 0; n > 0 && i + n < len; i++) {
        if (!memcmp(bytes + i, from, n)) {
            memcpy(bytes + i, to, n);
        }
    }
    test_write(dir, file, bytes, len);
    assert_int_equal(chmod(test_path(dir, file), 0755), 0);
    free(bytes);
}

void
plugin_install(const char *plugin, const char *dir, const char *file)
{
    plugin_install_changed(plugin, dir, file, "", "");
}

const struct dlq_plugin *
plugin_found(dlq_runtime *rt, const char *name)
{
    struct dlq_error err = DLQ_ERROR_INIT;
    const struct dlq_plugin *plugin = NULL;
    test_assert_ok(dlq_runtime_find(rt, name, &plugin, &err), &err);
    return plugin;
}

void
plugin_added(dlq_runtime *rt, const struct dlq_plugin *plugin)
{
    struct dlq_error err = DLQ_ERROR_INIT;
    test_assert_ok(dlq_runtime_add_plugin(rt, plugin, &err), &err);
}
