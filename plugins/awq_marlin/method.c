// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "../../kernels/linear_wna16.h"
#include "../common/field.h"
#include "../common/layer.h"
#include "../common/run.h"
#include "awq_marlin.h"
#include "candidates.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/// Declares, packs and dispatches; the arithmetic is kernels/linear_wna16.h.
///
/// As stored, W[n, k] = (q[k, n] - z[k / g, n]) * s[k / g, n]:
///     qweight int32 [K, N / 8]      nibble order of pack/awq.h
///     qzeros  int32 [K / g, N / 8]  the same; absent when symmetric, then z = 8
///     scales  fp16  [K / g, N]
/// After process_weights() "qweight" holds the kernels' packed form and the others are dropped.

struct method {
    const struct awq_config *config;
    struct dlq_groups groups;
    struct dlq_k_wna16 weight; ///< data is NULL before process_weights()
    struct dlq_k_wna16_ops ops;
    uint32_t act_dtype;
    uint32_t scale_dtype; ///< As the checkpoint stores scales, so that none is rounded
    int32_t n_threads;    ///< Threads that workspaces are made for
};

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
    struct method *const m = dlq_host_calloc(host, sizeof(*m), err);
    if (m) {
        m->config = config;
        m->act_dtype = info->act_dtype;
        m->scale_dtype = choose_scale_dtype(info);
        m->n_threads = host->n_threads(host->ctx);
        dlq_k_wna16_init(&m->ops, info->device.cpu_flags);
    }
    return m;
}

static int
plan(const struct method *m, const struct dlq_groups *groups, const struct dlq_layer_info *info,
     struct dlq_k_wna16 *weight)
{
    const struct dlq_k_wna16_shape shape = {
        .k = info->input_size_per_partition,
        .n = info->output_size_per_partition,
        .group = groups->rows,
        .n_groups = groups->count,
        .bits = 4,
        .has_zero_points = m->config->zero_point,
    };
    return dlq_k_wna16_plan(weight, &shape, m->scale_dtype, NULL, NULL);
}

static int32_t
method_can_implement(void *method, const struct dlq_host *host, const struct dlq_layer_info *info,
                     struct dlq_error *err)
{
    const struct method *const m = method;
    struct dlq_groups groups;
    const int32_t status = awq_groups_find(m->config, host, info, &groups, err);
    if (status != DLQ_OK) {
        return status;
    }
    if (!dlq_act_dtype_bit(info->act_dtype)) {
        return host->fail(err, DLQ_EDTYPE, "%s: awq_marlin takes fp16, bf16 or fp32; x is %s",
                          info->prefix, dlq_dtype_name(info->act_dtype));
    }
    char reasons[600];
    if (!awq_candidate_choose(m->config, info, &groups, reasons, sizeof(reasons))) {
        return host->fail(err, DLQ_EUNSUPPORTED, "%s: no kernel: %s", info->prefix, reasons);
    }
    struct dlq_k_wna16 weight;
    const int result = plan(m, &groups, info, &weight);
    return result == DLQ_K_OK ? DLQ_OK : dlq_run_fail(host, info, "qweight", result, 0, err);
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
    struct method *const m = method;
    int32_t status = awq_groups_find(m->config, host, info, &m->groups, err);
    if (status != DLQ_OK) {
        return status;
    }
    const int result = plan(m, &m->groups, info, &m->weight);
    if (result != DLQ_K_OK) {
        return dlq_run_fail(host, info, "qweight", result, 0, err);
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

// Views of the loaded parameters; qzeros stays empty when symmetric.
static int32_t
get_params(const struct method *m, const struct dlq_host *host, struct dlq_layer *layer,
           struct dlq_tensor *qweight, struct dlq_tensor *qzeros, struct dlq_tensor *scales,
           struct dlq_error *err)
{
    int32_t status = host->param_get(layer, "qweight", qweight, err);
    if (status == DLQ_OK) {
        status = host->param_get(layer, "scales", scales, err);
    }
    if (status == DLQ_OK && m->config->zero_point) {
        status = host->param_get(layer, "qzeros", qzeros, err);
    }
    return status;
}

static int32_t
method_process_weights(void *method, const struct dlq_host *host, struct dlq_layer *layer,
                       const struct dlq_layer_info *info, struct dlq_error *err)
{
    struct method *const m = method;
    struct dlq_tensor qweight = {.struct_size = DLQ_SIZE_UPTO(struct dlq_tensor, strides)};
    struct dlq_tensor qzeros = qweight;
    struct dlq_tensor scales = qweight;
    int32_t status = get_params(m, host, layer, &qweight, &qzeros, &scales, err);
    if (status != DLQ_OK) {
        return status;
    }
    dlq_scales_warn_zero(host, info, "scales", &scales);
    void *const data = dlq_run_pack_alloc(host, info, m->weight.bytes, err);
    if (!data) {
        return DLQ_ENOMEM;
    }
    const struct dlq_k_wna16_source source = {
        .layout = DLQ_K_WNA16_AWQ,
        .codes = qweight.data,
        .zeros = qzeros.data,
        .scales = scales.data,
        .scale_dtype = m->scale_dtype,
    };
    const struct dlq_k_parallel parallel = dlq_run_parallel(host, m->n_threads);
    struct dlq_k_wna16 packed = m->weight;
    int64_t bad = 0;
    const int result = dlq_k_wna16_pack(&packed, &source, data, &parallel, &bad);
    if (result != DLQ_K_OK) {
        dlq_run_pack_free(host, info, data);
        return dlq_run_fail(host, info, "scales", result, bad, err);
    }
    status = dlq_run_pack_commit(host, layer, info, "qweight", data, packed.bytes, err);
    if (status == DLQ_OK) {
        m->weight = packed;
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
    const struct method *const m = method;
    return (size_t)m->ops.workspace_size(&m->weight, DLQ_K_WNA16_EXACT, max_m, m->n_threads);
}

static int32_t
method_apply(const void *method, const struct dlq_linear_call *call, struct dlq_error *err)
{
    const struct method *const m = method;
    const struct dlq_k_parallel parallel = dlq_run_parallel(call->host, m->n_threads);
    const struct dlq_k_linear_call c = dlq_run_call(call, m->act_dtype, &parallel);
    return dlq_run_result(m->ops.apply(&m->weight, DLQ_K_WNA16_EXACT, &c), err);
}

static int32_t
method_explain(const void *method, const struct dlq_host *host, const struct dlq_layer_info *info,
               struct dlq_explanation *out, struct dlq_error *err)
{
    const struct method *const m = method;
    struct dlq_groups groups;
    int32_t status = awq_groups_find(m->config, host, info, &groups, err);
    if (status != DLQ_OK) {
        return status;
    }
    struct dlq_k_wna16 weight;
    const int result = plan(m, &groups, info, &weight);
    if (result != DLQ_K_OK) {
        return dlq_run_fail(host, info, "qweight", result, 0, err);
    }
    awq_scheme_name(m->config, out->scheme, sizeof(out->scheme));
    const char *const name =
        awq_candidate_choose(m->config, info, &groups, out->note, sizeof(out->note));
    snprintf(out->kernel, sizeof(out->kernel), "%s %s%s", name ? name : "none", m->ops.name,
             m->ops.fixed_point ? " two-limb" : "");
    out->group = groups.rows;
    out->padded_k = weight.groups * weight.group_k;
    out->padded_n = weight.blocks * 16;
    out->weight_bytes = weight.bytes;
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
    const struct method *const m = method;
    if (!m->weight.data) {
        return host->fail(err, DLQ_ESTATE, "%s: the weights are not processed", info->prefix);
    }
    dlq_k_wna16_dequantize(&m->weight, 0, m->weight.shape.n, weight);
    return DLQ_OK;
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
