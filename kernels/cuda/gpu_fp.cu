// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

extern "C" {
#include "../gpu_fp.h"
}

extern "C" const struct dlq_kg_fp_ops *
dlq_kg_fp(void)
{
    return nullptr;
}
