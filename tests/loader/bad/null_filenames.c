// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

// No list of configuration files.
#define TINY_NAME "null_filenames"
#define TINY_FILENAMES NULL
#include "../tiny.h"
