// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "../../kernels/gpu_wna16.h"
#include "../common/gpu.h"
#include "../common/layer.h"
#include "../common/run.h"
#include "int8_rows.h"
#include "scheme_wna16.h"

#include <stdio.h>
#include <string.h>

/// The wna16 and wna8 schemes on a GPU: parameters are declared as on a CPU, packed and multiplied
/// by kernels/gpu_wna16.h.

struct wna16_gpu {
    struct ct_wna16 shared;
    struct dlq_kg_wna16 weight; ///< data is NULL before process_weights()
};

static int32_t
plan(const struct ct_wna16 *s, const struct dlq_host *host, const struct dlq_layer_info *info,
     struct dlq_kg_wna16 *out, struct dlq_error *err)
{
    const bool int8 = s->base.ops->quantize != NULL;
    struct dlq_kg_wna16_desc desc = {
        .shape = s->weight.shape,
        .device = dlq_gpu_device(info),
        .act_dtype = info->act_dtype,
        .scale_dtype = s->scale_dtype,
        .activation = !int8                            ? DLQ_KG_WNA16_AS_IS
                      : s->base.group->input.symmetric ? DLQ_KG_WNA16_I8_TOKEN
                                                       : DLQ_KG_WNA16_I8_TOKEN_AZP,
        .act_order = s->act_order,
    };
    desc.shape.n_groups = s->act_order ? s->groups.count : 0;
    const int result = dlq_kg_wna16()->plan(out, &desc);
    return result == DLQ_K_OK ? DLQ_OK
                              : dlq_gpu_fail(host, info, ct_codes_name(&s->base), result, 0, err);
}

static int32_t
can_implement(struct ct_layer *l, const struct dlq_host *host, const struct dlq_layer_info *info,
              struct dlq_error *err)
{
    struct dlq_kg_wna16 weight;
    const int32_t status = ct_scheme_wna16.can_implement(l, host, info, err);
    return status == DLQ_OK ? plan((const struct ct_wna16 *)l, host, info, &weight, err) : status;
}

static int32_t
create_weights(struct ct_layer *l, const struct dlq_host *host, struct dlq_layer *layer,
               const struct dlq_layer_info *info, struct dlq_error *err)
{
    struct wna16_gpu *const g = (struct wna16_gpu *)l;
    const int32_t status = ct_scheme_wna16.create_weights(l, host, layer, info, err);
    return status == DLQ_OK ? plan(&g->shared, host, info, &g->weight, err) : status;
}

// What kernels cannot take as it was loaded is looked at, and changed, in host memory.
static int32_t
convert_on_host(struct ct_wna16 *s, const struct dlq_host *host, const struct dlq_layer_info *info,
                struct ct_wna16_loaded *in, void *copies[3], struct dlq_error *err)
{
    int32_t status = dlq_gpu_fetch(host, info, &in->codes, &copies[0], err);
    status = status == DLQ_OK ? dlq_gpu_fetch(host, info, &in->scales, &copies[1], err) : status;
    status = status == DLQ_OK ? dlq_gpu_fetch(host, info, &in->zeros, &copies[2], err) : status;
    return status == DLQ_OK ? ct_wna16_convert(s, host, info, in, err) : status;
}

static int32_t
pack_source(struct wna16_gpu *g, const struct dlq_host *host, struct dlq_layer *layer,
            const struct dlq_layer_info *info, const struct dlq_kg_wna16_source *source,
            struct dlq_error *err)
{
    const char *const name = ct_codes_name(&g->shared.base);
    void *const data = dlq_run_pack_alloc(host, info, g->weight.bytes, err);
    if (!data) {
        return DLQ_ENOMEM;
    }
    struct dlq_kg_wna16 packed = g->weight;
    int64_t bad = 0;
    const int result = dlq_kg_wna16()->pack(&packed, source, data, &bad);
    if (result != DLQ_K_OK) {
        dlq_run_pack_free(host, info, data);
        return dlq_gpu_fail(host, info,
                            result == -DLQ_K_EINDEX  ? "weight_g_idx"
                            : result == -DLQ_K_ECODE ? name
                                                     : "weight_scale",
                            result, bad, err);
    }
    const int32_t status = dlq_run_pack_commit(host, layer, info, name, data, packed.bytes, err);
    if (status == DLQ_OK) {
        g->weight = packed;
    }
    return status;
}

static int32_t
pack(struct ct_wna16 *s, const struct dlq_host *host, struct dlq_layer *layer,
     const struct dlq_layer_info *info, struct ct_wna16_loaded *in, struct dlq_error *err)
{
    const bool packed = ct_is_packed(&s->base);
    const bool on_host = (packed && s->layout == DLQ_BITS_EITHER) || s->idle_zeros ||
                         ct_wna16_args(&s->base)->strategy == CT_TENSOR;
    void *copies[3] = {NULL, NULL, NULL};
    int32_t status = dlq_gpu_scales_warn_zero(host, info, "weight_scale", &in->scales, err);
    if (status == DLQ_OK && on_host) {
        status = convert_on_host(s, host, info, in, copies, err);
    }
    if (status == DLQ_OK) {
        const struct dlq_kg_wna16_source source = {
            .arrays = ct_wna16_source(s, in),
            .signed_codes = !packed && !on_host,
        };
        status = pack_source((struct wna16_gpu *)s, host, layer, info, &source, err);
    }
    for (int i = 0; i < 3; i++) {
        dlq_host_free(host, copies[i]);
    }
    return status;
}

static int32_t
process_weights(struct ct_layer *l, const struct dlq_host *host, struct dlq_layer *layer,
                const struct dlq_layer_info *info, struct dlq_error *err)
{
    return ct_wna16_process((struct ct_wna16 *)l, host, layer, info, pack, err);
}

static size_t
workspace_size(const struct ct_layer *l, int64_t max_m)
{
    return dlq_kg_wna16()->workspace_size(&((const struct wna16_gpu *)l)->weight, max_m);
}

static int32_t
apply(const struct ct_layer *l, const struct dlq_linear_call *call, struct dlq_error *err)
{
    const struct dlq_kg_call c = dlq_gpu_call(call);
    return dlq_gpu_result(dlq_kg_wna16()->apply(&((const struct wna16_gpu *)l)->weight, &c), err);
}

static int32_t
explain(const struct ct_layer *l, const struct dlq_host *host, const struct dlq_layer_info *info,
        struct dlq_explanation *out, struct dlq_error *err)
{
    struct dlq_kg_wna16 w;
    int32_t status = ct_scheme_wna16.explain(l, host, info, out, err);
    status = status == DLQ_OK ? plan((const struct ct_wna16 *)l, host, info, &w, err) : status;
    if (status == DLQ_OK) {
        dlq_gpu_explain(out, dlq_kg_wna16()->kernel(&w, 1),
                        dlq_kg_wna16()->kernel(&w, dlq_gpu_many_rows(info)), w.padded_k, w.padded_n,
                        w.bytes);
        const char *const why = dlq_kg_wna16()->why_generic(&w);
        const size_t end = strlen(out->note);
        snprintf(out->note + end, sizeof(out->note) - end, "%s%s", *why ? ", generic kernel: " : "",
                 why);
    }
    return status;
}

static int32_t
dequantize(const struct ct_layer *l, const struct dlq_host *host, const struct dlq_layer_info *info,
           float *weight, struct dlq_error *err)
{
    const struct dlq_kg_wna16 *const w = &((const struct wna16_gpu *)l)->weight;
    const int result = dlq_kg_wna16()->dequantize(w, 0, w->desc.shape.n, weight);
    return result == DLQ_K_OK ? DLQ_OK : dlq_gpu_fail(host, info, ct_codes_name(l), result, 0, err);
}

static int32_t
quantize(const struct ct_layer *l, const struct dlq_host *host, const struct dlq_layer_info *info,
         const void *x, int64_t m, void *codes, float *scales, int32_t *zero_points,
         struct dlq_error *err)
{
    const struct dlq_kg_wna16 *const w = &((const struct wna16_gpu *)l)->weight;
    const int result = dlq_kg_wna16()->quantize(w, x, m, codes, scales, zero_points);
    return result == DLQ_K_OK ? DLQ_OK : dlq_gpu_fail(host, info, "x", result, 0, err);
}

const struct ct_scheme_ops ct_scheme_wna16_gpu = {
    .name = "wna16",
    .can_implement = can_implement,
    .create_weights = create_weights,
    .process_weights = process_weights,
    .workspace_size = workspace_size,
    .apply = apply,
    .explain = explain,
    .dequantize = dequantize,
    .size = sizeof(struct wna16_gpu),
};

const struct ct_scheme_ops ct_scheme_wna8_gpu = {
    .name = "wna8",
    .can_implement = can_implement,
    .create_weights = create_weights,
    .process_weights = process_weights,
    .workspace_size = workspace_size,
    .apply = apply,
    .explain = explain,
    .dequantize = dequantize,
    .code_kind = ct_int8_code_kind,
    .quantize = quantize,
    .size = sizeof(struct wna16_gpu),
};
