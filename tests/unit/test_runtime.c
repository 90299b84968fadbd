// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

// Before cmocka, which defines a macro "fail".
#define TINY_NO_QUERY
#include "../loader/tiny.h"

#include "support.h"

#include "plugin_check.h"
#include "runtime_internal.h"

#include <dlquant/runtime.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const struct dlq_plugin unquantized_plugin = {
    .header = {DLQ_PLUGIN_MAGIC, 1, 0, 0, 0, sizeof(struct dlq_plugin), 0, 0},
    .name = DLQ_METHOD_UNQUANTIZED,
    .version = "1",
    .config = &tiny_config,
};

static const struct dlq_runtime_options quiet = {
    .struct_size = sizeof(quiet), .load_policy = DLQ_LOAD_NONE, .n_threads = 1};

static dlq_runtime *
make(const struct dlq_runtime_options *options)
{
    struct dlq_error err = DLQ_ERROR_INIT;
    dlq_runtime *rt = NULL;
    test_assert_ok(dlq_runtime_create(options, &rt, &err), &err);
    return rt;
}

static void
assert_refused(const struct dlq_runtime_options *options, const char *message)
{
    struct dlq_error err = DLQ_ERROR_INIT;
    dlq_runtime *rt = NULL;
    test_assert_error(dlq_runtime_create(options, &rt, &err), &err, DLQ_EINVAL, message);
    assert_null(rt);
}

static void
no_options_give_a_runtime(void **state)
{
    (void)state;
    dlq_runtime *const rt = make(NULL);
    const struct dlq_host *const host = dlq_runtime_host(rt);
    assert_true(host->n_threads(host->ctx) >= 1);
    dlq_runtime_destroy(rt);
    dlq_runtime_destroy(NULL);
}

static void
options_of_an_older_engine_are_completed_with_zeroes(void **state)
{
    (void)state;
    struct dlq_runtime_options o = quiet;
    o.struct_size = DLQ_SIZE_UPTO(struct dlq_runtime_options, load_policy);
    o.allocator = (const struct dlq_allocator *)(uintptr_t)8; // Behind what the engine knows
    dlq_runtime_destroy(make(&o));
}

static void
options_of_a_newer_engine_work_while_its_members_are_zero(void **state)
{
    (void)state;
    struct {
        struct dlq_runtime_options known;
        uint64_t unknown[2];
    } o = {.known = quiet};
    o.known.struct_size = sizeof(o);
    dlq_runtime_destroy(make(&o.known));
    o.unknown[1] = 1;
    char message[128];
    snprintf(message, sizeof(message),
             "dlq_runtime_options: byte %zu is set, this library knows %zu bytes",
             sizeof(o) - sizeof(*o.unknown), sizeof(o.known));
    assert_refused(&o.known, message);
}

static void
options_without_a_size_are_refused(void **state)
{
    (void)state;
    struct dlq_runtime_options o = quiet;
    o.struct_size = 0;
    assert_refused(&o, "struct_size: expected the size of the struct, found 0");
}

static void
incomplete_services_of_the_engine_are_refused(void **state)
{
    (void)state;
    struct test_allocator t;
    test_allocator_init(&t);
    struct dlq_allocator a = t.a;
    struct dlq_runtime_options o = quiet;
    o.allocator = &a;
    a.free = NULL;
    assert_refused(&o, "allocator: a size or a function is missing");
    a = t.a;
    a.struct_size = 8;
    assert_refused(&o, "allocator: a size or a function is missing");
    struct dlq_threads threads = {.struct_size = sizeof(threads), .n_threads = 2};
    o = quiet;
    o.threads = &threads;
    assert_refused(&o, "threads: a size or a function is missing");
    o.threads = NULL;
    o.n_threads = -1;
    assert_refused(&o, "n_threads: expected 0 to 4096, found -1");
}

static void
run_backwards(void *ctx, int32_t n_tasks, void (*fn)(void *arg, int32_t task), void *arg)
{
    *(int *)ctx += 1;
    for (int32_t i = n_tasks; i-- > 0;) {
        fn(arg, i);
    }
}

static void
note_task(void *arg, int32_t task)
{
    *(int32_t *)arg = task;
}

static void
the_engines_threads_do_the_work(void **state)
{
    (void)state;
    int calls = 0;
    int32_t last = -1;
    const struct dlq_threads threads = {
        .struct_size = sizeof(threads), .n_threads = 7, .ctx = &calls, .run = run_backwards};
    struct dlq_runtime_options o = quiet;
    o.threads = &threads;
    dlq_runtime *const rt = make(&o);
    const struct dlq_host *const host = dlq_runtime_host(rt);
    assert_int_equal(host->n_threads(host->ctx), 7);
    host->parallel_for(host->ctx, 5, note_task, &last);
    assert_int_equal(calls, 1);
    assert_int_equal(last, 0);
    dlq_runtime_destroy(rt);
}

static void
count_lines(void *ctx, int32_t level, const char *line)
{
    int *const counts = ctx;
    assert_null(strchr(line, '\n'));
    counts[level]++;
}

static void
only_wanted_levels_are_logged(void **state)
{
    (void)state;
    int counts[4] = {0};
    struct dlq_runtime_options o = quiet;
    o.log = count_lines;
    o.log_ctx = counts;
    o.log_level = DLQ_LOG_WARN;
    dlq_runtime *const rt = make(&o);
    const struct dlq_host *const host = dlq_runtime_host(rt);
    for (int32_t level = DLQ_LOG_ERROR; level <= DLQ_LOG_DEBUG; level++) {
        host->log(host->ctx, level, "line");
        dlq_runtime_log(rt, level, "%s %d", "line", 1);
    }
    assert_int_equal(counts[DLQ_LOG_ERROR], 2);
    assert_int_equal(counts[DLQ_LOG_WARN], 2);
    assert_int_equal(counts[DLQ_LOG_INFO], 0);
    assert_int_equal(counts[DLQ_LOG_DEBUG], 0);
    dlq_runtime_destroy(rt);
}

static void
a_configuration_knows_its_plugin(void **state)
{
    (void)state;
    struct dlq_error err = DLQ_ERROR_INIT;
    dlq_quant_config *config = NULL;
    char text[16];
    dlq_runtime *const rt = make(&quiet);
    test_assert_ok(dlq_runtime_add_plugin(rt, &tiny_plugin, &err), &err);
    test_assert_ok(dlq_quant_config_create(rt, "tiny-alias", "{}", 2, &config, &err), &err);
    assert_string_equal(dlq_quant_config_name(config), "tiny");
    assert_ptr_equal(dlq_quant_config_plugin(config), &tiny_plugin);
    assert_int_equal(dlq_quant_config_describe(config, text, sizeof(text)), 7);
    assert_string_equal(text, "nothing");
    assert_null(dlq_quant_config_extension(config, "dlq.unknown/1"));
    assert_non_null(dlq_quant_config_object(config));
    dlq_quant_config_destroy(config);
    dlq_quant_config_destroy(NULL);
    dlq_runtime_destroy(rt);
}

static void
a_refused_configuration_names_the_plugin(void **state)
{
    (void)state;
    struct dlq_error err = DLQ_ERROR_INIT;
    dlq_quant_config *config = NULL;
    dlq_runtime *const rt = make(&quiet);
    test_assert_ok(dlq_runtime_add_plugin(rt, &tiny_plugin, &err), &err);
    test_assert_error(dlq_quant_config_create(rt, "tiny", "[]", 2, &config, &err), &err,
                      DLQ_ECONFIG, "tiny: configuration: expected an object, found '['");
    assert_int_equal(dlq_quant_config_create(rt, "tiny", "[]", 2, &config, NULL), DLQ_ECONFIG);
    assert_null(config);
    dlq_runtime_destroy(rt);
}

static void
the_unquantized_configuration_is_made_once(void **state)
{
    (void)state;
    struct dlq_error err = DLQ_ERROR_INIT;
    dlq_quant_config *a = NULL;
    dlq_quant_config *b = NULL;
    dlq_runtime *const rt = make(&quiet);
    test_assert_error(dlq_runtime_unquantized(rt, &a, &err), &err, DLQ_ENOTFOUND,
                      "unknown quantization method '" DLQ_METHOD_UNQUANTIZED "'");
    test_assert_ok(dlq_runtime_add_plugin(rt, &unquantized_plugin, &err), &err);
    test_assert_ok(dlq_runtime_unquantized(rt, &a, &err), &err);
    test_assert_ok(dlq_runtime_unquantized(rt, &b, &err), &err);
    assert_non_null(a);
    assert_ptr_equal(a, b);
    dlq_runtime_destroy(rt); // Frees it: the leak checker knows
}

static int32_t
nothing(void)
{
    return DLQ_OK;
}

static void
methods_with_missing_functions_are_refused(void **state)
{
    (void)state;
    struct dlq_error err = DLQ_ERROR_INIT;
    static const struct {
        size_t at;
        const char *name;
    } mandatory[] = {
        {offsetof(struct dlq_linear_method_ops, can_implement), "can_implement"},
        {offsetof(struct dlq_linear_method_ops, create_weights), "create_weights"},
        {offsetof(struct dlq_linear_method_ops, apply), "apply"},
        {offsetof(struct dlq_linear_method_ops, explain), "explain"},
        {offsetof(struct dlq_linear_method_ops, destroy), "destroy"},
    };
    struct dlq_linear_method_ops good = {.struct_size = sizeof(good)};
    int32_t (*const fn)(void) = nothing;
    for (size_t i = 0; i < TEST_COUNT(mandatory); i++) {
        memcpy((char *)&good + mandatory[i].at, &fn, sizeof(fn));
    }
    test_assert_ok(dlq_plugin_check_method(&tiny_plugin, &good, &err), &err);
    for (size_t i = 0; i < TEST_COUNT(mandatory); i++) {
        char message[128];
        struct dlq_linear_method_ops bad = good;
        memset((char *)&bad + mandatory[i].at, 0, sizeof(fn));
        snprintf(message, sizeof(message), "tiny: ops->%s: expected a pointer, found NULL",
                 mandatory[i].name);
        test_assert_error(dlq_plugin_check_method(&tiny_plugin, &bad, &err), &err, DLQ_EPLUGIN,
                          message);
    }
    test_assert_error(dlq_plugin_check_method(&tiny_plugin, NULL, &err), &err, DLQ_EPLUGIN,
                      "tiny: ops: expected a pointer, found NULL");
    good.struct_size = 40;
    test_assert_error(dlq_plugin_check_method(&tiny_plugin, &good, &err), &err, DLQ_EABI,
                      "tiny: ops->struct_size: expected at least 64, found 40");
}

static void
ignore_item(void *ctx, const struct dlq_plugin_info *info)
{
    *(int *)ctx += info->name != NULL;
}

// The life of a runtime: everything that asks for memory, one after the other.
static int32_t
live(void *ctx, struct test_allocator *t, struct dlq_error *err)
{
    static const char *const allowed[] = {"tiny", "claimed", NULL};
    static const struct dlq_device cpu = {DLQ_DEVICE_CPU, 0};
    const char *const dirs[] = {ctx, NULL};
    struct dlq_runtime_options o = {.struct_size = sizeof(o),
                                    .load_policy = DLQ_LOAD_LISTED,
                                    .plugin_dirs = dirs,
                                    .allowed = allowed,
                                    .allocator = &t->a,
                                    .n_threads = 2};
    dlq_runtime *rt = NULL;
    dlq_quant_config *config = NULL;
    dlq_quant_config *chosen = NULL;
    dlq_quant_config *plain = NULL;
    const struct dlq_plugin *plugin = NULL;
    int listed = 0;
    int32_t rc = dlq_runtime_create(&o, &rt, err);
    if (rc == DLQ_OK) {
        rc = dlq_runtime_add_plugin(rt, &unquantized_plugin, err);
    }
    if (rc == DLQ_OK) {
        rc = dlq_runtime_find(rt, "tiny-alias", &plugin, err);
    }
    if (rc == DLQ_OK) {
        rc = dlq_runtime_find(rt, "tiny", &plugin, err);
    }
    if (rc == DLQ_OK) {
        rc = dlq_runtime_list(rt, ignore_item, &listed, err);
    }
    if (rc == DLQ_OK) {
        rc = dlq_quant_config_create(rt, "tiny", NULL, 0, &config, err);
    }
    if (rc == DLQ_OK) {
        rc = dlq_quant_config_choose(rt, "claimed", "{}", 2, cpu, &chosen, err);
    }
    if (rc == DLQ_OK) {
        rc = dlq_runtime_unquantized(rt, &plain, err);
    }
    dlq_quant_config_destroy(chosen);
    dlq_quant_config_destroy(config);
    dlq_runtime_destroy(rt);
    return rc;
}

static void
every_failing_allocation_is_reported_and_leaks_nothing(void **state)
{
    (void)state;
    size_t len = 0;
    char *const dir = test_tmpdir();
    char *const bytes = test_read(TINY_DIR "/tiny.so", &len);
    test_write(dir, "tiny.so", bytes, len);
    assert_int_equal(chmod(test_path(dir, "tiny.so"), 0755), 0);
    assert_true(test_each_allocation_fails(live, dir) > 50);
    free(bytes);
    test_tmpdir_remove(dir);
}

static void
the_version_is_that_of_the_project(void **state)
{
    (void)state;
    assert_string_equal(dlq_version(), DLQ_PROJECT_VERSION);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_options_give_a_runtime),
        cmocka_unit_test(options_of_an_older_engine_are_completed_with_zeroes),
        cmocka_unit_test(options_of_a_newer_engine_work_while_its_members_are_zero),
        cmocka_unit_test(options_without_a_size_are_refused),
        cmocka_unit_test(incomplete_services_of_the_engine_are_refused),
        cmocka_unit_test(the_engines_threads_do_the_work),
        cmocka_unit_test(only_wanted_levels_are_logged),
        cmocka_unit_test(a_configuration_knows_its_plugin),
        cmocka_unit_test(a_refused_configuration_names_the_plugin),
        cmocka_unit_test(the_unquantized_configuration_is_made_once),
        cmocka_unit_test(methods_with_missing_functions_are_refused),
        cmocka_unit_test(every_failing_allocation_is_reported_and_leaks_nothing),
        cmocka_unit_test(the_version_is_that_of_the_project),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
