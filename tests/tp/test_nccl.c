// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "support.h"

#include <dlquant/collective.h>

#include <string.h>

// What an engine sees of the module of NCCL where there may be no GPU.

static dlq_runtime *
make_runtime(const char *dir)
{
    const char *const dirs[] = {dir, NULL};
    const struct dlq_runtime_options options = {
        .struct_size = sizeof(options), .plugin_dirs = dirs, .n_threads = 1};
    struct dlq_error err = DLQ_ERROR_INIT;
    dlq_runtime *rt = NULL;
    test_assert_ok(dlq_runtime_create(&options, &rt, &err), &err);
    return rt;
}

static void
an_absent_module_is_an_error(void **state)
{
    (void)state;
    char *const folder = test_tmpdir();
    dlq_runtime *const rt = make_runtime(folder);
    struct dlq_error err = DLQ_ERROR_INIT;
    char id[DLQ_NCCL_ID_SIZE];
    assert_int_equal(dlq_collective_nccl_id(rt, id, &err), DLQ_ECOMM);
    assert_non_null(
        strstr(err.msg, "no collectives over NCCL: module dlquant-nccl.so not found in "));
    assert_non_null(strstr(err.msg, folder));
    dlq_collective_nccl *group = NULL;
    const struct dlq_collective_nccl_options options = {.struct_size = sizeof(options),
                                                        .host = dlq_collective_self()};
    test_assert_error(dlq_collective_nccl_create(rt, &options, &group, &err), &err, DLQ_ECOMM,
                      "no collectives over NCCL");
    assert_null(group);
    dlq_collective_nccl_destroy(NULL);
    dlq_runtime_destroy(rt);
    test_tmpdir_remove(folder);
}

static void
options_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    char *const folder = test_tmpdir();
    dlq_runtime *const rt = make_runtime(folder);
    struct dlq_error err = DLQ_ERROR_INIT;
    dlq_collective_nccl *group = NULL;
    char id[DLQ_NCCL_ID_SIZE] = {0};
    test_assert_error(dlq_collective_nccl_id(rt, NULL, &err), &err, DLQ_EINVAL,
                      "expected 128 bytes, found NULL");
    test_assert_error(dlq_collective_nccl_create(rt, NULL, &group, &err), &err, DLQ_EINVAL,
                      "expected a group on the host, a communicator, or an id");
    struct dlq_collective_nccl_options options = {
        .struct_size = sizeof(options), .id = id, .rank = 2, .size = 2};
    test_assert_error(dlq_collective_nccl_create(rt, &options, &group, &err), &err, DLQ_EINVAL,
                      "found rank 2 of 2");
    options.timeout_ms = -1;
    test_assert_error(dlq_collective_nccl_create(rt, &options, &group, &err), &err, DLQ_EINVAL,
                      "found 2 ranks, -1 ms and 0 ms to connect");
    options.timeout_ms = 0;
    options.connect_ms = -1;
    test_assert_error(dlq_collective_nccl_create(rt, &options, &group, &err), &err, DLQ_EINVAL,
                      "found 2 ranks, 0 ms and -1 ms to connect");
    options.struct_size = 0;
    test_assert_error(dlq_collective_nccl_create(rt, &options, &group, &err), &err, DLQ_EINVAL,
                      "dlq_collective_nccl_options: struct_size: expected at least 4, found 0");
    dlq_runtime_destroy(rt);
    test_tmpdir_remove(folder);
}

#ifdef NCCL_DIR
// The module needs no GPU to be loaded, and says what it misses.
static void
a_device_that_is_not_there_is_an_error(void **state)
{
    (void)state;
    dlq_runtime *const rt = make_runtime(NCCL_DIR);
    struct dlq_error err = DLQ_ERROR_INIT;
    dlq_collective_nccl *group = NULL;
    const struct dlq_collective_nccl_options options = {.struct_size = sizeof(options),
                                                        .timeout_ms = 5000,
                                                        .device = 1000,
                                                        .host = dlq_collective_self()};
    test_assert_error(dlq_collective_nccl_create(rt, &options, &group, &err), &err, DLQ_EDEVICE,
                      "rank 0 of 1, setup: CUDA device 1000: ");
    dlq_runtime_destroy(rt);
}
#endif

int
main(void)
{
    const struct CMUnitTest tests[] = {
        // Before a module is loaded: it stays for the whole process.
        cmocka_unit_test(an_absent_module_is_an_error),
        cmocka_unit_test(options_that_make_no_sense_are_refused),
#ifdef NCCL_DIR
        cmocka_unit_test(a_device_that_is_not_there_is_an_error),
#endif
    };
    return cmocka_run_group_tests_name("nccl", tests, NULL, NULL);
}
