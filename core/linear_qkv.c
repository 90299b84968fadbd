// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "error.h"
#include "linear_setup.h"
#include "shard.h"

// Sizes of the checkpoint's three parts; the query's first.
static int32_t
take_heads(struct dlq_linear_setup *setup, int64_t sizes[3], int32_t replicas[3],
           struct dlq_error *err)
{
    struct dlq_linear_desc *const d = &setup->desc;
    d->v_head_size = d->v_head_size ? d->v_head_size : d->head_size;
    d->total_num_kv_heads = d->total_num_kv_heads ? d->total_num_kv_heads : d->total_num_heads;
    if (d->head_size <= 0 || d->v_head_size <= 0 || d->total_num_heads <= 0 ||
        d->total_num_kv_heads <= 0) {
        return dlq_fail(err, DLQ_ESHAPE,
                        "layer '%s': expected heads and head sizes above 0, found %d query heads "
                        "and %d key/value heads of %d and %d",
                        d->prefix, d->total_num_heads, d->total_num_kv_heads, d->head_size,
                        d->v_head_size);
    }
    struct dlq_shard_heads heads = {.replicas = 1};
    const int32_t rc =
        setup->bounds ? dlq_shard_check_heads(d->prefix, d->total_num_heads, d->total_num_kv_heads,
                                              setup->bounds, setup->ranks, err)
                      : dlq_shard_heads(d->prefix, d->total_num_heads, d->total_num_kv_heads,
                                        setup->ranks, &heads, err);
    if (rc != DLQ_OK) {
        return rc;
    }
    sizes[0] = (int64_t)d->total_num_heads * d->head_size;
    sizes[1] = (int64_t)d->total_num_kv_heads * d->head_size;
    sizes[2] = (int64_t)d->total_num_kv_heads * d->v_head_size;
    replicas[0] = 1;
    replicas[1] = heads.replicas;
    replicas[2] = heads.replicas;
    int64_t sum;
    const int32_t fits = dlq_linear_sum_outputs(setup, sizes, 3, &sum, err);
    if (fits != DLQ_OK) {
        return fits;
    }
    if (d->n_output_sizes != 0 || (d->output_size != 0 && d->output_size != sum)) {
        return dlq_fail(err, DLQ_ESHAPE,
                        "layer '%s': outputs: the heads give %lld, found %lld and %d output_sizes",
                        d->prefix, (long long)sum, (long long)d->output_size, d->n_output_sizes);
    }
    return DLQ_OK;
}

int32_t
dlq_linear_qkv_create(dlq_runtime *rt, const struct dlq_linear_desc *desc, dlq_linear **out,
                      struct dlq_error *err)
{
    static const char *const tags[] = {"q", "k", "v"};
    int64_t sizes[3];
    int32_t replicas[3];
    struct dlq_linear_setup setup;
    int32_t rc = dlq_linear_begin(rt, desc, DLQ_QKV, &setup, err);
    if (rc == DLQ_OK) {
        rc = take_heads(&setup, sizes, replicas, err);
    }
    if (rc != DLQ_OK) {
        return rc;
    }
    setup.sizes = sizes;
    setup.replicas = replicas;
    setup.tags = tags;
    setup.n_parts = 3;
    const int32_t heads[] = {setup.desc.total_num_heads, setup.desc.total_num_kv_heads,
                             setup.desc.total_num_kv_heads};
    setup.heads = heads;
    return dlq_linear_finish(&setup, out, err);
}
