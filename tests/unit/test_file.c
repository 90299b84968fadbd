// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "alloc.h"
#include "file.h"
#include "support.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

static void
a_file_that_is_absent_differs_from_one_that_cannot_be_read(void **state)
{
    (void)state;
    struct dlq_file file = DLQ_FILE_INIT;
    struct dlq_error err = DLQ_ERROR_INIT;
    int32_t rc = dlq_file_open(&file, test_path(dir, "none"), &err);
    assert_int_equal(err.native, ENOENT);
    assert_int_equal(err.domain, DLQ_DOMAIN_CHECKPOINT);
    test_assert_error(rc, &err, DLQ_ENOTFOUND, "none: cannot open: No such file or directory");
    test_write_text(dir, "plain", "x");
    rc = dlq_file_open(&file, test_path(dir, "plain/x"), &err);
    assert_int_equal(err.native, ENOTDIR);
    test_assert_error(rc, &err, DLQ_EIO, "plain/x: cannot open: Not a directory");
    rc = dlq_file_open(&file, dir, &err);
    test_assert_error(rc, &err, DLQ_EIO, "not a regular file");
    assert_int_equal(mkfifo(test_path(dir, "pipe"), 0600), 0);
    rc = dlq_file_open(&file, test_path(dir, "pipe"), &err);
    test_assert_error(rc, &err, DLQ_EIO, "pipe: not a regular file");
    assert_int_equal(file.fd, -1);
}

static void
a_whole_file_is_read_up_to_a_limit(void **state)
{
    (void)state;
    struct dlq_error err = DLQ_ERROR_INIT;
    char *text = NULL;
    size_t len = 0;
    test_write(dir, "f", "ab\0cd", 5);
    const char *const path = test_path(dir, "f");
    test_assert_ok(dlq_file_read_all(&dlq_system_allocator, path, 5, &text, &len, &err), &err);
    assert_int_equal(len, 5);
    assert_memory_equal(text, "ab\0cd", 6);
    dlq_free(&dlq_system_allocator, text);
    const int32_t rc = dlq_file_read_all(&dlq_system_allocator, path, 4, &text, &len, &err);
    test_assert_error(rc, &err, DLQ_EFORMAT, "f: 5 bytes, at most 4 are read");
}

static void
an_optional_file_may_be_absent_but_not_unreadable(void **state)
{
    (void)state;
    struct dlq_error err = DLQ_ERROR_INIT;
    char *text = (char *)dir;
    size_t len = 1;
    test_assert_ok(
        dlq_file_read_optional(&dlq_system_allocator, test_path(dir, "none"), 9, &text, &len, &err),
        &err);
    assert_null(text);
    assert_int_equal(len, 0);
    assert_int_equal(err.code, 0);
    assert_int_equal(err.msg[0], 0);
    const int32_t rc = dlq_file_read_optional(&dlq_system_allocator, dir, 9, &text, &len, &err);
    test_assert_error(rc, &err, DLQ_EIO, "not a regular file");
}

static void
reading_past_the_end_is_an_error(void **state)
{
    (void)state;
    struct dlq_file file = DLQ_FILE_INIT;
    struct dlq_error err = DLQ_ERROR_INIT;
    char buf[8];
    test_write_text(dir, "f", "abcdef");
    const char *const path = test_path(dir, "f");
    test_assert_ok(dlq_file_open(&file, path, &err), &err);
    test_assert_ok(dlq_file_read(&file, path, 2, buf, 4, &err), &err);
    assert_memory_equal(buf, "cdef", 4);
    const int32_t rc = dlq_file_read(&file, path, 4, buf, 4, &err);
    test_assert_error(rc, &err, DLQ_EIO, "f: the file shrank while it was read");
    dlq_file_close(&file);
    dlq_file_close(&file);
}

static void
a_mapping_notices_that_the_file_changed_before(void **state)
{
    (void)state;
    struct dlq_file file = DLQ_FILE_INIT;
    struct dlq_error err = DLQ_ERROR_INIT;
    test_write_text(dir, "f", "abcdef");
    char path[512];
    strcpy(path, test_path(dir, "f"));
    test_assert_ok(dlq_file_open(&file, path, &err), &err);
    assert_int_equal(truncate(path, 3), 0);
    int32_t rc = dlq_file_map(&file, path, &err);
    test_assert_error(rc, &err, DLQ_EIO, "changed while it was open: expected 6 bytes, found 3");
    dlq_file_close(&file);

    test_assert_ok(dlq_file_open(&file, path, &err), &err);
    assert_int_equal(truncate(path, 9), 0);
    rc = dlq_file_check(&file, path, &err);
    test_assert_error(rc, &err, DLQ_EIO, "expected 3 bytes, found 9");
    dlq_file_close(&file);

    assert_int_equal(truncate(path, 0), 0);
    test_assert_ok(dlq_file_open(&file, path, &err), &err);
    test_assert_ok(dlq_file_map(&file, path, &err), &err);
    assert_null(file.map);
    dlq_file_release(&file, 0, 0);
    dlq_file_close(&file);
}

static void
a_mapped_file_that_is_gone_keeps_its_bytes(void **state)
{
    (void)state;
    struct dlq_file file = DLQ_FILE_INIT;
    struct dlq_error err = DLQ_ERROR_INIT;
    test_write_text(dir, "f", "abcdef");
    char path[512];
    strcpy(path, test_path(dir, "f"));
    test_assert_ok(dlq_file_open(&file, path, &err), &err);
    test_assert_ok(dlq_file_map(&file, path, &err), &err);
    assert_int_equal(file.fd, -1);
    test_assert_ok(dlq_file_check(&file, path, &err), &err);
    assert_int_equal(truncate(path, 5), 0);
    const int32_t rc = dlq_file_check(&file, path, &err);
    test_assert_error(rc, &err, DLQ_EIO, "expected 6 bytes, found 5");
    assert_int_equal(truncate(path, 6), 0);
    assert_int_equal(unlink(path), 0);
    test_assert_ok(dlq_file_check(&file, path, &err), &err);
    test_write_text(dir, "f", "ab");
    test_assert_ok(dlq_file_check(&file, path, &err), &err);
    assert_memory_equal(file.map, "abcde", 5);
    dlq_file_close(&file);
}

// The bytes of neighbours are in the first and last page too; reading again gives the same.
static void
any_range_can_be_released(void **state)
{
    (void)state;
    struct dlq_file file = DLQ_FILE_INIT;
    struct dlq_error err = DLQ_ERROR_INIT;
    static unsigned char bytes[3 * 4096 + 100];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (unsigned char)(i * 7 + i / 256);
    }
    test_write(dir, "f", bytes, sizeof(bytes));
    const char *const path = test_path(dir, "f");
    test_assert_ok(dlq_file_open(&file, path, &err), &err);
    test_assert_ok(dlq_file_map(&file, path, &err), &err);
    static const uint64_t ranges[][2] = {
        {0, 0},          {0, 1},          {1, 4096},    {4096, 4096}, {0, sizeof(bytes)},
        {4095, 4098},    {12288, 100},    {12289, 99},  {12388, 0},   {12389, 1},
        {1, UINT64_MAX}, {UINT64_MAX, 1}, {5000, 7000},
    };
    for (size_t i = 0; i < TEST_COUNT(ranges); i++) {
        dlq_file_release(&file, ranges[i][0], ranges[i][1]);
        assert_memory_equal(file.map, bytes, sizeof(bytes));
    }
    dlq_file_close(&file);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_file_that_is_absent_differs_from_one_that_cannot_be_read),
        TEST(a_whole_file_is_read_up_to_a_limit),
        TEST(an_optional_file_may_be_absent_but_not_unreadable),
        TEST(reading_past_the_end_is_an_error),
        TEST(a_mapping_notices_that_the_file_changed_before),
        TEST(a_mapped_file_that_is_gone_keeps_its_bytes),
        TEST(any_range_can_be_released),
    };
    return cmocka_run_group_tests_name("file", tests, NULL, NULL);
}
