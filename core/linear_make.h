// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CORE_LINEAR_MAKE_H
#define DLQ_CORE_LINEAR_MAKE_H

#include "linear_internal.h"
#include "linear_setup.h"

/// The steps of dlq_linear_finish(). What a step has made, dlq_linear_destroy() frees, also after a
/// step that failed halfway.

/// Cut the outputs and the inputs and name the parts: fills the layer's sizes and info.
int32_t
dlq_layer_make_parts(struct dlq_layer *layer, const struct dlq_linear_setup *setup,
                     struct dlq_error *err);

/// Collect what a checkpoint holds at the layer's path and its parts' paths.
int32_t
dlq_layer_make_evidence(struct dlq_layer *layer, const dlq_checkpoint *ckpt, struct dlq_error *err);

/// Ask `config` (NULL: unquantized), and the unquantized method where it leaves the layer alone.
int32_t
dlq_layer_choose_method(struct dlq_layer *layer, dlq_quant_config *config, struct dlq_error *err);

/// Copy a plugin's error to the caller's, naming layer, method and step once. Returns `rc`, or
/// DLQ_EPLUGIN for a number that is no status.
int32_t
dlq_layer_fail_method(const struct dlq_layer *layer, const char *step, int32_t rc,
                      const struct dlq_error *from, struct dlq_error *err);

#endif // DLQ_CORE_LINEAR_MAKE_H
