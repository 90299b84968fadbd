// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_AWQ_METHOD_H
#define DLQ_AWQ_METHOD_H

#include "../../kernels/gpu_wna16.h"
#include "../../kernels/linear_wna16.h"
#include "../common/groups.h"
#include "awq_marlin.h"

/// The method of one layer: what CPUs and GPUs share is method.c, the rest one file each.

/// Packed weights of either side; the data pointer is NULL before process_weights().
union awq_weight {
    struct dlq_k_wna16 cpu;
    struct dlq_kg_wna16 gpu;
};

struct awq_method {
    const struct awq_config *config;
    const struct awq_backend *backend;
    struct dlq_groups groups;
    union awq_weight weight;
    struct dlq_k_wna16_ops cpu_ops;
    const struct dlq_kg_wna16_ops *gpu_ops; ///< NULL on a CPU
    uint32_t act_dtype;
    uint32_t scale_dtype; ///< As the checkpoint stores scales, so that none is rounded
    int32_t n_threads;    ///< Threads that workspaces are made for
    bool packed;          ///< process_weights() has succeeded
};

/// The loaded parameters of a layer; zeros is empty when symmetric.
struct awq_params {
    struct dlq_tensor qweight;
    struct dlq_tensor qzeros;
    struct dlq_tensor scales;
};

/// What differs between CPU and GPU.
struct awq_backend {
    /// Choose the packed form of a layer. [any-thread]
    int32_t (*plan)(const struct awq_method *m, const struct dlq_host *host,
                    const struct dlq_layer_info *info, const struct dlq_groups *groups,
                    union awq_weight *out, struct dlq_error *err);
    /// Pack and put the packed form in the place of "qweight". [setup]
    int32_t (*pack)(struct awq_method *m, const struct dlq_host *host, struct dlq_layer *layer,
                    const struct dlq_layer_info *info, const struct awq_params *in,
                    struct dlq_error *err);
    size_t (*workspace_size)(const struct awq_method *m, int64_t max_m);
    int32_t (*apply)(const struct awq_method *m, const struct dlq_linear_call *call,
                     struct dlq_error *err);
    /// Kernel, padding and bytes of `weight`. [any-thread]
    void (*explain)(const struct awq_method *m, const union awq_weight *weight,
                    const struct dlq_layer_info *info, struct dlq_explanation *out);
    /// The packed weights as fp32 [n, k] in host memory.
    int32_t (*dequantize)(const struct awq_method *m, const struct dlq_host *host,
                          const struct dlq_layer_info *info, float *weight, struct dlq_error *err);
};

extern const struct awq_backend awq_cpu;
extern const struct awq_backend awq_gpu;

/// The shape that both sides plan with.
struct dlq_k_wna16_shape
awq_shape(const struct awq_method *m, const struct dlq_layer_info *info,
          const struct dlq_groups *groups);

/// The loaded parameters as packers take them.
struct dlq_k_wna16_source
awq_source(const struct awq_method *m, const struct awq_params *in);

#endif // DLQ_AWQ_METHOD_H
