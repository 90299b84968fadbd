// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/// Made-up checkpoint tensors, and the rows of one product.

static bool
is_float(uint32_t dtype)
{
    return dtype == DLQ_F32 || dtype == DLQ_F16 || dtype == DLQ_BF16;
}

static bool
is_scale(const struct dlq_param_desc *desc)
{
    return strstr(desc->name, "scale") != NULL;
}

// Values in the range of real checkpoints: scales about 0.01, everything else about 1 or any code.
static void
fill_by_dtype(const struct dlq_param_desc *desc, struct dlq_tensor *t, size_t bytes,
              uint64_t *state)
{
    uint8_t *const p = t->data;
    if (is_float(t->dtype)) {
        const int64_t n = (int64_t)(bytes / rig_size(t->dtype));
        for (int64_t i = 0; i < n; i++) {
            rig_set(p, t->dtype, i,
                    is_scale(desc) ? rig_uniform(state, 0.004F, 0.02F)
                                   : rig_uniform(state, -0.5F, 0.5F));
        }
        return;
    }
    for (size_t i = 0; i < bytes; i++) {
        const uint8_t byte = (uint8_t)(rig_random(state) >> 33);
        switch (t->dtype) {
        case DLQ_F8_E4M3: // no NaN
            p[i] = (byte & 0x7f) == 0x7f ? (uint8_t)(byte ^ 1) : byte;
            break;
        case DLQ_F8_E8M0:
            p[i] = (uint8_t)(118 + byte % 8);
            break;
        case DLQ_I64: // shapes and the like: nothing that a plugin may rely on
            p[i] = 0;
            break;
        case DLQ_I32: // words are any bits; whole numbers are indices
            p[i] = desc->packed_dim >= 0 ? byte : 0;
            break;
        default:
            p[i] = byte;
        }
    }
}

static bool
add_tensor(struct rig_image *image, const struct check_case *c, const struct dlq_param_desc *desc,
           uint64_t *state, struct check_result *result)
{
    if (image->n == RIG_MAX_TENSORS || strlen(desc->name) >= sizeof(image->names[0])) {
        return rig_skip(result, "%s: more parameters, or longer names, than this tool handles",
                        c->name);
    }
    struct dlq_tensor *const t = &image->tensors[image->n];
    *t = (struct dlq_tensor){
        .struct_size = DLQ_SIZE_UPTO(struct dlq_tensor, strides),
        .dtype = desc->dtype,
        .device = {DLQ_DEVICE_CPU, 0},
        .ndim = desc->ndim,
    };
    int64_t count = 1;
    for (int32_t i = desc->ndim - 1; i >= 0; i--) {
        t->shape[i] = desc->shape[i];
        t->strides[i] = count;
        count *= desc->shape[i];
    }
    const size_t bytes = (size_t)count * DLQ_DTYPE_BITS(t->dtype) / 8;
    t->data = malloc(bytes + 1);
    if (!t->data) {
        return rig_skip(result, "no memory");
    }
    snprintf(image->names[image->n], sizeof(image->names[0]), "%s", desc->name);
    image->n++;
    if (!c->fill || c->fill(desc, t, rig_random, state) == 0) {
        fill_by_dtype(desc, t, bytes, state);
    }
    return true;
}

bool
rig_image_make(struct rig *rig, const struct check_case *c, const struct rig_spec *spec,
               struct rig_image *image, struct check_result *result)
{
    memset(image, 0, sizeof(*image));
    struct rig_spec whole = *spec;
    whole.kind = DLQ_REPLICATED;
    whole.rank = 0;
    whole.size = 1;
    dlq_linear *layer = NULL;
    struct dlq_error err = DLQ_ERROR_INIT;
    if (rig_layer_create(rig, &whole, &layer, &err) != DLQ_OK) {
        return rig_fail(result, "%s: the layer of the case cannot be made: %s", c->name, err.msg);
    }
    uint64_t state = rig->subject->seed;
    const struct dlq_param_desc *desc = NULL;
    struct dlq_tensor view = {.struct_size = sizeof(view)};
    bool ok = true;
    for (size_t i = 0; ok && dlq_linear_param_at(layer, i, &desc, &view, NULL) == DLQ_OK; i++) {
        ok = (desc->flags & DLQ_PARAM_OPTIONAL) != 0 || add_tensor(image, c, desc, &state, result);
    }
    dlq_linear_destroy(layer);
    if (!ok) {
        rig_image_free(image);
    }
    return ok;
}

void
rig_image_free(struct rig_image *image)
{
    for (size_t i = 0; i < image->n; i++) {
        free(image->tensors[i].data);
    }
    image->n = 0;
}

float *
rig_image_floats(const struct rig_image *image, const char *name)
{
    for (size_t i = 0; i < image->n; i++) {
        const struct dlq_tensor *const t = &image->tensors[i];
        if (strcmp(image->names[i], name) == 0 && is_float(t->dtype)) {
            const int64_t n = t->ndim > 0 ? t->shape[0] * t->strides[0] : 1;
            float *const out = malloc((size_t)n * sizeof(*out));
            for (int64_t j = 0; out && j < n; j++) {
                out[j] = rig_get(t->data, t->dtype, j);
            }
            return out;
        }
    }
    return NULL;
}

enum { GUARD = 256, POISON = 0xA5 };

static size_t
y_bytes(const struct rig_io *io)
{
    return (size_t)(io->m * io->y_stride) * rig_size(io->dtype);
}

void *
rig_io_y(const struct rig_io *io, int64_t row)
{
    return io->y + GUARD + (size_t)(row * io->y_stride) * rig_size(io->dtype);
}

bool
rig_io_make(struct rig_io *io, const dlq_linear *layer, int64_t m, bool padded, uint64_t seed)
{
    const struct dlq_layer_info *const info = dlq_linear_info(layer);
    *io = (struct rig_io){
        .m = m,
        .k = info->input_size_per_partition,
        .n = info->output_size_per_partition,
        .dtype = info->act_dtype,
        .workspace_size = dlq_linear_workspace_size(layer, m),
    };
    io->x_stride = io->k + (padded ? 3 : 0);
    io->y_stride = io->n + (padded ? 5 : 0);
    io->x = malloc((size_t)(m * io->x_stride) * rig_size(io->dtype) + 1);
    io->y = malloc(y_bytes(io) + 2 * GUARD);
    const size_t workspace = (io->workspace_size + GUARD + 255) / 256 * 256;
    io->workspace = aligned_alloc(256, workspace);
    if (!io->x || !io->y || !io->workspace) {
        rig_io_free(io);
        return false;
    }
    uint64_t state = seed;
    memset(io->x, 0xFF, (size_t)(m * io->x_stride) * rig_size(io->dtype)); // NaN in every dtype
    for (int64_t row = 0; row < m; row++) {
        for (int64_t k = 0; k < io->k; k++) {
            const float outlier = rig_random(&state) % 100 == 0 ? 20.0F : 1.0F;
            rig_set(io->x, io->dtype, row * io->x_stride + k,
                    outlier * rig_uniform(&state, -1.0F, 1.0F));
        }
    }
    return true;
}

void
rig_io_free(struct rig_io *io)
{
    free(io->x);
    free(io->y);
    free(io->workspace);
    memset(io, 0, sizeof(*io));
}

// First byte of [p, p + n) that is not the poison; n when all are.
static size_t
first_changed(const uint8_t *p, size_t n)
{
    size_t i = 0;
    while (i < n && p[i] == POISON) {
        i++;
    }
    return i;
}

static bool
check_guard_bytes(const struct rig_io *io, struct check_result *result)
{
    const size_t element = rig_size(io->dtype);
    const size_t gap = (size_t)(io->y_stride - io->n) * element;
    if (first_changed(io->y, GUARD) < GUARD) {
        return rig_fail(result, "apply wrote before y");
    }
    if (first_changed(io->y + GUARD + y_bytes(io), GUARD) < GUARD) {
        return rig_fail(result, "apply wrote behind y");
    }
    for (int64_t row = 0; row < io->m; row++) {
        if (first_changed((uint8_t *)rig_io_y(io, row) + (size_t)io->n * element, gap) < gap) {
            return rig_fail(result, "apply wrote between row %lld and the next one of y",
                            (long long)row);
        }
    }
    if (first_changed(io->workspace + io->workspace_size, GUARD) < GUARD) {
        return rig_fail(result, "apply wrote behind the workspace of %zu bytes",
                        io->workspace_size);
    }
    return true;
}

bool
rig_io_apply(struct rig_io *io, dlq_linear *layer, struct check_result *result)
{
    memset(io->y, POISON, y_bytes(io) + 2 * GUARD);
    memset(io->workspace, 0xFF, io->workspace_size); // NaN in every float format
    memset(io->workspace + io->workspace_size, POISON, GUARD);
    const struct dlq_linear_io call = {
        .struct_size = sizeof(call),
        .m = io->m,
        .x = io->x,
        .x_stride = io->x_stride,
        .y = io->y + GUARD,
        .y_stride = io->y_stride,
        .workspace = io->workspace,
        .workspace_size = io->workspace_size,
    };
    struct dlq_error err = DLQ_ERROR_INIT;
    const int32_t status = dlq_linear_apply(layer, &call, &err);
    if (status != DLQ_OK) {
        return rig_fail(result, "apply failed with %d: %s", (int)status, err.msg);
    }
    return check_guard_bytes(io, result);
}

bool
rig_trial_make(struct rig *rig, const struct check_case *c, const struct rig_spec *spec, int64_t m,
               bool padded, struct rig_trial *out, struct check_result *result)
{
    struct dlq_error err = DLQ_ERROR_INIT;
    if (!rig_image_make(rig, c, spec, &out->image, result)) {
        return false;
    }
    if (rig_layer_make(rig, spec, &out->image, &out->layer, &err) != DLQ_OK) {
        rig_image_free(&out->image);
        return rig_fail(result, "%s: %s", c->name, err.msg);
    }
    if (!rig_io_make(&out->io, out->layer, m, padded, rig->subject->seed)) {
        dlq_linear_destroy(out->layer);
        rig_image_free(&out->image);
        return rig_fail(result, "%s: no memory for rows of x and y", c->name);
    }
    return true;
}

void
rig_trial_free(struct rig_trial *trial)
{
    rig_io_free(&trial->io);
    dlq_linear_destroy(trial->layer);
    rig_image_free(&trial->image);
}
