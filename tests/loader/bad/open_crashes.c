// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

// open() reads memory that is not there.
#define TINY_NAME "open_crashes"
#define TINY_OPEN crash
#include <dlquant/plugin.h>

static int32_t
crash(const struct dlq_host *host, void **ctx, struct dlq_error *err);

#include "../tiny.h"

static int32_t
crash(const struct dlq_host *host, void **ctx, struct dlq_error *err)
{
    (void)host;
    (void)ctx;
    (void)err;
    __builtin_trap();
}
