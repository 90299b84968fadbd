// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

// Exports nothing.
#define TINY_NO_QUERY
#include "../tiny.h"
