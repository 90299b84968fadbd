// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

// The descriptor ends before its last mandatory member.
#define TINY_SIZE DLQ_SIZE_UPTO(struct dlq_plugin, open)
#include "../tiny.h"
