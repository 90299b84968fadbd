// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

// Before cmocka, which defines a macro "fail".
#define TINY_NO_QUERY
#include "../loader/tiny.h"

#include "../loader/plugin_dirs.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct dlq_plugin added_plugin = {
    .header = {DLQ_PLUGIN_MAGIC, 1, 0, 0, 0, sizeof(struct dlq_plugin), 0, 0},
    .name = "added",
    .version = "1",
    .config = &tiny_config,
};

struct listing {
    int n;
    struct {
        char name[64];
        char origin[300];
        char problem[300];
        int loaded;
        int abi_major;
        bool note;
    } items[16];
};

static void
keep_item(void *ctx, const struct dlq_plugin_info *info)
{
    struct listing *const l = ctx;
    if (strstr(info->origin, "dlquant-test-") || !strcmp(info->origin, "added")) {
        assert_true(l->n < 16);
        snprintf(l->items[l->n].name, 64, "%s", info->name);
        snprintf(l->items[l->n].origin, 300, "%s", info->origin);
        snprintf(l->items[l->n].problem, 300, "%s", info->problem ? info->problem : "");
        l->items[l->n].loaded = info->loaded;
        l->items[l->n].abi_major = info->abi_major;
        l->items[l->n].note = info->note[0] == '{';
        assert_int_equal(info->struct_size, sizeof(*info));
        l->n++;
    }
}

static struct listing
list(dlq_runtime *rt)
{
    struct dlq_error err = DLQ_ERROR_INIT;
    struct listing l = {0};
    test_assert_ok(dlq_runtime_list(rt, keep_item, &l, &err), &err);
    return l;
}

static void
the_list_is_sorted_and_runs_no_code(void **state)
{
    struct plugin_dirs *const s = *state;
    dlq_runtime *const rt = plugin_dirs_start(s);
    plugin_install("tiny", s->dir, "tiny.so");
    plugin_install("open_crashes", s->other, "open_crashes.so");
    plugin_install("null_config", s->dir, "null_config.so");
    test_write_text(s->dir, "dlquant-cuda.so", "a module is no plugin");
    test_write_text(s->dir, "README", "nor is this");
    plugin_added(rt, &added_plugin);
    struct listing l = list(rt);
    static const char *const names[] = {"added", "null_config", "open_crashes", "tiny"};
    assert_int_equal(l.n, 4);
    for (int i = 0; i < 4; i++) {
        assert_string_equal(l.items[i].name, names[i]);
        assert_string_equal(l.items[i].problem, "");
        assert_int_equal(l.items[i].loaded, i == 0);
        assert_int_equal(l.items[i].abi_major, 1);
        assert_true(l.items[i].note == (i > 0));
    }
    assert_string_equal(l.items[0].origin, "added");
    plugin_found(rt, "tiny");
    l = list(rt);
    assert_int_equal(l.items[3].loaded, 1);
}

static void
the_list_says_why_a_file_cannot_be_used(void **state)
{
    struct plugin_dirs *const s = *state;
    dlq_runtime *const rt = plugin_dirs_start(s);
    plugin_install("tiny", s->dir, "tiny.so");
    plugin_install("tiny", s->other, "tiny.so");
    plugin_install("wrong_name", s->dir, "wrong_name.so");
    plugin_install_changed("tiny", s->dir, "malformed.so", "{\"name\"", "[\"name\"");
    plugin_install_changed("tiny", s->dir, "major.so", "\"abi\":[1", "\"abi\":[7");
    plugin_install_changed("tiny", s->dir, "nameless.so", "{\"name\":\"tiny", "{\"name\":\"TINY");
    plugin_install_changed("tiny", s->dir, "noteless.so", "dlquant", "xlquant");
    test_write_text(s->dir, "text.so", "not a plugin");
    const struct listing l = list(rt);
    static const char *const expected[][2] = {
        {"malformed", "note"},
        {"nameless", "note: name is missing or outside the grammar"},
        {"noteless", ""},
        {"somebody-else",
         "note: no name of plugin 'somebody-else' leads to the file wrong_name.so"},
        {"text", "not an ELF file"},
        {"tiny", ""}, // Which of the two directories sorts first is open
        {"tiny", ""},
        {"tiny", ""},
    };
    assert_int_equal(l.n, TEST_COUNT(expected));
    int hidden = 0;
    int major = 0;
    for (int i = 0; i < l.n; i++) {
        assert_string_equal(l.items[i].name, expected[i][0]);
        if (strcmp(expected[i][0], "tiny") != 0) {
            assert_memory_equal(l.items[i].problem, expected[i][1], strlen(expected[i][1]));
            assert_true((l.items[i].problem[0] == '\0') == (expected[i][1][0] == '\0'));
        }
        hidden += strstr(l.items[i].problem, "/tiny.so, which comes first") != NULL;
        major += strstr(l.items[i].problem, "note: abi major: expected 1, found 7") != NULL;
    }
    assert_int_equal(hidden, 1);
    assert_int_equal(major, 1);
}

static void
a_loaded_file_that_is_gone_stays_in_the_list(void **state)
{
    struct plugin_dirs *const s = *state;
    dlq_runtime *const rt = plugin_dirs_start(s);
    plugin_install("tiny", s->dir, "tiny.so");
    plugin_found(rt, "tiny");
    assert_int_equal(unlink(test_path(s->dir, "tiny.so")), 0);
    const struct listing l = list(rt);
    assert_int_equal(l.n, 1);
    assert_string_equal(l.items[0].name, "tiny");
    assert_int_equal(l.items[0].loaded, 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        PLUGIN_DIRS_TEST(the_list_is_sorted_and_runs_no_code),
        PLUGIN_DIRS_TEST(the_list_says_why_a_file_cannot_be_used),
        PLUGIN_DIRS_TEST(a_loaded_file_that_is_gone_stays_in_the_list),
    };
    return cmocka_run_group_tests_name("registry_list", tests, NULL, NULL);
}
