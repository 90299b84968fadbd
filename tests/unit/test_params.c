// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "support.h"

#include "alloc.h"
#include "float16.h"
#include "params.h"
#include "shard.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// A layer's sizes on one rank, and its parameters in memory of the test.
struct fixture {
    struct dlq_layer_info info;
    struct dlq_part parts[3];
    const struct dlq_part *part_ptrs[3];
    int64_t bounds[9];
    struct dlq_params params;
    struct dlq_error err;
    long uploads;
};

static void *
store_alloc(void *ctx, size_t size, size_t align)
{
    (void)ctx;
    return dlq_system_allocator.alloc(NULL, size, align);
}

static void
store_free(void *ctx, void *ptr)
{
    (void)ctx;
    free(ptr);
}

static int32_t
store_upload(void *ctx, void *dst, size_t dst_pitch, const void *src, size_t src_pitch,
             size_t width, size_t rows, struct dlq_error *err)
{
    (void)err;
    ++((struct fixture *)ctx)->uploads;
    for (size_t i = 0; i < rows; ++i) {
        memcpy((char *)dst + i * dst_pitch, (const char *)src + i * src_pitch, width);
    }
    return DLQ_OK;
}

static void
begin(struct fixture *f, int64_t k, bool split_k, const int64_t *sizes, int32_t n_parts,
      int32_t rank, int32_t ranks)
{
    static const char *const tags[] = {"0", "1", "2"};
    *f = (struct fixture){.err = DLQ_ERROR_INIT};
    for (int32_t i = 0; i < n_parts; ++i) {
        f->parts[i] = (struct dlq_part){.tag = tags[i], .full_size = sizes[i], .replicas = 1};
        f->part_ptrs[i] = &f->parts[i];
    }
    test_assert_ok(
        dlq_shard_parts("l", split_k ? 0 : rank, split_k ? 1 : ranks, f->parts, n_parts, &f->err),
        &f->err);
    test_assert_ok(dlq_shard_even("l", "inputs", k, split_k ? ranks : 1, f->bounds, &f->err),
                   &f->err);
    f->info = (struct dlq_layer_info){
        .prefix = "l",
        .input_size = k,
        .input_size_per_partition = split_k ? k / ranks : k,
        .input_offset = split_k ? f->bounds[rank] : 0,
        .input_bounds = f->bounds,
        .parts = f->part_ptrs,
        .n_parts = n_parts,
        .tp_rank = rank,
        .tp_size = ranks,
        .device = {.device = {.kind = DLQ_DEVICE_CPU}},
    };
    for (int32_t r = split_k ? ranks + 1 : 1; r <= ranks; ++r) {
        f->bounds[r] = k;
    }
    const struct dlq_param_store store = {f, store_alloc, store_free, store_upload};
    dlq_params_init(&f->params, &f->info, &dlq_system_allocator, &store);
}

static void
end(struct fixture *f)
{
    dlq_params_clear(&f->params);
}

static struct dlq_param_desc
describe(const char *name, uint32_t dtype, int64_t rows, int64_t cols)
{
    return (struct dlq_param_desc){
        .struct_size = DLQ_SIZE_UPTO(struct dlq_param_desc, fill),
        .name = name,
        .dtype = dtype,
        .ndim = 2,
        .shape = {rows, cols},
        .output_dim = 0,
        .input_dim = 1,
        .packed_dim = -1,
    };
}

static struct dlq_tensor
tensor(uint32_t dtype, int32_t ndim, int64_t rows, int64_t cols, const void *data)
{
    return (struct dlq_tensor){
        .struct_size = DLQ_SIZE_UPTO(struct dlq_tensor, strides),
        .dtype = dtype,
        .data = (void *)(uintptr_t)data,
        .device = {.kind = DLQ_DEVICE_CPU},
        .ndim = ndim,
        .shape = {ndim > 1 ? rows : cols, ndim > 1 ? cols : 0},
        .strides = {ndim > 1 ? cols : 1, 1},
    };
}

static int32_t
declare(struct fixture *f, const struct dlq_param_desc *desc)
{
    return dlq_params_declare(&f->params, desc, NULL, &f->err);
}

static int32_t
load(struct fixture *f, const char *name, int32_t first, int32_t last, const struct dlq_tensor *t)
{
    const struct dlq_param_source source = {t, "m.l.tensor", "a.safetensors", first, last};
    return dlq_params_load(&f->params, dlq_params_find(&f->params, name), &source, &f->err);
}

static const void *
data_of(struct fixture *f, const char *name)
{
    struct dlq_tensor view = {.struct_size = sizeof(view)};
    test_assert_ok(dlq_params_get(&f->params, name, &view, &f->err), &f->err);
    return view.data;
}

static void
count_up(int32_t *values, int32_t n)
{
    for (int32_t i = 0; i < n; ++i) {
        values[i] = i;
    }
}

static void
column_rank_gets_its_rows(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 2, false, (const int64_t[]){6}, 1, 1, 2);
    const struct dlq_param_desc d = describe("weight", DLQ_I32, 3, 2);
    test_assert_ok(declare(&f, &d), &f.err);
    int32_t full[12];
    count_up(full, 12);
    const struct dlq_tensor t = tensor(DLQ_I32, 2, 6, 2, full);
    test_assert_ok(load(&f, "weight", 0, 0, &t), &f.err);
    assert_memory_equal(data_of(&f, "weight"), full + 6, 24);
    assert_int_equal(f.uploads, 1);
    end(&f);
}

static void
row_rank_gets_its_columns(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 4, true, (const int64_t[]){3}, 1, 1, 2);
    const struct dlq_param_desc d = describe("weight", DLQ_I32, 3, 2);
    test_assert_ok(declare(&f, &d), &f.err);
    int32_t full[12];
    count_up(full, 12);
    const struct dlq_tensor t = tensor(DLQ_I32, 2, 3, 4, full);
    test_assert_ok(load(&f, "weight", 0, 0, &t), &f.err);
    assert_memory_equal(data_of(&f, "weight"), ((int32_t[]){2, 3, 6, 7, 10, 11}), 24);
    end(&f);
}

static void
merged_parts_lie_side_by_side_from_parts_or_fused(void **state)
{
    (void)state;
    int32_t full[24];
    count_up(full, 24);
    const int32_t expected[] = {8, 9, 10, 11, 12, 13, 14, 15, 20, 21, 22, 23};
    for (int fused = 0; fused < 2; ++fused) {
        struct fixture f;
        begin(&f, 2, false, (const int64_t[]){8, 4}, 2, 1, 2);
        const struct dlq_param_desc d = describe("weight", DLQ_I32, 6, 2);
        test_assert_ok(declare(&f, &d), &f.err);
        if (fused) {
            const struct dlq_tensor t = tensor(DLQ_I32, 2, 12, 2, full);
            test_assert_ok(load(&f, "weight", 0, 1, &t), &f.err);
        } else {
            const struct dlq_tensor up = tensor(DLQ_I32, 2, 4, 2, full + 16);
            const struct dlq_tensor gate = tensor(DLQ_I32, 2, 8, 2, full);
            test_assert_ok(load(&f, "weight", 1, 1, &up), &f.err);
            test_assert_ok(load(&f, "weight", 0, 0, &gate), &f.err);
        }
        test_assert_ok(dlq_params_check(&f.params, &f.err), &f.err);
        assert_memory_equal(data_of(&f, "weight"), expected, sizeof(expected));
        end(&f);
    }
}

static void
partly_fused_tensor_begins_at_its_own_first_part(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 1, false, (const int64_t[]){4, 2, 2}, 3, 1, 2);
    const struct dlq_param_desc d = describe("weight", DLQ_I32, 4, 1);
    test_assert_ok(declare(&f, &d), &f.err);
    const int32_t first[] = {1, 2, 3, 4};
    const int32_t others[] = {5, 6, 7, 8};
    const struct dlq_tensor a = tensor(DLQ_I32, 2, 4, 1, first);
    const struct dlq_tensor b = tensor(DLQ_I32, 2, 4, 1, others);
    test_assert_ok(load(&f, "weight", 1, 2, &b), &f.err);
    test_assert_error(dlq_params_check(&f.params, &f.err), &f.err, DLQ_EINCOMPLETE,
                      "layer 'l': not loaded: 'weight' (part 0)");
    test_assert_ok(load(&f, "weight", 0, 0, &a), &f.err);
    assert_memory_equal(data_of(&f, "weight"), ((int32_t[]){3, 4, 6, 8}), 16);
    end(&f);
}

static struct dlq_param_desc
describe_awq(const char *name, int64_t k, int64_t words, int64_t block, int64_t ckpt_block)
{
    struct dlq_param_desc d = describe(name, DLQ_I32, k, words);
    d.input_dim = 0;
    d.output_dim = 1;
    d.packed_dim = 1;
    d.pack_num = 8;
    d.pack_den = 1;
    d.block[0] = block;
    d.ckpt_block[0] = ckpt_block;
    return d;
}

static void
packed_outputs_are_cut_in_words(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 2, false, (const int64_t[]){16, 8}, 2, 0, 1);
    const struct dlq_param_desc d = describe_awq("qweight", 2, 3, 0, 0);
    test_assert_ok(declare(&f, &d), &f.err);
    const int32_t gate[] = {1, 2, 3, 4};
    const int32_t up[] = {5, 6};
    const struct dlq_tensor a = tensor(DLQ_I32, 2, 2, 2, gate);
    const struct dlq_tensor b = tensor(DLQ_I32, 2, 2, 1, up);
    test_assert_ok(load(&f, "qweight", 0, 0, &a), &f.err);
    test_assert_ok(load(&f, "qweight", 1, 1, &b), &f.err);
    assert_memory_equal(data_of(&f, "qweight"), ((int32_t[]){1, 2, 5, 3, 4, 6}), 24);
    end(&f);
}

static void
part_that_starts_inside_a_word_is_refused_at_declaration(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 2, false, (const int64_t[]){12, 8}, 2, 0, 1);
    const struct dlq_param_desc d = describe_awq("qweight", 2, 3, 0, 0);
    test_assert_error(declare(&f, &d), &f.err, DLQ_ESHAPE,
                      "layer 'l': parameter 'qweight': outputs of part '0': offset 0 and size 12 "
                      "in the checkpoint's 12, offset 0 on rank 0 of 1, cut inside 32-bit words of "
                      "8/1 elements (4 bits each)");
    assert_null(dlq_params_find(&f.params, "qweight"));
    end(&f);
}

static struct dlq_param_desc
describe_3bit(int64_t words)
{
    struct dlq_param_desc d = describe("weight_packed", DLQ_I32, 1, words);
    d.packed_dim = 1;
    d.pack_num = 32;
    d.pack_den = 3;
    return d;
}

static void
fractional_words_are_cut_exactly_or_refused(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 64, true, (const int64_t[]){1}, 1, 1, 2);
    struct dlq_param_desc d = describe_3bit(3);
    test_assert_ok(declare(&f, &d), &f.err);
    const int32_t full[] = {1, 2, 3, 4, 5, 6};
    const struct dlq_tensor t = tensor(DLQ_I32, 2, 1, 6, full);
    test_assert_ok(load(&f, "weight_packed", 0, 0, &t), &f.err);
    assert_memory_equal(data_of(&f, "weight_packed"), full + 3, 12);
    end(&f);

    begin(&f, 40, true, (const int64_t[]){1}, 1, 1, 2);
    d = describe_3bit(2);
    test_assert_error(declare(&f, &d), &f.err, DLQ_ESHAPE,
                      "inputs: offset 20 and size 20 in the checkpoint's 40, offset 0 on rank 1 of "
                      "2, cut inside 32-bit words of 32/3 elements (3 bits each)");
    end(&f);
}

static void
cut_that_needs_a_finer_group_says_which(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 29568, true, (const int64_t[]){4}, 1, 0, 2);
    struct dlq_param_desc d = describe("weight_scale", DLQ_F16, 4, 116);
    d.block[1] = 128;
    test_assert_error(declare(&f, &d), &f.err, DLQ_ESHAPE,
                      "parameter 'weight_scale': inputs: offset 0 and size 14784 in the "
                      "checkpoint's 29568, offset 0 on rank 0 of 2, cut inside groups of 128 "
                      "elements (groups of 64 would fit)");
    end(&f);
}

static void
refined_groups_repeat_the_checkpoints(void **state)
{
    (void)state;
    // K = 12 in groups of 4, two ranks: groups of 2, the middle group is on both.
    const int32_t full[] = {10, 11, 12, 20, 21, 22};
    const int32_t expected[2][6] = {{10, 10, 11, 20, 20, 21}, {11, 12, 12, 21, 22, 22}};
    for (int32_t rank = 0; rank < 2; ++rank) {
        struct fixture f;
        begin(&f, 12, true, (const int64_t[]){2}, 1, rank, 2);
        struct dlq_param_desc d = describe("weight_scale", DLQ_I32, 2, 3);
        d.block[1] = 2;
        d.ckpt_block[1] = 4;
        test_assert_ok(declare(&f, &d), &f.err);
        const struct dlq_tensor t = tensor(DLQ_I32, 2, 2, 3, full);
        test_assert_ok(load(&f, "weight_scale", 0, 0, &t), &f.err);
        assert_memory_equal(data_of(&f, "weight_scale"), expected[rank], 24);
        end(&f);
    }
}

static void
refined_rows_repeat_packed_rows_too(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 12, true, (const int64_t[]){16}, 1, 1, 2);
    const struct dlq_param_desc d = describe_awq("qzeros", 3, 2, 2, 4);
    test_assert_ok(declare(&f, &d), &f.err);
    const int32_t full[] = {1, 2, 3, 4, 5, 6};
    const struct dlq_tensor t = tensor(DLQ_I32, 2, 3, 2, full);
    test_assert_ok(load(&f, "qzeros", 0, 0, &t), &f.err);
    assert_memory_equal(data_of(&f, "qzeros"), ((int32_t[]){3, 4, 5, 6, 5, 6}), 24);
    end(&f);
}

static struct dlq_param_desc
describe_blocks(int64_t rows, int64_t cols, int64_t bn)
{
    struct dlq_param_desc d = describe("weight_scale", DLQ_I32, rows, cols);
    d.block[0] = bn;
    d.ckpt_block[0] = 128;
    d.block[1] = 128;
    return d;
}

static void
block_scales_of_a_ragged_part_are_refined_or_refused(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 128, false, (const int64_t[]){192, 256}, 2, 0, 1);
    struct dlq_param_desc d = describe_blocks(4, 1, 128);
    test_assert_error(declare(&f, &d), &f.err, DLQ_ESHAPE,
                      "outputs of part '0': offset 0 and size 192 in the checkpoint's 192, offset "
                      "0 on rank 0 of 1, cut inside groups of 128 elements (groups of 64 would "
                      "fit)");
    d = describe_blocks(7, 1, 64);
    test_assert_ok(declare(&f, &d), &f.err);
    // Each part has its own ceil: 2 rows, then 2 rows.
    const int32_t full[] = {1, 2, 3, 4};
    const struct dlq_tensor t = tensor(DLQ_I32, 2, 4, 1, full);
    test_assert_ok(load(&f, "weight_scale", 0, 1, &t), &f.err);
    assert_memory_equal(data_of(&f, "weight_scale"), ((int32_t[]){1, 1, 2, 3, 3, 4, 4}), 28);
    end(&f);
}

static void
last_block_may_be_ragged_without_a_cut(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 200, false, (const int64_t[]){128, 100}, 2, 0, 1);
    const struct dlq_param_desc d = describe_blocks(2, 2, 128);
    test_assert_ok(declare(&f, &d), &f.err);
    const int32_t full[] = {1, 2, 3, 4};
    const struct dlq_tensor t = tensor(DLQ_I32, 2, 2, 2, full);
    test_assert_ok(load(&f, "weight_scale", 0, 1, &t), &f.err);
    assert_memory_equal(data_of(&f, "weight_scale"), full, 16);
    end(&f);
}

static struct dlq_param_desc
describe_slots(int32_t n, uint32_t flags)
{
    return (struct dlq_param_desc){
        .struct_size = DLQ_SIZE_UPTO(struct dlq_param_desc, fill),
        .flags = flags,
        .name = "scale",
        .dtype = DLQ_F32,
        .ndim = 1,
        .shape = {n},
        .output_dim = -1,
        .input_dim = -1,
        .packed_dim = -1,
        .slot_count = n,
    };
}

static void
slots_take_scalars_of_each_part(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 2, false, (const int64_t[]){8, 4}, 2, 1, 2);
    const struct dlq_param_desc d = describe_slots(2, 0);
    test_assert_ok(declare(&f, &d), &f.err);
    const float values[] = {0.5f, 0.25f};
    const struct dlq_tensor scalar = tensor(DLQ_F32, 0, 0, 0, &values[0]);
    const struct dlq_tensor one = tensor(DLQ_F32, 1, 0, 1, &values[1]);
    test_assert_ok(load(&f, "scale", 1, 1, &one), &f.err);
    test_assert_ok(load(&f, "scale", 0, 0, &scalar), &f.err);
    assert_memory_equal(data_of(&f, "scale"), values, 8);
    end(&f);
}

static void
fused_scalar_fills_the_slots_of_its_parts(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 2, false, (const int64_t[]){8, 4, 4}, 3, 0, 1);
    const struct dlq_param_desc d = describe_slots(3, 0);
    test_assert_ok(declare(&f, &d), &f.err);
    const float values[] = {0.5f, 0.25f};
    const struct dlq_tensor a = tensor(DLQ_F32, 0, 0, 0, &values[0]);
    const struct dlq_tensor b = tensor(DLQ_F32, 0, 0, 0, &values[1]);
    test_assert_ok(load(&f, "scale", 0, 0, &a), &f.err);
    test_assert_ok(load(&f, "scale", 1, 2, &b), &f.err);
    assert_memory_equal(data_of(&f, "scale"), ((float[]){0.5f, 0.25f, 0.25f}), 12);
    end(&f);
}

static void
slot_refuses_more_than_one_element(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 2, false, (const int64_t[]){8, 4}, 2, 0, 1);
    const struct dlq_param_desc d = describe_slots(2, 0);
    test_assert_ok(declare(&f, &d), &f.err);
    const float values[] = {0.5f, 0.25f};
    const struct dlq_tensor t = tensor(DLQ_F32, 1, 0, 2, values);
    test_assert_error(load(&f, "scale", 0, 1, &t), &f.err, DLQ_ESHAPE,
                      "expected F32 [1], found F32 [2]");
    end(&f);
}

static struct dlq_param_desc
describe_vector(const char *name, uint32_t dtype, int64_t n, uint32_t flags)
{
    struct dlq_param_desc d = describe_slots(0, flags);
    d.name = name;
    d.dtype = dtype;
    d.shape[0] = n;
    return d;
}

static void
replicated_values_of_all_parts_must_agree(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 2, false, (const int64_t[]){8, 4}, 2, 0, 1);
    const struct dlq_param_desc d =
        describe_vector("input_scale", DLQ_F32, 1, DLQ_PARAM_REPLICATED | DLQ_PARAM_ACCEPT_0D);
    test_assert_ok(declare(&f, &d), &f.err);
    const float a = 0.5f;
    const float b = 0.25f;
    const struct dlq_tensor ta = tensor(DLQ_F32, 0, 0, 0, &a);
    const struct dlq_tensor tb = tensor(DLQ_F32, 0, 0, 0, &b);
    test_assert_ok(load(&f, "input_scale", 0, 0, &ta), &f.err);
    test_assert_error(load(&f, "input_scale", 1, 1, &tb), &f.err, DLQ_EFORMAT,
                      "for part 1: expected the values of part '0', which all parts share");
    assert_float_equal(*(const float *)data_of(&f, "input_scale"), 0.5f, 0);
    test_assert_ok(load(&f, "input_scale", 1, 1, &ta), &f.err);
    test_assert_ok(dlq_params_check(&f.params, &f.err), &f.err);
    end(&f);
}

static void
last_write_stays_where_it_is_allowed(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 2, false, (const int64_t[]){8, 4}, 2, 0, 1);
    const struct dlq_param_desc d =
        describe_vector("weight_shape", DLQ_I64, 2, DLQ_PARAM_REPLICATED | DLQ_PARAM_LAST_WRITE_OK);
    test_assert_ok(declare(&f, &d), &f.err);
    const int64_t a[] = {8, 2};
    const int64_t b[] = {4, 2};
    const struct dlq_tensor ta = tensor(DLQ_I64, 1, 0, 2, a);
    const struct dlq_tensor tb = tensor(DLQ_I64, 1, 0, 2, b);
    test_assert_ok(load(&f, "weight_shape", 0, 0, &ta), &f.err);
    test_assert_ok(load(&f, "weight_shape", 0, 0, &ta), &f.err);
    test_assert_ok(load(&f, "weight_shape", 1, 1, &tb), &f.err);
    assert_memory_equal(data_of(&f, "weight_shape"), b, sizeof(b));
    end(&f);
}

static void
second_write_is_refused(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 2, false, (const int64_t[]){1, 1}, 2, 0, 1);
    const struct dlq_param_desc d = describe("weight", DLQ_I32, 2, 2);
    test_assert_ok(declare(&f, &d), &f.err);
    const int32_t row[] = {1, 2};
    const struct dlq_tensor t = tensor(DLQ_I32, 2, 1, 2, row);
    test_assert_ok(load(&f, "weight", 0, 0, &t), &f.err);
    test_assert_error(load(&f, "weight", 0, 0, &t), &f.err, DLQ_EEXIST,
                      "layer 'l': parameter 'weight': tensor 'm.l.tensor' in a.safetensors for "
                      "part 0: part '0' is loaded already");
    end(&f);
}

static void
wrong_shape_names_tensor_file_shapes_and_slice(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 2, false, (const int64_t[]){6}, 1, 1, 2);
    const struct dlq_param_desc d = describe("weight", DLQ_I32, 3, 2);
    test_assert_ok(declare(&f, &d), &f.err);
    int32_t full[12] = {0};
    const struct dlq_tensor t = tensor(DLQ_I32, 2, 5, 2, full);
    test_assert_error(load(&f, "weight", 0, 0, &t), &f.err, DLQ_ESHAPE,
                      "layer 'l': parameter 'weight': tensor 'm.l.tensor' in a.safetensors: "
                      "expected I32 [6, 2], found I32 [5, 2]; the slice for rank 1 of 2 is [3:6, "
                      "0:2]");
    // A failed load leaves the part unfilled.
    test_assert_error(dlq_params_check(&f.params, &f.err), &f.err, DLQ_EINCOMPLETE, "'weight'");
    end(&f);
}

static void
other_dtype_needs_the_cast_flag(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 2, false, (const int64_t[]){1}, 1, 0, 1);
    struct dlq_param_desc d = describe("weight", DLQ_F32, 1, 2);
    test_assert_ok(declare(&f, &d), &f.err);
    const uint16_t half[] = {dlq_f32_to_f16(1.5f), dlq_f32_to_f16(-2.0f)};
    struct dlq_tensor t = tensor(DLQ_F16, 2, 1, 2, half);
    test_assert_error(load(&f, "weight", 0, 0, &t), &f.err, DLQ_EDTYPE, "expected F32, found F16");
    t.dtype = DLQ_DTYPE(99, 16);
    test_assert_error(load(&f, "weight", 0, 0, &t), &f.err, DLQ_EDTYPE, "found unknown");
    t.dtype = DLQ_F16;
    d.name = "cast";
    d.flags = DLQ_PARAM_CAST;
    test_assert_ok(declare(&f, &d), &f.err);
    test_assert_ok(load(&f, "cast", 0, 0, &t), &f.err);
    assert_memory_equal(data_of(&f, "cast"), ((float[]){1.5f, -2.0f}), 8);
    end(&f);
}

static void
cast_goes_through_a_bounded_buffer(void **state)
{
    (void)state;
    enum { rows = 3, cols = 150000 };
    struct fixture f;
    begin(&f, cols, false, (const int64_t[]){rows}, 1, 0, 1);
    struct test_allocator t;
    test_allocator_init(&t);
    f.params.alloc = &t.a;
    struct dlq_param_desc d = describe("weight", DLQ_F32, rows, cols);
    d.flags = DLQ_PARAM_CAST;
    test_assert_ok(declare(&f, &d), &f.err);
    uint16_t *const half = malloc(sizeof(*half) * rows * cols);
    for (int i = 0; i < rows * cols; ++i) {
        half[i] = dlq_f32_to_f16((float)(i % 2048));
    }
    const struct dlq_tensor src = tensor(DLQ_F16, 2, rows, cols, half);
    test_assert_ok(load(&f, "weight", 0, 0, &src), &f.err);
    const float *const got = data_of(&f, "weight");
    for (int i = 0; i < rows * cols; ++i) {
        assert_true(got[i] == (float)(i % 2048));
    }
    assert_true(t.peak <= 300 * 1024);
    free(half);
    end(&f);
    assert_int_equal(t.live, 0);
}

static void
value_that_a_cast_cannot_hold_is_an_error(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 2, false, (const int64_t[]){1}, 1, 0, 1);
    struct dlq_param_desc d = describe("zero_point", DLQ_I8, 1, 2);
    d.flags = DLQ_PARAM_CAST;
    test_assert_ok(declare(&f, &d), &f.err);
    const int32_t wide[] = {1, 300};
    const struct dlq_tensor t = tensor(DLQ_I32, 2, 1, 2, wide);
    test_assert_error(load(&f, "zero_point", 0, 0, &t), &f.err, DLQ_EOVERFLOW,
                      "a value of I32 does not fit I8");
    end(&f);
}

static void
element_that_is_not_finite_is_named_by_its_index(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 2, false, (const int64_t[]){4}, 1, 1, 2);
    struct dlq_param_desc d = describe("scales", DLQ_F32, 2, 2);
    d.flags = DLQ_PARAM_FINITE;
    test_assert_ok(declare(&f, &d), &f.err);
    float values[] = {1, 2, NAN, 4, 5, 6, 7, INFINITY};
    const struct dlq_tensor t = tensor(DLQ_F32, 2, 4, 2, values);
    test_assert_error(load(&f, "scales", 0, 0, &t), &f.err, DLQ_EINVAL,
                      "element [3, 1] is not finite as F32");
    values[7] = 8;
    // The NaN of the other rank's rows is the other rank's error.
    test_assert_ok(load(&f, "scales", 0, 0, &t), &f.err);
    end(&f);
}

static void
cast_that_overflows_is_not_finite(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 1, false, (const int64_t[]){2}, 1, 0, 1);
    struct dlq_param_desc d =
        describe_vector("bias", DLQ_F16, 2, DLQ_PARAM_FINITE | DLQ_PARAM_CAST);
    d.output_dim = 0;
    test_assert_ok(declare(&f, &d), &f.err);
    const float values[] = {1, 1e6f};
    const struct dlq_tensor t = tensor(DLQ_F32, 1, 0, 2, values);
    test_assert_error(load(&f, "bias", 0, 0, &t), &f.err, DLQ_EINVAL,
                      "element [1] is not finite as F16");
    end(&f);
}

static void
vector_stands_for_a_column_where_allowed(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 2, false, (const int64_t[]){4}, 1, 1, 2);
    struct dlq_param_desc d = describe("weight_scale", DLQ_I32, 2, 1);
    d.input_dim = -1;
    test_assert_ok(declare(&f, &d), &f.err);
    d.name = "other";
    d.flags = DLQ_PARAM_ACCEPT_1D;
    test_assert_ok(declare(&f, &d), &f.err);
    const int32_t values[] = {1, 2, 3, 4};
    const struct dlq_tensor t = tensor(DLQ_I32, 1, 0, 4, values);
    test_assert_error(load(&f, "weight_scale", 0, 0, &t), &f.err, DLQ_ESHAPE,
                      "expected I32 [4, 1], found I32 [4]");
    test_assert_ok(load(&f, "other", 0, 0, &t), &f.err);
    assert_memory_equal(data_of(&f, "other"), values + 2, 8);
    end(&f);
}

static void
scalar_stands_for_one_element_where_allowed(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 2, false, (const int64_t[]){4}, 1, 0, 1);
    const struct dlq_param_desc strict = describe_vector("a", DLQ_I32, 1, 0);
    const struct dlq_param_desc loose = describe_vector("b", DLQ_I32, 1, DLQ_PARAM_ACCEPT_0D);
    test_assert_ok(declare(&f, &strict), &f.err);
    test_assert_ok(declare(&f, &loose), &f.err);
    const int32_t value = 7;
    const struct dlq_tensor t = tensor(DLQ_I32, 0, 0, 0, &value);
    test_assert_error(load(&f, "a", 0, 0, &t), &f.err, DLQ_ESHAPE,
                      "expected I32 [1], found I32 []");
    test_assert_ok(load(&f, "b", 0, 0, &t), &f.err);
    assert_int_equal(*(const int32_t *)data_of(&f, "b"), 7);
    end(&f);
}

static void
sentinel_fills_storage_until_it_is_loaded(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 2, false, (const int64_t[]){4, 4}, 2, 0, 1);
    struct dlq_param_desc d = describe_slots(2, DLQ_PARAM_SENTINEL);
    d.fill = -1;
    test_assert_ok(declare(&f, &d), &f.err);
    assert_memory_equal(data_of(&f, "scale"), ((float[]){-1, -1}), 8);
    const float value = 3;
    const struct dlq_tensor t = tensor(DLQ_F32, 0, 0, 0, &value);
    test_assert_ok(load(&f, "scale", 1, 1, &t), &f.err);
    assert_memory_equal(data_of(&f, "scale"), ((float[]){-1, 3}), 8);
    end(&f);
}

static void
optional_parameter_has_storage_once_it_is_loaded(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 2, false, (const int64_t[]){4}, 1, 0, 1);
    const struct dlq_param_desc d = describe_vector("g_idx", DLQ_I32, 2, DLQ_PARAM_OPTIONAL);
    test_assert_ok(declare(&f, &d), &f.err);
    assert_int_equal(dlq_params_bytes(&f.params), 0);
    struct dlq_tensor view;
    test_assert_error(dlq_params_get(&f.params, "g_idx", &view, &f.err), &f.err, DLQ_ENOTFOUND,
                      "layer 'l': parameter 'g_idx' is optional and was not loaded");
    test_assert_ok(dlq_params_check(&f.params, &f.err), &f.err);
    const int32_t values[] = {1, 0};
    const struct dlq_tensor t = tensor(DLQ_I32, 1, 0, 2, values);
    test_assert_ok(load(&f, "g_idx", 0, 0, &t), &f.err);
    assert_memory_equal(data_of(&f, "g_idx"), values, 8);
    assert_int_equal(dlq_params_bytes(&f.params), 8);
    end(&f);
}

static void
missing_parameters_are_listed_with_their_parts(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 2, false, (const int64_t[]){1, 1, 1}, 3, 0, 1);
    struct dlq_param_desc d = describe("weight", DLQ_I32, 3, 2);
    test_assert_ok(declare(&f, &d), &f.err);
    d.name = "other";
    test_assert_ok(declare(&f, &d), &f.err);
    const int32_t row[] = {1, 2};
    const struct dlq_tensor t = tensor(DLQ_I32, 2, 1, 2, row);
    test_assert_ok(load(&f, "weight", 1, 1, &t), &f.err);
    test_assert_error(dlq_params_check(&f.params, &f.err), &f.err, DLQ_EINCOMPLETE,
                      "layer 'l': not loaded: 'weight' (part 0, 2), 'other'");
    end(&f);
}

static void
replaced_storage_is_freed_and_dropped_storage_gone(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 2, false, (const int64_t[]){4}, 1, 0, 1);
    const struct dlq_param_desc d = describe("weight", DLQ_I32, 4, 2);
    test_assert_ok(declare(&f, &d), &f.err);
    struct dlq_tensor t = tensor(DLQ_I8, 2, 5, 3, store_alloc(NULL, 15, 64));
    test_assert_ok(dlq_params_replace(&f.params, "weight", &t, &f.err), &f.err);
    assert_int_equal(dlq_params_bytes(&f.params), 15);
    struct dlq_tensor view;
    test_assert_ok(dlq_params_get(&f.params, "weight", &view, &f.err), &f.err);
    assert_ptr_equal(view.data, t.data);
    assert_int_equal(view.dtype, DLQ_I8);
    // The same memory in another shape stays.
    t.shape[0] = 3;
    t.shape[1] = 5;
    test_assert_ok(dlq_params_replace(&f.params, "weight", &t, &f.err), &f.err);
    *(char *)t.data = 1;
    test_assert_ok(dlq_params_replace(&f.params, "weight", NULL, &f.err), &f.err);
    assert_int_equal(dlq_params_bytes(&f.params), 0);
    test_assert_error(dlq_params_replace(&f.params, "nothing", NULL, &f.err), &f.err, DLQ_ENOTFOUND,
                      "parameter 'nothing' was never declared");
    t.device.kind = DLQ_DEVICE_CUDA;
    test_assert_error(dlq_params_replace(&f.params, "weight", &t, &f.err), &f.err, DLQ_EPLUGIN,
                      "no tensor in memory of the layer's device");
    end(&f);
}

static void
plan_records_descriptors_without_memory(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 2, false, (const int64_t[]){4}, 1, 0, 1);
    dlq_params_init(&f.params, &f.info, &dlq_system_allocator, NULL);
    struct dlq_param_desc d = describe("weight", DLQ_I32, 4, 2);
    d.flags = DLQ_PARAM_SENTINEL;
    test_assert_ok(declare(&f, &d), &f.err);
    assert_int_equal(dlq_params_bytes(&f.params), 0);
    assert_string_equal(dlq_params_find(&f.params, "weight")->desc.name, "weight");
    const int32_t data[8] = {0};
    const struct dlq_tensor t = tensor(DLQ_I32, 2, 4, 2, data);
    test_assert_error(load(&f, "weight", 0, 0, &t), &f.err, DLQ_ESTATE, "made to plan");
    end(&f);
}

static void
declaration_that_makes_no_sense_is_refused(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 2, false, (const int64_t[]){4, 4}, 2, 0, 1);
    const struct dlq_param_desc good = describe("w", DLQ_I32, 8, 2);
    static const struct {
        int32_t code;
        const char *text;
    } expected[] = {
        {DLQ_ESHAPE,
         "was declared as [7, 2]; along its output dimension 0 the layer's sizes give 8"},
        {DLQ_ESHAPE,
         "was declared as [8, 3]; along its input dimension 1 the layer's sizes give 2"},
        {DLQ_EPLUGIN, "dimensions output 2, input 1, packed -1 do not fit 2"},
        {DLQ_EPLUGIN, "dimensions output 0, input 0, packed -1"},
        {DLQ_EPLUGIN, "a pack ratio needs a packed_dim"},
        {DLQ_EPLUGIN, "a word holds less than one element"},
        {DLQ_EPLUGIN, "block does not divide ckpt_block"},
        {DLQ_EPLUGIN, "a packed dimension cannot be refined"},
        {DLQ_EPLUGIN, "the layer has 2 parts, so it needs an output_dim, slots or"},
        {DLQ_EPLUGIN, "a replicated parameter cannot follow the outputs"},
        {DLQ_EPLUGIN, "3 slots and a first dimension of 8, where the layer has 2 parts"},
        {DLQ_EDTYPE, "storage of 4-bit elements is expected in bytes or words"},
        {DLQ_EOVERFLOW, "the bytes of [8, 4611686018427387904] I32 overflow 64 bits"},
        {DLQ_EPLUGIN, "a dimension is negative"},
        {DLQ_EPLUGIN, "without a name"},
        {DLQ_EPLUGIN, "a descriptor of 8 bytes"},
        {DLQ_EPLUGIN, "slots are neither sharded nor replicated"},
        {DLQ_EPLUGIN, "a block is negative"},
        {DLQ_EPLUGIN, "tile, pack_num or pack_den is negative"},
    };
    struct dlq_param_desc d[TEST_COUNT(expected)];
    for (size_t i = 0; i < TEST_COUNT(d); ++i) {
        d[i] = good;
    }
    d[0].shape[0] = 7;
    d[1].shape[1] = 3;
    d[2].output_dim = 2;
    d[3].input_dim = 0;
    d[4].pack_num = 8;
    d[5].packed_dim = 1;
    d[5].pack_num = 1;
    d[5].pack_den = 2;
    d[6].block[1] = 4;
    d[6].ckpt_block[1] = 6;
    d[7].packed_dim = 1;
    d[7].block[1] = 2;
    d[7].ckpt_block[1] = 4;
    d[8].output_dim = -1;
    d[9].flags = DLQ_PARAM_REPLICATED;
    d[10].slot_count = 3;
    d[11].dtype = DLQ_F4_E2M1;
    d[12].shape[1] = INT64_C(1) << 62;
    d[13].shape[1] = -1;
    d[14].name = "";
    d[15].struct_size = 8;
    d[16].slot_count = 2;
    d[16].shape[0] = 2;
    d[17].ckpt_block[0] = -1;
    d[18].tile = -1;
    for (size_t i = 0; i < TEST_COUNT(d); ++i) {
        test_assert_error(declare(&f, &d[i]), &f.err, expected[i].code, expected[i].text);
    }
    test_assert_ok(declare(&f, &good), &f.err);
    test_assert_error(declare(&f, &good), &f.err, DLQ_EEXIST, "parameter 'w' is declared twice");
    end(&f);
}

static void
higher_dimensions_are_cut_in_the_middle(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 4, true, (const int64_t[]){2}, 1, 1, 2);
    struct dlq_param_desc d = describe("w", DLQ_I32, 2, 2);
    d.ndim = 4;
    d.shape[2] = 1;
    d.shape[3] = 2;
    test_assert_ok(declare(&f, &d), &f.err);
    int32_t full[16];
    count_up(full, 16);
    struct dlq_tensor t = tensor(DLQ_I32, 2, 2, 4, full);
    t.ndim = 4;
    t.shape[2] = 1;
    t.shape[3] = 2;
    t.strides[0] = 8;
    t.strides[1] = 2;
    t.strides[2] = 2;
    t.strides[3] = 1;
    test_assert_ok(load(&f, "w", 0, 0, &t), &f.err);
    assert_memory_equal(data_of(&f, "w"), ((int32_t[]){4, 5, 6, 7, 12, 13, 14, 15}), 32);
    t.strides[1] = 4;
    f.params.items[0]->written[0] = 0;
    test_assert_error(load(&f, "w", 0, 0, &t), &f.err, DLQ_EINVAL, "expected row-major data");
    end(&f);
}

// A [2, 2, 4, 2] tensor cut along its third dimension; the outer two are walked one by one.
static void
outer_dimensions_are_walked_with_and_without_a_cast(void **state)
{
    (void)state;
    for (int cast = 0; cast < 2; ++cast) {
        struct fixture f;
        begin(&f, 2, false, (const int64_t[]){4}, 1, 1, 2);
        struct dlq_param_desc d = describe("w", cast ? DLQ_F32 : DLQ_I32, 2, 2);
        d.flags = cast ? DLQ_PARAM_CAST : 0u;
        d.ndim = 4;
        d.shape[2] = 2;
        d.shape[3] = 2;
        d.output_dim = 2;
        d.input_dim = 3;
        test_assert_ok(declare(&f, &d), &f.err);
        int32_t full[32];
        count_up(full, 32);
        struct dlq_tensor t = tensor(DLQ_I32, 2, 2, 2, full);
        const int64_t shape[] = {2, 2, 4, 2};
        const int64_t strides[] = {16, 8, 2, 1};
        t.ndim = 4;
        memcpy(t.shape, shape, sizeof(shape));
        memcpy(t.strides, strides, sizeof(strides));
        test_assert_ok(load(&f, "w", 0, 0, &t), &f.err);
        for (int i = 0; i < 16; ++i) {
            const int32_t expected = i / 4 * 8 + 4 + i % 4;
            if (cast) {
                assert_true(((const float *)data_of(&f, "w"))[i] == (float)expected);
            } else {
                assert_int_equal(((const int32_t *)data_of(&f, "w"))[i], expected);
            }
        }
        end(&f);
    }
}

static void
every_floating_point_type_knows_what_is_not_finite(void **state)
{
    (void)state;
    static const struct {
        uint32_t dtype;
        uint64_t good, bad;
    } cases[] = {
        {DLQ_F16, 0x7BFF, 0xFC00},         {DLQ_BF16, 0x7F7F, 0x7FC0},
        {DLQ_F32, 0x7F7FFFFF, 0x7F800000}, {DLQ_F64, 0x7FEFFFFFFFFFFFFF, 0xFFF0000000000000},
        {DLQ_F8_E4M3, 0x7E, 0xFF},         {DLQ_F8_E5M2, 0x7B, 0xFC},
        {DLQ_F8_E4M3FNUZ, 0x7F, 0x80},     {DLQ_F8_E5M2FNUZ, 0x7F, 0x80},
        {DLQ_F8_E8M0, 0xFE, 0xFF},
    };
    for (size_t i = 0; i < TEST_COUNT(cases); ++i) {
        struct fixture f;
        begin(&f, 1, false, (const int64_t[]){1}, 1, 0, 1);
        const struct dlq_param_desc d =
            describe_vector("s", cases[i].dtype, 1, DLQ_PARAM_FINITE | DLQ_PARAM_LAST_WRITE_OK);
        test_assert_ok(declare(&f, &d), &f.err);
        const struct dlq_tensor good = tensor(cases[i].dtype, 1, 0, 1, &cases[i].good);
        const struct dlq_tensor bad = tensor(cases[i].dtype, 1, 0, 1, &cases[i].bad);
        test_assert_ok(load(&f, "s", 0, 0, &good), &f.err);
        test_assert_error(load(&f, "s", 0, 0, &bad), &f.err, DLQ_EINVAL,
                          "element [0] is not finite");
        // What was written before does not count any more.
        test_assert_error(dlq_params_check(&f.params, &f.err), &f.err, DLQ_EINCOMPLETE, "'s'");
        end(&f);
    }
}

static void
replicated_value_must_be_finite_too(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 2, false, (const int64_t[]){8, 4}, 2, 0, 1);
    const struct dlq_param_desc d =
        describe_vector("input_scale", DLQ_F32, 1, DLQ_PARAM_REPLICATED | DLQ_PARAM_FINITE);
    test_assert_ok(declare(&f, &d), &f.err);
    const float bad = NAN;
    const struct dlq_tensor t = tensor(DLQ_F32, 1, 0, 1, &bad);
    test_assert_error(load(&f, "input_scale", 0, 1, &t), &f.err, DLQ_EINVAL, "is not finite");
    end(&f);
}

static void
empty_parameter_takes_an_empty_tensor(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 2, false, (const int64_t[]){4}, 1, 0, 1);
    const struct dlq_param_desc d = describe_vector("g_idx", DLQ_I32, 0, 0);
    test_assert_ok(declare(&f, &d), &f.err);
    const struct dlq_tensor t = tensor(DLQ_I32, 1, 0, 0, NULL);
    test_assert_ok(load(&f, "g_idx", 0, 0, &t), &f.err);
    test_assert_ok(dlq_params_check(&f.params, &f.err), &f.err);
    end(&f);
}

static void
sizes_that_overflow_are_refused(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 1, false, (const int64_t[]){INT64_MAX / 2}, 1, 0, 1);
    struct dlq_param_desc d = describe_3bit(1);
    d.packed_dim = 0;
    test_assert_error(declare(&f, &d), &f.err, DLQ_EOVERFLOW,
                      "layer 'l': parameter 'weight_packed': sizes overflow 64 bits");
    end(&f);
}

static int32_t
declare_and_load(void *ctx, struct test_allocator *t, struct dlq_error *err)
{
    (void)ctx;
    struct fixture f;
    begin(&f, 2, false, (const int64_t[]){4, 4}, 2, 0, 1);
    f.params.alloc = &t->a;
    struct dlq_param_desc d = describe("w", DLQ_F32, 8, 2);
    d.flags = DLQ_PARAM_CAST | DLQ_PARAM_SENTINEL;
    int32_t rc = dlq_params_declare(&f.params, &d, NULL, err);
    const uint16_t half[16] = {0};
    const struct dlq_tensor src = tensor(DLQ_F16, 2, 8, 2, half);
    const struct dlq_param_source source = {&src, "t", NULL, 0, 1};
    if (rc == DLQ_OK) {
        rc = dlq_params_load(&f.params, f.params.items[0], &source, err);
    }
    end(&f);
    return rc;
}

static void
failed_allocations_leak_nothing(void **state)
{
    (void)state;
    assert_true(test_each_allocation_fails(declare_and_load, NULL) >= 5);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(column_rank_gets_its_rows),
        cmocka_unit_test(row_rank_gets_its_columns),
        cmocka_unit_test(merged_parts_lie_side_by_side_from_parts_or_fused),
        cmocka_unit_test(partly_fused_tensor_begins_at_its_own_first_part),
        cmocka_unit_test(packed_outputs_are_cut_in_words),
        cmocka_unit_test(part_that_starts_inside_a_word_is_refused_at_declaration),
        cmocka_unit_test(fractional_words_are_cut_exactly_or_refused),
        cmocka_unit_test(cut_that_needs_a_finer_group_says_which),
        cmocka_unit_test(refined_groups_repeat_the_checkpoints),
        cmocka_unit_test(refined_rows_repeat_packed_rows_too),
        cmocka_unit_test(block_scales_of_a_ragged_part_are_refined_or_refused),
        cmocka_unit_test(last_block_may_be_ragged_without_a_cut),
        cmocka_unit_test(slots_take_scalars_of_each_part),
        cmocka_unit_test(fused_scalar_fills_the_slots_of_its_parts),
        cmocka_unit_test(slot_refuses_more_than_one_element),
        cmocka_unit_test(replicated_values_of_all_parts_must_agree),
        cmocka_unit_test(last_write_stays_where_it_is_allowed),
        cmocka_unit_test(second_write_is_refused),
        cmocka_unit_test(wrong_shape_names_tensor_file_shapes_and_slice),
        cmocka_unit_test(other_dtype_needs_the_cast_flag),
        cmocka_unit_test(cast_goes_through_a_bounded_buffer),
        cmocka_unit_test(value_that_a_cast_cannot_hold_is_an_error),
        cmocka_unit_test(element_that_is_not_finite_is_named_by_its_index),
        cmocka_unit_test(cast_that_overflows_is_not_finite),
        cmocka_unit_test(vector_stands_for_a_column_where_allowed),
        cmocka_unit_test(scalar_stands_for_one_element_where_allowed),
        cmocka_unit_test(sentinel_fills_storage_until_it_is_loaded),
        cmocka_unit_test(optional_parameter_has_storage_once_it_is_loaded),
        cmocka_unit_test(missing_parameters_are_listed_with_their_parts),
        cmocka_unit_test(replaced_storage_is_freed_and_dropped_storage_gone),
        cmocka_unit_test(plan_records_descriptors_without_memory),
        cmocka_unit_test(declaration_that_makes_no_sense_is_refused),
        cmocka_unit_test(higher_dimensions_are_cut_in_the_middle),
        cmocka_unit_test(outer_dimensions_are_walked_with_and_without_a_cast),
        cmocka_unit_test(every_floating_point_type_knows_what_is_not_finite),
        cmocka_unit_test(replicated_value_must_be_finite_too),
        cmocka_unit_test(empty_parameter_takes_an_empty_tensor),
        cmocka_unit_test(sizes_that_overflow_are_refused),
        cmocka_unit_test(failed_allocations_leak_nothing),
    };
    return cmocka_run_group_tests_name("params", tests, NULL, NULL);
}
