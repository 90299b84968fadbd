// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "error.h"
#include "linear_internal.h"

#include <string.h>

static int32_t
fail_bias(const struct dlq_layer *layer, struct dlq_error *err)
{
    return dlq_fail(err, DLQ_EPLUGIN,
                    "layer '%s': parameter 'bias' belongs to the layer, a method gets it in each "
                    "call",
                    layer->info.prefix);
}

int32_t
dlq_layer_param_declare(struct dlq_layer *layer, const struct dlq_param_desc *desc,
                        struct dlq_error *err)
{
    if (layer->state != DLQ_LAYER_DECLARING) {
        return dlq_fail(err, DLQ_ESTATE,
                        "layer '%s': parameters are declared inside create_weights() only",
                        layer->info.prefix);
    }
    if (desc && desc->name && strcmp(desc->name, DLQ_PARAM_BIAS) == 0) {
        return fail_bias(layer, err);
    }
    return dlq_params_declare(&layer->params, desc, NULL, err);
}

int32_t
dlq_layer_param_get(struct dlq_layer *layer, const char *name, struct dlq_tensor *out,
                    struct dlq_error *err)
{
    return dlq_params_get(&layer->params, name, out, err);
}

int32_t
dlq_layer_param_replace(struct dlq_layer *layer, const char *name, const struct dlq_tensor *tensor,
                        struct dlq_error *err)
{
    if (layer->state != DLQ_LAYER_PROCESSING) {
        return dlq_fail(err, DLQ_ESTATE,
                        "layer '%s': parameter '%s' is replaced inside process_weights() only",
                        layer->info.prefix, name);
    }
    if (strcmp(name, DLQ_PARAM_BIAS) == 0) {
        return fail_bias(layer, err);
    }
    return dlq_params_replace(&layer->params, name, tensor, err);
}

int32_t
dlq_linear_param_at(const dlq_linear *layer, size_t index, const struct dlq_param_desc **desc,
                    struct dlq_tensor *view, struct dlq_error *err)
{
    if (index >= layer->params.count) {
        return dlq_fail(err, DLQ_ENOTFOUND, "layer '%s' has %zu parameters, asked for number %zu",
                        layer->info.prefix, layer->params.count, index);
    }
    const struct dlq_param *const param = layer->params.items[index];
    if (desc) {
        *desc = &param->desc;
    }
    if (view) {
        memcpy(view, &param->view, param->view.struct_size);
    }
    return DLQ_OK;
}

uint64_t
dlq_linear_param_bytes(const dlq_linear *layer)
{
    return dlq_params_bytes(&layer->params);
}
