// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

// The table of configuration functions ends too early.
#define TINY_NAME "config_small"
#define TINY_CONFIG_SIZE DLQ_SIZE_UPTO(struct dlq_quant_config_ops, create)
#include "../tiny.h"
