// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "error.h"
#include "linear_split.h"

// Scratch begins at multiples of this, the method's too.
#define WORKSPACE_ALIGN 256

// Scratch of one call, in this order, each piece aligned:
//     [ method's own ][ y of this rank, contiguous ][ gathered: y of rank 0, y of rank 1, ... ]
//     [ statistics of this rank ][ statistics of all ranks ][ sums ]
// The second is there when the ranks talk, the third when they gather, the others when a row layer
// is split by its method's extension.
struct layout {
    size_t local;     ///< Where y of this rank begins
    size_t gathered;  ///< Where the gathered y begins
    size_t stats;     ///< Where the statistics of this rank begin
    size_t all_stats; ///< Where those of all ranks begin
    size_t sums;      ///< Where the sums begin
    size_t size;      ///< All of it; SIZE_MAX when it overflows
};

static bool
gathers(const struct dlq_layer *layer)
{
    return (layer->flags & DLQ_LINEAR_GATHER_OUTPUT) && layer->info.tp_size > 1;
}

static size_t
add_piece(size_t at, int64_t m, int64_t columns, size_t elem_bytes)
{
    size_t bytes;
    if (at == SIZE_MAX || __builtin_mul_overflow((size_t)m, (size_t)columns, &bytes) ||
        __builtin_mul_overflow(bytes, elem_bytes, &bytes) ||
        __builtin_add_overflow(bytes, at, &bytes) || bytes > SIZE_MAX - WORKSPACE_ALIGN) {
        return SIZE_MAX;
    }
    return (bytes + WORKSPACE_ALIGN - 1) & ~(size_t)(WORKSPACE_ALIGN - 1);
}

static struct layout
lay_out(const struct dlq_layer *layer, int64_t m)
{
    const struct dlq_layer_info *const info = &layer->info;
    size_t own = layer->ops->workspace_size ? layer->ops->workspace_size(layer->method, m) : 0;
    if (layer->split) {
        // A call that is told not to sum runs apply() all the same.
        const size_t steps = layer->split->workspace_size(layer->method, m, info->tp_size);
        own = own > steps ? own : steps;
    }
    struct layout l = {.size = own};
    if (gathers(layer) || dlq_layer_reduces(layer)) {
        l.local = own > SIZE_MAX - WORKSPACE_ALIGN
                      ? SIZE_MAX
                      : (own + WORKSPACE_ALIGN - 1) & ~(size_t)(WORKSPACE_ALIGN - 1);
        l.gathered = add_piece(l.local, m, info->output_size_per_partition, layer->elem_bytes);
        l.size = gathers(layer)
                     ? add_piece(l.gathered, m, info->ckpt_output_size, layer->elem_bytes)
                     : l.gathered;
    }
    if (layer->split) {
        const int64_t n_stats = layer->split_wants.n_stats;
        l.stats = l.size;
        l.all_stats = add_piece(l.stats, m, n_stats, sizeof(float));
        l.sums = add_piece(l.all_stats, m, n_stats * info->tp_size, sizeof(float));
        l.size = layer->split_wants.sum_dtype == DLQ_DTYPE_NONE
                     ? l.sums
                     : add_piece(l.sums, m, info->output_size_per_partition,
                                 DLQ_DTYPE_BITS(layer->split_wants.sum_dtype) / 8);
    }
    return l;
}

size_t
dlq_linear_workspace_size(const dlq_linear *layer, int64_t max_m)
{
    return max_m > 0 ? lay_out(layer, max_m).size : 0;
}

int64_t
dlq_linear_y_size(const dlq_linear *layer)
{
    return layer->flags & DLQ_LINEAR_GATHER_OUTPUT ? layer->info.ckpt_output_size
                                                   : layer->info.output_size_per_partition;
}

int64_t
dlq_linear_x_size(const dlq_linear *layer)
{
    return layer->flags & DLQ_LINEAR_INPUT_IS_FULL ? layer->info.input_size
                                                   : layer->info.input_size_per_partition;
}

static int32_t
check_io(const struct dlq_layer *layer, const struct dlq_linear_io *io, const struct layout *l,
         struct dlq_error *err)
{
    const char *const prefix = layer->info.prefix;
    const int64_t x_size = dlq_linear_x_size(layer);
    const int64_t y_size = dlq_linear_y_size(layer);
    if (!io->x || !io->y || io->x == io->y) {
        return dlq_fail(err, DLQ_EINVAL, "layer '%s': expected x and y apart, found %p and %p",
                        prefix, io->x, io->y);
    }
    if ((io->x_stride != 0 && io->x_stride < x_size) ||
        (io->y_stride != 0 && io->y_stride < y_size)) {
        return dlq_fail(err, DLQ_ESHAPE,
                        "layer '%s': strides: expected at least %lld for x and %lld for y, found "
                        "%lld and %lld",
                        prefix, (long long)x_size, (long long)y_size, (long long)io->x_stride,
                        (long long)io->y_stride);
    }
    if (l->size == SIZE_MAX) {
        return dlq_fail(err, DLQ_EOVERFLOW, "layer '%s': the workspace of %lld rows overflows",
                        prefix, (long long)io->m);
    }
    if (l->size > 0 && (!io->workspace || io->workspace_size < l->size ||
                        ((uintptr_t)io->workspace & (WORKSPACE_ALIGN - 1)) != 0)) {
        return dlq_fail(err, DLQ_EINVAL,
                        "layer '%s': workspace: expected %zu bytes aligned to %d, found %zu at %p",
                        prefix, l->size, WORKSPACE_ALIGN, io->workspace_size, io->workspace);
    }
    return DLQ_OK;
}

// The gathered ranks lie one after the other, [m, N of the rank] each with its share of every part;
// y wants each part whole.
static int32_t
order_parts(const struct dlq_layer *layer, const struct dlq_linear_io *io, const char *gathered,
            int64_t y_stride, struct dlq_error *err)
{
    const int32_t ranks = layer->info.tp_size;
    const int64_t es = layer->elem_bytes;
    int32_t rc = DLQ_OK;
    for (int32_t r = 0; r < ranks && rc == DLQ_OK; ++r) {
        const int64_t width = layer->rank_outputs[r];
        const char *src = gathered;
        for (int32_t p = 0; p < layer->info.n_parts && rc == DLQ_OK; ++p) {
            const int64_t *const bounds = layer->part_bounds + (int64_t)p * (ranks + 1) + r;
            const int64_t bytes = (bounds[1] - bounds[0]) * es;
            char *const dst = (char *)io->y + (layer->parts[p].full_offset + bounds[0]) * es;
            rc = layer->copy(layer->info.device.device.index, dst, (size_t)(y_stride * es), src,
                             (size_t)(width * es), (size_t)bytes, (size_t)io->m, io->stream, err);
            src += bytes;
        }
        gathered += width * io->m * es;
    }
    return rc;
}

static int32_t
gather(const struct dlq_layer *layer, const struct dlq_linear_io *io, const struct layout *l,
       int64_t y_stride, struct dlq_error *err)
{
    int64_t counts[DLQ_MAX_RANKS];
    for (int32_t r = 0; r < layer->info.tp_size; ++r) {
        counts[r] = io->m * layer->rank_outputs[r];
    }
    char *const scratch = io->workspace;
    // One row of one part is in order as it arrives.
    const bool ordered = io->m == 1 && layer->info.n_parts == 1;
    void *const recv = ordered ? io->y : scratch + l->gathered;
    const int32_t rc = layer->coll.all_gather(layer->coll.ctx, scratch + l->local, recv, counts,
                                              layer->info.act_dtype, io->stream, err);
    return rc != DLQ_OK || ordered ? rc : order_parts(layer, io, recv, y_stride, err);
}

// `y` is contiguous: this rank's scratch, or io->y itself.
static int32_t
reduce(const struct dlq_layer *layer, const struct dlq_linear_io *io, void *y, int64_t y_stride,
       struct dlq_error *err)
{
    const int64_t n = layer->info.output_size_per_partition;
    const uint32_t flags = layer->flags & DLQ_LINEAR_REDUCE_FP32 ? (uint32_t)DLQ_REDUCE_FP32 : 0;
    const int32_t rc = layer->coll.all_reduce(layer->coll.ctx, y, io->m * n, layer->info.act_dtype,
                                              flags, io->stream, err);
    if (rc != DLQ_OK || y == io->y) {
        return rc;
    }
    const size_t width = (size_t)n * layer->elem_bytes;
    return layer->copy(layer->info.device.device.index, io->y, (size_t)y_stride * layer->elem_bytes,
                       y, width, width, (size_t)io->m, io->stream, err);
}

static int32_t
fail_apply(const struct dlq_layer *layer, int32_t rc, struct dlq_error *err)
{
    return dlq_fail_prefix(err, rc, "layer '%s'", layer->info.prefix);
}

int32_t
dlq_linear_apply(dlq_linear *layer, const struct dlq_linear_io *io, struct dlq_error *err)
{
    if (layer->state != DLQ_LAYER_READY) {
        return dlq_fail(err, DLQ_ESTATE, "layer '%s': apply() before process() has succeeded",
                        layer->info.prefix);
    }
    const uint32_t size = DLQ_SIZE_UPTO(struct dlq_linear_io, workspace_size);
    if (!io || io->struct_size < size || io->m < 0 ||
        (io->flags & ~(uint32_t)DLQ_LINEAR_NO_REDUCE)) {
        return dlq_fail(err, DLQ_EINVAL,
                        "layer '%s': expected a struct dlq_linear_io of %u bytes, rows of 0 or "
                        "more and no flag but no_reduce, found %u bytes, %lld rows and flags 0x%x",
                        layer->info.prefix, size, io ? io->struct_size : 0,
                        io ? (long long)io->m : 0, io ? io->flags : 0);
    }
    if (io->m == 0) {
        return DLQ_OK;
    }
    const struct layout l = lay_out(layer, io->m);
    int32_t rc = check_io(layer, io, &l, err);
    if (rc != DLQ_OK) {
        return rc;
    }
    const bool full_x = (layer->flags & DLQ_LINEAR_INPUT_IS_FULL) != 0;
    const int64_t n = layer->info.output_size_per_partition;
    const int64_t y_stride = io->y_stride ? io->y_stride : dlq_linear_y_size(layer);
    const bool to_gather = gathers(layer);
    const bool to_reduce = dlq_layer_reduces(layer) && !(io->flags & DLQ_LINEAR_NO_REDUCE);
    const bool has_sums =
        to_reduce && layer->split && layer->split_wants.sum_dtype != DLQ_DTYPE_NONE;
    // Ranks may have y of different strides, and must all sum the same number of elements.
    const bool to_scratch = to_gather || (to_reduce && !has_sums && y_stride != n && io->m > 1);
    const struct dlq_linear_call call = {
        .struct_size = DLQ_SIZE_UPTO(struct dlq_linear_call, host),
        .m = io->m,
        .x = (const char *)io->x + (full_x ? layer->info.input_offset * layer->elem_bytes : 0),
        .x_stride = io->x_stride ? io->x_stride : dlq_linear_x_size(layer),
        .y = to_scratch ? (char *)io->workspace + l.local : io->y,
        .y_stride = to_scratch ? n : y_stride,
        .bias = layer->bias,
        .stream = io->stream,
        .workspace = io->workspace,
        .workspace_size = l.gathered ? l.local : io->workspace_size,
        .host = layer->host,
    };
    if (to_reduce && layer->split) {
        char *const scratch = io->workspace;
        const struct dlq_split_scratch split = {
            .stats = (float *)(void *)(scratch + l.stats),
            .all_stats = (float *)(void *)(scratch + l.all_stats),
            .sums = has_sums ? scratch + l.sums : NULL,
        };
        rc = dlq_layer_apply_split(layer, &call, &split, err);
    } else {
        rc = layer->ops->apply(layer->method, &call, err);
    }
    if (rc == DLQ_OK && to_gather) {
        rc = gather(layer, io, &l, y_stride, err);
    } else if (rc == DLQ_OK && to_reduce && !has_sums) {
        rc = reduce(layer, io, call.y, y_stride, err);
    }
    return rc == DLQ_OK ? rc : fail_apply(layer, rc, err);
}
