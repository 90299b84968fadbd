// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

extern "C" {
#include "../gpu_w8a8.h"
}

extern "C" const struct dlq_kg_w8a8_ops *
dlq_kg_w8a8(void)
{
    return nullptr;
}
