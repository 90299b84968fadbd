// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "linear_split.h"

#include "error.h"
#include "params_shape.h"
#include "plugin_check.h"
#include "runtime_internal.h"

int32_t
dlq_layer_find_split(struct dlq_layer *layer, struct dlq_error *err)
{
    const struct dlq_ext_row_split *const ext =
        dlq_linear_extension(layer, DLQ_EXT_ROW_SPLIT, NULL);
    if (!ext || !DLQ_HAS(ext, finish)) {
        return DLQ_OK;
    }
    const int32_t rc = dlq_plugin_check_row_split(dlq_quant_config_plugin(layer->config), ext, err);
    if (rc != DLQ_OK) {
        return dlq_fail_prefix(err, rc, "layer '%s'", layer->info.prefix);
    }
    struct dlq_row_split wants = {.struct_size = sizeof(wants)};
    ext->describe(layer->method, &wants);
    if (wants.n_stats < 0 || wants.n_stats > DLQ_ROW_STATS_MAX ||
        (wants.sum_dtype != DLQ_DTYPE_NONE && wants.sum_dtype != DLQ_I32)) {
        return dlq_fail(err, DLQ_EPLUGIN,
                        "layer '%s' (%s): %s: expected 0 to %d statistics a row and sums of I32 or "
                        "none, found %d and %s",
                        layer->info.prefix, dlq_quant_config_name(layer->config), DLQ_EXT_ROW_SPLIT,
                        DLQ_ROW_STATS_MAX, wants.n_stats, dlq_param_dtype_text(wants.sum_dtype));
    }
    if (!(layer->coll.flags & DLQ_COLLECTIVE_SUMS_I32)) {
        wants.sum_dtype = DLQ_DTYPE_NONE;
    }
    if (wants.n_stats > 0 || wants.sum_dtype != DLQ_DTYPE_NONE) {
        layer->split = ext;
        layer->split_wants = wants;
    }
    return DLQ_OK;
}

static int32_t
share_stats(const struct dlq_layer *layer, const struct dlq_linear_call *call,
            const struct dlq_split_scratch *scratch, struct dlq_error *err)
{
    struct dlq_linear_call own = *call;
    own.y = NULL;
    own.bias = NULL;
    const int32_t rc = layer->split->measure(layer->method, &own, scratch->stats, err);
    if (rc != DLQ_OK) {
        return rc;
    }
    int64_t counts[DLQ_MAX_RANKS];
    for (int32_t r = 0; r < layer->info.tp_size; ++r) {
        counts[r] = call->m * layer->split_wants.n_stats;
    }
    return layer->coll.all_gather(layer->coll.ctx, scratch->stats, scratch->all_stats, counts,
                                  DLQ_F32, call->stream, err);
}

int32_t
dlq_layer_apply_split(const struct dlq_layer *layer, const struct dlq_linear_call *call,
                      const struct dlq_split_scratch *scratch, struct dlq_error *err)
{
    const int32_t ranks = layer->info.tp_size;
    const float *const stats = layer->split_wants.n_stats > 0 ? scratch->all_stats : NULL;
    int32_t rc = stats ? share_stats(layer, call, scratch, err) : DLQ_OK;
    if (rc != DLQ_OK || !scratch->sums) {
        return rc == DLQ_OK ? layer->split->multiply(layer->method, call, stats, ranks, NULL, err)
                            : rc;
    }
    struct dlq_linear_call own = *call;
    own.y = NULL;
    own.bias = NULL;
    rc = layer->split->multiply(layer->method, &own, stats, ranks, scratch->sums, err);
    if (rc == DLQ_OK) {
        rc = layer->coll.all_reduce(layer->coll.ctx, scratch->sums,
                                    call->m * layer->info.output_size_per_partition,
                                    layer->split_wants.sum_dtype, 0, call->stream, err);
    }
    if (rc != DLQ_OK) {
        return rc;
    }
    own.x = NULL;
    own.y = call->y;
    own.bias = layer->whole_bias;
    return layer->split->finish(layer->method, &own, stats, ranks, scratch->sums, err);
}
