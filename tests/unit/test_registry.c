// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

// Before cmocka, which defines a macro "fail".
#define TINY_NO_QUERY
#include "../loader/tiny.h"

#include "support.h"

#include <dlquant/runtime.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// Tables that are no files. "tiny" itself is the one of tiny.h.
static const char *const other_aliases[] = {"tiny-alias", NULL};
static const struct dlq_plugin other_plugin = {
    .header = {DLQ_PLUGIN_MAGIC, 1, 0, 0, 0, sizeof(struct dlq_plugin), 0, 0},
    .name = "other",
    .aliases = other_aliases,
    .version = "9",
    .config = &tiny_config,
};
static const struct dlq_plugin claimed_plugin = {
    .header = {DLQ_PLUGIN_MAGIC, 1, 0, 0, 0, sizeof(struct dlq_plugin), 0, 0},
    .name = "claimed",
    .version = "1",
    .config = &tiny_config,
};

struct setup {
    char *dir;
    char *other;
    char log[4096];
    struct dlq_runtime_options options;
    const char *dirs[3];
    dlq_runtime *rt;
};

static void
keep_line(void *ctx, int32_t level, const char *line)
{
    struct setup *const s = ctx;
    const size_t len = strlen(s->log);
    snprintf(s->log + len, sizeof(s->log) - len, "%d %s\n", (int)level, line);
}

static int
set_up(void **state)
{
    struct setup *const s = calloc(1, sizeof(*s));
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

static int
tear_down(void **state)
{
    struct setup *const s = *state;
    dlq_runtime_destroy(s->rt);
    test_tmpdir_remove(s->dir);
    test_tmpdir_remove(s->other);
    free(s);
    return 0;
}

static dlq_runtime *
start(struct setup *s)
{
    struct dlq_error err = DLQ_ERROR_INIT;
    test_assert_ok(dlq_runtime_create(&s->options, &s->rt, &err), &err);
    return s->rt;
}

// Put a built plugin into a directory, with `from` in its bytes replaced by `to` of equal length.
static void
install_changed(const char *plugin, const char *dir, const char *file, const char *from,
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

static void
install(const char *plugin, const char *dir, const char *file)
{
    install_changed(plugin, dir, file, "", "");
}

static const struct dlq_plugin *
find_ok(dlq_runtime *rt, const char *name)
{
    struct dlq_error err = DLQ_ERROR_INIT;
    const struct dlq_plugin *plugin = NULL;
    test_assert_ok(dlq_runtime_find(rt, name, &plugin, &err), &err);
    return plugin;
}

static void
assert_not_found(dlq_runtime *rt, const char *name, int32_t code, const char *message)
{
    struct dlq_error err = DLQ_ERROR_INIT;
    const struct dlq_plugin *plugin = NULL;
    test_assert_error(dlq_runtime_find(rt, name, &plugin, &err), &err, code, message);
    assert_null(plugin);
}

static void
add_ok(dlq_runtime *rt, const struct dlq_plugin *plugin)
{
    struct dlq_error err = DLQ_ERROR_INIT;
    test_assert_ok(dlq_runtime_add_plugin(rt, plugin, &err), &err);
}

static void
an_added_plugin_answers_to_all_its_names(void **state)
{
    dlq_runtime *const rt = start(*state);
    add_ok(rt, &tiny_plugin);
    assert_ptr_equal(find_ok(rt, "tiny"), &tiny_plugin);
    assert_ptr_equal(find_ok(rt, "tiny-alias"), &tiny_plugin);
    assert_not_found(rt, "tiny-alia", DLQ_ENOTFOUND, "known: tiny");
}

static void
a_taken_name_is_an_error_that_names_both_origins(void **state)
{
    struct setup *const s = *state;
    struct dlq_error err = DLQ_ERROR_INIT;
    dlq_runtime *const rt = start(s);
    add_ok(rt, &tiny_plugin);
    test_assert_error(dlq_runtime_add_plugin(rt, &tiny_plugin, &err), &err, DLQ_EEXIST,
                      "plugin name 'tiny' of an added plugin is taken by 'tiny' of added");
    test_assert_error(dlq_runtime_add_plugin(rt, &other_plugin, &err), &err, DLQ_EEXIST,
                      "plugin name 'tiny-alias' of an added plugin is taken by 'tiny' of added");
    assert_ptr_equal(find_ok(rt, "tiny-alias"), &tiny_plugin);
}

static void
a_name_of_a_loaded_file_is_taken(void **state)
{
    struct setup *const s = *state;
    struct dlq_error err = DLQ_ERROR_INIT;
    char expected[512];
    dlq_runtime *const rt = start(s);
    install("tiny", s->dir, "tiny.so");
    assert_ptr_not_equal(find_ok(rt, "tiny"), &tiny_plugin);
    snprintf(expected, sizeof(expected), "is taken by 'tiny' of %s/tiny.so", s->dir);
    test_assert_error(dlq_runtime_add_plugin(rt, &tiny_plugin, &err), &err, DLQ_EEXIST, expected);
}

static void
an_added_plugin_wins_over_a_file(void **state)
{
    struct setup *const s = *state;
    dlq_runtime *const rt = start(s);
    install("tiny", s->dir, "tiny.so");
    add_ok(rt, &tiny_plugin);
    assert_ptr_equal(find_ok(rt, "tiny"), &tiny_plugin);
    assert_ptr_equal(find_ok(rt, "tiny-alias"), &tiny_plugin);
}

static void
a_table_is_opened_once_for_all_runtimes(void **state)
{
    struct setup *const s = *state;
    s->options.log_level = DLQ_LOG_DEBUG;
    for (int i = 0; i < 3; i++) {
        add_ok(start(s), &tiny_plugin);
        dlq_runtime_destroy(s->rt);
        s->rt = NULL;
    }
    assert_null(strstr(s->log, "opened again"));
    assert_non_null(strstr(s->log, "2 plugin tiny 1.2.3 added, plugin ABI 1.0, host ABI 1.0\n"));
}

static void
a_broken_table_is_refused(void **state)
{
    struct dlq_error err = DLQ_ERROR_INIT;
    dlq_runtime *const rt = start(*state);
    struct dlq_plugin broken = tiny_plugin;
    broken.config = NULL;
    test_assert_error(dlq_runtime_add_plugin(rt, &broken, &err), &err, DLQ_EPLUGIN,
                      "added plugin: config: expected a pointer, found NULL");
    broken = tiny_plugin;
    broken.header.abi_major = 2;
    test_assert_error(dlq_runtime_add_plugin(rt, &broken, &err), &err, DLQ_EABI,
                      "added plugin: abi_major: expected 1, found 2");
    test_assert_error(dlq_runtime_add_plugin(rt, NULL, &err), &err, DLQ_EPLUGIN,
                      "dlq_plugin_query() returned NULL");
}

static void
the_policy_none_never_looks_at_files(void **state)
{
    struct setup *const s = *state;
    s->options.load_policy = DLQ_LOAD_NONE;
    dlq_runtime *const rt = start(s);
    install("tiny", s->dir, "tiny.so");
    assert_not_found(
        rt, "tiny", DLQ_ENOTFOUND,
        "unknown quantization method 'tiny'; known: none; looked in: no directory, the "
        "load policy forbids files");
    add_ok(rt, &tiny_plugin);
    assert_ptr_equal(find_ok(rt, "tiny"), &tiny_plugin);
}

static void
the_policy_listed_lets_only_listed_names_in(void **state)
{
    static const char *const allowed[] = {"tiny", NULL};
    struct setup *const s = *state;
    s->options.load_policy = DLQ_LOAD_LISTED;
    s->options.allowed = allowed;
    dlq_runtime *const rt = start(s);
    install("tiny", s->dir, "tiny.so");
    install("open_fails", s->dir, "open_fails.so");
    assert_not_found(rt, "open_fails", DLQ_EPERM,
                     "/open_fails.so: refused: 'open_fails' is not among the allowed plugins");
    // The alias leads to code that the list allows.
    assert_string_equal(find_ok(rt, "tiny-alias")->name, "tiny");
    assert_string_equal(find_ok(rt, "tiny")->name, "tiny");
}

static void
an_alias_of_a_plugin_that_is_not_listed_is_refused(void **state)
{
    static const char *const allowed[] = {"something", NULL};
    struct setup *const s = *state;
    s->options.load_policy = DLQ_LOAD_LISTED;
    s->options.allowed = allowed;
    dlq_runtime *const rt = start(s);
    install("tiny", s->dir, "tiny.so");
    assert_not_found(
        rt, "tiny-alias", DLQ_EPERM,
        "/tiny.so: refused: neither 'tiny-alias' nor 'tiny' is among the allowed plugins");
}

static void
bad_policies_are_refused_when_the_runtime_is_made(void **state)
{
    static const char *const allowed[] = {"../tiny", NULL};
    struct setup *const s = *state;
    struct dlq_error err = DLQ_ERROR_INIT;
    s->options.load_policy = 3;
    test_assert_error(dlq_runtime_create(&s->options, &s->rt, &err), &err, DLQ_EINVAL,
                      "load_policy: expected 0 to 2, found 3");
    s->options.load_policy = DLQ_LOAD_LISTED;
    s->options.allowed = allowed;
    test_assert_error(dlq_runtime_create(&s->options, &s->rt, &err), &err, DLQ_EINVAL,
                      "allowed: expected [a-z0-9][a-z0-9_.-]{0,62} without '..', found '../tiny'");
    assert_null(s->rt);
}

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
    struct setup *const s = *state;
    dlq_runtime *const rt = start(s);
    install("tiny", s->dir, "tiny.so");
    install("open_crashes", s->other, "open_crashes.so");
    install("null_config", s->dir, "null_config.so");
    test_write_text(s->dir, "dlquant-cuda.so", "a module is no plugin");
    test_write_text(s->dir, "README", "nor is this");
    add_ok(rt, &claimed_plugin);
    struct listing l = list(rt);
    static const char *const names[] = {"claimed", "null_config", "open_crashes", "tiny"};
    assert_int_equal(l.n, 4);
    for (int i = 0; i < 4; i++) {
        assert_string_equal(l.items[i].name, names[i]);
        assert_string_equal(l.items[i].problem, "");
        assert_int_equal(l.items[i].loaded, i == 0);
        assert_int_equal(l.items[i].abi_major, 1);
        assert_true(l.items[i].note == (i > 0));
    }
    assert_string_equal(l.items[0].origin, "added");
    find_ok(rt, "tiny");
    l = list(rt);
    assert_int_equal(l.items[3].loaded, 1);
}

static void
the_list_says_why_a_file_cannot_be_used(void **state)
{
    struct setup *const s = *state;
    dlq_runtime *const rt = start(s);
    install("tiny", s->dir, "tiny.so");
    install("tiny", s->other, "tiny.so");
    install("wrong_name", s->dir, "wrong_name.so");
    install_changed("tiny", s->dir, "malformed.so", "{\"name\"", "[\"name\"");
    install_changed("tiny", s->dir, "major.so", "\"abi\":[1", "\"abi\":[7");
    install_changed("tiny", s->dir, "nameless.so", "{\"name\":\"tiny", "{\"name\":\"TINY");
    install_changed("tiny", s->dir, "noteless.so", "dlquant", "xlquant");
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
    struct setup *const s = *state;
    dlq_runtime *const rt = start(s);
    install("tiny", s->dir, "tiny.so");
    find_ok(rt, "tiny");
    assert_int_equal(unlink(test_path(s->dir, "tiny.so")), 0);
    const struct listing l = list(rt);
    assert_int_equal(l.n, 1);
    assert_string_equal(l.items[0].name, "tiny");
    assert_int_equal(l.items[0].loaded, 1);
}

static const struct dlq_device cpu = {DLQ_DEVICE_CPU, 0};

static void
a_plugin_that_claims_a_configuration_is_preferred(void **state)
{
    struct setup *const s = *state;
    struct dlq_error err = DLQ_ERROR_INIT;
    dlq_quant_config *config = NULL;
    dlq_runtime *const rt = start(s);
    install("tiny", s->dir, "tiny.so");
    add_ok(rt, &claimed_plugin);
    test_assert_ok(dlq_quant_config_choose(rt, "claimed", "{}", 2, cpu, &config, &err), &err);
    assert_string_equal(dlq_quant_config_name(config), "tiny");
    assert_non_null(strstr(
        s->log,
        "2 quant_method 'claimed' is run by plugin tiny, which claims this configuration\n"));
    dlq_quant_config_destroy(config);
}

static void
a_claim_that_is_declined_leaves_the_plugin_of_that_name(void **state)
{
    struct setup *const s = *state;
    struct dlq_error err = DLQ_ERROR_INIT;
    dlq_quant_config *config = NULL;
    dlq_runtime *const rt = start(s);
    install("tiny", s->dir, "tiny.so");
    add_ok(rt, &claimed_plugin);
    test_assert_ok(dlq_quant_config_choose(rt, "claimed", NULL, 0, cpu, &config, &err), &err);
    assert_string_equal(dlq_quant_config_name(config), "claimed");
    assert_non_null(
        strstr(s->log, "2 plugin tiny does not claim quant_method 'claimed': no object\n"));
    dlq_quant_config_destroy(config);
}

static void
a_plugin_that_claims_and_cannot_be_loaded_is_a_warning(void **state)
{
    struct setup *const s = *state;
    struct dlq_error err = DLQ_ERROR_INIT;
    dlq_quant_config *config = NULL;
    dlq_runtime *const rt = start(s);
    install("null_config", s->dir, "null_config.so");
    add_ok(rt, &claimed_plugin);
    test_assert_ok(dlq_quant_config_choose(rt, "claimed", "{}", 2, cpu, &config, &err), &err);
    assert_string_equal(dlq_quant_config_name(config), "claimed");
    assert_non_null(strstr(s->log, "1 cannot ask whether it claims 'claimed': "));
    assert_non_null(strstr(s->log, "null_config.so: config: expected a pointer, found NULL\n"));
    dlq_quant_config_destroy(config);
}

static void
a_claim_does_not_load_what_the_policy_forbids(void **state)
{
    static const char *const allowed[] = {"claimed", NULL};
    struct setup *const s = *state;
    struct dlq_error err = DLQ_ERROR_INIT;
    dlq_quant_config *config = NULL;
    s->options.load_policy = DLQ_LOAD_LISTED;
    s->options.allowed = allowed;
    dlq_runtime *const rt = start(s);
    install("tiny", s->dir, "tiny.so");
    add_ok(rt, &claimed_plugin);
    test_assert_ok(dlq_quant_config_choose(rt, "claimed", "{}", 2, cpu, &config, &err), &err);
    assert_string_equal(dlq_quant_config_name(config), "claimed");
    assert_null(strstr(s->log, "tiny"));
    dlq_quant_config_destroy(config);
}

static void
choosing_needs_a_device_and_a_known_name(void **state)
{
    struct setup *const s = *state;
    struct dlq_error err = DLQ_ERROR_INIT;
    dlq_quant_config *config = NULL;
    const struct dlq_device nowhere = {9, 0};
    dlq_runtime *const rt = start(s);
    test_assert_error(dlq_quant_config_choose(rt, "awq9", "{}", 2, nowhere, &config, &err), &err,
                      DLQ_EDEVICE, "no kind 9 device: no module is known for it");
    test_assert_error(dlq_quant_config_choose(rt, "awq9", "{}", 2, cpu, &config, &err), &err,
                      DLQ_ENOTFOUND, "unknown quantization method 'awq9'");
    test_assert_error(dlq_quant_config_choose(rt, "../x", "{}", 2, cpu, &config, &err), &err,
                      DLQ_EINVAL, "plugin name: expected");
    assert_null(config);
}

#define REGISTRY_TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        REGISTRY_TEST(an_added_plugin_answers_to_all_its_names),
        REGISTRY_TEST(a_taken_name_is_an_error_that_names_both_origins),
        REGISTRY_TEST(a_name_of_a_loaded_file_is_taken),
        REGISTRY_TEST(an_added_plugin_wins_over_a_file),
        REGISTRY_TEST(a_table_is_opened_once_for_all_runtimes),
        REGISTRY_TEST(a_broken_table_is_refused),
        REGISTRY_TEST(the_policy_none_never_looks_at_files),
        REGISTRY_TEST(the_policy_listed_lets_only_listed_names_in),
        REGISTRY_TEST(an_alias_of_a_plugin_that_is_not_listed_is_refused),
        REGISTRY_TEST(bad_policies_are_refused_when_the_runtime_is_made),
        REGISTRY_TEST(the_list_is_sorted_and_runs_no_code),
        REGISTRY_TEST(the_list_says_why_a_file_cannot_be_used),
        REGISTRY_TEST(a_loaded_file_that_is_gone_stays_in_the_list),
        REGISTRY_TEST(a_plugin_that_claims_a_configuration_is_preferred),
        REGISTRY_TEST(a_claim_that_is_declined_leaves_the_plugin_of_that_name),
        REGISTRY_TEST(a_plugin_that_claims_and_cannot_be_loaded_is_a_warning),
        REGISTRY_TEST(a_claim_does_not_load_what_the_policy_forbids),
        REGISTRY_TEST(choosing_needs_a_device_and_a_known_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
