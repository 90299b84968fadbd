// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// Weight-only integer layers, packed on the GPU and by plain C from the same arrays.
#ifndef DLQ_TESTS_KERNELS_GPU_OPS_WNA16_CUH
#define DLQ_TESTS_KERNELS_GPU_OPS_WNA16_CUH

extern "C" {
#include "kernels/gpu_wna16.h"
}

#include "gpu_ops.cuh"

namespace ops::wna16
{

struct variant {
    int64_t group; // at most k
    int bits;
    bool zeros;
    enum dlq_k_wna16_source_layout layout;
    bool signed_codes;
    int zero_add;
    bool act_order;
    int64_t lost; // act order: groups that a shard has no rows of
    uint32_t scale_dtype;
    int activation;
    int capability; // to plan for; 0: the device's own
};

// One layer on both sides.
struct pair {
    layout l;
    variant v;
    int64_t groups;
    uint8_t *codes, *zeros; // [n, k], [n, groups], unsigned
    void *scales;           // as the layout wants them
    int32_t *g_idx;         // or NULL
    void *packed_codes, *packed_zeros;
    int64_t code_bytes, zero_bytes, scale_bytes;
    struct dlq_k_wna16 cpu;
    struct dlq_kg_wna16 gpu;
    void *cpu_data, *gpu_data;
    float *weights; // [n, k], the CPU's
    char what[200];
};

struct dlq_kg_wna16_desc
desc_of(const pair &p);
struct dlq_kg_wna16_source
source_of(const pair &p);

// False when planning or packing failed; pair_free() is due either way.
bool
pair_make(pair *p, const layout &l, const variant &v);
void
pair_free(pair *p);

// Of plans and of packing.
void
check_refusals(void);

} // namespace ops::wna16

#endif
