// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

// Answers to names that do not lead to its file.
#define TINY_NAME "somebody-else"
#include "../tiny.h"
