// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "../../kernels/gpu_w8a8.h"
#include "../common/gpu.h"
#include "../common/layer.h"
#include "../common/run.h"
#include "int8_rows.h"
#include "scheme_w8a8_int8.h"

/// The int8 scheme on a GPU: parameters are declared as on a CPU, packed and multiplied by
/// kernels/gpu_w8a8.h.

struct w8a8_gpu {
    struct ct_w8a8 shared;
    struct dlq_kg_w8a8 weight; ///< data is NULL before process_weights()
};

// The scale of a static activation, unknown before it is loaded, changes no sizes.
static int
plan(const struct ct_w8a8 *s, const struct dlq_layer_info *info, float act_scale, int32_t act_zero,
     struct dlq_kg_w8a8 *out)
{
    const struct dlq_kg_w8a8_desc desc = {
        .k = info->input_size_per_partition,
        .n = info->output_size_per_partition,
        .device = dlq_gpu_device(info),
        .act_dtype = info->act_dtype,
        .activation = s->activation,
        .act_scale = act_scale,
        .act_zero = act_zero,
        .asymmetric = !ct_w8a8_weights(s)->symmetric,
    };
    return dlq_kg_w8a8()->plan(out, &desc);
}

static int32_t
check_plan(const struct ct_w8a8 *s, const struct dlq_host *host, const struct dlq_layer_info *info,
           struct dlq_kg_w8a8 *out, struct dlq_error *err)
{
    const int result = plan(s, info, 1.0F, 0, out);
    return result == DLQ_K_OK ? DLQ_OK
                              : dlq_gpu_fail(host, info, ct_codes_name(&s->base), result, 0, err);
}

static int32_t
can_implement(struct ct_layer *l, const struct dlq_host *host, const struct dlq_layer_info *info,
              struct dlq_error *err)
{
    struct dlq_kg_w8a8 weight;
    const int32_t status = ct_scheme_w8a8_int8.can_implement(l, host, info, err);
    return status == DLQ_OK ? check_plan((const struct ct_w8a8 *)l, host, info, &weight, err)
                            : status;
}

static int32_t
create_weights(struct ct_layer *l, const struct dlq_host *host, struct dlq_layer *layer,
               const struct dlq_layer_info *info, struct dlq_error *err)
{
    struct w8a8_gpu *const g = (struct w8a8_gpu *)l;
    const int32_t status = ct_scheme_w8a8_int8.create_weights(l, host, layer, info, err);
    return status == DLQ_OK ? check_plan(&g->shared, host, info, &g->weight, err) : status;
}

static int32_t
pack(struct ct_w8a8 *s, const struct dlq_host *host, struct dlq_layer *layer,
     const struct dlq_layer_info *info, const struct dlq_tensor *codes,
     const struct ct_w8a8_inputs *in, struct dlq_error *err)
{
    struct w8a8_gpu *const g = (struct w8a8_gpu *)s;
    const char *const name = ct_codes_name(&s->base);
    const bool symmetric = ct_w8a8_weights(s)->symmetric;
    struct dlq_kg_w8a8 packed;
    int64_t bad = 0;
    int result =
        plan(s, info, ct_w8a8_is_static(s) ? in->input_scale : 1.0F, in->input_zero, &packed);
    if (result != DLQ_K_OK) {
        return dlq_gpu_fail(host, info, result == -DLQ_K_ECODE ? "input_zero_point" : "input_scale",
                            result, 0, err);
    }
    void *const data = dlq_run_pack_alloc(host, info, packed.bytes, err);
    if (!data) {
        return DLQ_ENOMEM;
    }
    const struct dlq_kg_w8a8_source source = {
        .codes = codes->data,
        .packed = ct_is_packed(&s->base),
        .layout = s->layout,
        .bits = ct_w8a8_weights(s)->bits,
        .scales = in->scales,
        .zeros = symmetric ? NULL : in->zeros,
    };
    result = dlq_kg_w8a8()->pack(&packed, &source, data, &bad);
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
process_weights(struct ct_layer *l, const struct dlq_host *host, struct dlq_layer *layer,
                const struct dlq_layer_info *info, struct dlq_error *err)
{
    return ct_w8a8_process((struct ct_w8a8 *)l, host, layer, info, pack, err);
}

static size_t
workspace_size(const struct ct_layer *l, int64_t max_m)
{
    return dlq_kg_w8a8()->workspace_size(&((const struct w8a8_gpu *)l)->weight, max_m);
}

static int32_t
apply(const struct ct_layer *l, const struct dlq_linear_call *call, struct dlq_error *err)
{
    const struct dlq_kg_call c = dlq_gpu_call(call);
    return dlq_gpu_result(dlq_kg_w8a8()->apply(&((const struct w8a8_gpu *)l)->weight, &c), err);
}

static int32_t
explain(const struct ct_layer *l, const struct dlq_host *host, const struct dlq_layer_info *info,
        struct dlq_explanation *out, struct dlq_error *err)
{
    struct dlq_kg_w8a8 w;
    int32_t status = ct_scheme_w8a8_int8.explain(l, host, info, out, err);
    status = status == DLQ_OK ? check_plan((const struct ct_w8a8 *)l, host, info, &w, err) : status;
    if (status == DLQ_OK) {
        dlq_gpu_explain(out, dlq_kg_w8a8()->kernel(&w, 1),
                        dlq_kg_w8a8()->kernel(&w, dlq_gpu_many_rows(info)), w.padded_k, w.padded_n,
                        w.bytes);
    }
    return status;
}

static int32_t
dequantize(const struct ct_layer *l, const struct dlq_host *host, const struct dlq_layer_info *info,
           float *weight, struct dlq_error *err)
{
    const struct dlq_kg_w8a8 *const w = &((const struct w8a8_gpu *)l)->weight;
    const int result = dlq_kg_w8a8()->dequantize(w, 0, w->desc.n, weight);
    return result == DLQ_K_OK ? DLQ_OK : dlq_gpu_fail(host, info, ct_codes_name(l), result, 0, err);
}

static int32_t
quantize(const struct ct_layer *l, const struct dlq_host *host, const struct dlq_layer_info *info,
         const void *x, int64_t m, void *codes, float *scales, int32_t *zero_points,
         struct dlq_error *err)
{
    const struct dlq_kg_w8a8 *const w = &((const struct w8a8_gpu *)l)->weight;
    const int result = dlq_kg_w8a8()->quantize(w, x, m, codes, scales, zero_points);
    return result == DLQ_K_OK ? DLQ_OK : dlq_gpu_fail(host, info, "x", result, 0, err);
}

static int32_t
accumulate(const struct ct_layer *l, const struct dlq_layer_info *info, const void *codes,
           const int32_t *zero_points, int64_t m, int32_t *acc)
{
    (void)info;
    const struct dlq_kg_w8a8 *const w = &((const struct w8a8_gpu *)l)->weight;
    return dlq_gpu_result(dlq_kg_w8a8()->accumulate(w, codes, zero_points, m, acc), NULL);
}

const struct ct_scheme_ops ct_scheme_w8a8_gpu = {
    .name = "w8a8_int8",
    .can_implement = can_implement,
    .create_weights = create_weights,
    .process_weights = process_weights,
    .workspace_size = workspace_size,
    .apply = apply,
    .explain = explain,
    .dequantize = dequantize,
    .code_kind = ct_int8_code_kind,
    .quantize = quantize,
    .accumulate = accumulate,
    .size = sizeof(struct w8a8_gpu),
};
