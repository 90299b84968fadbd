// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "emulator.h"

/// A device module whose functions are those of the test program that loads it.

DLQ_EXPORT const struct dlq_device_ops *
dlq_device_module(void);

const struct dlq_device_ops *
dlq_device_module(void)
{
    return &test_device_ops;
}
