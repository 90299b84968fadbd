// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "alloc.h"
#include "error.h"
#include "linear_make.h"
#include "linear_walk.h"

#include <string.h>

struct collect {
    struct dlq_layer *layer;
    size_t capacity;
    int32_t part;
};

static int32_t
add(void *ctx, const struct dlq_checkpoint_tensor *tensor, const char *name, struct dlq_error *err)
{
    (void)err;
    struct collect *const c = ctx;
    struct dlq_layer *const layer = c->layer;
    const size_t n = (size_t)layer->info.n_evidence;
    struct dlq_evidence *const grown =
        dlq_grow(layer->alloc, layer->evidence, n, &c->capacity, n + 1, sizeof(*layer->evidence));
    if (!grown) {
        return DLQ_ENOMEM;
    }
    layer->evidence = grown;
    layer->evidence[n] = (struct dlq_evidence){
        .struct_size = DLQ_SIZE_UPTO(struct dlq_evidence, shape),
        .part = c->part,
        // The checkpoint may be closed before the layer is.
        .name = dlq_strdup(layer->alloc, name),
        .dtype = tensor->dtype,
        .ndim = tensor->ndim,
    };
    memcpy(layer->evidence[n].shape, tensor->shape, sizeof(tensor->shape));
    if (!layer->evidence[n].name) {
        return DLQ_ENOMEM;
    }
    ++layer->info.n_evidence;
    return DLQ_OK;
}

int32_t
dlq_layer_make_evidence(struct dlq_layer *layer, const dlq_checkpoint *ckpt, struct dlq_error *err)
{
    if (!ckpt) {
        return DLQ_OK;
    }
    struct collect c = {.layer = layer, .part = -1};
    int32_t rc = dlq_layer_walk(ckpt, layer->prefix, add, &c, err);
    for (c.part = 0; c.part < layer->info.n_parts && layer->named_parts && rc == DLQ_OK; ++c.part) {
        rc = dlq_layer_walk(ckpt, layer->parts[c.part].prefix, add, &c, err);
    }
    const size_t n = (size_t)layer->info.n_evidence;
    if (rc == DLQ_OK && n > 0) {
        layer->evidence_ptrs = dlq_calloc(layer->alloc, n, sizeof(*layer->evidence_ptrs));
        rc = layer->evidence_ptrs ? DLQ_OK : DLQ_ENOMEM;
    }
    if (rc != DLQ_OK) {
        return dlq_fail(err, rc, "layer '%s': no memory", layer->prefix);
    }
    for (size_t i = 0; i < n; ++i) {
        layer->evidence_ptrs[i] = &layer->evidence[i];
    }
    layer->info.evidence = layer->evidence_ptrs;
    return DLQ_OK;
}
