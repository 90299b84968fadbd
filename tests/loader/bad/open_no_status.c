// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

// open() returns a number that is no status.
#define TINY_NAME "open_no_status"
#define TINY_OPEN refuse
#include <dlquant/plugin.h>

static int32_t
refuse(const struct dlq_host *host, void **ctx, struct dlq_error *err);

#include "../tiny.h"

static int32_t
refuse(const struct dlq_host *host, void **ctx, struct dlq_error *err)
{
    (void)host;
    (void)ctx;
    (void)err;
    return -1;
}
