// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "alloc.h"
#include "error.h"
#include "linear_internal.h"
#include "linear_make.h"
#include "shard.h"

#include <stdio.h>
#include <string.h>

// Parts that engines fuse and checkpoints hold apart, by the last component of the fused path.
static const struct {
    const char *fused;
    const char *parts[4];
} default_names[] = {
    {"qkv_proj", {"q_proj", "k_proj", "v_proj"}},
    {"gate_up_proj", {"gate_proj", "up_proj"}},
};

static const char *
last_component(const char *path)
{
    const char *const dot = strrchr(path, '.');
    return dot ? dot + 1 : path;
}

static int32_t
count_names(const char *const *names)
{
    int32_t n = 0;
    while (names[n]) {
        ++n;
    }
    return n;
}

// The names of the parts, or NULL for a layer whose parts have no paths of their own.
static int32_t
find_names(const struct dlq_linear_setup *setup, const char *const **names, struct dlq_error *err)
{
    const struct dlq_linear_desc *const d = &setup->desc;
    *names = NULL;
    if (d->part_names) {
        if (count_names(d->part_names) != setup->n_parts) {
            return dlq_fail(err, DLQ_EINVAL, "layer '%s': part_names: expected %d, found %d",
                            d->prefix, setup->n_parts, count_names(d->part_names));
        }
        *names = d->part_names;
        return DLQ_OK;
    }
    const char *const last = last_component(d->prefix);
    for (size_t i = 0; i < sizeof(default_names) / sizeof(*default_names); ++i) {
        if (strcmp(last, default_names[i].fused) == 0 &&
            count_names(default_names[i].parts) == setup->n_parts) {
            *names = default_names[i].parts;
        }
    }
    return DLQ_OK;
}

// Write the text behind *pool, or only count it while there is none.
static char *
put(char *pool, size_t *used, const char *head, size_t head_len, const char *tail)
{
    char *const text = pool ? pool + *used : NULL;
    const size_t tail_len = strlen(tail);
    if (text) {
        memcpy(text, head, head_len);
        memcpy(text + head_len, tail, tail_len + 1);
    }
    *used += head_len + tail_len + 1;
    return text;
}

// All strings of a layer in one block; with `pool` NULL only its size.
static size_t
put_strings(struct dlq_layer *layer, const struct dlq_linear_setup *setup, const char *const *names,
            char *pool)
{
    size_t used = 0;
    const char *const prefix = setup->desc.prefix;
    layer->prefix = put(pool, &used, prefix, strlen(prefix), "");
    const size_t parent = (size_t)(last_component(prefix) - prefix);
    for (int32_t i = 0; i < setup->n_parts; ++i) {
        char index[16];
        snprintf(index, sizeof(index), "%d", i);
        layer->parts[i].tag = put(pool, &used, "", 0, setup->tags ? setup->tags[i] : index);
        layer->parts[i].prefix = names ? put(pool, &used, prefix, parent, names[i]) : layer->prefix;
    }
    return used;
}

static int32_t
name_parts(struct dlq_layer *layer, const struct dlq_linear_setup *setup, struct dlq_error *err)
{
    const char *const *names;
    const int32_t rc = find_names(setup, &names, err);
    if (rc != DLQ_OK) {
        return rc;
    }
    char *const pool = dlq_alloc(layer->alloc, put_strings(layer, setup, names, NULL));
    if (!pool) {
        return DLQ_ENOMEM;
    }
    put_strings(layer, setup, names, pool);
    layer->named_parts = names != NULL;
    return DLQ_OK;
}

static int32_t
allocate(struct dlq_layer *layer, const struct dlq_linear_setup *setup)
{
    const size_t n = (size_t)setup->n_parts;
    const size_t bounds = (size_t)setup->ranks + 1;
    layer->parts = dlq_calloc(layer->alloc, n, sizeof(*layer->parts));
    layer->full_parts = dlq_calloc(layer->alloc, n, sizeof(*layer->full_parts));
    layer->part_ptrs = dlq_calloc(layer->alloc, n, sizeof(*layer->part_ptrs));
    layer->full_ptrs = dlq_calloc(layer->alloc, n, sizeof(*layer->full_ptrs));
    layer->input_bounds = dlq_calloc(layer->alloc, bounds, sizeof(*layer->input_bounds));
    layer->part_bounds = dlq_calloc(layer->alloc, n * bounds, sizeof(*layer->part_bounds));
    layer->rank_outputs = dlq_calloc(layer->alloc, bounds, sizeof(*layer->rank_outputs));
    return layer->parts && layer->full_parts && layer->part_ptrs && layer->full_ptrs &&
                   layer->input_bounds && layer->part_bounds && layer->rank_outputs
               ? DLQ_OK
               : DLQ_ENOMEM;
}

static int32_t
place_parts(struct dlq_layer *layer, const struct dlq_linear_setup *setup, int32_t rank,
            int32_t ranks, struct dlq_error *err)
{
    const char *const prefix = setup->desc.prefix;
    if (ranks > 1 && setup->bounds) {
        return dlq_shard_parts_cut(prefix, setup->bounds, rank, ranks, setup->heads, layer->parts,
                                   setup->n_parts, err);
    }
    return dlq_shard_parts(prefix, ranks > 1 ? rank : 0, ranks, layer->parts, setup->n_parts, err);
}

// Where every rank's outputs lie inside each part, for gathering them.
static int32_t
bound_parts(struct dlq_layer *layer, const struct dlq_linear_setup *setup, int32_t ranks,
            struct dlq_error *err)
{
    const int32_t n = setup->n_parts;
    int32_t rc = DLQ_OK;
    for (int32_t r = 0; r < setup->ranks && rc == DLQ_OK; ++r) {
        rc = place_parts(layer, setup, r, ranks, err);
        for (int32_t p = 0; p < n && rc == DLQ_OK; ++p) {
            int64_t *const bounds = layer->part_bounds + (int64_t)p * (setup->ranks + 1);
            bounds[r] = layer->parts[p].source_offset;
            bounds[setup->ranks] = layer->parts[p].full_size;
            layer->rank_outputs[r] += layer->parts[p].local_size;
        }
    }
    return rc == DLQ_OK ? place_parts(layer, setup, setup->rank, ranks, err) : rc;
}

// Inputs are split for a row layer; all others see them whole on every rank.
static int32_t
bound_inputs(struct dlq_layer *layer, const struct dlq_linear_setup *setup, struct dlq_error *err)
{
    struct dlq_layer_info *const info = &layer->info;
    int64_t *const bounds = layer->input_bounds;
    if (setup->kind == DLQ_ROW) {
        const char *const prefix = setup->desc.prefix;
        const int32_t rc = setup->bounds ? dlq_shard_cut(prefix, "inputs", info->input_size,
                                                         setup->bounds, setup->ranks, bounds, err)
                                         : dlq_shard_even(prefix, "inputs", info->input_size,
                                                          setup->ranks, bounds, err);
        if (rc != DLQ_OK) {
            return rc;
        }
        info->input_offset = bounds[setup->rank];
        info->input_size_per_partition = bounds[setup->rank + 1] - bounds[setup->rank];
    } else {
        for (int32_t r = 1; r <= setup->ranks; ++r) {
            bounds[r] = info->input_size;
        }
        info->input_size_per_partition = info->input_size;
    }
    return DLQ_OK;
}

static void
set_info(struct dlq_layer *layer, const struct dlq_linear_setup *setup)
{
    struct dlq_layer_info *const info = &layer->info;
    const struct dlq_linear_desc *const d = &setup->desc;
    info->struct_size = DLQ_SIZE_UPTO(struct dlq_layer_info, max_m);
    info->kind = setup->kind;
    info->class_name = setup->class_name;
    info->input_size = d->input_size;
    info->input_bounds = layer->input_bounds;
    info->parts = layer->part_ptrs;
    info->n_parts = setup->n_parts;
    info->tp_rank = setup->rank;
    info->tp_size = setup->ranks;
    info->params_dtype = d->params_dtype;
    info->act_dtype = d->act_dtype;
    info->has_bias = (d->flags & DLQ_LINEAR_BIAS) != 0;
    info->max_m = d->max_m;
}

int32_t
dlq_layer_make_parts(struct dlq_layer *layer, const struct dlq_linear_setup *setup,
                     struct dlq_error *err)
{
    struct dlq_layer_info *const info = &layer->info;
    int32_t rc = allocate(layer, setup);
    if (rc == DLQ_OK) {
        set_info(layer, setup);
        rc = name_parts(layer, setup, err);
    }
    if (rc == DLQ_ENOMEM) {
        return dlq_fail(err, rc, "layer '%s': no memory", setup->desc.prefix);
    }
    if (rc == DLQ_OK) {
        info->prefix = layer->prefix;
        for (int32_t i = 0; i < setup->n_parts; ++i) {
            struct dlq_part *const part = &layer->parts[i];
            part->struct_size = DLQ_SIZE_UPTO(struct dlq_part, source_offset);
            part->full_size = setup->sizes[i];
            part->replicas = setup->replicas ? setup->replicas[i] : 1;
            layer->part_ptrs[i] = part;
            layer->full_ptrs[i] = &layer->full_parts[i];
        }
        // Only the column kinds split their outputs.
        rc = bound_parts(layer, setup, setup->kind == DLQ_ROW ? 1 : setup->ranks, err);
    }
    if (rc == DLQ_OK) {
        rc = bound_inputs(layer, setup, err);
    }
    for (int32_t i = 0; i < setup->n_parts && rc == DLQ_OK; ++i) {
        const struct dlq_part *const part = &layer->parts[i];
        layer->full_parts[i] = *part;
        layer->full_parts[i].local_offset = part->full_offset;
        layer->full_parts[i].local_size = part->full_size;
        layer->full_parts[i].source_offset = 0;
        info->output_size_per_partition += part->local_size;
        info->ckpt_output_size += part->full_size;
    }
    info->output_size = setup->kind == DLQ_ROW ? info->ckpt_output_size : 0;
    for (int32_t r = 0; r < setup->ranks && setup->kind != DLQ_ROW; ++r) {
        info->output_size += layer->rank_outputs[r];
    }
    return rc;
}
