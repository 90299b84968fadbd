// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "alloc.h"
#include "error.h"
#include "float16.h"
#include "known.h"
#include "params_bits.h"
#include "params_copy.h"
#include "params_internal.h"
#include "params_shape.h"
#include "shard.h"

#include <stdio.h>
#include <string.h>

// One tensor on its way into one parameter.
struct load {
    struct dlq_params *params;
    struct dlq_param *param;
    const struct dlq_param_source *source;
    struct dlq_tensor tensor; ///< Shape in the parameter's number of dimensions
    char who[384];            ///< Layer, parameter, tensor and file, for errors
};

static void
name_load(struct load *load)
{
    const struct dlq_param_source *const s = load->source;
    snprintf(load->who, sizeof(load->who), "layer '%s': parameter '%s': tensor '%s'%s%s",
             load->params->info->prefix, load->param->desc.name, s->name, s->file ? " in " : "",
             s->file ? s->file : "");
}

// Whose fault a tensor is that does not fit: the file's, or the caller's.
static uint32_t
domain_of(const struct load *load)
{
    return load->source->file ? DLQ_DOMAIN_CHECKPOINT : DLQ_DOMAIN_CORE;
}

static void
parts_text(const struct load *load, char *buf, size_t size)
{
    const struct dlq_layer_info *const info = load->params->info;
    buf[0] = '\0';
    if (info->n_parts > 1) {
        snprintf(
            buf, size, " for part%s %s%s%s", load->source->first < load->source->last ? "s" : "",
            info->parts[load->source->first]->tag,
            load->source->first < load->source->last ? " to " : "",
            load->source->first < load->source->last ? info->parts[load->source->last]->tag : "");
    }
}

static int32_t
check_source(const struct load *load, struct dlq_error *err)
{
    const struct dlq_tensor *const t = load->source->tensor;
    int64_t expected = 1;
    bool ok = t->ndim >= 0 && t->ndim <= DLQ_MAX_DIMS;
    bool empty = false;
    for (int32_t d = ok ? t->ndim - 1 : -1; d >= 0; --d) {
        ok = ok && t->shape[d] >= 0 && (t->strides[d] == expected || t->shape[d] <= 1);
        empty = empty || t->shape[d] == 0;
        ok = ok && dlq_shard_mul(expected, t->shape[d] ? t->shape[d] : 1, &expected) == DLQ_OK;
    }
    if (!ok || (!t->data && !empty) || t->device.kind > DLQ_DEVICE_CPU) {
        return dlq_fail(err, DLQ_EINVAL, "%s: expected row-major data in host memory", load->who);
    }
    const struct dlq_param_desc *const d = &load->param->desc;
    const bool cast = (d->flags & DLQ_PARAM_CAST) && dlq_cast_supported(d->dtype, t->dtype);
    if (t->dtype != d->dtype && !cast) {
        return dlq_fail_native(err, DLQ_EDTYPE, domain_of(load), 0, "%s: expected %s%s, found %s",
                               load->who, dlq_param_dtype_text(d->dtype),
                               (d->flags & DLQ_PARAM_CAST) ? " or what casts to it" : "",
                               dlq_param_dtype_text(t->dtype));
    }
    return DLQ_OK;
}

static int32_t
check_unwritten(const struct load *load, struct dlq_error *err)
{
    if (load->param->desc.flags & DLQ_PARAM_LAST_WRITE_OK) {
        return DLQ_OK;
    }
    for (int32_t i = load->source->first; i <= load->source->last; ++i) {
        if (load->param->written[i]) {
            char parts[80];
            parts_text(load, parts, sizeof(parts));
            return dlq_fail_native(err, DLQ_EEXIST, domain_of(load), 0,
                                   "%s%s: part '%s' is loaded already", load->who, parts,
                                   load->params->info->parts[i]->tag);
        }
    }
    return DLQ_OK;
}

// The tensor as the parameter counts dimensions, where a flag or a slot allows another form.
static void
shape_source(struct load *load)
{
    const struct dlq_param_desc *const d = &load->param->desc;
    struct dlq_tensor *const t = &load->tensor;
    dlq_copy_known(t, sizeof(*t), load->source->tensor);
    const bool lift = d->slot_count > 0
                          ? t->ndim == d->ndim - 1
                          : t->ndim == 0 && d->ndim == 1 && (d->flags & DLQ_PARAM_ACCEPT_0D);
    if (lift) {
        memmove(t->shape + 1, t->shape, (size_t)t->ndim * sizeof(*t->shape));
        t->shape[0] = 1;
        ++t->ndim;
    } else if (t->ndim == 1 && d->ndim == 2 && d->shape[1] == 1 &&
               (d->flags & DLQ_PARAM_ACCEPT_1D)) {
        t->shape[1] = 1;
        t->ndim = 2;
    }
}

// A box that takes the tensor whole, to be narrowed along the dimensions that are cut.
static void
whole_box(const struct dlq_param_desc *d, struct dlq_param_box *box)
{
    *box = (struct dlq_param_box){.ndim = d->ndim};
    for (int32_t i = 0; i < d->ndim; ++i) {
        box->dst_shape[i] = d->shape[i];
        box->src_shape[i] = d->shape[i];
        box->len[i] = d->shape[i];
        box->repeat[i] = 1;
    }
}

static void
narrow(struct dlq_param_box *box, int32_t dim, const struct dlq_param_run *run, int64_t base,
       int64_t extent)
{
    box->dst[dim] = run->dst;
    box->src[dim] = run->src;
    box->base[dim] = base;
    box->len[dim] = run->len;
    box->repeat[dim] = run->repeat;
    box->src_shape[dim] = extent;
}

// Where part `part` begins in a tensor that holds the parts from `first` on, in stored elements. A
// part that another follows ends between words, its declaration being refused otherwise, or words
// are not what is counted. It may end inside a block, and then has a block of its own.
static int32_t
disk_offset(const struct load *load, int32_t part, int64_t *base, struct dlq_error *err)
{
    const struct dlq_layer_info *const info = load->params->info;
    *base = 0;
    for (int32_t i = load->source->first; i < part; ++i) {
        struct dlq_param_run run;
        const int32_t rc = dlq_param_output_run(info, load->param, i, &run, err);
        if (rc != DLQ_OK) {
            return rc;
        }
        *base += run.disk;
    }
    return DLQ_OK;
}

// Where words may be cut, the box has counted elements so far.
static int32_t
place_words(const struct load *load, struct dlq_param_box *box, struct dlq_error *err)
{
    struct dlq_param *const param = load->param;
    if (!dlq_param_bits_along(&param->desc, param->desc.output_dim) &&
        !dlq_param_bits_along(&param->desc, param->desc.input_dim)) {
        return DLQ_OK;
    }
    const int32_t rc = dlq_param_bits_place(load->params, param, box);
    return rc == DLQ_OK ? rc
                        : dlq_fail(err, rc, "%s: no memory for words that parts share", load->who);
}

static int32_t
make_box(const struct load *load, int32_t part, struct dlq_param_box *box, struct dlq_error *err)
{
    const struct dlq_layer_info *const info = load->params->info;
    const struct dlq_param_desc *const d = &load->param->desc;
    struct dlq_param_run run;
    whole_box(d, box);
    if (d->slot_count > 0) {
        box->dst[0] = part;
        box->len[0] = 1;
        box->src_shape[0] = 1;
    }
    if (d->output_dim >= 0) {
        struct dlq_param_run last;
        int64_t base = 0;
        int64_t last_base = 0;
        int32_t rc = disk_offset(load, load->source->last, &last_base, err);
        if (rc == DLQ_OK) {
            rc = dlq_param_output_run(info, load->param, load->source->last, &last, err);
        }
        if (rc == DLQ_OK) {
            rc = disk_offset(load, part, &base, err);
        }
        if (rc == DLQ_OK) {
            rc = dlq_param_output_run(info, load->param, part, &run, err);
        }
        if (rc != DLQ_OK) {
            return rc;
        }
        narrow(box, d->output_dim, &run, base, last_base + last.disk);
    }
    if (d->input_dim >= 0) {
        const int32_t rc = dlq_param_input_run(info, load->param, &run, err);
        if (rc != DLQ_OK) {
            return rc;
        }
        narrow(box, d->input_dim, &run, 0, run.disk);
    }
    return place_words(load, box, err);
}

static int32_t
check_shape(const struct load *load, const struct dlq_param_box *box, struct dlq_error *err)
{
    const struct dlq_layer_info *const info = load->params->info;
    const struct dlq_tensor *const t = load->source->tensor;
    if (load->tensor.ndim == box->ndim &&
        memcmp(load->tensor.shape, box->src_shape, (size_t)box->ndim * sizeof(*t->shape)) == 0) {
        return DLQ_OK;
    }
    char expected[128];
    char found[128];
    char parts[80];
    char slice[160] = "";
    size_t n = 0;
    for (int32_t d = 0; d < box->ndim && n < sizeof(slice); ++d) {
        const bool words = box->bits.used && d == box->bits.dim;
        const int64_t first =
            words ? box->bits.src_first : box->base[d] + box->src[d] / box->repeat[d];
        const int64_t end = box->src[d] + (box->len[d] ? box->len[d] - 1 : 0);
        const int64_t last = words ? box->bits.src_last : box->base[d] + end / box->repeat[d];
        n += (size_t)snprintf(slice + n, sizeof(slice) - n, "%s%lld:%lld", d ? ", " : "",
                              (long long)first, (long long)last + 1);
    }
    parts_text(load, parts, sizeof(parts));
    return dlq_fail_native(
        err, DLQ_ESHAPE, domain_of(load), 0,
        "%s%s: expected %s %s, found %s %s; the slice for rank %d of %d is [%s]", load->who, parts,
        dlq_param_dtype_text(load->param->desc.dtype),
        dlq_param_shape_text(box->ndim, box->src_shape, expected, sizeof(expected)),
        dlq_param_dtype_text(t->dtype),
        dlq_param_shape_text(t->ndim, t->shape, found, sizeof(found)), info->tp_rank, info->tp_size,
        slice);
}

static int32_t
fail_copy(const struct load *load, const struct dlq_param_copy *copy, int32_t rc,
          struct dlq_error *err)
{
    char index[128];
    if (copy->refused) {
        return dlq_fail_native(
            err, DLQ_EFORMAT, domain_of(load), 0, "%s: element %s is not finite as %s", load->who,
            dlq_param_shape_text(load->param->desc.ndim, copy->bad_index, index, sizeof(index)),
            dlq_param_dtype_text(copy->dst_dtype));
    }
    if (copy->unfit) {
        return dlq_fail_native(err, rc, domain_of(load), 0, "%s: a value of %s does not fit %s",
                               load->who, dlq_param_dtype_text(copy->src_dtype),
                               dlq_param_dtype_text(copy->dst_dtype));
    }
    return rc == DLQ_ENOMEM ? dlq_fail(err, rc, "%s: no memory for a buffer", load->who)
                            : dlq_fail_prefix(err, rc, "%s", load->who);
}

// A replicated tensor may come once a part; all must be the same.
static int32_t
load_replicated(const struct load *load, struct dlq_param_copy *copy,
                const struct dlq_param_box *box, struct dlq_error *err)
{
    const struct dlq_layer_info *const info = load->params->info;
    const bool check = info->n_parts > 1 && !(load->param->desc.flags & DLQ_PARAM_LAST_WRITE_OK);
    uint64_t digest = 0xCBF29CE484222325u;
    int32_t before = 0;
    while (before < info->n_parts && !load->param->written[before]) {
        ++before;
    }
    const bool again = check && before < info->n_parts;
    if (check) {
        copy->digest = &digest;
    }
    if (again) {
        copy->dst = NULL;
    }
    const int32_t rc = dlq_param_copy_box(copy, box, err);
    if (rc != DLQ_OK) {
        return fail_copy(load, copy, rc, err);
    }
    if (again && digest != load->param->digest) {
        char parts[80];
        parts_text(load, parts, sizeof(parts));
        return dlq_fail_native(
            err, DLQ_EFORMAT, domain_of(load), 0,
            "%s%s: expected the values of part '%s', which all parts share, found "
            "others",
            load->who, parts, info->parts[before]->tag);
    }
    load->param->digest = digest;
    return DLQ_OK;
}

static int32_t
load_parts(const struct load *load, struct dlq_error *err)
{
    const struct dlq_param_desc *const d = &load->param->desc;
    struct dlq_param_copy copy = {
        .store = &load->params->store,
        .alloc = load->params->alloc,
        .dst = load->param->view.data,
        .src = load->source->tensor->data,
        .dst_dtype = d->dtype,
        .src_dtype = load->source->tensor->dtype,
        .stays = load->source->stays,
        .finite = (d->flags & DLQ_PARAM_FINITE) != 0,
    };
    const bool replicated = (d->flags & DLQ_PARAM_REPLICATED) != 0;
    // Without outputs to place, all parts are one and the same copy.
    const int32_t last = replicated ? load->source->first : load->source->last;
    for (int32_t part = load->source->first; part <= last; ++part) {
        struct dlq_param_box box;
        int32_t rc = make_box(load, part, &box, err);
        if (rc == DLQ_OK) {
            rc = check_shape(load, &box, err);
        }
        if (rc != DLQ_OK) {
            return rc;
        }
        if (replicated) {
            return load_replicated(load, &copy, &box, err);
        }
        rc = dlq_param_copy_box(&copy, &box, err);
        if (rc != DLQ_OK) {
            return fail_copy(load, &copy, rc, err);
        }
    }
    return DLQ_OK;
}

int32_t
dlq_params_load(struct dlq_params *params, struct dlq_param *param,
                const struct dlq_param_source *source, struct dlq_error *err)
{
    struct load load = {.params = params, .param = param, .source = source};
    name_load(&load);
    if (params->plan) {
        return dlq_fail(err, DLQ_ESTATE, "%s: a layer made to plan holds no data", load.who);
    }
    int32_t rc = check_source(&load, err);
    if (rc == DLQ_OK) {
        rc = check_unwritten(&load, err);
    }
    if (rc == DLQ_OK && !param->view.data) {
        rc = dlq_params_allocate(params, param, err);
    }
    if (rc == DLQ_OK) {
        memset(param->written + source->first, 0, (size_t)(source->last - source->first) + 1);
        shape_source(&load);
        rc = load_parts(&load, err);
    }
    if (rc == DLQ_OK) {
        memset(param->written + source->first, 1, (size_t)(source->last - source->first) + 1);
        dlq_param_bits_release(params, param);
    }
    return rc;
}

int32_t
dlq_params_fill(struct dlq_params *params, struct dlq_param *param, struct dlq_error *err)
{
    int64_t count = 1;
    for (int32_t d = 0; d < param->desc.ndim; ++d) {
        count *= param->desc.shape[d];
    }
    const int32_t rc = dlq_param_fill(&params->store, params->alloc, param->view.data,
                                      param->desc.dtype, count, param->desc.fill, err);
    if (rc == DLQ_ENOMEM || rc == DLQ_EDTYPE || rc == DLQ_EOVERFLOW) {
        return dlq_fail(err, rc, "layer '%s': parameter '%s': %g cannot be stored as %s",
                        params->info->prefix, param->desc.name, param->desc.fill,
                        dlq_param_dtype_text(param->desc.dtype));
    }
    return rc;
}
