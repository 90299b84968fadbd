// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "groups.h"

#include "field.h"
#include "layer.h"

#include <inttypes.h>

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

int64_t
dlq_block_refine_inputs(const struct dlq_layer_info *info, int64_t block)
{
    const int64_t k = info->input_size;
    if (info->input_size_per_partition == k) {
        return block;
    }
    // All bounds, not this rank's alone: every rank must give the same answer. The end of K cuts
    // nothing.
    int64_t refined = gcd(block, info->input_size_per_partition);
    refined = gcd(refined, info->input_offset);
    for (int32_t r = 0; info->input_bounds && r <= info->tp_size; r++) {
        if (info->input_bounds[r] != k) {
            refined = gcd(refined, info->input_bounds[r]);
        }
    }
    return refined;
}

int64_t
dlq_block_refine_outputs(const struct dlq_layer_info *info, int64_t block)
{
    const bool cut = info->output_size_per_partition != info->ckpt_output_size;
    if (info->n_parts == 1 && !cut) {
        return block;
    }
    int64_t refined = block;
    for (int32_t p = 0; p < info->n_parts; p++) {
        refined = gcd(refined, info->parts[p]->local_size);
        refined = gcd(refined, info->parts[p]->source_offset);
    }
    return refined;
}

int32_t
dlq_groups_find(const struct dlq_host *host, const struct dlq_layer_info *info, int64_t group,
                struct dlq_groups *out, struct dlq_error *err)
{
    const int64_t k = info->input_size;
    const int64_t k_pp = info->input_size_per_partition;
    const int64_t rows = group < 0 || group > k ? k : group;
    if (k % rows != 0) {
        return host->fail(err, DLQ_ESHAPE,
                          "%s: K %" PRId64 " is no multiple of group_size %" PRId64, info->prefix,
                          k, rows);
    }
    out->one_group = rows == k;
    out->ckpt_rows = rows;
    out->rows = out->one_group ? k_pp : rows;
    out->count = out->one_group ? 1 : k_pp / rows;
    if (out->one_group || k_pp == k) {
        return DLQ_OK;
    }
    out->rows = dlq_block_refine_inputs(info, rows);
    if (out->rows < rows && out->rows < DLQ_MIN_REFINED_GROUP) {
        return host->fail(err, DLQ_ESHAPE,
                          "%s: K %" PRId64 " over T %" PRId32 " gives K_pp %" PRId64
                          ", which cuts a group of g %" PRId64 "; groups refined to g' %" PRId64
                          " would be smaller than %d",
                          info->prefix, k, info->tp_size, k_pp, rows, out->rows,
                          DLQ_MIN_REFINED_GROUP);
    }
    out->count = k_pp / out->rows;
    return DLQ_OK;
}

void
dlq_groups_describe(const struct dlq_groups *groups, int32_t dim, struct dlq_param_desc *desc)
{
    if (groups->one_group) {
        desc->input_dim = -1; // every rank scales its share of K with the one group of all K
    } else {
        desc->input_dim = dim;
        desc->block[dim] = groups->rows;
        desc->ckpt_block[dim] = groups->ckpt_rows != groups->rows ? groups->ckpt_rows : 0;
    }
}

void
dlq_scales_report_zero(const struct dlq_host *host, const struct dlq_layer_info *info,
                       const char *name, int64_t n, int64_t count, int64_t first)
{
    if (count > 0) {
        dlq_host_log(host, DLQ_LOG_WARN,
                     "%s.%s: %" PRId64 " of %" PRId64 " scales are zero, the first at %" PRId64,
                     info->prefix, name, count, n, first);
    }
}

void
dlq_scales_warn_zero(const struct dlq_host *host, const struct dlq_layer_info *info,
                     const char *name, const struct dlq_tensor *scales)
{
    const uint16_t *const half = scales->data;
    const uint32_t *const full = scales->data;
    const int64_t n = dlq_tensor_count(scales);
    int64_t count = 0;
    int64_t first = 0;
    for (int64_t i = 0; i < n; i++) {
        const bool zero =
            scales->dtype == DLQ_F32 ? (full[i] & 0x7fffffffu) == 0 : (half[i] & 0x7fffu) == 0;
        if (zero) {
            first = count == 0 ? i : first;
            count++;
        }
    }
    dlq_scales_report_zero(host, info, name, n, count, first);
}
