// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

// Lacks a function.
#define MODULE_FLUSH NULL
#include "../module.h"
