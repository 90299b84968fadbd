// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "params_copy.h"

#include "alloc.h"
#include "float16.h"
#include "params_bits.h"
#include "params_finite.h"

#include <string.h>

// Elements that have to be looked at or changed pass through a buffer of this size, so that host
// memory stays bounded whatever the size of a tensor.
#define BUFFER_BYTES ((int64_t)256 * 1024)

static int64_t
elem_bytes(uint32_t dtype)
{
    return DLQ_DTYPE_BITS(dtype) / 8;
}

// A box of at least two dimensions says the same and saves two special cases.
static struct dlq_param_box
widen(const struct dlq_param_box *box)
{
    const int32_t pad = box->ndim < 2 ? 2 - box->ndim : 0;
    struct dlq_param_box out = {.ndim = box->ndim + pad, .bits = box->bits};
    out.bits.dim += pad;
    for (int32_t d = 0; d < out.ndim; ++d) {
        const int32_t from = d - pad;
        out.dst_shape[d] = from < 0 ? 1 : box->dst_shape[from];
        out.src_shape[d] = from < 0 ? 1 : box->src_shape[from];
        out.len[d] = from < 0 ? 1 : box->len[from];
        out.repeat[d] = from < 0 ? 1 : box->repeat[from];
        out.dst[d] = from < 0 ? 0 : box->dst[from];
        out.base[d] = from < 0 ? 0 : box->base[from];
        out.src[d] = from < 0 ? 0 : box->src[from];
    }
    return out;
}

static int64_t
source_index(const struct dlq_param_box *box, int32_t d, int64_t i)
{
    return box->base[d] + (box->src[d] + i) / box->repeat[d];
}

static void
strides_of(int32_t ndim, const int64_t *shape, int64_t *strides)
{
    int64_t stride = 1;
    for (int32_t d = ndim - 1; d >= 0; --d) {
        strides[d] = stride;
        stride *= shape[d];
    }
}

// Next index over the first `ndim` dimensions; false after the last.
static bool
advance(int64_t *index, const int64_t *len, int32_t ndim)
{
    for (int32_t d = ndim - 1; d >= 0; --d) {
        if (++index[d] < len[d]) {
            return true;
        }
        index[d] = 0;
    }
    return false;
}

// Runs of bytes straight from the tensor into place, two dimensions an upload.
static int32_t
copy_direct(const struct dlq_param_copy *copy, const struct dlq_param_box *box,
            struct dlq_error *err)
{
    int64_t dst_stride[DLQ_MAX_DIMS];
    int64_t src_stride[DLQ_MAX_DIMS];
    strides_of(box->ndim, box->dst_shape, dst_stride);
    strides_of(box->ndim, box->src_shape, src_stride);
    const int64_t es = elem_bytes(copy->dst_dtype);
    int64_t width = es;
    int32_t d = box->ndim - 1;
    while (d > 0 && box->len[d] == box->dst_shape[d] && box->len[d] == box->src_shape[d]) {
        width *= box->len[d--];
    }
    width *= box->len[d];
    const int32_t rows_dim = d - 1;
    const int64_t rows = rows_dim >= 0 ? box->len[rows_dim] : 1;
    const int64_t dst_pitch = rows_dim >= 0 ? dst_stride[rows_dim] * es : width;
    const int64_t src_pitch = rows_dim >= 0 ? src_stride[rows_dim] * es : width;
    int32_t (*const move)(void *, void *, size_t, const void *, size_t, size_t, size_t,
                          struct dlq_error *) =
        copy->stays && copy->store->post ? copy->store->post : copy->store->upload;
    int64_t index[DLQ_MAX_DIMS] = {0};
    int32_t rc = DLQ_OK;
    do {
        int64_t dst = 0;
        int64_t src = 0;
        for (int32_t i = 0; i < box->ndim; ++i) {
            dst += (box->dst[i] + index[i]) * dst_stride[i];
            src += (box->base[i] + box->src[i] + index[i]) * src_stride[i];
        }
        rc = move(copy->store->ctx, (char *)copy->dst + dst * es, (size_t)dst_pitch,
                  (const char *)copy->src + src * es, (size_t)src_pitch, (size_t)width,
                  (size_t)rows, err);
    } while (rc == DLQ_OK && rows_dim > 0 && advance(index, box->len, rows_dim));
    return rc;
}

// FNV-1a: equal values have equal digests, and an accident is unlikely.
static uint64_t
digest_bytes(uint64_t digest, const unsigned char *p, size_t n)
{
    for (size_t i = 0; i < n; ++i) {
        digest = (digest ^ p[i]) * 0x100000001B3u;
    }
    return digest;
}

// One row of the box, elements [first, first + count), as stored.
static int32_t
gather_row(const struct dlq_param_copy *copy, const struct dlq_param_box *box, int64_t row_start,
           int64_t first, int64_t count, unsigned char *out)
{
    const int32_t last = box->ndim - 1;
    const int64_t src_es = elem_bytes(copy->src_dtype);
    const int64_t dst_es = elem_bytes(copy->dst_dtype);
    const char *const src = (const char *)copy->src + row_start * src_es;
    if (box->repeat[last] == 1) {
        return dlq_cast(copy->dst_dtype, out, copy->src_dtype,
                        src + source_index(box, last, first) * src_es, (size_t)count);
    }
    int32_t rc = DLQ_OK;
    for (int64_t i = 0; i < count && rc == DLQ_OK; ++i) {
        rc = dlq_cast(copy->dst_dtype, out + i * dst_es, copy->src_dtype,
                      src + source_index(box, last, first + i) * src_es, 1);
    }
    return rc;
}

static bool
row_is_finite(struct dlq_param_copy *copy, const struct dlq_param_box *box, const int64_t *index,
              int64_t first, int64_t count, const unsigned char *row)
{
    const int64_t bad = dlq_param_find_infinite(copy->dst_dtype, row, count);
    if (bad < 0) {
        return true;
    }
    for (int32_t d = 0; d < box->ndim - 1; ++d) {
        copy->bad_index[d] = source_index(box, d, index[d]);
    }
    copy->bad_index[box->ndim - 1] = source_index(box, box->ndim - 1, first + bad);
    copy->refused = true;
    return false;
}

// A tile of the last two dimensions: `rows` rows from index[], `count` elements each.
static int32_t
copy_tile(struct dlq_param_copy *copy, const struct dlq_param_box *box, int64_t *index,
          int64_t rows, int64_t first, int64_t count, unsigned char *buffer, struct dlq_error *err)
{
    int64_t dst_stride[DLQ_MAX_DIMS];
    int64_t src_stride[DLQ_MAX_DIMS];
    strides_of(box->ndim, box->dst_shape, dst_stride);
    strides_of(box->ndim, box->src_shape, src_stride);
    const int64_t es = elem_bytes(copy->dst_dtype);
    const int32_t row_dim = box->ndim - 2;
    const int64_t row0 = index[row_dim];
    int64_t dst = box->dst[row_dim + 1] + first;
    for (int32_t d = 0; d <= row_dim; ++d) {
        dst += (box->dst[d] + index[d]) * dst_stride[d];
    }
    for (int64_t r = 0; r < rows; ++r) {
        index[row_dim] = row0 + r;
        int64_t start = 0;
        for (int32_t d = 0; d <= row_dim; ++d) {
            start += source_index(box, d, index[d]) * src_stride[d];
        }
        unsigned char *const row = buffer + r * count * es;
        int32_t rc = DLQ_OK;
        if (box->bits.used) {
            dlq_param_bits_gather(box, copy->src, index, first, count, (uint32_t *)(void *)row);
        } else {
            rc = gather_row(copy, box, start, first, count, row);
        }
        if (rc != DLQ_OK) {
            copy->unfit = true;
            return rc;
        }
        if (copy->finite && !row_is_finite(copy, box, index, first, count, row)) {
            return DLQ_EINVAL;
        }
    }
    index[row_dim] = row0;
    const size_t width = (size_t)(count * es);
    if (copy->digest) {
        *copy->digest = digest_bytes(*copy->digest, buffer, width * (size_t)rows);
    }
    if (!copy->dst) {
        return DLQ_OK;
    }
    return copy->store->upload(copy->store->ctx, (char *)copy->dst + dst * es,
                               (size_t)(dst_stride[row_dim] * es), buffer, width, width,
                               (size_t)rows, err);
}

static int64_t
min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int32_t
copy_buffered(struct dlq_param_copy *copy, const struct dlq_param_box *box, struct dlq_error *err)
{
    const int32_t row_dim = box->ndim - 2;
    const int64_t n = box->len[row_dim + 1];
    const int64_t fit = BUFFER_BYTES / elem_bytes(copy->dst_dtype);
    const int64_t cols = min64(n, fit);
    const int64_t rows = min64(box->len[row_dim], fit / cols);
    unsigned char *const buffer =
        dlq_alloc(copy->alloc, (size_t)(rows * cols * elem_bytes(copy->dst_dtype)));
    if (!buffer) {
        return DLQ_ENOMEM;
    }
    int64_t index[DLQ_MAX_DIMS] = {0};
    int32_t rc = DLQ_OK;
    do {
        for (int64_t r = 0; r < box->len[row_dim] && rc == DLQ_OK; r += rows) {
            for (int64_t c = 0; c < n && rc == DLQ_OK; c += cols) {
                index[row_dim] = r;
                rc = copy_tile(copy, box, index, min64(rows, box->len[row_dim] - r), c,
                               min64(cols, n - c), buffer, err);
            }
        }
    } while (rc == DLQ_OK && advance(index, box->len, row_dim));
    dlq_free(copy->alloc, buffer);
    return rc;
}

int32_t
dlq_param_copy_box(struct dlq_param_copy *copy, const struct dlq_param_box *box,
                   struct dlq_error *err)
{
    const struct dlq_param_box wide = widen(box);
    bool direct = copy->dst_dtype == copy->src_dtype && !copy->digest && !box->bits.used;
    for (int32_t d = 0; d < wide.ndim; ++d) {
        if (wide.len[d] == 0) {
            return DLQ_OK;
        }
        direct = direct && wide.repeat[d] == 1;
    }
    int32_t rc = DLQ_OK;
    if (direct) {
        // Nothing is copied of a tensor that is refused.
        rc = !copy->finite || dlq_param_box_is_finite(copy, &wide) ? copy_direct(copy, &wide, err)
                                                                   : DLQ_EINVAL;
    } else {
        rc = copy_buffered(copy, &wide, err);
    }
    memmove(copy->bad_index, copy->bad_index + (wide.ndim - box->ndim),
            (size_t)box->ndim * sizeof(*copy->bad_index));
    return rc;
}

int32_t
dlq_param_fill(const struct dlq_param_store *store, const struct dlq_allocator *alloc, void *dst,
               uint32_t dtype, int64_t count, double value, struct dlq_error *err)
{
    const int64_t es = elem_bytes(dtype);
    const int64_t fit = min64(count, BUFFER_BYTES / es);
    unsigned char *const buffer = dlq_alloc(alloc, (size_t)(fit * es));
    if (!buffer) {
        return DLQ_ENOMEM;
    }
    int32_t rc = DLQ_OK;
    for (int64_t i = 0; i < fit && rc == DLQ_OK; ++i) {
        rc = dlq_cast(dtype, buffer + i * es, DLQ_F64, &value, 1);
    }
    for (int64_t i = 0; i < count && rc == DLQ_OK; i += fit) {
        const size_t width = (size_t)(min64(fit, count - i) * es);
        rc = store->upload(store->ctx, (char *)dst + i * es, width, buffer, width, width, 1, err);
    }
    dlq_free(alloc, buffer);
    return rc;
}
