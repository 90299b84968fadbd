// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "wna16.h"

void
dlq_k_wna16_init(struct dlq_k_wna16_ops *ops, uint32_t cpu_flags)
{
    dlq_wna16_init_ref(ops);
#if defined(__x86_64__)
    if ((cpu_flags & DLQ_CPU_AVX2) == 0) {
        return;
    }
    dlq_wna16_init_avx2(ops);
    if ((cpu_flags & DLQ_CPU_AVX_VNNI) != 0) {
        dlq_wna16_init_avx_vnni(ops);
    }
    const uint32_t vnni = DLQ_CPU_AVX512 | DLQ_CPU_AVX512_VNNI;
    if ((cpu_flags & vnni) != vnni) {
        return;
    }
    dlq_wna16_init_avx512_vnni(ops);
    if ((cpu_flags & DLQ_CPU_AMX_INT8) != 0) {
        dlq_wna16_init_amx_int8(ops);
    }
#elif defined(__aarch64__)
    if ((cpu_flags & DLQ_CPU_NEON_DOTPROD) == 0) {
        return;
    }
    dlq_wna16_init_neon_dotprod(ops);
    if ((cpu_flags & DLQ_CPU_NEON_I8MM) != 0) {
        dlq_wna16_init_neon_i8mm(ops);
    }
#else
    (void)cpu_flags;
#endif
}
