// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "scheme_w8a8_int8.h"
#include "../common/layer.h"
#include "../common/run.h"
#include "int8_rows.h"

#include <inttypes.h>
#include <stdio.h>

/// Integer weights of up to 8 bits with int8 activations: exact int32 sums, one rounding.
///
/// As stored, with one scale an output (or one a part):
///     weight             int8  [N, K], or weight_packed int32 [N, words of K]
///     weight_scale       float [N, 1], [N] or one a part
///     weight_zero_point  int8  as the scale; asymmetric only
///     input_scale        float [1], input_zero_point int8 or int32 [1]; static activations only
/// After process_weights() the codes' parameter holds the kernel's packed form, the others are
/// dropped.

static int32_t
require_tensors(const struct ct_w8a8 *s, const struct dlq_host *host,
                const struct dlq_layer_info *info, struct dlq_error *err)
{
    const char *names[6] = {ct_codes_name(&s->base), "weight_scale"};
    size_t n = 2;
    if (!ct_w8a8_weights(s)->symmetric) {
        names[n++] = "weight_zero_point";
    }
    if (ct_w8a8_is_static(s)) {
        names[n++] = "input_scale";
    }
    if (ct_w8a8_is_static(s) && !s->base.group->input.symmetric) {
        names[n++] = "input_zero_point";
    }
    names[n] = NULL;
    return ct_require_tensors(host, info, names, err);
}

static bool
is_asymmetric(const struct ct_w8a8 *s)
{
    return !ct_w8a8_weights(s)->symmetric || !s->base.group->input.symmetric;
}

// The largest K whose sums fit int32.
static int64_t
largest_k(const struct ct_w8a8 *s)
{
    return is_asymmetric(s) ? DLQ_K_W8A8_MAX_K_ASYMMETRIC : DLQ_K_W8A8_MAX_K;
}

static int32_t
check_size(const struct ct_w8a8 *s, const struct dlq_host *host, const struct dlq_layer_info *info,
           struct dlq_error *err)
{
    if (info->input_size_per_partition > largest_k(s)) {
        return host->fail(err, DLQ_ESHAPE,
                          "%s: K_pp %" PRId64 " could overflow int32 sums; up to %" PRId64
                          " is accepted%s",
                          info->prefix, info->input_size_per_partition, largest_k(s),
                          is_asymmetric(s) ? " with zero points" : "");
    }
    return DLQ_OK;
}

// Everything that follows from configuration, headers and sizes.
static int32_t
prepare(struct ct_w8a8 *s, const struct dlq_host *host, const struct dlq_layer_info *info,
        struct dlq_error *err)
{
    const struct ct_args *const a = &s->base.group->input;
    s->activation = a->dynamic == CT_DYNAMIC
                        ? (a->symmetric ? DLQ_K_W8A8_TOKEN : DLQ_K_W8A8_TOKEN_AZP)
                        : (a->symmetric ? DLQ_K_W8A8_STATIC : DLQ_K_W8A8_STATIC_AZP);
    s->idle_zeros =
        ct_w8a8_weights(s)->symmetric && dlq_evidence_find(info, 0, "weight_zero_point") != NULL;
    s->idle_input_zero = a->symmetric && dlq_evidence_find(info, 0, "input_zero_point") != NULL;
    s->zero_dtype = ct_evidence_dtype(info, "input_zero_point", DLQ_I8);
    dlq_k_w8a8_init(&s->ops, info->device.cpu_flags);
    int32_t status = require_tensors(s, host, info, err);
    status = status == DLQ_OK ? ct_find_layout(&s->base, host, info, &s->layout, err) : status;
    status = status == DLQ_OK ? check_size(s, host, info, err) : status;
    if (status == DLQ_OK && ct_is_packed(&s->base) &&
        (s->layout == DLQ_BITS_EITHER || ct_w8a8_has_zeros(s))) {
        return host->fail(err, DLQ_EUNSUPPORTED,
                          "%s: int8 activations over packed weights %s; unpacked weights "
                          "(int-quantized) run",
                          info->prefix,
                          ct_w8a8_has_zeros(s)
                              ? "with zero points have no kernel"
                              : "whose width fits dense and padded words are ambiguous");
    }
    if (status == DLQ_OK && s->zero_dtype != DLQ_I8 && s->zero_dtype != DLQ_I32) {
        return host->fail(err, DLQ_EDTYPE,
                          "%s.input_zero_point: %s was found; int8 or int32 is expected",
                          info->prefix, dlq_dtype_name(s->zero_dtype));
    }
    if (status == DLQ_OK && !s->weight.data) {
        // The scale of a static activation is not known yet; it does not change sizes.
        const int result = dlq_k_w8a8_plan(&s->weight, info->input_size_per_partition,
                                           info->output_size_per_partition, s->activation, 1.0F, 0);
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
    return prepare((struct ct_w8a8 *)l, host, info, err);
}

static int32_t
create_weights(struct ct_layer *l, const struct dlq_host *host, struct dlq_layer *layer,
               const struct dlq_layer_info *info, struct dlq_error *err)
{
    struct ct_w8a8 *const s = (struct ct_w8a8 *)l;
    const uint32_t scale_flags = DLQ_PARAM_CAST | DLQ_PARAM_FINITE;
    int32_t status = prepare(s, host, info, err);
    status = status == DLQ_OK ? ct_declare_codes(l, host, layer, info, s->layout, err) : status;
    status = status == DLQ_OK ? ct_declare_per_output(l, host, layer, info, "weight_scale", DLQ_F32,
                                                      scale_flags, err)
                              : status;
    if (status == DLQ_OK && ct_w8a8_has_zeros(s)) {
        status = ct_declare_per_output(l, host, layer, info, "weight_zero_point", DLQ_I8, 0, err);
    }
    if (status == DLQ_OK && ct_w8a8_is_static(s)) {
        status = ct_declare_single(host, layer, "input_scale", DLQ_F32, scale_flags, err);
    }
    if (status == DLQ_OK && ct_w8a8_has_input_zero(s)) {
        status = ct_declare_single(host, layer, "input_zero_point", s->zero_dtype, 0, err);
    }
    return status;
}

static size_t
workspace_size(const struct ct_layer *l, int64_t max_m)
{
    const struct ct_w8a8 *const s = (const struct ct_w8a8 *)l;
    return (size_t)s->ops.workspace_size(&s->weight, max_m, l->n_threads);
}

static int
multiply(const struct ct_layer *l, const struct dlq_k_linear_call *call)
{
    const struct ct_w8a8 *const s = (const struct ct_w8a8 *)l;
    return s->ops.apply(&s->weight, call);
}

static int32_t
explain(const struct ct_layer *l, const struct dlq_host *host, const struct dlq_layer_info *info,
        struct dlq_explanation *out, struct dlq_error *err)
{
    struct ct_w8a8 s = *(const struct ct_w8a8 *)l;
    const int32_t status = prepare(&s, host, info, err);
    if (status != DLQ_OK) {
        return status;
    }
    snprintf(out->kernel, sizeof(out->kernel), "w8a8 %s", s.ops.name);
    snprintf(out->note, sizeof(out->note), "%s", ct_is_packed(l) ? "codes widened to int8" : "");
    out->group = 0;
    out->padded_k = s.weight.k_padded;
    out->padded_n = s.weight.blocks * 16;
    out->weight_bytes = s.weight.bytes;
    return DLQ_OK;
}

static int32_t
dequantize(const struct ct_layer *l, const struct dlq_host *host, const struct dlq_layer_info *info,
           float *weight, struct dlq_error *err)
{
    const struct ct_w8a8 *const s = (const struct ct_w8a8 *)l;
    (void)host;
    (void)info;
    (void)err;
    dlq_k_w8a8_dequantize(&s->weight, 0, s->weight.n, weight);
    return DLQ_OK;
}

static int32_t
quantize(const struct ct_layer *l, const struct dlq_host *host, const struct dlq_layer_info *info,
         const void *x, int64_t m, void *codes, float *scales, int32_t *zero_points,
         struct dlq_error *err)
{
    (void)host;
    (void)info;
    (void)err;
    const struct ct_w8a8 *const s = (const struct ct_w8a8 *)l;
    const struct dlq_k_linear_call call = ct_rows_call(l, x, m);
    ct_int8_rows_inspect(&s->weight, &call, codes, scales, zero_points);
    return DLQ_OK;
}

static int32_t
accumulate(const struct ct_layer *l, const struct dlq_layer_info *info, const void *codes,
           const int32_t *zero_points, int64_t m, int32_t *acc)
{
    (void)info;
    const struct ct_w8a8 *const s = (const struct ct_w8a8 *)l;
    for (int64_t i = 0; i < m; i++) {
        dlq_k_w8a8_accumulate_row(&s->weight, (const int8_t *)codes + i * s->weight.k,
                                  zero_points ? zero_points[i] : 0, acc + i * s->weight.n);
    }
    return DLQ_OK;
}

// Also a static scale is shared: NaN in one rank's share must show in the whole row.
static void
split_describe(const struct ct_layer *l, struct dlq_row_split *out)
{
    out->n_stats = 2;
    out->sum_dtype = l->whole_k <= largest_k((const struct ct_w8a8 *)l) ? (uint32_t)DLQ_I32
                                                                        : (uint32_t)DLQ_DTYPE_NONE;
}

static int
split_accumulate(const struct ct_layer *l, const struct dlq_k_linear_call *call, int32_t *sums)
{
    const struct ct_w8a8 *const s = (const struct ct_w8a8 *)l;
    return s->ops.accumulate(&s->weight, call, sums);
}

static int
split_finish(const struct ct_layer *l, const struct dlq_k_linear_call *call, const int32_t *sums)
{
    const struct ct_w8a8 *const s = (const struct ct_w8a8 *)l;
    return s->ops.finish(&s->weight, call, sums);
}

static int32_t
split_quantize(const struct ct_layer *l, const struct dlq_host *host,
               const struct dlq_k_linear_call *call, void *codes, float *scales,
               int32_t *zero_points, struct dlq_error *err)
{
    (void)host;
    (void)err;
    const struct ct_w8a8 *const s = (const struct ct_w8a8 *)l;
    ct_int8_rows_inspect(&s->weight, call, codes, scales, zero_points);
    return DLQ_OK;
}

static const struct ct_split_ops split = {
    .describe = split_describe,
    .accumulate = split_accumulate,
    .finish = split_finish,
    .quantize = split_quantize,
};

const struct ct_scheme_ops ct_scheme_w8a8_int8 = {
    .name = "w8a8_int8",
    .can_implement = can_implement,
    .create_weights = create_weights,
    .process_weights = ct_w8a8_process_weights,
    .workspace_size = workspace_size,
    .apply = ct_cpu_apply,
    .multiply = multiply,
    .explain = explain,
    .dequantize = dequantize,
    .code_kind = ct_int8_code_kind,
    .quantize = quantize,
    .accumulate = accumulate,
    .split = &split,
    .size = sizeof(struct ct_w8a8),
    .gpu = &ct_scheme_w8a8_gpu,
};
