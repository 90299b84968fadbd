// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "../common/gpu.h"
#include "../common/layer.h"
#include "ct.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/// Which scheme runs a group, by what its arguments say.

static enum ct_format
format_of(const struct ct_group *group, enum ct_format top)
{
    if (group->format != CT_FORMAT_NONE) {
        return group->format;
    }
    return top == CT_FORMAT_MIXED ? CT_FORMAT_NONE : top;
}

enum ct_storage
ct_storage_of(const struct ct_group *group, enum ct_format top, const struct dlq_layer_info *info)
{
    for (int32_t i = 0; i < info->n_parts; i++) {
        if (dlq_evidence_find(info, i, "weight_packed")) {
            return CT_PACKED;
        }
        if (dlq_evidence_find(info, i, "weight")) {
            return CT_PLAIN;
        }
    }
    switch (format_of(group, top)) {
    case CT_FORMAT_PACK:
    case CT_FORMAT_NVFP4:
    case CT_FORMAT_MXFP4:
        return CT_PACKED;
    case CT_FORMAT_NONE: // as the library infers it: integers without activations are packed
        return group->weights.type == CT_INT && !group->input.present ? CT_PACKED : CT_PLAIN;
    default:
        return CT_PLAIN;
    }
}

static bool
is_per_output(const struct ct_args *a)
{
    return a->strategy == CT_CHANNEL || a->strategy == CT_TENSOR;
}

// Activations that the int8 scheme quantizes: per token, or with one static scale.
static bool
is_int8_activation(const struct ct_args *a)
{
    return a->type == CT_INT && a->bits == 8 &&
           ((a->strategy == CT_TOKEN && a->dynamic == CT_DYNAMIC) ||
            (a->strategy == CT_TENSOR && a->dynamic == CT_STATIC));
}

static const struct ct_scheme_ops *
choose_float(const struct ct_group *group, enum ct_storage storage, bool fp_input, char *why,
             size_t size)
{
    const struct ct_args *const w = &group->weights;
    char weights[96];
    char input[96];
    ct_args_describe(w, weights, sizeof(weights));
    ct_args_describe(&group->input, input, sizeof(input));
    const bool fp4 = w->bits == 4;
    const bool nvfp4 = w->strategy == CT_TENSOR_GROUP && w->scale == CT_SCALE_E4M3;
    const bool mx = w->strategy == CT_GROUP && w->scale == CT_SCALE_U8;
    if (!fp_input) {
        snprintf(why, size,
                 "input_activations %s over weights %s: float8 per token, tensor or group, float4 "
                 "in groups of 16 (local) or 32, or none is accepted",
                 input, weights);
        return NULL;
    }
    if (fp4 && !nvfp4 && !mx) {
        snprintf(why, size,
                 "weights %s: float4 in tensor_groups with float8_e4m3fn scales or groups with "
                 "uint8 scales is accepted",
                 weights);
        return NULL;
    }
    if (!fp4 &&
        (w->strategy == CT_TENSOR_GROUP || w->strategy == CT_TOKEN || w->strategy == CT_ATTN_HEAD ||
         w->scale == CT_SCALE_E4M3 || (w->scale == CT_SCALE_U8 && !mx))) {
        snprintf(why, size, "weights %s: float8 by tensor, channel, block or group is accepted",
                 weights);
        return NULL;
    }
    if (fp4 != (storage == CT_PACKED)) {
        snprintf(why, size, "weights %s are stored as %s; %s is expected", weights,
                 storage == CT_PACKED ? "weight_packed" : "weight",
                 fp4 ? "weight_packed" : "weight");
        return NULL;
    }
    return &ct_scheme_fp;
}

const struct ct_scheme_ops *
ct_scheme_choose(const struct ct_group *group, enum ct_storage storage, char *why, size_t size)
{
    const struct ct_args *const w = &group->weights;
    const struct ct_args *const a = &group->input;
    char weights[96];
    char input[96];
    ct_args_describe(w, weights, sizeof(weights));
    ct_args_describe(a, input, sizeof(input));
    if (group->output.present) {
        snprintf(why, size, "output_activations are quantized; null is accepted");
        return NULL;
    }
    enum dlq_k_fp_activation activation;
    const bool fp_input = ct_fp_activation(a, &activation);
    if (w->type == CT_FLOAT) {
        return choose_float(group, storage, fp_input, why, size);
    }
    if (w->bits < 2) {
        snprintf(why, size, "weights %s: 2 to 8 bits are accepted", weights);
        return NULL;
    }
    if (w->strategy != CT_GROUP && !is_per_output(w)) {
        snprintf(why, size, "weights %s: strategy group, channel or tensor is accepted for int",
                 weights);
        return NULL;
    }
    if (!w->symmetric && w->strategy == CT_TENSOR && storage == CT_PACKED) {
        snprintf(why, size, "weights %s: packed zero points need strategy group or channel",
                 weights);
        return NULL;
    }
    if (!a->present) {
        return &ct_scheme_wna16;
    }
    if (fp_input && w->bits <= 5 && w->symmetric && w->actorder != CT_ORDER_GROUP) {
        return &ct_scheme_fp;
    }
    if (!is_int8_activation(a)) {
        snprintf(why, size,
                 "weights %s with input_activations %s: int8 per token (dynamic) or per tensor "
                 "(static) is accepted, float over symmetric int2 to int5, or none",
                 weights, input);
        return NULL;
    }
    if (!is_per_output(w)) {
        if (a->dynamic == CT_DYNAMIC) {
            return &ct_scheme_wna8;
        }
        snprintf(why, size,
                 "weights %s with input_activations %s: over groups int8 per token is accepted",
                 weights, input);
        return NULL;
    }
    return &ct_scheme_w8a8_int8;
}

static void
describe_integer(const struct ct_args *w, char *buf, size_t size)
{
    const char *const symmetry = w->symmetric ? "sym" : "asym";
    if (w->strategy == CT_GROUP) {
        snprintf(buf, size, "%s g%" PRId64 "%s", symmetry, w->group,
                 w->actorder == CT_ORDER_GROUP ? " act-order" : "");
    } else {
        snprintf(buf, size, "%s %s", symmetry, w->strategy == CT_TENSOR ? "tensor" : "channel");
    }
}

const char *
ct_scheme_describe(const struct ct_group *group, char *buf, size_t size)
{
    const struct ct_args *const w = &group->weights;
    const struct ct_args *const a = &group->input;
    char text[48];
    if (w->type == CT_INT && !a->present) {
        describe_integer(w, text, sizeof(text));
        snprintf(buf, size, "W%" PRId32 "A16 %s", w->bits, text);
    } else if (w->type == CT_INT && is_int8_activation(a)) {
        describe_integer(w, text, sizeof(text));
        snprintf(buf, size, "W%" PRId32 "A8 int8 %s, %s%s", w->bits, text,
                 a->dynamic == CT_DYNAMIC ? "dynamic token" : "static tensor",
                 a->symmetric ? "" : " asym");
    } else if (!a->present) {
        char weights[64];
        snprintf(buf, size, "%s, weight-only", ct_args_describe(w, weights, sizeof(weights)));
    } else {
        char weights[64];
        char input[64];
        snprintf(buf, size, "%s; %s", ct_args_describe(w, weights, sizeof(weights)),
                 ct_args_describe(a, input, sizeof(input)));
    }
    return buf;
}

uint32_t
ct_evidence_dtype(const struct dlq_layer_info *info, const char *name, uint32_t otherwise)
{
    uint32_t dtype = DLQ_DTYPE_NONE;
    for (int32_t i = 0; i < info->n_parts; i++) {
        const struct dlq_evidence *const e = dlq_evidence_find(info, i, name);
        if (e) {
            dtype = dtype == DLQ_DTYPE_NONE || dtype == e->dtype ? e->dtype : DLQ_F32;
        }
    }
    return dtype == DLQ_DTYPE_NONE ? otherwise : dtype;
}

int32_t
ct_require_tensors(const struct dlq_host *host, const struct dlq_layer_info *info,
                   const char *const *names, struct dlq_error *err)
{
    for (int32_t i = 0; i < info->n_parts && info->n_evidence > 0; i++) {
        char present[256];
        dlq_evidence_names(info, i, present, sizeof(present));
        for (const char *const *name = names; *name && strcmp(present, "none") != 0; name++) {
            if (!dlq_evidence_find(info, i, *name)) {
                return host->fail(err, DLQ_EUNSUPPORTED, "%s: '%s' is missing; present: %s",
                                  info->parts[i]->prefix, *name, present);
            }
        }
    }
    return DLQ_OK;
}

int32_t
ct_declare_shape(const struct dlq_host *host, struct dlq_layer *layer, struct dlq_error *err)
{
    const int64_t shape[] = {2};
    struct dlq_param_desc desc = dlq_param_desc_init("weight_shape", DLQ_I64, 1, shape);
    desc.flags = DLQ_PARAM_REPLICATED | DLQ_PARAM_OPTIONAL | DLQ_PARAM_LAST_WRITE_OK;
    return host->param_declare(layer, &desc, err);
}

bool
ct_is_packed(const struct ct_layer *l)
{
    return l->storage == CT_PACKED;
}

const char *
ct_codes_name(const struct ct_layer *l)
{
    return ct_is_packed(l) ? "weight_packed" : "weight";
}

int32_t
ct_find_layout(const struct ct_layer *l, const struct dlq_host *host,
               const struct dlq_layer_info *info, enum dlq_bits_layout *out, struct dlq_error *err)
{
    const struct ct_config *const config = l->config;
    const int32_t bits = l->group->weights.bits;
    const int64_t k = info->input_size;
    *out = config->packing_padded ? DLQ_BITS_PADDED : DLQ_BITS_DENSE;
    for (int32_t i = 0; ct_is_packed(l) && i < info->n_parts; i++) {
        const struct dlq_evidence *const e = dlq_evidence_find(info, i, "weight_packed");
        if (!e) {
            continue;
        }
        const int64_t words = e->ndim == 2 ? e->shape[1] : 0;
        const enum dlq_bits_layout found = dlq_bits_detect(k, bits, words);
        if (found == DLQ_BITS_NONE || e->dtype != DLQ_I32) {
            return host->fail(
                err, DLQ_ESHAPE,
                "%s.weight_packed: %s of width %" PRId64 "; K %" PRId64 " of %" PRId32
                " bits takes int32 of width %" PRId64 " (dense) or %" PRId64 " (padded)",
                info->parts[i]->prefix, dlq_dtype_name(e->dtype), words, k, bits,
                dlq_bits_words(DLQ_BITS_DENSE, k, bits), dlq_bits_words(DLQ_BITS_PADDED, k, bits));
        }
        const bool settled =
            found == DLQ_BITS_EITHER && (config->packing_padded || config->packing_dense);
        *out = settled ? *out : found;
    }
    return DLQ_OK;
}

void
ct_pack_along(struct dlq_param_desc *desc, int32_t dim, int32_t bits, enum dlq_bits_layout layout)
{
    const bool padded = layout == DLQ_BITS_PADDED;
    desc->packed_dim = dim;
    desc->pack_num = padded ? 32 / bits : 32;
    desc->pack_den = padded ? 1 : bits;
    desc->pack_bits = bits;
    // What is not known to be dense or padded cannot be cut between elements.
    desc->flags |= layout == DLQ_BITS_EITHER ? 0u : (uint32_t)DLQ_PARAM_LSB_FIRST;
}

int32_t
ct_declare_codes(const struct ct_layer *l, const struct dlq_host *host, struct dlq_layer *layer,
                 const struct dlq_layer_info *info, enum dlq_bits_layout layout,
                 struct dlq_error *err)
{
    const int32_t bits = l->group->weights.bits;
    const bool packed = ct_is_packed(l);
    const int64_t k = info->input_size_per_partition;
    const enum dlq_bits_layout width = layout == DLQ_BITS_EITHER ? DLQ_BITS_DENSE : layout;
    const int64_t shape[] = {info->output_size_per_partition,
                             packed ? dlq_bits_words(width, k, bits) : k};
    struct dlq_param_desc desc =
        dlq_param_desc_init(ct_codes_name(l), packed ? DLQ_I32 : DLQ_I8, 2, shape);
    desc.output_dim = 0;
    desc.input_dim = 1;
    if (packed) {
        ct_pack_along(&desc, 1, bits, layout);
    }
    const int32_t status = host->param_declare(layer, &desc, err);
    return status == DLQ_OK && packed ? ct_declare_shape(host, layer, err) : status;
}

int32_t
ct_declare_per_output(const struct ct_layer *l, const struct dlq_host *host,
                      struct dlq_layer *layer, const struct dlq_layer_info *info, const char *name,
                      uint32_t dtype, uint32_t flags, struct dlq_error *err)
{
    const bool slots = l->group->weights.strategy == CT_TENSOR;
    const int64_t shape[] = {slots ? info->n_parts : info->output_size_per_partition, 1};
    struct dlq_param_desc desc = dlq_param_desc_init(name, dtype, slots ? 1 : 2, shape);
    desc.flags = flags | (slots ? (uint32_t)DLQ_PARAM_ACCEPT_0D : (uint32_t)DLQ_PARAM_ACCEPT_1D);
    if (slots) {
        desc.slot_count = info->n_parts;
    } else {
        desc.output_dim = 0;
    }
    return host->param_declare(layer, &desc, err);
}

int32_t
ct_declare_single(const struct dlq_host *host, struct dlq_layer *layer, const char *name,
                  uint32_t dtype, uint32_t flags, struct dlq_error *err)
{
    const int64_t shape[] = {1};
    struct dlq_param_desc desc = dlq_param_desc_init(name, dtype, 1, shape);
    desc.flags = flags | DLQ_PARAM_REPLICATED | DLQ_PARAM_ACCEPT_0D;
    return host->param_declare(layer, &desc, err);
}

int32_t
ct_param(const struct dlq_host *host, struct dlq_layer *layer, const char *name,
         struct dlq_tensor *out, struct dlq_error *err)
{
    *out = (struct dlq_tensor){.struct_size = DLQ_SIZE_UPTO(struct dlq_tensor, strides)};
    return host->param_get(layer, name, out, err);
}

int32_t
ct_host_param(const struct dlq_host *host, struct dlq_layer *layer,
              const struct dlq_layer_info *info, const char *name, struct dlq_tensor *out,
              void **copy, struct dlq_error *err)
{
    *copy = NULL;
    const int32_t status = ct_param(host, layer, name, out, err);
    return status == DLQ_OK ? dlq_gpu_fetch(host, info, out, copy, err) : status;
}

int32_t
ct_read_positive(const struct dlq_host *host, struct dlq_layer *layer,
                 const struct dlq_layer_info *info, const char *name, float *out,
                 struct dlq_error *err)
{
    struct dlq_tensor t;
    void *copy = NULL;
    const int32_t status = ct_host_param(host, layer, info, name, &t, &copy, err);
    if (status == DLQ_OK) {
        *out = *(const float *)t.data;
    }
    dlq_host_free(host, copy);
    if (status == DLQ_OK && !(*out > 0.0F)) {
        return host->fail(err, DLQ_EFORMAT,
                          "%s.%s is %g; a static activation needs a positive scale (0 was never "
                          "calibrated)",
                          info->prefix, name, (double)*out);
    }
    return status;
}
