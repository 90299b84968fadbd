// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "checkpoint_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void
shards_hold_what_the_index_maps_to_them(void **state)
{
    (void)state;
    if (access(test_data("golden/awq-g64-sharded"), R_OK) != 0) {
        skip(); // only the full set of recordings has it; DLQ_TEST_DATA names that
    }
    dlq_checkpoint *const ckpt = ckpt_opened(test_data("golden/awq-g64-sharded"), 0);
    const struct dlq_checkpoint_tensor *const head = dlq_checkpoint_find(ckpt, "lm_head.weight");
    assert_string_equal(head->file, "model-00003-of-00004.safetensors");
    size_t files = 0;
    for (size_t i = 1; i < dlq_checkpoint_n_tensors(ckpt); i++) {
        files +=
            dlq_checkpoint_tensor_at(ckpt, i - 1)->file != dlq_checkpoint_tensor_at(ckpt, i)->file;
    }
    assert_true(files > 3);
    dlq_checkpoint_close(ckpt);
}

static void
without_an_index_all_files_count(void **state)
{
    (void)state;
    CKPT_WRITE("b.safetensors", "x.2", "x.0");
    CKPT_WRITE("a.safetensors", "x.1");
    // What macOS leaves beside a file on a foreign disk is no checkpoint.
    test_write_text(ckpt_dir, "._a.safetensors", "junk");
    test_write_text(ckpt_dir, "training_args.bin", "junk");
    dlq_checkpoint *const ckpt = ckpt_opened(ckpt_dir, DLQ_CHECKPOINT_NO_CONFIG);
    assert_int_equal(dlq_checkpoint_n_tensors(ckpt), 3);
    assert_string_equal(dlq_checkpoint_find(ckpt, "x.1")->file, "a.safetensors");
    assert_string_equal(dlq_checkpoint_find(ckpt, "x.2")->file, "b.safetensors");
    assert_true(ckpt_trace_has(ckpt, CKPT_INDEX ": absent, all *.safetensors are read"));
    dlq_checkpoint_close(ckpt);

    CKPT_WRITE("c.safetensors", "x.0");
    ckpt_refuse(DLQ_EFORMAT, "tensor 'x.0' is in two files, ");
}

static void
pickled_weights_are_refused_with_a_hint(void **state)
{
    (void)state;
    test_write_text(ckpt_dir, "pytorch_model.bin", "junk");
    ckpt_refuse(DLQ_EUNSUPPORTED, "convert them to safetensors");
    ckpt_refuse_path(test_path(ckpt_dir, "pytorch_model.bin"), 0, DLQ_EUNSUPPORTED,
                     "pickled weights");
    test_write_text(ckpt_dir, CKPT_INDEX, "{\"weight_map\":{\"a\":\"pytorch_model.bin\"}}");
    ckpt_refuse(DLQ_EUNSUPPORTED, "pickled weights");
}

static void
the_index_decides_which_file_counts(void **state)
{
    (void)state;
    CKPT_WRITE("1.safetensors", "a", "b", "extra");
    CKPT_WRITE("2.safetensors", "a", "c", "more.1", "more.2");
    CKPT_WRITE("other.safetensors", "z");
    test_write_text(ckpt_dir, CKPT_INDEX,
                    "{\"metadata\":{\"total_size\":1},\"weight_map\":{\"c\":\"2.safetensors\","
                    "\"a\":\"2.safetensors\",\"b\":\"1.safetensors\"},\"x\":[{}]}");
    dlq_checkpoint *const ckpt = ckpt_opened(ckpt_dir, DLQ_CHECKPOINT_NO_CONFIG);
    assert_int_equal(dlq_checkpoint_n_tensors(ckpt), 3);
    assert_string_equal(dlq_checkpoint_find(ckpt, "a")->file, "2.safetensors");
    assert_string_equal(dlq_checkpoint_find(ckpt, "b")->file, "1.safetensors");
    assert_null(dlq_checkpoint_find(ckpt, "extra"));
    assert_null(dlq_checkpoint_find(ckpt, "z"));
    assert_true(ckpt_trace_has(ckpt,
                               "1.safetensors: ignored 2 tensors that the index does not map to "
                               "it, the first is 'a'"));
    assert_true(ckpt_trace_has(ckpt, "2.safetensors: ignored 2 tensors"));
    dlq_checkpoint_close(ckpt);
}

static void
an_index_that_the_files_contradict_is_refused(void **state)
{
    (void)state;
    CKPT_WRITE("1.safetensors", "a", "c");
    test_write_text(ckpt_dir, CKPT_INDEX, "{\"weight_map\":{\"b\":\"1.safetensors\"}}");
    ckpt_refuse(DLQ_EFORMAT,
                "1.safetensors: the index maps tensor 'b' to this file, which does not");
    test_write_text(ckpt_dir, CKPT_INDEX,
                    "{\"weight_map\":{\"a\":\"1.safetensors\",\"d\":\"1.safetensors\"}}");
    ckpt_refuse(DLQ_EFORMAT, "the index maps tensor 'd' to this file");
    test_write_text(ckpt_dir, CKPT_INDEX,
                    "{\"weight_map\":{\"a\":\"1.safetensors\",\"b\":\"2.safetensors\"}}");
    ckpt_refuse(DLQ_ENOTFOUND, "the index maps tensor 'b' to a file that is missing: ");
}

static void
file_names_of_an_index_stay_in_the_folder(void **state)
{
    (void)state;
    CKPT_WRITE("sub/1.safetensors", "a");
    CKPT_WRITE("1.safetensors", "a");
    static const char *const names[][2] = {
        {"../1.safetensors", "has a path separator"},
        {"/etc/passwd", "has a path separator"},
        {"sub/1.safetensors", "has a path separator"},
        {"./1.safetensors", "has a path separator"},
        {"sub\\\\1.safetensors", "has a path separator"},
        {"\\u002fetc\\u002fpasswd", "has a path separator"},
        {"..", "has '..' in it"},
        {"1..safetensors", "has '..' in it"},
        {"", "is empty"},
    };
    for (size_t i = 0; i < TEST_COUNT(names); i++) {
        char index[200];
        snprintf(index, sizeof(index), "{\"weight_map\":{\"a\":\"%s\"}}", names[i][0]);
        test_write_text(ckpt_dir, CKPT_INDEX, index);
        ckpt_refuse(DLQ_EFORMAT, names[i][1]);
        ckpt_refuse(DLQ_EFORMAT, CKPT_INDEX ": tensor 'a': the file name '");
    }
}

static void
a_malformed_index_is_refused_with_its_place(void **state)
{
    (void)state;
    CKPT_WRITE("1.safetensors", "a");
    static const char *const texts[][2] = {
        {"", "line 1, column 1: the text ends too early"},
        {"{\"weight_map\":{\n \"a\":\"1.safetensors\",}}", "line 2, column 22: a comma before"},
        {"{\"weight_map\":{}} x", "line 1, column 19: text behind the end"},
        {"{}", "no weight_map"},
        {"[]", "expected an object"},
        {"{\"weight_map\":[]}", "line 1, column 15: expected an object"},
        {"{\"weight_map\":null}", "expected an object"},
        {"{\"weight_map\":{\"a\":1}}", "tensor 'a': expected the name of a file"},
        {"{\"weight_map\":{\"a\":null}}", "tensor 'a': expected the name of a file"},
        {"{\"weight_map\":{\"a\":\"1.safetensors\",\"a\":\"1.safetensors\"}}",
         "tensor 'a' occurs twice"},
        {"{\"weight_map\":{\"a\":\"1.safetensors\",\"a\":\"2.safetensors\"}}",
         "tensor 'a' occurs twice"},
        {"{\"weight_map\":{},\"weight_map\":{}}", "weight_map occurs twice"},
        {"{\"weight_map\":{\"a\\u0000\":\"1.safetensors\"}}", "a zero byte in a tensor's name"},
        {"{\"weight_map\":{\"a\":\"1.safetensors\\u0000\"}}", "a zero byte in a file's name"},
        {"{\"weight_map\":{\"\xff\":\"1.safetensors\"}}", "column 17: a byte that is not UTF-8"},
    };
    for (size_t i = 0; i < TEST_COUNT(texts); i++) {
        test_write_text(ckpt_dir, CKPT_INDEX, texts[i][0]);
        ckpt_refuse(DLQ_EFORMAT, texts[i][1]);
    }
    char *const deep = malloc(200001);
    memset(deep, '[', 200000);
    deep[200000] = '\0';
    test_write_text(ckpt_dir, CKPT_INDEX, deep);
    free(deep);
    ckpt_refuse(DLQ_EFORMAT, "nested deeper than 128 levels");
}

static void
a_hundred_thousand_tensors_open_within_a_second(void **state)
{
    (void)state;
    const size_t n = 100000;
    char *header = NULL;
    char *index = NULL;
    size_t header_size = 0;
    size_t index_size = 0;
    FILE *const h = open_memstream(&header, &header_size);
    FILE *const x = open_memstream(&index, &index_size);
    fputc('{', h);
    fputs("{\"weight_map\":{", x);
    for (size_t i = 0; i < n; i++) {
        const char *const comma = i ? "," : "";
        fprintf(h,
                "%s\"model.layers.%zu.mlp.experts.%zu.w\":{\"dtype\":\"U8\",\"shape\":[1],"
                "\"data_offsets\":[%zu,%zu]}",
                comma, i % 61, i, i, i + 1);
        fprintf(x, "%s\"model.layers.%zu.mlp.experts.%zu.w\":\"model.safetensors\"", comma, i % 61,
                i);
    }
    fputc('}', h);
    fputs("}}", x);
    fclose(h);
    fclose(x);
    char *const data = calloc(1, n);
    test_safetensors_raw(ckpt_dir, "model.safetensors", -1, header, data, n);
    test_write(ckpt_dir, CKPT_INDEX, index, index_size);
    free(data);
    free(header);
    free(index);

    struct timespec begin;
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    dlq_checkpoint *const ckpt =
        ckpt_opened(ckpt_dir, DLQ_CHECKPOINT_NO_CONFIG | DLQ_CHECKPOINT_HEADERS_ONLY);
    clock_gettime(CLOCK_MONOTONIC, &end);
    assert_int_equal(dlq_checkpoint_n_tensors(ckpt), n);
    dlq_checkpoint_close(ckpt);
    const double took =
        (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) * 1e-9;
    print_message("100000 tensors in %.3f s\n", took);
    // Sanitizers make everything slower.
    const char *const slow = getenv("DLQ_TEST_TIME_FACTOR");
    assert_true(took < (slow ? atof(slow) : 1.0));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CKPT_TEST(shards_hold_what_the_index_maps_to_them),
        CKPT_TEST(without_an_index_all_files_count),
        CKPT_TEST(pickled_weights_are_refused_with_a_hint),
        CKPT_TEST(the_index_decides_which_file_counts),
        CKPT_TEST(an_index_that_the_files_contradict_is_refused),
        CKPT_TEST(file_names_of_an_index_stay_in_the_folder),
        CKPT_TEST(a_malformed_index_is_refused_with_its_place),
        CKPT_TEST(a_hundred_thousand_tensors_open_within_a_second),
    };
    return cmocka_run_group_tests_name("checkpoint_index", tests, ckpt_make_runtime,
                                       ckpt_destroy_runtime);
}
