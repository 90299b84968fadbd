// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "wna16.h"

void
dlq_k_wna16_init(struct dlq_k_wna16_ops *ops, uint32_t cpu_flags)
{
    (void)cpu_flags;
    dlq_wna16_init_ref(ops);
}
