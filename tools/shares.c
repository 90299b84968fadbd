// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "shares.h"

#include "reference.h"
#include "tool.h"

#include <stdlib.h>
#include <string.h>

struct tool_shares
tool_shares_of(const struct tool_ranks *r)
{
    struct tool_shares s = {.cut = r->size > 1 && r->layer->kind == DLQ_ROW};
    s.wants.struct_size = sizeof(s.wants);
    void *method = NULL;
    const struct dlq_ext_row_split *ext =
        dlq_linear_extension(r->rank[0].layer, DLQ_EXT_ROW_SPLIT, &method);
    if (s.cut && ext && DLQ_HAS(ext, finish)) {
        ext->describe(method, &s.wants);
    }
    return s;
}

bool
tool_shares_whole(const struct tool_shares *s)
{
    return !s->cut || s->wants.n_stats > 0;
}

/// Statistics of all ranks, [ranks, m, n_stats].
static int32_t
measure(const struct tool_ranks *r, void *const *x, int64_t m, int32_t n_stats, float *stats,
        struct dlq_error *err)
{
    int32_t status = DLQ_OK;
    for (int32_t i = 0; i < r->size && status == DLQ_OK; ++i) {
        void *method = NULL;
        const struct dlq_ext_row_split *ext =
            dlq_linear_extension(r->rank[i].layer, DLQ_EXT_ROW_SPLIT, &method);
        const size_t size = ext->workspace_size(method, m, r->size);
        void *workspace = aligned_alloc(256, (size + 256) / 256 * 256);
        const struct dlq_linear_call call = {
            .struct_size = sizeof(call),
            .m = m,
            .x = x[i],
            .x_stride = r->rank[i].info->input_size_per_partition,
            .y_stride = r->rank[i].info->output_size_per_partition,
            .workspace = workspace,
            .workspace_size = size,
            .host = dlq_runtime_host(r->rt),
        };
        status = workspace ? ext->measure(method, &call, stats + i * m * n_stats, err) : DLQ_ENOMEM;
        free(workspace);
    }
    return status;
}

static int32_t
quantize(const struct tool_ranks *r, int32_t index, const void *x, const float *stats,
         int32_t n_stats, struct tool_codes *c, struct dlq_error *err)
{
    const struct tool_rank *rank = &r->rank[index];
    void *method = NULL;
    const struct dlq_ext_inspect *ext = tool_rank_inspect(rank, &method);
    c->groups = 1;
    c->kind = ext->code_kind(method, &c->groups);
    c->groups = c->groups < 1 ? 1 : c->groups;
    c->k = rank->info->input_size_per_partition;
    c->offset = rank->info->input_offset;
    // Ranks that share groups count them over the whole row.
    const bool shared = stats && c->groups > 1;
    c->group = tool_group_size(shared ? r->layer->k : c->k, shared ? n_stats : c->groups);
    c->before = shared ? c->offset % c->group : 0;
    c->codes = tool_alloc((size_t)(c->m * c->k), 2);
    c->scales = tool_alloc((size_t)(c->m * c->groups), sizeof(*c->scales));
    c->zeros = tool_alloc((size_t)c->m, sizeof(*c->zeros));
    const struct dlq_host *host = dlq_runtime_host(r->rt);
    if (stats && DLQ_HAS(ext, quantize_split) && ext->quantize_split) {
        return ext->quantize_split(method, host, rank->info, x, c->m, stats, r->size, c->codes,
                                   c->scales, c->zeros, err);
    }
    return ext->quantize(method, host, rank->info, x, c->m, c->codes, c->scales, c->zeros, err);
}

int32_t
tool_shares_quantize(const struct tool_ranks *r, void *const *x, int64_t m, struct tool_codes **out,
                     struct dlq_error *err)
{
    const struct tool_shares shares = tool_shares_of(r);
    const int32_t n_stats = shares.wants.n_stats;
    float *stats = n_stats > 0 ? tool_alloc((size_t)(r->size * m * n_stats), sizeof(*stats)) : NULL;
    int32_t status = stats ? measure(r, x, m, n_stats, stats, err) : DLQ_OK;
    struct tool_codes *codes = tool_alloc((size_t)r->size, sizeof(*codes));
    memset(codes, 0, (size_t)r->size * sizeof(*codes));
    for (int32_t i = 0; i < r->size && status == DLQ_OK; ++i) {
        codes[i].m = m;
        status = quantize(r, i, x[i], stats, n_stats, &codes[i], err);
    }
    free(stats);
    if (status == DLQ_OK) {
        *out = codes;
    } else {
        tool_codes_free(r, codes);
    }
    return status;
}

void
tool_codes_free(const struct tool_ranks *r, struct tool_codes *codes)
{
    for (int32_t i = 0; codes && i < r->size; ++i) {
        free(codes[i].codes);
        free(codes[i].scales);
        free(codes[i].zeros);
    }
    free(codes);
}
