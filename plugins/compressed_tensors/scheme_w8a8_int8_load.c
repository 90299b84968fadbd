// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "../common/groups.h"
#include "../common/layer.h"
#include "../common/run.h"
#include "scheme_w8a8_int8.h"

#include <inttypes.h>

/// From the loaded tensors of an int8 layer to the kernels' packed form.

// Index of output `i` in a parameter of ct_declare_per_output().
static int64_t
slot_of(const struct ct_w8a8 *s, int32_t part, int64_t i)
{
    return ct_w8a8_weights(s)->strategy == CT_TENSOR ? part : i;
}

// One value an output, from parameters in host memory.
static int32_t
spread_scales(const struct ct_w8a8 *s, const struct dlq_host *host,
              const struct dlq_layer_info *info, const float *scales, const int8_t *zeros,
              struct ct_w8a8_inputs *in, struct dlq_error *err)
{
    const size_t n = (size_t)info->output_size_per_partition;
    in->scales = dlq_host_calloc(host, n * sizeof(*in->scales), err);
    in->zeros = in->scales ? dlq_host_calloc(host, n * sizeof(*in->zeros), err) : NULL;
    if (!in->zeros) {
        return DLQ_ENOMEM;
    }
    for (int32_t p = 0; p < info->n_parts; p++) {
        const struct dlq_part *const part = info->parts[p];
        for (int64_t i = part->local_offset; i < part->local_offset + part->local_size; i++) {
            const int64_t slot = slot_of(s, p, i);
            in->scales[i] = scales[slot];
            in->zeros[i] = zeros ? zeros[slot] : 0;
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
read_scales(const struct ct_w8a8 *s, const struct dlq_host *host, struct dlq_layer *layer,
            const struct dlq_layer_info *info, struct ct_w8a8_inputs *in, struct dlq_error *err)
{
    struct dlq_tensor scales;
    struct dlq_tensor zeros = {.struct_size = DLQ_SIZE_UPTO(struct dlq_tensor, strides)};
    void *scales_copy = NULL;
    void *zeros_copy = NULL;
    int32_t status = ct_host_param(host, layer, info, "weight_scale", &scales, &scales_copy, err);
    if (status == DLQ_OK && ct_w8a8_has_zeros(s)) {
        status = ct_host_param(host, layer, info, "weight_zero_point", &zeros, &zeros_copy, err);
    }
    if (status == DLQ_OK) {
        dlq_scales_warn_zero(host, info, "weight_scale", &scales);
        status = spread_scales(s, host, info, scales.data, zeros.data, in, err);
    }
    dlq_host_free(host, scales_copy);
    dlq_host_free(host, zeros_copy);
    return status;
}

static int32_t
read_input(const struct ct_w8a8 *s, const struct dlq_host *host, struct dlq_layer *layer,
           const struct dlq_layer_info *info, struct ct_w8a8_inputs *in, struct dlq_error *err)
{
    struct dlq_tensor t;
    if (!ct_w8a8_is_static(s)) {
        return DLQ_OK;
    }
    int32_t status = ct_read_positive(host, layer, info, "input_scale", &in->input_scale, err);
    if (status != DLQ_OK) {
        return status;
    }
    if (ct_w8a8_has_input_zero(s)) {
        void *copy = NULL;
        status = ct_host_param(host, layer, info, "input_zero_point", &t, &copy, err);
        if (status == DLQ_OK) {
            in->input_zero =
                s->zero_dtype == DLQ_I8 ? *(const int8_t *)t.data : *(const int32_t *)t.data;
        }
        dlq_host_free(host, copy);
    }
    if (status == DLQ_OK && s->idle_input_zero && in->input_zero != 0) {
        return host->fail(err, DLQ_EFORMAT,
                          "%s.input_zero_point is %" PRId32
                          ", and the configuration says symmetric",
                          info->prefix, in->input_zero);
    }
    return status;
}

// Packed codes become signed bytes, `*out`, to be freed; bytes are checked to be codes of so many
// bits.
static int32_t
read_codes(const struct ct_w8a8 *s, const struct dlq_host *host, const struct dlq_layer_info *info,
           const struct dlq_tensor *t, int8_t **out, struct dlq_error *err)
{
    const int32_t bits = ct_w8a8_weights(s)->bits;
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
    int8_t *const codes = dlq_host_calloc(host, (size_t)(n * k), err);
    *out = codes;
    if (!codes) {
        return DLQ_ENOMEM;
    }
    for (int64_t row = 0; row < n; row++) {
        dlq_bits_unpack((const uint32_t *)t->data + row * t->shape[1], 1, s->layout, bits, 0, k,
                        (uint8_t *)codes + row * k);
    }
    for (int64_t i = 0; i < n * k; i++) {
        codes[i] = (int8_t)((uint8_t)codes[i] - half);
    }
    return DLQ_OK;
}

static int32_t
pack_bytes(struct ct_w8a8 *s, const struct dlq_host *host, struct dlq_layer *layer,
           const struct dlq_layer_info *info, const int8_t *codes, const struct ct_w8a8_inputs *in,
           struct dlq_error *err)
{
    const int64_t k = info->input_size_per_partition;
    struct dlq_k_w8a8 packed;
    int64_t bad = 0;
    int result = dlq_k_w8a8_plan(&packed, k, info->output_size_per_partition, s->activation,
                                 ct_w8a8_is_static(s) ? in->input_scale : 1.0F, in->input_zero);
    if (result != DLQ_K_OK) {
        return dlq_run_fail(host, info, result == DLQ_K_ECODE ? "input_zero_point" : "input_scale",
                            result, 0, err);
    }
    void *const data = dlq_run_pack_alloc(host, info, packed.bytes, err);
    if (!data) {
        return DLQ_ENOMEM;
    }
    const struct dlq_k_parallel parallel = dlq_run_parallel(host, s->base.n_threads);
    const int32_t *const zeros = ct_w8a8_weights(s)->symmetric ? NULL : in->zeros;
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
pack(struct ct_w8a8 *s, const struct dlq_host *host, struct dlq_layer *layer,
     const struct dlq_layer_info *info, const struct dlq_tensor *codes,
     const struct ct_w8a8_inputs *in, struct dlq_error *err)
{
    int8_t *bytes = NULL;
    int32_t status = read_codes(s, host, info, codes, &bytes, err);
    if (status == DLQ_OK) {
        status = pack_bytes(s, host, layer, info, bytes ? bytes : codes->data, in, err);
    }
    dlq_host_free(host, bytes);
    return status;
}

static int32_t
drop_rest(const struct ct_w8a8 *s, const struct dlq_host *host, struct dlq_layer *layer,
          struct dlq_error *err)
{
    int32_t status = host->param_replace(layer, "weight_scale", NULL, err);
    if (status == DLQ_OK && ct_w8a8_has_zeros(s)) {
        status = host->param_replace(layer, "weight_zero_point", NULL, err);
    }
    if (status == DLQ_OK && ct_w8a8_is_static(s)) {
        status = host->param_replace(layer, "input_scale", NULL, err);
    }
    if (status == DLQ_OK && ct_w8a8_has_input_zero(s)) {
        status = host->param_replace(layer, "input_zero_point", NULL, err);
    }
    return status;
}

int32_t
ct_w8a8_process(struct ct_w8a8 *s, const struct dlq_host *host, struct dlq_layer *layer,
                const struct dlq_layer_info *info, ct_w8a8_pack_fn pack_fn, struct dlq_error *err)
{
    struct ct_w8a8_inputs in = {0};
    struct dlq_tensor codes;
    int32_t status = ct_param(host, layer, ct_codes_name(&s->base), &codes, err);
    status = status == DLQ_OK ? read_scales(s, host, layer, info, &in, err) : status;
    status = status == DLQ_OK ? read_input(s, host, layer, info, &in, err) : status;
    status = status == DLQ_OK ? pack_fn(s, host, layer, info, &codes, &in, err) : status;
    status = status == DLQ_OK ? drop_rest(s, host, layer, err) : status;
    dlq_host_free(host, in.scales);
    dlq_host_free(host, in.zeros);
    return status;
}

int32_t
ct_w8a8_process_weights(struct ct_layer *l, const struct dlq_host *host, struct dlq_layer *layer,
                        const struct dlq_layer_info *info, struct dlq_error *err)
{
    return ct_w8a8_process((struct ct_w8a8 *)l, host, layer, info, pack, err);
}
