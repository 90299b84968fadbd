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

/// Find the groups of this rank for groups of `group` rows (-1, or above K: all of K). DLQ_ESHAPE
/// names K, T, K_pp and g when K is no multiple of g or a rank would cut a group.
int32_t
dlq_groups_find(const struct dlq_host *host, const struct dlq_layer_info *info, int64_t group,
                struct dlq_groups *out, struct dlq_error *err);

/// Fill the dimension `dim` of a descriptor that follows the groups.
void
dlq_groups_describe(const struct dlq_groups *groups, int32_t dim, struct dlq_param_desc *desc);

/// A warning when some of the loaded scales (fp16, bf16 or fp32) are zero: legal, and rarely meant.
void
dlq_scales_warn_zero(const struct dlq_host *host, const struct dlq_layer_info *info,
                     const char *name, const struct dlq_tensor *scales);

#endif // DLQ_PLUGINS_COMMON_GROUPS_H
