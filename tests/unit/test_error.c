// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "error.h"
#include "support.h"

#include <string.h>

static void
every_status_has_a_sentence_of_its_own(void **state)
{
    (void)state;
    for (int32_t a = DLQ_OK; a <= DLQ_EINTERNAL; a++) {
        const char *const text = dlq_status_string(a);
        assert_true(text[0] >= 'A' && text[0] <= 'Z');
        assert_int_not_equal(text[strlen(text) - 1], '.');
        for (int32_t b = DLQ_OK; b < a; b++) {
            assert_string_not_equal(text, dlq_status_string(b));
        }
    }
    assert_string_equal(dlq_status_string(-1), "Unknown status");
    assert_string_equal(dlq_status_string(DLQ_EINTERNAL + 1), "Unknown status");
    assert_string_equal(dlq_status_string(INT32_MAX), "Unknown status");
}

static void
fail_fills_the_record_and_returns_the_code(void **state)
{
    (void)state;
    struct dlq_error err = DLQ_ERROR_INIT;
    const int32_t rc = dlq_fail(&err, DLQ_ESHAPE, "layer %s: expected %d, found %d", "a.b", 4, 5);
    assert_int_equal(err.domain, DLQ_DOMAIN_CORE);
    test_assert_error(rc, &err, DLQ_ESHAPE, "layer a.b: expected 4, found 5");
    const int32_t native =
        dlq_fail_native(&err, DLQ_EIO, DLQ_DOMAIN_CHECKPOINT, 13, "file %s", "x");
    assert_int_equal(err.domain, DLQ_DOMAIN_CHECKPOINT);
    assert_int_equal(err.native, 13);
    test_assert_error(native, &err, DLQ_EIO, "file x");
}

static void
a_record_is_optional(void **state)
{
    (void)state;
    assert_int_equal(dlq_fail(NULL, DLQ_EIO, "x"), DLQ_EIO);
    assert_int_equal(dlq_fail_native(NULL, DLQ_EIO, 0, 0, "x"), DLQ_EIO);
    assert_int_equal(dlq_fail_prefix(NULL, DLQ_EFORMAT, "x"), DLQ_EFORMAT);
}

static void
a_prefix_goes_before_the_message_and_keeps_the_code(void **state)
{
    (void)state;
    struct dlq_error err = DLQ_ERROR_INIT;
    dlq_fail(&err, DLQ_EDTYPE, "inner");
    assert_int_equal(dlq_fail_prefix(&err, DLQ_EFORMAT, "outer %d", 7), DLQ_EDTYPE);
    assert_string_equal(err.msg, "outer 7: inner");
}

static void
arguments_may_point_into_the_record(void **state)
{
    (void)state;
    struct dlq_error err = DLQ_ERROR_INIT;
    dlq_fail(&err, DLQ_EDTYPE, "inner");
    dlq_fail(&err, DLQ_EFORMAT, "outer (%s)", err.msg);
    assert_string_equal(err.msg, "outer (inner)");
}

static void
a_message_is_one_line_whatever_the_names_in_it(void **state)
{
    (void)state;
    struct dlq_error err = DLQ_ERROR_INIT;
    test_assert_error(dlq_fail(&err, DLQ_ESHAPE, "layer '%s'", "a\n\x1B[31mb"), &err, DLQ_ESHAPE,
                      "layer 'a??[31mb'");
    dlq_fail(&err, DLQ_ESHAPE, "layer '%s'", "a\n\x1B[31mb");
    dlq_fail_prefix(&err, 0, "rank\t%d", 1);
    assert_string_equal(err.msg, "rank?1: layer 'a??[31mb'");
}

static void
a_long_message_is_cut_and_ends_with_a_zero(void **state)
{
    (void)state;
    struct dlq_error err = DLQ_ERROR_INIT;
    char text[2 * DLQ_ERROR_MSG_SIZE];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    dlq_fail(&err, DLQ_EFORMAT, "%s", text);
    assert_int_equal(strlen(err.msg), DLQ_ERROR_MSG_SIZE - 1);
    dlq_fail_prefix(&err, DLQ_EFORMAT, "%s", text);
    assert_int_equal(strlen(err.msg), DLQ_ERROR_MSG_SIZE - 1);
}

// A caller compiled against other headers may own a smaller or a larger record.
static void
nothing_is_written_past_the_size_that_the_caller_states(void **state)
{
    (void)state;
    for (uint32_t room = 0; room <= 4; room++) {
        struct dlq_error err;
        memset(&err, 0x55, sizeof(err));
        err.struct_size = (uint32_t)offsetof(struct dlq_error, msg) + room;
        assert_int_equal(dlq_fail(&err, DLQ_EIO, "abcdef"), DLQ_EIO);
        assert_int_equal(err.code, DLQ_EIO);
        assert_int_equal((unsigned char)err.msg[room], 0x55);
        if (room > 0) {
            assert_int_equal(strlen(err.msg), room - 1);
        }
    }
    struct dlq_error err = DLQ_ERROR_INIT;
    err.struct_size = sizeof(err) + 64;
    assert_int_equal(dlq_fail(&err, DLQ_EIO, "abcdef"), DLQ_EIO);
    assert_string_equal(err.msg, "abcdef");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_a_sentence_of_its_own),
        cmocka_unit_test(fail_fills_the_record_and_returns_the_code),
        cmocka_unit_test(a_record_is_optional),
        cmocka_unit_test(a_prefix_goes_before_the_message_and_keeps_the_code),
        cmocka_unit_test(arguments_may_point_into_the_record),
        cmocka_unit_test(a_message_is_one_line_whatever_the_names_in_it),
        cmocka_unit_test(a_long_message_is_cut_and_ends_with_a_zero),
        cmocka_unit_test(nothing_is_written_past_the_size_that_the_caller_states),
    };
    return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
