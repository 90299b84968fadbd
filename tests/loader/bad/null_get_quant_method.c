// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

// Cannot choose a method.
#define TINY_NAME "null_get_quant_method"
#define TINY_GET_QUANT_METHOD NULL
#include "../tiny.h"
