// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_AWQ_CANDIDATES_H
#define DLQ_AWQ_CANDIDATES_H

#include "../common/groups.h"
#include "awq_marlin.h"

/// Whether and how a layer's shape can run.

/// Find the groups of this rank and check that words and groups are whole on every rank. DLQ_ESHAPE
/// names the sizes.
int32_t
awq_groups_find(const struct awq_config *config, const struct dlq_host *host,
                const struct dlq_layer_info *info, struct dlq_groups *out, struct dlq_error *err);

/// Ask the kernels in order of preference. Returns the first that can run the layer, or NULL;
/// `notes` gets every refusal's reason, and for a layer on a CPU whether a Marlin kernel would fit.
const char *
awq_candidate_choose(const struct awq_config *config, const struct dlq_layer_info *info,
                     const struct dlq_groups *groups, char *notes, size_t size);

#endif // DLQ_AWQ_CANDIDATES_H
