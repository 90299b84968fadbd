// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "support.h"

#include <dlquant/plugin.h>
#include <dlquant/runtime.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

// Each test has two fresh directories, so that every file is one that this process has not seen.
struct setup {
    char *dir;
    char *other;
    char log[4096]; // All lines, each behind its level
};

static int
set_up(void **state)
{
    struct setup *const s = calloc(1, sizeof(*s));
    s->dir = test_tmpdir();
    s->other = test_tmpdir();
    *state = s;
    return 0;
}

static int
tear_down(void **state)
{
    struct setup *const s = *state;
    test_tmpdir_remove(s->dir);
    test_tmpdir_remove(s->other);
    free(s);
    return 0;
}

static void
keep_line(void *ctx, int32_t level, const char *line)
{
    struct setup *const s = ctx;
    const size_t len = strlen(s->log);
    snprintf(s->log + len, sizeof(s->log) - len, "%d %s\n", (int)level, line);
}

static dlq_runtime *
make_runtime(struct setup *s)
{
    const char *const dirs[] = {s->dir, s->other, NULL};
    const struct dlq_runtime_options options = {
        .struct_size = sizeof(options),
        .plugin_dirs = dirs,
        .n_threads = 1,
        .log_level = DLQ_LOG_DEBUG,
        .log_ctx = s,
        .log = keep_line,
    };
    struct dlq_error err = DLQ_ERROR_INIT;
    dlq_runtime *rt = NULL;
    test_assert_ok(dlq_runtime_create(&options, &rt, &err), &err);
    return rt;
}

// Put the plugin that was built as `plugin` into a directory as `file`.
static void
install(const char *plugin, const char *dir, const char *file)
{
    char path[512];
    size_t len = 0;
    snprintf(path, sizeof(path), TINY_DIR "/%s.so", plugin);
    char *const bytes = test_read(path, &len);
    test_write(dir, file, bytes, len);
    assert_int_equal(chmod(test_path(dir, file), 0755), 0);
    free(bytes);
}

static int32_t
find(struct setup *s, const char *name, struct dlq_error *err)
{
    dlq_runtime *const rt = make_runtime(s);
    const struct dlq_plugin *plugin = NULL;
    const int32_t rc = dlq_runtime_find(rt, name, &plugin, err);
    assert_true((rc == DLQ_OK) == (plugin != NULL));
    dlq_runtime_destroy(rt);
    return rc;
}

// A message that is `format` with the file's path in the place of %s.
static void
assert_refused(struct setup *s, const char *name, const char *file, int32_t code,
               const char *format)
{
    struct dlq_error err = DLQ_ERROR_INIT;
    char expected[DLQ_ERROR_MSG_SIZE];
    const char *const at = strstr(format, "%s");
    assert_non_null(at);
    snprintf(expected, sizeof(expected), "%.*s%s/%s%s", (int)(at - format), format, s->dir, file,
             at + 2);
    assert_int_equal(find(s, name, &err), code);
    assert_int_equal(err.code, code);
    assert_string_equal(err.msg, expected);
    // The same without an error record.
    assert_int_equal(find(s, name, NULL), code);
}

#define GRAMMAR "[a-z0-9][a-z0-9_.-]{0,62} without '..'"

static const struct {
    const char *plugin;
    int32_t code;
    const char *message;
} defects[] = {
    {"no_symbol", DLQ_EPLUGIN, "%s: not a plugin: no symbol dlq_plugin_query"},
    {"query_null", DLQ_EPLUGIN, "%s: dlq_plugin_query() returned NULL"},
    {"bad_magic", DLQ_EABI, "%s: magic: expected 0x50514c44, found 0x21444142"},
    {"other_major", DLQ_EABI, "%s: abi_major: expected 1, found 2"},
    {"host_too_old", DLQ_EABI,
     "%s: host_min_minor: expected at most 0, the minor of this host, found 2"},
    {"struct_small", DLQ_EABI, "%s: struct_size: expected at least 88, found 72"},
    {"unknown_need", DLQ_EABI, "%s: need: expected bits of 0xf, found 0x10000000001"},
    {"wrong_name", DLQ_EPLUGIN,
     "%s: name: expected 'wrong_name' as name or alias, found 'somebody-else'"},
    {"name_grammar", DLQ_EPLUGIN, "%s: name: expected " GRAMMAR ", found 'Name/../Grammar'"},
    {"alias_grammar", DLQ_EPLUGIN, "%s: aliases[0]: expected " GRAMMAR ", found 'two..dots'"},
    {"null_name", DLQ_EPLUGIN, "%s: name: expected " GRAMMAR ", found 'NULL'"},
    {"null_version", DLQ_EPLUGIN, "%s: version: expected at most 63 bytes, found NULL"},
    {"null_config", DLQ_EPLUGIN, "%s: config: expected a pointer, found NULL"},
    {"config_small", DLQ_EABI, "%s: config->struct_size: expected at least 64, found 40"},
    {"null_devices", DLQ_EPLUGIN, "%s: config->devices: expected a pointer, found NULL"},
    {"null_filenames", DLQ_EPLUGIN, "%s: config->config_filenames: expected a pointer, found NULL"},
    {"null_create", DLQ_EPLUGIN, "%s: config->create: expected a pointer, found NULL"},
    {"null_get_quant_method", DLQ_EPLUGIN,
     "%s: config->get_quant_method: expected a pointer, found NULL"},
    {"null_describe", DLQ_EPLUGIN, "%s: config->describe: expected a pointer, found NULL"},
    {"null_destroy", DLQ_EPLUGIN, "%s: config->destroy: expected a pointer, found NULL"},
    {"open_fails", DLQ_EDEVICE, "%s: open_fails: open: the coprocessor is on holiday"},
    {"open_no_status", DLQ_EPLUGIN, "%s: open_no_status: open returned -1, which is no status"},
    {"open_silent", DLQ_EUNSUPPORTED, "%s: open_silent: open: Not supported"},
};

static void
defects_are_refused_with_their_exact_message(void **state)
{
    struct setup *const s = *state;
    for (size_t i = 0; i < TEST_COUNT(defects); i++) {
        char file[64];
        snprintf(file, sizeof(file), "%s.so", defects[i].plugin);
        install(defects[i].plugin, s->dir, file);
        assert_refused(s, defects[i].plugin, file, defects[i].code, defects[i].message);
    }
}

static void
a_missing_file_is_reported_with_every_place_and_the_known_names(void **state)
{
    struct setup *const s = *state;
    struct dlq_error err = DLQ_ERROR_INIT;
    char places[1024];
    install("tiny", s->other, "tiny.so");
    const int32_t rc = find(s, "no-such", &err);
    snprintf(places, sizeof(places),
             "unknown quantization method 'no-such'; known: tiny; looked in: %s (plugin_dirs): no "
             "no_such.so; %s (plugin_dirs): no no_such.so; ",
             s->dir, s->other);
    assert_int_equal(rc, DLQ_ENOTFOUND);
    assert_memory_equal(err.msg, places, strlen(places));
}

static void
a_file_that_is_no_elf_is_refused(void **state)
{
    struct setup *const s = *state;
    test_write_text(s->dir, "tiny.so", "#!/bin/sh\necho tiny\n");
    assert_refused(s, "tiny", "tiny.so", DLQ_EFORMAT, "%s: not an ELF file");
    test_write(s->dir, "tiny.so", "", 0);
    assert_refused(s, "tiny", "tiny.so", DLQ_EFORMAT, "%s: not an ELF file");
}

static void
a_truncated_elf_is_refused_before_it_is_mapped(void **state)
{
    struct setup *const s = *state;
    struct dlq_error err = DLQ_ERROR_INIT;
    size_t len = 0;
    char *const bytes = test_read(TINY_DIR "/tiny.so", &len);
    test_write(s->dir, "tiny.so", bytes, 20);
    assert_refused(s, "tiny", "tiny.so", DLQ_EFORMAT,
                   "%s: truncated ELF file, header bytes: expected 64, found 20");
    test_write(s->dir, "tiny.so", bytes, 100);
    test_assert_error(find(s, "tiny", &err), &err, DLQ_EFORMAT,
                      "tiny.so: truncated ELF file, bytes for program headers: expected ");
    // All headers are there, the data is not.
    test_write(s->dir, "tiny.so", bytes, 4096);
    test_assert_error(find(s, "tiny", &err), &err, DLQ_EFORMAT,
                      "tiny.so: truncated ELF file, bytes for a segment: expected ");
    free(bytes);
}

static void
a_file_that_others_may_write_is_refused(void **state)
{
    struct setup *const s = *state;
    install("tiny", s->dir, "tiny.so");
    assert_int_equal(chmod(test_path(s->dir, "tiny.so"), 0757), 0);
    assert_refused(s, "tiny", "tiny.so", DLQ_EPERM,
                   "%s: refused: file has mode 0757, others may write it");
    assert_int_equal(chmod(test_path(s->dir, "tiny.so"), 0775), 0);
    assert_refused(s, "tiny", "tiny.so", DLQ_EPERM,
                   "%s: refused: file has mode 0775, others may write it");
}

static void
a_directory_that_others_may_write_is_refused(void **state)
{
    static const mode_t modes[] = {0777, 0770, 01777};
    struct setup *const s = *state;
    install("tiny", s->dir, "tiny.so");
    for (size_t i = 0; i < TEST_COUNT(modes); i++) {
        char message[512];
        assert_int_equal(chmod(s->dir, modes[i]), 0);
        snprintf(message, sizeof(message),
                 "%%s: refused: directory %s has mode %04o, others may write it", s->dir,
                 (unsigned)modes[i]);
        assert_refused(s, "tiny", "tiny.so", DLQ_EPERM, message);
    }
    assert_int_equal(chmod(s->dir, 0700), 0);
}

static void
a_file_with_a_missing_symbol_is_refused_with_its_name(void **state)
{
    struct setup *const s = *state;
    struct dlq_error err = DLQ_ERROR_INIT;
    install("undefined_symbol", s->dir, "undefined_symbol.so");
    test_assert_error(find(s, "undefined_symbol", &err), &err, DLQ_EPLUGIN,
                      "undefined_symbol.so: cannot load: ");
    assert_int_equal(find(s, "undefined_symbol", &err), DLQ_EPLUGIN);
    assert_non_null(strstr(err.msg, "undefined symbol: nobody_has_this"));
}

// The library cannot survive a crash in a plugin's own code; what it can do is not to run the code
// before somebody asks for that very name.
static void
a_crash_in_open_needs_somebody_to_ask_for_the_name(void **state)
{
    struct setup *const s = *state;
    struct dlq_error err = DLQ_ERROR_INIT;
    install("open_crashes", s->dir, "open_crashes.so");
    install("tiny", s->dir, "tiny.so");
    test_assert_ok(find(s, "tiny", &err), &err);
    assert_int_equal(find(s, "no-such", &err), DLQ_ENOTFOUND);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGILL, SIG_DFL); // cmocka has a handler that would go on with the next test
        dlq_runtime *const rt = make_runtime(s);
        const struct dlq_plugin *plugin = NULL;
        (void)dlq_runtime_find(rt, "open_crashes", &plugin, NULL);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) != 0);
}

static void
loading_logs_one_line_with_name_version_path_and_abi(void **state)
{
    struct setup *const s = *state;
    struct dlq_error err = DLQ_ERROR_INIT;
    char expected[512];
    install("tiny", s->dir, "tiny.so");
    test_assert_ok(find(s, "tiny", &err), &err);
    snprintf(expected, sizeof(expected),
             "3 tiny opened\n2 plugin tiny 1.2.3 loaded from %s/tiny.so, plugin ABI 1.0, host ABI "
             "1.0\n",
             s->dir);
    assert_string_equal(s->log, expected);
}

static void
the_first_of_two_directories_wins_and_the_log_says_so(void **state)
{
    struct setup *const s = *state;
    struct dlq_error err = DLQ_ERROR_INIT;
    char expected[512];
    install("tiny", s->dir, "tiny.so");
    install("tiny", s->other, "tiny.so");
    test_assert_ok(find(s, "tiny", &err), &err);
    snprintf(expected, sizeof(expected),
             "2 %s/tiny.so is hidden by %s/tiny.so, which comes first\n", s->other, s->dir);
    assert_non_null(strstr(s->log, expected));
}

static void
a_broken_first_file_is_not_replaced_by_a_good_second(void **state)
{
    struct setup *const s = *state;
    test_write_text(s->dir, "tiny.so", "not a plugin");
    install("tiny", s->other, "tiny.so");
    assert_refused(s, "tiny", "tiny.so", DLQ_EFORMAT, "%s: not an ELF file");
}

static void
the_error_of_a_later_directory_says_where_else_was_looked(void **state)
{
    struct setup *const s = *state;
    struct dlq_error err = DLQ_ERROR_INIT;
    char expected[512];
    test_write_text(s->other, "tiny.so", "not a plugin");
    assert_int_equal(find(s, "tiny", &err), DLQ_EFORMAT);
    snprintf(expected, sizeof(expected),
             "%s/tiny.so: not an ELF file (before it, %s (plugin_dirs): no tiny.so)", s->other,
             s->dir);
    assert_string_equal(err.msg, expected);
}

static void
one_file_under_two_names_is_opened_once(void **state)
{
    struct setup *const s = *state;
    struct dlq_error err = DLQ_ERROR_INIT;
    const struct dlq_plugin *a = NULL;
    const struct dlq_plugin *b = NULL;
    install("tiny", s->dir, "tiny.so");
    assert_int_equal(link(test_path(s->dir, "tiny.so"), test_path(s->dir, "tiny_alias.so")), 0);
    dlq_runtime *const rt = make_runtime(s);
    test_assert_ok(dlq_runtime_find(rt, "tiny", &a, &err), &err);
    test_assert_ok(dlq_runtime_find(rt, "tiny-alias", &b, &err), &err);
    assert_ptr_equal(a, b);
    assert_null(strstr(s->log, "opened again"));
    dlq_runtime_destroy(rt);
}

static void
a_file_of_another_name_must_list_it(void **state)
{
    struct setup *const s = *state;
    struct dlq_error err = DLQ_ERROR_INIT;
    install("tiny", s->dir, "tiny.so");
    assert_int_equal(link(test_path(s->dir, "tiny.so"), test_path(s->dir, "stranger.so")), 0);
    assert_refused(s, "stranger", "stranger.so", DLQ_EPLUGIN,
                   "%s: name: expected 'stranger' as name or alias, found 'tiny'");
    // Also when the file is loaded already.
    test_assert_ok(find(s, "tiny", &err), &err);
    assert_refused(s, "stranger", "stranger.so", DLQ_EPLUGIN,
                   "%s: name: expected 'stranger' as name or alias, found 'tiny'");
}

static void
a_symbolic_link_is_judged_by_what_it_leads_to(void **state)
{
    struct setup *const s = *state;
    struct dlq_error err = DLQ_ERROR_INIT;
    install("tiny", s->other, "somewhere.bin");
    assert_int_equal(symlink(test_path(s->other, "somewhere.bin"), test_path(s->dir, "tiny.so")),
                     0);
    assert_int_equal(chmod(s->other, 0777), 0);
    char message[512];
    snprintf(message, sizeof(message),
             "%%s: refused: directory %s has mode 0777, others may write it", s->other);
    assert_refused(s, "tiny", "tiny.so", DLQ_EPERM, message);
    assert_int_equal(chmod(s->other, 0700), 0);
    test_assert_ok(find(s, "tiny", &err), &err);
}

static void
a_dangling_link_is_not_a_file(void **state)
{
    struct setup *const s = *state;
    struct dlq_error err = DLQ_ERROR_INIT;
    assert_int_equal(symlink("/nonexistent/tiny.so", test_path(s->dir, "tiny.so")), 0);
    test_assert_error(find(s, "tiny", &err), &err, DLQ_ENOTFOUND, "no tiny.so");
}

static void
two_runtimes_share_one_open_plugin(void **state)
{
    struct setup *const s = *state;
    struct dlq_error err = DLQ_ERROR_INIT;
    install("tiny", s->dir, "tiny.so");
    test_assert_ok(find(s, "tiny", &err), &err);
    test_assert_ok(find(s, "tiny", &err), &err);
    assert_non_null(strstr(s->log, "tiny opened\n"));
    assert_null(strstr(s->log, "opened again"));
}

static void
a_file_replaced_while_in_use_is_an_error_not_the_old_plugin(void **state)
{
    struct setup *const s = *state;
    struct dlq_error err = DLQ_ERROR_INIT;
    install("tiny", s->dir, "tiny.so");
    test_assert_ok(find(s, "tiny", &err), &err);
    install("tiny", s->dir, "new");
    assert_int_equal(rename(test_path(s->dir, "new"), test_path(s->dir, "tiny.so")), 0);
    assert_refused(s, "tiny", "tiny.so", DLQ_ESTATE,
                   "%s: the file was replaced while in use; restart the process to load the new "
                   "one");
}

static void
an_alias_without_a_file_is_found_through_the_notes(void **state)
{
    struct setup *const s = *state;
    struct dlq_error err = DLQ_ERROR_INIT;
    const struct dlq_plugin *plugin = NULL;
    install("tiny", s->other, "tiny.so");
    dlq_runtime *const rt = make_runtime(s);
    test_assert_ok(dlq_runtime_find(rt, "tiny-alias", &plugin, &err), &err);
    assert_string_equal(plugin->name, "tiny");
    dlq_runtime_destroy(rt);
}

static void
an_alias_of_two_files_in_one_directory_is_ambiguous(void **state)
{
    struct setup *const s = *state;
    struct dlq_error err = DLQ_ERROR_INIT;
    install("tiny", s->dir, "tiny.so");
    install("null_config", s->dir, "null_config.so"); // Its note is fine
    assert_int_equal(find(s, "tiny-alias", &err), DLQ_EEXIST);
    char expected[512];
    snprintf(expected, sizeof(expected),
             "plugin name 'tiny-alias' is an alias of both %s/null_config.so and %s/tiny.so",
             s->dir, s->dir);
    assert_string_equal(err.msg, expected);
}

static void
names_outside_the_grammar_touch_no_file(void **state)
{
    static const char *const names[] = {"../../evil", "/tmp/evil", "",   "Tiny",    "a/b",
                                        "a..b",       "tiny.so\n", "-a", "\xc3\xa4"};
    struct setup *const s = *state;
    struct dlq_error err = DLQ_ERROR_INIT;
    // A file that would be found if the text became a path.
    test_write_text(s->dir, "evil.so", "evil");
    for (size_t i = 0; i < TEST_COUNT(names); i++) {
        test_assert_error(find(s, names[i], &err), &err, DLQ_EINVAL,
                          "plugin name: expected " GRAMMAR ", found '");
    }
    char longest[80];
    memset(longest, 'a', sizeof(longest));
    longest[63] = '\0';
    assert_int_equal(find(s, longest, &err), DLQ_ENOTFOUND);
    longest[63] = 'a';
    longest[64] = '\0';
    assert_int_equal(find(s, longest, &err), DLQ_EINVAL);
    assert_int_equal(find(s, NULL, &err), DLQ_EINVAL);
}

static void *
find_tiny(void *arg)
{
    dlq_runtime *const rt = arg;
    const struct dlq_plugin *plugin = NULL;
    return dlq_runtime_find(rt, "tiny", &plugin, NULL) == DLQ_OK ? (void *)(uintptr_t)plugin : NULL;
}

static void
threads_that_ask_at_once_open_once(void **state)
{
    struct setup *const s = *state;
    install("tiny", s->dir, "tiny.so");
    dlq_runtime *const rt = make_runtime(s);
    pthread_t threads[8];
    void *found[8];
    for (size_t i = 0; i < TEST_COUNT(threads); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, find_tiny, rt), 0);
    }
    for (size_t i = 0; i < TEST_COUNT(threads); i++) {
        pthread_join(threads[i], &found[i]);
    }
    for (size_t i = 0; i < TEST_COUNT(threads); i++) {
        assert_non_null(found[i]);
        assert_ptr_equal(found[i], found[0]);
    }
    assert_null(strstr(s->log, "opened again"));
    dlq_runtime_destroy(rt);
}

#define LOADER_TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        LOADER_TEST(defects_are_refused_with_their_exact_message),
        LOADER_TEST(a_missing_file_is_reported_with_every_place_and_the_known_names),
        LOADER_TEST(a_file_that_is_no_elf_is_refused),
        LOADER_TEST(a_truncated_elf_is_refused_before_it_is_mapped),
        LOADER_TEST(a_file_that_others_may_write_is_refused),
        LOADER_TEST(a_directory_that_others_may_write_is_refused),
        LOADER_TEST(a_file_with_a_missing_symbol_is_refused_with_its_name),
        LOADER_TEST(a_crash_in_open_needs_somebody_to_ask_for_the_name),
        LOADER_TEST(loading_logs_one_line_with_name_version_path_and_abi),
        LOADER_TEST(the_first_of_two_directories_wins_and_the_log_says_so),
        LOADER_TEST(a_broken_first_file_is_not_replaced_by_a_good_second),
        LOADER_TEST(the_error_of_a_later_directory_says_where_else_was_looked),
        LOADER_TEST(one_file_under_two_names_is_opened_once),
        LOADER_TEST(a_file_of_another_name_must_list_it),
        LOADER_TEST(a_symbolic_link_is_judged_by_what_it_leads_to),
        LOADER_TEST(a_dangling_link_is_not_a_file),
        LOADER_TEST(two_runtimes_share_one_open_plugin),
        LOADER_TEST(a_file_replaced_while_in_use_is_an_error_not_the_old_plugin),
        LOADER_TEST(an_alias_without_a_file_is_found_through_the_notes),
        LOADER_TEST(an_alias_of_two_files_in_one_directory_is_ambiguous),
        LOADER_TEST(names_outside_the_grammar_touch_no_file),
        LOADER_TEST(threads_that_ask_at_once_open_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
