// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "support.h"

#include "device.h"
#include "runtime_internal.h"

#include <dlquant/runtime.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const struct dlq_device cpu = {DLQ_DEVICE_CPU, 0};
static const struct dlq_device gpu = {DLQ_DEVICE_CUDA, 0};

static dlq_runtime *
make(const char *dir, int32_t policy)
{
    const char *const dirs[] = {dir, NULL};
    const struct dlq_runtime_options options = {.struct_size = sizeof(options),
                                                .load_policy = policy,
                                                .plugin_dirs = dir ? dirs : NULL,
                                                .n_threads = 1};
    struct dlq_error err = DLQ_ERROR_INIT;
    dlq_runtime *rt = NULL;
    test_assert_ok(dlq_runtime_create(&options, &rt, &err), &err);
    return rt;
}

static void
the_cpu_is_described(void **state)
{
    (void)state;
    struct dlq_error err = DLQ_ERROR_INIT;
    struct dlq_device_info info = {.struct_size = sizeof(info)};
    dlq_runtime *const rt = make(NULL, DLQ_LOAD_NONE);
    test_assert_ok(dlq_runtime_device_info(rt, cpu, &info, &err), &err);
    assert_int_equal(info.struct_size, sizeof(info));
    assert_int_equal(info.device.kind, DLQ_DEVICE_CPU);
    assert_int_equal(info.capability, 0);
    assert_int_equal(info.multiprocessors, dlq_device_cpu_cores());
    assert_true(info.memory_bytes > 1 << 20);
    assert_true(info.name[0] != '\0');
    dlq_runtime_destroy(rt);
}

static void
there_is_one_cpu(void **state)
{
    (void)state;
    struct dlq_error err = DLQ_ERROR_INIT;
    struct dlq_device_info info = {.struct_size = sizeof(info)};
    const struct dlq_device second = {DLQ_DEVICE_CPU, 1};
    dlq_runtime *const rt = make(NULL, DLQ_LOAD_NONE);
    test_assert_error(dlq_runtime_device_info(rt, second, &info, &err), &err, DLQ_EDEVICE,
                      "no CPU device 1: the CPU has index 0");
    info.struct_size = 8;
    test_assert_error(dlq_runtime_device_info(rt, cpu, &info, &err), &err, DLQ_EINVAL,
                      "dlq_device_info: struct_size: expected at least 96, found 8");
    dlq_runtime_destroy(rt);
}

static void
an_unknown_kind_is_no_device(void **state)
{
    (void)state;
    static const int32_t kinds[] = {0, -1, 15, 16, INT32_MAX};
    struct dlq_device_info info = {.struct_size = sizeof(info)};
    dlq_runtime *const rt = make(NULL, DLQ_LOAD_NONE);
    for (size_t i = 0; i < TEST_COUNT(kinds); i++) {
        const struct dlq_device device = {kinds[i], 0};
        assert_int_equal(dlq_runtime_device_info(rt, device, &info, NULL), DLQ_EDEVICE);
        assert_null(dlq_runtime_device_alloc(rt, device, 16, 16));
        assert_int_equal(dlq_runtime_device_upload(rt, device, &info, 1, "x", 1, 1, 1, NULL),
                         DLQ_EDEVICE);
        assert_int_equal(dlq_runtime_device_flush(rt, device, NULL), DLQ_EDEVICE);
        dlq_runtime_device_free(rt, device, NULL);
    }
    dlq_runtime_destroy(rt);
}

static void
an_upload_keeps_pitches_apart(void **state)
{
    (void)state;
    struct dlq_error err = DLQ_ERROR_INIT;
    char dst[13] = "............";
    dlq_runtime *const rt = make(NULL, DLQ_LOAD_NONE);
    test_assert_ok(dlq_runtime_device_upload(rt, cpu, dst, 4, "abXXXcdXXXef", 5, 2, 3, &err), &err);
    assert_string_equal(dst, "ab..cd..ef..");
    test_assert_ok(dlq_runtime_device_upload(rt, cpu, dst, 3, "123456", 3, 3, 2, &err), &err);
    assert_string_equal(dst, "123456..ef..");
    test_assert_ok(dlq_runtime_device_upload(rt, cpu, NULL, 0, NULL, 0, 0, 5, &err), &err);
    dlq_runtime_destroy(rt);
}

static void
a_copy_inside_the_cpu_keeps_pitches_apart(void **state)
{
    (void)state;
    struct dlq_error err = DLQ_ERROR_INIT;
    dlq_device_copy_fn copy = NULL;
    char dst[9] = "........";
    dlq_runtime *const rt = make(NULL, DLQ_LOAD_NONE);
    test_assert_ok(dlq_runtime_device_copier(rt, cpu, &copy, &err), &err);
    test_assert_ok(copy(0, dst, 4, "abXcdX", 3, 2, 2, NULL, &err), &err);
    assert_string_equal(dst, "ab..cd..");
    dlq_runtime_destroy(rt);
}

static void
without_a_module_the_error_says_where_it_was_looked_for(void **state)
{
    (void)state;
    struct dlq_error err = DLQ_ERROR_INIT;
    struct dlq_device_info info = {.struct_size = sizeof(info)};
    dlq_runtime *const forbidden = make(NULL, DLQ_LOAD_NONE);
    test_assert_error(dlq_runtime_device_info(forbidden, gpu, &info, &err), &err, DLQ_EDEVICE,
                      "no CUDA device: module dlquant-cuda.so not found in no directory, the load "
                      "policy forbids files");
    dlq_runtime_destroy(forbidden);
}

// Puts the module that was built as `name` where the module for CUDA is looked for.
static char *
install(const char *name)
{
    char path[512];
    size_t len = 0;
    char *const dir = test_tmpdir();
    snprintf(path, sizeof(path), TINY_DIR "/%s.so", name);
    char *const bytes = test_read(path, &len);
    test_write(dir, DLQ_DEVICE_MODULE_CUDA, bytes, len);
    assert_int_equal(chmod(test_path(dir, DLQ_DEVICE_MODULE_CUDA), 0755), 0);
    free(bytes);
    return dir;
}

static void
assert_module_refused(const char *name, const char *message)
{
    struct dlq_error err = DLQ_ERROR_INIT;
    struct dlq_device_info info = {.struct_size = sizeof(info)};
    char *const dir = install(name);
    dlq_runtime *const rt = make(dir, DLQ_LOAD_INSTALLED);
    test_assert_error(dlq_runtime_device_info(rt, gpu, &info, &err), &err, DLQ_EDEVICE, message);
    dlq_runtime_destroy(rt);
    test_tmpdir_remove(dir);
}

static void
a_broken_module_is_refused(void **state)
{
    (void)state;
    assert_module_refused("tiny", "/dlquant-cuda.so: no symbol dlq_device_module");
    assert_module_refused("module_no_flush", "no CUDA device: device module: its table is "
                                             "incomplete or of another layout");
    assert_module_refused("module_other_version",
                          "no CUDA device: device module: expected version " DLQ_PROJECT_VERSION
                          ", found 0.0.1");
    assert_module_refused("module_other_kind",
                          "no CUDA device: dlquant-cuda.so: kind: expected 2, found 5");
}

static void
a_module_others_may_write_is_refused(void **state)
{
    (void)state;
    struct dlq_error err = DLQ_ERROR_INIT;
    struct dlq_device_info info = {.struct_size = sizeof(info)};
    char *const dir = install("module_fake");
    assert_int_equal(chmod(test_path(dir, DLQ_DEVICE_MODULE_CUDA), 0777), 0);
    dlq_runtime *const rt = make(dir, DLQ_LOAD_INSTALLED);
    test_assert_error(dlq_runtime_device_info(rt, gpu, &info, &err), &err, DLQ_EDEVICE,
                      "/dlquant-cuda.so: refused: file has mode 0777, others may write it");
    dlq_runtime_destroy(rt);
    test_tmpdir_remove(dir);
}

// The fake module stays for the rest of the process, so this test is the last.
static void
a_module_serves_its_devices(void **state)
{
    (void)state;
    struct dlq_error err = DLQ_ERROR_INIT;
    struct dlq_device_info info = {.struct_size = sizeof(info)};
    const struct dlq_device absent = {DLQ_DEVICE_CUDA, 3};
    char *const dir = install("module_fake");
    dlq_runtime *rt = make(dir, DLQ_LOAD_INSTALLED);
    test_assert_ok(dlq_runtime_device_info(rt, gpu, &info, &err), &err);
    assert_string_equal(info.name, "Fake GPU");
    assert_int_equal(info.capability, 90);
    assert_int_equal(info.device.kind, DLQ_DEVICE_CUDA);
    test_assert_error(dlq_runtime_device_info(rt, absent, &info, &err), &err, DLQ_EDEVICE,
                      "no CUDA device 3");
    char *const p = dlq_runtime_device_alloc(rt, gpu, 32, 256);
    assert_non_null(p);
    assert_int_equal((uintptr_t)p % 256, 0);
    test_assert_ok(dlq_runtime_device_upload(rt, gpu, p, 4, "abXcdX", 3, 2, 2, &err), &err);
    test_assert_ok(dlq_runtime_device_flush(rt, gpu, &err), &err);
    assert_memory_equal(p, "ab", 2);
    assert_memory_equal(p + 4, "cd", 2);
    dlq_device_copy_fn copy = NULL;
    test_assert_ok(dlq_runtime_device_copier(rt, gpu, &copy, &err), &err);
    test_assert_ok(copy(0, p + 16, 2, p, 4, 2, 2, NULL, &err), &err);
    assert_memory_equal(p + 16, "abcd", 4);
    dlq_runtime_device_free(rt, gpu, p);
    dlq_runtime_destroy(rt);
    // Another runtime, which could not find the file, has the devices too.
    rt = make(NULL, DLQ_LOAD_NONE);
    test_assert_ok(dlq_runtime_device_info(rt, gpu, &info, &err), &err);
    dlq_runtime_destroy(rt);
    test_tmpdir_remove(dir);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_cpu_is_described),
        cmocka_unit_test(there_is_one_cpu),
        cmocka_unit_test(an_unknown_kind_is_no_device),
        cmocka_unit_test(an_upload_keeps_pitches_apart),
        cmocka_unit_test(a_copy_inside_the_cpu_keeps_pitches_apart),
        cmocka_unit_test(without_a_module_the_error_says_where_it_was_looked_for),
        cmocka_unit_test(a_broken_module_is_refused),
        cmocka_unit_test(a_module_others_may_write_is_refused),
        cmocka_unit_test(a_module_serves_its_devices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
