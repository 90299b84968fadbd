// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

// Built for a major that has nothing in common with this one.
#define TINY_MAJOR (DLQ_ABI_MAJOR + 1)
#include "../tiny.h"
