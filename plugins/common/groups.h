// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_PLUGINS_COMMON_GROUPS_H
#define DLQ_PLUGINS_COMMON_GROUPS_H

#include <dlquant/plugin.h>

#include <stdbool.h>
#include <stdint.h>

/// Groups of K that share a scale, on one rank.

/// How the groups of the checkpoint lie on one rank.
struct dlq_groups {
    int64_t rows;      ///< Rows of K that share a scale on this rank
    int64_t count;     ///< Groups on this rank
    int64_t ckpt_rows; ///< Rows of K that share a scale in the checkpoint
    bool one_group;    ///< One group spans all K: every rank holds it whole
};

/// Refined groups below this are refused: kernels would mostly compute padding.
#define DLQ_MIN_REFINED_GROUP 8

/// Find the groups of this rank for groups of `group` rows (-1, or above K: all of K). Where a rank
/// would cut a group, all groups are refined to the largest size that no rank cuts: the same scale
/// then stands in several rows, which changes no result. DLQ_ESHAPE names K, T, K_pp, g and g' when
/// K is no multiple of g or the refined groups would be too small.
int32_t
dlq_groups_find(const struct dlq_host *host, const struct dlq_layer_info *info, int64_t group,
                struct dlq_groups *out, struct dlq_error *err);

/// The largest block that divides `block` and that no rank cuts along K; `block` itself where K is
/// not cut.
int64_t
dlq_block_refine_inputs(const struct dlq_layer_info *info, int64_t block);

/// The same along the outputs: no part and no rank begins inside a block.
int64_t
dlq_block_refine_outputs(const struct dlq_layer_info *info, int64_t block);

/// Fill the dimension `dim` of a descriptor that follows the groups.
void
dlq_groups_describe(const struct dlq_groups *groups, int32_t dim, struct dlq_param_desc *desc);

/// A warning when some of the loaded scales (fp16, bf16 or fp32) are zero: legal, and rarely meant.
void
dlq_scales_warn_zero(const struct dlq_host *host, const struct dlq_layer_info *info,
                     const char *name, const struct dlq_tensor *scales);

/// The same warning for `count` zeros among `n` scales that were counted elsewhere.
void
dlq_scales_report_zero(const struct dlq_host *host, const struct dlq_layer_info *info,
                       const char *name, int64_t n, int64_t count, int64_t first);

#endif // DLQ_PLUGINS_COMMON_GROUPS_H
