// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

// Needs a function that nobody has.
#define TINY_NAME "undefined_symbol"
#define TINY_DESTROY nobody_has_this
#include <dlquant/plugin.h>

void
nobody_has_this(void *config, const struct dlq_host *host);

#include "../tiny.h"
