// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "../common/layer.h"
#include "../common/run.h"
#include "ct.h"

#include <string.h>

/// Row layers that ranks share: each rank's statistics are the smallest and the largest value of
/// its share of a row, or max|x| of its share of every group of activations. What a scheme does
/// with those of whole rows and groups is in its struct ct_split_ops.
///
/// Workspace: [m, n_stats] of whole rows, then the scheme's own.

static struct dlq_row_split
wants_of(const struct ct_layer *l)
{
    struct dlq_row_split wants = {.struct_size = sizeof(wants)};
    if (l->ops->split) {
        l->ops->split->describe(l, &wants);
    }
    return wants;
}

static void
split_describe(const void *method, struct dlq_row_split *out)
{
    const struct dlq_row_split wants = wants_of(method);
    out->n_stats = wants.n_stats;
    out->sum_dtype = wants.sum_dtype;
}

static size_t
stats_bytes(const struct ct_layer *l, int64_t m)
{
    const size_t bytes = (size_t)m * (size_t)wants_of(l).n_stats * sizeof(float);
    return (bytes + DLQ_K_ALIGN - 1) / DLQ_K_ALIGN * DLQ_K_ALIGN;
}

static size_t
split_workspace_size(const void *method, int64_t max_m, int32_t ranks)
{
    (void)ranks;
    const struct ct_layer *const l = method;
    return stats_bytes(l, max_m) + l->ops->workspace_size(l, max_m);
}

static int32_t
split_measure(const void *method, const struct dlq_linear_call *call, float *stats,
              struct dlq_error *err)
{
    (void)err;
    const struct ct_layer *const l = method;
    const struct dlq_k_parallel parallel = dlq_run_parallel(call->host, l->n_threads);
    const struct dlq_k_linear_call c = dlq_run_call(call, l->act_dtype, &parallel);
    if (l->shared_groups == 0) {
        dlq_k_row_ranges(l->cpu_flags, &c, l->k, stats);
        return DLQ_OK;
    }
    // Of groups that other ranks have alone, nothing is known here: 0 is below every maximum.
    float *const max = call->workspace;
    const size_t row = (size_t)l->own_groups * sizeof(*max);
    l->ops->split->measure(l, &c, max);
    memset(stats, 0, (size_t)(call->m * l->shared_groups) * sizeof(*stats));
    for (int64_t m = 0; m < call->m; m++) {
        memcpy(stats + m * l->shared_groups + l->first_group, max + m * l->own_groups, row);
    }
    return DLQ_OK;
}

// Statistics of whole rows, from those of all ranks, into joined[m, n_stats].
static void
join(const struct ct_layer *l, const float *stats, int32_t ranks, int64_t m, float *joined)
{
    const int64_t count = m * wants_of(l).n_stats;
    memcpy(joined, stats, (size_t)count * sizeof(*joined));
    for (int32_t r = 1; r < ranks; r++) {
        const float *const other = stats + r * count;
        for (int64_t i = 0; i < count; i++) {
            const bool smallest = l->shared_groups == 0 && i % 2 == 0;
            joined[i] =
                (smallest ? other[i] < joined[i] : other[i] > joined[i]) ? other[i] : joined[i];
        }
    }
}

static void
add_stats(const struct ct_layer *l, const float *joined, struct dlq_k_linear_call *call)
{
    if (l->shared_groups == 0) {
        call->ranges = joined;
    } else {
        call->group_max = joined + l->first_group;
        call->group_max_stride = l->shared_groups;
    }
}

// The call that kernels get: rows with the statistics of whole rows.
static struct dlq_k_linear_call
shared_call(const struct ct_layer *l, const struct dlq_linear_call *call, const float *stats,
            int32_t ranks, const struct dlq_k_parallel *parallel)
{
    struct dlq_k_linear_call c = dlq_run_call(call, l->act_dtype, parallel);
    join(l, stats, ranks, call->m, call->workspace);
    add_stats(l, call->workspace, &c);
    c.workspace = (char *)call->workspace + stats_bytes(l, call->m);
    return c;
}

static int32_t
split_multiply(const void *method, const struct dlq_linear_call *call, const float *stats,
               int32_t ranks, void *sums, struct dlq_error *err)
{
    const struct ct_layer *const l = method;
    const struct dlq_k_parallel parallel = dlq_run_parallel(call->host, l->n_threads);
    const struct dlq_k_linear_call c = shared_call(l, call, stats, ranks, &parallel);
    return dlq_run_result(sums ? l->ops->split->accumulate(l, &c, sums) : l->ops->multiply(l, &c),
                          err);
}

static int32_t
split_finish(const void *method, const struct dlq_linear_call *call, const float *stats,
             int32_t ranks, const void *sums, struct dlq_error *err)
{
    const struct ct_layer *const l = method;
    const struct dlq_k_parallel parallel = dlq_run_parallel(call->host, l->n_threads);
    const struct dlq_k_linear_call c = shared_call(l, call, stats, ranks, &parallel);
    return dlq_run_result(l->ops->split->finish(l, &c, sums), err);
}

const struct dlq_ext_row_split ct_row_split = {
    .struct_size = DLQ_SIZE_UPTO(struct dlq_ext_row_split, finish),
    .describe = split_describe,
    .workspace_size = split_workspace_size,
    .measure = split_measure,
    .multiply = split_multiply,
    .finish = split_finish,
};

int32_t
ct_quantize_split(const void *method, const struct dlq_host *host,
                  const struct dlq_layer_info *info, const void *x, int64_t m, const float *stats,
                  int32_t ranks, void *codes, float *scales, int32_t *zero_points,
                  struct dlq_error *err)
{
    const struct ct_layer *const l = method;
    if (wants_of(l).n_stats == 0) {
        return host->fail(err, DLQ_EUNSUPPORTED, "%s: its ranks share no statistics", info->prefix);
    }
    float *const joined = dlq_host_calloc(host, stats_bytes(l, m), err);
    if (!joined) {
        return DLQ_ENOMEM;
    }
    struct dlq_k_linear_call call = ct_rows_call(l, x, m);
    join(l, stats, ranks, m, joined);
    add_stats(l, joined, &call);
    const int32_t status = l->ops->split->quantize(l, host, &call, codes, scales, zero_points, err);
    dlq_host_free(host, joined);
    return status;
}
