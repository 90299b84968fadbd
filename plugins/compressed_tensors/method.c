// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "../common/gpu.h"
#include "../common/layer.h"
#include "../common/run.h"
#include "ct.h"

/// The method of every layer: checks what all schemes share, then hands over to the layer's scheme.

static int32_t
method_can_implement(void *method, const struct dlq_host *host, const struct dlq_layer_info *info,
                     struct dlq_error *err)
{
    struct ct_layer *const l = method;
    const int32_t status = dlq_gpu_check_device(host, info, "compressed-tensors", err);
    if (status != DLQ_OK) {
        return status;
    }
    if (!dlq_act_dtype_bit(info->act_dtype)) {
        return host->fail(err, DLQ_EDTYPE,
                          "%s: compressed-tensors takes fp16, bf16 or fp32; x is %s", info->prefix,
                          dlq_dtype_name(info->act_dtype));
    }
    return l->ops->can_implement(l, host, info, err);
}

static int32_t
method_create_weights(void *method, const struct dlq_host *host, struct dlq_layer *layer,
                      const struct dlq_layer_info *info, struct dlq_error *err)
{
    struct ct_layer *const l = method;
    return l->ops->create_weights(l, host, layer, info, err);
}

static int32_t
method_process_weights(void *method, const struct dlq_host *host, struct dlq_layer *layer,
                       const struct dlq_layer_info *info, struct dlq_error *err)
{
    struct ct_layer *const l = method;
    const int32_t status = l->ops->process_weights(l, host, layer, info, err);
    l->processed = status == DLQ_OK;
    return status;
}

static size_t
method_workspace_size(const void *method, int64_t max_m)
{
    const struct ct_layer *const l = method;
    return l->ops->workspace_size(l, max_m);
}

static int32_t
method_apply(const void *method, const struct dlq_linear_call *call, struct dlq_error *err)
{
    const struct ct_layer *const l = method;
    return l->ops->apply(l, call, err);
}

int32_t
ct_cpu_apply(const struct ct_layer *l, const struct dlq_linear_call *call, struct dlq_error *err)
{
    const struct dlq_k_parallel parallel = dlq_run_parallel(call->host, l->n_threads);
    const struct dlq_k_linear_call c = dlq_run_call(call, l->act_dtype, &parallel);
    return dlq_run_result(l->ops->multiply(l, &c), err);
}

static int32_t
method_explain(const void *method, const struct dlq_host *host, const struct dlq_layer_info *info,
               struct dlq_explanation *out, struct dlq_error *err)
{
    const struct ct_layer *const l = method;
    ct_scheme_describe(l->group, out->scheme, sizeof(out->scheme));
    return l->ops->explain(l, host, info, out, err);
}

static void
method_destroy(void *method, const struct dlq_host *host)
{
    dlq_host_free(host, method);
}

const struct dlq_linear_method_ops ct_method_ops = {
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
    const struct ct_layer *const l = method;
    if (!l->processed) {
        return host->fail(err, DLQ_ESTATE, "%s: the weights are not processed", info->prefix);
    }
    return l->ops->dequantize(l, host, info, weight, err);
}

static int32_t
inspect_code_kind(const void *method, int64_t *scales_per_row)
{
    const struct ct_layer *const l = method;
    *scales_per_row = 0;
    return l->ops->code_kind ? l->ops->code_kind(l, scales_per_row) : DLQ_CODES_NONE;
}

static int32_t
inspect_quantize(const void *method, const struct dlq_host *host, const struct dlq_layer_info *info,
                 const void *x, int64_t m, void *codes, float *scales, int32_t *zero_points,
                 struct dlq_error *err)
{
    const struct ct_layer *const l = method;
    if (!l->ops->quantize) {
        return host->fail(err, DLQ_EUNSUPPORTED, "%s: its activations are not quantized",
                          info->prefix);
    }
    return l->ops->quantize(l, host, info, x, m, codes, scales, zero_points, err);
}

static int32_t
inspect_accumulate(const void *method, const struct dlq_host *host,
                   const struct dlq_layer_info *info, const void *codes, const int32_t *zero_points,
                   int64_t m, int32_t *acc, struct dlq_error *err)
{
    const struct ct_layer *const l = method;
    if (!l->ops->accumulate) {
        return host->fail(err, DLQ_EUNSUPPORTED, "%s: it has no integer accumulators",
                          info->prefix);
    }
    return l->ops->accumulate(l, info, codes, zero_points, m, acc);
}

const struct dlq_ext_inspect ct_inspect = {
    .struct_size = DLQ_SIZE_UPTO(struct dlq_ext_inspect, quantize_split),
    .dequantize = inspect_dequantize,
    .code_kind = inspect_code_kind,
    .quantize = inspect_quantize,
    .accumulate = inspect_accumulate,
    .quantize_split = ct_quantize_split,
};
