// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
#include "sm90_w4.h"

// A set for each workspace ever used, never given back: a graph may hold it.
enum { SETS = DLQ_K_W4_WORKSPACES, FLAGS = 256 };

static __device__ unsigned w4_flags[SETS][FLAGS];

int
w4_flags_of(const void *workspace, int count, unsigned **flags)
{
    static const void *owners[SETS];
    if (count > FLAGS)
        return DLQ_K_W4_WORKSPACE;
    for (int i = 0; i < SETS; i++) {
        const void *owner = __atomic_load_n(&owners[i], __ATOMIC_RELAXED);
        // A lost race leaves the winner in `owner`.
        if (owner == NULL && __atomic_compare_exchange_n(&owners[i], &owner, workspace, false,
                                                         __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            owner = workspace;
        if (owner == workspace) {
            void *all;
            const cudaError_t err = cudaGetSymbolAddress(&all, w4_flags);
            *flags = (unsigned *)all + (size_t)i * FLAGS;
            return (int)err;
        }
    }
    return DLQ_K_W4_WORKSPACE;
}
