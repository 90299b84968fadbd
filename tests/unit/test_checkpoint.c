// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "checkpoint_fixture.h"

#include "alloc.h"
#include "checkpoint_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void
a_published_folder_opens_as_it_is(void **state)
{
    (void)state;
    dlq_checkpoint *const ckpt = ckpt_opened(test_data("jargon-llama/awq"), 0);
    assert_int_equal(dlq_checkpoint_n_tensors(ckpt), 95);
    size_t len = 0;
    char *const config = test_read(test_data("jargon-llama/awq/config.json"), &len);
    size_t config_len = 0;
    assert_string_equal(dlq_checkpoint_config(ckpt, &config_len), config);
    assert_int_equal(config_len, len);
    free(config);

    char *const file = test_read(test_data("jargon-llama/awq/model.safetensors"), &len);
    for (size_t i = 0; i < 95; i++) {
        const struct dlq_checkpoint_tensor *const t = dlq_checkpoint_tensor_at(ckpt, i);
        assert_int_equal(t->struct_size, sizeof(*t));
        assert_string_equal(t->file, "model.safetensors");
        assert_memory_equal(t->data, file + t->file_offset, t->nbytes);
        assert_ptr_equal(dlq_checkpoint_find(ckpt, t->name), t);
        assert_true(i == 0 || strcmp(dlq_checkpoint_tensor_at(ckpt, i - 1)->name, t->name) < 0);
    }
    assert_null(dlq_checkpoint_tensor_at(ckpt, 95));
    free(file);

    const struct dlq_checkpoint_tensor *const t =
        dlq_checkpoint_find(ckpt, "model.layers.0.self_attn.q_proj.qweight");
    assert_int_equal(t->dtype, DLQ_I32);
    assert_int_equal(t->ndim, 2);
    assert_int_equal(t->shape[0], 256);
    assert_int_equal(t->shape[1], 32);
    struct dlq_quant_source source = {.struct_size = sizeof(source)};
    struct dlq_error err = DLQ_ERROR_INIT;
    test_assert_ok(dlq_checkpoint_quant_source(ckpt, &source, &err), &err);
    assert_string_equal(source.quant_method, "awq");
    assert_string_equal(source.file, "config.json");
    assert_string_equal(source.pointer, "/quantization_config");
    assert_int_equal(source.text[0], '{');
    assert_int_equal(source.text[source.len - 1], '}');
    assert_int_equal(source.inferred, 0);
    dlq_checkpoint_close(ckpt);
}

static void
every_checkpoint_of_the_tests_opens(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        size_t n;
        const char *method;
    } folders[] = {
        {"jargon-llama/fp16", 39, ""},
        {"jargon-llama/awq", 95, "awq"},
        {"jargon-llama/w4a16", 95, "compressed-tensors"},
        {"jargon-llama/w8a8", 67, "compressed-tensors"},
        {"golden/awq-g64-sharded", 95, "awq"},
        {"golden/stories-fp32", 0, ""},
        {"jargon-llama/fp16/golden", 0, ""},
        {"ct-hadamards.safetensors", 66, ""},
    };
    for (size_t i = 0; i < TEST_COUNT(folders); i++) {
        if (access(test_data(folders[i].path), R_OK) != 0) {
            print_message("%s is not here\n", folders[i].path);
            continue;
        }
        dlq_checkpoint *const ckpt =
            ckpt_opened(test_data(folders[i].path), DLQ_CHECKPOINT_NO_CONFIG);
        struct dlq_quant_source source = {.struct_size = sizeof(source)};
        struct dlq_error err = DLQ_ERROR_INIT;
        test_assert_ok(dlq_checkpoint_quant_source(ckpt, &source, &err), &err);
        assert_string_equal(source.quant_method, folders[i].method);
        assert_true(dlq_checkpoint_n_tensors(ckpt) > 0);
        if (folders[i].n > 0) {
            assert_int_equal(dlq_checkpoint_n_tensors(ckpt), folders[i].n);
        }
        dlq_checkpoint_close(ckpt);
    }
}

static void
names_with_a_prefix_are_walked_from_the_lower_bound(void **state)
{
    (void)state;
    CKPT_WRITE("model.safetensors", "b", "a.1", "a", "a.2", "a.10", "c");
    dlq_checkpoint *const ckpt = ckpt_opened(ckpt_dir, DLQ_CHECKPOINT_NO_CONFIG);
    const size_t at = dlq_checkpoint_lower_bound(ckpt, "a.");
    assert_string_equal(dlq_checkpoint_tensor_at(ckpt, at)->name, "a.1");
    assert_string_equal(dlq_checkpoint_tensor_at(ckpt, at + 1)->name, "a.10");
    assert_string_equal(dlq_checkpoint_tensor_at(ckpt, at + 2)->name, "a.2");
    assert_string_equal(dlq_checkpoint_tensor_at(ckpt, at + 3)->name, "b");
    assert_int_equal(dlq_checkpoint_lower_bound(ckpt, ""), 0);
    assert_int_equal(dlq_checkpoint_lower_bound(ckpt, "d"), 6);
    assert_null(dlq_checkpoint_find(ckpt, "a."));
    assert_null(dlq_checkpoint_find(ckpt, "zz"));
    dlq_checkpoint_close(ckpt);
}

static void
headers_only_maps_nothing_and_keeps_no_file_open(void **state)
{
    (void)state;
    if (access(test_data("golden/awq-g64-sharded"), R_OK) != 0) {
        skip(); // only the full set of recordings has it; DLQ_TEST_DATA names that
    }
    const int probe = dup(0);
    dlq_checkpoint *const ckpt =
        ckpt_opened(test_data("golden/awq-g64-sharded"), DLQ_CHECKPOINT_HEADERS_ONLY);
    assert_int_equal(dlq_checkpoint_n_tensors(ckpt), 95);
    const struct dlq_checkpoint_tensor *const t = dlq_checkpoint_tensor_at(ckpt, 0);
    assert_null(t->data);
    assert_true(t->nbytes > 0);
    close(probe);
    const int again = dup(0);
    assert_int_equal(again, probe);
    close(again);
    struct dlq_error err = DLQ_ERROR_INIT;
    const int32_t rc = dlq_checkpoint_verify(ckpt, t, &err);
    test_assert_error(rc, &err, DLQ_EINVAL, "opened for its headers only");
    dlq_checkpoint_release(ckpt, t);
    dlq_checkpoint_close(ckpt);
    dlq_checkpoint_close(NULL);
}

static void
arguments_out_of_contract_are_refused(void **state)
{
    (void)state;
    dlq_checkpoint *ckpt = NULL;
    struct dlq_error err = DLQ_ERROR_INIT;
    int32_t rc = dlq_checkpoint_open(NULL, ckpt_dir, 0, &ckpt, &err);
    test_assert_error(rc, &err, DLQ_EINVAL, "expected a runtime");
    rc = dlq_checkpoint_open(ckpt_rt, NULL, 0, &ckpt, &err);
    test_assert_error(rc, &err, DLQ_EINVAL, "a path");
    rc = dlq_checkpoint_open(ckpt_rt, ckpt_dir, 4, &ckpt, &err);
    test_assert_error(rc, &err, DLQ_EINVAL, "found flags 0x4");
    rc = dlq_checkpoint_open(ckpt_rt, ckpt_dir, 0, NULL, &err);
    test_assert_error(rc, &err, DLQ_EINVAL, "a place for the result");
    assert_int_equal(dlq_checkpoint_open(ckpt_rt, ckpt_dir, 0, &ckpt, NULL), DLQ_ENOTFOUND);
}

static void
paths_that_are_no_checkpoint_are_refused(void **state)
{
    (void)state;
    ckpt_refuse_path(test_path(ckpt_dir, "none"), 0, DLQ_ENOTFOUND,
                     "expected a folder or a .safetensors");
    ckpt_refuse(DLQ_ENOTFOUND, "no *.safetensors file in it");
    test_write_text(ckpt_dir, "empty.safetensors", "");
    ckpt_refuse(DLQ_EFORMAT, "empty.safetensors: HeaderTooSmall");
    test_write_text(ckpt_dir, "text.txt", "no tensors here, only a line of text");
    ckpt_refuse_path(test_path(ckpt_dir, "text.txt"), 0, DLQ_EFORMAT, "HeaderTooLarge");
    assert_int_equal(mkfifo(test_path(ckpt_dir, "pipe"), 0600), 0);
    ckpt_refuse_path(test_path(ckpt_dir, "pipe"), 0, DLQ_EIO, "not a regular file");
    assert_int_equal(unlink(test_path(ckpt_dir, "empty.safetensors")), 0);
    assert_int_equal(mkdir(test_path(ckpt_dir, "folder.safetensors"), 0700), 0);
    ckpt_refuse(DLQ_EIO, "folder.safetensors: not a regular file");
    char longer[6000];
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    ckpt_refuse_path(longer, 0, DLQ_EIO, "xxx");
}

static void
config_json_must_be_there_unless_waived(void **state)
{
    (void)state;
    CKPT_WRITE("model.safetensors", "a");
    ckpt_refuse_path(ckpt_dir, 0, DLQ_ENOTFOUND,
                     "config.json: no such file; is this folder a checkpoint?");
    dlq_checkpoint *const ckpt = ckpt_opened(ckpt_dir, DLQ_CHECKPOINT_NO_CONFIG);
    size_t len = 1;
    assert_null(dlq_checkpoint_config(ckpt, &len));
    assert_int_equal(len, 0);
    assert_null(dlq_checkpoint_config(ckpt, NULL));
    dlq_checkpoint_close(ckpt);

    test_write_text(ckpt_dir, "config.json", "{\n\"a\": }");
    ckpt_refuse(DLQ_EFORMAT, "config.json: line 2, column 6: not a JSON value");
    test_write_text(ckpt_dir, "config.json", "[]");
    ckpt_refuse(DLQ_ECONFIG, "config.json: expected an object, found an array");
    test_write_text(ckpt_dir, "config.json", "{\"a\":1,\"a\":2}");
    ckpt_refuse(DLQ_EFORMAT, "config.json: line 1, column 8: the member '\"a\"' occurs twice");
}

static void
an_unclear_method_is_told_to_who_asks_for_it(void **state)
{
    (void)state;
    CKPT_WRITE("model.safetensors", "a");
    test_write_text(ckpt_dir, "config.json", "{\"quantization_config\":{\"bits\":4}}");
    dlq_checkpoint *const ckpt = ckpt_opened(ckpt_dir, 0);
    struct dlq_quant_source source = {.struct_size = sizeof(source)};
    struct dlq_error err = DLQ_ERROR_INIT;
    int32_t rc = dlq_checkpoint_quant_source(ckpt, &source, &err);
    test_assert_error(rc, &err, DLQ_ECONFIG, "config.json: /quantization_config: no quant_method");
    dlq_checkpoint_close(ckpt);

    test_write_text(ckpt_dir, "config.json", "{}");
    dlq_checkpoint *const plain = ckpt_opened(ckpt_dir, 0);
    source.struct_size = 8;
    rc = dlq_checkpoint_quant_source(plain, &source, &err);
    test_assert_error(rc, &err, DLQ_EINVAL, "struct_size");
    dlq_checkpoint_close(plain);
}

static void
warnings_reach_the_log(void **state)
{
    (void)state;
    CKPT_WRITE("model.safetensors", "a");
    test_write_text(ckpt_dir, "config.json", "{\"quantizaion_config\":{}}");
    dlq_checkpoint *const ckpt = ckpt_opened(ckpt_dir, 0);
    assert_non_null(strstr(ckpt_warning, "'quantizaion_config' resembles quantization_config"));
    assert_true(ckpt_trace_has(ckpt, "'quantizaion_config' resembles quantization_config"));
    dlq_checkpoint_close(ckpt);
}

static int32_t
open_and_close(void *ctx, struct test_allocator *t, struct dlq_error *err)
{
    dlq_checkpoint *ckpt = NULL;
    ckpt_memory = &t->a;
    const int32_t rc = dlq_checkpoint_open(ckpt_rt, ctx, 0, &ckpt, err);
    if (rc == DLQ_OK) {
        dlq_checkpoint_close(ckpt);
    }
    ckpt_memory = &dlq_system_allocator;
    return rc;
}

static void
every_failing_allocation_is_an_error_without_a_leak(void **state)
{
    (void)state;
    CKPT_WRITE("1.safetensors", "a", "b", "extra");
    CKPT_WRITE("2.safetensors", "c");
    test_write_text(ckpt_dir, "config.json", "{\"quantization_config\":{\"quant_method\":\"m\"}}");
    test_write_text(ckpt_dir, "quant_config.json", "{\"w_bit\":4}");
    test_write_text(ckpt_dir, CKPT_INDEX,
                    "{\"weight_map\":{\"c\":\"2.safetensors\",\"a\":\"1.safetensors\","
                    "\"b\":\"1.safetensors\"}}");
    assert_true(test_each_allocation_fails(open_and_close, ckpt_dir) > 45);
    assert_int_equal(unlink(test_path(ckpt_dir, CKPT_INDEX)), 0);
    assert_true(test_each_allocation_fails(open_and_close, ckpt_dir) > 40);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CKPT_TEST(a_published_folder_opens_as_it_is),
        CKPT_TEST(every_checkpoint_of_the_tests_opens),
        CKPT_TEST(names_with_a_prefix_are_walked_from_the_lower_bound),
        CKPT_TEST(headers_only_maps_nothing_and_keeps_no_file_open),
        CKPT_TEST(arguments_out_of_contract_are_refused),
        CKPT_TEST(paths_that_are_no_checkpoint_are_refused),
        CKPT_TEST(config_json_must_be_there_unless_waived),
        CKPT_TEST(an_unclear_method_is_told_to_who_asks_for_it),
        CKPT_TEST(warnings_reach_the_log),
        CKPT_TEST(every_failing_allocation_is_an_error_without_a_leak),
    };
    return cmocka_run_group_tests_name("checkpoint", tests, ckpt_make_runtime,
                                       ckpt_destroy_runtime);
}
