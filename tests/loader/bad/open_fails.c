// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

// open() refuses.
#define TINY_NAME "open_fails"
#define TINY_OPEN refuse
#include <dlquant/plugin.h>

static int32_t
refuse(const struct dlq_host *host, void **ctx, struct dlq_error *err);

#include "../tiny.h"

static int32_t
refuse(const struct dlq_host *host, void **ctx, struct dlq_error *err)
{
    (void)ctx;
    return host->fail(err, DLQ_EDEVICE, "the coprocessor is on holiday");
}
