// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "../../kernels/linear_w8a8.h"
#include "../common/groups.h"
#include "../common/layer.h"
#include "../common/run.h"
#include "ct.h"
#include "int8_rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/// Integer weights of up to 8 bits with int8 activations: exact int32 sums, one rounding.
///
/// As stored, with one scale an output (or one a part):
///     weight             int8  [N, K], or weight_packed int32 [N, words of K]
///     weight_scale       float [N, 1], [N] or one a part
///     weight_zero_point  int8  as the scale; asymmetric only
///     input_scale        float [1], input_zero_point int8 or int32 [1]; static activations only
/// After process_weights() the codes' parameter holds the kernel's packed form, the others are
/// dropped.

struct w8a8 {
    struct ct_layer base;
    enum dlq_bits_layout layout; ///< Of packed codes
    enum dlq_k_w8a8_activation activation;
    uint32_t zero_dtype;      ///< Of input_zero_point
    bool idle_zeros;          ///< Symmetric weights with zero points stored all the same: all 0
    bool idle_input_zero;     ///< The same for activations
    struct dlq_k_w8a8 weight; ///< data is NULL before process_weights()
    struct dlq_k_w8a8_ops ops;
};

static const struct ct_args *
weights_of(const struct w8a8 *s)
{
    return &s->base.group->weights;
}

static bool
is_static(const struct w8a8 *s)
{
    return s->base.group->input.dynamic == CT_STATIC;
}

static bool
has_zeros(const struct w8a8 *s)
{
    return !weights_of(s)->symmetric || s->idle_zeros;
}

static bool
has_input_zero(const struct w8a8 *s)
{
    return is_static(s) && (!s->base.group->input.symmetric || s->idle_input_zero);
}

static int32_t
require_tensors(const struct w8a8 *s, const struct dlq_host *host,
                const struct dlq_layer_info *info, struct dlq_error *err)
{
    const char *names[6] = {ct_codes_name(&s->base), "weight_scale"};
    size_t n = 2;
    if (!weights_of(s)->symmetric) {
        names[n++] = "weight_zero_point";
    }
    if (is_static(s)) {
        names[n++] = "input_scale";
    }
    if (is_static(s) && !s->base.group->input.symmetric) {
        names[n++] = "input_zero_point";
    }
    names[n] = NULL;
    return ct_require_tensors(host, info, names, err);
}

static int32_t
check_size(const struct w8a8 *s, const struct dlq_host *host, const struct dlq_layer_info *info,
           struct dlq_error *err)
{
    const bool asymmetric = !weights_of(s)->symmetric || !s->base.group->input.symmetric;
    const int64_t limit = asymmetric ? DLQ_K_W8A8_MAX_K_ASYMMETRIC : DLQ_K_W8A8_MAX_K;
    if (info->input_size_per_partition > limit) {
        return host->fail(err, DLQ_ESHAPE,
                          "%s: K_pp %" PRId64 " could overflow int32 sums; up to %" PRId64
                          " is accepted%s",
                          info->prefix, info->input_size_per_partition, limit,
                          asymmetric ? " with zero points" : "");
    }
    return DLQ_OK;
}

// Everything that follows from configuration, headers and sizes.
static int32_t
prepare(struct w8a8 *s, const struct dlq_host *host, const struct dlq_layer_info *info,
        struct dlq_error *err)
{
    const struct ct_args *const a = &s->base.group->input;
    s->activation = a->dynamic == CT_DYNAMIC
                        ? (a->symmetric ? DLQ_K_W8A8_TOKEN : DLQ_K_W8A8_TOKEN_AZP)
                        : (a->symmetric ? DLQ_K_W8A8_STATIC : DLQ_K_W8A8_STATIC_AZP);
    s->idle_zeros =
        weights_of(s)->symmetric && dlq_evidence_find(info, 0, "weight_zero_point") != NULL;
    s->idle_input_zero = a->symmetric && dlq_evidence_find(info, 0, "input_zero_point") != NULL;
    s->zero_dtype = ct_evidence_dtype(info, "input_zero_point", DLQ_I8);
    dlq_k_w8a8_init(&s->ops, info->device.cpu_flags);
    int32_t status = require_tensors(s, host, info, err);
    status = status == DLQ_OK ? ct_find_layout(&s->base, host, info, &s->layout, err) : status;
    status = status == DLQ_OK ? check_size(s, host, info, err) : status;
    if (status == DLQ_OK && ct_is_packed(&s->base) &&
        (s->layout == DLQ_BITS_EITHER || has_zeros(s))) {
        return host->fail(err, DLQ_EUNSUPPORTED,
                          "%s: int8 activations over packed weights %s; unpacked weights "
                          "(int-quantized) run",
                          info->prefix,
                          has_zeros(s) ? "with zero points have no kernel"
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
    return prepare((struct w8a8 *)l, host, info, err);
}

static int32_t
create_weights(struct ct_layer *l, const struct dlq_host *host, struct dlq_layer *layer,
               const struct dlq_layer_info *info, struct dlq_error *err)
{
    struct w8a8 *const s = (struct w8a8 *)l;
    const uint32_t scale_flags = DLQ_PARAM_CAST | DLQ_PARAM_FINITE;
    int32_t status = prepare(s, host, info, err);
    status = status == DLQ_OK ? ct_declare_codes(l, host, layer, info, s->layout, err) : status;
    status = status == DLQ_OK ? ct_declare_per_output(l, host, layer, info, "weight_scale", DLQ_F32,
                                                      scale_flags, err)
                              : status;
    if (status == DLQ_OK && has_zeros(s)) {
        status = ct_declare_per_output(l, host, layer, info, "weight_zero_point", DLQ_I8, 0, err);
    }
    if (status == DLQ_OK && is_static(s)) {
        status = ct_declare_single(host, layer, "input_scale", DLQ_F32, scale_flags, err);
    }
    if (status == DLQ_OK && has_input_zero(s)) {
        status = ct_declare_single(host, layer, "input_zero_point", s->zero_dtype, 0, err);
    }
    return status;
}

/// What packing needs, one value an output. All of it is freed by free_inputs().
struct inputs {
    int8_t *codes; ///< Unpacked; NULL: the parameter itself
    float *scales;
    int32_t *zeros; ///< NULL: all 0
    float input_scale;
    int32_t input_zero;
};

static void
free_inputs(const struct dlq_host *host, struct inputs *in)
{
    dlq_host_free(host, in->codes);
    dlq_host_free(host, in->scales);
    dlq_host_free(host, in->zeros);
}

// Index of output `i` in a parameter of ct_declare_per_output().
static int64_t
slot_of(const struct w8a8 *s, int32_t part, int64_t i)
{
    return weights_of(s)->strategy == CT_TENSOR ? part : i;
}

static int32_t
read_scales(const struct w8a8 *s, const struct dlq_host *host, struct dlq_layer *layer,
            const struct dlq_layer_info *info, struct inputs *in, struct dlq_error *err)
{
    struct dlq_tensor scales;
    struct dlq_tensor zeros;
    const size_t n = (size_t)info->output_size_per_partition;
    int32_t status = ct_param(host, layer, "weight_scale", &scales, err);
    if (status == DLQ_OK && has_zeros(s)) {
        status = ct_param(host, layer, "weight_zero_point", &zeros, err);
    }
    if (status != DLQ_OK) {
        return status;
    }
    dlq_scales_warn_zero(host, info, "weight_scale", &scales);
    in->scales = dlq_host_calloc(host, n * sizeof(*in->scales), err);
    in->zeros = in->scales ? dlq_host_calloc(host, n * sizeof(*in->zeros), err) : NULL;
    if (!in->zeros) {
        return DLQ_ENOMEM;
    }
    for (int32_t p = 0; p < info->n_parts; p++) {
        const struct dlq_part *const part = info->parts[p];
        for (int64_t i = part->local_offset; i < part->local_offset + part->local_size; i++) {
            const int64_t slot = slot_of(s, p, i);
            in->scales[i] = ((const float *)scales.data)[slot];
            in->zeros[i] = has_zeros(s) ? ((const int8_t *)zeros.data)[slot] : 0;
            if (s->idle_zeros && in->zeros[i] != 0) {
                return host->fail(err, DLQ_EFORMAT,
                                  "%s.weight_zero_point: element %" PRId64
                                  " is not 0, and the configuration says symmetric",
                                  info->prefix, slot);
            }
        }
    }
    return DLQ_OK;
}

static int32_t
read_input(const struct w8a8 *s, const struct dlq_host *host, struct dlq_layer *layer,
           const struct dlq_layer_info *info, struct inputs *in, struct dlq_error *err)
{
    struct dlq_tensor t;
    if (!is_static(s)) {
        return DLQ_OK;
    }
    int32_t status = ct_read_positive(host, layer, info, "input_scale", &in->input_scale, err);
    if (status != DLQ_OK) {
        return status;
    }
    if (has_input_zero(s)) {
        status = ct_param(host, layer, "input_zero_point", &t, err);
        if (status == DLQ_OK) {
            in->input_zero =
                s->zero_dtype == DLQ_I8 ? *(const int8_t *)t.data : *(const int32_t *)t.data;
        }
    }
    if (status == DLQ_OK && s->idle_input_zero && in->input_zero != 0) {
        return host->fail(err, DLQ_EFORMAT,
                          "%s.input_zero_point is %" PRId32
                          ", and the configuration says symmetric",
                          info->prefix, in->input_zero);
    }
    return status;
}

// Packed codes become signed bytes; bytes are checked to be codes of so many bits.
static int32_t
read_codes(const struct w8a8 *s, const struct dlq_host *host, const struct dlq_layer_info *info,
           const struct dlq_tensor *t, struct inputs *in, struct dlq_error *err)
{
    const int32_t bits = weights_of(s)->bits;
    const int32_t half = 1 << (bits - 1);
    const int64_t k = info->input_size_per_partition;
    const int64_t n = info->output_size_per_partition;
    if (!ct_is_packed(&s->base)) {
        const int8_t *const codes = t->data;
        for (int64_t i = 0; bits < 8 && i < n * k; i++) {
            if (codes[i] < -half || codes[i] >= half) {
                return host->fail(err, DLQ_EFORMAT,
                                  "%s.weight: element %" PRId64 " is %d; %d to %d is expected",
                                  info->prefix, i, codes[i], -half, half - 1);
            }
        }
        return DLQ_OK;
    }
    in->codes = dlq_host_calloc(host, (size_t)(n * k), err);
    if (!in->codes) {
        return DLQ_ENOMEM;
    }
    for (int64_t row = 0; row < n; row++) {
        dlq_bits_unpack((const uint32_t *)t->data + row * t->shape[1], 1, s->layout, bits, 0, k,
                        (uint8_t *)in->codes + row * k);
    }
    for (int64_t i = 0; i < n * k; i++) {
        in->codes[i] = (int8_t)((uint8_t)in->codes[i] - half);
    }
    return DLQ_OK;
}

static int32_t
pack(struct w8a8 *s, const struct dlq_host *host, struct dlq_layer *layer,
     const struct dlq_layer_info *info, const int8_t *codes, const struct inputs *in,
     struct dlq_error *err)
{
    const int64_t k = info->input_size_per_partition;
    struct dlq_k_w8a8 packed;
    int64_t bad = 0;
    int result = dlq_k_w8a8_plan(&packed, k, info->output_size_per_partition, s->activation,
                                 is_static(s) ? in->input_scale : 1.0F, in->input_zero);
    if (result != DLQ_K_OK) {
        return dlq_run_fail(host, info, result == DLQ_K_ECODE ? "input_zero_point" : "input_scale",
                            result, 0, err);
    }
    void *const data = dlq_run_pack_alloc(host, info, packed.bytes, err);
    if (!data) {
        return DLQ_ENOMEM;
    }
    const struct dlq_k_parallel parallel = dlq_run_parallel(host, s->base.n_threads);
    const int32_t *const zeros = weights_of(s)->symmetric ? NULL : in->zeros;
    result = dlq_k_w8a8_pack(&packed, codes, k, in->scales, zeros, data, &parallel, &bad);
    if (result != DLQ_K_OK) {
        dlq_run_pack_free(host, info, data);
        return dlq_run_fail(host, info,
                            result == DLQ_K_ECODE ? "weight_zero_point" : "weight_scale", result,
                            bad, err);
    }
    const int32_t status =
        dlq_run_pack_commit(host, layer, info, ct_codes_name(&s->base), data, packed.bytes, err);
    if (status == DLQ_OK) {
        s->weight = packed;
    }
    return status;
}

static int32_t
drop_rest(const struct w8a8 *s, const struct dlq_host *host, struct dlq_layer *layer,
          struct dlq_error *err)
{
    int32_t status = host->param_replace(layer, "weight_scale", NULL, err);
    if (status == DLQ_OK && has_zeros(s)) {
        status = host->param_replace(layer, "weight_zero_point", NULL, err);
    }
    if (status == DLQ_OK && is_static(s)) {
        status = host->param_replace(layer, "input_scale", NULL, err);
    }
    if (status == DLQ_OK && has_input_zero(s)) {
        status = host->param_replace(layer, "input_zero_point", NULL, err);
    }
    return status;
}

static int32_t
process_weights(struct ct_layer *l, const struct dlq_host *host, struct dlq_layer *layer,
                const struct dlq_layer_info *info, struct dlq_error *err)
{
    struct w8a8 *const s = (struct w8a8 *)l;
    struct inputs in = {0};
    struct dlq_tensor codes;
    int32_t status = ct_param(host, layer, ct_codes_name(l), &codes, err);
    status = status == DLQ_OK ? read_scales(s, host, layer, info, &in, err) : status;
    status = status == DLQ_OK ? read_input(s, host, layer, info, &in, err) : status;
    status = status == DLQ_OK ? read_codes(s, host, info, &codes, &in, err) : status;
    if (status == DLQ_OK) {
        status = pack(s, host, layer, info, in.codes ? in.codes : codes.data, &in, err);
    }
    status = status == DLQ_OK ? drop_rest(s, host, layer, err) : status;
    free_inputs(host, &in);
    return status;
}

static size_t
workspace_size(const struct ct_layer *l, int64_t max_m)
{
    const struct w8a8 *const s = (const struct w8a8 *)l;
    return (size_t)s->ops.workspace_size(&s->weight, max_m, l->n_threads);
}

static int32_t
apply(const struct ct_layer *l, const struct dlq_linear_call *call, struct dlq_error *err)
{
    const struct w8a8 *const s = (const struct w8a8 *)l;
    const struct dlq_k_parallel parallel = dlq_run_parallel(call->host, l->n_threads);
    const struct dlq_k_linear_call c = dlq_run_call(call, l->act_dtype, &parallel);
    return dlq_run_result(s->ops.apply(&s->weight, &c), err);
}

static int32_t
explain(const struct ct_layer *l, const struct dlq_host *host, const struct dlq_layer_info *info,
        struct dlq_explanation *out, struct dlq_error *err)
{
    struct w8a8 s = *(const struct w8a8 *)l;
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
    const struct w8a8 *const s = (const struct w8a8 *)l;
    if (!s->weight.data) {
        return host->fail(err, DLQ_ESTATE, "%s: the weights are not processed", info->prefix);
    }
    dlq_k_w8a8_dequantize(&s->weight, 0, s->weight.n, weight);
    return DLQ_OK;
}

static int32_t
code_kind(const struct ct_layer *l, int64_t *scales_per_row)
{
    (void)l;
    *scales_per_row = 1;
    return DLQ_CODES_I8;
}

static int32_t
quantize(const struct ct_layer *l, const struct dlq_host *host, const struct dlq_layer_info *info,
         const void *x, int64_t m, void *codes, float *scales, int32_t *zero_points,
         struct dlq_error *err)
{
    (void)host;
    (void)err;
    const struct w8a8 *const s = (const struct w8a8 *)l;
    ct_int8_rows_inspect(&s->weight, info->act_dtype, x, m, codes, scales, zero_points);
    return DLQ_OK;
}

static int32_t
accumulate(const struct ct_layer *l, const struct dlq_layer_info *info, const void *codes,
           const int32_t *zero_points, int64_t m, int32_t *acc)
{
    (void)info;
    const struct w8a8 *const s = (const struct w8a8 *)l;
    for (int64_t i = 0; i < m; i++) {
        dlq_k_w8a8_accumulate_row(&s->weight, (const int8_t *)codes + i * s->weight.k,
                                  zero_points ? zero_points[i] : 0, acc + i * s->weight.n);
    }
    return DLQ_OK;
}

const struct ct_scheme_ops ct_scheme_w8a8_int8 = {
    .name = "w8a8_int8",
    .can_implement = can_implement,
    .create_weights = create_weights,
    .process_weights = process_weights,
    .workspace_size = workspace_size,
    .apply = apply,
    .explain = explain,
    .dequantize = dequantize,
    .code_kind = code_kind,
    .quantize = quantize,
    .accumulate = accumulate,
    .size = sizeof(struct w8a8),
};
