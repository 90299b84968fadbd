// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "method.h"

#include "../common/gpu.h"
#include "../common/layer.h"
#include "../common/run.h"

#include <stdio.h>

/// Creates, packs and dispatches; the arithmetic is kernels/linear_dense.h and gpu_dense.h.

void *
unquantized_method_create(const struct dlq_host *host, const struct dlq_layer_info *info,
                          struct dlq_error *err)
{
    struct unquantized_method *const m = dlq_host_calloc(host, sizeof(*m), err);
    if (m) {
        m->act_dtype = info->act_dtype;
        m->n_threads = host->n_threads(host->ctx);
        m->gpu_ops = dlq_gpu_is(info) ? dlq_kg_dense() : NULL;
        dlq_k_dense_init(&m->ops, info->device.cpu_flags);
    }
    return m;
}

static int32_t
method_can_implement(void *method, const struct dlq_host *host, const struct dlq_layer_info *info,
                     struct dlq_error *err)
{
    const struct unquantized_method *const m = method;
    const int32_t status = dlq_gpu_check_device(host, info, "unquantized", err);
    if (status != DLQ_OK) {
        return status;
    }
    if (!dlq_act_dtype_bit(info->act_dtype) || !dlq_act_dtype_bit(info->params_dtype)) {
        return host->fail(
            err, DLQ_EDTYPE, "%s: unquantized takes fp16, bf16 or fp32; x is %s, weight is %s",
            info->prefix, dlq_dtype_name(info->act_dtype), dlq_dtype_name(info->params_dtype));
    }
    struct dlq_kg_dense gpu;
    struct dlq_k_dense plan;
    if (m->gpu_ops) {
        return unquantized_gpu_plan(m, host, info, &gpu, err);
    }
    const int result = dlq_k_dense_plan(&plan, info->input_size_per_partition,
                                        info->output_size_per_partition, info->params_dtype);
    return result == DLQ_K_OK ? DLQ_OK : dlq_run_fail(host, info, "weight", result, 0, err);
}

static int32_t
method_create_weights(void *method, const struct dlq_host *host, struct dlq_layer *layer,
                      const struct dlq_layer_info *info, struct dlq_error *err)
{
    struct unquantized_method *const m = method;
    const int64_t shape[] = {info->output_size_per_partition, info->input_size_per_partition};
    if (m->gpu_ops) {
        const int32_t status = unquantized_gpu_plan(m, host, info, &m->gpu, err);
        if (status != DLQ_OK) {
            return status;
        }
    } else {
        const int result = dlq_k_dense_plan(&m->weight, shape[1], shape[0], info->params_dtype);
        if (result != DLQ_K_OK) {
            return dlq_run_fail(host, info, "weight", result, 0, err);
        }
    }
    struct dlq_param_desc desc = dlq_param_desc_init("weight", info->params_dtype, 2, shape);
    desc.flags = DLQ_PARAM_CAST;
    desc.output_dim = 0;
    desc.input_dim = 1;
    return host->param_declare(layer, &desc, err);
}

static int32_t
method_process_weights(void *method, const struct dlq_host *host, struct dlq_layer *layer,
                       const struct dlq_layer_info *info, struct dlq_error *err)
{
    struct unquantized_method *const m = method;
    struct dlq_tensor weight = {.struct_size = DLQ_SIZE_UPTO(struct dlq_tensor, strides)};
    int32_t status = host->param_get(layer, "weight", &weight, err);
    if (status != DLQ_OK) {
        return status;
    }
    if (m->gpu_ops) {
        return unquantized_gpu_process(m, host, layer, info, &weight, err);
    }
    void *const data = dlq_run_pack_alloc(host, info, m->weight.bytes, err);
    if (!data) {
        return DLQ_ENOMEM;
    }
    const struct dlq_k_parallel parallel = dlq_run_parallel(host, m->n_threads);
    struct dlq_k_dense packed = m->weight;
    const int result = dlq_k_dense_pack(&packed, weight.data, m->weight.k, data, &parallel);
    if (result != DLQ_K_OK) {
        dlq_run_pack_free(host, info, data);
        return dlq_run_fail(host, info, "weight", result, 0, err);
    }
    status = dlq_run_pack_commit(host, layer, info, "weight", data, packed.bytes, err);
    if (status == DLQ_OK) {
        m->weight = packed;
    }
    return status;
}

static size_t
method_workspace_size(const void *method, int64_t max_m)
{
    const struct unquantized_method *const m = method;
    if (m->gpu_ops) {
        return m->gpu_ops->workspace_size(&m->gpu, max_m);
    }
    return (size_t)m->ops.workspace_size(&m->weight, max_m, m->n_threads);
}

static int32_t
method_apply(const void *method, const struct dlq_linear_call *call, struct dlq_error *err)
{
    const struct unquantized_method *const m = method;
    if (m->gpu_ops) {
        const struct dlq_kg_call c = dlq_gpu_call(call);
        return dlq_gpu_result(m->gpu_ops->apply(&m->gpu, &c), err);
    }
    const struct dlq_k_parallel parallel = dlq_run_parallel(call->host, m->n_threads);
    const struct dlq_k_linear_call c = dlq_run_call(call, m->act_dtype, &parallel);
    return dlq_run_result(m->ops.apply(&m->weight, &c), err);
}

static int32_t
method_explain(const void *method, const struct dlq_host *host, const struct dlq_layer_info *info,
               struct dlq_explanation *out, struct dlq_error *err)
{
    const struct unquantized_method *const m = method;
    snprintf(out->scheme, sizeof(out->scheme), "unquantized %s",
             dlq_dtype_name(info->params_dtype));
    if (m->gpu_ops) {
        struct dlq_kg_dense gpu;
        const int32_t status = unquantized_gpu_plan(m, host, info, &gpu, err);
        if (status == DLQ_OK) {
            unquantized_gpu_explain(m, &gpu, info, out);
        }
        return status;
    }
    snprintf(out->kernel, sizeof(out->kernel), "dense %s", m->ops.name);
    out->note[0] = '\0';
    out->group = 0;
    out->padded_k = m->weight.k_padded;
    out->padded_n = m->weight.blocks * 16;
    out->weight_bytes = m->weight.bytes;
    return DLQ_OK;
}

static void
method_destroy(void *method, const struct dlq_host *host)
{
    struct unquantized_method *const m = method;
    if (m && m->gpu_ops) {
        m->gpu_ops->release(&m->gpu);
        host->free(host->ctx, m->device, m->narrow_bias);
    }
    dlq_host_free(host, method);
}

const struct dlq_linear_method_ops unquantized_method_ops = {
    .struct_size = DLQ_SIZE_UPTO(struct dlq_linear_method_ops, destroy),
    .can_implement = method_can_implement,
    .create_weights = method_create_weights,
    .process_weights = method_process_weights,
    .workspace_size = method_workspace_size,
    .apply = method_apply,
    .explain = method_explain,
    .destroy = method_destroy,
};

static int32_t
inspect_dequantize(const void *method, const struct dlq_host *host,
                   const struct dlq_layer_info *info, float *weight, struct dlq_error *err)
{
    const struct unquantized_method *const m = method;
    const struct dlq_k_dense *const w = &m->weight;
    if (!w->data && !m->gpu.weights) {
        return host->fail(err, DLQ_ESTATE, "%s: the weights are not processed", info->prefix);
    }
    if (m->gpu_ops) {
        return unquantized_gpu_dequantize(m, host, info, weight, err);
    }
    dlq_k_dense_unpack(w, 0, w->n, weight);
    return DLQ_OK;
}

static int32_t
inspect_code_kind(const void *method, int64_t *scales_per_row)
{
    (void)method;
    *scales_per_row = 0;
    return DLQ_CODES_NONE;
}

const struct dlq_ext_inspect unquantized_inspect = {
    .struct_size = DLQ_SIZE_UPTO(struct dlq_ext_inspect, accumulate),
    .dequantize = inspect_dequantize,
    .code_kind = inspect_code_kind,
};
