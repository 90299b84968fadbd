// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "model.h"

#include "support.h"

#include "float16.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// --- Data ---

static uint32_t
next(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

// Kinds of values that a tensor of the checkpoint has.
enum fill { TERNARY, WORDS, SCALES, INDICES };

static void *
fill_data(enum fill fill, int64_t count, int64_t limit, uint32_t *seed)
{
    int32_t *const words = calloc((size_t)count, 4);
    float *const floats = (float *)words;
    for (int64_t i = 0; i < count; ++i) {
        switch (fill) {
        case TERNARY:
            floats[i] = (float)(next(seed) % 3) - 1;
            break;
        case WORDS:
            words[i] = (int32_t)(next(seed) << 16 ^ next(seed));
            break;
        case SCALES:
            floats[i] = (float)(1 + next(seed) % 3);
            break;
        case INDICES:
            words[i] = (int32_t)(next(seed) % (uint32_t)limit);
            break;
        }
    }
    return words;
}

static void
add(struct model *m, const char *name, int32_t part, struct dlq_tensor tensor)
{
    assert_true(m->n_tensors < MODEL_TENSORS);
    m->tensors[m->n_tensors++] = (struct model_tensor){
        name, m->desc.fused || m->n_parts == 1 ? dlq_part_fused() : dlq_part_index(part), tensor};
}

static int64_t
ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

// The tensors of one part, or of all of them when `n` outputs are all.
static void
add_part(struct model *m, int32_t part, int64_t n, uint32_t *seed)
{
    const struct model_desc *const d = &m->desc;
    const int64_t k = d->k;
    if (!d->scheme || strcmp(d->scheme, "plain") == 0) {
        add(m, "weight", part, fake_tensor(DLQ_F32, n, k, fill_data(TERNARY, n * k, 0, seed)));
        return;
    }
    const int64_t groups = ceil_div(k, d->group);
    if (strcmp(d->scheme, "packed_n") == 0) {
        add(m, "qweight", part,
            fake_tensor(DLQ_I32, k, n / 8, fill_data(WORDS, k * n / 8, 0, seed)));
        add(m, "qzeros", part,
            fake_tensor(DLQ_I32, groups, n / 8, fill_data(WORDS, groups * n / 8, 0, seed)));
        add(m, "scales", part,
            fake_tensor(DLQ_F32, groups, n, fill_data(SCALES, groups * n, 0, seed)));
        return;
    }
    const int64_t words = ceil_div(k, 8);
    add(m, "weight_packed", part,
        fake_tensor(DLQ_I32, n, words, fill_data(WORDS, n * words, 0, seed)));
    add(m, "weight_scale", part,
        fake_tensor(DLQ_F32, n, groups, fill_data(SCALES, n * groups, 0, seed)));
    add(m, "global_scale", part, fake_tensor(DLQ_F32, 0, 0, fill_data(SCALES, 1, 0, seed)));
    int64_t *const shape = calloc(2, sizeof(*shape));
    shape[0] = n;
    shape[1] = k;
    add(m, "weight_shape", part, fake_tensor(DLQ_I64, 2, 0, shape));
    uint32_t same = 7;
    add(m, "input_scale", part, fake_tensor(DLQ_F32, 1, 0, fill_data(SCALES, 1, 0, &same)));
    if (strcmp(d->scheme, "act_order") == 0) {
        add(m, "weight_g_idx", part,
            fake_tensor(DLQ_I32, k, 0, fill_data(INDICES, k, groups, &same)));
    }
}

static void
take_sizes(struct model *m)
{
    const struct model_desc *const d = &m->desc;
    memcpy(m->sizes, d->sizes, sizeof(m->sizes));
    if (d->kind == DLQ_QKV) {
        m->sizes[0] = d->heads * d->head_size;
        m->sizes[1] = d->kv_heads * d->head_size;
        m->sizes[2] = d->kv_heads * (d->v_head_size ? d->v_head_size : d->head_size);
    }
    while (m->n_parts < MODEL_PARTS && m->sizes[m->n_parts] > 0) {
        m->n += m->sizes[m->n_parts++];
    }
}

void
model_init(struct model *m, const struct model_desc *desc, int64_t rows, uint32_t seed)
{
    *m = (struct model){.desc = *desc, .rows = rows};
    take_sizes(m);
    if (desc->fused) {
        add_part(m, 0, m->n, &seed);
    } else {
        for (int32_t i = 0; i < m->n_parts; ++i) {
            add_part(m, i, m->sizes[i], &seed);
        }
    }
    if (desc->flags & DLQ_LINEAR_BIAS) {
        m->bias = fill_data(SCALES, m->n, 0, &seed);
    }
    m->x = fill_data(TERNARY, rows * desc->k, 0, &seed);
}

void
model_free(struct model *m)
{
    for (int32_t i = 0; i < m->n_tensors; ++i) {
        free(m->tensors[i].tensor.data);
    }
    free(m->bias);
    free(m->x);
}

bool
model_divides(const struct model *m, int32_t ranks)
{
    const struct model_desc *const d = &m->desc;
    if (d->kind == DLQ_ROW) {
        return d->k % ranks == 0;
    }
    if (d->kind == DLQ_QKV) {
        return d->heads % ranks == 0 &&
               (ranks >= d->kv_heads ? ranks % d->kv_heads == 0 : d->kv_heads % ranks == 0);
    }
    bool ok = true;
    for (int32_t i = 0; i < m->n_parts; ++i) {
        ok = ok && m->sizes[i] % ranks == 0;
    }
    return ok;
}

// --- Layers ---

static void
load(const struct model *m, dlq_linear *layer, struct dlq_error *err)
{
    // Last first: the order of tensors means nothing.
    for (int32_t i = m->n_tensors - 1; i >= 0; --i) {
        const struct model_tensor *const t = &m->tensors[i];
        test_assert_ok(dlq_linear_load_tensor(layer, t->name, t->part, &t->tensor, err), err);
    }
    if (m->bias) {
        const struct dlq_tensor t = fake_tensor(DLQ_F32, m->n, 0, m->bias);
        test_assert_ok(dlq_linear_load_tensor(layer, "bias", dlq_part_fused(), &t, err), err);
    }
    test_assert_ok(dlq_linear_process(layer, err), err);
}

dlq_linear *
model_make(const struct model *m, struct fake_world *w, dlq_quant_config *config,
           const struct dlq_collective *coll)
{
    const struct model_desc *const d = &m->desc;
    static int32_t (*const create[])(dlq_runtime *, const struct dlq_linear_desc *, dlq_linear **,
                                     struct dlq_error *) = {
        [DLQ_REPLICATED] = dlq_linear_replicated_create,
        [DLQ_COLUMN] = dlq_linear_column_create,
        [DLQ_ROW] = dlq_linear_row_create,
        [DLQ_MERGED_COLUMN] = dlq_linear_merged_create,
        [DLQ_QKV] = dlq_linear_qkv_create,
    };
    struct dlq_linear_desc desc = fake_desc("m.layer", d->k, 0);
    if (d->kind == DLQ_ROW) {
        desc.output_size = m->n;
    } else if (d->kind != DLQ_QKV) {
        desc.output_sizes = m->sizes;
        desc.n_output_sizes = m->n_parts;
    }
    desc.total_num_heads = d->heads;
    desc.total_num_kv_heads = d->kv_heads;
    desc.head_size = d->head_size;
    desc.v_head_size = d->v_head_size;
    desc.flags = d->flags;
    desc.act_dtype = d->dtype ? d->dtype : (uint32_t)DLQ_F32;
    desc.config = config;
    desc.collective = coll;
    desc.partition = m->partition;
    dlq_linear *layer = NULL;
    test_assert_ok(create[d->kind](w->rt, &desc, &layer, &w->err), &w->err);
    load(m, layer, &w->err);
    return layer;
}

// --- Running ---

struct rank {
    pthread_t thread;
    dlq_linear *layer;
    struct dlq_linear_io io;
    void *x, *y;
    int32_t rc;
    struct dlq_error err;
};

static void *
run_rank(void *arg)
{
    struct rank *const r = arg;
    r->rc = dlq_linear_apply(r->layer, &r->io, &r->err);
    return NULL;
}

// x as the layer reads it: all of it, or this rank's columns.
static void
begin_rank(const struct model *m, int32_t index, struct rank *r)
{
    const struct dlq_layer_info *const info = dlq_linear_info(r->layer);
    const uint32_t dtype = info->act_dtype;
    const int64_t es = DLQ_DTYPE_BITS(dtype) / 8;
    const int64_t k = dlq_linear_x_size(r->layer);
    const int64_t skip = k == m->desc.k ? 0 : info->input_offset;
    const int64_t stride = dlq_linear_y_size(r->layer) + index;
    r->x = malloc((size_t)(m->rows * k * es));
    r->y = malloc((size_t)(m->rows * stride * es));
    for (int64_t i = 0; i < m->rows; ++i) {
        dlq_cast(dtype, (char *)r->x + i * k * es, DLQ_F32, m->x + i * m->desc.k + skip, (size_t)k);
    }
    const size_t size = dlq_linear_workspace_size(r->layer, m->rows);
    r->err = (struct dlq_error)DLQ_ERROR_INIT;
    r->io = (struct dlq_linear_io){
        .struct_size = sizeof(r->io),
        .m = m->rows,
        .x = r->x,
        .y = r->y,
        .y_stride = stride,
        .workspace = size > 0 ? aligned_alloc(256, (size + 255) / 256 * 256) : NULL,
        .workspace_size = size,
    };
}

// Put one value of a rank into the whole, or check that it is there already.
static void
merge(float *whole, bool *seen, int64_t at, float value)
{
    if (seen[at] && whole[at] != value) {
        fail_msg("column %lld: a rank has %g, another %g", (long long)at, value, whole[at]);
    }
    whole[at] = value;
    seen[at] = true;
}

static void
end_rank(const struct model *m, struct rank *r, float *y, bool *seen)
{
    const struct dlq_layer_info *const info = dlq_linear_info(r->layer);
    const int64_t es = DLQ_DTYPE_BITS(info->act_dtype) / 8;
    const bool full = dlq_linear_y_size(r->layer) == m->n;
    for (int64_t i = 0; i < m->rows; ++i) {
        for (int32_t p = 0; p < info->n_parts; ++p) {
            const struct dlq_part *const part = info->parts[p];
            const int64_t len = full ? part->full_size : part->local_size;
            const int64_t from = full ? part->full_offset : part->local_offset;
            const int64_t to = part->full_offset + (full ? 0 : part->source_offset);
            for (int64_t c = 0; c < len; ++c) {
                float value = 0;
                dlq_cast(DLQ_F32, &value, info->act_dtype,
                         (char *)r->y + (i * r->io.y_stride + from + c) * es, 1);
                merge(y, seen, i * m->n + to + c, value);
            }
        }
    }
    free(r->x);
    free(r->y);
    free(r->io.workspace);
    dlq_linear_destroy(r->layer);
}

void
model_run(const struct model *m, int32_t ranks, float *y)
{
    struct fake_world w;
    fake_world_begin(&w);
    fake.workspace = 40;
    dlq_quant_config *config = NULL;
    if (m->desc.scheme) {
        test_assert_ok(fake_config(w.rt, m->desc.scheme, m->desc.group, &config, &w.err), &w.err);
    }
    dlq_collective_threads *group = NULL;
    test_assert_ok(dlq_collective_threads_create(w.rt, ranks, 20000, &group, &w.err), &w.err);
    struct rank *const all = calloc((size_t)ranks, sizeof(*all));
    for (int32_t r = 0; r < ranks; ++r) {
        all[r].layer = model_make(m, &w, config, dlq_collective_threads_get(group, r));
        begin_rank(m, r, &all[r]);
    }
    for (int32_t r = 0; r < ranks; ++r) {
        assert_int_equal(pthread_create(&all[r].thread, NULL, run_rank, &all[r]), 0);
    }
    for (int32_t r = 0; r < ranks; ++r) {
        pthread_join(all[r].thread, NULL);
    }
    bool *const seen = calloc((size_t)(m->rows * m->n), sizeof(*seen));
    for (int32_t r = 0; r < ranks; ++r) {
        test_assert_ok(all[r].rc, &all[r].err);
        end_rank(m, &all[r], y, seen);
    }
    for (int64_t i = 0; i < m->rows * m->n; ++i) {
        assert_true(seen[i]);
    }
    free(seen);
    free(all);
    dlq_collective_threads_destroy(group);
    dlq_quant_config_destroy(config);
    fake_world_end(&w);
}
