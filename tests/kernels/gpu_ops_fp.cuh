// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// fp layers whose calls are timed.
#ifndef DLQ_TESTS_KERNELS_GPU_OPS_FP_CUH
#define DLQ_TESTS_KERNELS_GPU_OPS_FP_CUH

extern "C" {
#include "kernels/gpu_fp.h"
}

#include "gpu_ops.cuh"

namespace ops
{

struct fp_kind {
    const char *name;
    uint32_t dtype, scale_dtype, act;
    int64_t group; // 0: a whole row
    int64_t scale_rows;
    enum dlq_k_fp_activation activation;
    int32_t capability; // to plan for; 0: the device's
};

inline struct dlq_kg_fp_desc
fp_desc(const fp_kind &v, int64_t k, int64_t n)
{
    struct dlq_kg_fp_desc d = {};
    d.shape.k = k;
    d.shape.n = n;
    d.shape.dtype = v.dtype;
    d.shape.scale_dtype = v.scale_dtype;
    d.shape.group = v.group == 0 ? k : v.group;
    d.shape.scale_rows = v.scale_rows;
    d.shape.activation = v.activation;
    d.shape.act_group = 128;
    d.shape.act_scale = 300.0f;
    d.device = device_info();
    d.device.capability = v.capability != 0 ? v.capability : d.device.capability;
    d.act_dtype = v.act;
    return d;
}

} // namespace ops

#endif
