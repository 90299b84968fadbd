// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

// No name at all.
#define TINY_NAME "null_name"
#define TINY_NULL_NAME
#include "../tiny.h"
