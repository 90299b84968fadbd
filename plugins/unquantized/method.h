// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_UNQUANTIZED_METHOD_H
#define DLQ_UNQUANTIZED_METHOD_H

#include "../../kernels/gpu_dense.h"
#include "../../kernels/linear_dense.h"
#include "unquantized.h"

/// The method of one layer, and what it does differently on a GPU: there weights stay as they were
/// loaded.

struct unquantized_method {
    struct dlq_k_dense weight; ///< data is NULL before process_weights(); CPU only
    struct dlq_k_dense_ops ops;
    const struct dlq_kg_dense_ops *gpu_ops; ///< NULL on a CPU
    struct dlq_kg_dense gpu;                ///< weights is NULL before process_weights()
    void *narrow_bias; ///< On `device`, from the host; NULL where apply() has no use for one
    struct dlq_device device;
    uint32_t act_dtype;
    int32_t n_threads; ///< Threads that workspaces are made for
};

int32_t
unquantized_gpu_plan(const struct unquantized_method *m, const struct dlq_host *host,
                     const struct dlq_layer_info *info, struct dlq_kg_dense *out,
                     struct dlq_error *err);

int32_t
unquantized_gpu_process(struct unquantized_method *m, const struct dlq_host *host,
                        struct dlq_layer *layer, const struct dlq_layer_info *info,
                        const struct dlq_tensor *weight, struct dlq_error *err);

void
unquantized_gpu_explain(const struct unquantized_method *m, const struct dlq_kg_dense *gpu,
                        const struct dlq_layer_info *info, struct dlq_explanation *out);

/// The weights as fp32 [n, k] in host memory.
int32_t
unquantized_gpu_dequantize(const struct unquantized_method *m, const struct dlq_host *host,
                           const struct dlq_layer_info *info, float *weight, struct dlq_error *err);

#endif // DLQ_UNQUANTIZED_METHOD_H
