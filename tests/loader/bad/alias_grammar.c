// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

// An alias outside the grammar.
#define TINY_NAME "alias_grammar"
#define TINY_ALIAS "two..dots"
#include "../tiny.h"
