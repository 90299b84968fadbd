// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "../../kernels/linear_wna16.h"
#include "../../kernels/pack/bits.h"
#include "../common/groups.h"
#include "../common/layer.h"
#include "../common/run.h"
#include "ct.h"
#include "int8_rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/// Integer weights of 2 to 8 bits with activations as they are.
///
/// As stored, W[n, k] = (q[n, k] - z[n, g(k)]) * s[n, g(k)]; packed codes are unsigned, q +
/// 2^(b-1):
///     weight_packed      int32 [N, words of K]   along K, dense or padded (pack/bits.h)
///     or weight          int8  [N, K]            signed
///     weight_scale       float [N, groups], [N, 1], [N] or one a part
///     weight_zero_point  int32 [words of N, groups] along N, or int8 [N, groups]; asymmetric only
///     weight_g_idx       int32 [K]               group of each row of K; act order only
/// Over groups, int8 activations (W4A8) are rounded to what their codes stand for and multiplied
/// like others: the sums of a group are not kept as integers, which costs less than a step of x.
/// After process_weights() the codes' parameter holds the kernels' packed form, the others are
/// dropped.

struct wna16 {
    struct ct_layer base;
    struct dlq_groups groups;
    enum dlq_bits_layout layout; ///< Of packed codes
    uint32_t scale_dtype;        ///< As the checkpoint stores scales, so that none is rounded
    bool act_order;
    bool idle_zeros;           ///< Symmetric, and zero points are stored all the same: all 0
    struct dlq_k_wna16 weight; ///< data is NULL before process_weights()
    struct dlq_k_wna16_ops ops;
    struct dlq_k_w8a8 quantizer; ///< Of int8 activations: never packed, it only rounds rows
};

static const struct ct_args *
args_of(const struct ct_layer *l)
{
    return &l->group->weights;
}

static bool
has_zeros(const struct wna16 *s)
{
    return !args_of(&s->base)->symmetric || s->idle_zeros;
}

static int
plan(const struct wna16 *s, const struct dlq_layer_info *info, const int32_t *g_idx,
     struct dlq_k_wna16 *weight, int64_t *bad)
{
    const int64_t k = info->input_size_per_partition;
    const struct dlq_k_wna16_shape shape = {
        .k = k,
        .n = info->output_size_per_partition,
        .group = s->groups.rows < k ? s->groups.rows : k,
        .n_groups = g_idx ? s->groups.count : 0, // act order numbers groups over all of K
        .bits = args_of(&s->base)->bits,
        .has_zero_points = has_zeros(s),
    };
    return dlq_k_wna16_plan(weight, &shape, s->scale_dtype, g_idx, bad);
}

// The groups of this rank. With act order every rank holds all of them, and any cut of K is fine.
static int32_t
find_groups(struct wna16 *s, const struct dlq_host *host, const struct dlq_layer_info *info,
            struct dlq_error *err)
{
    const struct ct_args *const a = args_of(&s->base);
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
require_tensors(const struct wna16 *s, const struct dlq_host *host,
                const struct dlq_layer_info *info, struct dlq_error *err)
{
    const char *names[5] = {ct_codes_name(&s->base), "weight_scale", NULL};
    size_t n = 2;
    if (!args_of(&s->base)->symmetric) {
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
prepare(struct wna16 *s, const struct dlq_host *host, const struct dlq_layer_info *info,
        struct dlq_error *err)
{
    const struct ct_args *const a = args_of(&s->base);
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
    if (status == DLQ_OK && s->base.ops->quantize) {
        const int result = dlq_k_w8a8_plan(
            &s->quantizer, info->input_size_per_partition, info->output_size_per_partition,
            s->base.group->input.symmetric ? DLQ_K_W8A8_TOKEN : DLQ_K_W8A8_TOKEN_AZP, 1.0F, 0);
        status = result == DLQ_K_OK ? DLQ_OK : dlq_run_fail(host, info, "x", result, 0, err);
    }
    if (status == DLQ_OK && !s->weight.data) {
        const int result = plan(s, info, NULL, &s->weight, NULL);
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
    return prepare((struct wna16 *)l, host, info, err);
}

// Scales, and zero points that are not packed, share their shape.
static int32_t
declare_grouped(const struct wna16 *s, const struct dlq_host *host, struct dlq_layer *layer,
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
declare_zeros(const struct wna16 *s, const struct dlq_host *host, struct dlq_layer *layer,
              const struct dlq_layer_info *info, struct dlq_error *err)
{
    if (!ct_is_packed(&s->base)) {
        return declare_grouped(s, host, layer, info, "weight_zero_point", DLQ_I8, 0, err);
    }
    const int64_t words =
        dlq_bits_words(s->layout, info->output_size_per_partition, args_of(&s->base)->bits);
    const int64_t shape[] = {words, s->groups.count};
    struct dlq_param_desc desc = dlq_param_desc_init("weight_zero_point", DLQ_I32, 2, shape);
    desc.output_dim = 0;
    ct_pack_along(&desc, 0, args_of(&s->base)->bits, s->layout);
    dlq_groups_describe(&s->groups, 1, &desc);
    return host->param_declare(layer, &desc, err);
}

static int32_t
create_weights(struct ct_layer *l, const struct dlq_host *host, struct dlq_layer *layer,
               const struct dlq_layer_info *info, struct dlq_error *err)
{
    struct wna16 *const s = (struct wna16 *)l;
    int32_t status = prepare(s, host, info, err);
    status =
        status == DLQ_OK ? ct_declare_codes(&s->base, host, layer, info, s->layout, err) : status;
    status = status == DLQ_OK
                 ? declare_grouped(s, host, layer, info, "weight_scale", s->scale_dtype,
                                   DLQ_PARAM_CAST | DLQ_PARAM_FINITE, err)
                 : status;
    if (status == DLQ_OK && has_zeros(s)) {
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

/// The loaded tensors, and what had to be made of them.
struct loaded {
    struct dlq_tensor codes;
    struct dlq_tensor scales;
    struct dlq_tensor zeros;
    struct dlq_tensor g_idx;
    void *wide_scales; ///< Per-tensor scales, one an output; to be freed
    uint8_t *wide_zeros;
};

static int32_t
get_loaded(const struct wna16 *s, const struct dlq_host *host, struct dlq_layer *layer,
           struct loaded *in, struct dlq_error *err)
{
    const struct dlq_tensor empty = {.struct_size = DLQ_SIZE_UPTO(struct dlq_tensor, strides)};
    *in = (struct loaded){.codes = empty, .scales = empty, .zeros = empty, .g_idx = empty};
    int32_t status = host->param_get(layer, ct_codes_name(&s->base), &in->codes, err);
    status = status == DLQ_OK ? host->param_get(layer, "weight_scale", &in->scales, err) : status;
    if (status == DLQ_OK && has_zeros(s)) {
        status = host->param_get(layer, "weight_zero_point", &in->zeros, err);
    }
    if (status == DLQ_OK && s->act_order) {
        status = host->param_get(layer, "weight_g_idx", &in->g_idx, err);
    }
    return status;
}

// Signed bytes become unsigned codes, in place. DLQ_EFORMAT names the first that has no code.
static int32_t
make_unsigned(const struct wna16 *s, const struct dlq_host *host, const struct dlq_layer_info *info,
              const char *name, const struct dlq_tensor *t, struct dlq_error *err)
{
    const int32_t half = 1 << (args_of(&s->base)->bits - 1);
    int8_t *const in = t->data;
    uint8_t *const out = t->data;
    const int64_t n = t->ndim == 2 ? t->shape[0] * t->shape[1] : t->shape[0];
    for (int64_t i = 0; i < n; i++) {
        if (in[i] < -half || in[i] >= half) {
            return host->fail(err, DLQ_EFORMAT,
                              "%s.%s: element %" PRId64 " is %d; %d to %d is expected",
                              info->prefix, name, i, in[i], -half, half - 1);
        }
        out[i] = (uint8_t)(in[i] + half);
    }
    return DLQ_OK;
}

// A symmetric layer may carry zero points that say nothing; they must all be the middle code.
static int32_t
check_idle_zeros(const struct wna16 *s, const struct dlq_host *host,
                 const struct dlq_layer_info *info, const struct dlq_tensor *zeros,
                 struct dlq_error *err)
{
    const int32_t bits = args_of(&s->base)->bits;
    const uint32_t middle = 1u << (bits - 1);
    const int64_t n = info->output_size_per_partition;
    const int64_t groups = zeros->ndim == 2 ? zeros->shape[1] : 1;
    for (int64_t i = 0; s->idle_zeros && i < (zeros->ndim == 2 ? n * groups : zeros->shape[0]);
         i++) {
        const uint32_t z = ct_is_packed(&s->base)
                               ? dlq_bits_get((const uint32_t *)zeros->data + i % groups, groups,
                                              s->layout, bits, i / groups)
                               : ((const uint8_t *)zeros->data)[i];
        if (z != middle) {
            return host->fail(err, DLQ_EFORMAT,
                              "%s.weight_zero_point: element %" PRId64
                              " is not 0, and the configuration says symmetric",
                              info->prefix, i);
        }
    }
    return DLQ_OK;
}

// One value a part becomes one an output.
static int32_t
widen(const struct wna16 *s, const struct dlq_host *host, const struct dlq_layer_info *info,
      struct loaded *in, struct dlq_error *err)
{
    if (args_of(&s->base)->strategy != CT_TENSOR) {
        return DLQ_OK;
    }
    const size_t size = DLQ_DTYPE_BITS(s->scale_dtype) / 8;
    const size_t n = (size_t)info->output_size_per_partition;
    in->wide_scales = dlq_host_calloc(host, n * size, err);
    in->wide_zeros = in->wide_scales ? dlq_host_calloc(host, n, err) : NULL;
    if (!in->wide_zeros) {
        return DLQ_ENOMEM;
    }
    for (int32_t p = 0; p < info->n_parts; p++) {
        const struct dlq_part *const part = info->parts[p];
        for (int64_t i = 0; i < part->local_size; i++) {
            const size_t at = (size_t)(part->local_offset + i);
            memcpy((char *)in->wide_scales + at * size, (char *)in->scales.data + (size_t)p * size,
                   size);
            in->wide_zeros[at] = in->zeros.data ? ((const uint8_t *)in->zeros.data)[p] : 0;
        }
    }
    in->scales.data = in->wide_scales;
    in->zeros.data = in->zeros.data ? in->wide_zeros : NULL;
    return DLQ_OK;
}

// Where the width fits both packings, the bits decide: every row must speak for the same one.
static int32_t
settle_layout(struct wna16 *s, const struct dlq_host *host, const struct dlq_layer_info *info,
              const struct dlq_tensor *codes, struct dlq_error *err)
{
    const int32_t bits = args_of(&s->base)->bits;
    if (s->layout != DLQ_BITS_EITHER) {
        return DLQ_OK;
    }
    for (int64_t n = 0; n < codes->shape[0]; n++) {
        const enum dlq_bits_layout row =
            dlq_bits_detect_row((const uint32_t *)codes->data + n * codes->shape[1], 1,
                                info->input_size_per_partition, bits);
        if (row == DLQ_BITS_DENSE || row == DLQ_BITS_PADDED) {
            s->layout = row;
            return DLQ_OK;
        }
    }
    return host->fail(err, DLQ_EUNSUPPORTED,
                      "%s.weight_packed: K %" PRId64 " of %" PRId32
                      " bits is as wide dense as padded, and the bits fit both; say which with "
                      "\"packing\" in the configuration",
                      info->prefix, info->input_size, bits);
}

static int32_t
convert(struct wna16 *s, const struct dlq_host *host, const struct dlq_layer_info *info,
        struct loaded *in, struct dlq_error *err)
{
    int32_t status = DLQ_OK;
    if (!ct_is_packed(&s->base)) {
        status = make_unsigned(s, host, info, "weight", &in->codes, err);
        if (status == DLQ_OK && has_zeros(s)) {
            status = make_unsigned(s, host, info, "weight_zero_point", &in->zeros, err);
        }
    } else {
        status = settle_layout(s, host, info, &in->codes, err);
    }
    if (status == DLQ_OK) {
        status = check_idle_zeros(s, host, info, &in->zeros, err);
    }
    return status == DLQ_OK ? widen(s, host, info, in, err) : status;
}

static int32_t
pack(struct wna16 *s, const struct dlq_host *host, struct dlq_layer *layer,
     const struct dlq_layer_info *info, const struct loaded *in, struct dlq_error *err)
{
    const char *const name = ct_codes_name(&s->base);
    const struct dlq_k_wna16_source source = {
        .layout = !ct_is_packed(&s->base)        ? DLQ_K_WNA16_BYTES
                  : s->layout == DLQ_BITS_PADDED ? DLQ_K_WNA16_K_PADDED
                                                 : DLQ_K_WNA16_K_DENSE,
        .codes = in->codes.data,
        .zeros = in->zeros.data,
        .scales = in->scales.data,
        .scale_dtype = s->scale_dtype,
        .g_idx = in->g_idx.data,
    };
    struct dlq_k_wna16 packed;
    int64_t bad = 0;
    int result = plan(s, info, source.g_idx, &packed, &bad);
    if (result != DLQ_K_OK) {
        return dlq_run_fail(host, info, result == DLQ_K_EINDEX ? "weight_g_idx" : name, result, bad,
                            err);
    }
    void *const data = dlq_run_pack_alloc(host, info, packed.bytes, err);
    if (!data) {
        return DLQ_ENOMEM;
    }
    const struct dlq_k_parallel parallel = dlq_run_parallel(host, s->base.n_threads);
    result = dlq_k_wna16_pack(&packed, &source, data, &parallel, &bad);
    if (result != DLQ_K_OK) {
        dlq_run_pack_free(host, info, data);
        return dlq_run_fail(host, info, "weight_scale", result, bad, err);
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
    struct wna16 *const s = (struct wna16 *)l;
    struct loaded in;
    int32_t status = get_loaded(s, host, layer, &in, err);
    if (status == DLQ_OK) {
        dlq_scales_warn_zero(host, info, "weight_scale", &in.scales);
        status = convert(s, host, info, &in, err);
    }
    status = status == DLQ_OK ? pack(s, host, layer, info, &in, err) : status;
    status = status == DLQ_OK ? host->param_replace(layer, "weight_scale", NULL, err) : status;
    if (status == DLQ_OK && has_zeros(s)) {
        status = host->param_replace(layer, "weight_zero_point", NULL, err);
    }
    if (status == DLQ_OK && s->act_order) {
        status = host->param_replace(layer, "weight_g_idx", NULL, err);
    }
    dlq_host_free(host, in.wide_scales);
    dlq_host_free(host, in.wide_zeros);
    return status;
}

static size_t
workspace_size(const struct ct_layer *l, int64_t max_m)
{
    const struct wna16 *const s = (const struct wna16 *)l;
    return (size_t)s->ops.workspace_size(&s->weight, DLQ_K_WNA16_EXACT, max_m, l->n_threads);
}

static int32_t
apply(const struct ct_layer *l, const struct dlq_linear_call *call, struct dlq_error *err)
{
    const struct wna16 *const s = (const struct wna16 *)l;
    const struct dlq_k_parallel parallel = dlq_run_parallel(call->host, l->n_threads);
    const struct dlq_k_linear_call c = dlq_run_call(call, l->act_dtype, &parallel);
    return dlq_run_result(s->ops.apply(&s->weight, DLQ_K_WNA16_EXACT, &c), err);
}

static int32_t
explain(const struct ct_layer *l, const struct dlq_host *host, const struct dlq_layer_info *info,
        struct dlq_explanation *out, struct dlq_error *err)
{
    struct wna16 s = *(const struct wna16 *)l;
    const int32_t status = prepare(&s, host, info, err);
    if (status != DLQ_OK) {
        return status;
    }
    snprintf(out->kernel, sizeof(out->kernel), "wna16 %s%s", s.ops.name,
             s.ops.fixed_point ? " two-limb" : "");
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
    const struct wna16 *const s = (const struct wna16 *)l;
    if (!s->weight.data) {
        return host->fail(err, DLQ_ESTATE, "%s: the weights are not processed", info->prefix);
    }
    dlq_k_wna16_dequantize(&s->weight, 0, s->weight.shape.n, weight);
    return DLQ_OK;
}

const struct ct_scheme_ops ct_scheme_wna16 = {
    .name = "wna16",
    .can_implement = can_implement,
    .create_weights = create_weights,
    .process_weights = process_weights,
    .workspace_size = workspace_size,
    .apply = apply,
    .explain = explain,
    .dequantize = dequantize,
    .size = sizeof(struct wna16),
};

static size_t
int8_workspace_size(const struct ct_layer *l, int64_t max_m)
{
    const struct wna16 *const s = (const struct wna16 *)l;
    return (size_t)ct_int8_rows_workspace(&s->quantizer, max_m, l->n_threads) +
           workspace_size(l, max_m);
}

static int32_t
int8_apply(const struct ct_layer *l, const struct dlq_linear_call *call, struct dlq_error *err)
{
    const struct wna16 *const s = (const struct wna16 *)l;
    const struct dlq_k_parallel parallel = dlq_run_parallel(call->host, l->n_threads);
    struct dlq_k_linear_call c = dlq_run_call(call, l->act_dtype, &parallel);
    ct_int8_rows_quantize(&s->quantizer, &c, call->workspace);
    c.workspace =
        (char *)call->workspace + ct_int8_rows_workspace(&s->quantizer, call->m, l->n_threads);
    return dlq_run_result(s->ops.apply(&s->weight, DLQ_K_WNA16_EXACT, &c), err);
}

static int32_t
int8_code_kind(const struct ct_layer *l, int64_t *scales_per_row)
{
    (void)l;
    *scales_per_row = 1;
    return DLQ_CODES_I8;
}

static int32_t
int8_quantize(const struct ct_layer *l, const struct dlq_host *host,
              const struct dlq_layer_info *info, const void *x, int64_t m, void *codes,
              float *scales, int32_t *zero_points, struct dlq_error *err)
{
    (void)host;
    (void)err;
    const struct wna16 *const s = (const struct wna16 *)l;
    ct_int8_rows_inspect(&s->quantizer, info->act_dtype, x, m, codes, scales, zero_points);
    return DLQ_OK;
}

const struct ct_scheme_ops ct_scheme_wna8 = {
    .name = "wna8",
    .can_implement = can_implement,
    .create_weights = create_weights,
    .process_weights = process_weights,
    .workspace_size = int8_workspace_size,
    .apply = int8_apply,
    .explain = explain,
    .dequantize = dequantize,
    .code_kind = int8_code_kind,
    .quantize = int8_quantize,
    .size = sizeof(struct wna16),
};
