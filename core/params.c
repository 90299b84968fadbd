// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "params.h"

#include "alloc.h"
#include "error.h"
#include "known.h"
#include "params_internal.h"
#include "params_shape.h"
#include "shard.h"

#include <stdio.h>
#include <string.h>

void
dlq_params_init(struct dlq_params *params, const struct dlq_layer_info *info,
                const struct dlq_allocator *alloc, const struct dlq_param_store *store)
{
    *params = (struct dlq_params){.info = info, .alloc = alloc, .plan = !store};
    if (store) {
        params->store = *store;
    }
}

static void
free_storage(struct dlq_params *params, struct dlq_param *param)
{
    if (param->view.data) {
        params->store.free(params->store.ctx, param->view.data);
        param->view.data = NULL;
    }
    param->nbytes = 0;
    dlq_free(params->alloc, param->shared);
    param->shared = NULL;
}

static void
free_param(struct dlq_params *params, struct dlq_param *param)
{
    if (param) {
        free_storage(params, param);
        dlq_free(params->alloc, (char *)(uintptr_t)param->desc.name);
        dlq_free(params->alloc, param->written);
        dlq_free(params->alloc, param);
    }
}

void
dlq_params_clear(struct dlq_params *params)
{
    for (size_t i = 0; i < params->count; ++i) {
        free_param(params, params->items[i]);
    }
    dlq_free(params->alloc, params->items);
    params->items = NULL;
    params->count = 0;
    params->capacity = 0;
}

// The contiguous view of a parameter as declared, still without data.
static void
set_view(struct dlq_tensor *view, const struct dlq_param_desc *desc, struct dlq_device device)
{
    *view = (struct dlq_tensor){
        .struct_size = DLQ_SIZE_UPTO(struct dlq_tensor, strides),
        .dtype = desc->dtype,
        .device = device,
        .ndim = desc->ndim,
    };
    int64_t stride = 1;
    for (int32_t d = desc->ndim - 1; d >= 0; --d) {
        view->shape[d] = desc->shape[d];
        view->strides[d] = stride;
        stride *= desc->shape[d];
    }
}

static uint64_t
view_bytes(const struct dlq_tensor *view)
{
    uint64_t bits = DLQ_DTYPE_BITS(view->dtype);
    for (int32_t d = 0; d < view->ndim; ++d) {
        bits *= (uint64_t)view->shape[d];
    }
    return (bits + 7) / 8;
}

int32_t
dlq_params_allocate(struct dlq_params *params, struct dlq_param *param, struct dlq_error *err)
{
    const uint64_t size = view_bytes(&param->view);
    param->view.data = params->store.alloc(params->store.ctx, size, DLQ_PARAM_ALIGN);
    if (!param->view.data) {
        return dlq_fail(err, DLQ_ENOMEM,
                        "layer '%s': parameter '%s': %llu bytes of device memory could not be had",
                        params->info->prefix, param->desc.name, (unsigned long long)size);
    }
    param->nbytes = size;
    return DLQ_OK;
}

static int32_t
append(struct dlq_params *params, struct dlq_param *param)
{
    void *const items = dlq_grow(params->alloc, params->items, params->count, &params->capacity,
                                 params->count + 1, sizeof(*params->items));
    if (!items) {
        return DLQ_ENOMEM;
    }
    params->items = items;
    params->items[params->count++] = param;
    return DLQ_OK;
}

int32_t
dlq_params_declare(struct dlq_params *params, const struct dlq_param_desc *desc,
                   const struct dlq_part *const *parts, struct dlq_error *err)
{
    const struct dlq_layer_info *const info = params->info;
    struct dlq_param_desc norm;
    int32_t rc = dlq_param_normalize(info, desc, &norm, err);
    if (rc != DLQ_OK) {
        return rc;
    }
    if (dlq_params_find(params, norm.name)) {
        return dlq_fail(err, DLQ_EEXIST, "layer '%s': parameter '%s' is declared twice",
                        info->prefix, norm.name);
    }
    struct dlq_param *const param = dlq_calloc(params->alloc, 1, sizeof(*param));
    if (!param) {
        goto out_of_memory;
    }
    param->desc = norm;
    param->desc.name = dlq_strdup(params->alloc, norm.name);
    param->written = dlq_calloc(params->alloc, (size_t)info->n_parts, 1);
    param->parts = parts ? parts : info->parts;
    if (!param->desc.name || !param->written) {
        goto out_of_memory;
    }
    set_view(&param->view, &param->desc, info->device.device);
    rc = dlq_param_check_shape(info, param, err);
    const bool lazy =
        (norm.flags & (DLQ_PARAM_OPTIONAL | DLQ_PARAM_SENTINEL)) == DLQ_PARAM_OPTIONAL;
    if (rc == DLQ_OK && !params->plan && !lazy) {
        rc = dlq_params_allocate(params, param, err);
    }
    if (rc == DLQ_OK && !params->plan && (norm.flags & DLQ_PARAM_SENTINEL)) {
        rc = dlq_params_fill(params, param, err);
    }
    if (rc == DLQ_OK && append(params, param) != DLQ_OK) {
        goto out_of_memory;
    }
    if (rc != DLQ_OK) {
        free_param(params, param);
    }
    return rc;

out_of_memory:
    free_param(params, param);
    return dlq_fail(err, DLQ_ENOMEM, "layer '%s': no memory for parameter '%s'", info->prefix,
                    norm.name);
}

struct dlq_param *
dlq_params_find(const struct dlq_params *params, const char *name)
{
    for (size_t i = 0; i < params->count; ++i) {
        if (strcmp(params->items[i]->desc.name, name) == 0) {
            return params->items[i];
        }
    }
    return NULL;
}

static bool
is_written(const struct dlq_params *params, const struct dlq_param *param)
{
    for (int32_t i = 0; i < params->info->n_parts; ++i) {
        if (param->written[i]) {
            return true;
        }
    }
    return false;
}

int32_t
dlq_params_get(const struct dlq_params *params, const char *name, struct dlq_tensor *out,
               struct dlq_error *err)
{
    const struct dlq_param *const param = dlq_params_find(params, name);
    if (!param || !param->view.data) {
        return dlq_fail(err, DLQ_ENOTFOUND, "layer '%s': parameter '%s' %s", params->info->prefix,
                        name,
                        !param                      ? "was never declared"
                        : is_written(params, param) ? "was dropped"
                                                    : "is optional and was not loaded");
    }
    // The caller may know a shorter struct, and need not say so.
    memcpy(out, &param->view, param->view.struct_size);
    return DLQ_OK;
}

static int32_t
check_replacement(const struct dlq_params *params, const struct dlq_param *param,
                  const struct dlq_tensor *tensor, struct dlq_error *err)
{
    const struct dlq_device device = params->info->device.device;
    bool ok = tensor->struct_size >= DLQ_SIZE_UPTO(struct dlq_tensor, strides) && tensor->data &&
              tensor->device.kind == device.kind && tensor->device.index == device.index &&
              tensor->ndim >= 0 && tensor->ndim <= DLQ_MAX_DIMS && DLQ_DTYPE_BITS(tensor->dtype);
    int64_t bits = DLQ_DTYPE_BITS(tensor->dtype);
    for (int32_t d = 0; ok && d < tensor->ndim; ++d) {
        ok = tensor->shape[d] >= 0 && dlq_shard_mul(bits, tensor->shape[d], &bits) == DLQ_OK;
    }
    if (!ok) {
        return dlq_fail(err, DLQ_EPLUGIN,
                        "layer '%s': parameter '%s': the replacement is no tensor in memory of "
                        "the layer's device",
                        params->info->prefix, param->desc.name);
    }
    return DLQ_OK;
}

int32_t
dlq_params_replace(struct dlq_params *params, const char *name, const struct dlq_tensor *tensor,
                   struct dlq_error *err)
{
    struct dlq_param *const param = dlq_params_find(params, name);
    if (!param) {
        return dlq_fail(err, DLQ_ENOTFOUND, "layer '%s': parameter '%s' was never declared",
                        params->info->prefix, name);
    }
    if (!tensor) {
        free_storage(params, param);
        return DLQ_OK;
    }
    const int32_t rc = check_replacement(params, param, tensor, err);
    if (rc != DLQ_OK) {
        return rc;
    }
    // The same memory under another shape is a repack in place.
    if (param->view.data != tensor->data) {
        free_storage(params, param);
    }
    dlq_copy_known(&param->view, sizeof(param->view), tensor);
    param->view.struct_size = DLQ_SIZE_UPTO(struct dlq_tensor, strides);
    param->nbytes = view_bytes(&param->view);
    return DLQ_OK;
}

// Append to a text that stays terminated; what does not fit is lost.
static void
add_text(char *buf, size_t size, const char *text)
{
    const size_t n = strlen(buf);
    snprintf(buf + n, size - n, "%s", text);
}

// Lists the parts that are missing, all of them being nothing but the name.
static void
add_missing(const struct dlq_params *params, const struct dlq_param *param, bool any, char *buf,
            size_t size)
{
    add_text(buf, size, buf[0] ? ", '" : "'");
    add_text(buf, size, param->desc.name);
    add_text(buf, size, "'");
    if (!any) {
        return;
    }
    const char *lead = " (part ";
    for (int32_t i = 0; i < params->info->n_parts; ++i) {
        if (!param->written[i]) {
            add_text(buf, size, lead);
            add_text(buf, size, params->info->parts[i]->tag);
            lead = ", ";
        }
    }
    add_text(buf, size, ")");
}

int32_t
dlq_params_check(const struct dlq_params *params, struct dlq_error *err)
{
    char text[640] = "";
    for (size_t i = 0; i < params->count; ++i) {
        const struct dlq_param *const param = params->items[i];
        const bool any = is_written(params, param);
        bool all = true;
        for (int32_t p = 0; p < params->info->n_parts; ++p) {
            all = all && param->written[p];
        }
        if (!all && (any || !(param->desc.flags & DLQ_PARAM_OPTIONAL))) {
            add_missing(params, param, any, text, sizeof(text));
        }
    }
    if (text[0] == '\0') {
        return DLQ_OK;
    }
    return dlq_fail(err, DLQ_EINCOMPLETE, "layer '%s': not loaded: %s", params->info->prefix, text);
}

uint64_t
dlq_params_bytes(const struct dlq_params *params)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < params->count; ++i) {
        sum += params->items[i]->nbytes;
    }
    return sum;
}
