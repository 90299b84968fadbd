// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "alloc.h"
#include "safetensors.h"
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define I32_2X2(range) "{\"test\":{\"dtype\":\"I32\",\"shape\":[2,2],\"data_offsets\":" range "}}"

static char *dir;

static int
make_dir(void **state)
{
    (void)state;
    dir = test_tmpdir();
    return 0;
}

static int
remove_dir(void **state)
{
    (void)state;
    test_tmpdir_remove(dir);
    return 0;
}

static int32_t
read_file(const char *path, struct dlq_safetensors *out, struct dlq_error *err)
{
    struct dlq_file file = DLQ_FILE_INIT;
    int32_t rc = dlq_file_open(&file, path, err);
    if (rc == DLQ_OK) {
        rc = dlq_safetensors_read(&dlq_system_allocator, &file, "m.safetensors", out, err);
    }
    dlq_file_close(&file);
    return rc;
}

static void
release(struct dlq_safetensors *st)
{
    dlq_safetensors_free(&dlq_system_allocator, st);
}

// A file of these bytes is refused with this message.
static void
refuse_bytes(const void *bytes, size_t len, const char *message)
{
    struct dlq_safetensors st;
    struct dlq_error err = DLQ_ERROR_INIT;
    test_write(dir, "m.safetensors", bytes, len);
    const int32_t rc = read_file(test_path(dir, "m.safetensors"), &st, &err);
    assert_int_equal(err.domain, DLQ_DOMAIN_CHECKPOINT);
    test_assert_error(rc, &err, DLQ_EFORMAT, message);
    assert_null(st.tensors);
}

// A file of this header and `nbytes` zero bytes, with the header's true length.
static int32_t
read_header(const char *header, size_t nbytes, struct dlq_safetensors *st, struct dlq_error *err)
{
    void *const data = calloc(1, nbytes + 1);
    test_safetensors_raw(dir, "m.safetensors", -1, header, data, nbytes);
    free(data);
    return read_file(test_path(dir, "m.safetensors"), st, err);
}

static void
refuse_header(const char *header, size_t nbytes, const char *message)
{
    struct dlq_safetensors st;
    struct dlq_error err = DLQ_ERROR_INIT;
    const int32_t rc = read_header(header, nbytes, &st, &err);
    test_assert_error(rc, &err, DLQ_EFORMAT, message);
    assert_null(st.tensors);
    assert_null(st.header);
}

static void
accept_header(const char *header, size_t nbytes, size_t n)
{
    struct dlq_safetensors st;
    struct dlq_error err = DLQ_ERROR_INIT;
    test_assert_ok(read_header(header, nbytes, &st, &err), &err);
    assert_int_equal(st.n, n);
    release(&st);
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
    test_assert_ok(read_header(I32_2X2("[0,16]"), 16, &st, &err), &err);
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
    release(&st);
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
    const int32_t rc = read_header(
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
    test_assert_ok(read_header("{\"b\\n\\\"\":{\"x\":[{\"y\":null}],\"dt\\u0079pe\":\"BF16\","
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
    release(&st);
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

static void
every_dtype_has_its_size(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint32_t dtype;
        int bytes_of_8;
    } types[] = {
        {"BOOL", DLQ_BOOL, 8},
        {"U8", DLQ_U8, 8},
        {"I8", DLQ_I8, 8},
        {"F8_E4M3", DLQ_F8_E4M3, 8},
        {"F8_E5M2", DLQ_F8_E5M2, 8},
        {"F8_E8M0", DLQ_F8_E8M0, 8},
        {"F8_E4M3FNUZ", DLQ_F8_E4M3FNUZ, 8},
        {"F8_E5M2FNUZ", DLQ_F8_E5M2FNUZ, 8},
        {"F4", DLQ_F4_E2M1, 4},
        {"F6_E2M3", DLQ_F6_E2M3, 6},
        {"F6_E3M2", DLQ_F6_E3M2, 6},
        {"I16", DLQ_I16, 16},
        {"U16", DLQ_U16, 16},
        {"F16", DLQ_F16, 16},
        {"BF16", DLQ_BF16, 16},
        {"I32", DLQ_I32, 32},
        {"U32", DLQ_U32, 32},
        {"F32", DLQ_F32, 32},
        {"I64", DLQ_I64, 64},
        {"U64", DLQ_U64, 64},
        {"F64", DLQ_F64, 64},
        {"C64", DLQ_C64, 64},
    };
    for (size_t i = 0; i < TEST_COUNT(types); i++) {
        char header[200];
        const size_t nbytes = (size_t)types[i].bytes_of_8;
        snprintf(header, sizeof(header),
                 "{\"a\":{\"dtype\":\"%s\",\"shape\":[8],\"data_offsets\":[0,%zu]}}", types[i].name,
                 nbytes);
        struct dlq_safetensors st;
        struct dlq_error err = DLQ_ERROR_INIT;
        test_assert_ok(read_header(header, nbytes, &st, &err), &err);
        assert_int_equal(st.tensors[0].dtype, types[i].dtype);
        assert_string_equal(dlq_safetensors_dtype_name(types[i].dtype), types[i].name);
        release(&st);
    }
}

static void
files_of_other_writers_are_read(void **state)
{
    (void)state;
    struct dlq_safetensors st;
    struct dlq_error err = DLQ_ERROR_INIT;
    test_assert_ok(read_file(test_data("ct-hadamards.safetensors"), &st, &err), &err);
    assert_int_equal(st.n, 66);
    size_t odd = 0;
    for (size_t i = 0; i < st.n; i++) {
        char name[16];
        snprintf(name, sizeof(name), "%lld", (long long)st.tensors[i].shape[0]);
        assert_string_equal(st.tensors[i].name, name);
        assert_int_equal(st.tensors[i].dtype, DLQ_I8);
        odd += st.tensors[i].file_offset % 2;
        assert_true(i == 0 || strcmp(st.tensors[i - 1].name, st.tensors[i].name) < 0);
    }
    assert_true(odd > 10);
    release(&st);

    test_assert_ok(read_file(test_data("candle-jfk-codes.safetensors"), &st, &err), &err);
    assert_int_equal(st.n, 1);
    assert_string_equal(st.tensors[0].name, "codes");
    assert_int_equal(st.tensors[0].nbytes, 13248);
    assert_int_equal(st.tensors[0].file_offset, 8 + 72);
    release(&st);
}

static double
seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

// `n` entries; `disjoint` or all over one range.
static char *
many_entries(size_t n, bool disjoint, size_t *len)
{
    char *const header = malloc(n * 100 + 3);
    assert_non_null(header);
    size_t at = 0;
    header[at++] = '{';
    for (size_t i = 0; i < n; i++) {
        // Names in an order that sorting has to change.
        const size_t begin = disjoint ? i : 0;
        at += (size_t)sprintf(header + at,
                              "%s\"model.layers.%zu.w\":{\"dtype\":\"U8\",\"shape\":[1],"
                              "\"data_offsets\":[%zu,%zu]}",
                              i ? "," : "", i, begin, begin + 1);
    }
    header[at++] = '}';
    *len = at;
    return header;
}

static void
a_hundred_thousand_tensors_take_little_time_and_memory(void **state)
{
    (void)state;
    struct dlq_safetensors st;
    struct dlq_error err = DLQ_ERROR_INIT;
    struct test_allocator t;
    size_t len = 0;
    for (int disjoint = 0; disjoint < 2; disjoint++) {
        const size_t n = 100000;
        char *const header = many_entries(n, disjoint, &len);
        test_allocator_init(&t);
        const double begin = seconds();
        const int32_t rc = dlq_safetensors_parse(&t.a, header, len, 8 + len + n, "m", &st, &err);
        const double took = seconds() - begin;
        if (disjoint) {
            test_assert_ok(rc, &err);
            assert_int_equal(st.n, n);
        } else {
            test_assert_error(rc, &err, DLQ_EFORMAT, "InvalidOffset");
        }
        dlq_safetensors_free(&t.a, &st);
        assert_int_equal(t.live, 0);
        // Under a sanitizer it is several times slower; the usual time is a tenth of this.
        const char *const slow = getenv("DLQ_TEST_TIME_FACTOR"); // Sanitizers take their time
        assert_true(took < (slow ? atof(slow) : 1.0));
        assert_true(t.peak < 8 * len);
        free(header);
    }
}

static void
a_million_names_of_metadata_are_bounded_too(void **state)
{
    (void)state;
    const size_t n = 1000000;
    char *const header = malloc(n * 13 + 40);
    assert_non_null(header);
    size_t len = (size_t)sprintf(header, "{\"__metadata__\":{\"x\":\"\"");
    for (size_t i = 0; i < n; i++) {
        len += (size_t)sprintf(header + len, ",\"%zu\":\"\"", i);
    }
    len += (size_t)sprintf(header + len, "}}");
    struct dlq_safetensors st;
    struct dlq_error err = DLQ_ERROR_INIT;
    struct test_allocator t;
    test_allocator_init(&t);
    test_assert_ok(dlq_safetensors_parse(&t.a, header, len, 8 + len, "m", &st, &err), &err);
    assert_true(t.peak < 4 * len);
    dlq_safetensors_free(&t.a, &st);
    free(header);
}

static int32_t
read_and_free(void *ctx, struct test_allocator *t, struct dlq_error *err)
{
    struct dlq_safetensors st;
    struct dlq_file file = DLQ_FILE_INIT;
    test_assert_ok(dlq_file_open(&file, ctx, err), err);
    const int32_t rc = dlq_safetensors_read(&t->a, &file, "m.safetensors", &st, err);
    if (rc == DLQ_OK) {
        dlq_safetensors_free(&t->a, &st);
    }
    dlq_file_close(&file);
    return rc;
}

static void
every_failing_allocation_is_an_error_without_a_leak(void **state)
{
    (void)state;
    char path[1000];
    snprintf(path, sizeof(path), "%s", test_data("ct-hadamards.safetensors"));
    // Header, names of the metadata, tensors in growing arrays, order of the offsets.
    assert_true(test_each_allocation_fails(read_and_free, path) >= 8);
}

static void
a_file_that_shrinks_before_it_is_read_is_an_error(void **state)
{
    (void)state;
    struct dlq_safetensors st;
    struct dlq_error err = DLQ_ERROR_INIT;
    struct dlq_file file = DLQ_FILE_INIT;
    test_safetensors_raw(dir, "s.safetensors", -1, I32_2X2("[0,16]"), "0123456789abcdef", 16);
    test_assert_ok(dlq_file_open(&file, test_path(dir, "s.safetensors"), &err), &err);
    assert_int_equal(truncate(test_path(dir, "s.safetensors"), 20), 0);
    const int32_t rc = dlq_safetensors_read(&dlq_system_allocator, &file, "s", &st, &err);
    test_assert_error(rc, &err, DLQ_EIO,
                      "the file shrank while it was read: expected 84 bytes, found 20");
    dlq_file_close(&file);
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
        cmocka_unit_test(every_dtype_has_its_size),
        cmocka_unit_test(files_of_other_writers_are_read),
        cmocka_unit_test(a_hundred_thousand_tensors_take_little_time_and_memory),
        cmocka_unit_test(a_million_names_of_metadata_are_bounded_too),
        cmocka_unit_test(every_failing_allocation_is_an_error_without_a_leak),
        cmocka_unit_test(a_file_that_shrinks_before_it_is_read_is_an_error),
    };
    return cmocka_run_group_tests_name("safetensors", tests, make_dir, remove_dir);
}
