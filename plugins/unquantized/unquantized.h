// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_UNQUANTIZED_H
#define DLQ_UNQUANTIZED_H

#include <dlquant/ext/inspect.h>
#include <dlquant/plugin.h>

#define UNQUANTIZED_ACT_DTYPES (DLQ_ACT_F16 | DLQ_ACT_BF16 | DLQ_ACT_F32)

extern const struct dlq_quant_config_ops unquantized_config_ops;
extern const struct dlq_linear_method_ops unquantized_method_ops;
extern const struct dlq_ext_inspect unquantized_inspect;

/// The method for one layer, or NULL after writing `err`.
void *
unquantized_method_create(const struct dlq_host *host, const struct dlq_layer_info *info,
                          struct dlq_error *err);

#endif // DLQ_UNQUANTIZED_H
