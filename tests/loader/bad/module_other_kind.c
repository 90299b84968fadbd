// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

// Serves another kind of device than its file name says.
#define MODULE_KIND 5
#include "../module.h"
