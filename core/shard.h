// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CORE_SHARD_H
#define DLQ_CORE_SHARD_H

#include <dlquant/plugin.h>
#include <dlquant/status.h>

#include <stddef.h>
#include <stdint.h>

/// Partition arithmetic: which outputs and inputs a rank has, and where they lie in storage.
///
/// Pure functions over sizes. A division is exact or an error, never a floor.

/// Greatest common divisor of two numbers, 0 being divisible by all. Not both 0, none negative.
int64_t
dlq_shard_gcd(int64_t a, int64_t b);

/// Largest divisor of `size` that is at most `ranks` and smallest one above it, 0 when there is
/// none that a group of ranks could have.
void
dlq_shard_nearest(int64_t size, int32_t ranks, int32_t *below, int32_t *above);

/// Cut `size` into `ranks` equal runs: rank r has [bounds[r], bounds[r + 1]). `what` names the size
/// in the error, as "outputs of part 'q'".
int32_t
dlq_shard_even(const char *layer, const char *what, int64_t size, int32_t ranks, int64_t *bounds,
               struct dlq_error *err);

/// Spread `units` over `ranks` runs whose lengths differ by one at most, the longer ones first.
/// DLQ_ESHAPE without a message when a rank would have none.
int32_t
dlq_shard_spread(int64_t units, int32_t ranks, int64_t *bounds);

/// Cut `size` where `partition`, of `ranks` runs, cuts its units.
int32_t
dlq_shard_cut(const char *layer, const char *what, int64_t size, const int64_t *partition,
              int32_t ranks, int64_t *bounds, struct dlq_error *err);

/// Largest group that divides `group` and that no bound cuts: the group size after refinement.
int64_t
dlq_shard_refine(int64_t group, const int64_t *bounds, int32_t n_bounds);

/// Heads of a QKV layer on one rank.
struct dlq_shard_heads {
    int32_t q;        ///< Query heads of a rank
    int32_t kv;       ///< Key/value heads of a rank
    int32_t replicas; ///< Ranks that hold the same key/value heads
};

/// Spread `n_q` query and `n_kv` key/value heads over ranks. With more ranks than KV heads each KV
/// head is on ranks / n_kv of them. The error names heads, ranks and replicas.
int32_t
dlq_shard_heads(const char *layer, int32_t n_q, int32_t n_kv, int32_t ranks,
                struct dlq_shard_heads *out, struct dlq_error *err);

/// How storage along one dimension stands for logical elements: `block` elements a stored element,
/// then num / den of those a word, then `tile` stored units a word.
struct dlq_shard_unit {
    int64_t block; ///< 1 or more
    int64_t num;   ///< 1 or more
    int64_t den;   ///< 1 or more
    int64_t tile;  ///< 1 or more
};

/// Storage units of `logical` elements. DLQ_ESHAPE when they end inside a block or a word,
/// DLQ_EOVERFLOW when the result does not fit; no message.
int32_t
dlq_shard_units(const struct dlq_shard_unit *unit, int64_t logical, int64_t *storage);

/// As dlq_shard_units(), a block or a word that is begun counting whole.
int32_t
dlq_shard_units_ceil(const struct dlq_shard_unit *unit, int64_t logical, int64_t *storage);

/// Storage run of the elements [offset, offset + size) of a dimension of `total` elements. It must
/// start and end between words, but the last word of the dimension may be begun only. DLQ_ESHAPE
/// and DLQ_EOVERFLOW without a message.
int32_t
dlq_shard_span(const struct dlq_shard_unit *unit, int64_t offset, int64_t size, int64_t total,
               int64_t *pos, int64_t *len);

/// `a * b` for sizes, DLQ_EOVERFLOW when it does not fit.
int32_t
dlq_shard_mul(int64_t a, int64_t b, int64_t *out);

/// Query heads and key/value heads of a QKV layer that a partition has to leave whole: its units
/// are either whole KV heads or query heads of one KV head, and a rank has several KV heads only
/// where it has all query heads of each.
int32_t
dlq_shard_check_heads(const char *layer, int32_t n_q, int32_t n_kv, const int64_t *partition,
                      int32_t ranks, struct dlq_error *err);

/// Place the parts of a layer, whose full_size is set, where `partition` cuts: as
/// dlq_shard_parts(), replicas being filled too. `heads`, of each part, is what every rank has
/// whole, even when a rank beside it has it as well; NULL: outputs are cut as the units are.
int32_t
dlq_shard_parts_cut(const char *layer, const int64_t *partition, int32_t rank, int32_t ranks,
                    const int32_t *heads, struct dlq_part *parts, int32_t n_parts,
                    struct dlq_error *err);

/// Place the parts of a layer, whose full_size and replicas are set, for rank `rank` of `ranks`:
/// fills full_offset, local_offset, local_size and source_offset. The error names part and sizes.
int32_t
dlq_shard_parts(const char *layer, int32_t rank, int32_t ranks, struct dlq_part *parts,
                int32_t n_parts, struct dlq_error *err);

#endif // DLQ_CORE_SHARD_H
