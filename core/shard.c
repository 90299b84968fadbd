// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "shard.h"

#include "error.h"

#include <stdbool.h>
#include <stdio.h>

// No group is larger: the search for a group size that would work stops here.
#define MAX_RANKS_TRIED 4096

int64_t
dlq_shard_gcd(int64_t a, int64_t b)
{
    while (b != 0) {
        const int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

void
dlq_shard_nearest(int64_t size, int32_t ranks, int32_t *below, int32_t *above)
{
    *below = ranks;
    while (*below > 1 && size % *below != 0) {
        --*below;
    }
    *above = ranks + 1;
    while (*above <= MAX_RANKS_TRIED && size % *above != 0) {
        ++*above;
    }
    if (*above > MAX_RANKS_TRIED) {
        *above = 0;
    }
}

// `common` divides every size that has to be split as well: the hint must hold for the whole layer.
static int32_t
fail_division(const char *layer, const char *what, int64_t size, int64_t common, int32_t ranks,
              struct dlq_error *err)
{
    int32_t below;
    int32_t above;
    dlq_shard_nearest(common, ranks, &below, &above);
    char hint[48];
    if (above > 0) {
        snprintf(hint, sizeof(hint), "%d and %d would work", below, above);
    } else {
        snprintf(hint, sizeof(hint), "%d would work", below);
    }
    return dlq_fail(err, DLQ_ESHAPE,
                    "layer '%s': %lld %s cannot be split over %d tensor-parallel ranks; %s", layer,
                    (long long)size, what, ranks, hint);
}

int32_t
dlq_shard_even(const char *layer, const char *what, int64_t size, int32_t ranks, int64_t *bounds,
               struct dlq_error *err)
{
    if (size % ranks != 0) {
        return fail_division(layer, what, size, size, ranks, err);
    }
    for (int32_t r = 0; r <= ranks; ++r) {
        bounds[r] = size / ranks * r;
    }
    return DLQ_OK;
}

int32_t
dlq_shard_spread(int64_t units, int32_t ranks, int64_t *bounds)
{
    if (units < ranks) {
        return DLQ_ESHAPE;
    }
    bounds[0] = 0;
    for (int32_t r = 0; r < ranks; ++r) {
        bounds[r + 1] = bounds[r] + units / ranks + (r < units % ranks);
    }
    return DLQ_OK;
}

static int32_t
fail_units(const char *layer, const char *what, int64_t size, int64_t units, struct dlq_error *err)
{
    return dlq_fail(err, DLQ_ESHAPE,
                    "layer '%s': %lld %s cannot be split into the %lld units of its partition",
                    layer, (long long)size, what, (long long)units);
}

int32_t
dlq_shard_cut(const char *layer, const char *what, int64_t size, const int64_t *partition,
              int32_t ranks, int64_t *bounds, struct dlq_error *err)
{
    const int64_t units = partition[ranks];
    if (size % units != 0) {
        return fail_units(layer, what, size, units, err);
    }
    for (int32_t r = 0; r <= ranks; ++r) {
        bounds[r] = size / units * partition[r];
    }
    return DLQ_OK;
}

int64_t
dlq_shard_refine(int64_t group, const int64_t *bounds, int32_t n_bounds)
{
    for (int32_t i = 0; i < n_bounds; ++i) {
        group = dlq_shard_gcd(group, bounds[i]);
    }
    return group;
}

int32_t
dlq_shard_heads(const char *layer, int32_t n_q, int32_t n_kv, int32_t ranks,
                struct dlq_shard_heads *out, struct dlq_error *err)
{
    const int32_t replicas = ranks >= n_kv ? ranks / n_kv : 1;
    if (n_q % ranks != 0) {
        return dlq_fail(err, DLQ_ESHAPE,
                        "layer '%s': %d query heads (with %d key/value heads, %d replicas) cannot "
                        "be split over %d tensor-parallel ranks",
                        layer, n_q, n_kv, replicas, ranks);
    }
    if (ranks >= n_kv ? ranks % n_kv != 0 : n_kv % ranks != 0) {
        return dlq_fail(err, DLQ_ESHAPE,
                        "layer '%s': %d key/value heads (with %d query heads, %d replicas) cannot "
                        "be spread evenly over %d tensor-parallel ranks",
                        layer, n_kv, n_q, replicas, ranks);
    }
    out->q = n_q / ranks;
    out->kv = ranks >= n_kv ? 1 : n_kv / ranks;
    out->replicas = replicas;
    return DLQ_OK;
}

// First and end of what a rank has of `heads` heads, those that are cut counting whole.
static void
heads_of(const int64_t *partition, int32_t ranks, int64_t heads, int32_t rank, int64_t *first,
         int64_t *end)
{
    const int64_t units = partition[ranks];
    *first = partition[rank] * heads / units;
    *end = (partition[rank + 1] * heads + units - 1) / units;
}

int32_t
dlq_shard_check_heads(const char *layer, int32_t n_q, int32_t n_kv, const int64_t *partition,
                      int32_t ranks, struct dlq_error *err)
{
    const int64_t units = partition[ranks];
    if (n_q % units != 0 || (n_kv % units != 0 && units % n_kv != 0)) {
        return dlq_fail(err, DLQ_ESHAPE,
                        "layer '%s': %d query heads and %d key/value heads cannot be split into "
                        "the %lld units of its partition",
                        layer, n_q, n_kv, (long long)units);
    }
    for (int32_t r = 0; r < ranks; ++r) {
        const bool whole = partition[r] * n_kv % units == 0 && partition[r + 1] * n_kv % units == 0;
        int64_t first;
        int64_t end;
        heads_of(partition, ranks, n_kv, r, &first, &end);
        if (!whole && end - first > 1) {
            return dlq_fail(err, DLQ_ESHAPE,
                            "layer '%s': its partition gives rank %d of %d parts of the query "
                            "heads of %lld of its %d key/value heads",
                            layer, r, ranks, (long long)(end - first), n_kv);
        }
    }
    return DLQ_OK;
}

int32_t
dlq_shard_mul(int64_t a, int64_t b, int64_t *out)
{
    return __builtin_mul_overflow(a, b, out) ? DLQ_EOVERFLOW : DLQ_OK;
}

// Rounds up in both divisions when `ceil`, else wants both exact.
static int32_t
units(const struct dlq_shard_unit *unit, int64_t logical, int ceil, int64_t *storage)
{
    const int64_t rest = logical % unit->block;
    if (rest != 0 && !ceil) {
        return DLQ_ESHAPE;
    }
    int64_t words;
    if (dlq_shard_mul(logical / unit->block + (rest != 0), unit->den, &words) != DLQ_OK) {
        return DLQ_EOVERFLOW;
    }
    const int64_t bits_over = words % unit->num;
    if (bits_over != 0 && !ceil) {
        return DLQ_ESHAPE;
    }
    return dlq_shard_mul(words / unit->num + (bits_over != 0), unit->tile, storage);
}

int32_t
dlq_shard_units(const struct dlq_shard_unit *unit, int64_t logical, int64_t *storage)
{
    return units(unit, logical, 0, storage);
}

int32_t
dlq_shard_units_ceil(const struct dlq_shard_unit *unit, int64_t logical, int64_t *storage)
{
    return units(unit, logical, 1, storage);
}

int32_t
dlq_shard_span(const struct dlq_shard_unit *unit, int64_t offset, int64_t size, int64_t total,
               int64_t *pos, int64_t *len)
{
    int64_t end;
    int32_t rc = dlq_shard_units(unit, offset, pos);
    if (rc == DLQ_OK) {
        rc = units(unit, offset + size, offset + size == total, &end);
    }
    if (rc == DLQ_OK) {
        *len = end - *pos;
    }
    return rc;
}

static void
what_of(const struct dlq_part *part, int32_t n_parts, char *buf, size_t size)
{
    snprintf(buf, size, n_parts > 1 ? "outputs of part '%s'" : "outputs", part->tag);
}

// Where a rank's outputs of one part begin and end.
static void
part_of(const int64_t *partition, int32_t ranks, int64_t heads, int64_t size, int32_t rank,
        int64_t *first, int64_t *end)
{
    heads_of(partition, ranks, heads, rank, first, end);
    *first *= size / heads;
    *end *= size / heads;
}

int32_t
dlq_shard_parts_cut(const char *layer, const int64_t *partition, int32_t rank, int32_t ranks,
                    const int32_t *heads, struct dlq_part *parts, int32_t n_parts,
                    struct dlq_error *err)
{
    const int64_t units = partition[ranks];
    int64_t full = 0;
    int64_t local = 0;
    for (int32_t i = 0; i < n_parts; ++i) {
        struct dlq_part *const part = &parts[i];
        if (!heads && part->full_size % units != 0) {
            char what[64];
            what_of(part, n_parts, what, sizeof(what));
            return fail_units(layer, what, part->full_size, units, err);
        }
        const int64_t n = heads ? heads[i] : units;
        int64_t first;
        int64_t end;
        part_of(partition, ranks, n, part->full_size, rank, &first, &end);
        part->full_offset = full;
        part->local_offset = local;
        part->local_size = end - first;
        part->source_offset = first;
        part->replicas = 0;
        for (int32_t r = 0; r < ranks; ++r) {
            int64_t other;
            int64_t other_end;
            part_of(partition, ranks, n, part->full_size, r, &other, &other_end);
            part->replicas += other == first && other_end == end;
        }
        full += part->full_size;
        local += part->local_size;
    }
    return DLQ_OK;
}

int32_t
dlq_shard_parts(const char *layer, int32_t rank, int32_t ranks, struct dlq_part *parts,
                int32_t n_parts, struct dlq_error *err)
{
    int64_t common = 0;
    for (int32_t i = 0; i < n_parts; ++i) {
        common = dlq_shard_gcd(common, parts[i].full_size);
    }
    int64_t full = 0;
    int64_t local = 0;
    for (int32_t i = 0; i < n_parts; ++i) {
        struct dlq_part *const part = &parts[i];
        const int32_t shards = ranks / part->replicas;
        if (part->full_size % shards != 0) {
            char what[64];
            what_of(part, n_parts, what, sizeof(what));
            return fail_division(layer, what, part->full_size, common, ranks, err);
        }
        part->full_offset = full;
        part->local_offset = local;
        part->local_size = part->full_size / shards;
        part->source_offset = rank / part->replicas * part->local_size;
        full += part->full_size;
        local += part->local_size;
    }
    return DLQ_OK;
}
