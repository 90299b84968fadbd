// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "../common/gpu.h"
#include "../common/layer.h"
#include "../common/run.h"
#include "method.h"

/// AWQ layers on a GPU: kernels/gpu_wna16.h.

static int32_t
gpu_plan(const struct awq_method *m, const struct dlq_host *host, const struct dlq_layer_info *info,
         const struct dlq_groups *groups, union awq_weight *out, struct dlq_error *err)
{
    const struct dlq_kg_wna16_desc desc = {
        .shape = awq_shape(m, info, groups),
        .device = dlq_gpu_device(info),
        .act_dtype = info->act_dtype,
        .scale_dtype = m->scale_dtype,
        .activation = DLQ_KG_WNA16_AS_IS,
    };
    const int result = m->gpu_ops->plan(&out->gpu, &desc);
    return result == DLQ_K_OK ? DLQ_OK : dlq_gpu_fail(host, info, "qweight", result, 0, err);
}

static int32_t
gpu_pack(struct awq_method *m, const struct dlq_host *host, struct dlq_layer *layer,
         const struct dlq_layer_info *info, const struct awq_params *in, struct dlq_error *err)
{
    int32_t status = dlq_gpu_scales_warn_zero(host, info, "scales", &in->scales, err);
    void *const data =
        status == DLQ_OK ? dlq_run_pack_alloc(host, info, m->weight.gpu.bytes, err) : NULL;
    if (!data) {
        return status == DLQ_OK ? DLQ_ENOMEM : status;
    }
    const struct dlq_kg_wna16_source source = {.arrays = awq_source(m, in)};
    struct dlq_kg_wna16 packed = m->weight.gpu;
    int64_t bad = 0;
    const int result = m->gpu_ops->pack(&packed, &source, data, &bad);
    if (result != DLQ_K_OK) {
        dlq_run_pack_free(host, info, data);
        return dlq_gpu_fail(host, info, "scales", result, bad, err);
    }
    status = dlq_run_pack_commit(host, layer, info, "qweight", data, packed.bytes, err);
    if (status == DLQ_OK) {
        m->weight.gpu = packed;
    }
    return status;
}

static size_t
gpu_workspace_size(const struct awq_method *m, int64_t max_m)
{
    return m->gpu_ops->workspace_size(&m->weight.gpu, max_m);
}

static int32_t
gpu_apply(const struct awq_method *m, const struct dlq_linear_call *call, struct dlq_error *err)
{
    const struct dlq_kg_call c = dlq_gpu_call(call);
    return dlq_gpu_result(m->gpu_ops->apply(&m->weight.gpu, &c), err);
}

static void
gpu_explain(const struct awq_method *m, const union awq_weight *weight,
            const struct dlq_layer_info *info, struct dlq_explanation *out)
{
    dlq_gpu_explain(out, m->gpu_ops->kernel(&weight->gpu, 1),
                    m->gpu_ops->kernel(&weight->gpu, dlq_gpu_many_rows(info)), weight->gpu.padded_k,
                    weight->gpu.padded_n, weight->gpu.bytes);
}

static int32_t
gpu_dequantize(const struct awq_method *m, const struct dlq_host *host,
               const struct dlq_layer_info *info, float *weight, struct dlq_error *err)
{
    const int result =
        m->gpu_ops->dequantize(&m->weight.gpu, 0, m->weight.gpu.desc.shape.n, weight);
    return result == DLQ_K_OK ? DLQ_OK : dlq_gpu_fail(host, info, "qweight", result, 0, err);
}

const struct awq_backend awq_gpu = {
    .plan = gpu_plan,
    .pack = gpu_pack,
    .workspace_size = gpu_workspace_size,
    .apply = gpu_apply,
    .explain = gpu_explain,
    .dequantize = gpu_dequantize,
};
