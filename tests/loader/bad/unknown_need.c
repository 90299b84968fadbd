// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

// Needs a service that no host has.
#define TINY_NEED (DLQ_NEED_ALLOC | UINT64_C(1) << 40)
#include "../tiny.h"
