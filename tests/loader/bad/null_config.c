// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

// No configuration functions.
#define TINY_NAME "null_config"
#define TINY_CONFIG NULL
#include "../tiny.h"
