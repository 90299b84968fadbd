// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "params_fixture.h"

#include "alloc.h"
#include "shard.h"

#include <stdlib.h>
#include <string.h>

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
    ++((struct params_fixture *)ctx)->uploads;
    for (size_t i = 0; i < rows; ++i) {
        memcpy((char *)dst + i * dst_pitch, (const char *)src + i * src_pitch, width);
    }
    return DLQ_OK;
}

// Backwards, as threads may finish.
static void
store_parallel(void *ctx, int32_t n_tasks, void (*fn)(void *arg, int32_t task), void *arg)
{
    ((struct params_fixture *)ctx)->tasks += n_tasks;
    for (int32_t i = n_tasks - 1; i >= 0; --i) {
        fn(arg, i);
    }
}

void
params_begin(struct params_fixture *f, int64_t k, bool split_k, const int64_t *sizes,
             int32_t n_parts, int32_t rank, int32_t ranks)
{
    static const char *const tags[] = {"0", "1", "2"};
    *f = (struct params_fixture){.err = DLQ_ERROR_INIT};
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
    const struct dlq_param_store store = {
        .ctx = f,
        .alloc = store_alloc,
        .free = store_free,
        .upload = store_upload,
        .parallel = store_parallel,
    };
    dlq_params_init(&f->params, &f->info, &dlq_system_allocator, &store);
}

void
params_end(struct params_fixture *f)
{
    dlq_params_clear(&f->params);
}

struct dlq_param_desc
params_describe(const char *name, uint32_t dtype, int64_t rows, int64_t cols)
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

struct dlq_tensor
params_tensor(uint32_t dtype, int32_t ndim, int64_t rows, int64_t cols, const void *data)
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

int32_t
params_declare(struct params_fixture *f, const struct dlq_param_desc *desc)
{
    return dlq_params_declare(&f->params, desc, NULL, &f->err);
}

int32_t
params_load(struct params_fixture *f, const char *name, int32_t first, int32_t last,
            const struct dlq_tensor *t)
{
    const struct dlq_param_source source = {
        .tensor = t, .name = "m.l.tensor", .file = "a.safetensors", .first = first, .last = last};
    return dlq_params_load(&f->params, dlq_params_find(&f->params, name), &source, &f->err);
}

const void *
params_data(struct params_fixture *f, const char *name)
{
    struct dlq_tensor view = {.struct_size = sizeof(view)};
    test_assert_ok(dlq_params_get(&f->params, name, &view, &f->err), &f->err);
    return view.data;
}

void
params_count_up(int32_t *values, int32_t n)
{
    for (int32_t i = 0; i < n; ++i) {
        values[i] = i;
    }
}

struct dlq_param_desc
params_describe_awq(const char *name, int64_t k, int64_t words, int64_t block, int64_t ckpt_block)
{
    struct dlq_param_desc d = params_describe(name, DLQ_I32, k, words);
    d.input_dim = 0;
    d.output_dim = 1;
    d.packed_dim = 1;
    d.pack_num = 8;
    d.pack_den = 1;
    d.block[0] = block;
    d.ckpt_block[0] = ckpt_block;
    return d;
}

struct dlq_param_desc
params_describe_3bit(int64_t words)
{
    struct dlq_param_desc d = params_describe("weight_packed", DLQ_I32, 1, words);
    d.packed_dim = 1;
    d.pack_num = 32;
    d.pack_den = 3;
    return d;
}

struct dlq_param_desc
params_describe_bits(int64_t rows, int64_t cols, int32_t dim, int32_t bits, bool padded)
{
    struct dlq_param_desc d = params_describe("weight_packed", DLQ_I32, rows, cols);
    d.flags = DLQ_PARAM_LSB_FIRST;
    d.packed_dim = dim;
    d.pack_num = padded ? 32 / bits : 32;
    d.pack_den = padded ? 1 : bits;
    d.pack_bits = bits;
    return d;
}

struct dlq_param_desc
params_describe_slots(int32_t n, uint32_t flags)
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

struct dlq_param_desc
params_describe_vector(const char *name, uint32_t dtype, int64_t n, uint32_t flags)
{
    struct dlq_param_desc d = params_describe_slots(0, flags);
    d.name = name;
    d.dtype = dtype;
    d.shape[0] = n;
    return d;
}
