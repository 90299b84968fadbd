// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

// Before cmocka, which defines a macro "fail".
#define TINY_NO_QUERY
#include "../loader/tiny.h"

#include "../loader/plugin_dirs.h"

#include <stdio.h>
#include <string.h>

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

static void
assert_not_found(dlq_runtime *rt, const char *name, int32_t code, const char *message)
{
    struct dlq_error err = DLQ_ERROR_INIT;
    const struct dlq_plugin *plugin = NULL;
    test_assert_error(dlq_runtime_find(rt, name, &plugin, &err), &err, code, message);
    assert_null(plugin);
}

static void
an_added_plugin_answers_to_all_its_names(void **state)
{
    dlq_runtime *const rt = plugin_dirs_start(*state);
    plugin_added(rt, &tiny_plugin);
    assert_ptr_equal(plugin_found(rt, "tiny"), &tiny_plugin);
    assert_ptr_equal(plugin_found(rt, "tiny-alias"), &tiny_plugin);
    assert_not_found(rt, "tiny-alia", DLQ_ENOTFOUND, "known: tiny");
}

static void
a_taken_name_is_an_error_that_names_both_origins(void **state)
{
    struct plugin_dirs *const s = *state;
    struct dlq_error err = DLQ_ERROR_INIT;
    dlq_runtime *const rt = plugin_dirs_start(s);
    plugin_added(rt, &tiny_plugin);
    test_assert_error(dlq_runtime_add_plugin(rt, &tiny_plugin, &err), &err, DLQ_EEXIST,
                      "plugin name 'tiny' of an added plugin is taken by 'tiny' of added");
    test_assert_error(dlq_runtime_add_plugin(rt, &other_plugin, &err), &err, DLQ_EEXIST,
                      "plugin name 'tiny-alias' of an added plugin is taken by 'tiny' of added");
    assert_ptr_equal(plugin_found(rt, "tiny-alias"), &tiny_plugin);
}

static void
a_name_of_a_loaded_file_is_taken(void **state)
{
    struct plugin_dirs *const s = *state;
    struct dlq_error err = DLQ_ERROR_INIT;
    char expected[512];
    dlq_runtime *const rt = plugin_dirs_start(s);
    plugin_install("tiny", s->dir, "tiny.so");
    assert_ptr_not_equal(plugin_found(rt, "tiny"), &tiny_plugin);
    snprintf(expected, sizeof(expected), "is taken by 'tiny' of %s/tiny.so", s->dir);
    test_assert_error(dlq_runtime_add_plugin(rt, &tiny_plugin, &err), &err, DLQ_EEXIST, expected);
}

static void
an_added_plugin_wins_over_a_file(void **state)
{
    struct plugin_dirs *const s = *state;
    dlq_runtime *const rt = plugin_dirs_start(s);
    plugin_install("tiny", s->dir, "tiny.so");
    plugin_added(rt, &tiny_plugin);
    assert_ptr_equal(plugin_found(rt, "tiny"), &tiny_plugin);
    assert_ptr_equal(plugin_found(rt, "tiny-alias"), &tiny_plugin);
}

static void
a_table_is_opened_once_for_all_runtimes(void **state)
{
    struct plugin_dirs *const s = *state;
    s->options.log_level = DLQ_LOG_DEBUG;
    for (int i = 0; i < 3; i++) {
        plugin_added(plugin_dirs_start(s), &tiny_plugin);
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
    dlq_runtime *const rt = plugin_dirs_start(*state);
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
    struct plugin_dirs *const s = *state;
    s->options.load_policy = DLQ_LOAD_NONE;
    dlq_runtime *const rt = plugin_dirs_start(s);
    plugin_install("tiny", s->dir, "tiny.so");
    assert_not_found(
        rt, "tiny", DLQ_ENOTFOUND,
        "unknown quantization method 'tiny'; known: none; looked in: no directory, the "
        "load policy forbids files");
    plugin_added(rt, &tiny_plugin);
    assert_ptr_equal(plugin_found(rt, "tiny"), &tiny_plugin);
}

static void
the_policy_listed_lets_only_listed_names_in(void **state)
{
    static const char *const allowed[] = {"tiny", NULL};
    struct plugin_dirs *const s = *state;
    s->options.load_policy = DLQ_LOAD_LISTED;
    s->options.allowed = allowed;
    dlq_runtime *const rt = plugin_dirs_start(s);
    plugin_install("tiny", s->dir, "tiny.so");
    plugin_install("open_fails", s->dir, "open_fails.so");
    assert_not_found(rt, "open_fails", DLQ_EPERM,
                     "/open_fails.so: refused: 'open_fails' is not among the allowed plugins");
    // The alias leads to code that the list allows.
    assert_string_equal(plugin_found(rt, "tiny-alias")->name, "tiny");
    assert_string_equal(plugin_found(rt, "tiny")->name, "tiny");
}

static void
an_alias_of_a_plugin_that_is_not_listed_is_refused(void **state)
{
    static const char *const allowed[] = {"something", NULL};
    struct plugin_dirs *const s = *state;
    s->options.load_policy = DLQ_LOAD_LISTED;
    s->options.allowed = allowed;
    dlq_runtime *const rt = plugin_dirs_start(s);
    plugin_install("tiny", s->dir, "tiny.so");
    assert_not_found(
        rt, "tiny-alias", DLQ_EPERM,
        "/tiny.so: refused: neither 'tiny-alias' nor 'tiny' is among the allowed plugins");
}

static void
bad_policies_are_refused_when_the_runtime_is_made(void **state)
{
    static const char *const allowed[] = {"../tiny", NULL};
    struct plugin_dirs *const s = *state;
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

static const struct dlq_device cpu = {DLQ_DEVICE_CPU, 0};

static void
a_plugin_that_claims_a_configuration_is_preferred(void **state)
{
    struct plugin_dirs *const s = *state;
    struct dlq_error err = DLQ_ERROR_INIT;
    dlq_quant_config *config = NULL;
    dlq_runtime *const rt = plugin_dirs_start(s);
    plugin_install("tiny", s->dir, "tiny.so");
    plugin_added(rt, &claimed_plugin);
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
    struct plugin_dirs *const s = *state;
    struct dlq_error err = DLQ_ERROR_INIT;
    dlq_quant_config *config = NULL;
    dlq_runtime *const rt = plugin_dirs_start(s);
    plugin_install("tiny", s->dir, "tiny.so");
    plugin_added(rt, &claimed_plugin);
    test_assert_ok(dlq_quant_config_choose(rt, "claimed", NULL, 0, cpu, &config, &err), &err);
    assert_string_equal(dlq_quant_config_name(config), "claimed");
    assert_non_null(
        strstr(s->log, "2 plugin tiny does not claim quant_method 'claimed': no object\n"));
    dlq_quant_config_destroy(config);
}

static void
a_plugin_that_claims_and_cannot_be_loaded_is_a_warning(void **state)
{
    struct plugin_dirs *const s = *state;
    struct dlq_error err = DLQ_ERROR_INIT;
    dlq_quant_config *config = NULL;
    dlq_runtime *const rt = plugin_dirs_start(s);
    plugin_install("null_config", s->dir, "null_config.so");
    plugin_added(rt, &claimed_plugin);
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
    struct plugin_dirs *const s = *state;
    struct dlq_error err = DLQ_ERROR_INIT;
    dlq_quant_config *config = NULL;
    s->options.load_policy = DLQ_LOAD_LISTED;
    s->options.allowed = allowed;
    dlq_runtime *const rt = plugin_dirs_start(s);
    plugin_install("tiny", s->dir, "tiny.so");
    plugin_added(rt, &claimed_plugin);
    test_assert_ok(dlq_quant_config_choose(rt, "claimed", "{}", 2, cpu, &config, &err), &err);
    assert_string_equal(dlq_quant_config_name(config), "claimed");
    assert_null(strstr(s->log, "tiny"));
    dlq_quant_config_destroy(config);
}

static void
choosing_needs_a_device_and_a_known_name(void **state)
{
    struct plugin_dirs *const s = *state;
    struct dlq_error err = DLQ_ERROR_INIT;
    dlq_quant_config *config = NULL;
    const struct dlq_device nowhere = {9, 0};
    dlq_runtime *const rt = plugin_dirs_start(s);
    test_assert_error(dlq_quant_config_choose(rt, "awq9", "{}", 2, nowhere, &config, &err), &err,
                      DLQ_EDEVICE, "no kind 9 device: no module is known for it");
    test_assert_error(dlq_quant_config_choose(rt, "awq9", "{}", 2, cpu, &config, &err), &err,
                      DLQ_ENOTFOUND, "unknown quantization method 'awq9'");
    test_assert_error(dlq_quant_config_choose(rt, "../x", "{}", 2, cpu, &config, &err), &err,
                      DLQ_EINVAL, "plugin name: expected");
    assert_null(config);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        PLUGIN_DIRS_TEST(an_added_plugin_answers_to_all_its_names),
        PLUGIN_DIRS_TEST(a_taken_name_is_an_error_that_names_both_origins),
        PLUGIN_DIRS_TEST(a_name_of_a_loaded_file_is_taken),
        PLUGIN_DIRS_TEST(an_added_plugin_wins_over_a_file),
        PLUGIN_DIRS_TEST(a_table_is_opened_once_for_all_runtimes),
        PLUGIN_DIRS_TEST(a_broken_table_is_refused),
        PLUGIN_DIRS_TEST(the_policy_none_never_looks_at_files),
        PLUGIN_DIRS_TEST(the_policy_listed_lets_only_listed_names_in),
        PLUGIN_DIRS_TEST(an_alias_of_a_plugin_that_is_not_listed_is_refused),
        PLUGIN_DIRS_TEST(bad_policies_are_refused_when_the_runtime_is_made),
        PLUGIN_DIRS_TEST(a_plugin_that_claims_a_configuration_is_preferred),
        PLUGIN_DIRS_TEST(a_claim_that_is_declined_leaves_the_plugin_of_that_name),
        PLUGIN_DIRS_TEST(a_plugin_that_claims_and_cannot_be_loaded_is_a_warning),
        PLUGIN_DIRS_TEST(a_claim_does_not_load_what_the_policy_forbids),
        PLUGIN_DIRS_TEST(choosing_needs_a_device_and_a_known_name),
    };
    return cmocka_run_group_tests_name("registry", tests, NULL, NULL);
}
