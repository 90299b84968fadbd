// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "fake_plugin.h"
#include "support.h"

#include <dlquant/linear.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static dlq_linear *
make_qkv(struct fake_world *w)
{
    struct dlq_linear_desc d = fake_desc("self_attn.qkv_proj", 1, 0);
    d.head_size = 1;
    d.total_num_heads = 2;
    d.total_num_kv_heads = 1;
    dlq_linear *layer = NULL;
    test_assert_ok(dlq_linear_qkv_create(w->rt, &d, &layer, &w->err), &w->err);
    return layer;
}

static void
assert_param(struct fake_world *w, const dlq_linear *layer, size_t index, const float *expected,
             size_t n)
{
    struct dlq_tensor view;
    test_assert_ok(dlq_linear_param_at(layer, index, NULL, &view, &w->err), &w->err);
    assert_memory_equal(view.data, expected, n * sizeof(float));
}

static void
parts_are_named_by_tag_index_or_range(void **state)
{
    (void)state;
    struct fake_world w;
    fake_world_begin(&w);
    const float values[] = {1, 2, 3, 4};
    const struct dlq_tensor two = fake_tensor(DLQ_F32, 2, 1, values);
    const struct dlq_tensor one = fake_tensor(DLQ_F32, 1, 1, values + 2);
    const struct dlq_tensor kv = fake_tensor(DLQ_F32, 2, 1, values + 2);
    const struct dlq_tensor all = fake_tensor(DLQ_F32, 4, 1, values);

    dlq_linear *layer = make_qkv(&w);
    test_assert_ok(dlq_linear_load_tensor(layer, "weight", dlq_part_tag("q"), &two, &w.err),
                   &w.err);
    test_assert_ok(dlq_linear_load_tensor(layer, "weight", dlq_part_range(1, 2), &kv, &w.err),
                   &w.err);
    test_assert_ok(dlq_linear_check_loaded(layer, &w.err), &w.err);
    assert_param(&w, layer, 0, values, 4);
    dlq_linear_destroy(layer);

    layer = make_qkv(&w);
    test_assert_ok(dlq_linear_load_tensor(layer, "weight", dlq_part_index(1), &one, &w.err),
                   &w.err);
    test_assert_error(dlq_linear_load_tensor(layer, "weight", dlq_part_fused(), &all, &w.err),
                      &w.err, DLQ_EEXIST, "part 'k' is loaded already");
    dlq_linear_destroy(layer);

    layer = make_qkv(&w);
    test_assert_ok(dlq_linear_load_tensor(layer, "weight", dlq_part_fused(), &all, &w.err), &w.err);
    assert_param(&w, layer, 0, values, 4);
    dlq_linear_destroy(layer);
    fake_world_end(&w);
}

static void
unknown_part_ids_are_refused_with_the_known_ones(void **state)
{
    (void)state;
    struct fake_world w;
    fake_world_begin(&w);
    dlq_linear *layer = make_qkv(&w);
    const float values[] = {1, 2};
    const struct dlq_tensor t = fake_tensor(DLQ_F32, 2, 1, values);
    static const struct {
        struct dlq_part_id id;
        const char *text;
    } cases[] = {
        {{"x", 0, 0}, "layer 'self_attn.qkv_proj': part id: found 'x', known are 'q', 'k', 'v'"},
        {{"0", 0, 0}, "found '0'"},
        {{NULL, 3, 3}, "found 3, known are"},
        {{NULL, 1, 3}, "found 1 to 3, known are"},
        {{NULL, 2, 1}, "found 2 to 1, which are not consecutive, known are"},
        {{NULL, -1, 1}, "found -1 to 1"},
        {{NULL, -2, -2}, "found -2"},
    };
    for (size_t i = 0; i < TEST_COUNT(cases); ++i) {
        test_assert_error(dlq_linear_load_tensor(layer, "weight", cases[i].id, &t, &w.err), &w.err,
                          DLQ_EINVAL, cases[i].text);
    }
    dlq_linear_destroy(layer);
    layer = fake_merged(&w, "a.gate_up_proj", 0);
    test_assert_error(dlq_linear_load_tensor(layer, "weight", dlq_part_tag("q"), &t, &w.err),
                      &w.err, DLQ_EINVAL, "found 'q', known are '0', '1'");
    dlq_linear_destroy(layer);
    fake_world_end(&w);
}

static void
parameter_that_nobody_declared_is_not_found(void **state)
{
    (void)state;
    struct fake_world w;
    fake_world_begin(&w);
    dlq_linear *const layer = make_qkv(&w);
    const float value = 1;
    struct dlq_tensor t = fake_tensor(DLQ_F32, 1, 1, &value);
    test_assert_error(dlq_linear_load_tensor(layer, "bias", dlq_part_fused(), &t, &w.err), &w.err,
                      DLQ_ENOTFOUND,
                      "layer 'self_attn.qkv_proj' (unquantized): no parameter 'bias'");
    t.struct_size = 4;
    test_assert_error(dlq_linear_load_tensor(layer, "weight", dlq_part_fused(), &t, &w.err), &w.err,
                      DLQ_EINVAL, "expected a struct dlq_tensor of");
    test_assert_error(dlq_linear_load_tensor(layer, "weight", dlq_part_fused(), NULL, &w.err),
                      &w.err, DLQ_EINVAL, "found 0");
    dlq_linear_destroy(layer);
    fake_world_end(&w);
}

// --- Checkpoints ---

static const float gate[] = {1, 2, 3, 4, 5, 6, 7, 8};
static const float up[] = {9, 10, 11, 12};
static const float both[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};

#define TENSOR2(name, rows, data)                                                                  \
    {                                                                                              \
        name, "F32", 2, {rows, 2}, data, sizeof(float) * 2 * (rows)                                \
    }

// Write the tensors to model.safetensors of a fresh folder `*dir` and open it.
static dlq_checkpoint *
opened(struct fake_world *w, const struct test_tensor *tensors, size_t n, uint32_t flags,
       char **dir)
{
    dlq_checkpoint *ckpt = NULL;
    *dir = test_tmpdir();
    test_safetensors(*dir, "model.safetensors", tensors, n);
    test_assert_ok(
        dlq_checkpoint_open(w->rt, *dir, flags | DLQ_CHECKPOINT_NO_CONFIG, &ckpt, &w->err),
        &w->err);
    return ckpt;
}

// Load what a checkpoint of these tensors holds for a merged layer.
static int32_t
load_tensors(struct fake_world *w, dlq_linear *layer, const struct test_tensor *tensors, size_t n,
             uint32_t flags)
{
    char *dir = NULL;
    dlq_checkpoint *const ckpt = opened(w, tensors, n, flags, &dir);
    const int32_t rc = dlq_linear_load_checkpoint(layer, ckpt, &w->err);
    dlq_checkpoint_close(ckpt);
    test_tmpdir_remove(dir);
    return rc;
}

static void
checkpoint_gives_parts_or_the_fused_tensor(void **state)
{
    (void)state;
    const struct test_tensor apart[] = {
        TENSOR2("a.gate_proj.weight", 4, gate),
        TENSOR2("a.gate_up_proj2.weight", 4, gate),
        TENSOR2("a.up_proj.weight", 2, up),
    };
    const struct test_tensor fused[] = {TENSOR2("a.gate_up_proj.weight", 6, both)};
    struct fake_world w;
    fake_world_begin(&w);
    dlq_linear *layer = fake_merged(&w, "a.gate_up_proj", 0);
    test_assert_ok(load_tensors(&w, layer, apart, TEST_COUNT(apart), 0), &w.err);
    test_assert_ok(dlq_linear_check_loaded(layer, &w.err), &w.err);
    assert_param(&w, layer, 0, both, 12);
    dlq_linear_destroy(layer);
    layer = fake_merged(&w, "a.gate_up_proj", 0);
    test_assert_ok(load_tensors(&w, layer, fused, TEST_COUNT(fused), 0), &w.err);
    assert_param(&w, layer, 0, both, 12);
    dlq_linear_destroy(layer);
    assert_string_equal(w.log, "");
    fake_world_end(&w);
}

static void
fused_and_parts_at_once_are_refused(void **state)
{
    (void)state;
    const struct test_tensor tensors[] = {
        TENSOR2("a.gate_up_proj.weight", 6, both),
        TENSOR2("a.up_proj.weight", 2, up),
    };
    struct fake_world w;
    fake_world_begin(&w);
    dlq_linear *const layer = fake_merged(&w, "a.gate_up_proj", 0);
    test_assert_error(load_tensors(&w, layer, tensors, TEST_COUNT(tensors), 0), &w.err, DLQ_EFORMAT,
                      "layer 'a.gate_up_proj': parameter 'weight': expected it fused or in parts, "
                      "found both 'a.gate_up_proj.weight' in model.safetensors and "
                      "'a.up_proj.weight' in model.safetensors");
    dlq_linear_destroy(layer);
    fake_world_end(&w);
}

static void
one_parameter_may_be_fused_where_another_is_in_parts(void **state)
{
    (void)state;
    const float bias[] = {1, 2, 3, 4, 5, 6};
    const struct test_tensor tensors[] = {
        {"a.gate_up_proj.bias", "F32", 1, {6}, bias, sizeof(bias)},
        TENSOR2("a.gate_proj.weight", 4, gate),
        TENSOR2("a.up_proj.weight", 2, up),
    };
    struct fake_world w;
    fake_world_begin(&w);
    dlq_linear *const layer = fake_merged(&w, "a.gate_up_proj", DLQ_LINEAR_BIAS);
    test_assert_ok(load_tensors(&w, layer, tensors, TEST_COUNT(tensors), 0), &w.err);
    test_assert_ok(dlq_linear_check_loaded(layer, &w.err), &w.err);
    assert_param(&w, layer, 1, bias, 6);
    dlq_linear_destroy(layer);
    fake_world_end(&w);
}

static void
layer_without_a_path_takes_names_without_dots(void **state)
{
    (void)state;
    const struct test_tensor tensors[] = {
        TENSOR2("other.weight", 4, gate),
        TENSOR2("weight", 6, both),
    };
    struct fake_world w;
    fake_world_begin(&w);
    dlq_linear *const layer = fake_merged(&w, "", 0);
    test_assert_ok(load_tensors(&w, layer, tensors, TEST_COUNT(tensors), 0), &w.err);
    assert_param(&w, layer, 0, both, 12);
    test_assert_error(dlq_linear_load_checkpoint(layer, NULL, &w.err), &w.err, DLQ_EINVAL,
                      "expected a checkpoint, found NULL");
    assert_string_equal(w.log, "");
    dlq_linear_destroy(layer);
    fake_world_end(&w);
}

static void
tensors_that_no_parameter_wants_are_a_warning(void **state)
{
    (void)state;
    const struct test_tensor tensors[] = {
        TENSOR2("a.gate_proj.weight", 4, gate),   TENSOR2("a.up_proj.weight", 2, up),
        TENSOR2("a.up_proj.bias", 2, up),         TENSOR2("a.up_proj.k_scale", 2, up),
        TENSOR2("a.up_proj.inner.weight", 2, up),
    };
    struct fake_world w;
    fake_world_begin(&w);
    dlq_linear *const layer = fake_merged(&w, "a.gate_up_proj", 0);
    test_assert_ok(load_tensors(&w, layer, tensors, TEST_COUNT(tensors), 0), &w.err);
    assert_string_equal(w.log, "1 layer 'a.gate_up_proj' (unquantized): 1 tensors that no "
                               "parameter wants: a.up_proj.bias\n");
    dlq_linear_destroy(layer);
    fake_world_end(&w);
}

static void
shape_error_names_tensor_and_file(void **state)
{
    (void)state;
    const struct test_tensor tensors[] = {TENSOR2("a.gate_proj.weight", 6, both)};
    struct fake_world w;
    fake_world_begin(&w);
    dlq_linear *const layer = fake_merged(&w, "a.gate_up_proj", 0);
    test_assert_error(load_tensors(&w, layer, tensors, TEST_COUNT(tensors), 0), &w.err, DLQ_ESHAPE,
                      "layer 'a.gate_up_proj': parameter 'weight': tensor 'a.gate_proj.weight' in "
                      "model.safetensors for part 0: expected F32 [4, 2], found F32 [6, 2]; the "
                      "slice for rank 0 of 1 is [0:4, 0:2]");
    dlq_linear_destroy(layer);
    fake_world_end(&w);
}

static void
headers_alone_cannot_be_loaded(void **state)
{
    (void)state;
    const struct test_tensor tensors[] = {TENSOR2("a.gate_proj.weight", 4, gate)};
    struct fake_world w;
    fake_world_begin(&w);
    dlq_linear *const layer = fake_merged(&w, "a.gate_up_proj", 0);
    test_assert_error(load_tensors(&w, layer, tensors, 1, DLQ_CHECKPOINT_HEADERS_ONLY), &w.err,
                      DLQ_ESTATE, "opened for its headers only");
    dlq_linear_destroy(layer);
    fake_world_end(&w);
}

// Reading on would end in a SIGBUS.
static void
file_that_was_truncated_after_opening_is_an_error(void **state)
{
    (void)state;
    const struct test_tensor tensors[] = {TENSOR2("a.gate_proj.weight", 4, gate),
                                          TENSOR2("a.up_proj.weight", 2, up)};
    struct fake_world w;
    fake_world_begin(&w);
    dlq_linear *const layer = fake_merged(&w, "a.gate_up_proj", 0);
    char *dir = NULL;
    dlq_checkpoint *const ckpt = opened(&w, tensors, TEST_COUNT(tensors), 0, &dir);
    assert_int_equal(truncate(test_path(dir, "model.safetensors"), 8), 0);
    const int32_t rc = dlq_linear_load_checkpoint(layer, ckpt, &w.err);
    assert_non_null(strstr(w.err.msg, "layer 'a.gate_up_proj': parameter 'weight': "));
    test_assert_error(rc, &w.err, DLQ_EIO, "model.safetensors: the file changed while it was open");
    dlq_checkpoint_close(ckpt);
    test_tmpdir_remove(dir);
    dlq_linear_destroy(layer);
    fake_world_end(&w);
}

// Whether a page of this process is mapped.
static bool
is_mapped(const char *at)
{
    const int64_t page = sysconf(_SC_PAGESIZE);
    uint64_t entry = 0;
    const int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    const off_t where = (off_t)((uintptr_t)at / (uintptr_t)page * sizeof(entry));
    assert_int_equal(pread(fd, &entry, sizeof(entry), where), sizeof(entry));
    close(fd);
    return entry >> 63 != 0;
}

static void
loading_gives_back_the_pages_of_what_it_read(void **state)
{
    (void)state;
    enum { PAGES = 4 };
    static char page[PAGES * 65536]; // Of any size that a page has
    const struct test_tensor tensors[] = {
        TENSOR2("a.gate_proj.weight", 4, gate),
        {"a.gate_proj.x", "U8", 1, {sizeof(page)}, page, sizeof(page)},
        TENSOR2("a.up_proj.weight", 2, up),
        {"a.up_proj.x", "U8", 1, {sizeof(page)}, page, sizeof(page)},
        {"b.x", "U8", 1, {sizeof(page)}, page, sizeof(page)},
    };
    struct fake_world w;
    fake_world_begin(&w);
    dlq_linear *const layer = fake_merged(&w, "a.gate_up_proj", 0);
    char *dir = NULL;
    dlq_checkpoint *const ckpt = opened(&w, tensors, TEST_COUNT(tensors), 0, &dir);
    const char *const first = dlq_checkpoint_find(ckpt, "a.gate_proj.x")->data;
    const char *const last = dlq_checkpoint_find(ckpt, "a.up_proj.x")->data;
    const char *const other = dlq_checkpoint_find(ckpt, "b.x")->data;
    for (const char *at = first; at < other + sizeof(page); at += 4096) {
        assert_int_equal(*(const volatile char *)at, 0);
    }
    test_assert_ok(dlq_linear_load_checkpoint(layer, ckpt, &w.err), &w.err);
    for (const char *at = first + sizeof(page) / PAGES; at < last + sizeof(page) / 2; at += 4096) {
        assert_false(is_mapped(at));
    }
    assert_true(is_mapped(other + sizeof(page) / 2));
    dlq_checkpoint_close(ckpt);
    test_tmpdir_remove(dir);
    dlq_linear_destroy(layer);
    fake_world_end(&w);
}

static void
evidence_lists_own_and_part_tensors_and_outlives_the_checkpoint(void **state)
{
    (void)state;
    const struct test_tensor tensors[] = {
        TENSOR2("a.gate_up_proj.weight_shape", 1, up),
        TENSOR2("a.gate_proj.weight", 4, gate),
        TENSOR2("a.up_proj.weight", 2, up),
        TENSOR2("a.up_proj_2.weight", 2, up),
        TENSOR2("a.up_proj.deep.weight", 2, up),
    };
    struct fake_world w;
    fake_world_begin(&w);
    char *dir = NULL;
    dlq_checkpoint *const ckpt =
        opened(&w, tensors, TEST_COUNT(tensors), DLQ_CHECKPOINT_HEADERS_ONLY, &dir);
    static const int64_t sizes[] = {4, 2};
    struct dlq_linear_desc d = fake_desc("a.gate_up_proj", 2, 0);
    d.output_sizes = sizes;
    d.n_output_sizes = 2;
    d.evidence = ckpt;
    dlq_linear *layer = NULL;
    test_assert_ok(dlq_linear_merged_create(w.rt, &d, &layer, &w.err), &w.err);
    dlq_checkpoint_close(ckpt);
    test_tmpdir_remove(dir);
    const struct dlq_layer_info *const i = dlq_linear_info(layer);
    assert_int_equal(i->n_evidence, 3);
    assert_int_equal(i->evidence[0]->part, -1);
    assert_string_equal(i->evidence[0]->name, "weight_shape");
    assert_int_equal(i->evidence[1]->part, 0);
    assert_int_equal(i->evidence[1]->shape[0], 4);
    assert_int_equal(i->evidence[1]->dtype, DLQ_F32);
    assert_int_equal(i->evidence[2]->part, 1);
    assert_string_equal(i->evidence[2]->name, "weight");
    dlq_linear_destroy(layer);
    fake_world_end(&w);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_are_named_by_tag_index_or_range),
        cmocka_unit_test(unknown_part_ids_are_refused_with_the_known_ones),
        cmocka_unit_test(parameter_that_nobody_declared_is_not_found),
        cmocka_unit_test(checkpoint_gives_parts_or_the_fused_tensor),
        cmocka_unit_test(fused_and_parts_at_once_are_refused),
        cmocka_unit_test(one_parameter_may_be_fused_where_another_is_in_parts),
        cmocka_unit_test(layer_without_a_path_takes_names_without_dots),
        cmocka_unit_test(tensors_that_no_parameter_wants_are_a_warning),
        cmocka_unit_test(shape_error_names_tensor_and_file),
        cmocka_unit_test(headers_alone_cannot_be_loaded),
        cmocka_unit_test(file_that_was_truncated_after_opening_is_an_error),
        cmocka_unit_test(loading_gives_back_the_pages_of_what_it_read),
        cmocka_unit_test(evidence_lists_own_and_part_tensors_and_outlives_the_checkpoint),
    };
    return cmocka_run_group_tests_name("linear_load", tests, NULL, NULL);
}
