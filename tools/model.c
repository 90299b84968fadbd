// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "model.h"

#include "facts.h"
#include "modules.h"
#include "names.h"
#include "tool.h"

#include <stdlib.h>
#include <string.h>

static const char *
keep(struct tool_model *model, char *text)
{
    if (model->n_strings == model->strings_capacity) {
        const size_t capacity = model->strings_capacity ? 2 * model->strings_capacity : 256;
        char **strings = tool_alloc(capacity, sizeof(*strings));
        if (model->strings) {
            memcpy(strings, model->strings, model->n_strings * sizeof(*strings));
        }
        free(model->strings);
        model->strings = strings;
        model->strings_capacity = capacity;
    }
    model->strings[model->n_strings++] = text;
    return text;
}

static const char *
last_component(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot ? dot + 1 : path;
}

/// Whether two modules have tensors of the same names and dtypes, so that one method runs both.
static bool
same_tensors(const struct tool_module *a, const struct tool_module *b)
{
    if (a->n_entries != b->n_entries || a->k != b->k) {
        return false;
    }
    for (size_t i = 0; i < a->n_entries; ++i) {
        const struct tool_entry *x = &a->entries[i];
        const struct tool_entry *y = &b->entries[i];
        if (x->tensor->dtype != y->tensor->dtype || x->tensor->ndim != y->tensor->ndim ||
            strcmp(x->tensor->name + x->path_len, y->tensor->name + y->path_len) != 0) {
            return false;
        }
    }
    return true;
}

static void
set_heads(struct tool_layer *layer, const struct tool_heads *h)
{
    layer->kind = DLQ_QKV;
    layer->heads = (int32_t)h->heads;
    layer->kv_heads = (int32_t)h->kv_heads;
    layer->head_size = (int32_t)h->head_size;
    layer->v_head_size = (int32_t)h->v_head_size;
}

/// Make one layer of several modules; false when they do not go together.
static bool
fuse_modules(struct tool_model *model, const struct tool_facts *facts,
             const struct tool_modules *modules, struct tool_module *first,
             struct tool_layer *layer)
{
    const struct tool_fusion *fusion = tool_fusion_by_first(first->last);
    if (!fusion) {
        return false;
    }
    struct tool_module *parts[TOOL_MAX_PARTS] = {NULL};
    int32_t n = 0;
    for (; n < TOOL_MAX_PARTS && fusion->parts[n]; ++n) {
        parts[n] = n == 0 ? first : tool_modules_sibling(modules, first, fusion->parts[n]);
        if (!parts[n] || parts[n]->other || parts[n]->why || !same_tensors(first, parts[n])) {
            return false;
        }
    }
    *layer = (struct tool_layer){.kind = DLQ_MERGED_COLUMN, .n_parts = n, .k = first->k};
    if (n == 3) {
        const struct tool_heads *h = tool_facts_heads(facts, parts[0]->n, parts[1]->n, parts[2]->n);
        if (!h) {
            return false;
        }
        set_heads(layer, h);
    }
    char *prefix =
        tool_format("%.*s%s", (int)(first->last - first->path), first->path, fusion->fused);
    layer->prefix = keep(model, prefix);
    layer->label = last_component(layer->prefix);
    layer->has_bias = tool_module_tensor(first, "bias") != NULL;
    for (int32_t i = 0; i < n; ++i) {
        parts[i]->taken = 1;
        layer->part_names[i] = fusion->parts[i];
        layer->part_prefixes[i] = keep(model, tool_format("%s", parts[i]->path));
        layer->sizes[i] = parts[i]->n;
        layer->n += parts[i]->n;
        layer->bytes += parts[i]->bytes;
        layer->n_tensors += (int32_t)parts[i]->n_entries;
    }
    return true;
}

/// A module whose name says that several parts are one tensor on disk.
static void
split_on_disk(const struct tool_facts *facts, struct tool_layer *layer)
{
    const struct tool_fusion *fusion = tool_fusion_by_name(layer->label);
    if (!fusion) {
        return;
    }
    if (fusion->parts[2]) {
        const struct tool_heads *h = tool_facts_fused_heads(facts, layer->n);
        if (!h) {
            return;
        }
        set_heads(layer, h);
        layer->n_parts = 3;
        layer->sizes[0] = h->heads * h->head_size;
        layer->sizes[1] = h->kv_heads * h->head_size;
        layer->sizes[2] = h->kv_heads * h->v_head_size;
    } else if (layer->n % 2 == 0) {
        layer->kind = DLQ_MERGED_COLUMN;
        layer->n_parts = 2;
        layer->sizes[0] = layer->sizes[1] = layer->n / 2;
    } else {
        return;
    }
    layer->fused_on_disk = true;
    for (int32_t i = 0; i < layer->n_parts; ++i) {
        layer->part_names[i] = fusion->parts[i];
        layer->part_prefixes[i] = layer->prefix;
    }
}

static void
single_layer(struct tool_model *model, const struct tool_facts *facts, struct tool_module *m,
             struct tool_layer *layer)
{
    *layer =
        (struct tool_layer){.why = m->why, .n_parts = 1, .k = m->k, .n = m->n, .bytes = m->bytes};
    layer->prefix = keep(model, tool_format("%s", m->path));
    layer->label = last_component(layer->prefix);
    layer->kind = tool_name_kind(layer->label);
    layer->gather = tool_name_is_head(layer->label);
    layer->has_bias = tool_module_tensor(m, "bias") != NULL;
    layer->n_tensors = (int32_t)m->n_entries;
    layer->sizes[0] = m->n;
    layer->part_prefixes[0] = layer->prefix;
    split_on_disk(facts, layer);
}

static int
compare_layers(const void *a, const void *b)
{
    return strverscmp(((const struct tool_layer *)a)->prefix,
                      ((const struct tool_layer *)b)->prefix);
}

int32_t
tool_model_find(dlq_runtime *rt, const dlq_checkpoint *ckpt, bool fuse, struct tool_model **out,
                struct dlq_error *err)
{
    struct tool_facts facts;
    const int32_t status = tool_facts_read(rt, ckpt, &facts, err);
    if (status != DLQ_OK) {
        return status;
    }
    struct tool_modules modules;
    tool_modules_find(ckpt, &modules);
    struct tool_model *model = tool_alloc(1, sizeof(*model));
    model->dtype = facts.dtype ? facts.dtype : DLQ_F16;
    model->type = keep(model, tool_format("%s", facts.type));
    model->layers = tool_alloc(modules.count, sizeof(*model->layers));
    model->skipped = tool_alloc(modules.count, sizeof(*model->skipped));
    for (size_t i = 0; i < modules.count && fuse; ++i) {
        struct tool_module *m = &modules.list[i];
        struct tool_layer *layer = &model->layers[model->n_layers];
        if (!m->other && !m->taken && fuse_modules(model, &facts, &modules, m, layer)) {
            ++model->n_layers;
        }
    }
    for (size_t i = 0; i < modules.count; ++i) {
        struct tool_module *m = &modules.list[i];
        // GPT-2's Conv1D stores [K, N]: a plain matrix by its header, the transpose by its meaning.
        if (!m->other && strcmp(facts.type, "gpt2") == 0 && !tool_name_is_head(m->last)) {
            m->other = "Conv1D weights are [K, N]";
        }
        if (m->other) {
            struct tool_skipped *s = &model->skipped[model->n_skipped++];
            *s = (struct tool_skipped){NULL, m->other, m->bytes};
            s->name = keep(model, tool_format("%s", m->path));
        } else if (!m->taken) {
            single_layer(model, &facts, m, &model->layers[model->n_layers++]);
        }
    }
    tool_modules_free(&modules);
    qsort(model->layers, model->n_layers, sizeof(*model->layers), compare_layers);
    *out = model;
    return DLQ_OK;
}

void
tool_model_free(struct tool_model *model)
{
    if (!model) {
        return;
    }
    for (size_t i = 0; i < model->n_strings; ++i) {
        free(model->strings[i]);
    }
    free(model->strings);
    free(model->layers);
    free(model->skipped);
    free(model);
}

struct dlq_linear_desc
tool_layer_desc(const struct tool_layer *layer, uint32_t act_dtype, struct dlq_device device,
                dlq_quant_config *config, const dlq_checkpoint *ckpt)
{
    struct dlq_linear_desc desc = {
        .struct_size = sizeof(desc),
        .prefix = layer->prefix,
        .input_size = layer->k,
        .act_dtype = act_dtype,
        .device = device,
        .config = config,
        .evidence = ckpt,
    };
    desc.flags |= layer->has_bias ? DLQ_LINEAR_BIAS : 0;
    desc.flags |= layer->gather ? DLQ_LINEAR_GATHER_OUTPUT : 0;
    desc.part_names = layer->n_parts > 1 ? layer->part_names : NULL;
    if (layer->kind == DLQ_QKV) {
        desc.head_size = layer->head_size;
        desc.v_head_size = layer->v_head_size;
        desc.total_num_heads = layer->heads;
        desc.total_num_kv_heads = layer->kv_heads;
    } else if (layer->kind == DLQ_MERGED_COLUMN) {
        desc.output_sizes = layer->sizes;
        desc.n_output_sizes = layer->n_parts;
    } else {
        desc.output_size = layer->n;
    }
    return desc;
}

int32_t
tool_layer_create(dlq_runtime *rt, const struct tool_layer *layer,
                  const struct dlq_linear_desc *desc, dlq_linear **out, struct dlq_error *err)
{
    if (layer->why) {
        return dlq_runtime_host(rt)->fail(err, DLQ_EUNSUPPORTED, "layer '%s': %s", layer->prefix,
                                          layer->why);
    }
    switch (layer->kind) {
    case DLQ_ROW:
        return dlq_linear_row_create(rt, desc, out, err);
    case DLQ_MERGED_COLUMN:
        return dlq_linear_merged_create(rt, desc, out, err);
    case DLQ_QKV:
        return dlq_linear_qkv_create(rt, desc, out, err);
    case DLQ_REPLICATED:
        return dlq_linear_replicated_create(rt, desc, out, err);
    default:
        return dlq_linear_column_create(rt, desc, out, err);
    }
}
