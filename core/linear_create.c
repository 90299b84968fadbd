// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "alloc.h"
#include "error.h"
#include "linear_make.h"
#include "runtime_internal.h"

#include <string.h>

static void *
store_alloc(void *ctx, size_t size, size_t align)
{
    const struct dlq_layer *const layer = ctx;
    return dlq_runtime_device_alloc(layer->rt, layer->info.device.device, size, align);
}

static void
store_free(void *ctx, void *ptr)
{
    const struct dlq_layer *const layer = ctx;
    dlq_runtime_device_free(layer->rt, layer->info.device.device, ptr);
}

static int32_t
store_upload(void *ctx, void *dst, size_t dst_pitch, const void *src, size_t src_pitch,
             size_t width, size_t rows, struct dlq_error *err)
{
    const struct dlq_layer *const layer = ctx;
    return dlq_runtime_device_upload(layer->rt, layer->info.device.device, dst, dst_pitch, src,
                                     src_pitch, width, rows, err);
}

static int32_t
store_post(void *ctx, void *dst, size_t dst_pitch, const void *src, size_t src_pitch, size_t width,
           size_t rows, struct dlq_error *err)
{
    const struct dlq_layer *const layer = ctx;
    return dlq_runtime_device_post(layer->rt, layer->info.device.device, dst, dst_pitch, src,
                                   src_pitch, width, rows, err);
}

static void
store_parallel(void *ctx, int32_t n_tasks, void (*fn)(void *arg, int32_t task), void *arg)
{
    const struct dlq_layer *const layer = ctx;
    layer->host->parallel_for(layer->host->ctx, n_tasks, fn, arg);
}

static int32_t
find_device(struct dlq_layer *layer, struct dlq_device device, struct dlq_error *err)
{
    layer->info.device.struct_size = sizeof(layer->info.device);
    layer->info.device.device = device;
    const int32_t rc = dlq_runtime_device_info(layer->rt, device, &layer->info.device, err);
    return rc == DLQ_OK ? rc : dlq_fail_prefix(err, rc, "layer '%s'", layer->info.prefix);
}

static int32_t
create_weights(struct dlq_layer *layer, struct dlq_error *err)
{
    const struct dlq_host *const host = layer->host;
    struct dlq_error why = DLQ_ERROR_INIT;
    const char *step = "can_implement";
    int32_t rc = layer->ops->can_implement(layer->method, host, &layer->info, &why);
    if (rc == DLQ_OK) {
        step = "create_weights";
        rc = layer->ops->create_weights(layer->method, host, layer, &layer->info, &why);
    }
    return rc == DLQ_OK ? rc : dlq_layer_fail_method(layer, step, rc, &why, err);
}

// Every rank keeps its slice of a column's bias and all of a row's. Next to a gathered output a
// slice would be of no use to whoever adds it, so it is kept whole there.
static int32_t
declare_bias(struct dlq_layer *layer, struct dlq_error *err)
{
    if (!layer->info.has_bias) {
        return DLQ_OK;
    }
    const uint32_t whole = DLQ_LINEAR_GATHER_OUTPUT | DLQ_LINEAR_SKIP_BIAS_ADD;
    const bool full = (layer->flags & whole) == whole;
    const struct dlq_param_desc desc = {
        .struct_size = DLQ_SIZE_UPTO(struct dlq_param_desc, fill),
        .flags = DLQ_PARAM_CAST,
        .name = DLQ_PARAM_BIAS,
        .dtype = DLQ_F32,
        .ndim = 1,
        .shape = {full ? layer->info.ckpt_output_size : layer->info.output_size_per_partition},
        .output_dim = 0,
        .input_dim = -1,
        .packed_dim = -1,
    };
    return dlq_params_declare(&layer->params, &desc, full ? layer->full_ptrs : NULL, err);
}

static int32_t
make(struct dlq_layer *layer, const struct dlq_linear_setup *setup, struct dlq_error *err)
{
    const bool plan = (layer->flags & DLQ_LINEAR_PLAN) != 0;
    int32_t rc = dlq_layer_make_parts(layer, setup, err);
    if (rc == DLQ_OK) {
        rc = find_device(layer, setup->desc.device, err);
    }
    if (rc == DLQ_OK) {
        rc = dlq_layer_make_evidence(layer, setup->desc.evidence, err);
    }
    if (rc == DLQ_OK) {
        rc = dlq_layer_choose_method(layer, setup->desc.config, err);
    }
    const struct dlq_param_store store = {
        .ctx = layer,
        .alloc = store_alloc,
        .free = store_free,
        .upload = store_upload,
        .post = store_post,
        .parallel = store_parallel,
    };
    dlq_params_init(&layer->params, &layer->info, layer->alloc, plan ? NULL : &store);
    if (rc == DLQ_OK) {
        rc = create_weights(layer, err);
    }
    if (rc == DLQ_OK) {
        rc = declare_bias(layer, err);
    }
    if (rc == DLQ_OK && layer->info.tp_size > 1 && !plan) {
        rc = dlq_runtime_device_copier(layer->rt, layer->info.device.device, &layer->copy, err);
    }
    layer->state = DLQ_LAYER_LOADING;
    return rc;
}

int32_t
dlq_linear_finish(const struct dlq_linear_setup *setup, dlq_linear **out, struct dlq_error *err)
{
    const struct dlq_allocator *const alloc = dlq_runtime_allocator(setup->rt);
    struct dlq_layer *const layer = dlq_calloc(alloc, 1, sizeof(*layer));
    if (!layer) {
        return dlq_fail(err, DLQ_ENOMEM, "layer '%s': no memory", setup->desc.prefix);
    }
    layer->rt = setup->rt;
    layer->host = dlq_runtime_host(setup->rt);
    layer->alloc = alloc;
    layer->state = DLQ_LAYER_DECLARING;
    layer->flags = setup->desc.flags;
    layer->elem_bytes = DLQ_DTYPE_BITS(setup->desc.act_dtype) / 8;
    layer->coll = setup->coll;
    const int32_t rc = make(layer, setup, err);
    if (rc != DLQ_OK) {
        dlq_linear_destroy(layer);
        return rc;
    }
    *out = layer;
    return DLQ_OK;
}

void
dlq_linear_destroy(dlq_linear *layer)
{
    if (!layer) {
        return;
    }
    const struct dlq_allocator *const a = layer->alloc;
    if (layer->ops) {
        layer->ops->destroy(layer->method, layer->host);
    }
    dlq_params_clear(&layer->params);
    for (int32_t i = 0; i < layer->info.n_evidence; ++i) {
        dlq_free(a, (char *)(uintptr_t)layer->evidence[i].name);
    }
    dlq_free(a, layer->evidence);
    dlq_free(a, layer->evidence_ptrs);
    dlq_free(a, layer->rank_outputs);
    dlq_free(a, layer->part_bounds);
    dlq_free(a, layer->input_bounds);
    dlq_free(a, layer->full_ptrs);
    dlq_free(a, layer->part_ptrs);
    dlq_free(a, layer->full_parts);
    dlq_free(a, layer->parts);
    dlq_free(a, layer->prefix);
    dlq_free(a, layer);
}
