// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "../../kernels/float16.h"
#include "../../kernels/linear_fp.h"
#include "../common/groups.h"
#include "../common/layer.h"
#include "../common/run.h"
#include "ct.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

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
/// dropped.

struct fp {
    struct ct_layer base;
    struct dlq_groups groups;    ///< Of group strategies
    int64_t block[2];            ///< Of strategy block: outputs, inputs; no part or rank cuts one
    enum dlq_bits_layout layout; ///< Of packed integers
    enum dlq_k_fp_activation activation;
    struct dlq_k_fp weight; ///< data is NULL before process_weights()
    struct dlq_k_fp_ops ops;
};

static const struct ct_args *
weights_of(const struct fp *s)
{
    return &s->base.group->weights;
}

static bool
is_integer(const struct fp *s)
{
    return weights_of(s)->type == CT_INT;
}

static bool
is_fp4(const struct fp *s)
{
    return weights_of(s)->type == CT_FLOAT && weights_of(s)->bits == 4;
}

static bool
is_grouped(const struct fp *s)
{
    return weights_of(s)->group > 0;
}

static bool
has_global(const struct fp *s)
{
    return weights_of(s)->strategy == CT_TENSOR_GROUP;
}

// Name of the one scale of static activations, or NULL.
static const char *
input_name(const struct fp *s)
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
require_tensors(const struct fp *s, const struct dlq_host *host, const struct dlq_layer_info *info,
                struct dlq_error *err)
{
    const char *names[5] = {ct_codes_name(&s->base), "weight_scale"};
    size_t n = 2;
    if (has_global(s)) {
        names[n++] = "weight_global_scale";
    }
    names[n] = input_name(s);
    return ct_require_tensors(host, info, names, err);
}

static uint32_t
scale_dtype_of(const struct fp *s)
{
    switch (weights_of(s)->scale) {
    case CT_SCALE_U8:
        return DLQ_F8_E8M0;
    case CT_SCALE_E4M3:
        return DLQ_F8_E4M3;
    default:
        return DLQ_F32;
    }
}

static int
plan(const struct fp *s, const struct dlq_layer_info *info, float act_scale,
     struct dlq_k_fp *weight)
{
    const struct ct_args *const w = weights_of(s);
    const int64_t k = info->input_size_per_partition;
    const bool block = w->strategy == CT_BLOCK;
    const int64_t act_group = s->base.group->input.group;
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
        .act_group = act_group < k ? act_group : k,
        .act_scale = act_scale,
    };
    return dlq_k_fp_plan(weight, &shape);
}

// Everything that follows from configuration, headers and sizes.
static int32_t
prepare(struct fp *s, const struct dlq_host *host, const struct dlq_layer_info *info,
        struct dlq_error *err)
{
    ct_fp_activation(&s->base.group->input, &s->activation);
    dlq_k_fp_init(&s->ops, info->device.cpu_flags);
    int32_t status = require_tensors(s, host, info, err);
    if (status == DLQ_OK && is_integer(s)) {
        status = ct_find_layout(&s->base, host, info, &s->layout, err);
    }
    if (status == DLQ_OK && s->layout == DLQ_BITS_EITHER) {
        return host->fail(err, DLQ_EUNSUPPORTED,
                          "%s.weight_packed: its width fits dense and padded words; say which with "
                          "\"packing\" in the configuration",
                          info->prefix);
    }
    if (status == DLQ_OK && is_grouped(s)) {
        status = dlq_groups_find(host, info, weights_of(s)->group, &s->groups, err);
    }
    s->block[0] = dlq_block_refine_outputs(info, weights_of(s)->block[0]);
    s->block[1] = dlq_block_refine_inputs(info, weights_of(s)->block[1]);
    if (status == DLQ_OK && is_fp4(s) && info->input_size_per_partition % 2 != 0) {
        return host->fail(err, DLQ_ESHAPE, "%s: K_pp %" PRId64 " is odd; fp4 packs two in a byte",
                          info->prefix, info->input_size_per_partition);
    }
    if (status == DLQ_OK && !s->weight.data) {
        // The scale of a static activation is not known yet; it does not change sizes.
        const int result = plan(s, info, 1.0F, &s->weight);
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
    return prepare((struct fp *)l, host, info, err);
}

static int32_t
declare_codes(const struct fp *s, const struct dlq_host *host, struct dlq_layer *layer,
              const struct dlq_layer_info *info, struct dlq_error *err)
{
    if (is_integer(s)) {
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
declare_scales(const struct fp *s, const struct dlq_host *host, struct dlq_layer *layer,
               const struct dlq_layer_info *info, struct dlq_error *err)
{
    const struct ct_args *const w = weights_of(s);
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
    struct fp *const s = (struct fp *)l;
    int32_t status = prepare(s, host, info, err);
    status = status == DLQ_OK ? declare_codes(s, host, layer, info, err) : status;
    status = status == DLQ_OK ? declare_scales(s, host, layer, info, err) : status;
    if (status == DLQ_OK && has_global(s)) {
        const int64_t slots[] = {info->n_parts};
        struct dlq_param_desc desc = dlq_param_desc_init("weight_global_scale", DLQ_F32, 1, slots);
        desc.flags = DLQ_PARAM_FINITE | DLQ_PARAM_ACCEPT_0D;
        desc.slot_count = info->n_parts;
        status = host->param_declare(layer, &desc, err);
    }
    if (status == DLQ_OK && input_name(s)) {
        status = ct_declare_single(host, layer, input_name(s), DLQ_F32,
                                   DLQ_PARAM_CAST | DLQ_PARAM_FINITE, err);
    }
    return status;
}

/// What packing needs; freed by free_inputs().
struct inputs {
    uint8_t *codes; ///< Integers as e4m3; NULL: the parameter itself
    float *scales;  ///< Per-tensor scales, one an output; NULL: the parameter itself
    float *factors; ///< One an output, or NULL
    float act_scale;
};

static void
free_inputs(const struct dlq_host *host, struct inputs *in)
{
    dlq_host_free(host, in->codes);
    dlq_host_free(host, in->scales);
    dlq_host_free(host, in->factors);
}

// One value a part becomes one an output; `invert` takes the reciprocal, which must exist.
static int32_t
widen(const struct dlq_host *host, const struct dlq_layer_info *info, const char *name,
      const struct dlq_tensor *t, bool invert, float **out, struct dlq_error *err)
{
    *out = dlq_host_calloc(host, (size_t)info->output_size_per_partition * sizeof(**out), err);
    if (!*out) {
        return DLQ_ENOMEM;
    }
    for (int32_t p = 0; p < info->n_parts; p++) {
        const struct dlq_part *const part = info->parts[p];
        const float value = ((const float *)t->data)[p];
        if (invert && !(value > 0.0F)) {
            return host->fail(err, DLQ_EFORMAT, "%s.%s is %g; it divides and must be positive",
                              part->prefix, name, (double)value);
        }
        for (int64_t i = 0; i < part->local_size; i++) {
            (*out)[part->local_offset + i] = invert ? 1.0F / value : value;
        }
    }
    return DLQ_OK;
}

// Integers of up to 5 bits become the e4m3 numbers of the same value.
static int32_t
convert_integers(const struct fp *s, const struct dlq_host *host, const struct dlq_layer_info *info,
                 const struct dlq_tensor *t, struct inputs *in, struct dlq_error *err)
{
    const int64_t k = info->input_size_per_partition;
    const int64_t n = info->output_size_per_partition;
    const int32_t bits = weights_of(s)->bits;
    const int32_t half = 1 << (bits - 1);
    in->codes = dlq_host_calloc(host, (size_t)(n * k), err);
    if (!in->codes) {
        return DLQ_ENOMEM;
    }
    for (int64_t row = 0; row < n && ct_is_packed(&s->base); row++) {
        dlq_bits_unpack((const uint32_t *)t->data + row * t->shape[1], 1, s->layout, bits, 0, k,
                        in->codes + row * k);
    }
    for (int64_t i = 0; i < n * k; i++) {
        const int32_t q =
            ct_is_packed(&s->base) ? in->codes[i] - half : ((const int8_t *)t->data)[i];
        if (q < -half || q >= half) {
            return host->fail(err, DLQ_EFORMAT,
                              "%s.weight: element %" PRId64 " is %" PRId32 "; %" PRId32
                              " to %" PRId32 " is expected",
                              info->prefix, i, q, -half, half - 1);
        }
        in->codes[i] = dlq_k_f32_to_e4m3((float)q);
    }
    return DLQ_OK;
}

static int32_t
read_inputs(const struct fp *s, const struct dlq_host *host, struct dlq_layer *layer,
            const struct dlq_layer_info *info, const struct dlq_tensor *codes,
            const struct dlq_tensor *scales, struct inputs *in, struct dlq_error *err)
{
    struct dlq_tensor t;
    int32_t status = DLQ_OK;
    in->act_scale = 1.0F;
    if (is_integer(s)) {
        status = convert_integers(s, host, info, codes, in, err);
    }
    if (status == DLQ_OK && weights_of(s)->strategy == CT_TENSOR) {
        status = widen(host, info, "weight_scale", scales, false, &in->scales, err);
    }
    if (status == DLQ_OK && has_global(s)) {
        status = ct_param(host, layer, "weight_global_scale", &t, err);
        if (status == DLQ_OK) {
            status = widen(host, info, "weight_global_scale", &t, true, &in->factors, err);
        }
    }
    if (status == DLQ_OK && input_name(s)) {
        status = ct_read_positive(host, layer, info, input_name(s), &in->act_scale, err);
    }
    return status;
}

static int32_t
pack(struct fp *s, const struct dlq_host *host, struct dlq_layer *layer,
     const struct dlq_layer_info *info, const struct dlq_tensor *codes,
     const struct dlq_tensor *scales, const struct inputs *in, struct dlq_error *err)
{
    const char *const name = ct_codes_name(&s->base);
    struct dlq_k_fp packed;
    int64_t bad = 0;
    int result = plan(s, info, in->act_scale, &packed);
    if (result != DLQ_K_OK) {
        return dlq_run_fail(host, info, name, result, 0, err);
    }
    void *const data = dlq_run_pack_alloc(host, info, packed.bytes, err);
    if (!data) {
        return DLQ_ENOMEM;
    }
    const struct dlq_k_parallel parallel = dlq_run_parallel(host, s->base.n_threads);
    result =
        dlq_k_fp_pack(&packed, in->codes ? in->codes : codes->data,
                      in->scales ? in->scales : scales->data, in->factors, data, &parallel, &bad);
    if (result != DLQ_K_OK) {
        dlq_run_pack_free(host, info, data);
        return dlq_run_fail(host, info, result == DLQ_K_ECODE ? name : "weight_scale", result, bad,
                            err);
    }
    const int32_t status = dlq_run_pack_commit(host, layer, info, name, data, packed.bytes, err);
    if (status == DLQ_OK) {
        s->weight = packed;
    }
    return status;
}

static int32_t
process_weights(struct ct_layer *l, const struct dlq_host *host, struct dlq_layer *layer,
                const struct dlq_layer_info *info, struct dlq_error *err)
{
    struct fp *const s = (struct fp *)l;
    struct inputs in = {0};
    struct dlq_tensor codes;
    struct dlq_tensor scales;
    int32_t status = ct_param(host, layer, ct_codes_name(l), &codes, err);
    status = status == DLQ_OK ? ct_param(host, layer, "weight_scale", &scales, err) : status;
    status =
        status == DLQ_OK ? read_inputs(s, host, layer, info, &codes, &scales, &in, err) : status;
    if (status == DLQ_OK && scales.dtype == DLQ_F32) {
        dlq_scales_warn_zero(host, info, "weight_scale", &scales);
    }
    status = status == DLQ_OK ? pack(s, host, layer, info, &codes, &scales, &in, err) : status;
    status = status == DLQ_OK ? host->param_replace(layer, "weight_scale", NULL, err) : status;
    if (status == DLQ_OK && has_global(s)) {
        status = host->param_replace(layer, "weight_global_scale", NULL, err);
    }
    if (status == DLQ_OK && input_name(s)) {
        status = host->param_replace(layer, input_name(s), NULL, err);
    }
    free_inputs(host, &in);
    return status;
}

static size_t
workspace_size(const struct ct_layer *l, int64_t max_m)
{
    const struct fp *const s = (const struct fp *)l;
    return (size_t)s->ops.workspace_size(&s->weight, max_m, l->n_threads);
}

static int32_t
apply(const struct ct_layer *l, const struct dlq_linear_call *call, struct dlq_error *err)
{
    const struct fp *const s = (const struct fp *)l;
    const struct dlq_k_parallel parallel = dlq_run_parallel(call->host, l->n_threads);
    const struct dlq_k_linear_call c = dlq_run_call(call, l->act_dtype, &parallel);
    return dlq_run_result(s->ops.apply(&s->weight, &c), err);
}

static int32_t
explain(const struct ct_layer *l, const struct dlq_host *host, const struct dlq_layer_info *info,
        struct dlq_explanation *out, struct dlq_error *err)
{
    struct fp s = *(const struct fp *)l;
    const int32_t status = prepare(&s, host, info, err);
    if (status != DLQ_OK) {
        return status;
    }
    snprintf(out->kernel, sizeof(out->kernel), "%s %s", is_fp4(&s) ? "fp4" : "fp8", s.ops.name);
    snprintf(out->note, sizeof(out->note), "%s%s",
             is_integer(&s) ? "integer codes as e4m3, exactly; " : "",
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
    const struct fp *const s = (const struct fp *)l;
    if (!s->weight.data) {
        return host->fail(err, DLQ_ESTATE, "%s: the weights are not processed", info->prefix);
    }
    dlq_k_fp_dequantize(&s->weight, 0, s->weight.shape.n, weight);
    return DLQ_OK;
}

static bool
has_fp4_codes(const struct fp *s)
{
    return s->activation == DLQ_K_FP_NVFP4 || s->activation == DLQ_K_FP_MXFP4;
}

static int32_t
code_kind(const struct ct_layer *l, int64_t *scales_per_row)
{
    const struct fp *const s = (const struct fp *)l;
    if (s->activation == DLQ_K_FP_NONE) {
        return DLQ_CODES_NONE;
    }
    *scales_per_row = dlq_k_fp_act_scales(&s->weight);
    return has_fp4_codes(s) ? DLQ_CODES_E2M1 : DLQ_CODES_E4M3;
}

// Largest magnitude of all rows, for the one scale of a whole tensor; NaN when one is not finite.
static float
tensor_max(const void *x, uint32_t dtype, int64_t count)
{
    uint32_t max = 0;
    for (int64_t i = 0; i < count; i++) {
        const uint32_t bits = dlq_k_f32_bits(dlq_k_load_f32(x, dtype, i)) & 0x7fffffffu;
        max = bits > max ? bits : max;
    }
    return dlq_k_f32_from_bits(max >= 0x7f800000u ? 0x7fc00000u : max);
}

static int32_t
quantize(const struct ct_layer *l, const struct dlq_host *host, const struct dlq_layer_info *info,
         const void *x, int64_t m, void *codes, float *scales, int32_t *zero_points,
         struct dlq_error *err)
{
    const struct fp *const s = (const struct fp *)l;
    const int64_t k = s->weight.shape.k;
    const int64_t per_row = dlq_k_fp_act_scales(&s->weight);
    const size_t row = (size_t)k * dlq_k_act_size(info->act_dtype);
    float *const values = dlq_host_calloc(host, (size_t)k * sizeof(*values), err);
    uint8_t *const bytes = values ? dlq_host_calloc(host, (size_t)k, err) : NULL;
    const float max = tensor_max(x, info->act_dtype, m * k);
    for (int64_t i = 0; bytes && i < m; i++) {
        float row_scale = 1.0F;
        dlq_k_fp_quantize_row(&s->weight, (const char *)x + (size_t)i * row, info->act_dtype, max,
                              values, bytes, scales + i * per_row, &row_scale);
        // nvfp4 divides by one scale of the whole tensor: what a code stands for includes it.
        for (int64_t g = 0; g < per_row && s->activation == DLQ_K_FP_NVFP4; g++) {
            scales[i * per_row + g] *= row_scale;
        }
        for (int64_t j = 0; j < k; j++) {
            if (has_fp4_codes(s)) {
                ((uint16_t *)codes)[i * k + j] = dlq_k_f32_to_f16(dlq_k_e2m1_to_f32(bytes[j]));
            } else {
                ((uint8_t *)codes)[i * k + j] = bytes[j];
            }
        }
        if (zero_points) {
            zero_points[i] = 0;
        }
    }
    const bool ok = bytes != NULL;
    dlq_host_free(host, values);
    dlq_host_free(host, bytes);
    return ok ? DLQ_OK : DLQ_ENOMEM;
}

const struct ct_scheme_ops ct_scheme_fp = {
    .name = "fp",
    .can_implement = can_implement,
    .create_weights = create_weights,
    .process_weights = process_weights,
    .workspace_size = workspace_size,
    .apply = apply,
    .explain = explain,
    .dequantize = dequantize,
    .code_kind = code_kind,
    .quantize = quantize,
    .size = sizeof(struct fp),
};
