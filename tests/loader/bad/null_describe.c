// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

// Cannot describe a configuration.
#define TINY_NAME "null_describe"
#define TINY_DESCRIBE NULL
#include "../tiny.h"
