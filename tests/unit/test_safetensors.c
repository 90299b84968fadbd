// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "safetensors_fixture.h"

#include "alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

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
        test_assert_ok(safetensors_of(header, nbytes, &st, &err), &err);
        assert_int_equal(st.tensors[0].dtype, types[i].dtype);
        assert_string_equal(dlq_safetensors_dtype_name(types[i].dtype), types[i].name);
        safetensors_release(&st);
    }
}

static void
files_of_other_writers_are_read(void **state)
{
    (void)state;
    struct dlq_safetensors st;
    struct dlq_error err = DLQ_ERROR_INIT;
    test_assert_ok(safetensors_from(test_data("ct-hadamards.safetensors"), &st, &err), &err);
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
    safetensors_release(&st);

    test_assert_ok(safetensors_from(test_data("candle-jfk-codes.safetensors"), &st, &err), &err);
    assert_int_equal(st.n, 1);
    assert_string_equal(st.tensors[0].name, "codes");
    assert_int_equal(st.tensors[0].nbytes, 13248);
    assert_int_equal(st.tensors[0].file_offset, 8 + 72);
    safetensors_release(&st);
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
        const char *const slow = getenv("DLQ_TEST_TIME_FACTOR");
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
    test_safetensors_raw(safetensors_dir, "s.safetensors", -1, I32_2X2("[0,16]"),
                         "0123456789abcdef", 16);
    test_assert_ok(dlq_file_open(&file, test_path(safetensors_dir, "s.safetensors"), &err), &err);
    assert_int_equal(truncate(test_path(safetensors_dir, "s.safetensors"), 20), 0);
    const int32_t rc = dlq_safetensors_read(&dlq_system_allocator, &file, "s", &st, &err);
    test_assert_error(rc, &err, DLQ_EIO,
                      "the file shrank while it was read: expected 84 bytes, found 20");
    dlq_file_close(&file);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_dtype_has_its_size),
        cmocka_unit_test(files_of_other_writers_are_read),
        cmocka_unit_test(a_hundred_thousand_tensors_take_little_time_and_memory),
        cmocka_unit_test(a_million_names_of_metadata_are_bounded_too),
        cmocka_unit_test(every_failing_allocation_is_an_error_without_a_leak),
        cmocka_unit_test(a_file_that_shrinks_before_it_is_read_is_an_error),
    };
    return cmocka_run_group_tests_name("safetensors", tests, safetensors_make_dir,
                                       safetensors_remove_dir);
}
