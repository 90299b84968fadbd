// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_AWQ_SHAPE_H
#define DLQ_AWQ_SHAPE_H

#include "../common/groups.h"
#include "awq_marlin.h"

/// What a layer's shape means for groups, words and the Marlin layout.

/// Find the groups of this rank and check that words and groups are whole on every rank. DLQ_ESHAPE
/// names the sizes.
int32_t
awq_groups_find(const struct awq_config *config, const struct dlq_host *host,
                const struct dlq_layer_info *info, struct dlq_groups *out, struct dlq_error *err);

/// Say in `buf` whether the Marlin layout would hold the layer, as it is or padded, and if not why.
void
awq_marlin_note(const struct awq_config *config, const struct dlq_layer_info *info,
                const struct dlq_groups *groups, char *buf, size_t size);

#endif // DLQ_AWQ_SHAPE_H
