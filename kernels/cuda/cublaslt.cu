// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
#include "cublaslt.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>

namespace
{

dlq_cublaslt library;
bool found;
pthread_once_t once = PTHREAD_ONCE_INIT;

template <class Function>
bool
resolve(void *handle, Function *to, const char *name)
{
    *to = (Function)dlsym(handle, name);
    return *to != nullptr;
}

bool
resolve_all(void *handle, dlq_cublaslt *l)
{
    size_t (*version)(void);
    if (!resolve(handle, &l->create, "cublasLtCreate") ||
        !resolve(handle, &l->destroy, "cublasLtDestroy") ||
        !resolve(handle, &l->matmul, "cublasLtMatmul") ||
        !resolve(handle, &l->heuristic, "cublasLtMatmulAlgoGetHeuristic") ||
        !resolve(handle, &l->desc_init, "cublasLtMatmulDescInit_internal") ||
        !resolve(handle, &l->desc_set, "cublasLtMatmulDescSetAttribute") ||
        !resolve(handle, &l->layout_init, "cublasLtMatrixLayoutInit_internal") ||
        !resolve(handle, &l->preference_init, "cublasLtMatmulPreferenceInit_internal") ||
        !resolve(handle, &l->preference_set, "cublasLtMatmulPreferenceSetAttribute") ||
        !resolve(handle, &version, "cublasLtGetVersion")) {
        return false;
    }
    const int v = (int)version();
    snprintf(l->name, sizeof(l->name), "dense cublasLt %d.%d", v / 10000, v / 100 % 100);
    snprintf(l->tf32, sizeof(l->tf32), "%s, tf32", l->name);
    return true;
}

void
open_library(void)
{
    // The structs that callers keep are the same in both: 12 only has fewer attributes.
    static const char *const names[] = {"libcublasLt.so.13", "libcublasLt.so.12"};
    for (const char *name : names) {
        void *const handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
        if (handle && resolve_all(handle, &library)) {
            found = true;
            return;
        }
        if (handle) {
            dlclose(handle);
        }
    }
}

} // namespace

const struct dlq_cublaslt *
dlq_cublaslt_load(void)
{
    pthread_once(&once, open_library);
    return found ? &library : nullptr;
}
