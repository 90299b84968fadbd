// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

// Built with another release of the library.
#define MODULE_VERSION "0.0.1"
#include "../module.h"
