// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

// No list of devices.
#define TINY_NAME "null_devices"
#define TINY_DEVICES NULL
#include "../tiny.h"
