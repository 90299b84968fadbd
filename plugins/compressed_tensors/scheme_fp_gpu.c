// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "../../kernels/float16.h"
#include "../../kernels/gpu_fp.h"
#include "../common/gpu.h"
#include "../common/layer.h"
#include "../common/run.h"
#include "scheme_fp.h"

/// The fp scheme on a GPU: parameters are declared as on a CPU, packed and multiplied by
/// kernels/gpu_fp.h.

struct fp_gpu {
    struct ct_fp shared;
    struct dlq_kg_fp weight; ///< data is NULL before process_weights()
};

// The scale of a static activation, unknown before it is loaded, changes no sizes.
static int
plan(const struct ct_fp *s, const struct dlq_layer_info *info, float act_scale,
     struct dlq_kg_fp *out)
{
    struct dlq_k_fp cpu;
    const int result = ct_fp_plan(s, info, act_scale, &cpu);
    const struct dlq_kg_fp_desc desc = {
        .shape = cpu.shape,
        .device = dlq_gpu_device(info),
        .act_dtype = info->act_dtype,
        .column_factors = ct_fp_has_global(s),
    };
    return result == DLQ_K_OK ? dlq_kg_fp()->plan(out, &desc) : -result;
}

static int32_t
check_plan(const struct ct_fp *s, const struct dlq_host *host, const struct dlq_layer_info *info,
           struct dlq_kg_fp *out, struct dlq_error *err)
{
    const int result = plan(s, info, 1.0F, out);
    return result == DLQ_K_OK ? DLQ_OK
                              : dlq_gpu_fail(host, info, ct_codes_name(&s->base), result, 0, err);
}

static int32_t
can_implement(struct ct_layer *l, const struct dlq_host *host, const struct dlq_layer_info *info,
              struct dlq_error *err)
{
    struct dlq_kg_fp weight;
    const int32_t status = ct_scheme_fp.can_implement(l, host, info, err);
    return status == DLQ_OK ? check_plan((const struct ct_fp *)l, host, info, &weight, err)
                            : status;
}

static int32_t
create_weights(struct ct_layer *l, const struct dlq_host *host, struct dlq_layer *layer,
               const struct dlq_layer_info *info, struct dlq_error *err)
{
    struct fp_gpu *const g = (struct fp_gpu *)l;
    const int32_t status = ct_scheme_fp.create_weights(l, host, layer, info, err);
    return status == DLQ_OK ? check_plan(&g->shared, host, info, &g->weight, err) : status;
}

static int32_t
pack_source(struct fp_gpu *g, const struct dlq_host *host, struct dlq_layer *layer,
            const struct dlq_layer_info *info, const struct dlq_kg_fp_source *source,
            float act_scale, struct dlq_error *err)
{
    const char *const name = ct_codes_name(&g->shared.base);
    struct dlq_kg_fp packed;
    int64_t bad = 0;
    int result = plan(&g->shared, info, act_scale, &packed);
    if (result != DLQ_K_OK) {
        return dlq_gpu_fail(host, info, name, result, 0, err);
    }
    void *const data = dlq_run_pack_alloc(host, info, packed.bytes, err);
    if (!data) {
        return DLQ_ENOMEM;
    }
    result = dlq_kg_fp()->pack(&packed, source, data, &bad);
    if (result != DLQ_K_OK) {
        dlq_run_pack_free(host, info, data);
        return dlq_gpu_fail(host, info, result == -DLQ_K_ECODE ? name : "weight_scale", result, bad,
                            err);
    }
    const int32_t status = dlq_run_pack_commit(host, layer, info, name, data, packed.bytes, err);
    if (status == DLQ_OK) {
        g->weight = packed;
    }
    return status;
}

static int32_t
pack(struct ct_fp *s, const struct dlq_host *host, struct dlq_layer *layer,
     const struct dlq_layer_info *info, const struct dlq_tensor *codes,
     const struct dlq_tensor *scales, const struct ct_fp_inputs *in, struct dlq_error *err)
{
    const bool integer = ct_fp_is_integer(s);
    if (scales->dtype == DLQ_F32) {
        const int32_t status = dlq_gpu_scales_warn_zero(host, info, "weight_scale", scales, err);
        if (status != DLQ_OK) {
            return status;
        }
    }
    const struct dlq_kg_fp_source source = {
        .codes = codes->data,
        .integer_bits = integer ? ct_fp_weights(s)->bits : 0,
        .packed = integer && ct_is_packed(&s->base),
        .layout = s->layout,
        .scales = in->scales ? in->scales : scales->data,
        .factors = in->factors,
    };
    return pack_source((struct fp_gpu *)s, host, layer, info, &source, in->act_scale, err);
}

static int32_t
process_weights(struct ct_layer *l, const struct dlq_host *host, struct dlq_layer *layer,
                const struct dlq_layer_info *info, struct dlq_error *err)
{
    return ct_fp_process((struct ct_fp *)l, host, layer, info, pack, err);
}

static size_t
workspace_size(const struct ct_layer *l, int64_t max_m)
{
    return dlq_kg_fp()->workspace_size(&((const struct fp_gpu *)l)->weight, max_m);
}

static int32_t
apply(const struct ct_layer *l, const struct dlq_linear_call *call, struct dlq_error *err)
{
    const struct dlq_kg_call c = dlq_gpu_call(call);
    return dlq_gpu_result(dlq_kg_fp()->apply(&((const struct fp_gpu *)l)->weight, &c), err);
}

static int32_t
explain(const struct ct_layer *l, const struct dlq_host *host, const struct dlq_layer_info *info,
        struct dlq_explanation *out, struct dlq_error *err)
{
    struct dlq_kg_fp w;
    int32_t status = ct_scheme_fp.explain(l, host, info, out, err);
    status = status == DLQ_OK ? check_plan((const struct ct_fp *)l, host, info, &w, err) : status;
    if (status == DLQ_OK) {
        dlq_gpu_explain(out, dlq_kg_fp()->kernel(&w, 1),
                        dlq_kg_fp()->kernel(&w, dlq_gpu_many_rows(info)), w.padded_k, w.padded_n,
                        w.bytes);
    }
    return status;
}

static int32_t
dequantize(const struct ct_layer *l, const struct dlq_host *host, const struct dlq_layer_info *info,
           float *weight, struct dlq_error *err)
{
    const struct dlq_kg_fp *const w = &((const struct fp_gpu *)l)->weight;
    const int result = dlq_kg_fp()->dequantize(w, 0, w->desc.shape.n, weight);
    return result == DLQ_K_OK ? DLQ_OK : dlq_gpu_fail(host, info, ct_codes_name(l), result, 0, err);
}

static int32_t
quantize(const struct ct_layer *l, const struct dlq_host *host, const struct dlq_layer_info *info,
         const void *x, int64_t m, void *codes, float *scales, int32_t *zero_points,
         struct dlq_error *err)
{
    const struct ct_fp *const s = (const struct ct_fp *)l;
    const struct dlq_kg_fp *const w = &((const struct fp_gpu *)l)->weight;
    const int64_t count = m * w->desc.shape.k;
    const enum dlq_k_fp_activation a = w->desc.shape.activation;
    uint8_t *const bytes = dlq_host_calloc(host, (size_t)count, err);
    if (!bytes) {
        return DLQ_ENOMEM;
    }
    const int result = dlq_kg_fp()->quantize(w, x, m, bytes, scales);
    for (int64_t i = 0; i < count; i++) {
        if (a == DLQ_K_FP_NVFP4 || a == DLQ_K_FP_MXFP4) {
            ((uint16_t *)codes)[i] = dlq_k_f32_to_f16(dlq_k_e2m1_to_f32(bytes[i]));
        } else {
            ((uint8_t *)codes)[i] = bytes[i];
        }
    }
    // nvfp4 divides by one scale of the whole tensor: what a code stands for includes it.
    for (int64_t i = 0; a == DLQ_K_FP_NVFP4 && i < m * dlq_k_fp_act_scales(&s->weight); i++) {
        scales[i] *= 1.0F / w->desc.shape.act_scale;
    }
    for (int64_t i = 0; zero_points && i < m; i++) {
        zero_points[i] = 0;
    }
    dlq_host_free(host, bytes);
    return result == DLQ_K_OK ? DLQ_OK : dlq_gpu_fail(host, info, "x", result, 0, err);
}

const struct ct_scheme_ops ct_scheme_fp_gpu = {
    .name = "fp",
    .can_implement = can_implement,
    .create_weights = create_weights,
    .process_weights = process_weights,
    .workspace_size = workspace_size,
    .apply = apply,
    .explain = explain,
    .dequantize = dequantize,
    .code_kind = ct_fp_code_kind,
    .quantize = quantize,
    .size = sizeof(struct fp_gpu),
};
