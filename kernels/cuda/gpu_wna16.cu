// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

extern "C" {
#include "../gpu_wna16.h"
}

extern "C" const struct dlq_kg_wna16_ops *
dlq_kg_wna16(void)
{
    return nullptr;
}
