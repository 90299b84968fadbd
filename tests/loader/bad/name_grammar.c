// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

// A name outside the grammar.
#define TINY_NAME "Name/../Grammar"
#include "../tiny.h"
