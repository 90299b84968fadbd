// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "checkpoint_internal.h"
#include "error.h"
#include "linear_internal.h"
#include "linear_walk.h"

#include <stdio.h>
#include <string.h>

// Names at a linear layer's path that belong to the attention around it or to nobody.
static const char *const not_ours[] = {
    "q_scale",      "k_scale",      "v_scale",      "kv_scale",
    "q_zero_point", "k_zero_point", "v_zero_point", "inv_freq",
};

static int32_t
fail_part(const struct dlq_layer *layer, const char *wrong, struct dlq_error *err)
{
    char known[256] = "";
    size_t n = 0;
    for (int32_t i = 0; i < layer->info.n_parts && n < sizeof(known); ++i) {
        n += (size_t)snprintf(known + n, sizeof(known) - n, "%s'%s'", i ? ", " : "",
                              layer->parts[i].tag);
    }
    return dlq_fail(err, DLQ_EINVAL, "layer '%s': part id: found %s, known are %s and all of them",
                    layer->info.prefix, wrong, known);
}

// The parts that an id names.
static int32_t
resolve(const struct dlq_layer *layer, struct dlq_part_id id, int32_t *first, int32_t *last,
        struct dlq_error *err)
{
    const int32_t n = layer->info.n_parts;
    char wrong[96];
    if (id.tag) {
        for (int32_t i = 0; i < n; ++i) {
            if (strcmp(id.tag, layer->parts[i].tag) == 0) {
                *first = i;
                *last = i;
                return DLQ_OK;
            }
        }
        snprintf(wrong, sizeof(wrong), "'%.64s'", id.tag);
        return fail_part(layer, wrong, err);
    }
    if (id.first == -1 && id.last == -1) {
        *first = 0;
        *last = n - 1;
        return DLQ_OK;
    }
    if (id.first < 0 || id.first >= n || id.last < 0 || id.last >= n) {
        if (id.first == id.last) {
            snprintf(wrong, sizeof(wrong), "%d", id.first);
        } else {
            snprintf(wrong, sizeof(wrong), "%d to %d", id.first, id.last);
        }
        return fail_part(layer, wrong, err);
    }
    if (id.last < id.first) {
        snprintf(wrong, sizeof(wrong), "%d to %d, which are not consecutive", id.first, id.last);
        return fail_part(layer, wrong, err);
    }
    *first = id.first;
    *last = id.last;
    return DLQ_OK;
}

static int32_t
check_state(const struct dlq_layer *layer, struct dlq_error *err)
{
    if (layer->flags & DLQ_LINEAR_PLAN) {
        return dlq_fail(err, DLQ_ESTATE, "layer '%s': made to plan, it holds no data",
                        layer->info.prefix);
    }
    if (layer->state != DLQ_LAYER_LOADING) {
        return dlq_fail(err, DLQ_ESTATE, "layer '%s': loading after process()", layer->info.prefix);
    }
    return DLQ_OK;
}

static int32_t
load(struct dlq_layer *layer, struct dlq_param *param, struct dlq_part_id part,
     const struct dlq_tensor *tensor, const char *name, const char *file, struct dlq_error *err)
{
    // What has a file is mapped, and stays until load_checkpoint() has flushed.
    struct dlq_param_source source = {
        .tensor = tensor, .name = name, .file = file, .stays = file != NULL};
    const int32_t rc = resolve(layer, part, &source.first, &source.last, err);
    return rc == DLQ_OK ? dlq_params_load(&layer->params, param, &source, err) : rc;
}

int32_t
dlq_linear_load_tensor(dlq_linear *layer, const char *name, struct dlq_part_id part,
                       const struct dlq_tensor *tensor, struct dlq_error *err)
{
    const int32_t rc = check_state(layer, err);
    if (rc != DLQ_OK) {
        return rc;
    }
    struct dlq_param *const param = name ? dlq_params_find(&layer->params, name) : NULL;
    if (!param) {
        return dlq_fail(err, DLQ_ENOTFOUND, "layer '%s' (%s): no parameter '%s'",
                        layer->info.prefix, dlq_linear_method_name(layer), name ? name : "");
    }
    if (!tensor || tensor->struct_size < DLQ_SIZE_UPTO(struct dlq_tensor, strides)) {
        return dlq_fail(err, DLQ_EINVAL,
                        "layer '%s': parameter '%s': expected a struct dlq_tensor of %u bytes, "
                        "found %u",
                        layer->info.prefix, name, DLQ_SIZE_UPTO(struct dlq_tensor, strides),
                        tensor ? tensor->struct_size : 0);
    }
    return load(layer, param, part, tensor, name, NULL, err);
}

// A walk over what a checkpoint holds for a layer.
struct loading {
    struct dlq_layer *layer;
    const dlq_checkpoint *ckpt;
    int32_t part;    ///< -1: at the layer's own path
    char extra[512]; ///< Names that no parameter wants
    int32_t n_extra;
    struct dlq_checkpoint_tensor range; ///< Bytes of a file that are to be released
};

static void
note_extra(struct loading *l, const char *full, const char *name)
{
    for (size_t i = 0; i < sizeof(not_ours) / sizeof(*not_ours); ++i) {
        if (strcmp(name, not_ours[i]) == 0) {
            return;
        }
    }
    const size_t n = strlen(l->extra);
    snprintf(l->extra + n, sizeof(l->extra) - n, "%s%s", n ? ", " : "", full);
    ++l->n_extra;
}

// A parameter comes fused or part by part; both at once would fill it twice.
static int32_t
check_mixture(const struct loading *l, const struct dlq_checkpoint_tensor *fused, const char *name,
              struct dlq_error *err)
{
    const struct dlq_layer *const layer = l->layer;
    for (int32_t i = 0; i < layer->info.n_parts && layer->named_parts; ++i) {
        const struct dlq_checkpoint_tensor *const other =
            dlq_layer_find_tensor(l->ckpt, layer->parts[i].prefix, name);
        if (other && other != fused) {
            return dlq_fail(err, DLQ_EFORMAT,
                            "layer '%s': parameter '%s': expected it fused or in parts, found "
                            "both '%s' in %s and '%s' in %s",
                            layer->info.prefix, name, fused->name, fused->file, other->name,
                            other->file);
        }
    }
    return DLQ_OK;
}

static void
view_tensor(const struct dlq_checkpoint_tensor *from, struct dlq_tensor *to)
{
    *to = (struct dlq_tensor){
        .struct_size = DLQ_SIZE_UPTO(struct dlq_tensor, strides),
        .dtype = from->dtype,
        .data = (void *)(uintptr_t)from->data,
        .device = {.kind = DLQ_DEVICE_CPU},
        .ndim = from->ndim,
    };
    int64_t stride = 1;
    for (int32_t d = from->ndim - 1; d >= 0; --d) {
        to->shape[d] = from->shape[d];
        to->strides[d] = stride;
        stride *= from->shape[d] > 0 ? from->shape[d] : 1;
    }
}

static int32_t
visit(void *ctx, const struct dlq_checkpoint_tensor *tensor, const char *name,
      struct dlq_error *err)
{
    struct loading *const l = ctx;
    struct dlq_param *const param = dlq_params_find(&l->layer->params, name);
    if (!param) {
        note_extra(l, tensor->name, name);
        return DLQ_OK;
    }
    if (!tensor->data && tensor->nbytes > 0) {
        return dlq_fail(err, DLQ_ESTATE,
                        "layer '%s': parameter '%s': tensor '%s' in %s: the checkpoint was opened "
                        "for its headers only",
                        l->layer->info.prefix, name, tensor->name, tensor->file);
    }
    int32_t rc = l->part < 0 ? check_mixture(l, tensor, name, err) : DLQ_OK;
    if (rc == DLQ_OK && tensor->nbytes > 0) {
        rc = dlq_checkpoint_verify(l->ckpt, tensor, err);
        if (rc != DLQ_OK) {
            dlq_fail_prefix(err, rc, "layer '%s': parameter '%s'", l->layer->info.prefix, name);
        }
    }
    if (rc == DLQ_OK) {
        struct dlq_tensor view;
        view_tensor(tensor, &view);
        rc = load(l->layer, param, l->part < 0 ? dlq_part_fused() : dlq_part_index(l->part), &view,
                  tensor->name, tensor->file, err);
    }
    return rc;
}

// Its pages are not needed any more, whether a parameter wanted it or not. Tensors that lie behind
// each other go together, for each call interrupts every core that has the pages mapped.
static int32_t
release(void *ctx, const struct dlq_checkpoint_tensor *tensor, const char *name,
        struct dlq_error *err)
{
    struct loading *const l = ctx;
    (void)name;
    (void)err;
    if (tensor->file == l->range.file &&
        tensor->file_offset == l->range.file_offset + l->range.nbytes) {
        l->range.nbytes += tensor->nbytes;
    } else {
        dlq_checkpoint_release(l->ckpt, &l->range);
        l->range = *tensor;
    }
    return DLQ_OK;
}

// Visit what stands at the layer's path and at its parts'.
static int32_t
walk(struct loading *l, dlq_layer_visit_fn fn, struct dlq_error *err)
{
    const struct dlq_layer *const layer = l->layer;
    l->part = -1;
    int32_t rc = dlq_layer_walk(l->ckpt, layer->info.prefix, fn, l, err);
    if (layer->named_parts) {
        for (l->part = 0; l->part < layer->info.n_parts && rc == DLQ_OK; ++l->part) {
            rc = dlq_layer_walk(l->ckpt, layer->parts[l->part].prefix, fn, l, err);
        }
    }
    return rc;
}

int32_t
dlq_linear_load_checkpoint(dlq_linear *layer, const dlq_checkpoint *ckpt, struct dlq_error *err)
{
    int32_t rc = check_state(layer, err);
    if (rc != DLQ_OK) {
        return rc;
    }
    if (!ckpt) {
        return dlq_fail(err, DLQ_EINVAL, "layer '%s': expected a checkpoint, found NULL",
                        layer->info.prefix);
    }
    struct loading l = {.layer = layer, .ckpt = ckpt};
    rc = walk(&l, visit, err);
    // Also after a failure: nothing may still read from the checkpoint when this returns.
    struct dlq_error late = DLQ_ERROR_INIT;
    const int32_t flushed = dlq_runtime_device_flush(layer->rt, layer->info.device.device, &late);
    (void)walk(&l, release, NULL);
    dlq_checkpoint_release(ckpt, &l.range);
    if (rc == DLQ_OK && flushed != DLQ_OK) {
        rc = dlq_fail_native(err, flushed, late.domain, late.native, "layer '%s': %s",
                             layer->info.prefix, late.msg);
    }
    if (rc == DLQ_OK && l.n_extra > 0) {
        dlq_runtime_log(layer->rt, DLQ_LOG_WARN,
                        "layer '%s' (%s): %d tensors that no parameter wants: %s",
                        layer->info.prefix, dlq_linear_method_name(layer), l.n_extra, l.extra);
    }
    return rc;
}

int32_t
dlq_linear_check_loaded(const dlq_linear *layer, struct dlq_error *err)
{
    return dlq_params_check(&layer->params, err);
}
