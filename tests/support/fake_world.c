// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "fake_plugin.h"
#include "support.h"

#include <stdio.h>
#include <string.h>

static void
collect(void *ctx, int32_t level, const char *line)
{
    struct fake_world *const w = ctx;
    const size_t n = strlen(w->log);
    snprintf(w->log + n, sizeof(w->log) - n, "%d %s\n", level, line);
}

void
fake_world_begin(struct fake_world *w)
{
    const char *const module_dir = fake.module_dir;
    memset(&fake, 0, sizeof(fake));
    fake.module_dir = module_dir;
    *w = (struct fake_world){.err = DLQ_ERROR_INIT};
    test_assert_ok(fake_runtime(NULL, collect, w, &w->rt, &w->err), &w->err);
}

void
fake_world_end(struct fake_world *w)
{
    dlq_runtime_destroy(w->rt);
    assert_int_equal(fake.methods, 0);
    assert_int_equal(fake.configs, 0);
}

struct dlq_linear_desc
fake_desc(const char *prefix, int64_t k, int64_t n)
{
    return (struct dlq_linear_desc){
        .struct_size = sizeof(struct dlq_linear_desc),
        .prefix = prefix,
        .input_size = k,
        .output_size = n,
        .act_dtype = DLQ_F32,
    };
}

struct dlq_tensor
fake_tensor(uint32_t dtype, int64_t rows, int64_t cols, const void *data)
{
    return (struct dlq_tensor){
        .struct_size = DLQ_SIZE_UPTO(struct dlq_tensor, strides),
        .dtype = dtype,
        .data = (void *)(uintptr_t)data,
        .device = {.kind = DLQ_DEVICE_CPU},
        .ndim = rows == 0   ? 0
                : cols == 0 ? 1
                            : 2,
        .shape = {rows, cols},
        .strides = {cols == 0 ? 1 : cols, 1},
    };
}

struct dlq_linear_desc
fake_on_rank(struct dlq_linear_desc d, int32_t rank, int32_t size)
{
    d.tp_rank = rank;
    d.tp_size = size;
    return d;
}

struct dlq_linear_desc
fake_qkv_desc(int32_t heads, int32_t kv_heads, int32_t head_size)
{
    struct dlq_linear_desc d = fake_desc("m.self_attn.qkv_proj", 4, 0);
    d.head_size = head_size;
    d.total_num_heads = heads;
    d.total_num_kv_heads = kv_heads;
    return d;
}

// Create, expecting success.
dlq_linear *
fake_made(struct fake_world *w, fake_create_fn create, const struct dlq_linear_desc *desc)
{
    dlq_linear *layer = NULL;
    test_assert_ok(create(w->rt, desc, &layer, &w->err), &w->err);
    return layer;
}

void
fake_refused(struct fake_world *w, fake_create_fn create, const struct dlq_linear_desc *desc,
             int32_t code, const char *text)
{
    dlq_linear *layer = NULL;
    test_assert_error(create(w->rt, desc, &layer, &w->err), &w->err, code, text);
    assert_null(layer);
}

dlq_linear *
fake_merged(struct fake_world *w, const char *prefix, uint32_t flags)
{
    static const int64_t sizes[] = {4, 2};
    struct dlq_linear_desc d = fake_desc(prefix, 2, 0);
    d.output_sizes = sizes;
    d.n_output_sizes = 2;
    d.flags = flags;
    dlq_linear *layer = NULL;
    test_assert_ok(dlq_linear_merged_create(w->rt, &d, &layer, &w->err), &w->err);
    return layer;
}
