// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "checkpoint_fixture.h"

#include "checkpoint_internal.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// A Hugging Face cache: snapshots/<revision>/ holds links to ../../blobs/<hash>.
static void
links_to_files_are_followed(void **state)
{
    (void)state;
    CKPT_WRITE("blobs/1234", "a");
    test_write_text(ckpt_dir, "blobs/5678", "{\"quantization_config\":{\"quant_method\":\"m\"}}");
    test_write_text(ckpt_dir, "snapshots/main/readme", "");
    const char *const snapshot = test_path(ckpt_dir, "snapshots/main");
    assert_int_equal(symlink("../../blobs/1234", test_path(snapshot, "model.safetensors")), 0);
    assert_int_equal(symlink("../../blobs/5678", test_path(snapshot, "config.json")), 0);
    char path[1000];
    snprintf(path, sizeof(path), "%s", test_path(ckpt_dir, "snapshots/main"));
    dlq_checkpoint *const ckpt = ckpt_opened(path, 0);
    assert_string_equal(dlq_checkpoint_find(ckpt, "a")->file, "model.safetensors");
    dlq_checkpoint_close(ckpt);
    assert_int_equal(unlink(test_path(ckpt_dir, "blobs/1234")), 0);
    ckpt_refuse_path(path, 0, DLQ_EIO, "the symbolic link leads to a file that is missing");
}

static void
a_link_that_leads_nowhere_is_not_an_absent_file(void **state)
{
    (void)state;
    CKPT_WRITE("model.safetensors", "a");
    assert_int_equal(symlink("gone", test_path(ckpt_dir, CKPT_INDEX)), 0);
    ckpt_refuse(DLQ_EIO,
                CKPT_INDEX ": cannot open: the symbolic link leads to a file that is missing");
    assert_int_equal(unlink(test_path(ckpt_dir, CKPT_INDEX)), 0);
    assert_int_equal(symlink("gone", test_path(ckpt_dir, "config.json")), 0);
    ckpt_refuse(DLQ_EIO,
                "config.json: cannot open: the symbolic link leads to a file that is missing");
}

static void
a_file_that_changes_its_size_while_open_is_noticed(void **state)
{
    (void)state;
    CKPT_WRITE("model.safetensors", "a", "b");
    dlq_checkpoint *const ckpt = ckpt_opened(ckpt_dir, DLQ_CHECKPOINT_NO_CONFIG);
    const struct dlq_checkpoint_tensor *const t = dlq_checkpoint_find(ckpt, "b");
    struct dlq_error err = DLQ_ERROR_INIT;
    test_assert_ok(dlq_checkpoint_verify(ckpt, t, &err), &err);
    assert_int_equal(truncate(test_path(ckpt_dir, "model.safetensors"), 16), 0);
    const int32_t rc = dlq_checkpoint_verify(ckpt, t, &err);
    test_assert_error(rc, &err, DLQ_EIO, "model.safetensors: the file changed while it was open");
    struct dlq_checkpoint_tensor foreign = *t;
    foreign.file = "model.safetensors ";
    const int32_t other = dlq_checkpoint_verify(ckpt, &foreign, &err);
    test_assert_error(other, &err, DLQ_EINVAL, "it belongs to another checkpoint");
    dlq_checkpoint_close(ckpt);
}

static void
replacing_a_file_by_rename_leaves_an_open_checkpoint_alone(void **state)
{
    (void)state;
    CKPT_WRITE("model.safetensors", "a");
    CKPT_WRITE("new", "b");
    dlq_checkpoint *const ckpt = ckpt_opened(ckpt_dir, DLQ_CHECKPOINT_NO_CONFIG);
    char from[1000];
    snprintf(from, sizeof(from), "%s", test_path(ckpt_dir, "new"));
    assert_int_equal(rename(from, test_path(ckpt_dir, "model.safetensors")), 0);
    const struct dlq_checkpoint_tensor *const t = dlq_checkpoint_find(ckpt, "a");
    struct dlq_error err = DLQ_ERROR_INIT;
    test_assert_ok(dlq_checkpoint_verify(ckpt, t, &err), &err);
    assert_memory_equal(t->data, "\0\1\2\3", 4);
    dlq_checkpoint_close(ckpt);
}

// Pages of files that are mapped into this process, in bytes.
static long
resident_file_bytes(void)
{
    char *const text = test_read("/proc/self/smaps_rollup", NULL);
    const char *const at = strstr(text, "Rss:");
    const long kib = at ? strtol(at + 4, NULL, 10) : -1;
    free(text);
    return kib * 1024;
}

static void
released_tensors_leave_memory_and_can_be_read_again(void **state)
{
    (void)state;
    const size_t size = (size_t)32 << 20;
    const struct test_tensor big = {
        .name = "big", .dtype = "U8", .ndim = 1, .shape = {(int64_t)size}, .nbytes = size};
    test_safetensors(ckpt_dir, "model.safetensors", &big, 1);
    dlq_checkpoint *const ckpt = ckpt_opened(ckpt_dir, DLQ_CHECKPOINT_NO_CONFIG);
    const struct dlq_checkpoint_tensor *const t = dlq_checkpoint_find(ckpt, "big");
    const unsigned char *const data = t->data;
    unsigned sum = 0;
    for (size_t i = 0; i < size; i += 512) {
        sum += data[i];
    }
    assert_int_equal(sum, 0);
    const long before = access("/proc/self/smaps_rollup", R_OK) == 0 ? resident_file_bytes() : -1;
    dlq_checkpoint_release(ckpt, t);
    if (before > 0) {
        assert_true(before - resident_file_bytes() > (long)size / 2);
    }
    assert_int_equal(data[size - 1], 255);
    dlq_checkpoint_close(ckpt);
}

static size_t
open_files(void)
{
    size_t n = 0;
    DIR *const fds = opendir("/proc/self/fd");
    while (fds && readdir(fds)) {
        n++;
    }
    if (fds) {
        closedir(fds);
    }
    return n;
}

static void
no_file_stays_open(void **state)
{
    (void)state;
    const size_t before = open_files();
    CKPT_WRITE("1.safetensors", "a");
    CKPT_WRITE("2.safetensors", "a");
    ckpt_refuse(DLQ_EFORMAT, "is in two files");
    test_write_text(ckpt_dir, CKPT_INDEX, "{\"weight_map\":{\"a\":\"1.safetensors\"}}");
    dlq_checkpoint *const ckpt = ckpt_opened(ckpt_dir, DLQ_CHECKPOINT_NO_CONFIG);
    // Mappings need none: several ranks may open a checkpoint of hundreds of files each.
    assert_int_equal(open_files(), before);
    dlq_checkpoint_close(ckpt);
    assert_int_equal(open_files(), before);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CKPT_TEST(links_to_files_are_followed),
        CKPT_TEST(a_link_that_leads_nowhere_is_not_an_absent_file),
        CKPT_TEST(a_file_that_changes_its_size_while_open_is_noticed),
        CKPT_TEST(replacing_a_file_by_rename_leaves_an_open_checkpoint_alone),
        CKPT_TEST(released_tensors_leave_memory_and_can_be_read_again),
        CKPT_TEST(no_file_stays_open),
    };
    return cmocka_run_group_tests_name("checkpoint_files", tests, ckpt_make_runtime,
                                       ckpt_destroy_runtime);
}
