// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

// Needs services of a later host.
#define TINY_MINOR (DLQ_ABI_MINOR + 3)
#define TINY_HOST_MIN (DLQ_ABI_MINOR + 2)
#include "../tiny.h"
