// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CORE_PARAMS_BITS_H
#define DLQ_CORE_PARAMS_BITS_H

#include "params_copy.h"

/// Packed dimensions that may be cut inside a word: those with DLQ_PARAM_LSB_FIRST.
///
/// The words of such a dimension are a string of bits, `used` of them in each word: all 32, or
/// what is left of 32 when no element straddles two words. Elements of 3 bits:
///
///     dense,  used 32   word 0 |0 0 0|1 1 1| .. |9 9 9|10 10   word 1 |10|11 11 11| ..
///     padded, used 30   word 0 |0 0 0|1 1 1| .. |9 9 9|- -     word 1 |10 10 10|11 11 11| ..
///
/// So element e begins at bit e * bits of the string in both. Elements that move from bit s of the
/// tensor to bit d of the parameter are shifted by the same distance in every word, each of which
/// is made of two neighbours:
///
///     tensor       |. . . a a a a a|b b b b b b b b|c c c . . . . .|     shift 3
///     parameter    |a a a a a b b b|b b b b b c c c|
///
/// Parts lie in the parameter as one string, so that two or more may share a word, and come in any
/// order. As nothing reads the storage back, which may be on a device, such words are kept on the
/// host until every part was written.

/// Whether words of this dimension may be cut. `dim` may be -1.
bool
dlq_param_bits_along(const struct dlq_param_desc *desc, int32_t dim);

/// Check what the flag asks of a descriptor and set its bits; without the flag nothing. Returns
/// what is wrong, or NULL.
const char *
dlq_param_bits_normalize(struct dlq_param_desc *desc);

/// Words that `elements` elements begin; their bits fit 63.
int64_t
dlq_param_bits_words(const struct dlq_param_desc *desc, int64_t elements);

/// Turn the box's packed dimension, which counts elements, its tensor's extent included, into
/// words. DLQ_ENOMEM without a message.
int32_t
dlq_param_bits_place(const struct dlq_params *params, struct dlq_param *param,
                     struct dlq_param_box *box);

/// Words [first, first + count) of the last dimension of a box with bits.used, the others being at
/// index[]. `src` is the tensor's data, perhaps unaligned.
void
dlq_param_bits_gather(const struct dlq_param_box *box, const void *src, const int64_t *index,
                      int64_t first, int64_t count, uint32_t *out);

/// Give back the shared words of a parameter when no part can be written any more.
void
dlq_param_bits_release(const struct dlq_params *params, struct dlq_param *param);

#endif // DLQ_CORE_PARAMS_BITS_H
