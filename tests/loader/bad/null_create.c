// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

// Cannot make a configuration.
#define TINY_NAME "null_create"
#define TINY_CREATE NULL
#include "../tiny.h"
