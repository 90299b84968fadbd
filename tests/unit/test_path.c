// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "support.h"

#include "path.h"

#include "alloc.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void
names_inside_the_grammar_are_valid(void **state)
{
    static const char *const names[] = {"a",       "0",  "awq", "w8a8-int8",
                                        "a_b.c-d", "a.", "a-",  "x1.2.3"};
    (void)state;
    for (size_t i = 0; i < TEST_COUNT(names); i++) {
        assert_true(dlq_name_valid(names[i]));
    }
}

static void
names_outside_the_grammar_are_not(void **state)
{
    static const char *const names[] = {"",     "A",   "_a",   ".a",  "-a",   "a..b",
                                        "a/b",  "a b", "aB",   "a\n", "a\\b", "a\x7f",
                                        "\xff", "a..", "../a", "a:b", "a%00", "~a"};
    (void)state;
    assert_false(dlq_name_valid(NULL));
    for (size_t i = 0; i < TEST_COUNT(names); i++) {
        assert_false(dlq_name_valid(names[i]));
    }
}

static void
a_name_has_at_most_63_bytes(void **state)
{
    char name[65];
    (void)state;
    memset(name, 'a', sizeof(name));
    name[63] = '\0';
    assert_true(dlq_name_valid(name));
    name[63] = 'a';
    name[64] = '\0';
    assert_false(dlq_name_valid(name));
    // Without an end in reach: nothing behind the 64th byte is read.
    char *const endless = malloc(64);
    memset(endless, 'a', 64);
    assert_false(dlq_name_valid(endless));
    free(endless);
}

static void
a_file_name_has_underscores_for_dashes(void **state)
{
    char file[DLQ_FILE_NAME_SIZE];
    char longest[64];
    (void)state;
    dlq_name_to_file("w8a8-int8.v2", file);
    assert_string_equal(file, "w8a8_int8.v2.so");
    memset(longest, '-', 63);
    longest[63] = '\0';
    dlq_name_to_file(longest, file);
    assert_int_equal(strlen(file), 66);
}

static void
names_in_messages_are_short_and_printable(void **state)
{
    char text[DLQ_NAME_MAX + 4];
    char endless[200];
    (void)state;
    assert_string_equal(dlq_name_printable("a\nb\x1b[2J\xff", text), "a?b?[2J?");
    memset(endless, 'x', sizeof(endless) - 1);
    endless[199] = '\0';
    dlq_name_printable(endless, text);
    assert_int_equal(strlen(text), 66);
    assert_string_equal(text + 63, "...");
}

static void
the_search_order_is_api_environment_own_directory_compiled(void **state)
{
    static const char *const api[] = {"/api/one/", "/shared", NULL};
    struct dlq_error err = DLQ_ERROR_INIT;
    struct dlq_search s;
    (void)state;
    test_assert_ok(dlq_search_init(&s, &dlq_system_allocator, api, "/env::/shared:rel:/env2/",
                                   "/opt/lib", "/usr/lib/dlquant/plugins-1", &err),
                   &err);
    static const char *const expected[][2] = {
        {"/api/one", "plugin_dirs"},
        {"/shared", "plugin_dirs"},
        {"/env", "DLQ_PLUGIN_PATH"},
        {"rel", "DLQ_PLUGIN_PATH"},
        {"/env2", "DLQ_PLUGIN_PATH"},
        {"/opt/lib/dlquant/plugins-1", "beside libdlquant"},
        {"/usr/lib/dlquant/plugins-1", "compiled in"},
    };
    assert_int_equal(s.n, TEST_COUNT(expected));
    for (size_t i = 0; i < s.n; i++) {
        assert_string_equal(s.dirs[i].path, expected[i][0]);
        assert_string_equal(s.dirs[i].source, expected[i][1]);
    }
    dlq_search_finish(&s, &dlq_system_allocator);
}

static void
the_installed_directory_is_searched_once(void **state)
{
    struct dlq_error err = DLQ_ERROR_INIT;
    struct dlq_search s;
    (void)state;
    test_assert_ok(dlq_search_init(&s, &dlq_system_allocator, NULL, NULL, "/usr/lib",
                                   "/usr/lib/dlquant/plugins-1", &err),
                   &err);
    assert_int_equal(s.n, 1);
    assert_string_equal(s.dirs[0].source, "beside libdlquant");
    dlq_search_finish(&s, &dlq_system_allocator);
}

static void
a_relative_directory_of_the_api_is_an_error(void **state)
{
    static const char *const api[] = {"/fine", "plugins", NULL};
    struct dlq_error err = DLQ_ERROR_INIT;
    struct dlq_search s;
    (void)state;
    test_assert_error(dlq_search_init(&s, &dlq_system_allocator, api, NULL, NULL, NULL, &err), &err,
                      DLQ_EINVAL, "plugin_dirs: expected an absolute path, found 'plugins'");
    assert_int_equal(s.n, 0);
}

static int32_t
build_search(void *ctx, struct test_allocator *t, struct dlq_error *err)
{
    static const char *const api[] = {"/a", "/b", "/c", "/d", "/e", "/f", "/g", "/h", "/i", NULL};
    (void)ctx;
    struct dlq_search s;
    const int32_t rc = dlq_search_init(&s, &t->a, api, "/env:/env2", "/own", "/compiled", err);
    dlq_search_finish(&s, &t->a);
    return rc;
}

static void
a_search_order_that_runs_out_of_memory_leaks_nothing(void **state)
{
    (void)state;
    assert_true(test_each_allocation_fails(build_search, NULL) > 10);
}

static int32_t
open_file(const char *dir, const char *file, struct dlq_error *err)
{
    struct dlq_trusted_file f;
    const int32_t rc = dlq_trusted_file_open(&f, &dlq_system_allocator, dir, file, err);
    assert_true((rc == DLQ_OK) == (f.fd >= 0));
    if (rc == DLQ_OK) {
        struct stat st;
        assert_int_equal(stat(f.path, &st), 0);
        assert_int_equal(st.st_ino, f.ino);
        assert_int_equal(st.st_size, f.size);
        assert_true(dlq_trusted_file_unchanged(&f));
    }
    dlq_trusted_file_close(&f, &dlq_system_allocator);
    return rc;
}

static void
what_is_not_there_is_told_apart(void **state)
{
    struct dlq_error err = DLQ_ERROR_INIT;
    char *const dir = test_tmpdir();
    (void)state;
    test_write_text(dir, "file", "x");
    test_assert_error(open_file("relative", "x.so", &err), &err, DLQ_ENOTFOUND,
                      "not used: the directory is no absolute path");
    test_assert_error(open_file("/nonexistent/dir", "x.so", &err), &err, DLQ_ENOTFOUND,
                      "no such directory");
    test_assert_error(open_file(dir, "x.so", &err), &err, DLQ_ENOTFOUND, "no x.so");
    test_assert_error(open_file(test_path(dir, "file"), "x.so", &err), &err, DLQ_ENOTFOUND,
                      "Not a directory");
    test_tmpdir_remove(dir);
}

static void
only_regular_files_are_opened(void **state)
{
    struct dlq_error err = DLQ_ERROR_INIT;
    char *const dir = test_tmpdir();
    (void)state;
    assert_int_equal(mkdir(test_path(dir, "dir.so"), 0700), 0);
    assert_int_equal(mkfifo(test_path(dir, "fifo.so"), 0600), 0);
    test_assert_error(open_file(dir, "dir.so", &err), &err, DLQ_EPERM,
                      "refused: expected a regular file, found type 040000");
    // Would hang without O_NONBLOCK.
    test_assert_error(open_file(dir, "fifo.so", &err), &err, DLQ_EPERM,
                      "refused: expected a regular file, found type 010000");
    test_tmpdir_remove(dir);
}

static void
an_open_directory_above_is_refused_unless_sticky(void **state)
{
    struct dlq_error err = DLQ_ERROR_INIT;
    char *const top = test_tmpdir();
    (void)state;
    test_write_text(top, "sub/plugins/x.so", "x");
    char dir[PATH_MAX];
    strcpy(dir, test_path(top, "sub/plugins"));
    test_assert_ok(open_file(dir, "x.so", &err), &err);
    assert_int_equal(chmod(test_path(top, "sub"), 0777), 0);
    test_assert_error(open_file(dir, "x.so", &err), &err, DLQ_EPERM,
                      "/sub has mode 0777, others may write it");
    assert_int_equal(chmod(test_path(top, "sub"), 01777), 0);
    test_assert_ok(open_file(dir, "x.so", &err), &err);
    test_tmpdir_remove(top);
}

static void
files_and_directories_of_another_user_are_refused(void **state)
{
    struct dlq_error err = DLQ_ERROR_INIT;
    char *const dir = test_tmpdir();
    (void)state;
    if (geteuid() != 0) {
        test_tmpdir_remove(dir);
        skip(); // Only root can give files away
    }
    test_write_text(dir, "x.so", "x");
    assert_int_equal(chown(test_path(dir, "x.so"), 12345, 0), 0);
    test_assert_error(open_file(dir, "x.so", &err), &err, DLQ_EPERM,
                      "refused: file belongs to user 12345, expected root or 0");
    assert_int_equal(chown(test_path(dir, "x.so"), 0, 0), 0);
    assert_int_equal(chown(dir, 12345, 0), 0);
    test_assert_error(open_file(dir, "x.so", &err), &err, DLQ_EPERM,
                      "belongs to user 12345, expected root or 0");
    assert_int_equal(chown(dir, 0, 0), 0);
    test_assert_ok(open_file(dir, "x.so", &err), &err);
    test_tmpdir_remove(dir);
}

static void
a_file_that_was_replaced_is_noticed(void **state)
{
    struct dlq_error err = DLQ_ERROR_INIT;
    struct dlq_trusted_file f;
    char *const dir = test_tmpdir();
    (void)state;
    test_write_text(dir, "x.so", "old");
    test_assert_ok(dlq_trusted_file_open(&f, &dlq_system_allocator, dir, "x.so", &err), &err);
    assert_true(dlq_trusted_file_unchanged(&f));
    test_write_text(dir, "y.so", "new");
    assert_int_equal(rename(test_path(dir, "y.so"), test_path(dir, "x.so")), 0);
    assert_false(dlq_trusted_file_unchanged(&f));
    assert_int_equal(unlink(test_path(dir, "x.so")), 0);
    assert_false(dlq_trusted_file_unchanged(&f));
    dlq_trusted_file_close(&f, &dlq_system_allocator);
    test_tmpdir_remove(dir);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_inside_the_grammar_are_valid),
        cmocka_unit_test(names_outside_the_grammar_are_not),
        cmocka_unit_test(a_name_has_at_most_63_bytes),
        cmocka_unit_test(a_file_name_has_underscores_for_dashes),
        cmocka_unit_test(names_in_messages_are_short_and_printable),
        cmocka_unit_test(the_search_order_is_api_environment_own_directory_compiled),
        cmocka_unit_test(the_installed_directory_is_searched_once),
        cmocka_unit_test(a_relative_directory_of_the_api_is_an_error),
        cmocka_unit_test(a_search_order_that_runs_out_of_memory_leaks_nothing),
        cmocka_unit_test(what_is_not_there_is_told_apart),
        cmocka_unit_test(only_regular_files_are_opened),
        cmocka_unit_test(an_open_directory_above_is_refused_unless_sticky),
        cmocka_unit_test(files_and_directories_of_another_user_are_refused),
        cmocka_unit_test(a_file_that_was_replaced_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
