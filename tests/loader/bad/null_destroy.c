// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

// Cannot free a configuration.
#define TINY_NAME "null_destroy"
#define TINY_DESTROY NULL
#include "../tiny.h"
