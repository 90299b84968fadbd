// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "alloc.h"
#include "checkpoint_internal.h"
#include "support.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define INDEX "model.safetensors.index.json"

// Memory of the checkpoints that are opened goes where the running test wants it.
static const struct dlq_allocator *target = &dlq_system_allocator;

static void *
forward_alloc(void *ctx, size_t size, size_t align)
{
    (void)ctx;
    return target->alloc(target->ctx, size, align);
}

static void
forward_free(void *ctx, void *ptr)
{
    (void)ctx;
    target->free(target->ctx, ptr);
}

static dlq_runtime *rt;
static char *dir;
static char last_warning[1024];

static void
keep_warning(void *ctx, int32_t level, const char *line)
{
    (void)ctx;
    if (level == DLQ_LOG_WARN) {
        snprintf(last_warning, sizeof(last_warning), "%s", line);
    }
}

static int
make_runtime(void **state)
{
    (void)state;
    static const struct dlq_allocator forward = {
        .struct_size = sizeof(forward), .alloc = forward_alloc, .free = forward_free};
    const struct dlq_runtime_options options = {
        .struct_size = sizeof(options),
        .allocator = &forward,
        .n_threads = 1,
        .log_level = DLQ_LOG_DEBUG,
        .log = keep_warning,
    };
    struct dlq_error err = DLQ_ERROR_INIT;
    test_assert_ok(dlq_runtime_create(&options, &rt, &err), &err);
    return 0;
}

static int
destroy_runtime(void **state)
{
    (void)state;
    dlq_runtime_destroy(rt);
    return 0;
}

static int
make_dir(void **state)
{
    (void)state;
    dir = test_tmpdir();
    last_warning[0] = '\0';
    return 0;
}

static int
remove_dir(void **state)
{
    (void)state;
    test_tmpdir_remove(dir);
    return 0;
}

static dlq_checkpoint *
opened(const char *path, uint32_t flags)
{
    dlq_checkpoint *ckpt = NULL;
    struct dlq_error err = DLQ_ERROR_INIT;
    err.code = 77;
    test_assert_ok(dlq_checkpoint_open(rt, path, flags, &ckpt, &err), &err);
    // A call that succeeds leaves the record alone.
    assert_int_equal(err.code, 77);
    assert_int_equal(err.msg[0], 0);
    return ckpt;
}

static void
refuse_path(const char *path, uint32_t flags, int32_t code, const char *message)
{
    dlq_checkpoint *ckpt = NULL;
    struct dlq_error err = DLQ_ERROR_INIT;
    const int32_t rc = dlq_checkpoint_open(rt, path, flags, &ckpt, &err);
    test_assert_error(rc, &err, code, message);
    assert_null(ckpt);
}

static void
refuse(int32_t code, const char *message)
{
    refuse_path(dir, DLQ_CHECKPOINT_NO_CONFIG, code, message);
}

static bool
trace_has(const dlq_checkpoint *ckpt, const char *text)
{
    const char *line;
    for (size_t i = 0; (line = dlq_checkpoint_trace(ckpt, i)); i++) {
        if (strstr(line, text)) {
            return true;
        }
    }
    return false;
}

// A file of U8 tensors [4] with these names, ended by NULL.
static void
write_tensors(const char *file, const char *const *names)
{
    struct test_tensor tensors[8];
    size_t n = 0;
    for (; names[n]; n++) {
        tensors[n] = (struct test_tensor){
            .name = names[n], .dtype = "U8", .ndim = 1, .shape = {4}, .nbytes = 4};
    }
    test_safetensors(dir, file, tensors, n);
}

#define WRITE(file, ...)                                                                           \
    do {                                                                                           \
        const char *const names_[] = {__VA_ARGS__, NULL};                                          \
        write_tensors(file, names_);                                                               \
    } while (0)

static void
a_published_folder_opens_as_it_is(void **state)
{
    (void)state;
    dlq_checkpoint *const ckpt = opened(test_data("jargon-llama/awq"), 0);
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
        dlq_checkpoint *const ckpt = opened(test_data(folders[i].path), DLQ_CHECKPOINT_NO_CONFIG);
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
shards_hold_what_the_index_maps_to_them(void **state)
{
    (void)state;
    if (access(test_data("golden/awq-g64-sharded"), R_OK) != 0) {
        skip(); // only the full set of recordings has it; DLQ_TEST_DATA names that
    }
    dlq_checkpoint *const ckpt = opened(test_data("golden/awq-g64-sharded"), 0);
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
names_with_a_prefix_are_walked_from_the_lower_bound(void **state)
{
    (void)state;
    WRITE("model.safetensors", "b", "a.1", "a", "a.2", "a.10", "c");
    dlq_checkpoint *const ckpt = opened(dir, DLQ_CHECKPOINT_NO_CONFIG);
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
        opened(test_data("golden/awq-g64-sharded"), DLQ_CHECKPOINT_HEADERS_ONLY);
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
    int32_t rc = dlq_checkpoint_open(NULL, dir, 0, &ckpt, &err);
    test_assert_error(rc, &err, DLQ_EINVAL, "expected a runtime");
    rc = dlq_checkpoint_open(rt, NULL, 0, &ckpt, &err);
    test_assert_error(rc, &err, DLQ_EINVAL, "a path");
    rc = dlq_checkpoint_open(rt, dir, 4, &ckpt, &err);
    test_assert_error(rc, &err, DLQ_EINVAL, "found flags 0x4");
    rc = dlq_checkpoint_open(rt, dir, 0, NULL, &err);
    test_assert_error(rc, &err, DLQ_EINVAL, "a place for the result");
    assert_int_equal(dlq_checkpoint_open(rt, dir, 0, &ckpt, NULL), DLQ_ENOTFOUND);
}

static void
paths_that_are_no_checkpoint_are_refused(void **state)
{
    (void)state;
    refuse_path(test_path(dir, "none"), 0, DLQ_ENOTFOUND, "expected a folder or a .safetensors");
    refuse(DLQ_ENOTFOUND, "no *.safetensors file in it");
    test_write_text(dir, "empty.safetensors", "");
    refuse(DLQ_EFORMAT, "empty.safetensors: HeaderTooSmall");
    test_write_text(dir, "text.txt", "no tensors here, only a line of text");
    refuse_path(test_path(dir, "text.txt"), 0, DLQ_EFORMAT, "HeaderTooLarge");
    assert_int_equal(mkfifo(test_path(dir, "pipe"), 0600), 0);
    refuse_path(test_path(dir, "pipe"), 0, DLQ_EIO, "not a regular file");
    assert_int_equal(unlink(test_path(dir, "empty.safetensors")), 0);
    assert_int_equal(mkdir(test_path(dir, "folder.safetensors"), 0700), 0);
    refuse(DLQ_EIO, "folder.safetensors: not a regular file");
    char longer[6000];
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    refuse_path(longer, 0, DLQ_EIO, "xxx");
}

static void
config_json_must_be_there_unless_waived(void **state)
{
    (void)state;
    WRITE("model.safetensors", "a");
    refuse_path(dir, 0, DLQ_ENOTFOUND, "config.json: no such file; is this folder a checkpoint?");
    dlq_checkpoint *const ckpt = opened(dir, DLQ_CHECKPOINT_NO_CONFIG);
    size_t len = 1;
    assert_null(dlq_checkpoint_config(ckpt, &len));
    assert_int_equal(len, 0);
    assert_null(dlq_checkpoint_config(ckpt, NULL));
    dlq_checkpoint_close(ckpt);

    test_write_text(dir, "config.json", "{\n\"a\": }");
    refuse(DLQ_EFORMAT, "config.json: line 2, column 6: not a JSON value");
    test_write_text(dir, "config.json", "[]");
    refuse(DLQ_ECONFIG, "config.json: expected an object, found an array");
    test_write_text(dir, "config.json", "{\"a\":1,\"a\":2}");
    refuse(DLQ_EFORMAT, "config.json: line 1, column 8: the member '\"a\"' occurs twice");
}

static void
an_unclear_method_is_told_to_who_asks_for_it(void **state)
{
    (void)state;
    WRITE("model.safetensors", "a");
    test_write_text(dir, "config.json", "{\"quantization_config\":{\"bits\":4}}");
    dlq_checkpoint *const ckpt = opened(dir, 0);
    struct dlq_quant_source source = {.struct_size = sizeof(source)};
    struct dlq_error err = DLQ_ERROR_INIT;
    int32_t rc = dlq_checkpoint_quant_source(ckpt, &source, &err);
    test_assert_error(rc, &err, DLQ_ECONFIG, "config.json: /quantization_config: no quant_method");
    dlq_checkpoint_close(ckpt);

    test_write_text(dir, "config.json", "{}");
    dlq_checkpoint *const plain = opened(dir, 0);
    source.struct_size = 8;
    rc = dlq_checkpoint_quant_source(plain, &source, &err);
    test_assert_error(rc, &err, DLQ_EINVAL, "struct_size");
    dlq_checkpoint_close(plain);
}

static void
warnings_reach_the_log(void **state)
{
    (void)state;
    WRITE("model.safetensors", "a");
    test_write_text(dir, "config.json", "{\"quantizaion_config\":{}}");
    dlq_checkpoint *const ckpt = opened(dir, 0);
    assert_non_null(strstr(last_warning, "'quantizaion_config' resembles quantization_config"));
    assert_true(trace_has(ckpt, "'quantizaion_config' resembles quantization_config"));
    dlq_checkpoint_close(ckpt);
}

static void
without_an_index_all_files_count(void **state)
{
    (void)state;
    WRITE("b.safetensors", "x.2", "x.0");
    WRITE("a.safetensors", "x.1");
    // What macOS leaves beside a file on a foreign disk is no checkpoint.
    test_write_text(dir, "._a.safetensors", "junk");
    test_write_text(dir, "training_args.bin", "junk");
    dlq_checkpoint *const ckpt = opened(dir, DLQ_CHECKPOINT_NO_CONFIG);
    assert_int_equal(dlq_checkpoint_n_tensors(ckpt), 3);
    assert_string_equal(dlq_checkpoint_find(ckpt, "x.1")->file, "a.safetensors");
    assert_string_equal(dlq_checkpoint_find(ckpt, "x.2")->file, "b.safetensors");
    assert_true(trace_has(ckpt, INDEX ": absent, all *.safetensors are read"));
    dlq_checkpoint_close(ckpt);

    WRITE("c.safetensors", "x.0");
    refuse(DLQ_EFORMAT, "tensor 'x.0' is in two files, ");
}

static void
pickled_weights_are_refused_with_a_hint(void **state)
{
    (void)state;
    test_write_text(dir, "pytorch_model.bin", "junk");
    refuse(DLQ_EUNSUPPORTED, "convert them to safetensors");
    refuse_path(test_path(dir, "pytorch_model.bin"), 0, DLQ_EUNSUPPORTED, "pickled weights");
    test_write_text(dir, INDEX, "{\"weight_map\":{\"a\":\"pytorch_model.bin\"}}");
    refuse(DLQ_EUNSUPPORTED, "pickled weights");
}

static void
the_index_decides_which_file_counts(void **state)
{
    (void)state;
    WRITE("1.safetensors", "a", "b", "extra");
    WRITE("2.safetensors", "a", "c", "more.1", "more.2");
    WRITE("other.safetensors", "z");
    test_write_text(dir, INDEX,
                    "{\"metadata\":{\"total_size\":1},\"weight_map\":{\"c\":\"2.safetensors\","
                    "\"a\":\"2.safetensors\",\"b\":\"1.safetensors\"},\"x\":[{}]}");
    dlq_checkpoint *const ckpt = opened(dir, DLQ_CHECKPOINT_NO_CONFIG);
    assert_int_equal(dlq_checkpoint_n_tensors(ckpt), 3);
    assert_string_equal(dlq_checkpoint_find(ckpt, "a")->file, "2.safetensors");
    assert_string_equal(dlq_checkpoint_find(ckpt, "b")->file, "1.safetensors");
    assert_null(dlq_checkpoint_find(ckpt, "extra"));
    assert_null(dlq_checkpoint_find(ckpt, "z"));
    assert_true(trace_has(ckpt, "1.safetensors: ignored 2 tensors that the index does not map to "
                                "it, the first is 'a'"));
    assert_true(trace_has(ckpt, "2.safetensors: ignored 2 tensors"));
    dlq_checkpoint_close(ckpt);
}

static void
an_index_that_the_files_contradict_is_refused(void **state)
{
    (void)state;
    WRITE("1.safetensors", "a", "c");
    test_write_text(dir, INDEX, "{\"weight_map\":{\"b\":\"1.safetensors\"}}");
    refuse(DLQ_EFORMAT, "1.safetensors: the index maps tensor 'b' to this file, which does not");
    test_write_text(dir, INDEX,
                    "{\"weight_map\":{\"a\":\"1.safetensors\",\"d\":\"1.safetensors\"}}");
    refuse(DLQ_EFORMAT, "the index maps tensor 'd' to this file");
    test_write_text(dir, INDEX,
                    "{\"weight_map\":{\"a\":\"1.safetensors\",\"b\":\"2.safetensors\"}}");
    refuse(DLQ_ENOTFOUND, "the index maps tensor 'b' to a file that is missing: ");
}

static void
file_names_of_an_index_stay_in_the_folder(void **state)
{
    (void)state;
    WRITE("sub/1.safetensors", "a");
    WRITE("1.safetensors", "a");
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
        test_write_text(dir, INDEX, index);
        refuse(DLQ_EFORMAT, names[i][1]);
        refuse(DLQ_EFORMAT, INDEX ": tensor 'a': the file name '");
    }
}

static void
a_malformed_index_is_refused_with_its_place(void **state)
{
    (void)state;
    WRITE("1.safetensors", "a");
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
        test_write_text(dir, INDEX, texts[i][0]);
        refuse(DLQ_EFORMAT, texts[i][1]);
    }
    char *const deep = malloc(200001);
    memset(deep, '[', 200000);
    deep[200000] = '\0';
    test_write_text(dir, INDEX, deep);
    free(deep);
    refuse(DLQ_EFORMAT, "nested deeper than 128 levels");
}

// A Hugging Face cache: snapshots/<revision>/ holds links to ../../blobs/<hash>.
static void
links_to_files_are_followed(void **state)
{
    (void)state;
    WRITE("blobs/1234", "a");
    test_write_text(dir, "blobs/5678", "{\"quantization_config\":{\"quant_method\":\"m\"}}");
    test_write_text(dir, "snapshots/main/readme", "");
    const char *const snapshot = test_path(dir, "snapshots/main");
    assert_int_equal(symlink("../../blobs/1234", test_path(snapshot, "model.safetensors")), 0);
    assert_int_equal(symlink("../../blobs/5678", test_path(snapshot, "config.json")), 0);
    char path[1000];
    snprintf(path, sizeof(path), "%s", test_path(dir, "snapshots/main"));
    dlq_checkpoint *const ckpt = opened(path, 0);
    assert_string_equal(dlq_checkpoint_find(ckpt, "a")->file, "model.safetensors");
    dlq_checkpoint_close(ckpt);
    assert_int_equal(unlink(test_path(dir, "blobs/1234")), 0);
    refuse_path(path, 0, DLQ_EIO, "the symbolic link leads to a file that is missing");
}

static void
a_link_that_leads_nowhere_is_not_an_absent_file(void **state)
{
    (void)state;
    WRITE("model.safetensors", "a");
    assert_int_equal(symlink("gone", test_path(dir, INDEX)), 0);
    refuse(DLQ_EIO, INDEX ": cannot open: the symbolic link leads to a file that is missing");
    assert_int_equal(unlink(test_path(dir, INDEX)), 0);
    assert_int_equal(symlink("gone", test_path(dir, "config.json")), 0);
    refuse(DLQ_EIO, "config.json: cannot open: the symbolic link leads to a file that is missing");
}

static void
a_file_that_changes_its_size_while_open_is_noticed(void **state)
{
    (void)state;
    WRITE("model.safetensors", "a", "b");
    dlq_checkpoint *const ckpt = opened(dir, DLQ_CHECKPOINT_NO_CONFIG);
    const struct dlq_checkpoint_tensor *const t = dlq_checkpoint_find(ckpt, "b");
    struct dlq_error err = DLQ_ERROR_INIT;
    test_assert_ok(dlq_checkpoint_verify(ckpt, t, &err), &err);
    assert_int_equal(truncate(test_path(dir, "model.safetensors"), 16), 0);
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
    WRITE("model.safetensors", "a");
    WRITE("new", "b");
    dlq_checkpoint *const ckpt = opened(dir, DLQ_CHECKPOINT_NO_CONFIG);
    char from[1000];
    snprintf(from, sizeof(from), "%s", test_path(dir, "new"));
    assert_int_equal(rename(from, test_path(dir, "model.safetensors")), 0);
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
    test_safetensors(dir, "model.safetensors", &big, 1);
    dlq_checkpoint *const ckpt = opened(dir, DLQ_CHECKPOINT_NO_CONFIG);
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

static int32_t
open_and_close(void *ctx, struct test_allocator *t, struct dlq_error *err)
{
    dlq_checkpoint *ckpt = NULL;
    target = &t->a;
    const int32_t rc = dlq_checkpoint_open(rt, ctx, 0, &ckpt, err);
    if (rc == DLQ_OK) {
        dlq_checkpoint_close(ckpt);
    }
    target = &dlq_system_allocator;
    return rc;
}

static void
every_failing_allocation_is_an_error_without_a_leak(void **state)
{
    (void)state;
    WRITE("1.safetensors", "a", "b", "extra");
    WRITE("2.safetensors", "c");
    test_write_text(dir, "config.json", "{\"quantization_config\":{\"quant_method\":\"m\"}}");
    test_write_text(dir, "quant_config.json", "{\"w_bit\":4}");
    test_write_text(dir, INDEX,
                    "{\"weight_map\":{\"c\":\"2.safetensors\",\"a\":\"1.safetensors\","
                    "\"b\":\"1.safetensors\"}}");
    assert_true(test_each_allocation_fails(open_and_close, dir) > 45);
    assert_int_equal(unlink(test_path(dir, INDEX)), 0);
    assert_true(test_each_allocation_fails(open_and_close, dir) > 40);
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
    WRITE("1.safetensors", "a");
    WRITE("2.safetensors", "a");
    refuse(DLQ_EFORMAT, "is in two files");
    test_write_text(dir, INDEX, "{\"weight_map\":{\"a\":\"1.safetensors\"}}");
    dlq_checkpoint *const ckpt = opened(dir, DLQ_CHECKPOINT_NO_CONFIG);
    // Mappings need none: several ranks may open a checkpoint of hundreds of files each.
    assert_int_equal(open_files(), before);
    dlq_checkpoint_close(ckpt);
    assert_int_equal(open_files(), before);
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
    test_safetensors_raw(dir, "model.safetensors", -1, header, data, n);
    test_write(dir, INDEX, index, index_size);
    free(data);
    free(header);
    free(index);

    struct timespec begin;
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    dlq_checkpoint *const ckpt =
        opened(dir, DLQ_CHECKPOINT_NO_CONFIG | DLQ_CHECKPOINT_HEADERS_ONLY);
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

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_published_folder_opens_as_it_is),
        TEST(every_checkpoint_of_the_tests_opens),
        TEST(shards_hold_what_the_index_maps_to_them),
        TEST(names_with_a_prefix_are_walked_from_the_lower_bound),
        TEST(headers_only_maps_nothing_and_keeps_no_file_open),
        TEST(arguments_out_of_contract_are_refused),
        TEST(paths_that_are_no_checkpoint_are_refused),
        TEST(config_json_must_be_there_unless_waived),
        TEST(an_unclear_method_is_told_to_who_asks_for_it),
        TEST(warnings_reach_the_log),
        TEST(without_an_index_all_files_count),
        TEST(pickled_weights_are_refused_with_a_hint),
        TEST(the_index_decides_which_file_counts),
        TEST(an_index_that_the_files_contradict_is_refused),
        TEST(file_names_of_an_index_stay_in_the_folder),
        TEST(a_malformed_index_is_refused_with_its_place),
        TEST(links_to_files_are_followed),
        TEST(a_link_that_leads_nowhere_is_not_an_absent_file),
        TEST(a_file_that_changes_its_size_while_open_is_noticed),
        TEST(replacing_a_file_by_rename_leaves_an_open_checkpoint_alone),
        TEST(released_tensors_leave_memory_and_can_be_read_again),
        TEST(every_failing_allocation_is_an_error_without_a_leak),
        TEST(no_file_stays_open),
        TEST(a_hundred_thousand_tensors_open_within_a_second),
    };
    return cmocka_run_group_tests_name("checkpoint", tests, make_runtime, destroy_runtime);
}
