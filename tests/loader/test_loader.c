// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "plugin_dirs.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

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
    struct plugin_dirs *const s = *state;
    for (size_t i = 0; i < TEST_COUNT(defects); i++) {
        char file[64];
        snprintf(file, sizeof(file), "%s.so", defects[i].plugin);
        plugin_install(defects[i].plugin, s->dir, file);
        plugin_dirs_refused(s, defects[i].plugin, file, defects[i].code, defects[i].message);
    }
}

static void
a_missing_file_is_reported_with_every_place_and_the_known_names(void **state)
{
    struct plugin_dirs *const s = *state;
    struct dlq_error err = DLQ_ERROR_INIT;
    char places[1024];
    plugin_install("tiny", s->other, "tiny.so");
    const int32_t rc = plugin_dirs_find(s, "no-such", &err);
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
    struct plugin_dirs *const s = *state;
    test_write_text(s->dir, "tiny.so", "#!/bin/sh\necho tiny\n");
    plugin_dirs_refused(s, "tiny", "tiny.so", DLQ_EFORMAT, "%s: not an ELF file");
    test_write(s->dir, "tiny.so", "", 0);
    plugin_dirs_refused(s, "tiny", "tiny.so", DLQ_EFORMAT, "%s: not an ELF file");
}

static void
a_truncated_elf_is_refused_before_it_is_mapped(void **state)
{
    struct plugin_dirs *const s = *state;
    struct dlq_error err = DLQ_ERROR_INIT;
    size_t len = 0;
    char *const bytes = test_read(TINY_DIR "/tiny.so", &len);
    test_write(s->dir, "tiny.so", bytes, 20);
    plugin_dirs_refused(s, "tiny", "tiny.so", DLQ_EFORMAT,
                        "%s: truncated ELF file, header bytes: expected 64, found 20");
    test_write(s->dir, "tiny.so", bytes, 100);
    test_assert_error(plugin_dirs_find(s, "tiny", &err), &err, DLQ_EFORMAT,
                      "tiny.so: truncated ELF file, bytes for program headers: expected ");
    // All headers are there, the data is not.
    test_write(s->dir, "tiny.so", bytes, 4096);
    test_assert_error(plugin_dirs_find(s, "tiny", &err), &err, DLQ_EFORMAT,
                      "tiny.so: truncated ELF file, bytes for a segment: expected ");
    free(bytes);
}

static void
a_file_that_others_may_write_is_refused(void **state)
{
    struct plugin_dirs *const s = *state;
    plugin_install("tiny", s->dir, "tiny.so");
    assert_int_equal(chmod(test_path(s->dir, "tiny.so"), 0757), 0);
    plugin_dirs_refused(s, "tiny", "tiny.so", DLQ_EPERM,
                        "%s: refused: file has mode 0757, others may write it");
    assert_int_equal(chmod(test_path(s->dir, "tiny.so"), 0775), 0);
    plugin_dirs_refused(s, "tiny", "tiny.so", DLQ_EPERM,
                        "%s: refused: file has mode 0775, others may write it");
}

static void
a_directory_that_others_may_write_is_refused(void **state)
{
    static const mode_t modes[] = {0777, 0770, 01777};
    struct plugin_dirs *const s = *state;
    plugin_install("tiny", s->dir, "tiny.so");
    for (size_t i = 0; i < TEST_COUNT(modes); i++) {
        char message[512];
        assert_int_equal(chmod(s->dir, modes[i]), 0);
        snprintf(message, sizeof(message),
                 "%%s: refused: directory %s has mode %04o, others may write it", s->dir,
                 (unsigned)modes[i]);
        plugin_dirs_refused(s, "tiny", "tiny.so", DLQ_EPERM, message);
    }
    assert_int_equal(chmod(s->dir, 0700), 0);
}

static void
a_file_with_a_missing_symbol_is_refused_with_its_name(void **state)
{
    struct plugin_dirs *const s = *state;
    struct dlq_error err = DLQ_ERROR_INIT;
    plugin_install("undefined_symbol", s->dir, "undefined_symbol.so");
    test_assert_error(plugin_dirs_find(s, "undefined_symbol", &err), &err, DLQ_EPLUGIN,
                      "undefined_symbol.so: cannot load: ");
    assert_int_equal(plugin_dirs_find(s, "undefined_symbol", &err), DLQ_EPLUGIN);
    assert_non_null(strstr(err.msg, "undefined symbol: nobody_has_this"));
}

// The library cannot survive a crash in a plugin's own code; what it can do is not to run the code
// before somebody asks for that very name.
static void
a_crash_in_open_needs_somebody_to_ask_for_the_name(void **state)
{
    struct plugin_dirs *const s = *state;
    struct dlq_error err = DLQ_ERROR_INIT;
    plugin_install("open_crashes", s->dir, "open_crashes.so");
    plugin_install("tiny", s->dir, "tiny.so");
    test_assert_ok(plugin_dirs_find(s, "tiny", &err), &err);
    assert_int_equal(plugin_dirs_find(s, "no-such", &err), DLQ_ENOTFOUND);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGILL, SIG_DFL); // cmocka has a handler that would go on with the next test
        dlq_runtime *const rt = plugin_dirs_runtime(s);
        const struct dlq_plugin *plugin = NULL;
        (void)dlq_runtime_find(rt, "open_crashes", &plugin, NULL);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) != 0);
}

static void
names_outside_the_grammar_touch_no_file(void **state)
{
    static const char *const names[] = {"../../evil", "/tmp/evil", "",   "Tiny",    "a/b",
                                        "a..b",       "tiny.so\n", "-a", "\xc3\xa4"};
    struct plugin_dirs *const s = *state;
    struct dlq_error err = DLQ_ERROR_INIT;
    // A file that would be found if the text became a path.
    test_write_text(s->dir, "evil.so", "evil");
    for (size_t i = 0; i < TEST_COUNT(names); i++) {
        test_assert_error(plugin_dirs_find(s, names[i], &err), &err, DLQ_EINVAL,
                          "plugin name: expected " GRAMMAR ", found '");
    }
    char longest[80];
    memset(longest, 'a', sizeof(longest));
    longest[63] = '\0';
    assert_int_equal(plugin_dirs_find(s, longest, &err), DLQ_ENOTFOUND);
    longest[63] = 'a';
    longest[64] = '\0';
    assert_int_equal(plugin_dirs_find(s, longest, &err), DLQ_EINVAL);
    assert_int_equal(plugin_dirs_find(s, NULL, &err), DLQ_EINVAL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        PLUGIN_DIRS_TEST(defects_are_refused_with_their_exact_message),
        PLUGIN_DIRS_TEST(a_missing_file_is_reported_with_every_place_and_the_known_names),
        PLUGIN_DIRS_TEST(a_file_that_is_no_elf_is_refused),
        PLUGIN_DIRS_TEST(a_truncated_elf_is_refused_before_it_is_mapped),
        PLUGIN_DIRS_TEST(a_file_that_others_may_write_is_refused),
        PLUGIN_DIRS_TEST(a_directory_that_others_may_write_is_refused),
        PLUGIN_DIRS_TEST(a_file_with_a_missing_symbol_is_refused_with_its_name),
        PLUGIN_DIRS_TEST(a_crash_in_open_needs_somebody_to_ask_for_the_name),
        PLUGIN_DIRS_TEST(names_outside_the_grammar_touch_no_file),
    };
    return cmocka_run_group_tests_name("loader", tests, NULL, NULL);
}
