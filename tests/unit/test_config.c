// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "alloc.h"
#include "config.h"
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static int32_t
parse(const char *text, struct dlq_json **out, struct dlq_error *err)
{
    return dlq_json_parse(&dlq_system_allocator, "config.json", text, strlen(text), out, err);
}

static struct dlq_json *
parsed(const char *text)
{
    struct dlq_json *root = NULL;
    struct dlq_error err = DLQ_ERROR_INIT;
    test_assert_ok(parse(text, &root, &err), &err);
    return root;
}

static void
release(struct dlq_json *root)
{
    dlq_json_free(&dlq_system_allocator, root);
}

static void
refuse(const char *text, const char *message)
{
    struct dlq_json *root = NULL;
    struct dlq_error err = DLQ_ERROR_INIT;
    const int32_t rc = parse(text, &root, &err);
    test_assert_error(rc, &err, DLQ_EFORMAT, message);
    assert_null(root);
}

static void
every_type_is_told_apart(void **state)
{
    (void)state;
    struct dlq_json *const root = parsed("[null, true, 1, 1.0, \"s\", [], {}]");
    assert_int_equal(dlq_json_type(root), DLQ_JSON_ARRAY);
    for (int32_t i = 0; i < 7; i++) {
        assert_int_equal(dlq_json_type(dlq_json_at(root, (size_t)i)), i);
    }
    assert_null(dlq_json_at(root, 7));
    assert_int_equal(dlq_json_type(NULL), DLQ_JSON_NULL);
    assert_int_equal(dlq_json_size(NULL), 0);
    assert_string_equal(dlq_json_type_name(DLQ_JSON_OBJECT), "an object");
    assert_string_equal(dlq_json_type_name(99), "nothing");
    release(root);
}

static void
members_keep_the_order_of_the_file(void **state)
{
    (void)state;
    struct dlq_json *const root = parsed("{\"z\":1,\"a\":{\"y\":2,\"b\":3},\"m\":4,\"10\":5}");
    const char *const keys[] = {"z", "a", "m", "10"};
    assert_int_equal(dlq_json_size(root), TEST_COUNT(keys));
    for (size_t i = 0; i < TEST_COUNT(keys); i++) {
        assert_string_equal(dlq_json_key(root, i), keys[i]);
    }
    assert_string_equal(dlq_json_key(dlq_json_at(root, 1), 1), "b");
    assert_null(dlq_json_key(root, 4));
    assert_null(dlq_json_key(dlq_json_at(root, 0), 0));
    release(root);
}

static void
pointers_find_what_rfc_6901_says(void **state)
{
    (void)state;
    struct dlq_json *const root =
        parsed("{\"foo\":[\"bar\",\"baz\"],\"\":0,\"a/b\":1,\"c%d\":2,\"e^f\":3,\"g|h\":4,"
               "\"i\\\\j\":5,\"k\\\"l\":6,\" \":7,\"m~n\":8,\"ab\":{\"\":{\"x\":9}}}");
    const char *const pointers[] = {"/",     "/a~1b", "/c%d", "/e^f",  "/g|h",
                                    "/i\\j", "/k\"l", "/ ",   "/m~0n", "/ab//x"};
    for (int64_t i = 0; i < (int64_t)TEST_COUNT(pointers); i++) {
        int64_t value = -1;
        assert_int_equal(dlq_json_i64(dlq_json_get(root, pointers[i]), &value), DLQ_OK);
        assert_int_equal(value, i);
    }
    assert_ptr_equal(dlq_json_get(root, ""), root);
    const char *text = NULL;
    assert_int_equal(dlq_json_str(dlq_json_get(root, "/foo/1"), &text, NULL), DLQ_OK);
    assert_string_equal(text, "baz");
    const char *const absent[] = {
        "foo",   "/fo", "/fooo",   "/foo/2", "/foo/-", "/foo/01",  "/foo/",
        "/m~2n", "/m~", "/foo/0/", "/foo/x", "/a/b",   "/foo/1/2", "/foo/99999999999999999999"};
    for (size_t i = 0; i < TEST_COUNT(absent); i++) {
        assert_null(dlq_json_get(root, absent[i]));
    }
    assert_null(dlq_json_get(NULL, ""));
    assert_ptr_equal(dlq_json_member(root, "a/b"), dlq_json_get(root, "/a~1b"));
    assert_null(dlq_json_member(root, "a"));
    assert_null(dlq_json_member(dlq_json_at(root, 0), "bar"));
    assert_null(dlq_json_member(NULL, "bar"));
    release(root);
}

static void
getters_refuse_another_type_and_leave_the_result_alone(void **state)
{
    (void)state;
    struct dlq_json *const root = parsed("{\"i\":7,\"r\":0.5,\"b\":true,\"s\":\"4\",\"n\":null}");
    int64_t i = -1;
    double f = -1;
    int32_t b = -1;
    const char *s = "-1";
    size_t len = 99;
    const char *const names = "irbsn";
    for (size_t k = 0; k < 5; k++) {
        const struct dlq_json *const node = dlq_json_at(root, k);
        assert_int_equal(dlq_json_i64(node, &i), names[k] == 'i' ? DLQ_OK : DLQ_EDTYPE);
        assert_int_equal(dlq_json_f64(node, &f), k <= 1 ? DLQ_OK : DLQ_EDTYPE);
        assert_int_equal(dlq_json_bool(node, &b), names[k] == 'b' ? DLQ_OK : DLQ_EDTYPE);
        assert_int_equal(dlq_json_str(node, &s, &len), names[k] == 's' ? DLQ_OK : DLQ_EDTYPE);
        if (k == 0) {
            assert_true(f == 7.0);
        }
    }
    assert_int_equal(i, 7);
    assert_true(f == 0.5);
    assert_int_equal(b, 1);
    assert_string_equal(s, "4");
    assert_int_equal(len, 1);
    assert_int_equal(dlq_json_i64(NULL, &i), DLQ_EDTYPE);
    assert_int_equal(dlq_json_str(NULL, &s, NULL), DLQ_EDTYPE);
    release(root);
}

static void
integers_keep_every_bit_and_larger_ones_are_reals(void **state)
{
    (void)state;
    struct dlq_json *const root =
        parsed("[9223372036854775807, -9223372036854775808, 0, -0, 9007199254740993,"
               " 9223372036854775808, -9223372036854775809, 1000000000000000019884624838656,"
               " 5, 1e3, 2.5]");
    const int64_t ints[] = {INT64_MAX, INT64_MIN, 0, 0, 9007199254740993};
    for (size_t k = 0; k < TEST_COUNT(ints); k++) {
        int64_t value = 1;
        assert_int_equal(dlq_json_i64(dlq_json_at(root, k), &value), DLQ_OK);
        assert_true(value == ints[k]);
    }
    const double reals[] = {9223372036854775808.0, -9223372036854775808.0, 1e30, 5, 1000, 2.5};
    for (size_t k = 0; k < TEST_COUNT(reals); k++) {
        double value = 1;
        const struct dlq_json *const node = dlq_json_at(root, 5 + k);
        assert_int_equal(dlq_json_type(node), k == 3 ? DLQ_JSON_INT : DLQ_JSON_REAL);
        assert_int_equal(dlq_json_f64(node, &value), DLQ_OK);
        assert_true(value == reals[k]);
    }
    release(root);
}

// Python's json.dump() writes them, and published Mamba configurations hold
// "time_step_limit": [0.0, Infinity].
static void
numbers_that_only_python_writes_are_reals(void **state)
{
    (void)state;
    struct dlq_json *const root =
        parsed("{\"a\":[0.0, Infinity],\"b\":-Infinity,\"c\":NaN,\"d\":3}");
    double value = 0;
    assert_int_equal(dlq_json_f64(dlq_json_get(root, "/a/1"), &value), DLQ_OK);
    assert_true(isinf(value) && value > 0);
    assert_int_equal(dlq_json_f64(dlq_json_get(root, "/b"), &value), DLQ_OK);
    assert_true(isinf(value) && value < 0);
    assert_int_equal(dlq_json_f64(dlq_json_get(root, "/c"), &value), DLQ_OK);
    assert_true(isnan(value));
    assert_int_equal(dlq_json_f64(dlq_json_get(root, "/d"), &value), DLQ_OK);
    assert_true(value == 3);
    release(root);
}

static void
strings_are_unescaped_and_may_hold_a_zero(void **state)
{
    (void)state;
    struct dlq_json *const root = parsed("[\"a\\u0000b\", \"\\u00e9\\ud83d\\ude00\\n\", \"\\\"\"]");
    const char *s = NULL;
    size_t len = 0;
    assert_int_equal(dlq_json_str(dlq_json_at(root, 0), &s, &len), DLQ_OK);
    assert_int_equal(len, 3);
    assert_memory_equal(s, "a\0b", 4);
    assert_int_equal(dlq_json_str(dlq_json_at(root, 1), &s, &len), DLQ_OK);
    assert_string_equal(s, "\xC3\xA9\xF0\x9F\x98\x80\n");
    assert_int_equal(len, 7);
    assert_int_equal(dlq_json_str(dlq_json_at(root, 2), &s, &len), DLQ_OK);
    assert_string_equal(s, "\"");
    release(root);
}

static void
a_fault_is_reported_with_its_line_and_column(void **state)
{
    (void)state;
    const char *const cases[][2] = {
        {"", "config.json: line 1, column 1: the text ends too early"},
        {"{\"a\":1,}", "line 1, column 8: a comma before the closing bracket"},
        {"{\n  \"a\": 1\n  \"b\": 2}", "line 3, column 3: expected ',' or '}'"},
        {"[1,2", "line 1, column 5: expected ',' or ']'"},
        {"[1 2]", "line 1, column 4: expected ',' or ']'"},
        {"{\"a\" 1}", "line 1, column 6: expected ':' behind a member's name"},
        {"{1:2}", "line 1, column 2: expected a string"},
        {"{\"\xC3\xA9\xC3\xA9\": tru}", "line 1, column 8: not a JSON value"},
        {"[01]", "line 1, column 2: a number with a leading zero"},
        {"[1.]", "line 1, column 2: a number without digits behind its point"},
        {"[1e]", "line 1, column 2: a number without digits in its exponent"},
        {"[-]", "line 1, column 2: not a JSON value"},
        {"[+1]", "line 1, column 2: not a JSON value"},
        {"['a']", "line 1, column 2: not a JSON value"},
        {"[\"abc]", "line 1, column 2: a string without its closing quote"},
        {"[\"a\tb\"]", "line 1, column 4: a control character inside a string"},
        {"[\"\\x\"]", "line 1, column 3: an invalid escape sequence"},
        {"[\"\\ud800\"]", "line 1, column 3: an invalid escape sequence"},
        {"[\"\\udc00\"]", "line 1, column 3: an invalid escape sequence"},
        {"[\"\\ud800\\u0041\"]", "line 1, column 3: an invalid escape sequence"},
        {"[\"\\u12\"]", "line 1, column 3: an invalid escape sequence"},
        {"{} {}", "line 1, column 4: text behind the end of the JSON value"},
        {"[1e999]", "line 1, column 2: a number beyond the range of a double"},
        {"[Infinit]", "line 1, column 2: not a JSON value"},
        {"{\"a\":\n\"\xFF\"}", "line 2, column 2: a byte that is not UTF-8"},
        {"\xEF\xBB\xBF{}", "line 1, column 1: a byte order mark"},
        {"{\"a\\u0000\":1}", "line 1, column 2: a zero byte in a member's name"},
        {"// comment\n{}", "line 1, column 1: not a JSON value"},
    };
    for (size_t i = 0; i < TEST_COUNT(cases); i++) {
        refuse(cases[i][0], cases[i][1]);
    }
}

static void
a_member_that_occurs_twice_is_refused_where_it_stands(void **state)
{
    (void)state;
    refuse("{\"bits\": 4,\n  \"bits\": 8}",
           "line 2, column 3: the member '\"bits\"' occurs twice in one object");
    refuse("{\"a\": {\"x\":1, \"x\":1}}", "line 1, column 15: the member '\"x\"'");
    refuse("{\"a\":1, \"\\u0061\":1}", "line 1, column 9: the member");
    refuse("{\"q\\\"\":1, \"q\\\"\":1}", "line 1, column 11: the member");
    release(parsed("[{\"a\":1},{\"a\":1}]"));
}

static void
an_integer_of_a_thousand_digits_is_out_of_range(void **state)
{
    (void)state;
    char text[1100] = "[1, ";
    memset(text + 4, '9', 1000);
    strcpy(text + 1004, "]");
    refuse(text, "line 1, column 5: a number beyond the range of a double");
}

static void
a_zero_byte_ends_nothing(void **state)
{
    (void)state;
    struct dlq_json *root = NULL;
    struct dlq_error err = DLQ_ERROR_INIT;
    const int32_t rc = dlq_json_parse(&dlq_system_allocator, NULL, "{}\0{}", 5, &root, &err);
    test_assert_error(rc, &err, DLQ_EFORMAT, "JSON text: line 1, column 3: text behind the end");
    const int32_t inside = dlq_json_parse(&dlq_system_allocator, NULL, "[\0]", 3, &root, &err);
    test_assert_error(inside, &err, DLQ_EFORMAT, "line 1, column 2: a zero byte");
}

static char *
repeat(const char *unit, size_t n, const char *tail)
{
    const size_t len = strlen(unit);
    char *const text = malloc(len * n + strlen(tail) + 1);
    assert_non_null(text);
    for (size_t i = 0; i < n; i++) {
        memcpy(text + i * len, unit, len);
    }
    strcpy(text + len * n, tail);
    return text;
}

static void
nesting_beyond_the_limit_is_refused(void **state)
{
    (void)state;
    char *const open = repeat("[", 128, "");
    char *const close = repeat("]", 128, "");
    char text[300];
    snprintf(text, sizeof(text), "%s%s", open, close);
    release(parsed(text));
    snprintf(text, sizeof(text), "[%s%s]", open, close);
    refuse(text, "line 1, column 129: nested deeper than 128 levels");
    free(open);
    free(close);
    char *const bomb = repeat("{\"a\":", 1000000, "");
    refuse(bomb, "column 641: nested deeper than 128 levels");
    free(bomb);
}

static void
too_many_values_and_too_large_texts_are_refused(void **state)
{
    (void)state;
    char *const values = repeat("0,", 1048575, "0]");
    values[0] = '[';
    values[1] = ' ';
    release(parsed(values));
    free(values);
    char *const more = repeat("0,", 1048576, "0]");
    more[0] = '[';
    more[1] = ' ';
    refuse(more, "more than 1048576 values");
    free(more);
    char *const large = repeat(" ", DLQ_JSON_MAX_BYTES, "{}");
    refuse(large, "16777218 bytes of JSON, at most 16777216 are read");
    free(large);
}

static int32_t
parse_and_free(void *ctx, struct test_allocator *t, struct dlq_error *err)
{
    const char *const text = ctx;
    struct dlq_json *root = NULL;
    const int32_t rc = dlq_json_parse(&t->a, "config.json", text, strlen(text), &root, err);
    if (rc == DLQ_OK) {
        dlq_json_free(&t->a, root);
    }
    return rc;
}

static void
every_failing_allocation_is_an_error_without_a_leak(void **state)
{
    (void)state;
    char text[] = "{\"a\":[1,2,{\"b\":\"c\"}],\"d\":Infinity,\"e\":99999999999999999999,\"f\":0.5}";
    assert_true(test_each_allocation_fails(parse_and_free, text) > 20);
}

#ifndef __SANITIZE_ADDRESS__
// In a process that may grow by so many MiB, parse a text. Returns what a shell would get.
static int
parse_with_little_memory(const char *text, int mib)
{
    char *const pages = test_read("/proc/self/statm", NULL);
    const rlim_t used = (rlim_t)strtol(pages, NULL, 10) * (rlim_t)sysconf(_SC_PAGESIZE);
    free(pages);
    const rlim_t most = used + ((rlim_t)mib << 20);
    const struct rlimit limit = {most, most};
    struct dlq_json *root = NULL;
    struct dlq_error err = DLQ_ERROR_INIT;
    if (setrlimit(RLIMIT_AS, &limit) != 0) {
        return 77;
    }
    const int32_t rc = parse(text, &root, &err);
    return rc == DLQ_OK || (rc == DLQ_ENOMEM && strstr(err.msg, "out of memory")) ? 0 : 1;
}

// A number of values, then a string of 6 MiB.
static char *
values_before_a_string(size_t n)
{
    const size_t len = (size_t)6 << 20;
    char *const text = malloc(2 * n + len + 5);
    assert_non_null(text);
    char *at = text;
    *at++ = '[';
    for (size_t i = 0; i < n; i++) {
        *at++ = '1';
        *at++ = ',';
    }
    *at++ = '"';
    memset(at, 'x', len);
    memcpy(at + len, "\"]", 3);
    return text;
}
#endif

// jansson by itself would lose a part of the string, or write behind a block.
static void
a_text_that_memory_is_too_short_for_is_an_error(void **state)
{
    (void)state;
#ifdef __SANITIZE_ADDRESS__
    skip(); // A sanitizer needs its address space
#else
    static const size_t values[] = {0, 400000};
    for (size_t i = 0; i < TEST_COUNT(values); i++) {
        char *const text = values_before_a_string(values[i]);
        for (int mib = 12; mib < 60; mib++) {
            const pid_t child = fork();
            assert_true(child >= 0);
            if (child == 0) {
                _exit(parse_with_little_memory(text, mib));
            }
            int status = -1;
            assert_int_equal(waitpid(child, &status, 0), child);
            if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
                skip();
            }
            assert_true(WIFEXITED(status));
            assert_int_equal(WEXITSTATUS(status), 0);
        }
        free(text);
    }
#endif
}

static void
published_configurations_parse(void **state)
{
    (void)state;
    size_t len = 0;
    char *const index = test_read(test_data("configs/INDEX.json"), &len);
    struct dlq_json *const root = parsed(index);
    assert_int_equal(dlq_json_size(root), 94);
    for (size_t i = 0; i < dlq_json_size(root); i++) {
        const char *file = NULL;
        char path[512];
        assert_int_equal(dlq_json_str(dlq_json_member(dlq_json_at(root, i), "file"), &file, NULL),
                         0);
        snprintf(path, sizeof(path), "configs/%s", file);
        char *const text = test_read(test_data(path), NULL);
        release(parsed(text));
        free(text);
    }
    release(root);
    free(index);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_is_told_apart),
        cmocka_unit_test(members_keep_the_order_of_the_file),
        cmocka_unit_test(pointers_find_what_rfc_6901_says),
        cmocka_unit_test(getters_refuse_another_type_and_leave_the_result_alone),
        cmocka_unit_test(integers_keep_every_bit_and_larger_ones_are_reals),
        cmocka_unit_test(numbers_that_only_python_writes_are_reals),
        cmocka_unit_test(strings_are_unescaped_and_may_hold_a_zero),
        cmocka_unit_test(a_fault_is_reported_with_its_line_and_column),
        cmocka_unit_test(a_member_that_occurs_twice_is_refused_where_it_stands),
        cmocka_unit_test(an_integer_of_a_thousand_digits_is_out_of_range),
        cmocka_unit_test(a_zero_byte_ends_nothing),
        cmocka_unit_test(nesting_beyond_the_limit_is_refused),
        cmocka_unit_test(too_many_values_and_too_large_texts_are_refused),
        cmocka_unit_test(every_failing_allocation_is_an_error_without_a_leak),
        cmocka_unit_test(a_text_that_memory_is_too_short_for_is_an_error),
        cmocka_unit_test(published_configurations_parse),
    };
    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
