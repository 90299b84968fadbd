// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// The fragment form in a build without sm_90a: no layer has it.
#include "gpu_wna16_forms.h"

bool
wna16_fragment_plan(struct dlq_kg_wna16 *)
{
    return false;
}

int
wna16_fragment_pack(const struct dlq_kg_wna16 *, const struct dlq_k_grouped_source *, void *,
                    int64_t *)
{
    return -DLQ_K_EUNSUPPORTED;
}

int
wna16_fragment_unpack(const struct dlq_kg_wna16 *, int64_t, int64_t, float *, cudaStream_t)
{
    return -DLQ_K_EUNSUPPORTED;
}

size_t
wna16_fragment_workspace(const struct dlq_kg_wna16 *, int64_t)
{
    return 0;
}

int
wna16_fragment_apply(const struct dlq_kg_wna16 *, const struct dlq_kg_call *)
{
    return -DLQ_K_EUNSUPPORTED;
}

const char *
wna16_fragment_kernel(const struct dlq_kg_wna16 *, int64_t)
{
    return "";
}
