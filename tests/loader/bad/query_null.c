// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

// dlq_plugin_query() has no descriptor.
#define TINY_QUERY_RESULT NULL
#include "../tiny.h"
