// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "safetensors_fixture.h"

#include <string.h>

// A file of these bytes is refused with this message.
static void
refuse_bytes(const void *bytes, size_t len, const char *message)
{
    struct dlq_safetensors st;
    struct dlq_error err = DLQ_ERROR_INIT;
    test_write(safetensors_dir, "m.safetensors", bytes, len);
    const int32_t rc = safetensors_from(test_path(safetensors_dir, "m.safetensors"), &st, &err);
    assert_int_equal(err.domain, DLQ_DOMAIN_CHECKPOINT);
    test_assert_error(rc, &err, DLQ_EFORMAT, message);
    assert_null(st.tensors);
}

static void
refuse_header(const char *header, size_t nbytes, const char *message)
{
    struct dlq_safetensors st;
    struct dlq_error err = DLQ_ERROR_INIT;
    const int32_t rc = safetensors_of(header, nbytes, &st, &err);
    test_assert_error(rc, &err, DLQ_EFORMAT, message);
    assert_null(st.tensors);
    assert_null(st.header);
}

static void
accept_header(const char *header, size_t nbytes, size_t n)
{
    struct dlq_safetensors st;
    struct dlq_error err = DLQ_ERROR_INIT;
    test_assert_ok(safetensors_of(header, nbytes, &st, &err), &err);
    assert_int_equal(st.n, n);
    safetensors_release(&st);
}

static void
the_formats_own_valid_examples_are_read(void **state)
{
    (void)state;
    accept_header("{}      ", 0, 0);
    accept_header("{}\r \t\n", 0, 0);
    accept_header("{\"a\":{\"dtype\":\"I32\",\"shape\":[2,0],\"data_offsets\":[0,0]}}", 0, 1);
    accept_header("{\"a\":{\"dtype\":\"I32\",\"shape\":[],\"data_offsets\":[0,4]}}", 4, 1);
    accept_header("{\"a\":{\"dtype\":\"F4\",\"shape\":[1,2],\"data_offsets\":[0,1]}}", 1, 1);
    accept_header("{\"a\":{\"dtype\":\"F6_E2M3\",\"shape\":[4],\"data_offsets\":[0,3]}}", 3, 1);
    accept_header("{\"__metadata__\":{\"format\":\"pt\"}}", 0, 0);
    accept_header("{\"__metadata__\":{}}", 0, 0);
    accept_header("{\"__metadata__\":null}", 0, 0);

    struct dlq_safetensors st;
    struct dlq_error err = DLQ_ERROR_INIT;
    test_assert_ok(safetensors_of(I32_2X2("[0,16]"), 16, &st, &err), &err);
    const struct dlq_checkpoint_tensor *const t = st.tensors;
    assert_int_equal(st.n, 1);
    assert_string_equal(t->name, "test");
    assert_string_equal(t->file, "m.safetensors");
    assert_int_equal(t->struct_size, sizeof(*t));
    assert_int_equal(t->dtype, DLQ_I32);
    assert_int_equal(t->ndim, 2);
    assert_int_equal(t->shape[0], 2);
    assert_int_equal(t->shape[1], 2);
    assert_int_equal(t->nbytes, 16);
    assert_int_equal(t->file_offset, 8 + 60);
    assert_null(t->data);
    safetensors_release(&st);
}

static void
the_formats_own_invalid_examples_are_refused_by_name(void **state)
{
    (void)state;
    const char zeroes[16] = {0};
    refuse_bytes("", 0, "m.safetensors: HeaderTooSmall: expected at least 8 bytes, found 0");
    refuse_bytes(zeroes, 7, "HeaderTooSmall");
    refuse_bytes("\x3c\0\0\0\0\xff\xff\xff", 8, "HeaderTooLarge");
    refuse_bytes("\x3c\0\0\0\0\0\0\0", 8, "InvalidHeaderLength");
    refuse_bytes("\x01\0\0\0\0\0\0\0\xff", 9, "InvalidHeader: byte 0");
    refuse_bytes("\x01\0\0\0\0\0\0\0{", 9, "InvalidHeaderDeserialization");
    refuse_bytes(zeroes, 8, "InvalidHeaderDeserialization");
    char hundred[100] = {(char)0xe8, 3};
    refuse_bytes(hundred, 100, "InvalidHeaderLength: a header of 1000 bytes in a file of 100");
    const unsigned char limit[8] = {0x01, 0xe1, 0xf5, 0x05}; // 100,000,001
    refuse_bytes(limit, 8, "HeaderTooLarge: expected a header of at most 100000000 bytes");

    refuse_header(I32_2X2("[0,16]"), 16 + 35,
                  "MetadataIncompleteBuffer: expected 16 bytes behind the header, found 51");
    refuse_header(I32_2X2("[0,16]"), 14, "MetadataIncompleteBuffer");
    refuse_header(I32_2X2("[0,4]"), 4,
                  "TensorInvalidInfo: tensor 'test': expected 16 bytes from its shape, found 4");
    refuse_header("{\"a\":{\"dtype\":\"I32\",\"shape\":[2,18446744073709551614],"
                  "\"data_offsets\":[0,16]}}",
                  16, "ValidationOverflow: tensor 'a'");
    refuse_header("{\"a\":{\"dtype\":\"I32\",\"shape\":[2,9223372036854775807],"
                  "\"data_offsets\":[0,16]}}",
                  16, "ValidationOverflow: tensor 'a'");
    refuse_header("{\"a\":{\"dtype\":\"U8\",\"shape\":[281474976710656,0],"
                  "\"data_offsets\":[0,0]}}",
                  0, "ValidationOverflow: tensor 'a'");
    refuse_header("{\"a\":{\"dtype\":\"F4\",\"shape\":[1,3],\"data_offsets\":[0,2]}}", 2,
                  "MisalignedSlice: tensor 'a': 12 bits");
}

static void
tensors_must_lie_side_by_side(void **state)
{
    (void)state;
#define TWO(first, second)                                                                         \
    "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":" first "},"                          \
    "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":" second "}}"
    accept_header(TWO("[0,4]", "[4,8]"), 8, 2);
    accept_header(TWO("[4,8]", "[0,4]"), 8, 2);
    refuse_header(TWO("[0,4]", "[0,4]"), 8, "InvalidOffset: tensor");
    refuse_header(TWO("[0,4]", "[2,6]"), 6,
                  "InvalidOffset: tensor 'b': expected a range from 4, found [2, 6]");
    refuse_header(TWO("[0,4]", "[5,9]"), 9, "InvalidOffset: tensor 'b'");
    refuse_header(TWO("[1,5]", "[5,9]"), 9, "InvalidOffset: tensor 'a'");
    refuse_header(TWO("[0,4]", "[4,0]"), 8, "InvalidOffset: tensor 'b'");
    refuse_header(TWO("[0,4]", "[18446744073709551615,3]"), 8, "InvalidOffset: tensor 'b'");
    refuse_header(TWO("[0,4]", "[4,8]"), 7, "MetadataIncompleteBuffer");
    refuse_header(TWO("[0,4]", "[4,9]"), 9, "TensorInvalidInfo: tensor 'b'");
    // An empty tensor may lie where another begins.
    accept_header("{\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
                  "\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}",
                  4, 2);
}

static void
a_header_that_is_no_valid_json_is_refused(void **state)
{
    (void)state;
    static const char *const headers[][2] = {
        {" {}", "must begin with '{'"},
        {"[]", "must begin with '{'"},
        {"{}{}", "text behind the end"},
        {"{},", "text behind the end"},
        {"{\"a\"}", "expected ':'"},
        {"{\"a\":1}", "tensor 'a', byte 5: expected an object"},
        {"{\"a\":{}}", "tensor 'a' has no dtype"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[]}}", "tensor 'a' has no data_offsets"},
        {"{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", "tensor 'a' has no shape"},
        {"{\"a\":{\"dtype\":\"F99\",\"shape\":[],\"data_offsets\":[0,1]}}",
         "tensor 'a': unknown dtype 'F99'"},
        {"{\"a\":{\"dtype\":8,\"shape\":[],\"data_offsets\":[0,1]}}", "expected a string"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[-1],\"data_offsets\":[0,1]}}",
         "expected an integer from 0 to 2^64 - 1"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1.0],\"data_offsets\":[0,1]}}", "found a fraction"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1e0],\"data_offsets\":[0,1]}}", "found a fraction"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[18446744073709551616],\"data_offsets\":[0,1]}}",
         "an integer above 2^64 - 1"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[01],\"data_offsets\":[0,1]}}", "expected an integer"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":1,\"data_offsets\":[0,1]}}", "expected an array"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0]}}", "found fewer"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1,2]}}", "found more"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[null,1]}}",
         "expected an integer"},
        {"{\"__metadata__\":{\"a\":1}}", "tensor '__metadata__', byte 21: expected a string"},
        {"{\"__metadata__\":[]}", "expected an object"},
        {"{\"__metadata__\":{\"a\":{}}}", "expected a string"},
        {"{\"a\\u0000b\":{}}", "a zero byte in a tensor's name"},
        {"{\"__metadata__\":{\"a\\u0000\":\"\"}}", "a zero byte in a name"},
        {"{\"\\ud800\":{}}", "an invalid escape sequence"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1],}}", "comma before"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]},}", "comma before"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1],\"x\":nul}}",
         "not a JSON value"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1],\"x\":NaN}}",
         "NaN is not JSON"},
    };
    for (size_t i = 0; i < TEST_COUNT(headers); i++) {
        refuse_header(headers[i][0], 1, "InvalidHeaderDeserialization: ");
        refuse_header(headers[i][0], 1, headers[i][1]);
    }
}

static void
bytes_that_are_not_utf_8_are_refused(void **state)
{
    (void)state;
    static const char *const headers[] = {
        "{\"\xff\":{}}",
        "{\"\xc0\xaf\":{}}",
        "{\"\xe0\x80\xaf\":{}}",
        "{\"\xed\xa0\x80\":{}}",
        "{\"\xf4\x90\x80\x80\":{}}",
        "{\"\xc3\":{}}",
        "{\"aaaaaaaaaaaaaaaaaaaaaaaa\x80\":{}}",
    };
    for (size_t i = 0; i < TEST_COUNT(headers); i++) {
        refuse_header(headers[i], 0, "InvalidHeader: byte ");
    }
    accept_header("{\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\":"
                  "{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]}}",
                  1, 1);
}

static void
nothing_may_be_said_twice(void **state)
{
    (void)state;
    refuse_header("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
                  "\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]},"
                  "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[2,3]}}",
                  3, "InvalidHeaderDeserialization: tensor 'a' occurs twice");
    refuse_header("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
                  "\"\\u0061\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
                  2, "tensor 'a' occurs twice");
    refuse_header("{\"__metadata__\":{},\"__metadata__\":{}}", 0, "__metadata__ occurs twice");
    refuse_header("{\"__metadata__\":{\"k\":\"1\",\"j\":\"\",\"k\":\"2\"}}", 0,
                  "__metadata__ holds 'k' twice");
    refuse_header("{\"a\":{\"dtype\":\"U8\",\"dtype\":\"I8\",\"shape\":[],\"data_offsets\":[0,1]}}",
                  1, "occurs twice");
}

static void
a_tensor_has_at_most_eight_dimensions(void **state)
{
    (void)state;
    accept_header("{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}",
                  1, 1);
    struct dlq_safetensors st;
    struct dlq_error err = DLQ_ERROR_INIT;
    const int32_t rc = safetensors_of(
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}", 1, &st,
        &err);
    test_assert_error(rc, &err, DLQ_EUNSUPPORTED, "tensor 'a' has 9 dimensions, at most 8");
}

static void
unknown_keys_and_escaped_names_are_read(void **state)
{
    (void)state;
    struct dlq_safetensors st;
    struct dlq_error err = DLQ_ERROR_INIT;
    test_assert_ok(safetensors_of("{\"b\\n\\\"\":{\"x\":[{\"y\":null}],\"dt\\u0079pe\":\"BF16\","
                                  "\"shape\":[1,2,3],\"z\":-1.5e3,\"data_offsets\":[1,13]},"
                                  "\"__metadata__\":{\"b\":\"a\"},"
                                  "\"\":{\"data_offsets\":[0,1],\"shape\":[],\"dtype\":\"BOOL\"}}",
                                  13, &st, &err),
                   &err);
    assert_int_equal(st.n, 2);
    assert_string_equal(st.tensors[0].name, "");
    assert_string_equal(st.tensors[1].name, "b\n\"");
    assert_int_equal(st.tensors[1].dtype, DLQ_BF16);
    assert_int_equal(st.tensors[1].shape[2], 3);
    assert_string_equal(dlq_safetensors_dtype_name(DLQ_BF16), "BF16");
    assert_string_equal(dlq_safetensors_dtype_name(1), "?");
    safetensors_release(&st);
}

static void
hostile_names_stay_on_one_line_of_a_message(void **state)
{
    (void)state;
    refuse_header("{\"a\\nb\\u001b[2J\":{}}", 0, "tensor 'a\\x0ab\\x1b[2J' has no dtype");
    char header[4000];
    memset(header, 'x', sizeof(header));
    memcpy(header, "{\"", 2);
    strcpy(header + sizeof(header) - 6, "\":{}}");
    refuse_header(header, 0, "xxx...' has no dtype");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_formats_own_valid_examples_are_read),
        cmocka_unit_test(the_formats_own_invalid_examples_are_refused_by_name),
        cmocka_unit_test(tensors_must_lie_side_by_side),
        cmocka_unit_test(a_header_that_is_no_valid_json_is_refused),
        cmocka_unit_test(bytes_that_are_not_utf_8_are_refused),
        cmocka_unit_test(nothing_may_be_said_twice),
        cmocka_unit_test(a_tensor_has_at_most_eight_dimensions),
        cmocka_unit_test(unknown_keys_and_escaped_names_are_read),
        cmocka_unit_test(hostile_names_stay_on_one_line_of_a_message),
    };
    return cmocka_run_group_tests_name("safetensors_header", tests, safetensors_make_dir,
                                       safetensors_remove_dir);
}
