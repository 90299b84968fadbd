// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "../common/layer.h"
#include "../common/run.h"
#include "scheme_wna16.h"

#include <inttypes.h>
#include <string.h>

/// From the loaded tensors of a wna16 layer to the kernels' packed form.

static int32_t
get_loaded(const struct ct_wna16 *s, const struct dlq_host *host, struct dlq_layer *layer,
           struct ct_wna16_loaded *in, struct dlq_error *err)
{
    const struct dlq_tensor empty = {.struct_size = DLQ_SIZE_UPTO(struct dlq_tensor, strides)};
    *in = (struct ct_wna16_loaded){.codes = empty, .scales = empty, .zeros = empty, .g_idx = empty};
    int32_t status = host->param_get(layer, ct_codes_name(&s->base), &in->codes, err);
    status = status == DLQ_OK ? host->param_get(layer, "weight_scale", &in->scales, err) : status;
    if (status == DLQ_OK && ct_wna16_has_zeros(s)) {
        status = host->param_get(layer, "weight_zero_point", &in->zeros, err);
    }
    if (status == DLQ_OK && s->act_order) {
        status = host->param_get(layer, "weight_g_idx", &in->g_idx, err);
    }
    return status;
}

// Signed bytes become unsigned codes, in place. DLQ_EFORMAT names the first that has no code.
static int32_t
make_unsigned(const struct ct_wna16 *s, const struct dlq_host *host,
              const struct dlq_layer_info *info, const char *name, const struct dlq_tensor *t,
              struct dlq_error *err)
{
    const int32_t half = 1 << (ct_wna16_args(&s->base)->bits - 1);
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
check_idle_zeros(const struct ct_wna16 *s, const struct dlq_host *host,
                 const struct dlq_layer_info *info, const struct dlq_tensor *zeros,
                 struct dlq_error *err)
{
    const int32_t bits = ct_wna16_args(&s->base)->bits;
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
widen(const struct ct_wna16 *s, const struct dlq_host *host, const struct dlq_layer_info *info,
      struct ct_wna16_loaded *in, struct dlq_error *err)
{
    if (ct_wna16_args(&s->base)->strategy != CT_TENSOR) {
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
settle_layout(struct ct_wna16 *s, const struct dlq_host *host, const struct dlq_layer_info *info,
              const struct dlq_tensor *codes, struct dlq_error *err)
{
    const int32_t bits = ct_wna16_args(&s->base)->bits;
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

int32_t
ct_wna16_convert(struct ct_wna16 *s, const struct dlq_host *host, const struct dlq_layer_info *info,
                 struct ct_wna16_loaded *in, struct dlq_error *err)
{
    int32_t status = DLQ_OK;
    if (!ct_is_packed(&s->base)) {
        status = make_unsigned(s, host, info, "weight", &in->codes, err);
        if (status == DLQ_OK && ct_wna16_has_zeros(s)) {
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

struct dlq_k_wna16_source
ct_wna16_source(const struct ct_wna16 *s, const struct ct_wna16_loaded *in)
{
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
    return source;
}

static int32_t
pack(struct ct_wna16 *s, const struct dlq_host *host, struct dlq_layer *layer,
     const struct dlq_layer_info *info, struct ct_wna16_loaded *in, struct dlq_error *err)
{
    const char *const name = ct_codes_name(&s->base);
    dlq_scales_warn_zero(host, info, "weight_scale", &in->scales);
    const int32_t converted = ct_wna16_convert(s, host, info, in, err);
    if (converted != DLQ_OK) {
        return converted;
    }
    const struct dlq_k_wna16_source source = ct_wna16_source(s, in);
    struct dlq_k_wna16 packed;
    int64_t bad = 0;
    int result = ct_wna16_plan(s, info, source.g_idx, &packed, &bad);
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

int32_t
ct_wna16_process(struct ct_wna16 *s, const struct dlq_host *host, struct dlq_layer *layer,
                 const struct dlq_layer_info *info, ct_wna16_pack_fn pack_fn, struct dlq_error *err)
{
    struct ct_wna16_loaded in;
    int32_t status = get_loaded(s, host, layer, &in, err);
    status = status == DLQ_OK ? pack_fn(s, host, layer, info, &in, err) : status;
    status = status == DLQ_OK ? host->param_replace(layer, "weight_scale", NULL, err) : status;
    if (status == DLQ_OK && ct_wna16_has_zeros(s)) {
        status = host->param_replace(layer, "weight_zero_point", NULL, err);
    }
    if (status == DLQ_OK && s->act_order) {
        status = host->param_replace(layer, "weight_g_idx", NULL, err);
    }
    dlq_host_free(host, in.wide_scales);
    dlq_host_free(host, in.wide_zeros);
    return status;
}

int32_t
ct_wna16_process_weights(struct ct_layer *l, const struct dlq_host *host, struct dlq_layer *layer,
                         const struct dlq_layer_info *info, struct dlq_error *err)
{
    return ct_wna16_process((struct ct_wna16 *)l, host, layer, info, pack, err);
}
