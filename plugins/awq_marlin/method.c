// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "method.h"

#include "../common/field.h"
#include "../common/gpu.h"
#include "../common/layer.h"
#include "shape.h"

#include <string.h>

/// Declares, packs and dispatches; what depends on the device is awq_cpu or awq_gpu.
///
/// As stored, W[n, k] = (q[k, n] - z[k / g, n]) * s[k / g, n]:
///     qweight int32 [K, N / 8]      nibble order of pack/awq.h
///     qzeros  int32 [K / g, N / 8]  the same; absent when symmetric, then z = 8
///     scales  fp16  [K / g, N]
/// After process_weights() "qweight" holds the kernels' packed form and the others are dropped.

// The dtype that holds the scales of every part exactly.
static uint32_t
choose_scale_dtype(const struct dlq_layer_info *info)
{
    uint32_t dtype = DLQ_DTYPE_NONE;
    for (int32_t i = 0; i < info->n_parts; i++) {
        const struct dlq_evidence *const e = dlq_evidence_find(info, i, "scales");
        if (e && dlq_act_dtype_bit(e->dtype)) {
            dtype = dtype == DLQ_DTYPE_NONE || dtype == e->dtype ? e->dtype : DLQ_F32;
        }
    }
    return dtype == DLQ_DTYPE_NONE ? DLQ_F16 : dtype;
}

void *
awq_method_create(const struct awq_config *config, const struct dlq_host *host,
                  const struct dlq_layer_info *info, struct dlq_error *err)
{
    struct awq_method *const m = dlq_host_calloc(host, sizeof(*m), err);
    if (m) {
        m->config = config;
        m->act_dtype = info->act_dtype;
        m->scale_dtype = choose_scale_dtype(info);
        m->n_threads = host->n_threads(host->ctx);
        m->gpu_ops = dlq_gpu_is(info) ? dlq_kg_wna16() : NULL;
        m->backend = m->gpu_ops ? &awq_gpu : &awq_cpu;
        dlq_k_wna16_init(&m->cpu_ops, info->device.cpu_flags);
    }
    return m;
}

struct dlq_k_wna16_shape
awq_shape(const struct awq_method *m, const struct dlq_layer_info *info,
          const struct dlq_groups *groups)
{
    const struct dlq_k_wna16_shape shape = {
        .k = info->input_size_per_partition,
        .n = info->output_size_per_partition,
        .group = groups->rows,
        .n_groups = groups->count,
        .bits = 4,
        .has_zero_points = m->config->zero_point,
    };
    return shape;
}

struct dlq_k_wna16_source
awq_source(const struct awq_method *m, const struct awq_params *in)
{
    const struct dlq_k_wna16_source source = {
        .layout = DLQ_K_WNA16_AWQ,
        .codes = in->qweight.data,
        .zeros = in->qzeros.data,
        .scales = in->scales.data,
        .scale_dtype = m->scale_dtype,
    };
    return source;
}

static int32_t
method_can_implement(void *method, const struct dlq_host *host, const struct dlq_layer_info *info,
                     struct dlq_error *err)
{
    const struct awq_method *const m = method;
    struct dlq_groups groups;
    int32_t status = awq_groups_find(m->config, host, info, &groups, err);
    if (status != DLQ_OK) {
        return status;
    }
    if (!dlq_act_dtype_bit(info->act_dtype)) {
        return host->fail(err, DLQ_EDTYPE, "%s: awq_marlin takes fp16, bf16 or fp32; x is %s",
                          info->prefix, dlq_dtype_name(info->act_dtype));
    }
    status = dlq_gpu_check_device(host, info, "awq_marlin", err);
    union awq_weight weight;
    return status == DLQ_OK ? m->backend->plan(m, host, info, &groups, &weight, err) : status;
}

static int32_t
declare(const struct dlq_host *host, struct dlq_layer *layer, struct dlq_param_desc desc,
        const struct dlq_groups *groups, bool packed, struct dlq_error *err)
{
    desc.output_dim = 1;
    if (packed) {
        desc.packed_dim = 1;
        desc.pack_num = 8;
    }
    if (groups) {
        dlq_groups_describe(groups, 0, &desc);
    } else {
        desc.input_dim = 0;
    }
    return host->param_declare(layer, &desc, err);
}

static int32_t
method_create_weights(void *method, const struct dlq_host *host, struct dlq_layer *layer,
                      const struct dlq_layer_info *info, struct dlq_error *err)
{
    struct awq_method *const m = method;
    int32_t status = awq_groups_find(m->config, host, info, &m->groups, err);
    if (status == DLQ_OK) {
        status = m->backend->plan(m, host, info, &m->groups, &m->weight, err);
    }
    if (status != DLQ_OK) {
        return status;
    }
    const int64_t k = info->input_size_per_partition;
    const int64_t n = info->output_size_per_partition;
    const int64_t codes[] = {k, n / 8};
    const int64_t zeros[] = {m->groups.count, n / 8};
    const int64_t scales[] = {m->groups.count, n};
    struct dlq_param_desc desc = dlq_param_desc_init("scales", m->scale_dtype, 2, scales);
    desc.flags = DLQ_PARAM_CAST | DLQ_PARAM_FINITE;
    status = declare(host, layer, desc, &m->groups, false, err);
    if (status == DLQ_OK && m->config->zero_point) {
        status = declare(host, layer, dlq_param_desc_init("qzeros", DLQ_I32, 2, zeros), &m->groups,
                         true, err);
    }
    if (status == DLQ_OK) {
        status = declare(host, layer, dlq_param_desc_init("qweight", DLQ_I32, 2, codes), NULL, true,
                         err);
    }
    return status;
}

// Views of the loaded parameters.
static int32_t
get_params(const struct awq_method *m, const struct dlq_host *host, struct dlq_layer *layer,
           struct awq_params *out, struct dlq_error *err)
{
    const struct dlq_tensor empty = {.struct_size = DLQ_SIZE_UPTO(struct dlq_tensor, strides)};
    *out = (struct awq_params){.qweight = empty, .qzeros = empty, .scales = empty};
    int32_t status = host->param_get(layer, "qweight", &out->qweight, err);
    if (status == DLQ_OK) {
        status = host->param_get(layer, "scales", &out->scales, err);
    }
    if (status == DLQ_OK && m->config->zero_point) {
        status = host->param_get(layer, "qzeros", &out->qzeros, err);
    }
    return status;
}

static int32_t
method_process_weights(void *method, const struct dlq_host *host, struct dlq_layer *layer,
                       const struct dlq_layer_info *info, struct dlq_error *err)
{
    struct awq_method *const m = method;
    struct awq_params in;
    int32_t status = get_params(m, host, layer, &in, err);
    if (status == DLQ_OK) {
        status = m->backend->pack(m, host, layer, info, &in, err);
    }
    if (status == DLQ_OK) {
        m->packed = true;
        status = host->param_replace(layer, "scales", NULL, err);
    }
    if (status == DLQ_OK && m->config->zero_point) {
        status = host->param_replace(layer, "qzeros", NULL, err);
    }
    return status;
}

static size_t
method_workspace_size(const void *method, int64_t max_m)
{
    const struct awq_method *const m = method;
    return m->backend->workspace_size(m, max_m);
}

static int32_t
method_apply(const void *method, const struct dlq_linear_call *call, struct dlq_error *err)
{
    const struct awq_method *const m = method;
    return m->backend->apply(m, call, err);
}

static int32_t
method_explain(const void *method, const struct dlq_host *host, const struct dlq_layer_info *info,
               struct dlq_explanation *out, struct dlq_error *err)
{
    const struct awq_method *const m = method;
    struct dlq_groups groups;
    union awq_weight weight;
    int32_t status = awq_groups_find(m->config, host, info, &groups, err);
    if (status == DLQ_OK) {
        status = m->backend->plan(m, host, info, &groups, &weight, err);
    }
    if (status != DLQ_OK) {
        return status;
    }
    awq_scheme_name(m->config, out->scheme, sizeof(out->scheme));
    awq_marlin_note(m->config, info, &groups, out->note, sizeof(out->note));
    m->backend->explain(m, &weight, info, out);
    out->group = groups.rows;
    return DLQ_OK;
}

static void
method_destroy(void *method, const struct dlq_host *host)
{
    dlq_host_free(host, method);
}

const struct dlq_linear_method_ops awq_method_ops = {
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
    const struct awq_method *const m = method;
    if (!m->packed) {
        return host->fail(err, DLQ_ESTATE, "%s: the weights are not processed", info->prefix);
    }
    return m->backend->dequantize(m, host, info, weight, err);
}

static int32_t
inspect_code_kind(const void *method, int64_t *scales_per_row)
{
    (void)method;
    *scales_per_row = 0;
    return DLQ_CODES_NONE;
}

const struct dlq_ext_inspect awq_inspect = {
    .struct_size = DLQ_SIZE_UPTO(struct dlq_ext_inspect, accumulate),
    .dequantize = inspect_dequantize,
    .code_kind = inspect_code_kind,
};
