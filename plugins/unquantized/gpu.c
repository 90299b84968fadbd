// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "../common/gpu.h"
#include "../../kernels/float16.h"
#include "../common/layer.h"
#include "../common/run.h"
#include "method.h"

#include <stdlib.h>
#include <string.h>

static bool
wants_tf32(void)
{
    const char *const tf32 = getenv("DLQ_TF32");
    return tf32 && strcmp(tf32, "1") == 0;
}

int32_t
unquantized_gpu_plan(const struct unquantized_method *m, const struct dlq_host *host,
                     const struct dlq_layer_info *info, struct dlq_kg_dense *out,
                     struct dlq_error *err)
{
    const struct dlq_kg_dense_desc desc = {
        .k = info->input_size_per_partition,
        .n = info->output_size_per_partition,
        .device = dlq_gpu_device(info),
        .dtype = info->params_dtype,
        .act_dtype = info->act_dtype,
        .tf32 = wants_tf32(),
    };
    const int result = m->gpu_ops->plan(out, &desc);
    return result == DLQ_K_OK ? DLQ_OK : dlq_gpu_fail(host, info, "weight", result, 0, err);
}

// A bias from a checkpoint in the type of x is one again without a rounding, and the library's.
static int32_t
keep_bias(struct unquantized_method *m, const struct dlq_host *host, struct dlq_layer *layer,
          const struct dlq_layer_info *info, struct dlq_error *err)
{
    struct dlq_tensor bias = {.struct_size = DLQ_SIZE_UPTO(struct dlq_tensor, strides)};
    int32_t status = host->param_get(layer, "bias", &bias, err);
    if (status != DLQ_OK) {
        return status;
    }
    m->device = info->device.device;
    m->narrow_bias =
        dlq_run_pack_alloc(host, info, m->gpu.desc.n * (DLQ_DTYPE_BITS(info->act_dtype) / 8), err);
    if (!m->narrow_bias) {
        return DLQ_ENOMEM;
    }
    const int result = m->gpu_ops->keep_bias(&m->gpu, bias.data, m->narrow_bias);
    if (result != DLQ_K_OK) {
        return dlq_gpu_fail(host, info, "bias", result, 0, err);
    }
    if (!m->gpu.narrow) {
        host->free(host->ctx, m->device, m->narrow_bias);
        m->narrow_bias = NULL;
    }
    return DLQ_OK;
}

int32_t
unquantized_gpu_process(struct unquantized_method *m, const struct dlq_host *host,
                        struct dlq_layer *layer, const struct dlq_layer_info *info,
                        const struct dlq_tensor *weight, struct dlq_error *err)
{
    const int result = m->gpu_ops->prepare(&m->gpu, weight->data, info->max_m);
    if (result != DLQ_K_OK) {
        return dlq_gpu_fail(host, info, "weight", result, 0, err);
    }
    const bool narrow = info->has_bias && info->act_dtype != DLQ_F32;
    return narrow ? keep_bias(m, host, layer, info, err) : DLQ_OK;
}

void
unquantized_gpu_explain(const struct unquantized_method *m, const struct dlq_kg_dense *gpu,
                        const struct dlq_layer_info *info, struct dlq_explanation *out)
{
    dlq_gpu_explain(out, m->gpu_ops->kernel(gpu, 1),
                    m->gpu_ops->kernel(gpu, dlq_gpu_many_rows(info)), gpu->desc.k, gpu->desc.n,
                    gpu->desc.k * gpu->desc.n * (DLQ_DTYPE_BITS(gpu->desc.dtype) / 8));
}

int32_t
unquantized_gpu_dequantize(const struct unquantized_method *m, const struct dlq_host *host,
                           const struct dlq_layer_info *info, float *weight, struct dlq_error *err)
{
    const struct dlq_kg_dense_desc *const d = &m->gpu.desc;
    struct dlq_tensor t = {
        .struct_size = DLQ_SIZE_UPTO(struct dlq_tensor, strides),
        .dtype = d->dtype,
        .data = (void *)m->gpu.weights,
        .device = info->device.device,
        .ndim = 2,
        .shape = {d->n, d->k},
    };
    void *copy = NULL;
    const int32_t status = dlq_gpu_fetch(host, info, &t, &copy, err);
    for (int64_t i = 0; status == DLQ_OK && i < d->n * d->k; i++) {
        weight[i] = dlq_k_load_f32(t.data, d->dtype, i);
    }
    dlq_host_free(host, copy);
    return status;
}
