// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "error.h"
#include "linear_make.h"
#include "linear_split.h"

static int32_t
check_state(const struct dlq_layer *layer, struct dlq_error *err)
{
    if (layer->flags & DLQ_LINEAR_PLAN) {
        return dlq_fail(err, DLQ_ESTATE, "layer '%s': made to plan, it cannot be processed",
                        layer->info.prefix);
    }
    if (layer->state != DLQ_LAYER_LOADING) {
        return dlq_fail(err, DLQ_ESTATE, "layer '%s': process() a second time%s",
                        layer->info.prefix,
                        layer->state == DLQ_LAYER_READY
                            ? ""
                            : "; the first failed, so the layer can only be destroyed");
    }
    return dlq_linear_check_loaded(layer, err);
}

// Of a row layer rank 0 alone adds the bias: the sum over ranks has it once.
static void
set_bias(struct dlq_layer *layer)
{
    const bool fused = layer->info.has_bias && !(layer->flags & DLQ_LINEAR_SKIP_BIAS_ADD);
    layer->whole_bias = fused ? dlq_params_find(&layer->params, DLQ_PARAM_BIAS)->view.data : NULL;
    layer->bias =
        layer->info.kind != DLQ_ROW || layer->info.tp_rank == 0 ? layer->whole_bias : NULL;
}

int32_t
dlq_linear_process(dlq_linear *layer, struct dlq_error *err)
{
    int32_t rc = check_state(layer, err);
    if (rc != DLQ_OK) {
        return rc;
    }
    rc = dlq_runtime_device_flush(layer->rt, layer->info.device.device, err);
    if (rc != DLQ_OK) {
        layer->state = DLQ_LAYER_BROKEN;
        return dlq_fail_prefix(err, rc, "layer '%s'", layer->info.prefix);
    }
    layer->state = DLQ_LAYER_PROCESSING;
    if (layer->ops->process_weights) {
        struct dlq_error why = DLQ_ERROR_INIT;
        rc = layer->ops->process_weights(layer->method, layer->host, layer, &layer->info, &why);
        if (rc != DLQ_OK) {
            layer->state = DLQ_LAYER_BROKEN;
            return dlq_layer_fail_method(layer, "process_weights", rc, &why, err);
        }
    }
    if (dlq_layer_reduces(layer)) {
        rc = dlq_layer_find_split(layer, err);
    }
    if (rc != DLQ_OK) {
        layer->state = DLQ_LAYER_BROKEN;
        return rc;
    }
    set_bias(layer);
    layer->state = DLQ_LAYER_READY;
    return DLQ_OK;
}
