// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "json_reader.h"
#include "support.h"

#include <string.h>

static struct dlq_json_reader
reader(const char *text)
{
    struct dlq_json_reader r;
    dlq_json_reader_init(&r, text, strlen(text));
    return r;
}

static void
integers_are_exact_up_to_their_limit(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t value;
    } good[] = {
        {"0", 0}, {" 7 ", 7}, {"18446744073709551615", UINT64_MAX}, {"10,", 10}, {"3]", 3},
    };
    for (size_t i = 0; i < TEST_COUNT(good); i++) {
        struct dlq_json_reader r = reader(good[i].text);
        uint64_t value = 1;
        assert_true(dlq_json_reader_u64(&r, &value));
        assert_true(value == good[i].value);
    }
    static const char *const bad[] = {
        "-0",    "-1", "1.0", "1e0", "00", "01", "18446744073709551616", "99999999999999999999",
        "\"1\"", "",   "x",   "1E2", "+1"};
    for (size_t i = 0; i < TEST_COUNT(bad); i++) {
        struct dlq_json_reader r = reader(bad[i]);
        uint64_t value = 42;
        assert_false(dlq_json_reader_u64(&r, &value));
        assert_non_null(r.problem);
        assert_ptr_equal(r.at, bad[i]);
        assert_true(value == 42);
    }
}

static void
strings_are_unescaped_in_place(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *value;
    } cases[] = {
        {"\"\"", ""},
        {"\"plain\"", "plain"},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t"},
        {"\"\\u0041\\u00e9\\u20AC\\uD83D\\uDE00\"", "A\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80"},
        {"\"\\u007f\\u0080\\u07ff\\u0800\\uffff\"", "\x7F\xC2\x80\xDF\xBF\xE0\xA0\x80\xEF\xBF\xBF"},
        {"\"\\udbff\\udfff\\ud800\\udc00\"", "\xF4\x8F\xBF\xBF\xF0\x90\x80\x80"},
    };
    for (size_t i = 0; i < TEST_COUNT(cases); i++) {
        char text[128];
        strcpy(text, cases[i].text);
        struct dlq_json_reader r = reader(text);
        struct dlq_json_span span;
        assert_true(dlq_json_reader_string(&r, &span));
        assert_true(dlq_json_reader_end(&r));
        assert_true(dlq_json_span_equal(&span, cases[i].value));
        assert_false(dlq_json_span_equal(&span, "other"));
        assert_string_equal(dlq_json_take(text, &span), cases[i].value);
    }
    char zero[] = "\"a\\u0000b\"";
    struct dlq_json_reader r = reader(zero);
    struct dlq_json_span span;
    assert_true(dlq_json_reader_string(&r, &span));
    assert_null(dlq_json_take(zero, &span));
}

static void
a_walk_visits_members_and_elements(void **state)
{
    (void)state;
    struct dlq_json_reader r = reader("{\"a\":[1,2,3],\"b\":{},\"c\":[]}");
    struct dlq_json_span key;
    bool first = true;
    uint64_t sum = 0;
    char keys[8] = "";
    assert_true(dlq_json_reader_enter(&r, '{'));
    while (dlq_json_reader_next(&r, '}', &first)) {
        assert_true(dlq_json_reader_key(&r, &key));
        strncat(keys, key.at, key.len);
        if (dlq_json_span_equal(&key, "a")) {
            bool inner = true;
            uint64_t value = 0;
            dlq_json_reader_enter(&r, '[');
            while (dlq_json_reader_next(&r, ']', &inner)) {
                assert_true(dlq_json_reader_u64(&r, &value));
                sum += value;
            }
        } else {
            assert_true(dlq_json_reader_skip(&r));
        }
    }
    assert_null(r.problem);
    assert_true(dlq_json_reader_end(&r));
    assert_string_equal(keys, "abc");
    assert_int_equal(sum, 6);
}

static void
after_a_problem_nothing_moves(void **state)
{
    (void)state;
    struct dlq_json_reader r = reader("[1,}");
    bool first = true;
    uint64_t value = 0;
    struct dlq_json_span span;
    dlq_json_reader_enter(&r, '[');
    assert_true(dlq_json_reader_next(&r, ']', &first));
    assert_true(dlq_json_reader_u64(&r, &value));
    assert_true(dlq_json_reader_next(&r, ']', &first));
    assert_false(dlq_json_reader_u64(&r, &value));
    const char *const problem = r.problem;
    const char *const at = r.at;
    assert_false(dlq_json_reader_next(&r, ']', &first));
    assert_false(dlq_json_reader_skip(&r));
    assert_false(dlq_json_reader_string(&r, &span));
    assert_false(dlq_json_reader_key(&r, &span));
    assert_false(dlq_json_reader_enter(&r, '{'));
    assert_false(dlq_json_reader_u64(&r, &value));
    assert_false(dlq_json_reader_end(&r));
    assert_ptr_equal(r.problem, problem);
    assert_ptr_equal(r.at, at);
}

static void
python_numbers_are_json_only_when_asked_for(void **state)
{
    (void)state;
    static const char *const words[] = {"NaN", "Infinity", "-Infinity"};
    for (size_t i = 0; i < TEST_COUNT(words); i++) {
        struct dlq_json_reader r = reader(words[i]);
        assert_false(dlq_json_reader_skip(&r));
        r = reader(words[i]);
        r.lenient = true;
        assert_true(dlq_json_reader_skip(&r));
        assert_true(dlq_json_reader_end(&r));
    }
    struct dlq_json_reader r = reader("-NaN");
    r.lenient = true;
    assert_false(dlq_json_reader_skip(&r));
}

static void
a_value_is_located_as_it_stands(void **state)
{
    (void)state;
    static const char text[] = "{\"x\":{\"b\":0},\"a\": {\"\\u0062\" : [1, {\"c\":\"]\"}] }}";
    const char *const path[] = {"a", "b", "c"};
    struct dlq_json_span span;
    assert_true(dlq_json_locate(text, strlen(text), path, 2, &span));
    assert_int_equal(span.len, strlen("[1, {\"c\":\"]\"}]"));
    assert_memory_equal(span.at, "[1, {\"c\":\"]\"}]", span.len);
    assert_true(dlq_json_locate(text, strlen(text), path, 0, &span));
    assert_int_equal(span.len, strlen(text));
    assert_false(dlq_json_locate(text, strlen(text), path, 3, &span));
    assert_false(dlq_json_locate(text, strlen(text), path + 1, 1, &span));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_are_exact_up_to_their_limit),
        cmocka_unit_test(strings_are_unescaped_in_place),
        cmocka_unit_test(a_walk_visits_members_and_elements),
        cmocka_unit_test(after_a_problem_nothing_moves),
        cmocka_unit_test(python_numbers_are_json_only_when_asked_for),
        cmocka_unit_test(a_value_is_located_as_it_stands),
    };
    return cmocka_run_group_tests_name("json_reader", tests, NULL, NULL);
}
