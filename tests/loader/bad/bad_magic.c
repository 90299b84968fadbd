// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

// Not a descriptor of any version.
#define TINY_MAGIC 0x21444142u
#include "../tiny.h"
