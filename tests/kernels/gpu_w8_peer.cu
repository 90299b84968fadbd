// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// cuBLASLt as a peer on the same machine: y^T = W x^T, column-major. FP8 with a scale a row and a
// column and fast accumulation, as ours. For int8 it takes no such scales: the product with int32
// sums, which its caller still has to scale and round in a second pass.
#include "gpu_w8.cuh"

#include "kernels/cuda/cublaslt.h"

namespace
{

enum { CHOICES = 6, PEER_BYTES = 64 << 20 };

struct peer {
    const struct dlq_cublaslt *lt;
    cublasLtHandle_t handle;
    cublasLtMatmulDesc_t desc;
    cublasLtMatrixLayout_t w, x, y;
    cublasLtMatmulDescOpaque_t desc_memory;
    cublasLtMatrixLayoutOpaque_t w_memory, x_memory, y_memory;
    cublasLtMatmulHeuristicResult_t found[CHOICES];
    int count;
    int choice;
    void *workspace;
    struct dlq_k_w8_gemm g;
};

bool
peer_make(struct peer *p, const struct dlq_k_w8_gemm *g)
{
    static cublasLtHandle_t handle;
    static void *workspace;
    const bool f8 = g->dtype == DLQ_F8_E4M3;
    p->lt = dlq_cublaslt_load();
    if (!p->lt || (!handle && p->lt->create(&handle) != CUBLAS_STATUS_SUCCESS))
        return false;
    if (!workspace)
        CUDA_OK(cudaMalloc(&workspace, PEER_BYTES));
    p->handle = handle;
    p->workspace = workspace;
    p->g = *g;
    p->desc = &p->desc_memory;
    p->w = &p->w_memory;
    p->x = &p->x_memory;
    p->y = &p->y_memory;
    const cudaDataType_t in = f8 ? CUDA_R_8F_E4M3 : CUDA_R_8I, out = f8 ? CUDA_R_16BF : CUDA_R_32I;
    const uint64_t m = (uint64_t)g->m, n = (uint64_t)g->n, k = (uint64_t)g->k;
    const cublasOperation_t transposed = CUBLAS_OP_T;
    cublasLtMatmulPreferenceOpaque_t preference;
    const size_t most = PEER_BYTES;
    bool ok =
        !p->lt->desc_init(p->desc, sizeof(p->desc_memory),
                          f8 ? CUBLAS_COMPUTE_32F : CUBLAS_COMPUTE_32I,
                          f8 ? CUDA_R_32F : CUDA_R_32I) &&
        !p->lt->desc_set(p->desc, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof transposed) &&
        !p->lt->layout_init(p->w, sizeof(p->w_memory), in, k, n, g->ldw) &&
        !p->lt->layout_init(p->x, sizeof(p->x_memory), in, k, m, g->ldx) &&
        !p->lt->layout_init(p->y, sizeof(p->y_memory), out, n, m, g->ldy) &&
        !p->lt->preference_init(&preference, sizeof preference) &&
        !p->lt->preference_set(&preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &most,
                               sizeof most);
    if (ok && f8) {
        const int32_t mode = CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F;
        const int8_t fast = 1;
        ok = !p->lt->desc_set(p->desc, CUBLASLT_MATMUL_DESC_A_SCALE_MODE, &mode, sizeof mode) &&
             !p->lt->desc_set(p->desc, CUBLASLT_MATMUL_DESC_B_SCALE_MODE, &mode, sizeof mode) &&
             !p->lt->desc_set(p->desc, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, &g->w_scale,
                              sizeof g->w_scale) &&
             !p->lt->desc_set(p->desc, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, &g->x_scale,
                              sizeof g->x_scale) &&
             !p->lt->desc_set(p->desc, CUBLASLT_MATMUL_DESC_FAST_ACCUM, &fast, sizeof fast);
    }
    return ok &&
           !p->lt->heuristic(p->handle, p->desc, p->w, p->x, p->y, p->y,
                             (cublasLtMatmulPreference_t)&preference, CHOICES, p->found, &p->count);
}

int
peer_run(void *context, const void *w, cudaStream_t stream)
{
    const struct peer *p = (const struct peer *)context;
    const float one = 1.0f, none = 0.0f;
    const int32_t int_one = 1, int_none = 0;
    const bool f8 = p->g.dtype == DLQ_F8_E4M3;
    return (int)p->lt->matmul(p->handle, p->desc, f8 ? (const void *)&one : &int_one, w, p->w,
                              p->g.x, p->x, f8 ? (const void *)&none : &int_none, p->g.y, p->y,
                              p->g.y, p->y, &p->found[p->choice].algo, p->workspace,
                              p->found[p->choice].workspaceSize, stream);
}

} // namespace

float
time_peer(const struct bed *b, const struct problem *problem)
{
    struct peer p = {};
    float best = -1.0f;
    if (!peer_make(&p, &problem->g))
        return best;
    for (p.choice = 0; p.choice < p.count; p.choice++) {
        pause_ms(problem->g.m);
        const float us = time_calls(b, problem, peer_run, &p, 1000.0f, 5);
        if (us > 0 && (best < 0 || us < best))
            best = us;
    }
    return best;
}
