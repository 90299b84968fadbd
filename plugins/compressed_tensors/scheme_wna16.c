// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "scheme_wna16.h"
#include "../common/layer.h"
#include "../common/run.h"
#include "int8_rows.h"

#include <stdio.h>

/// Integer weights of 2 to 8 bits with activations as they are.
///
/// As stored, W[n, k] = (q[n, k] - z[n, g(k)]) * s[n, g(k)]; packed codes are unsigned, q +
/// 2^(b-1):
///     weight_packed      int32 [N, words of K]   along K, dense or padded (pack/bits.h)
///     or weight          int8  [N, K]            signed
///     weight_scale       float [N, groups], [N, 1], [N] or one a part
///     weight_zero_point  int32 [words of N, groups] along N, or int8 [N, groups]; asymmetric only
///     weight_g_idx       int32 [K]               group of each row of K; act order only
/// Over groups, int8 activations (W4A8) give exact int32 sums of a group, and fp32 over the groups.
/// After process_weights() the codes' parameter holds the kernels' packed form, the others are
/// dropped (scheme_wna16_load.c).

int
ct_wna16_plan(const struct ct_wna16 *s, const struct dlq_layer_info *info, const int32_t *g_idx,
              struct dlq_k_wna16 *weight, int64_t *bad)
{
    const int64_t k = info->input_size_per_partition;
    const struct dlq_k_wna16_shape shape = {
        .k = k,
        .n = info->output_size_per_partition,
        .group = s->groups.rows < k ? s->groups.rows : k,
        .n_groups = g_idx ? s->groups.count : 0, // act order numbers groups over all of K
        .bits = ct_wna16_args(&s->base)->bits,
        .has_zero_points = ct_wna16_has_zeros(s),
    };
    return dlq_k_wna16_plan(weight, &shape, s->scale_dtype, g_idx, bad);
}

// The groups of this rank. With act order every rank holds all of them, and any cut of K is fine.
static int32_t
find_groups(struct ct_wna16 *s, const struct dlq_host *host, const struct dlq_layer_info *info,
            struct dlq_error *err)
{
    const struct ct_args *const a = ct_wna16_args(&s->base);
    const int64_t group = a->strategy == CT_GROUP ? a->group : -1;
    if (!s->act_order) {
        return dlq_groups_find(host, info, group, &s->groups, err);
    }
    struct dlq_layer_info whole = *info;
    whole.input_size_per_partition = info->input_size;
    whole.input_offset = 0;
    const int32_t status = dlq_groups_find(host, &whole, group, &s->groups, err);
    s->groups.one_group = true; // for descriptors: whole on every rank
    return status;
}

static int32_t
require_tensors(const struct ct_wna16 *s, const struct dlq_host *host,
                const struct dlq_layer_info *info, struct dlq_error *err)
{
    const char *names[5] = {ct_codes_name(&s->base), "weight_scale", NULL};
    size_t n = 2;
    if (!ct_wna16_args(&s->base)->symmetric) {
        names[n++] = "weight_zero_point";
    }
    if (s->act_order) {
        names[n++] = "weight_g_idx";
    }
    names[n] = NULL;
    return ct_require_tensors(host, info, names, err);
}

// Everything that follows from configuration, headers and sizes.
static int32_t
prepare(struct ct_wna16 *s, const struct dlq_host *host, const struct dlq_layer_info *info,
        struct dlq_error *err)
{
    const struct ct_args *const a = ct_wna16_args(&s->base);
    s->act_order = a->actorder == CT_ORDER_GROUP;
    s->scale_dtype = ct_evidence_dtype(info, "weight_scale", DLQ_F16);
    s->idle_zeros = a->symmetric && dlq_evidence_find(info, 0, "weight_zero_point") != NULL;
    if (!dlq_act_dtype_bit(s->scale_dtype)) {
        return host->fail(err, DLQ_EDTYPE,
                          "%s.weight_scale: %s was found; fp16, bf16 or fp32 is expected",
                          info->prefix, dlq_dtype_name(s->scale_dtype));
    }
    dlq_k_wna16_init(&s->ops, info->device.cpu_flags);
    int32_t status = require_tensors(s, host, info, err);
    status = status == DLQ_OK ? ct_find_layout(&s->base, host, info, &s->layout, err) : status;
    status = status == DLQ_OK ? find_groups(s, host, info, err) : status;
    s->arithmetic = DLQ_K_WNA16_EXACT;
    if (status == DLQ_OK && s->base.ops->quantize) {
        const bool symmetric = s->base.group->input.symmetric;
        s->arithmetic = symmetric ? DLQ_K_WNA16_I8_TOKEN : DLQ_K_WNA16_I8_TOKEN_AZP;
        const int result = dlq_k_w8a8_plan(
            &s->quantizer, info->input_size_per_partition, info->output_size_per_partition,
            symmetric ? DLQ_K_W8A8_TOKEN : DLQ_K_W8A8_TOKEN_AZP, 1.0F, 0);
        status = result == DLQ_K_OK ? DLQ_OK : dlq_run_fail(host, info, "x", result, 0, err);
    }
    if (status == DLQ_OK && !s->weight.data) {
        const int result = ct_wna16_plan(s, info, NULL, &s->weight, NULL);
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
    return prepare((struct ct_wna16 *)l, host, info, err);
}

// Scales, and zero points that are not packed, share their shape.
static int32_t
declare_grouped(const struct ct_wna16 *s, const struct dlq_host *host, struct dlq_layer *layer,
                const struct dlq_layer_info *info, const char *name, uint32_t dtype, uint32_t flags,
                struct dlq_error *err)
{
    if (s->groups.one_group && s->groups.count == 1) {
        return ct_declare_per_output(&s->base, host, layer, info, name, dtype, flags, err);
    }
    const int64_t shape[] = {info->output_size_per_partition, s->groups.count};
    struct dlq_param_desc desc = dlq_param_desc_init(name, dtype, 2, shape);
    desc.flags = flags;
    desc.output_dim = 0;
    dlq_groups_describe(&s->groups, 1, &desc);
    return host->param_declare(layer, &desc, err);
}

static int32_t
declare_zeros(const struct ct_wna16 *s, const struct dlq_host *host, struct dlq_layer *layer,
              const struct dlq_layer_info *info, struct dlq_error *err)
{
    if (!ct_is_packed(&s->base)) {
        return declare_grouped(s, host, layer, info, "weight_zero_point", DLQ_I8, 0, err);
    }
    const int64_t words =
        dlq_bits_words(s->layout, info->output_size_per_partition, ct_wna16_args(&s->base)->bits);
    const int64_t shape[] = {words, s->groups.count};
    struct dlq_param_desc desc = dlq_param_desc_init("weight_zero_point", DLQ_I32, 2, shape);
    desc.output_dim = 0;
    ct_pack_along(&desc, 0, ct_wna16_args(&s->base)->bits, s->layout);
    dlq_groups_describe(&s->groups, 1, &desc);
    return host->param_declare(layer, &desc, err);
}

static int32_t
create_weights(struct ct_layer *l, const struct dlq_host *host, struct dlq_layer *layer,
               const struct dlq_layer_info *info, struct dlq_error *err)
{
    struct ct_wna16 *const s = (struct ct_wna16 *)l;
    int32_t status = prepare(s, host, info, err);
    status =
        status == DLQ_OK ? ct_declare_codes(&s->base, host, layer, info, s->layout, err) : status;
    status = status == DLQ_OK
                 ? declare_grouped(s, host, layer, info, "weight_scale", s->scale_dtype,
                                   DLQ_PARAM_CAST | DLQ_PARAM_FINITE, err)
                 : status;
    if (status == DLQ_OK && ct_wna16_has_zeros(s)) {
        status = declare_zeros(s, host, layer, info, err);
    }
    if (status == DLQ_OK && s->act_order) {
        const int64_t k[] = {info->input_size_per_partition};
        struct dlq_param_desc desc = dlq_param_desc_init("weight_g_idx", DLQ_I32, 1, k);
        desc.flags = DLQ_PARAM_REPLICATED;
        desc.input_dim = 0;
        status = host->param_declare(layer, &desc, err);
    }
    return status;
}

static size_t
workspace_size(const struct ct_layer *l, int64_t max_m)
{
    const struct ct_wna16 *const s = (const struct ct_wna16 *)l;
    return (size_t)s->ops.workspace_size(&s->weight, s->arithmetic, max_m, l->n_threads);
}

static int
multiply(const struct ct_layer *l, const struct dlq_k_linear_call *call)
{
    const struct ct_wna16 *const s = (const struct ct_wna16 *)l;
    return s->ops.apply(&s->weight, s->arithmetic, call);
}

static int32_t
explain(const struct ct_layer *l, const struct dlq_host *host, const struct dlq_layer_info *info,
        struct dlq_explanation *out, struct dlq_error *err)
{
    struct ct_wna16 s = *(const struct ct_wna16 *)l;
    const int32_t status = prepare(&s, host, info, err);
    if (status != DLQ_OK) {
        return status;
    }
    snprintf(out->kernel, sizeof(out->kernel), "wna16 %s%s", s.ops.name,
             !s.ops.fixed_point || l->ops->quantize ? "" : " two-limb");
    snprintf(out->note, sizeof(out->note), "%s%s%s", l->ops->quantize ? "int8 activations, " : "",
             !ct_is_packed(l)              ? "one code a byte"
             : s.layout == DLQ_BITS_PADDED ? "padded words"
                                           : "dense words",
             s.act_order ? ", act order" : "");
    out->group = s.groups.rows;
    out->padded_k = s.weight.groups * s.weight.group_k;
    out->padded_n = s.weight.blocks * 16;
    out->weight_bytes = s.weight.bytes;
    return DLQ_OK;
}

static int32_t
dequantize(const struct ct_layer *l, const struct dlq_host *host, const struct dlq_layer_info *info,
           float *weight, struct dlq_error *err)
{
    const struct ct_wna16 *const s = (const struct ct_wna16 *)l;
    (void)host;
    (void)info;
    (void)err;
    dlq_k_wna16_dequantize(&s->weight, 0, s->weight.shape.n, weight);
    return DLQ_OK;
}

const struct ct_scheme_ops ct_scheme_wna16 = {
    .name = "wna16",
    .can_implement = can_implement,
    .create_weights = create_weights,
    .process_weights = ct_wna16_process_weights,
    .workspace_size = workspace_size,
    .apply = ct_cpu_apply,
    .multiply = multiply,
    .explain = explain,
    .dequantize = dequantize,
    .size = sizeof(struct ct_wna16),
    .gpu = &ct_scheme_wna16_gpu,
};

static int32_t
int8_quantize(const struct ct_layer *l, const struct dlq_host *host,
              const struct dlq_layer_info *info, const void *x, int64_t m, void *codes,
              float *scales, int32_t *zero_points, struct dlq_error *err)
{
    (void)host;
    (void)info;
    (void)err;
    const struct ct_wna16 *const s = (const struct ct_wna16 *)l;
    const struct dlq_k_linear_call call = ct_rows_call(l, x, m);
    ct_int8_rows_inspect(&s->quantizer, &call, codes, scales, zero_points);
    return DLQ_OK;
}

// Sums over groups are fp32, so that y itself is added up.
static void
int8_split_describe(const struct ct_layer *l, struct dlq_row_split *out)
{
    (void)l;
    out->n_stats = 2;
}

static int32_t
int8_split_quantize(const struct ct_layer *l, const struct dlq_host *host,
                    const struct dlq_k_linear_call *call, void *codes, float *scales,
                    int32_t *zero_points, struct dlq_error *err)
{
    (void)host;
    (void)err;
    const struct ct_wna16 *const s = (const struct ct_wna16 *)l;
    ct_int8_rows_inspect(&s->quantizer, call, codes, scales, zero_points);
    return DLQ_OK;
}

static const struct ct_split_ops int8_split = {
    .describe = int8_split_describe,
    .quantize = int8_split_quantize,
};

const struct ct_scheme_ops ct_scheme_wna8 = {
    .name = "wna8",
    .can_implement = can_implement,
    .create_weights = create_weights,
    .process_weights = ct_wna16_process_weights,
    .workspace_size = workspace_size,
    .apply = ct_cpu_apply,
    .multiply = multiply,
    .explain = explain,
    .dequantize = dequantize,
    .code_kind = ct_int8_code_kind,
    .quantize = int8_quantize,
    .split = &int8_split,
    .size = sizeof(struct ct_wna16),
    .gpu = &ct_scheme_wna8_gpu,
};
