// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

extern "C" {
#include "../gpu_dense.h"
}

extern "C" const struct dlq_kg_dense_ops *
dlq_kg_dense(void)
{
    return nullptr;
}
