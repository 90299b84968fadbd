// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TESTS_GOLDEN_COMPARE_H
#define DLQ_TESTS_GOLDEN_COMPARE_H

#include "golden.h"

/// Ask the plugin for the weights and the effective rows of every recorded layer: with them the
/// recorded y, codes and sums must come out.
void
golden_learn(struct golden *g);

/// Compare part `p` of one rank's y with its recording and, where given, with the whole layer's
/// bits. The recording is that of the part, or of the layer when the checkpoint holds it fused.
void
golden_compare_part(struct golden *g, const struct dlq_layer_info *info, int32_t p, uint32_t dtype,
                    int32_t ranks, const void *y, const void *whole);

#endif // DLQ_TESTS_GOLDEN_COMPARE_H
