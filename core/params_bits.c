// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "params_bits.h"

#include "alloc.h"
#include "shard.h"

#include <string.h>

#define WORD_BITS 32

bool
dlq_param_bits_along(const struct dlq_param_desc *desc, int32_t dim)
{
    return dim >= 0 && dim == desc->packed_dim && (desc->flags & DLQ_PARAM_LSB_FIRST);
}

static bool
is_dense(const struct dlq_param_desc *d)
{
    return (int64_t)d->pack_num * d->pack_bits == (int64_t)WORD_BITS * d->pack_den;
}

const char *
dlq_param_bits_normalize(struct dlq_param_desc *d)
{
    if (!(d->flags & DLQ_PARAM_LSB_FIRST)) {
        return NULL;
    }
    if (d->packed_dim < 0 || (d->dtype != DLQ_I32 && d->dtype != DLQ_U32)) {
        return "words that may be cut need a packed_dim and 32 bits each";
    }
    if (d->tile != 1 || (d->flags & (DLQ_PARAM_CAST | DLQ_PARAM_SENTINEL))) {
        return "words that may be cut have no tile, cast or sentinel";
    }
    if (d->pack_bits == 0) {
        d->pack_bits = (int32_t)((int64_t)WORD_BITS * d->pack_den / d->pack_num);
    }
    const bool valid = d->pack_bits > 0 && d->pack_bits <= WORD_BITS;
    if (!valid || !(is_dense(d) || (d->pack_den == 1 && d->pack_num == WORD_BITS / d->pack_bits))) {
        return "pack_bits and the pack ratio do not agree";
    }
    return NULL;
}

int64_t
dlq_param_bits_words(const struct dlq_param_desc *desc, int64_t elements)
{
    const int64_t bits = elements * desc->pack_den;
    return bits / desc->pack_num + (bits % desc->pack_num != 0);
}

// The lowest `n` bits of a word, 0 to 32.
static uint32_t
low_bits(int64_t n)
{
    return n >= WORD_BITS ? UINT32_MAX : (1u << n) - 1;
}

// Elements of a row of words: what is beside the packed dimension, row-major.
static int64_t
row_strides(const struct dlq_param_box *box, int32_t dim, int64_t *strides)
{
    int64_t rows = 1;
    for (int32_t d = box->ndim - 1; d >= 0; --d) {
        strides[d] = d == dim ? 0 : rows;
        rows *= d == dim ? 1 : box->dst_shape[d];
    }
    return rows;
}

// First bit of a part in the parameter.
static int64_t
part_start(const struct dlq_param *param, int32_t part)
{
    const struct dlq_param_desc *const d = &param->desc;
    return param->parts[part]->local_offset / d->block[d->packed_dim] * d->pack_bits;
}

// The rows of a word that more than one part has bits in. It is known by the first part that
// begins inside it.
static uint32_t *
find_shared(struct dlq_param *param, int32_t n_parts, int64_t used, int64_t rows, int64_t word)
{
    for (int32_t p = 0; p < n_parts; ++p) {
        const int64_t start = part_start(param, p);
        if (start % used != 0 && start / used == word) {
            return param->shared + p * rows;
        }
    }
    return NULL;
}

int32_t
dlq_param_bits_place(const struct dlq_params *params, struct dlq_param *param,
                     struct dlq_param_box *box)
{
    const struct dlq_param_desc *const d = &param->desc;
    const int32_t dim = d->packed_dim;
    const int64_t used = is_dense(d) ? WORD_BITS : (int64_t)d->pack_num * d->pack_bits;
    const int64_t start = box->dst[dim] * d->pack_bits;
    const int64_t end = start + box->len[dim] * d->pack_bits;
    const int64_t from = (box->base[dim] + box->src[dim]) * d->pack_bits;
    const int64_t to = from + (end - start);
    const bool empty = end == start;
    box->dst[dim] = start / used;
    box->len[dim] = empty ? 0 : (end - 1) / used + 1 - start / used;
    box->src_shape[dim] = dlq_param_bits_words(d, box->src_shape[dim]);
    box->base[dim] = 0;
    box->src[dim] = from / used;
    if (empty || (start % used == 0 && from % used == 0 && end % used == 0)) {
        return DLQ_OK;
    }
    const int64_t shift = (from % used - start % used + used) % used;
    // The word of the tensor that the parameter's word begins in: one before `from`, perhaps one
    // before the tensor, when the parameter's word has other bits first.
    box->src[dim] = from / used - (from % used < start % used);
    box->bits = (struct dlq_param_bits){
        .used = (int32_t)used,
        .dim = dim,
        .shift = (int32_t)shift,
        .src_first = from / used,
        .src_last = (to - 1) / used,
        .take_first = ~low_bits(start % used),
        .take_last = low_bits(end % used ? end % used : used),
    };
    if (dim != d->output_dim) {
        return DLQ_OK;
    }
    int64_t strides[DLQ_MAX_DIMS];
    const int64_t rows = row_strides(box, dim, strides);
    const int32_t n_parts = params->info->n_parts;
    if (n_parts > 1 && !param->shared) {
        param->shared =
            dlq_calloc(params->alloc, (size_t)n_parts * (size_t)rows, sizeof(*param->shared));
        if (!param->shared) {
            return DLQ_ENOMEM;
        }
    }
    box->bits.first = find_shared(param, n_parts, used, rows, start / used);
    box->bits.last = find_shared(param, n_parts, used, rows, (end - 1) / used);
    return DLQ_OK;
}

static uint32_t
read_word(const char *words, int64_t at)
{
    uint32_t word;
    memcpy(&word, words + at * (int64_t)sizeof(word), sizeof(word));
    return word;
}

// The bits above `shift` of words at `lo` and those below it of words at `hi`.
static void
shift_words(const struct dlq_param_bits *bits, const char *words, int64_t lo, int64_t hi,
            int64_t count, uint32_t *out)
{
    const uint32_t mask = low_bits(bits->used);
    for (int64_t i = 0; i < count; ++i) {
        const uint64_t pair =
            (uint64_t)read_word(words, hi + i) << bits->used | (read_word(words, lo + i) & mask);
        out[i] = (uint32_t)(pair >> bits->shift) & mask;
    }
}

// One word at an end of the part: `word` counts in the box, `at` is its place in the tensor, where
// the next lies `step` on, and `row` its row of shared words.
static uint32_t
end_word(const struct dlq_param_box *box, const char *words, int64_t word, int64_t at, int64_t step,
         int64_t row)
{
    const struct dlq_param_bits *const b = &box->bits;
    const int64_t from = box->src[b->dim] + word;
    uint32_t take = low_bits(b->used);
    uint64_t pair = from >= b->src_first && from <= b->src_last ? read_word(words, at) & take : 0;
    if (from + 1 >= b->src_first && from + 1 <= b->src_last) {
        pair |= (uint64_t)read_word(words, at + step) << b->used;
    }
    uint32_t *shared = NULL;
    if (word == 0) {
        take &= b->take_first;
        shared = b->first;
    }
    if (word == box->len[b->dim] - 1) {
        take &= b->take_last;
        shared = b->last ? b->last : shared;
    }
    const uint32_t mine = (uint32_t)(pair >> b->shift) & take;
    if (!shared) {
        return mine;
    }
    shared[row] = (shared[row] & ~take) | mine;
    return shared[row];
}

// Words that follow each other in a row of the tensor.
static void
gather_along(const struct dlq_param_box *box, const char *words, int64_t start, int64_t row,
             int64_t first, int64_t count, uint32_t *out)
{
    const int64_t last = box->len[box->bits.dim] - 1;
    const int64_t at = start + box->src[box->bits.dim] + first;
    int64_t i = 0;
    if (first == 0) {
        out[0] = end_word(box, words, 0, at, 1, row);
        i = 1;
    }
    const int64_t inner = first + count > last ? last - first : count;
    if (i < inner) {
        shift_words(&box->bits, words, at + i, at + i + 1, inner - i, out + i);
        i = inner;
    }
    if (i < count) {
        out[i] = end_word(box, words, last, at + i, 1, row);
    }
}

// One word of each column, the next of the column being `step` on.
static void
gather_across(const struct dlq_param_box *box, const char *words, int64_t start, int64_t step,
              int64_t row, int64_t word, int64_t first, int64_t count, uint32_t *out)
{
    const int32_t d = box->ndim - 1;
    const int64_t at = start + (box->src[box->bits.dim] + word) * step;
    if (word > 0 && word < box->len[box->bits.dim] - 1 && box->repeat[d] == 1) {
        const int64_t column = at + box->base[d] + box->src[d] + first;
        shift_words(&box->bits, words, column, column + step, count, out);
        return;
    }
    for (int64_t i = 0; i < count; ++i) {
        const int64_t column = box->base[d] + (box->src[d] + first + i) / box->repeat[d];
        out[i] = end_word(box, words, word, at + column, step, row + i);
    }
}

void
dlq_param_bits_gather(const struct dlq_param_box *box, const void *src, const int64_t *index,
                      int64_t first, int64_t count, uint32_t *out)
{
    const int32_t last = box->ndim - 1;
    const int32_t dim = box->bits.dim;
    int64_t row_stride[DLQ_MAX_DIMS];
    row_strides(box, dim, row_stride);
    int64_t row = dim == last ? 0 : box->dst[last] + first;
    int64_t start = 0; // in the tensor, but for the words and the columns
    int64_t step = 1;
    int64_t stride = box->src_shape[last];
    for (int32_t d = last - 1; d >= 0; --d) {
        if (d == dim) {
            step = stride;
        } else {
            const int64_t i = box->base[d] + (box->src[d] + index[d]) / box->repeat[d];
            start += i * stride;
            row += (box->dst[d] + index[d]) * row_stride[d];
        }
        stride *= box->src_shape[d];
    }
    if (dim == last) {
        gather_along(box, src, start, row, first, count, out);
    } else {
        gather_across(box, src, start, step, row, index[dim], first, count, out);
    }
}

void
dlq_param_bits_release(const struct dlq_params *params, struct dlq_param *param)
{
    bool done = !(param->desc.flags & DLQ_PARAM_LAST_WRITE_OK);
    for (int32_t i = 0; i < params->info->n_parts; ++i) {
        done = done && param->written[i];
    }
    if (done) {
        dlq_free(params->alloc, param->shared);
        param->shared = NULL;
    }
}
