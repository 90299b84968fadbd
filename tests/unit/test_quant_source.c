// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "alloc.h"
#include "config.h"
#include "published_configs.h"
#include "quant_source.h"
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// A folder, and what discovery finds in it.
struct fixture {
    char *dir;
    char *config;
    struct dlq_json *root;
    struct dlq_trace trace;
    struct dlq_quant_found found;
    struct dlq_error err;
    int32_t rc;
};

static void
discover(struct fixture *f, const struct dlq_allocator *a)
{
    size_t len = f->config ? strlen(f->config) : 0;
    const struct dlq_quant_place place = {f->dir, f->config, len, f->root};
    f->trace = (struct dlq_trace){.a = a};
    f->err = (struct dlq_error)DLQ_ERROR_INIT;
    f->rc = dlq_quant_discover(a, &place, &f->trace, &f->found, &f->err);
}

// `files` are pairs of name and text, ended by NULL.
static void
set_up(struct fixture *f, const char *const *files)
{
    memset(f, 0, sizeof(*f));
    f->dir = test_tmpdir();
    for (; *files; files += 2) {
        test_write_text(f->dir, files[0], files[1]);
        if (strcmp(files[0], "config.json") == 0) {
            f->config = strdup(files[1]);
            struct dlq_error err = DLQ_ERROR_INIT;
            test_assert_ok(dlq_json_parse(&dlq_system_allocator, "config.json", f->config,
                                          strlen(f->config), &f->root, &err),
                           &err);
        }
    }
    discover(f, &dlq_system_allocator);
}

static void
tear_down(struct fixture *f)
{
    dlq_quant_found_free(&dlq_system_allocator, &f->found);
    dlq_trace_free(&f->trace);
    dlq_json_free(&dlq_system_allocator, f->root);
    free(f->config);
    test_tmpdir_remove(f->dir);
}

#define SET_UP(f, ...)                                                                             \
    const char *const f##_files[] = {__VA_ARGS__, NULL};                                           \
    struct fixture f;                                                                              \
    set_up(&f, f##_files)

static bool
trace_has(const struct fixture *f, int32_t level, const char *text)
{
    for (size_t i = 0; i < f->trace.n; i++) {
        if (f->trace.lines[i].level == level && strstr(f->trace.lines[i].text, text)) {
            return true;
        }
    }
    return false;
}

static size_t
warnings(const struct fixture *f)
{
    size_t n = 0;
    for (size_t i = 0; i < f->trace.n; i++) {
        n += f->trace.lines[i].level == DLQ_LOG_WARN;
    }
    return n;
}

static void
assert_found(const struct fixture *f, const char *method, const char *file, const char *pointer,
             const char *text)
{
    test_assert_ok(f->rc, &f->err);
    assert_string_equal(f->found.method, method);
    assert_string_equal(f->found.file, file);
    assert_string_equal(f->found.pointer, pointer);
    assert_string_equal(f->found.text, text);
    assert_int_equal(f->found.len, strlen(text));
}

static void
the_section_of_config_json_comes_first(void **state)
{
    (void)state;
    SET_UP(f, "config.json",
           "{\"compression_config\":{\"quant_method\":\"c\"},"
           "\"text_config\":{\"quantization_config\":{\"quant_method\":\"b\"}},"
           "\"quantization_config\": { \"quant_method\" : \"a\" } }",
           "quantize_config.json", "{\"quant_method\":\"d\"}");
    assert_found(&f, "a", "config.json", "/quantization_config", "{ \"quant_method\" : \"a\" }");
    assert_int_equal(f.found.inferred, 0);
    assert_true(trace_has(&f, DLQ_LOG_WARN,
                          "quant_method differs: 'a' in config.json/quantization_config, 'd' in "
                          "quantize_config.json; the first is used"));
    tear_down(&f);
}

static void
then_the_one_of_the_text_model_then_the_old_name(void **state)
{
    (void)state;
    SET_UP(f, "config.json",
           "{\"compression_config\":{\"quant_method\":\"c\"},"
           "\"text_config\":{\"quantization_config\":{\"quant_method\":\"b\"}}}");
    assert_found(&f, "b", "config.json", "/text_config/quantization_config",
                 "{\"quant_method\":\"b\"}");
    tear_down(&f);
    SET_UP(g, "config.json", "{\"compression_config\":{\"quant_method\":\"c\"}}",
           "quant_config.json", "{\"quant_method\":\"c\"}");
    assert_found(&g, "c", "config.json", "/compression_config", "{\"quant_method\":\"c\"}");
    assert_int_equal(warnings(&g), 0);
    tear_down(&g);
}

static void
then_files_in_their_order(void **state)
{
    (void)state;
    static const char *const names[] = {"quantize_config.json", "quant_config.json",
                                        "hf_quant_config.json", "quantization_config.json"};
    for (size_t i = 0; i < 4; i++) {
        struct fixture f;
        const char *files[2 * 4 + 3] = {"config.json", "{}"};
        char texts[4][64];
        size_t n = 2;
        for (size_t k = i; k < 4; k++) {
            snprintf(texts[k], sizeof(texts[k]), "{\"quant_method\":\"m%zu\"}", k);
            files[n++] = names[k];
            files[n++] = texts[k];
        }
        set_up(&f, files);
        char method[8];
        snprintf(method, sizeof(method), "m%zu", i);
        assert_found(&f, method, names[i], "", texts[i]);
        for (size_t k = 0; k < i; k++) {
            char line[64];
            snprintf(line, sizeof(line), "%s: absent", names[k]);
            assert_true(trace_has(&f, DLQ_LOG_DEBUG, line));
        }
        assert_int_equal(warnings(&f), 4 - 1 - i);
        tear_down(&f);
    }
}

static void
nothing_means_unquantized_and_the_trace_says_what_was_looked_at(void **state)
{
    (void)state;
    SET_UP(f, "config.json", "{\"model_type\":\"llama\",\"quantization_config\":null}",
           "quantize_config.json", "null");
    test_assert_ok(f.rc, &f.err);
    assert_string_equal(f.found.method, "");
    assert_null(f.found.text);
    assert_null(f.found.file);
    assert_string_equal(f.found.pointer, "");
    static const char *const lines[] = {
        "config.json/quantization_config: null, counts as absent",
        "config.json/text_config/quantization_config: absent",
        "config.json/compression_config: absent",
        "quantize_config.json: null, counts as absent",
        "quant_config.json: absent",
        "hf_quant_config.json: absent",
        "quantization_config.json: absent",
        "no quantization section: the checkpoint is unquantized",
    };
    assert_int_equal(f.trace.n, TEST_COUNT(lines));
    for (size_t i = 0; i < TEST_COUNT(lines); i++) {
        assert_string_equal(f.trace.lines[i].text, lines[i]);
    }
    tear_down(&f);
}

static void
a_null_section_gives_way_to_the_next_place(void **state)
{
    (void)state;
    SET_UP(f, "config.json",
           "{\"quantization_config\":null,\"compression_config\":{\"quant_method\":\"x\"}}");
    assert_found(&f, "x", "config.json", "/compression_config", "{\"quant_method\":\"x\"}");
    tear_down(&f);
}

static void
a_missing_method_is_inferred_from_the_keys(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"{\"w_bit\":4}", "awq"},
        {"{\"q_group_size\":128}", "awq"},
        {"{\"version\":\"GEMM\",\"bits\":4}", "awq"},
        {"{\"version\":\"gemv_fast\",\"bits\":4}", "awq"},
        {"{\"quant_method\":null,\"w_bit\":4}", "awq"},
        {"{\"bits\":4,\"desc_act\":false}", "gptq"},
        {"{\"config_groups\":{}}", "compressed-tensors"},
        {"{\"quant_algo\":\"FP8\"}", "modelopt"},
        {"{\"producer\":{},\"quantization\":{\"quant_algo\":\"NVFP4\"}}", "modelopt"},
    };
    for (size_t i = 0; i < TEST_COUNT(cases); i++) {
        SET_UP(f, "quant_config.json", cases[i][0]);
        assert_found(&f, cases[i][1], "quant_config.json", "", cases[i][0]);
        assert_int_equal(f.found.inferred, 1);
        assert_true(trace_has(&f, DLQ_LOG_DEBUG, "(inferred from "));
        tear_down(&f);
    }
}

static void
a_method_that_cannot_be_told_is_an_error_never_unquantized(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"{}", "no quant_method, and no key that tells the method"},
        {"{\"bits\":4,\"group_size\":128}", "no quant_method, and no key that tells the method"},
        {"{\"version\":\"2\"}", "no key that tells the method"},
        {"{\"version\":2}", "no key that tells the method"},
        {"{\"w_bit\":4,\"desc_act\":true}",
         "its keys disagree: w_bit says awq, desc_act says gptq"},
        {"{\"quant_method\":4}", "quant_method: expected a string, found an integer"},
        {"{\"quant_method\":\"\"}", "quant_method: expected a name of 1 to 63 bytes, found ''"},
        {"{\"quant_method\":\"a\\u0000b\"}", "expected a name of 1 to 63 bytes"},
        {"{\"quant_method\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}",
         "expected a name of 1 to 63 bytes"},
        {"[]", "expected an object, found an array"},
        {"\"awq\"", "expected an object, found a string"},
    };
    for (size_t i = 0; i < TEST_COUNT(cases); i++) {
        char config[300];
        snprintf(config, sizeof(config), "{\"quantization_config\":%s}", cases[i][0]);
        SET_UP(f, "config.json", config);
        test_assert_error(f.rc, &f.err, DLQ_ECONFIG, cases[i][1]);
        assert_null(f.found.text);
        tear_down(&f);
        SET_UP(g, "quant_config.json", cases[i][0]);
        assert_non_null(strstr(g.err.msg, "quant_config.json"));
        test_assert_error(g.rc, &g.err, DLQ_ECONFIG, cases[i][1]);
        tear_down(&g);
    }
}

static void
a_malformed_file_is_an_error_with_its_line(void **state)
{
    (void)state;
    SET_UP(f, "quant_config.json", "{\n \"w_bit\": 4,\n}");
    test_assert_error(f.rc, &f.err, DLQ_EFORMAT, "quant_config.json: line 3, column 1:");
    tear_down(&f);
}

static void
a_malformed_file_behind_a_good_section_is_only_a_warning(void **state)
{
    (void)state;
    SET_UP(f, "config.json", "{\"quantization_config\":{\"quant_method\":\"a\"}}",
           "quantize_config.json", "{", "quant_config.json", "{\"bits\":4}");
    assert_found(&f, "a", "config.json", "/quantization_config", "{\"quant_method\":\"a\"}");
    assert_int_equal(warnings(&f), 2);
    assert_true(trace_has(&f, DLQ_LOG_WARN, "quantize_config.json: line 1, column 2"));
    assert_true(trace_has(&f, DLQ_LOG_WARN, "ignored: quant_config.json: no quant_method"));
    tear_down(&f);
}

static void
sections_that_disagree_are_reported_with_both_values(void **state)
{
    (void)state;
    SET_UP(f, "config.json",
           "{\"quantization_config\":{\"quant_method\":\"awq\",\"bits\":4,\"group_size\":128}}",
           "quant_config.json", "{\"w_bit\":8,\"q_group_size\":64}");
    test_assert_ok(f.rc, &f.err);
    assert_int_equal(warnings(&f), 2);
    assert_true(trace_has(&f, DLQ_LOG_WARN,
                          "bits differs: 4 in config.json/quantization_config, 8 in "
                          "quant_config.json; the first is used"));
    assert_true(trace_has(&f, DLQ_LOG_WARN, "group_size differs: 128 in"));
    tear_down(&f);
    SET_UP(g, "config.json",
           "{\"quantization_config\":{\"quant_method\":\"awq\",\"bits\":4,\"group_size\":128}}",
           "quant_config.json", "{\"w_bit\":4,\"q_group_size\":128}");
    test_assert_ok(g.rc, &g.err);
    assert_int_equal(warnings(&g), 0);
    tear_down(&g);
}

static void
misspelt_sections_are_reported_and_not_used(void **state)
{
    (void)state;
    SET_UP(f, "config.json",
           "{\"quantizaion_config\":{\"quant_method\":\"a\"},\"quantization_conf\":1,"
           "\"text_config\":{\"quantisation_config\":{}},\"compresion_config\":{}}");
    test_assert_ok(f.rc, &f.err);
    assert_string_equal(f.found.method, "");
    assert_true(trace_has(&f, DLQ_LOG_WARN,
                          "config.json: the member 'quantizaion_config' resembles "
                          "quantization_config and is not used"));
    assert_true(trace_has(&f, DLQ_LOG_WARN, "config.json: the member 'quantization_conf'"));
    assert_true(trace_has(&f, DLQ_LOG_WARN, "config.json/text_config: the member 'quantisation"));
    assert_true(trace_has(&f, DLQ_LOG_WARN, "'compresion_config' resembles compression_config"));
    assert_int_equal(warnings(&f), 4);
    tear_down(&f);
}

static void
the_text_of_a_section_is_the_files_own(void **state)
{
    (void)state;
    SET_UP(f, "config.json",
           "{\"a\":[{\"quantization_config\":1}],\"quantiz\\u0061tion_config\":\n"
           "  {\"quant_method\":\"m\", \"n\": 1e-05, \"big\": 123456789012345678901234,"
           " \"s\":\"}\\\"{\"}\n, \"b\":2}");
    assert_found(&f, "m", "config.json", "/quantization_config",
                 "{\"quant_method\":\"m\", \"n\": 1e-05, \"big\": 123456789012345678901234,"
                 " \"s\":\"}\\\"{\"}");
    tear_down(&f);
}

static int32_t
discover_and_free(void *ctx, struct test_allocator *t, struct dlq_error *err)
{
    struct fixture *const f = ctx;
    discover(f, &t->a);
    *err = f->err;
    dlq_quant_found_free(&t->a, &f->found);
    dlq_trace_free(&f->trace);
    return f->rc;
}

static void
every_failing_allocation_is_an_error_without_a_leak(void **state)
{
    (void)state;
    SET_UP(f, "config.json", "{\"quantization_config\":{\"quant_method\":\"a\"},\"quant\":1}",
           "quant_config.json", "{\"w_bit\":4}", "hf_quant_config.json", "{");
    dlq_quant_found_free(&dlq_system_allocator, &f.found);
    dlq_trace_free(&f.trace);
    assert_true(test_each_allocation_fails(discover_and_free, &f) > 20);
    tear_down(&f);
}

static const struct published_config *
expectation(const char *file)
{
    for (size_t i = 0; i < TEST_COUNT(published_configs); i++) {
        if (strcmp(published_configs[i].file, file) == 0) {
            return &published_configs[i];
        }
    }
    fail_msg("%s has no row in published_configs.h", file);
    return NULL;
}

static void
every_published_configuration_is_found_where_it_is(void **state)
{
    (void)state;
    struct dlq_error err = DLQ_ERROR_INIT;
    struct dlq_json *root = NULL;
    size_t len = 0;
    char *const index = test_read(test_data("configs/INDEX.json"), &len);
    test_assert_ok(dlq_json_parse(&dlq_system_allocator, NULL, index, len, &root, &err), &err);
    assert_int_equal(dlq_json_size(root), TEST_COUNT(published_configs));
    for (size_t i = 0; i < dlq_json_size(root); i++) {
        const char *file = NULL;
        char path[512];
        dlq_json_str(dlq_json_member(dlq_json_at(root, i), "file"), &file, NULL);
        const struct published_config *const want = expectation(file);
        snprintf(path, sizeof(path), "configs/%s", file);
        char *const text = test_read(test_data(path), NULL);
        SET_UP(f, want->place, text);
        if (f.rc != DLQ_OK || strcmp(f.found.method, want->method) != 0 ||
            strcmp(f.found.file, want->place) != 0 || strcmp(f.found.pointer, want->pointer) != 0 ||
            f.found.inferred != want->inferred) {
            fail_msg("%s: status %d '%s', method %s in %s%s, inferred %d", file, f.rc, f.err.msg,
                     f.found.method, f.found.file, f.found.pointer, f.found.inferred);
        }
        // Only this one has a misspelt key beside the right one.
        assert_int_equal(warnings(&f),
                         strcmp(file, "hf__ybelkada--llava-1.5-7b-hf-awq__config.json") ? 0 : 1);
        tear_down(&f);
        free(text);
    }
    dlq_json_free(&dlq_system_allocator, root);
    free(index);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_section_of_config_json_comes_first),
        cmocka_unit_test(then_the_one_of_the_text_model_then_the_old_name),
        cmocka_unit_test(then_files_in_their_order),
        cmocka_unit_test(nothing_means_unquantized_and_the_trace_says_what_was_looked_at),
        cmocka_unit_test(a_null_section_gives_way_to_the_next_place),
        cmocka_unit_test(a_missing_method_is_inferred_from_the_keys),
        cmocka_unit_test(a_method_that_cannot_be_told_is_an_error_never_unquantized),
        cmocka_unit_test(a_malformed_file_is_an_error_with_its_line),
        cmocka_unit_test(a_malformed_file_behind_a_good_section_is_only_a_warning),
        cmocka_unit_test(sections_that_disagree_are_reported_with_both_values),
        cmocka_unit_test(misspelt_sections_are_reported_and_not_used),
        cmocka_unit_test(the_text_of_a_section_is_the_files_own),
        cmocka_unit_test(every_failing_allocation_is_an_error_without_a_leak),
        cmocka_unit_test(every_published_configuration_is_found_where_it_is),
    };
    return cmocka_run_group_tests_name("quant_source", tests, NULL, NULL);
}
