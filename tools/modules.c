// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "modules.h"

#include "names.h"
#include "tool.h"

#include <stdlib.h>
#include <string.h>

static int
compare_bytes(const char *a, size_t a_len, const char *b, size_t b_len)
{
    const size_t len = a_len < b_len ? a_len : b_len;
    const int order = memcmp(a, b, len);
    return order != 0 ? order : (a_len > b_len) - (a_len < b_len);
}

static int
compare_entries(const void *a, const void *b)
{
    const struct tool_entry *x = a;
    const struct tool_entry *y = b;
    const int order = compare_bytes(x->tensor->name, x->path_len, y->tensor->name, y->path_len);
    return order != 0 ? order : strcmp(x->tensor->name, y->tensor->name);
}

static const char *
leaf_of(const struct tool_entry *e)
{
    const char *leaf = e->tensor->name + e->path_len;
    return *leaf == '.' ? leaf + 1 : leaf;
}

const struct dlq_checkpoint_tensor *
tool_module_tensor(const struct tool_module *m, const char *leaf)
{
    for (size_t i = 0; i < m->n_entries; ++i) {
        if (strcmp(leaf_of(&m->entries[i]), leaf) == 0) {
            return m->entries[i].tensor;
        }
    }
    return NULL;
}

/// K from the two integers of a `weight_shape` tensor; 0 when it is none.
static int64_t
shape_tensor_k(const struct dlq_checkpoint_tensor *t)
{
    if (!t || !t->data || t->ndim != 1 || t->shape[0] != 2) {
        return 0;
    }
    int64_t k = 0;
    if (t->dtype == DLQ_I64) {
        memcpy(&k, (const char *)t->data + 8, 8);
    } else if (t->dtype == DLQ_I32) {
        int32_t narrow = 0;
        memcpy(&narrow, (const char *)t->data + 4, 4);
        k = narrow;
    }
    return k > 0 ? k : 0;
}

/// The sizes of AWQ and GPTQ tensors: [K, N / pack] with pack columns of N, or [K / pack, N].
static const char *
measure_qweight(struct tool_module *m, const struct dlq_checkpoint_tensor *qweight)
{
    const struct dlq_checkpoint_tensor *scales = tool_module_tensor(m, "scales");
    const struct dlq_checkpoint_tensor *g_idx = tool_module_tensor(m, "g_idx");
    const struct dlq_checkpoint_tensor *qzeros = tool_module_tensor(m, "qzeros");
    if (qweight->ndim != 2 || !scales || scales->ndim != 2) {
        return "the size of qweight is unknown without a matrix of scales";
    }
    m->n = scales->shape[1];
    m->k = qweight->shape[0];
    if (qweight->shape[1] == m->n) {
        const bool zeros = qzeros && qzeros->ndim == 2 && qzeros->shape[1] > 0;
        const int64_t pack = zeros ? m->n / qzeros->shape[1] : 8;
        m->k = g_idx && g_idx->ndim == 1 ? g_idx->shape[0] : qweight->shape[0] * pack;
    }
    return NULL;
}

static const char *
measure_packed(struct tool_module *m, const struct dlq_checkpoint_tensor *packed)
{
    if (packed->ndim != 2) {
        return "weight_packed is no matrix";
    }
    m->n = packed->shape[0];
    m->k = shape_tensor_k(tool_module_tensor(m, "weight_shape"));
    if (m->k == 0 && packed->dtype == DLQ_U8) {
        m->k = 2 * packed->shape[1];
    }
    return m->k > 0 ? NULL : "the width of weight_packed is unknown without weight_shape";
}

/// Fill k and n, and `why` when quantized weights do not tell; the reason when the module is no
/// linear layer.
static const char *
measure(struct tool_module *m)
{
    if (tool_name_is_embedding(m->path)) {
        return "embedding";
    }
    const struct dlq_checkpoint_tensor *t = tool_module_tensor(m, "qweight");
    if (t) {
        m->why = measure_qweight(m, t);
        return NULL;
    }
    t = tool_module_tensor(m, "weight_packed");
    if (t) {
        m->why = measure_packed(m, t);
        return NULL;
    }
    t = tool_module_tensor(m, "weight");
    if (!t) {
        return "no weight";
    }
    if (t->ndim != 2) {
        return t->ndim == 1 ? "norm" : "not a matrix";
    }
    m->n = t->shape[0];
    m->k = t->shape[1];
    return NULL;
}

void
tool_modules_find(const dlq_checkpoint *ckpt, struct tool_modules *out)
{
    const size_t n = dlq_checkpoint_n_tensors(ckpt);
    *out = (struct tool_modules){0};
    out->entries = tool_alloc(n, sizeof(*out->entries));
    for (size_t i = 0; i < n; ++i) {
        const struct dlq_checkpoint_tensor *t = dlq_checkpoint_tensor_at(ckpt, i);
        const char *dot = strrchr(t->name, '.');
        out->entries[i].tensor = t;
        out->entries[i].path_len = dot ? (size_t)(dot - t->name) : 0;
    }
    qsort(out->entries, n, sizeof(*out->entries), compare_entries);
    out->list = tool_alloc(n, sizeof(*out->list));
    for (size_t i = 0; i < n;) {
        const struct tool_entry *first = &out->entries[i];
        struct tool_module *m = &out->list[out->count++];
        m->path = tool_format("%.*s", (int)first->path_len, first->tensor->name);
        const char *dot = strrchr(m->path, '.');
        m->last = dot ? dot + 1 : m->path;
        m->entries = first;
        for (; i < n && compare_bytes(m->path, first->path_len, out->entries[i].tensor->name,
                                      out->entries[i].path_len) == 0;
             ++i) {
            m->bytes += out->entries[i].tensor->nbytes;
            ++m->n_entries;
        }
        m->other = measure(m);
    }
}

void
tool_modules_free(struct tool_modules *m)
{
    for (size_t i = 0; i < m->count; ++i) {
        free(m->list[i].path);
    }
    free(m->list);
    free(m->entries);
    *m = (struct tool_modules){0};
}

static int
compare_path(const void *key, const void *module)
{
    return strcmp(key, ((const struct tool_module *)module)->path);
}

struct tool_module *
tool_modules_sibling(const struct tool_modules *m, const struct tool_module *of, const char *last)
{
    char *path = tool_format("%.*s%s", (int)(of->last - of->path), of->path, last);
    struct tool_module *found = bsearch(path, m->list, m->count, sizeof(*m->list), compare_path);
    free(path);
    return found;
}
