// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "scheme_fp.h"
#include "../common/layer.h"
#include "../common/run.h"

#include <inttypes.h>
#include <stdio.h>

/// fp8 and fp4 weights, with activations as they are or quantized to fp8 or fp4; and integer
/// weights of up to 5 bits with fp8 activations, whose codes are e4m3 numbers exactly.
///
/// As stored, W[n, k] = code[n, k] * scale[n, k] (nvfp4: / weight_global_scale):
///     weight              e4m3 [N, K], or int8 [N, K]
///     weight_packed       uint8 [N, K / 2], low nibble first (fp4); int32 [N, words of K] (int)
///     weight_scale        float: one a part, [N, 1], [N, K / g] or [ceil(N / rows), ceil(K /
///     columns)];
///                         nvfp4: e4m3 [N, K / 16]; mx: e8m0 in uint8 [N, K / 32]
///     weight_global_scale fp32, one a part (nvfp4)
///     input_scale         float [1] (static fp8); input_global_scale fp32 [1] (nvfp4)
/// After process_weights() the codes' parameter holds the kernel's packed form, the others are
/// dropped (scheme_fp_load.c).

static bool
is_fp4(const struct ct_fp *s)
{
    return ct_fp_weights(s)->type == CT_FLOAT && ct_fp_weights(s)->bits == 4;
}

static bool
is_grouped(const struct ct_fp *s)
{
    return ct_fp_weights(s)->group > 0;
}

const char *
ct_fp_input_name(const struct ct_fp *s)
{
    return s->activation == DLQ_K_FP_FP8_STATIC ? "input_scale"
           : s->activation == DLQ_K_FP_NVFP4    ? "input_global_scale"
                                                : NULL;
}

bool
ct_fp_activation(const struct ct_args *a, enum dlq_k_fp_activation *out)
{
    *out = DLQ_K_FP_NONE;
    if (!a->present) {
        return true;
    }
    if (a->type != CT_FLOAT) {
        return false;
    }
    const bool mx = a->strategy == CT_GROUP && a->group == 32 && a->scale == CT_SCALE_U8;
    if (a->bits == 4) {
        *out = mx ? DLQ_K_FP_MXFP4 : DLQ_K_FP_NVFP4;
        return mx || (a->strategy == CT_TENSOR_GROUP && a->group == 16);
    }
    switch (a->strategy) {
    case CT_TOKEN:
        *out = DLQ_K_FP_FP8_TOKEN;
        return true;
    case CT_TENSOR:
        *out = a->dynamic == CT_DYNAMIC ? DLQ_K_FP_FP8_TENSOR : DLQ_K_FP_FP8_STATIC;
        return true;
    case CT_GROUP:
        *out = mx ? DLQ_K_FP_MXFP8 : DLQ_K_FP_FP8_GROUP;
        return a->dynamic == CT_DYNAMIC;
    default:
        return false;
    }
}

static int32_t
require_tensors(const struct ct_fp *s, const struct dlq_host *host,
                const struct dlq_layer_info *info, struct dlq_error *err)
{
    const char *names[5] = {ct_codes_name(&s->base), "weight_scale"};
    size_t n = 2;
    if (ct_fp_has_global(s)) {
        names[n++] = "weight_global_scale";
    }
    names[n] = ct_fp_input_name(s);
    return ct_require_tensors(host, info, names, err);
}

static uint32_t
scale_dtype_of(const struct ct_fp *s)
{
    switch (ct_fp_weights(s)->scale) {
    case CT_SCALE_U8:
        return DLQ_F8_E8M0;
    case CT_SCALE_E4M3:
        return DLQ_F8_E4M3;
    default:
        return DLQ_F32;
    }
}

int
ct_fp_plan(const struct ct_fp *s, const struct dlq_layer_info *info, float act_scale,
           struct dlq_k_fp *weight)
{
    const struct ct_args *const w = ct_fp_weights(s);
    const int64_t k = info->input_size_per_partition;
    const bool block = w->strategy == CT_BLOCK;
    const struct dlq_k_fp_shape shape = {
        .k = k,
        .n = info->output_size_per_partition,
        .dtype = is_fp4(s) ? DLQ_F4_E2M1 : DLQ_F8_E4M3,
        .scale_dtype = scale_dtype_of(s),
        .group = block && s->block[1] < k ? s->block[1]
                 : is_grouped(s)          ? s->groups.rows
                                          : k,
        .scale_rows = block ? s->block[0] : 1,
        .activation = s->activation,
        .act_group = s->base.group->input.group,
        .act_offset = s->act_offset,
        .act_scale = act_scale,
    };
    return dlq_k_fp_plan(weight, &shape);
}

// Where ranks cut a group of activations, they agree on its maximum; see row_split.c.
static void
find_shared_groups(struct ct_fp *s, const struct dlq_layer_info *info)
{
    struct ct_layer *const l = &s->base;
    const int64_t group = l->group->input.group;
    const int64_t count = group > 0 ? (info->input_size + group - 1) / group : 0;
    bool cut = false;
    for (int32_t r = 1; r < info->tp_size && count > 0; r++) {
        cut =
            cut || (info->input_bounds[r] % group != 0 && info->input_bounds[r] < info->input_size);
    }
    if (cut && count <= DLQ_ROW_STATS_MAX && info->device.device.kind == DLQ_DEVICE_CPU) {
        l->shared_groups = count;
        l->first_group = info->input_offset / group;
        l->own_groups =
            (info->input_offset + info->input_size_per_partition - 1) / group - l->first_group + 1;
        s->act_offset = info->input_offset % group;
    }
}

// Everything that follows from configuration, headers and sizes.
static int32_t
prepare(struct ct_fp *s, const struct dlq_host *host, const struct dlq_layer_info *info,
        struct dlq_error *err)
{
    ct_fp_activation(&s->base.group->input, &s->activation);
    find_shared_groups(s, info);
    dlq_k_fp_init(&s->ops, info->device.cpu_flags);
    int32_t status = require_tensors(s, host, info, err);
    if (status == DLQ_OK && ct_fp_is_integer(s)) {
        status = ct_find_layout(&s->base, host, info, &s->layout, err);
    }
    if (status == DLQ_OK && s->layout == DLQ_BITS_EITHER) {
        return host->fail(err, DLQ_EUNSUPPORTED,
                          "%s.weight_packed: its width fits dense and padded words; say which with "
                          "\"packing\" in the configuration",
                          info->prefix);
    }
    if (status == DLQ_OK && is_grouped(s)) {
        status = dlq_groups_find(host, info, ct_fp_weights(s)->group, &s->groups, err);
    }
    s->block[0] = dlq_block_refine_outputs(info, ct_fp_weights(s)->block[0]);
    s->block[1] = dlq_block_refine_inputs(info, ct_fp_weights(s)->block[1]);
    if (status == DLQ_OK && is_fp4(s) && info->input_size_per_partition % 2 != 0) {
        return host->fail(err, DLQ_ESHAPE, "%s: K_pp %" PRId64 " is odd; fp4 packs two in a byte",
                          info->prefix, info->input_size_per_partition);
    }
    if (status == DLQ_OK && !s->weight.data) {
        // The scale of a static activation is not known yet; it does not change sizes.
        const int result = ct_fp_plan(s, info, 1.0F, &s->weight);
        status = result == DLQ_K_OK
                     ? DLQ_OK
                     : dlq_run_fail(host, info, ct_codes_name(&s->base), result, 0, err);
    }
    return status;
}

static int32_t
can_implement(struct ct_layer *l, const struct dlq_host *host, const struct dlq_layer_info *info,
              struct dlq_error *err)
{
    return prepare((struct ct_fp *)l, host, info, err);
}

static int32_t
declare_codes(const struct ct_fp *s, const struct dlq_host *host, struct dlq_layer *layer,
              const struct dlq_layer_info *info, struct dlq_error *err)
{
    if (ct_fp_is_integer(s)) {
        return ct_declare_codes(&s->base, host, layer, info, s->layout, err);
    }
    const int64_t k = info->input_size_per_partition;
    const int64_t shape[] = {info->output_size_per_partition, is_fp4(s) ? k / 2 : k};
    struct dlq_param_desc desc =
        dlq_param_desc_init(ct_codes_name(&s->base), is_fp4(s) ? DLQ_U8 : DLQ_F8_E4M3, 2, shape);
    desc.output_dim = 0;
    desc.input_dim = 1;
    if (is_fp4(s)) {
        desc.packed_dim = 1;
        desc.pack_num = 2;
    }
    return host->param_declare(layer, &desc, err);
}

static int32_t
declare_scales(const struct ct_fp *s, const struct dlq_host *host, struct dlq_layer *layer,
               const struct dlq_layer_info *info, struct dlq_error *err)
{
    const struct ct_args *const w = ct_fp_weights(s);
    const uint32_t flags = DLQ_PARAM_CAST | DLQ_PARAM_FINITE;
    const int64_t n = info->output_size_per_partition;
    const int64_t k = info->input_size_per_partition;
    if (w->strategy == CT_BLOCK) {
        const int64_t shape[] = {(n + s->block[0] - 1) / s->block[0],
                                 (k + s->block[1] - 1) / s->block[1]};
        struct dlq_param_desc desc = dlq_param_desc_init("weight_scale", DLQ_F32, 2, shape);
        desc.flags = flags;
        desc.output_dim = 0;
        desc.input_dim = 1;
        for (int d = 0; d < 2; d++) {
            desc.block[d] = s->block[d];
            desc.ckpt_block[d] = w->block[d];
        }
        return host->param_declare(layer, &desc, err);
    }
    if (!is_grouped(s)) {
        return ct_declare_per_output(&s->base, host, layer, info, "weight_scale", DLQ_F32, flags,
                                     err);
    }
    const bool bytes = w->scale != CT_SCALE_FLOAT; // checked when they are packed
    const int64_t shape[] = {n, s->groups.count};
    const uint32_t dtype = w->scale == CT_SCALE_U8 ? (uint32_t)DLQ_U8 : scale_dtype_of(s);
    struct dlq_param_desc desc = dlq_param_desc_init("weight_scale", dtype, 2, shape);
    desc.flags = bytes ? 0 : flags;
    desc.output_dim = 0;
    dlq_groups_describe(&s->groups, 1, &desc);
    return host->param_declare(layer, &desc, err);
}

static int32_t
create_weights(struct ct_layer *l, const struct dlq_host *host, struct dlq_layer *layer,
               const struct dlq_layer_info *info, struct dlq_error *err)
{
    struct ct_fp *const s = (struct ct_fp *)l;
    int32_t status = prepare(s, host, info, err);
    status = status == DLQ_OK ? declare_codes(s, host, layer, info, err) : status;
    status = status == DLQ_OK ? declare_scales(s, host, layer, info, err) : status;
    if (status == DLQ_OK && ct_fp_has_global(s)) {
        const int64_t slots[] = {info->n_parts};
        struct dlq_param_desc desc = dlq_param_desc_init("weight_global_scale", DLQ_F32, 1, slots);
        desc.flags = DLQ_PARAM_FINITE | DLQ_PARAM_ACCEPT_0D;
        desc.slot_count = info->n_parts;
        status = host->param_declare(layer, &desc, err);
    }
    if (status == DLQ_OK && ct_fp_input_name(s)) {
        status = ct_declare_single(host, layer, ct_fp_input_name(s), DLQ_F32,
                                   DLQ_PARAM_CAST | DLQ_PARAM_FINITE, err);
    }
    return status;
}

static size_t
workspace_size(const struct ct_layer *l, int64_t max_m)
{
    const struct ct_fp *const s = (const struct ct_fp *)l;
    return (size_t)s->ops.workspace_size(&s->weight, max_m, l->n_threads);
}

static int
multiply(const struct ct_layer *l, const struct dlq_k_linear_call *call)
{
    const struct ct_fp *const s = (const struct ct_fp *)l;
    return s->ops.apply(&s->weight, call);
}

static int32_t
explain(const struct ct_layer *l, const struct dlq_host *host, const struct dlq_layer_info *info,
        struct dlq_explanation *out, struct dlq_error *err)
{
    struct ct_fp s = *(const struct ct_fp *)l;
    const int32_t status = prepare(&s, host, info, err);
    if (status != DLQ_OK) {
        return status;
    }
    snprintf(out->kernel, sizeof(out->kernel), "%s %s", is_fp4(&s) ? "fp4" : "fp8", s.ops.name);
    snprintf(out->note, sizeof(out->note), "%s%s",
             ct_fp_is_integer(&s) ? "integer codes as e4m3, exactly; " : "",
             s.activation == DLQ_K_FP_NONE ? "activations as they are" : "activations quantized");
    out->group = s.weight.shape.group;
    out->padded_k = s.weight.shape.k;
    out->padded_n = s.weight.blocks * 16;
    out->weight_bytes = s.weight.bytes;
    return DLQ_OK;
}

static int32_t
dequantize(const struct ct_layer *l, const struct dlq_host *host, const struct dlq_layer_info *info,
           float *weight, struct dlq_error *err)
{
    const struct ct_fp *const s = (const struct ct_fp *)l;
    (void)host;
    (void)info;
    (void)err;
    dlq_k_fp_dequantize(&s->weight, 0, s->weight.shape.n, weight);
    return DLQ_OK;
}

const struct ct_scheme_ops ct_scheme_fp = {
    .name = "fp",
    .can_implement = can_implement,
    .create_weights = create_weights,
    .process_weights = ct_fp_process_weights,
    .workspace_size = workspace_size,
    .apply = ct_cpu_apply,
    .multiply = multiply,
    .explain = explain,
    .dequantize = dequantize,
    .code_kind = ct_fp_code_kind,
    .quantize = ct_fp_quantize,
    .split = &ct_fp_split,
    .size = sizeof(struct ct_fp),
    .gpu = &ct_scheme_fp_gpu,
};
