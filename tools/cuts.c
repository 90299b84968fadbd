// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "cuts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_FAMILY = 8, USUAL_GROUP = 128 };

/// Layers that are cut alike.
struct family {
    const struct tool_session *s;
    const struct tool_options *opt;
    const struct tool_layer *layers; ///< The model's
    const struct tool_planned *whole;
    size_t member[MAX_FAMILY];
    size_t n;
    int64_t size;                 ///< What is cut: a multiple of the partition's units
    int64_t group;                ///< What had better stay whole
    struct tool_planned *planned; ///< n times `ranks`
    const struct tool_planned *refused[MAX_FAMILY];
    struct dlq_partition partition; ///< bounds NULL: equal shares
};

static int64_t
gcd(int64_t a, int64_t b)
{
    while (b != 0) {
        const int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/// Whether both stand in the same module.
static bool
are_siblings(const struct tool_layer *a, const struct tool_layer *b)
{
    const size_t len = (size_t)(a->label - a->prefix);
    return len == (size_t)(b->label - b->prefix) && memcmp(a->prefix, b->prefix, len) == 0;
}

/// Whether the row layer takes what the column layer gives.
static bool
feeds(const struct tool_layer *column, const struct tool_layer *row)
{
    if (row->kind != DLQ_ROW || !are_siblings(column, row)) {
        return false;
    }
    if (column->kind == DLQ_QKV) {
        return (int64_t)column->heads * column->v_head_size == row->k;
    }
    return (column->kind == DLQ_MERGED_COLUMN || column->kind == DLQ_COLUMN) &&
           column->sizes[0] == row->k;
}

/// The row layer that a column layer feeds, or the layer itself.
static size_t
leader_of(const struct tool_model *model, size_t i)
{
    const struct tool_layer *layer = &model->layers[i];
    for (size_t j = i; j-- > 0 && are_siblings(layer, &model->layers[j]);) {
        if (feeds(layer, &model->layers[j])) {
            return j;
        }
    }
    for (size_t j = i + 1; j < model->n_layers && are_siblings(layer, &model->layers[j]); ++j) {
        if (feeds(layer, &model->layers[j])) {
            return j;
        }
    }
    return i;
}

static void
gather_family(struct family *f, const struct tool_model *model, const size_t *leader, size_t first)
{
    f->n = 0;
    f->size = 0;
    f->group = 0;
    size_t i = first;
    while (i > 0 && are_siblings(&model->layers[i - 1], &model->layers[first])) {
        --i;
    }
    for (; i < model->n_layers && f->n < MAX_FAMILY; ++i) {
        const struct tool_layer *layer = &model->layers[i];
        if (!are_siblings(layer, &model->layers[first])) {
            break;
        }
        if (leader[i] != first) {
            continue;
        }
        f->member[f->n++] = i;
        if (layer->kind == DLQ_ROW) {
            f->size = gcd(layer->k, f->size);
            f->group = f->whole[i].e.group;
        }
        for (int32_t p = 0; p < layer->n_parts && layer->kind != DLQ_ROW; ++p) {
            f->size = layer->kind == DLQ_QKV ? f->size : gcd(layer->sizes[p], f->size);
        }
    }
    if (f->group <= 0 || f->group == f->size) {
        f->group = USUAL_GROUP;
    }
}

static bool
same_shape(const struct tool_layer *a, const struct tool_planned *p, const struct tool_layer *b,
           const struct tool_planned *q)
{
    return a->kind == b->kind && a->k == b->k && a->n == b->n && a->n_parts == b->n_parts &&
           memcmp(a->sizes, b->sizes, sizeof(a->sizes)) == 0 && a->heads == b->heads &&
           a->kv_heads == b->kv_heads && a->has_bias == b->has_bias && a->gather == b->gather &&
           a->fused_on_disk == b->fused_on_disk && strcmp(a->label, b->label) == 0 &&
           p->status == q->status && strcmp(p->method, q->method) == 0 &&
           strcmp(p->e.scheme, q->e.scheme) == 0 && strcmp(p->e.kernel, q->e.kernel) == 0;
}

static bool
same_family(const struct family *a, const struct family *b)
{
    bool same = a->n == b->n;
    for (size_t i = 0; i < a->n && same; ++i) {
        const size_t x = a->member[i];
        const size_t y = b->member[i];
        same = same_shape(&a->layers[x], &a->whole[x], &b->layers[y], &b->whole[y]);
    }
    return same;
}

static const struct dlq_partition *
partition_of(const struct family *f)
{
    return f->partition.bounds ? &f->partition : NULL;
}

/// Ask for every layer on every rank; whether all can run.
static bool
try(struct family *f)
{
    const int32_t ranks = f->partition.ranks;
    bool all = true;
    for (size_t i = 0; i < f->n; ++i) {
        struct tool_planned *p = f->planned + i * (size_t)ranks;
        const size_t layer = f->member[i];
        f->refused[i] = NULL;
        for (int32_t r = 0; r < ranks && !f->refused[i]; ++r) {
            if (f->whole[layer].status != DLQ_OK || ranks == 1) {
                p[r] = f->whole[layer];
            } else {
                tool_plan_layer(f->s, f->opt, &f->layers[layer], r, ranks, partition_of(f), &p[r]);
            }
            f->refused[i] = p[r].status == DLQ_OK ? NULL : &p[r];
        }
        all = all && !f->refused[i];
    }
    return all;
}

/// Refuse all layers of the family with one reason.
static void
refuse(struct family *f, const struct dlq_error *err)
{
    for (size_t i = 0; i < f->n; ++i) {
        struct tool_planned *p = f->planned + i * (size_t)f->partition.ranks;
        p->status = err->code;
        p->err = *err;
        snprintf(p->err.msg, sizeof(p->err.msg), "layer '%s': %.800s",
                 f->layers[f->member[i]].prefix, err->msg);
        f->refused[i] = p;
    }
}

/// Try the heads of attention as units.
static void
cut_heads(struct family *f, const struct tool_layer *qkv, int64_t *bounds)
{
    struct dlq_error err = DLQ_ERROR_INIT;
    f->partition.bounds = bounds;
    if (dlq_partition_spread_heads(qkv->heads, qkv->kv_heads, f->partition.ranks, bounds, &err) !=
        DLQ_OK) {
        refuse(f, &err);
    } else {
        try(f);
    }
}

/// Whether the largest of the shares is at most an eighth above an equal one.
static bool
is_balanced(int64_t units, int64_t ranks)
{
    return (units + ranks - 1) / ranks * ranks * 8 <= units * 9;
}

/// Try groups and parts of groups as units: the largest that give balanced shares, then the others.
static void
cut_groups(struct family *f, int64_t *bounds)
{
    const int32_t ranks = f->partition.ranks;
    const int64_t most = gcd(f->size, f->group);
    struct dlq_error err = DLQ_ERROR_INIT;
    f->partition.bounds = bounds;
    for (int balanced = 1; balanced >= 0; --balanced) {
        for (int64_t unit = most; unit > 0; --unit) {
            const int64_t units = f->size / unit;
            if (most % unit == 0 && units >= ranks && is_balanced(units, ranks) == balanced &&
                dlq_partition_spread(units, ranks, bounds, &err) == DLQ_OK && try(f)) {
                return;
            }
        }
    }
    // The reason that is shown is that of the finest cut.
    if (dlq_partition_spread(f->size, ranks, bounds, &err) != DLQ_OK) {
        refuse(f, &err);
    } else {
        try(f);
    }
}

static void *
own(struct tool_cuts *cuts, void *memory)
{
    cuts->owned[cuts->n_owned++] = memory;
    return memory;
}

/// Find how a family is cut; what its layers share is the caller's of `cuts`.
static void
cut_family(struct family *f, struct tool_cuts *cuts)
{
    const struct tool_layer *qkv = NULL;
    bool whole = true;
    bool split = false;
    f->planned = own(cuts, tool_alloc(f->n * (size_t)cuts->ranks, sizeof(*f->planned)));
    f->partition =
        (struct dlq_partition){.struct_size = sizeof(f->partition), .ranks = cuts->ranks};
    for (size_t i = 0; i < f->n; ++i) {
        const struct tool_layer *layer = &f->layers[f->member[i]];
        qkv = layer->kind == DLQ_QKV ? layer : qkv;
        whole = whole && f->whole[f->member[i]].status == DLQ_OK;
        split = split || layer->kind != DLQ_REPLICATED;
    }
    if (!try(f) && whole && split && cuts->ranks > 1) {
        int64_t *bounds = own(cuts, tool_alloc((size_t)cuts->ranks + 1, sizeof(*bounds)));
        if (qkv) {
            cut_heads(f, qkv, bounds);
        } else {
            cut_groups(f, bounds);
        }
    }
    struct dlq_partition *shared = own(cuts, tool_alloc(1, sizeof(*shared)));
    *shared = f->partition;
    for (size_t i = 0; i < f->n; ++i) {
        cuts->layers[f->member[i]] = (struct tool_cut){
            .planned = f->planned + i * (size_t)cuts->ranks,
            .partition = shared->bounds ? shared : NULL,
            .refused = f->refused[i],
        };
    }
}

static void
plan_whole(const struct tool_session *s, const struct tool_options *opt, struct tool_cuts *out)
{
    for (size_t i = 0; i < out->n_layers; ++i) {
        tool_plan_layer(s, opt, &s->model->layers[i], 0, 1, NULL, &out->whole[i]);
    }
}

void
tool_cuts_find(const struct tool_session *s, const struct tool_options *opt, int32_t ranks,
               struct tool_cuts *out)
{
    const struct tool_model *model = s->model;
    const size_t n = model->n_layers;
    *out = (struct tool_cuts){.ranks = ranks, .n_layers = n};
    out->layers = tool_alloc(n, sizeof(*out->layers));
    out->whole = tool_alloc(n, sizeof(*out->whole));
    out->owned = tool_alloc(3 * n, sizeof(*out->owned));
    plan_whole(s, opt, out);
    size_t *leader = tool_alloc(n, sizeof(*leader));
    struct family *families = tool_alloc(n, sizeof(*families));
    size_t n_families = 0;
    size_t *followers = tool_alloc(n, sizeof(*followers));
    for (size_t i = 0; i < n; ++i) {
        leader[i] = leader_of(model, i);
        // More layers than any model has in front of one are cut by themselves.
        if (leader[i] != i && ++followers[leader[i]] == MAX_FAMILY) {
            --followers[leader[i]];
            leader[i] = i;
        }
    }
    free(followers);
    for (size_t i = 0; i < n; ++i) {
        if (leader[i] != i) {
            continue;
        }
        struct family *f = &families[n_families];
        *f = (struct family){.s = s, .opt = opt, .layers = model->layers, .whole = out->whole};
        gather_family(f, model, leader, i);
        size_t like = 0;
        while (like < n_families && !same_family(&families[like], f)) {
            ++like;
        }
        if (like == n_families) {
            cut_family(&families[n_families++], out);
        }
        for (size_t m = 0; m < f->n; ++m) {
            out->layers[f->member[m]] = out->layers[families[like].member[m]];
        }
    }
    for (size_t i = 0; i < n; ++i) {
        if (out->layers[i].refused && out->n_refused++ == 0) {
            out->first_refused = out->layers[i].refused;
        }
    }
    free(families);
    free(leader);
}

void
tool_cuts_free(struct tool_cuts *cuts)
{
    for (size_t i = 0; i < cuts->n_owned; ++i) {
        free(cuts->owned[i]);
    }
    free(cuts->owned);
    free(cuts->whole);
    free(cuts->layers);
    *cuts = (struct tool_cuts){0};
}
