// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "support.h"
#include "text.h"

#include <string.h>

static void
lines_and_columns_count_characters_from_one(void **state)
{
    (void)state;
    static const char text[] = "ab\n\xC3\xA9\xE2\x82\xAC!\r\n\nz";
    static const struct {
        size_t offset;
        size_t line;
        size_t column;
    } cases[] = {
        {0, 1, 1}, {1, 1, 2},  {2, 1, 3},  {3, 2, 1},  {5, 2, 2},
        {8, 2, 3}, {11, 3, 1}, {12, 4, 1}, {13, 4, 2},
    };
    for (size_t i = 0; i < TEST_COUNT(cases); i++) {
        size_t line = 0;
        size_t column = 0;
        dlq_text_position(text, text + cases[i].offset, &line, &column);
        assert_int_equal(line, cases[i].line);
        assert_int_equal(column, cases[i].column);
    }
}

// Every sequence of up to three bytes against the definition of RFC 3629.
static bool
expected_valid(const unsigned char *s, size_t n)
{
    size_t i = 0;
    while (i < n) {
        uint32_t c = s[i];
        const size_t len = c < 0x80 ? 1 : c >> 5 == 6 ? 2 : c >> 4 == 14 ? 3 : c >> 3 == 30 ? 4 : 0;
        if (len == 0 || len > n - i) {
            return false;
        }
        c &= len == 1 ? 0x7Fu : 0x7Fu >> len;
        for (size_t k = 1; k < len; k++) {
            if (s[i + k] >> 6 != 2) {
                return false;
            }
            c = c << 6 | (s[i + k] & 0x3Fu);
        }
        static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
        if (c < least[len] || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF)) {
            return false;
        }
        i += len;
    }
    return true;
}

static void
utf_8_is_what_the_rfc_says(void **state)
{
    (void)state;
    // Edges of every range that a byte can be in.
    static const unsigned char bytes[] = {0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF,
                                          0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xEC, 0xED, 0xEE,
                                          0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xF8, 0xFE, 0xFF};
    const size_t n = TEST_COUNT(bytes);
    for (size_t k = 0; k < n * n * n * n; k++) {
        const unsigned char s[4] = {bytes[k % n], bytes[k / n % n], bytes[k / n / n % n],
                                    bytes[k / n / n / n]};
        for (size_t len = 0; len <= 4; len++) {
            if (!dlq_utf8_invalid((const char *)s, len) != expected_valid(s, len)) {
                fail_msg("%02x %02x %02x %02x, %zu bytes", s[0], s[1], s[2], s[3], len);
            }
        }
    }
}

static void
the_first_invalid_byte_is_found_anywhere(void **state)
{
    (void)state;
    char text[64];
    for (size_t i = 0; i < sizeof(text); i++) {
        memset(text, 'a', sizeof(text));
        text[i] = (char)0x80;
        assert_ptr_equal(dlq_utf8_invalid(text, sizeof(text)), text + i);
        assert_null(dlq_utf8_invalid(text, i));
    }
}

static void
quoted_text_is_one_short_line(void **state)
{
    (void)state;
    char buf[DLQ_QUOTE_SIZE + 8];
    assert_string_equal(dlq_quote(buf, ""), "");
    assert_string_equal(dlq_quote(buf, "a.b-c \xC3\xA9"), "a.b-c \xC3\xA9");
    assert_string_equal(dlq_quote(buf, "\n\t\x1b[\x7f"), "\\x0a\\x09\\x1b[\\x7f");
    assert_string_equal(dlq_quote(buf, "\xFF\xC2\x85"), "\\xff\\xc2\\x85");
    for (size_t n = 100; n < 200; n++) {
        for (int kind = 0; kind < 3; kind++) {
            static const char *const units[] = {"x", "\xE2\x82\xAC", "\x01"};
            char text[700] = "";
            for (size_t i = 0; i < n; i++) {
                strcat(text, units[kind]);
            }
            memset(buf, 0x55, sizeof(buf));
            const size_t len = strlen(dlq_quote(buf, text));
            assert_true(len < DLQ_QUOTE_SIZE);
            assert_int_equal(buf[DLQ_QUOTE_SIZE], 0x55);
            assert_null(dlq_utf8_invalid(buf, len));
            if (kind > 0) {
                assert_string_equal(buf + len - 3, "...");
            }
        }
    }
}

static void
edit_distance_counts_up_to_its_limit(void **state)
{
    (void)state;
    assert_int_equal(dlq_edit_distance("kitten", "kitten", 2), 0);
    assert_int_equal(dlq_edit_distance("kitten", "kittens", 2), 1);
    assert_int_equal(dlq_edit_distance("kitten", "itten", 2), 1);
    assert_int_equal(dlq_edit_distance("kitten", "sitten", 2), 1);
    assert_int_equal(dlq_edit_distance("kitten", "sittin", 2), 2);
    assert_int_equal(dlq_edit_distance("kitten", "sitting", 2), 3);
    assert_int_equal(dlq_edit_distance("kitten", "sitting", 3), 3);
    assert_int_equal(dlq_edit_distance("ab", "ba", 2), 2);
    assert_int_equal(dlq_edit_distance("", "", 2), 0);
    assert_int_equal(dlq_edit_distance("", "ab", 2), 2);
    assert_int_equal(dlq_edit_distance("abcdefgh", "", 8), 8);
    char longer[100];
    memset(longer, 'a', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    assert_int_equal(dlq_edit_distance(longer, longer, 2), 3);
}

static void
cleaned_text_is_one_line_of_utf_8(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *clean;
    } cases[] = {
        {"", ""},
        {"a \xC3\xA9 \xF0\x9F\x98\x80", "a \xC3\xA9 \xF0\x9F\x98\x80"},
        {"a\nb\r\tc", "a?b??c"},
        {"\x1B[2J\x7F", "?[2J?"},
        {"\xC2\x9B[2J\xC2\xA0", "??[2J\xC2\xA0"},
        {"cut \xF0\x9F\x98", "cut ???"},
        {"\xFF\xC0\x80", "???"},
    };
    for (size_t i = 0; i < TEST_COUNT(cases); i++) {
        char text[32];
        memcpy(text, cases[i].text, strlen(cases[i].text) + 1);
        dlq_text_clean(text);
        assert_string_equal(text, cases[i].clean);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_and_columns_count_characters_from_one),
        cmocka_unit_test(utf_8_is_what_the_rfc_says),
        cmocka_unit_test(the_first_invalid_byte_is_found_anywhere),
        cmocka_unit_test(quoted_text_is_one_short_line),
        cmocka_unit_test(edit_distance_counts_up_to_its_limit),
        cmocka_unit_test(cleaned_text_is_one_line_of_utf_8),
    };
    return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
