// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CORE_PARAMS_COPY_H
#define DLQ_CORE_PARAMS_COPY_H

#include "params.h"

/// Moving a box of elements from a checkpoint tensor into a parameter's storage.

/// How words of a dimension are put together where they do not lie in the tensor as such; see
/// params_bits.h.
struct dlq_param_bits {
    int32_t used;        ///< Bits of a word that hold elements; 0: words are copied as they are
    int32_t dim;         ///< Dimension of the words
    int32_t shift;       ///< Bits of a word of the tensor below the first that its word takes
    int64_t src_first;   ///< First word of the tensor that may be read
    int64_t src_last;    ///< Last one
    uint32_t take_first; ///< Bits of the box's first word that are this part's
    uint32_t take_last;  ///< Bits of its last word
    uint32_t *first;     ///< The first word so far, each row, when another part has bits in it
    uint32_t *last;      ///< The last word likewise
};

/// Element i of the box along dimension d goes to dst[d] + i and comes from
/// base[d] + (src[d] + i) / repeat[d]. Both sides are row-major and have `ndim` dimensions.
struct dlq_param_box {
    int32_t ndim;
    struct dlq_param_bits bits;
    int64_t dst_shape[DLQ_MAX_DIMS]; ///< Of the parameter
    int64_t src_shape[DLQ_MAX_DIMS]; ///< Of the tensor
    int64_t dst[DLQ_MAX_DIMS];
    int64_t base[DLQ_MAX_DIMS];
    int64_t src[DLQ_MAX_DIMS];
    int64_t repeat[DLQ_MAX_DIMS];
    int64_t len[DLQ_MAX_DIMS];
};

/// What to do with the elements on the way.
struct dlq_param_copy {
    const struct dlq_param_store *store;
    const struct dlq_allocator *alloc; ///< For one bounded buffer
    void *dst;                         ///< Storage of the parameter; NULL: only the digest
    const void *src;                   ///< Data of the tensor, perhaps unaligned
    uint32_t dst_dtype;
    uint32_t src_dtype;
    bool stays;                      ///< `src` stays until the store is flushed
    bool finite;                     ///< Refuse a NaN or an infinity of dst_dtype
    uint64_t *digest;                ///< Becomes a digest of the elements as stored; NULL: none
    bool refused;                    ///< An element was not finite
    bool unfit;                      ///< An element has no value in dst_dtype
    int64_t bad_index[DLQ_MAX_DIMS]; ///< Where in the tensor that element is
};

/// Copy the box. Without a message: DLQ_EINVAL when an element is refused, DLQ_EOVERFLOW when one
/// does not fit, DLQ_ENOMEM. A failed upload writes `err`.
int32_t
dlq_param_copy_box(struct dlq_param_copy *copy, const struct dlq_param_box *box,
                   struct dlq_error *err);

/// Set `count` elements of a dtype to a number. Errors as above.
int32_t
dlq_param_fill(const struct dlq_param_store *store, const struct dlq_allocator *alloc, void *dst,
               uint32_t dtype, int64_t count, double value, struct dlq_error *err);

#endif // DLQ_CORE_PARAMS_COPY_H
