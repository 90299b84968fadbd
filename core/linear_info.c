// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "error.h"
#include "linear_make.h"

#include <stdio.h>

const struct dlq_layer_info *
dlq_linear_info(const dlq_linear *layer)
{
    return &layer->info;
}

const char *
dlq_linear_method_name(const dlq_linear *layer)
{
    return dlq_quant_config_name(layer->config);
}

const struct dlq_decision *
dlq_linear_decision(const dlq_linear *layer)
{
    return &layer->decision;
}

int32_t
dlq_linear_get_skipped_bias(const dlq_linear *layer, struct dlq_tensor *out, struct dlq_error *err)
{
    if (!layer->info.has_bias || !(layer->flags & DLQ_LINEAR_SKIP_BIAS_ADD)) {
        return dlq_fail(err, DLQ_ENOTFOUND, "layer '%s' %s", layer->info.prefix,
                        layer->info.has_bias ? "adds its bias itself" : "has no bias");
    }
    return dlq_params_get(&layer->params, DLQ_PARAM_BIAS, out, err);
}

int32_t
dlq_linear_explain(const dlq_linear *layer, struct dlq_explanation *out, struct dlq_error *err)
{
    const uint32_t size = DLQ_SIZE_UPTO(struct dlq_explanation, weight_bytes);
    if (!out || out->struct_size < size) {
        return dlq_fail(err, DLQ_EINVAL,
                        "layer '%s': explanation: expected a struct of %u bytes or more, found %u",
                        layer->info.prefix, size, out ? out->struct_size : 0);
    }
    struct dlq_error why = DLQ_ERROR_INIT;
    const int32_t rc = layer->ops->explain(layer->method, layer->host, &layer->info, out, &why);
    return rc == DLQ_OK ? rc : dlq_layer_fail_method(layer, "explain", rc, &why, err);
}

int32_t
dlq_linear_describe(const dlq_linear *layer, char *buf, size_t size)
{
    const struct dlq_layer_info *const i = &layer->info;
    return snprintf(
        buf, size, "%s %s: K %lld of %lld, N %lld of %lld in %d part%s, rank %d of %d, %s%s%s%s",
        i->class_name, i->prefix, (long long)i->input_size_per_partition, (long long)i->input_size,
        (long long)i->output_size_per_partition, (long long)i->output_size, i->n_parts,
        i->n_parts > 1 ? "s" : "", i->tp_rank, i->tp_size, dlq_linear_method_name(layer),
        layer->decision.scheme[0] ? " " : "", layer->decision.scheme, i->has_bias ? ", bias" : "");
}

const void *
dlq_linear_extension(const dlq_linear *layer, const char *id, void **method)
{
    const void *const ext = dlq_quant_config_extension(layer->config, id);
    if (ext && method) {
        *method = layer->method;
    }
    return ext;
}
