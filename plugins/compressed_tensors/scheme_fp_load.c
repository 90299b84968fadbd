// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "../../kernels/float16.h"
#include "../common/layer.h"
#include "../common/run.h"
#include "scheme_fp.h"

#include <inttypes.h>

/// From the loaded tensors of an fp layer to the kernels' packed form.

// One value a part becomes one an output; `invert` takes the reciprocal, which must exist.
static int32_t
widen(const struct dlq_host *host, struct dlq_layer *layer, const struct dlq_layer_info *info,
      const char *name, bool invert, float **out, struct dlq_error *err)
{
    struct dlq_tensor t;
    void *copy = NULL;
    int32_t status = ct_host_param(host, layer, info, name, &t, &copy, err);
    if (status == DLQ_OK) {
        *out = dlq_host_calloc(host, (size_t)info->output_size_per_partition * sizeof(**out), err);
        status = *out ? DLQ_OK : DLQ_ENOMEM;
    }
    for (int32_t p = 0; p < info->n_parts && status == DLQ_OK; p++) {
        const struct dlq_part *const part = info->parts[p];
        const float value = ((const float *)t.data)[p];
        if (invert && !(value > 0.0F)) {
            status = host->fail(err, DLQ_EFORMAT, "%s.%s is %g; it divides and must be positive",
                                part->prefix, name, (double)value);
            break;
        }
        for (int64_t i = 0; i < part->local_size; i++) {
            (*out)[part->local_offset + i] = invert ? 1.0F / value : value;
        }
    }
    dlq_host_free(host, copy);
    return status;
}

// Integers of up to 5 bits become the e4m3 numbers of the same value.
static int32_t
convert_integers(const struct ct_fp *s, const struct dlq_host *host,
                 const struct dlq_layer_info *info, const struct dlq_tensor *t, uint8_t **out,
                 struct dlq_error *err)
{
    const int64_t k = info->input_size_per_partition;
    const int64_t n = info->output_size_per_partition;
    const int32_t bits = ct_fp_weights(s)->bits;
    const int32_t half = 1 << (bits - 1);
    uint8_t *const codes = dlq_host_calloc(host, (size_t)(n * k), err);
    *out = codes;
    if (!codes) {
        return DLQ_ENOMEM;
    }
    for (int64_t row = 0; row < n && ct_is_packed(&s->base); row++) {
        dlq_bits_unpack((const uint32_t *)t->data + row * t->shape[1], 1, s->layout, bits, 0, k,
                        codes + row * k);
    }
    for (int64_t i = 0; i < n * k; i++) {
        const int32_t q = ct_is_packed(&s->base) ? codes[i] - half : ((const int8_t *)t->data)[i];
        if (q < -half || q >= half) {
            return host->fail(err, DLQ_EFORMAT,
                              "%s.weight: element %" PRId64 " is %" PRId32 "; %" PRId32
                              " to %" PRId32 " is expected",
                              info->prefix, i, q, -half, half - 1);
        }
        codes[i] = dlq_k_f32_to_e4m3((float)q);
    }
    return DLQ_OK;
}

static int32_t
read_inputs(const struct ct_fp *s, const struct dlq_host *host, struct dlq_layer *layer,
            const struct dlq_layer_info *info, struct ct_fp_inputs *in, struct dlq_error *err)
{
    int32_t status = DLQ_OK;
    in->act_scale = 1.0F;
    if (ct_fp_weights(s)->strategy == CT_TENSOR) {
        status = widen(host, layer, info, "weight_scale", false, &in->scales, err);
    }
    if (status == DLQ_OK && ct_fp_has_global(s)) {
        status = widen(host, layer, info, "weight_global_scale", true, &in->factors, err);
    }
    if (status == DLQ_OK && ct_fp_input_name(s)) {
        status = ct_read_positive(host, layer, info, ct_fp_input_name(s), &in->act_scale, err);
    }
    return status;
}

static int32_t
pack_codes(struct ct_fp *s, const struct dlq_host *host, struct dlq_layer *layer,
           const struct dlq_layer_info *info, const uint8_t *codes, const struct dlq_tensor *scales,
           const struct ct_fp_inputs *in, struct dlq_error *err)
{
    const char *const name = ct_codes_name(&s->base);
    struct dlq_k_fp packed;
    int64_t bad = 0;
    int result = ct_fp_plan(s, info, in->act_scale, &packed);
    if (result != DLQ_K_OK) {
        return dlq_run_fail(host, info, name, result, 0, err);
    }
    void *const data = dlq_run_pack_alloc(host, info, packed.bytes, err);
    if (!data) {
        return DLQ_ENOMEM;
    }
    const struct dlq_k_parallel parallel = dlq_run_parallel(host, s->base.n_threads);
    result = dlq_k_fp_pack(&packed, codes, in->scales ? in->scales : scales->data, in->factors,
                           data, &parallel, &bad);
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
pack(struct ct_fp *s, const struct dlq_host *host, struct dlq_layer *layer,
     const struct dlq_layer_info *info, const struct dlq_tensor *codes,
     const struct dlq_tensor *scales, const struct ct_fp_inputs *in, struct dlq_error *err)
{
    uint8_t *converted = NULL;
    int32_t status = DLQ_OK;
    if (ct_fp_is_integer(s)) {
        status = convert_integers(s, host, info, codes, &converted, err);
    }
    if (status == DLQ_OK && scales->dtype == DLQ_F32) {
        dlq_scales_warn_zero(host, info, "weight_scale", scales);
    }
    if (status == DLQ_OK) {
        status =
            pack_codes(s, host, layer, info, converted ? converted : codes->data, scales, in, err);
    }
    dlq_host_free(host, converted);
    return status;
}

int32_t
ct_fp_process(struct ct_fp *s, const struct dlq_host *host, struct dlq_layer *layer,
              const struct dlq_layer_info *info, ct_fp_pack_fn pack_fn, struct dlq_error *err)
{
    struct ct_fp_inputs in = {0};
    struct dlq_tensor codes;
    struct dlq_tensor scales;
    int32_t status = ct_param(host, layer, ct_codes_name(&s->base), &codes, err);
    status = status == DLQ_OK ? ct_param(host, layer, "weight_scale", &scales, err) : status;
    status = status == DLQ_OK ? read_inputs(s, host, layer, info, &in, err) : status;
    status = status == DLQ_OK ? pack_fn(s, host, layer, info, &codes, &scales, &in, err) : status;
    status = status == DLQ_OK ? host->param_replace(layer, "weight_scale", NULL, err) : status;
    if (status == DLQ_OK && ct_fp_has_global(s)) {
        status = host->param_replace(layer, "weight_global_scale", NULL, err);
    }
    if (status == DLQ_OK && ct_fp_input_name(s)) {
        status = host->param_replace(layer, ct_fp_input_name(s), NULL, err);
    }
    dlq_host_free(host, in.scales);
    dlq_host_free(host, in.factors);
    return status;
}

int32_t
ct_fp_process_weights(struct ct_layer *l, const struct dlq_host *host, struct dlq_layer *layer,
                      const struct dlq_layer_info *info, struct dlq_error *err)
{
    return ct_fp_process((struct ct_fp *)l, host, layer, info, pack, err);
}
