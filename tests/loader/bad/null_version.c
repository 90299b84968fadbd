// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

// No version.
#define TINY_NAME "null_version"
#define TINY_NULL_VERSION
#include "../tiny.h"
