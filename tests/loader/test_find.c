// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "plugin_dirs.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void
loading_logs_one_line_with_name_version_path_and_abi(void **state)
{
    struct plugin_dirs *const s = *state;
    struct dlq_error err = DLQ_ERROR_INIT;
    char expected[512];
    plugin_install("tiny", s->dir, "tiny.so");
    test_assert_ok(plugin_dirs_find(s, "tiny", &err), &err);
    snprintf(expected, sizeof(expected),
             "3 tiny opened\n2 plugin tiny 1.2.3 loaded from %s/tiny.so, plugin ABI 1.0, host ABI "
             "1.0\n",
             s->dir);
    assert_string_equal(s->log, expected);
}

static void
the_first_of_two_directories_wins_and_the_log_says_so(void **state)
{
    struct plugin_dirs *const s = *state;
    struct dlq_error err = DLQ_ERROR_INIT;
    char expected[512];
    plugin_install("tiny", s->dir, "tiny.so");
    plugin_install("tiny", s->other, "tiny.so");
    test_assert_ok(plugin_dirs_find(s, "tiny", &err), &err);
    snprintf(expected, sizeof(expected),
             "2 %s/tiny.so is hidden by %s/tiny.so, which comes first\n", s->other, s->dir);
    assert_non_null(strstr(s->log, expected));
}

static void
a_broken_first_file_is_not_replaced_by_a_good_second(void **state)
{
    struct plugin_dirs *const s = *state;
    test_write_text(s->dir, "tiny.so", "not a plugin");
    plugin_install("tiny", s->other, "tiny.so");
    plugin_dirs_refused(s, "tiny", "tiny.so", DLQ_EFORMAT, "%s: not an ELF file");
}

static void
the_error_of_a_later_directory_says_where_else_was_looked(void **state)
{
    struct plugin_dirs *const s = *state;
    struct dlq_error err = DLQ_ERROR_INIT;
    char expected[512];
    test_write_text(s->other, "tiny.so", "not a plugin");
    assert_int_equal(plugin_dirs_find(s, "tiny", &err), DLQ_EFORMAT);
    snprintf(expected, sizeof(expected),
             "%s/tiny.so: not an ELF file (before it, %s (plugin_dirs): no tiny.so)", s->other,
             s->dir);
    assert_string_equal(err.msg, expected);
}

static void
one_file_under_two_names_is_opened_once(void **state)
{
    struct plugin_dirs *const s = *state;
    struct dlq_error err = DLQ_ERROR_INIT;
    const struct dlq_plugin *a = NULL;
    const struct dlq_plugin *b = NULL;
    plugin_install("tiny", s->dir, "tiny.so");
    assert_int_equal(link(test_path(s->dir, "tiny.so"), test_path(s->dir, "tiny_alias.so")), 0);
    dlq_runtime *const rt = plugin_dirs_runtime(s);
    test_assert_ok(dlq_runtime_find(rt, "tiny", &a, &err), &err);
    test_assert_ok(dlq_runtime_find(rt, "tiny-alias", &b, &err), &err);
    assert_ptr_equal(a, b);
    assert_null(strstr(s->log, "opened again"));
    dlq_runtime_destroy(rt);
}

static void
a_file_of_another_name_must_list_it(void **state)
{
    struct plugin_dirs *const s = *state;
    struct dlq_error err = DLQ_ERROR_INIT;
    plugin_install("tiny", s->dir, "tiny.so");
    assert_int_equal(link(test_path(s->dir, "tiny.so"), test_path(s->dir, "stranger.so")), 0);
    plugin_dirs_refused(s, "stranger", "stranger.so", DLQ_EPLUGIN,
                        "%s: name: expected 'stranger' as name or alias, found 'tiny'");
    // Also when the file is loaded already.
    test_assert_ok(plugin_dirs_find(s, "tiny", &err), &err);
    plugin_dirs_refused(s, "stranger", "stranger.so", DLQ_EPLUGIN,
                        "%s: name: expected 'stranger' as name or alias, found 'tiny'");
}

static void
a_symbolic_link_is_judged_by_what_it_leads_to(void **state)
{
    struct plugin_dirs *const s = *state;
    struct dlq_error err = DLQ_ERROR_INIT;
    plugin_install("tiny", s->other, "somewhere.bin");
    assert_int_equal(symlink(test_path(s->other, "somewhere.bin"), test_path(s->dir, "tiny.so")),
                     0);
    assert_int_equal(chmod(s->other, 0777), 0);
    char message[512];
    snprintf(message, sizeof(message),
             "%%s: refused: directory %s has mode 0777, others may write it", s->other);
    plugin_dirs_refused(s, "tiny", "tiny.so", DLQ_EPERM, message);
    assert_int_equal(chmod(s->other, 0700), 0);
    test_assert_ok(plugin_dirs_find(s, "tiny", &err), &err);
}

static void
a_dangling_link_is_not_a_file(void **state)
{
    struct plugin_dirs *const s = *state;
    struct dlq_error err = DLQ_ERROR_INIT;
    assert_int_equal(symlink("/nonexistent/tiny.so", test_path(s->dir, "tiny.so")), 0);
    test_assert_error(plugin_dirs_find(s, "tiny", &err), &err, DLQ_ENOTFOUND, "no tiny.so");
}

static void
two_runtimes_share_one_open_plugin(void **state)
{
    struct plugin_dirs *const s = *state;
    struct dlq_error err = DLQ_ERROR_INIT;
    plugin_install("tiny", s->dir, "tiny.so");
    test_assert_ok(plugin_dirs_find(s, "tiny", &err), &err);
    test_assert_ok(plugin_dirs_find(s, "tiny", &err), &err);
    assert_non_null(strstr(s->log, "tiny opened\n"));
    assert_null(strstr(s->log, "opened again"));
}

static void
a_file_replaced_while_in_use_is_an_error_not_the_old_plugin(void **state)
{
    struct plugin_dirs *const s = *state;
    struct dlq_error err = DLQ_ERROR_INIT;
    plugin_install("tiny", s->dir, "tiny.so");
    test_assert_ok(plugin_dirs_find(s, "tiny", &err), &err);
    plugin_install("tiny", s->dir, "new");
    assert_int_equal(rename(test_path(s->dir, "new"), test_path(s->dir, "tiny.so")), 0);
    plugin_dirs_refused(
        s, "tiny", "tiny.so", DLQ_ESTATE,
        "%s: the file was replaced while in use; restart the process to load the new "
        "one");
}

static void
an_alias_without_a_file_is_found_through_the_notes(void **state)
{
    struct plugin_dirs *const s = *state;
    struct dlq_error err = DLQ_ERROR_INIT;
    const struct dlq_plugin *plugin = NULL;
    plugin_install("tiny", s->other, "tiny.so");
    dlq_runtime *const rt = plugin_dirs_runtime(s);
    test_assert_ok(dlq_runtime_find(rt, "tiny-alias", &plugin, &err), &err);
    assert_string_equal(plugin->name, "tiny");
    dlq_runtime_destroy(rt);
}

static void
an_alias_of_two_files_in_one_directory_is_ambiguous(void **state)
{
    struct plugin_dirs *const s = *state;
    struct dlq_error err = DLQ_ERROR_INIT;
    plugin_install("tiny", s->dir, "tiny.so");
    plugin_install("null_config", s->dir, "null_config.so"); // Its note is fine
    assert_int_equal(plugin_dirs_find(s, "tiny-alias", &err), DLQ_EEXIST);
    char expected[512];
    snprintf(expected, sizeof(expected),
             "plugin name 'tiny-alias' is an alias of both %s/null_config.so and %s/tiny.so",
             s->dir, s->dir);
    assert_string_equal(err.msg, expected);
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
    struct plugin_dirs *const s = *state;
    plugin_install("tiny", s->dir, "tiny.so");
    dlq_runtime *const rt = plugin_dirs_runtime(s);
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

int
main(void)
{
    const struct CMUnitTest tests[] = {
        PLUGIN_DIRS_TEST(loading_logs_one_line_with_name_version_path_and_abi),
        PLUGIN_DIRS_TEST(the_first_of_two_directories_wins_and_the_log_says_so),
        PLUGIN_DIRS_TEST(a_broken_first_file_is_not_replaced_by_a_good_second),
        PLUGIN_DIRS_TEST(the_error_of_a_later_directory_says_where_else_was_looked),
        PLUGIN_DIRS_TEST(one_file_under_two_names_is_opened_once),
        PLUGIN_DIRS_TEST(a_file_of_another_name_must_list_it),
        PLUGIN_DIRS_TEST(a_symbolic_link_is_judged_by_what_it_leads_to),
        PLUGIN_DIRS_TEST(a_dangling_link_is_not_a_file),
        PLUGIN_DIRS_TEST(two_runtimes_share_one_open_plugin),
        PLUGIN_DIRS_TEST(a_file_replaced_while_in_use_is_an_error_not_the_old_plugin),
        PLUGIN_DIRS_TEST(an_alias_without_a_file_is_found_through_the_notes),
        PLUGIN_DIRS_TEST(an_alias_of_two_files_in_one_directory_is_ambiguous),
        PLUGIN_DIRS_TEST(threads_that_ask_at_once_open_once),
    };
    return cmocka_run_group_tests_name("find", tests, NULL, NULL);
}
