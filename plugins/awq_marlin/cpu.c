// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "../common/layer.h"
#include "../common/run.h"
#include "method.h"

#include <stdio.h>

/// AWQ layers on a CPU: kernels/linear_wna16.h.

static int32_t
cpu_plan(const struct awq_method *m, const struct dlq_host *host, const struct dlq_layer_info *info,
         const struct dlq_groups *groups, union awq_weight *out, struct dlq_error *err)
{
    const struct dlq_k_wna16_shape shape = awq_shape(m, info, groups);
    const int result = dlq_k_wna16_plan(&out->cpu, &shape, m->scale_dtype, NULL, NULL);
    return result == DLQ_K_OK ? DLQ_OK : dlq_run_fail(host, info, "qweight", result, 0, err);
}

static int32_t
cpu_pack(struct awq_method *m, const struct dlq_host *host, struct dlq_layer *layer,
         const struct dlq_layer_info *info, const struct awq_params *in, struct dlq_error *err)
{
    dlq_scales_warn_zero(host, info, "scales", &in->scales);
    void *const data = dlq_run_pack_alloc(host, info, m->weight.cpu.bytes, err);
    if (!data) {
        return DLQ_ENOMEM;
    }
    const struct dlq_k_wna16_source source = awq_source(m, in);
    const struct dlq_k_parallel parallel = dlq_run_parallel(host, m->n_threads);
    struct dlq_k_wna16 packed = m->weight.cpu;
    int64_t bad = 0;
    const int result = dlq_k_wna16_pack(&packed, &source, data, &parallel, &bad);
    if (result != DLQ_K_OK) {
        dlq_run_pack_free(host, info, data);
        return dlq_run_fail(host, info, "scales", result, bad, err);
    }
    const int32_t status =
        dlq_run_pack_commit(host, layer, info, "qweight", data, packed.bytes, err);
    if (status == DLQ_OK) {
        m->weight.cpu = packed;
    }
    return status;
}

static size_t
cpu_workspace_size(const struct awq_method *m, int64_t max_m)
{
    return (size_t)m->cpu_ops.workspace_size(&m->weight.cpu, DLQ_K_WNA16_EXACT, max_m,
                                             m->n_threads);
}

static int32_t
cpu_apply(const struct awq_method *m, const struct dlq_linear_call *call, struct dlq_error *err)
{
    const struct dlq_k_parallel parallel = dlq_run_parallel(call->host, m->n_threads);
    const struct dlq_k_linear_call c = dlq_run_call(call, m->act_dtype, &parallel);
    return dlq_run_result(m->cpu_ops.apply(&m->weight.cpu, DLQ_K_WNA16_EXACT, &c), err);
}

static void
cpu_explain(const struct awq_method *m, const union awq_weight *weight,
            const struct dlq_layer_info *info, struct dlq_explanation *out)
{
    (void)info;
    snprintf(out->kernel, sizeof(out->kernel), "wna16 %s%s", m->cpu_ops.name,
             m->cpu_ops.fixed_point ? " two-limb" : "");
    out->padded_k = weight->cpu.groups * weight->cpu.group_k;
    out->padded_n = weight->cpu.blocks * 16;
    out->weight_bytes = weight->cpu.bytes;
}

static int32_t
cpu_dequantize(const struct awq_method *m, const struct dlq_host *host,
               const struct dlq_layer_info *info, float *weight, struct dlq_error *err)
{
    (void)host;
    (void)info;
    (void)err;
    dlq_k_wna16_dequantize(&m->weight.cpu, 0, m->weight.cpu.shape.n, weight);
    return DLQ_OK;
}

const struct awq_backend awq_cpu = {
    .plan = cpu_plan,
    .pack = cpu_pack,
    .workspace_size = cpu_workspace_size,
    .apply = cpu_apply,
    .explain = cpu_explain,
    .dequantize = cpu_dequantize,
};
