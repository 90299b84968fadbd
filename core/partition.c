// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "error.h"
#include "linear_internal.h"
#include "shard.h"

static int32_t
check_ranks(int32_t ranks, const int64_t *bounds, struct dlq_error *err)
{
    return ranks >= 1 && ranks <= DLQ_MAX_RANKS && bounds
               ? DLQ_OK
               : dlq_fail(err, DLQ_EINVAL,
                          "partition: expected 1 to %d ranks and room for their bounds, found %d",
                          DLQ_MAX_RANKS, ranks);
}

int32_t
dlq_partition_spread(int64_t units, int32_t ranks, int64_t *bounds, struct dlq_error *err)
{
    int32_t rc = check_ranks(ranks, bounds, err);
    if (rc == DLQ_OK && dlq_shard_spread(units, ranks, bounds) != DLQ_OK) {
        rc = dlq_fail(err, DLQ_ESHAPE,
                      "partition: %lld units are too few for %d tensor-parallel ranks",
                      (long long)units, ranks);
    }
    return rc;
}

static int32_t
fail_heads(int32_t heads, int32_t kv_heads, int32_t ranks, struct dlq_error *err)
{
    return dlq_fail(err, DLQ_ESHAPE,
                    "partition: %d query heads over %d key/value heads are too few for %d "
                    "tensor-parallel ranks; up to %d would work",
                    heads, kv_heads, ranks, heads);
}

int32_t
dlq_partition_spread_heads(int32_t heads, int32_t kv_heads, int32_t ranks, int64_t *bounds,
                           struct dlq_error *err)
{
    const int32_t rc = check_ranks(ranks, bounds, err);
    if (rc != DLQ_OK) {
        return rc;
    }
    if (kv_heads < 1 || heads < kv_heads || heads % kv_heads != 0) {
        return dlq_fail(err, DLQ_ESHAPE,
                        "partition: expected as many query heads for each key/value head, found "
                        "%d for %d",
                        heads, kv_heads);
    }
    if (ranks <= kv_heads) {
        return dlq_partition_spread(kv_heads, ranks, bounds, err);
    }
    // Spread the ranks over the KV heads, then the query heads of each over its ranks.
    const int32_t own = heads / kv_heads;
    int32_t at = 0;
    for (int32_t h = 0; h < kv_heads; ++h) {
        const int32_t n = ranks / kv_heads + (h < ranks % kv_heads);
        if (dlq_shard_spread(own, n, bounds + at) != DLQ_OK) {
            return fail_heads(heads, kv_heads, ranks, err);
        }
        for (int32_t r = 0; r <= n; ++r) {
            bounds[at + r] += (int64_t)h * own;
        }
        at += n;
    }
    return DLQ_OK;
}
