// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_AWQ_CANDIDATES_H
#define DLQ_AWQ_CANDIDATES_H

#include "awq_marlin.h"

/// Whether and how a layer's shape can run.

/// How the groups of the checkpoint lie on one rank.
struct awq_groups {
    int64_t rows;      ///< Rows of K that share a scale on this rank
    int64_t count;     ///< Groups on this rank
    int64_t ckpt_rows; ///< Rows of K that share a scale in the checkpoint
    bool one_group;    ///< One group spans all K: every rank holds it whole
};

/// Find the groups of this rank and check that words and groups are whole on every rank. DLQ_ESHAPE
/// names the sizes.
int32_t
awq_groups_find(const struct awq_config *config, const struct dlq_host *host,
                const struct dlq_layer_info *info, struct awq_groups *out, struct dlq_error *err);

/// Ask the kernels in order of preference. Returns the first that can run the layer, or NULL;
/// `notes` gets every refusal's reason, and for a layer on a CPU whether a Marlin kernel would fit.
const char *
awq_candidate_choose(const struct awq_config *config, const struct dlq_layer_info *info,
                     const struct awq_groups *groups, char *notes, size_t size);

#endif // DLQ_AWQ_CANDIDATES_H
