// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include <dlquant/runtime.h>

const char *
dlq_version(void)
{
    return DLQ_VERSION;
}
